"""The pure parts: paths, addresses, manifests, names, state."""

import contextlib
import os

import pytest
import yaml

from testbed import karmada
from testbed.access import ClusterAccess
from testbed.api import resource_path
from testbed.bed import Bed
from testbed.errors import BedError, StateError
from testbed.identity import ProcessIdentity
from testbed.kubelet import Addresses, running_status
from testbed.state import BedDirectory, BedState


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("v1/nodes",), "/api/v1/nodes"),
        (("v1/nodes", "a"), "/api/v1/nodes/a"),
        (("apps/v1/deployments",), "/apis/apps/v1/deployments"),
    ],
)
def test_paths_of_resources(arguments, path):
    assert resource_path(*arguments) == path


def test_the_path_of_a_namespaced_subresource():
    path = resource_path("v1/pods", "web-0", namespace="shop", subresource="status")
    assert path == "/api/v1/namespaces/shop/pods/web-0/status"


def test_an_owner_keeps_its_address_and_others_get_different_ones():
    addresses = Addresses("10.81.0.0/16")
    assert addresses.of("a") == addresses.of("a") == "10.81.1.0"
    assert addresses.of("b") == "10.81.1.1"
    assert addresses.node == "10.81.0.1"


def test_a_released_address_is_not_handed_out_again_at_once():
    addresses = Addresses("10.81.0.0/16")
    first = addresses.of("a")
    addresses.release("a")
    assert addresses.of("b") != first


def test_an_address_that_a_pod_has_already_is_not_given_to_another():
    addresses = Addresses("10.81.0.0/16")
    addresses.claim("old", "10.81.1.0")
    assert addresses.of("new") == "10.81.1.1"


def test_a_range_goes_round_and_says_when_it_is_full():
    addresses = Addresses("10.81.0.0/23")
    handed_out = [addresses.of(str(number)) for number in range(255)]
    assert len(set(handed_out)) == 255
    with pytest.raises(RuntimeError, match="no free address"):
        addresses.of("one too many")
    addresses.release("7")
    assert addresses.of("next") == handed_out[7]


def test_a_running_status_has_a_line_for_each_container():
    pod = {"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    status = running_status(pod, address="10.81.1.0", host="10.81.0.1")
    assert [each["name"] for each in status["containerStatuses"]] == ["a", "b"]
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "True"


def test_manifests_are_read_in_the_order_of_file_names_and_lists_are_opened(tmp_path):
    (tmp_path / "20.yaml").write_text("kind: B\n---\n---\nkind: C\n")
    (tmp_path / "10.yaml").write_text("kind: List\nitems: [{kind: A}]\n")
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization\n")
    assert [each["kind"] for each in karmada.load(tmp_path)] == ["A", "B", "C"]


def test_a_directory_without_manifests_is_an_error_that_names_it(tmp_path):
    with pytest.raises(BedError, match=str(tmp_path)):
        list(karmada.load(tmp_path))


def test_a_bed_refuses_a_version_for_a_plane_that_it_has_not():
    with pytest.raises(ValueError, match="versions are given for planes that there are not: member3"):
        Bed(versions={"member3": "v1.32.13"})


@pytest.mark.parametrize("members", [["a", "a"], ["karmada"], [f"m{number}" for number in range(71)]])
def test_a_bed_refuses_names_it_cannot_tell_apart(members):
    with pytest.raises(ValueError, match="different names"):
        Bed(members=members)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a" * 33])
def test_a_name_that_cannot_be_a_directory_is_refused(name, tmp_path):
    with pytest.raises(StateError, match="not a valid name of a bed"):
        BedDirectory(name, tmp_path)


def test_state_is_read_back_as_written_and_unreadable_state_is_none(tmp_path):
    directory = BedDirectory("a", tmp_path)
    assert directory.read() is None
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    state = BedState(name="a", phase="ready", supervisor=identity, members=["m"], processes={"etcd": identity})
    directory.write(state)
    assert directory.read() == state
    (directory.root / "state.json").write_text('{"name": "a"}')
    assert directory.read() is None


def test_a_lock_is_exclusive_and_leaves_no_file(tmp_path):
    beds = tmp_path / ".bed"
    directory = BedDirectory("a", beds)
    with directory.lock(), pytest.raises(StateError, match="another process"), directory.lock(timeout=0.0):
        pass
    assert not beds.exists()
    with contextlib.ExitStack() as stack:
        stack.enter_context(directory.lock())
        stack.enter_context(BedDirectory("b", beds).lock())


def test_a_kubeconfig_holds_the_token_and_is_readable_by_its_owner_only(tmp_path):
    access = ClusterAccess(
        name="member1",
        server="https://127.0.0.1:1",
        ca_pem=b"ca",
        client_cert_pem=b"",
        client_key_pem=b"",
        kubeconfig=tmp_path / "sub" / "file",
        token="secret",
    )
    path = access.write_kubeconfig()
    content = yaml.safe_load(path.read_text())
    assert content["current-context"] == "member1"
    assert content["users"] == [{"name": "member1", "user": {"token": "secret"}}]
    assert path.stat().st_mode & 0o777 == 0o600
