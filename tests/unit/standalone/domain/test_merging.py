"""What becomes of an object in a member: what was wished, what is there, and who has set that."""

import copy
from typing import Any

import msgspec
import pytest

from mcs_controller.api.common import decode_applied
from mcs_controller.standalone.domain.execution import plan_update
from tests.support.builders import service
from tests.support.managed_fields import Json, entry, with_fields
from tests.support.object_store import merge_patch

ADDRESS: Json = {"clusterIP": "10.1.1.1", "clusterIPs": ["10.1.1.1"]}
FAMILIES: Json = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
CLUSTER_IP = ADDRESS | FAMILIES
DEFAULTED: Json = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
PORT: Json = {"port": 80, "protocol": "TCP", "targetPort": 80}


def _spec(spec: Json) -> Json:
    return service() | {"spec": spec}


def _merged(wanted: Json, stored: Json, owned: Json) -> tuple[Json, Json]:
    """(the patch, the spec afterwards) for a Service of which we have set `owned`; a second pass has nothing to do."""
    there = with_fields(_spec(stored), _spec(owned))
    patch = plan_update(_spec(wanted), decode_applied(msgspec.json.encode(there)))
    after = merge_patch(there, patch or {})
    assert plan_update(_spec(wanted), decode_applied(msgspec.json.encode(after))) is None
    return (patch or {}).get("spec", {}), after["spec"]


def test_what_an_earlier_manifest_had_goes_and_what_others_added_stays() -> None:
    stored = DEFAULTED | CLUSTER_IP | {"ports": [PORT], "externalIPs": ["1.2.3.4"], "loadBalancerIP": "1.2.3.5"}
    patch, _ = _merged({"ports": [PORT]}, stored, {"ports": [PORT], "externalIPs": []})
    assert patch == {"externalIPs": None}


def test_what_a_webhook_fills_in_stays_when_something_else_changes() -> None:
    """Case 02."""
    ports = [PORT | {"name": "http"}]
    balancer: Json = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": ports}
    stored = DEFAULTED | CLUSTER_IP | balancer | {"loadBalancerClass": "example.com/nlb"}
    wanted = balancer | {"ports": [*ports, {"name": "more", "port": 81}]}
    patch, after = _merged(wanted, stored, balancer)
    assert list(patch) == ["ports"]
    assert after["loadBalancerClass"] == "example.com/nlb"


def test_a_second_family_of_the_member_stays() -> None:
    stored = DEFAULTED | {"ports": [PORT]} | {"clusterIP": "10.1.1.1", "clusterIPs": ["10.1.1.1", "fd00::1"]}
    stored |= {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}
    assert _merged({"ports": [PORT]}, stored, {"ports": [PORT]})[0] == {}


def test_ports_are_told_apart_by_number_and_protocol_and_keep_the_members_node_ports() -> None:
    ours = [PORT | {"name": "a"}, PORT | {"name": "b", "port": 81, "targetPort": 81}]
    there = [ours[0] | {"nodePort": 30001}, ours[1] | {"nodePort": 30002}]
    stored = DEFAULTED | CLUSTER_IP | {"type": "NodePort", "externalTrafficPolicy": "Cluster", "ports": there}
    wanted = {"type": "NodePort", "ports": [ours[0] | {"nodePort": 30010}, ours[1] | {"appProtocol": "h2c"}]}
    _, after = _merged(wanted, stored, {"type": "NodePort", "ports": ours})
    assert [port["nodePort"] for port in after["ports"]] == [30010, 30002]
    _, after = _merged({"type": "NodePort", "ports": [ours[1]]}, after, wanted)
    assert after["ports"] == [there[1]], "the port goes, and so does what was filled in for it"


def test_a_port_that_somebody_else_added_stays() -> None:
    theirs = {"name": "theirs", "port": 90, "protocol": "TCP", "targetPort": 90}
    stored = DEFAULTED | CLUSTER_IP | {"ports": [PORT | {"name": "http"}, theirs]}
    patch, after = _merged({"ports": [{"name": "web", "port": 80}]}, stored, {"ports": [PORT | {"name": "http"}]})
    assert [port["name"] for port in after["ports"]] == ["web", "theirs"]
    assert list(patch) == ["ports"]


def test_what_was_sent_when_the_control_planes_own_choices_travelled_is_not_taken_back() -> None:
    """An older version, or Karmada, has set node ports and families; no write is needed to let go of them."""
    ports = [PORT | {"nodePort": 30001}]
    stored = DEFAULTED | CLUSTER_IP | {"type": "NodePort", "externalTrafficPolicy": "Cluster", "ports": ports}
    assert _merged({"type": "NodePort", "ports": [PORT]}, stored, stored)[0] == {}


@pytest.mark.parametrize(
    ("wanted", "before"),
    [
        ({"ports": [{"port": 80}]}, {}),
        ({"ports": [{"port": 80}], "type": "NodePort"}, {"externalTrafficPolicy": "Cluster", "type": "NodePort"}),
        (
            {"ports": [{"port": 80}], "sessionAffinity": "ClientIP"},
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}},
        ),
    ],
)
def test_defaults_are_kept_though_the_server_says_that_we_have_set_them(wanted: Json, before: Json) -> None:
    stored = DEFAULTED | CLUSTER_IP | {"ports": [PORT]} | before
    assert _merged(wanted, stored, DEFAULTED | {"ports": [PORT]} | before)[0] == {}


def test_a_setting_of_ours_goes_back_to_the_default() -> None:
    stored = DEFAULTED | CLUSTER_IP | {"ports": [PORT], "internalTrafficPolicy": "Local"}
    patch, _ = _merged({"ports": [PORT]}, stored, {"ports": [PORT], "internalTrafficPolicy": "Local"})
    assert patch == {"internalTrafficPolicy": None}


def test_selectors_are_replaced_as_a_whole() -> None:
    stored = DEFAULTED | CLUSTER_IP | {"ports": [PORT], "selector": {"app": "web", "theirs": "1"}}
    patch, _ = _merged({"ports": [PORT], "selector": {"app": "web"}}, stored, {"ports": [PORT], "selector": {"a": 1}})
    assert patch == {"selector": {"theirs": None}}


@pytest.mark.parametrize("wanted", [{"type": "ExternalName", "externalName": "example.org"}, {"ports": [PORT]}])
def test_a_change_of_the_type_leaves_what_goes_with_it_to_the_server(wanted: Json) -> None:
    ports = [PORT | {"nodePort": 30001}]
    stored = DEFAULTED | CLUSTER_IP | {"type": "NodePort", "externalTrafficPolicy": "Local", "ports": ports}
    owned = {"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [PORT]}
    there = with_fields(_spec(stored), _spec(owned))
    patch = plan_update(_spec({"type": "ClusterIP"} | wanted), decode_applied(msgspec.json.encode(there)))
    assert patch is not None
    assert patch["spec"] == {
        "type": wanted.get("type", "ClusterIP"),
        "externalTrafficPolicy": None,
        **({} if "ports" in wanted else {"ports": None, "externalName": "example.org"}),
    }


# --- kinds of which nothing is known ---------------------------------------------------------------------------------


def _thing(spec: Any) -> Json:
    metadata = {"name": "a", "namespace": "default", "resourceVersion": "5"}
    return {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("wanted", "stored", "owned", "patch"),
    [
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"c": 1}}, {"a": {"c": None}}, id="nested"),
        pytest.param(
            {"a": 1}, {"a": 1, "m": {"x": 1, "y": 2}}, {"m": {"x": 1}}, {"m": {"x": None}}, id="part-of-a-map"
        ),
        pytest.param({"a": 1}, {"a": 1, "m": {"x": 1}}, {"m": {"x": 1}}, {"m": None}, id="all-of-a-map"),
        pytest.param({"l": [1]}, {"l": [1, 2]}, {"l": []}, {"l": [1]}, id="a-list"),
        pytest.param({}, {"a": 1}, {"z": 1}, None, id="somebody-elses"),
    ],
)
def test_other_kinds(wanted: Json, stored: Json, owned: Json, patch: Json | None) -> None:
    there = with_fields(_thing(stored), _thing(owned))
    found = plan_update(_thing(wanted), decode_applied(msgspec.json.encode(there)))
    assert (found["spec"] if found is not None else None) == patch


def test_what_another_manager_has_set_as_well_stays() -> None:
    there = with_fields(_thing({"a": 1, "b": 2}), _thing({"a": 1, "b": 2}))
    there["metadata"]["managedFields"].append(entry(_thing({"b": 2}), "theirs"))
    found = plan_update(_thing({}), decode_applied(msgspec.json.encode(there)))
    assert found is not None
    assert found["spec"] == {"a": None}


def test_items_of_others_stay_when_ours_go() -> None:
    theirs = {"name": "theirs", "image": "b"}
    ours = {"name": "ours", "image": "a"}
    there = with_fields(_thing({"containers": [ours, theirs]}), _thing({"containers": [ours]}))
    there["metadata"]["managedFields"].append(entry(_thing({"containers": [theirs]}), "theirs"))
    found = plan_update(_thing({}), decode_applied(msgspec.json.encode(there)))
    assert found is not None
    assert found["spec"] == {"containers": [theirs]}


def test_items_of_sets_are_added_and_removed_one_by_one() -> None:
    there = _thing({"s": ["ours", "old", "theirs"]})
    node: Json = {'v:"ours"': {}, 'v:"old"': {}}
    there["metadata"]["managedFields"] = [
        {"manager": "karmada-controller-manager", "fieldsV1": {"f:spec": {"f:s": node}}},
        {"manager": "theirs", "fieldsV1": {"f:spec": {"f:s": {'v:"theirs"': {}}}}},
        {"manager": "theirs", "subresource": "status", "fieldsV1": {"f:spec": {"f:s": node}}},
    ]
    found = plan_update(_thing({"s": ["ours", "new"]}), decode_applied(msgspec.json.encode(there)))
    assert found is not None
    assert found["spec"] == {"s": ["ours", "new", "theirs"]}


def test_nothing_is_taken_for_ours_if_the_record_was_wiped_off() -> None:
    there = _thing({"a": 1, "b": {"c": 2}})
    assert plan_update(_thing({"a": 1}), decode_applied(msgspec.json.encode(there))) is None


def test_what_is_there_is_not_changed() -> None:
    there = with_fields(_spec(DEFAULTED | CLUSTER_IP | {"ports": [PORT]}), _spec({"ports": [PORT]}))
    observed = decode_applied(msgspec.json.encode(there))
    before, wanted = copy.deepcopy(observed.content), _spec({"ports": [{"port": 81}]})
    plan_update(wanted, observed)
    assert observed.content == before
    assert wanted == _spec({"ports": [{"port": 81}]})
