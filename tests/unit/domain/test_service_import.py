"""The derived Service of a ServiceImport (contract 3.6): the plans."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.serviceimport import (
    import_of,
    is_followed,
    is_made_here,
    is_user_owned,
    plan_derived,
    plan_ingress,
)
from tests.support.builders import Json, a_service, as_written, decode, golden, service, service_import
from tests.support.object_store import merge_patch

OWNER = {
    "apiVersion": "multicluster.x-k8s.io/v1alpha1",
    "kind": "ServiceImport",
    "name": "web",
    "uid": "uid-default-web",
}
PORT = {"name": "http", "port": 80, "protocol": "TCP"}


def defaulted(content: Json) -> Json:
    """What the server makes of a new Service."""
    spec = content["spec"]
    ports = [{"targetPort": port["port"]} | port for port in spec["ports"]]
    return content | {"spec": {"clusterIP": "10.1.1.1", "sessionAffinity": "None"} | spec | {"ports": ports}}


def derived(**spec: Any) -> Json:
    """A derived Service as it is at rest."""
    content = service(
        "derived-web", selector=None, metadata={"ownerReferences": [OWNER]}, type="ClusterIP", ports=[PORT]
    )
    made = defaulted(content)
    return made | {"spec": {key: one for key, one in (made["spec"] | spec).items() if one is not None}}


def brought(content: Json, there: Json) -> Json:
    """The Service after the one write that is planned; a second look finds nothing."""
    planned = plan_derived(decode(content), decode(there))
    assert planned is not None
    create, body = planned
    assert not create
    assert body["metadata"]["resourceVersion"] == "7"
    after: Json = merge_patch(there, body)
    assert plan_derived(decode(content), decode(after)) is None
    return after


def test_case_65_a_new_one_gets_its_service_with_every_port():
    ports: list[Json] = [PORT, {"name": "dns", "port": 53, "protocol": "UDP", "appProtocol": "x/dns"}, {"port": 1}]
    content = service_import(ports=ports)
    planned = plan_derived(decode(content), None)
    assert planned is not None
    create, body = planned
    assert create
    assert body == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "derived-web", "namespace": "default", "ownerReferences": [OWNER]},
        "spec": {"type": "ClusterIP", "ports": [*ports[:2], {"port": 1, "protocol": "TCP"}]},
    }
    assert plan_derived(decode(content), decode(defaulted(body))) is None


def test_what_is_as_it_should_be_is_not_written():
    assert plan_derived(decode(service_import()), decode(derived())) is None


@pytest.mark.parametrize(
    ("spec", "restored"),
    [
        ({"type": "NodePort"}, {"type": "ClusterIP"}),
        ({"selector": {"app": "web"}}, {"selector": None}),
        ({"ports": [PORT | {"port": 81}]}, {"ports": [PORT]}),
        ({"ports": [PORT | {"name": "other"}]}, {"ports": [PORT]}),
        ({"ports": [PORT | {"protocol": "UDP"}]}, {"ports": [PORT]}),
        ({"ports": [PORT | {"appProtocol": "x"}]}, {"ports": [PORT]}),
        ({"ports": [PORT, PORT | {"name": "more", "port": 81}]}, {"ports": [PORT]}),
        ({"ports": []}, {"ports": [PORT]}),
    ],
    ids=["type", "selector", "port", "port's name", "protocol", "app protocol", "one port too many", "no ports"],
)
def test_what_is_owned_is_restored(spec: Json, restored: Json):
    after = brought(service_import(), derived(**spec))
    assert {key: after["spec"].get(key) for key in restored} == restored


def test_opening_21_everything_else_stays():
    there = derived(sessionAffinity="ClientIP", externalIPs=["198.51.100.1"], ports=[PORT | {"port": 81}])
    there["metadata"] |= {"labels": {"team": "a"}, "annotations": {"note": "b"}, "finalizers": ["their/own"]}
    after = brought(service_import(), there)
    assert after["metadata"] == there["metadata"]
    assert {key: one for key, one in after["spec"].items() if key != "ports"} == {
        key: one for key, one in there["spec"].items() if key != "ports"
    }


def test_a_target_port_is_not_ours_to_say():
    assert plan_derived(decode(service_import()), decode(derived(ports=[PORT | {"targetPort": 8080}]))) is None


def test_one_that_names_no_owner_is_adopted_as_it_is():
    there = derived()
    del there["metadata"]["ownerReferences"]
    assert plan_derived(decode(service_import()), decode(there)) is None
    assert not is_made_here(decode(there))
    assert is_made_here(decode(derived()))


@pytest.mark.parametrize(
    "spec",
    [{"selector": {"app": "web"}}, {"type": "NodePort"}, {"type": "ExternalName"}, {"clusterIP": "None"}],
    ids=["a selector", "a node port", "an external name", "headless"],
)
def test_a_service_such_as_no_import_makes_is_somebodys_own_unless_it_names_its_import(spec: Json):
    there = derived(**spec)
    assert not is_user_owned(decode(there))
    del there["metadata"]["ownerReferences"]
    assert is_user_owned(decode(there))


def test_an_owner_that_was_made_anew_is_named_so_that_garbage_collection_lets_its_service_live():
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "web", "uid": "x"}
    there = derived()
    there["metadata"]["ownerReferences"] = [other, OWNER | {"uid": "before"}]
    assert brought(service_import(), there)["metadata"]["ownerReferences"] == [other, OWNER]


def test_nothing_is_made_of_headless_ones_and_of_those_that_are_being_deleted():
    assert is_followed(decode(service_import()))
    assert not is_followed(decode(service_import(type="Headless")))
    assert not is_followed(decode(service_import(metadata={"deletionTimestamp": "2026-01-02T00:00:00Z"})))


@pytest.mark.parametrize(
    ("name", "found"), [("derived-web", "web"), ("web", None), ("derived-derived-a", "derived-a"), ("derived", None)]
)
def test_the_import_of_a_service_is_told_by_its_name(name: str, found: str | None):
    assert import_of(a_service(name)) == found


# --- status -----------------------------------------------------------------------------------------------------------


def with_ingress(*ingress: Json) -> Any:
    return decode(derived() | {"status": {"loadBalancer": {"ingress": list(ingress)} if ingress else {}}})


def test_case_65_its_ip_is_the_ingress():
    assert plan_ingress(decode(service_import(ips=["192.0.2.1"])), with_ingress()) == {
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    }


@pytest.mark.parametrize(
    "there", [with_ingress({"ip": "192.0.2.1"}), with_ingress({"ip": "192.0.2.1", "ipMode": "VIP"})]
)
def test_an_ingress_that_says_so_already_is_not_written(there: Any):
    assert plan_ingress(decode(service_import(ips=["192.0.2.1"])), there) is None


def test_without_ips_there_is_no_ingress():
    assert plan_ingress(decode(service_import()), with_ingress()) is None
    assert plan_ingress(decode(service_import()), decode(derived())) is None
    cleared = plan_ingress(decode(service_import()), with_ingress({"ip": "192.0.2.1"}))
    assert cleared == {"status": {"loadBalancer": {"ingress": []}}}


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------

SERVER_ADDS = ("clusterIP", "clusterIPs", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy", "sessionAffinity")


def golden_pair() -> tuple[Any, Json]:
    [content] = golden("serviceexport/host-serviceimports")["items"]
    services = golden("serviceexport/host-services")["items"]
    [found] = [one for one in services if one["metadata"]["name"] == "derived-serve"]
    return decode(content), found


def test_golden_the_derived_service_is_reproduced_and_names_its_owner_besides():
    content, expected = golden_pair()
    planned = plan_derived(content, None)
    assert planned is not None
    body = planned[1]
    [owner] = body["metadata"].pop("ownerReferences")
    assert (owner["kind"], owner["name"], owner["uid"]) == (wk.SERVICE_IMPORT_KIND, "serve", content.metadata.uid)
    written = as_written(expected)
    for key in SERVER_ADDS:
        del written["spec"][key]
    for port in written["spec"]["ports"]:
        assert port.pop("targetPort") == port["port"]
    assert body == written


def test_golden_what_karmada_derived_is_adopted_without_a_write():
    content, there = golden_pair()
    assert not is_user_owned(decode(there))
    assert plan_derived(content, decode(there)) is None
    assert plan_ingress(content, decode(there)) is None
