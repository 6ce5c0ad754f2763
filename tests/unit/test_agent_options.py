"""Flags of an agent: which go together, what their defaults become, and which controllers it has."""

import os
from pathlib import Path

import pytest

from mcs_controller.controllers import CONTROLLERS, ControllerSet, InvalidControllers
from mcs_controller.options import ENVIRONMENT_PREFIX, InvalidOptions, Options, command

COMMAND = command("mcs-controller-manager", "1.2.3", "The end.")
COLLECTING = {"endpointsliceCollect", "serviceExport"}
ALONE = {"execution", "clusterStatus"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith(f"{ENVIRONMENT_PREFIX}_"):
            monkeypatch.delenv(name)


@pytest.fixture
def karmada(tmp_path: Path) -> str:
    path = tmp_path / "karmada.config"
    path.write_text("x")
    return f"--karmada-kubeconfig={path}"


def options(*args: str) -> Options:
    found = COMMAND.main(args=list(args), standalone_mode=False)
    assert isinstance(found, dict)
    return Options.of(found)


def refusal(*args: str) -> str:
    with pytest.raises(InvalidOptions) as caught:
        options(*args)
    return str(caught.value)


def test_an_agents_lease_is_in_its_clusters_execution_namespace(karmada):
    made = options("--cluster-name=member3", karmada)
    assert made.leader_elect_resource_namespace == "karmada-es-member3"
    assert made.leader_elect_resource_name == "mcs-controller-agent"


def test_what_is_said_of_the_lease_holds_even_if_it_is_the_default_of_others(karmada, monkeypatch):
    made = options("--cluster-name=member3", karmada, "--leader-elect-resource-namespace=karmada-system")
    assert made.leader_elect_resource_namespace == "karmada-system"
    monkeypatch.setenv("MCS_LEADER_ELECT_RESOURCE_NAME", "mine")
    assert options("--cluster-name=member3", karmada).leader_elect_resource_name == "mine"


def test_flags_of_an_agent_have_environment_twins(karmada, monkeypatch):
    monkeypatch.setenv("MCS_CLUSTER_NAME", "member3")
    assert options(karmada).cluster_name == "member3"


def test_an_agent_without_a_way_to_the_control_plane_is_told_how_to_get_one():
    text = refusal("--cluster-name=member3")
    assert text.startswith("--karmada-kubeconfig must not be empty with --cluster-name")
    assert "docs/agent.md" in text


def test_a_kubeconfig_of_the_control_plane_that_is_not_there_is_refused(tmp_path):
    text = refusal("--cluster-name=member3", f"--karmada-kubeconfig={tmp_path}/nope")
    assert text == f"--karmada-kubeconfig: {tmp_path}/nope is not a file that can be read"


@pytest.mark.parametrize("name", ["Member3", "a.b", "-a", "a-", "a" * 49, "a/b", " "])
def test_what_is_no_name_of_a_cluster_is_refused_with_where_to_look(karmada, name):
    text = refusal(f"--cluster-name={name}", karmada)
    assert text.startswith(f"--cluster-name: {name!r} is no name of a Cluster")
    assert "kubectl get clusters" in text


@pytest.mark.parametrize("name", ["a", "a" * 48, "member-3", "3"])
def test_names_of_clusters_are_taken(karmada, name):
    assert options(f"--cluster-name={name}", karmada).cluster_name == name


@pytest.mark.parametrize(("flag", "other"), [("karmada-kubeconfig", "kubeconfig"), ("karmada-context", "context")])
def test_flags_of_an_agent_mean_nothing_without_its_cluster(flag, other):
    text = refusal(f"--{flag}=x")
    assert text.startswith(f"--{flag} is for the agent of a cluster")
    assert "--cluster-name" in text
    assert f"say --{other} " in text


def test_one_server_cannot_be_both_the_control_plane_and_the_member(karmada):
    same = karmada.replace("--karmada-kubeconfig", "--kubeconfig")
    assert refusal("--cluster-name=m", karmada, same).startswith("--kubeconfig is the same as --karmada-kubeconfig")
    assert options("--cluster-name=m", karmada, same, "--context=m").context == "m"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", COLLECTING),
        ("*,standalone", COLLECTING | ALONE),
        ("*,standalone,-execution", COLLECTING | ALONE),
        ("-execution,standalone,*", COLLECTING | {"clusterStatus"}),
        ("serviceExport", {"serviceExport"}),
        ("*,-multiclusterservice", COLLECTING),
    ],
)
def test_an_agent_has_the_controllers_that_talk_to_members_under_their_usual_keys(text, expected):
    assert ControllerSet.parse(text, agent=True).enabled == expected


@pytest.mark.parametrize("name", sorted(info.key for info in CONTROLLERS if not info.agent))
def test_a_controller_that_an_agent_does_not_have_is_refused_with_those_it_has(name, karmada):
    with pytest.raises(InvalidControllers, match="runs in the control plane only"):
        ControllerSet.parse(f"*,{name}", agent=True)
    text = refusal("--cluster-name=member3", karmada, f"--controllers={name}")
    assert text.startswith(f"--controllers: controller {name!r}")
    assert all(one in text for one in COLLECTING | ALONE)
