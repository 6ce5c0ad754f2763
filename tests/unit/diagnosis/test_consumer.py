"""Rules about the consumers' Service and EndpointSlices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Severity
from tests.unit.diagnosis.healthy import (
    COPY,
    NAME,
    NAMESPACE,
    OLD,
    SLICE,
    YOUNG,
    chain,
    conditions,
    copy,
    found,
    healthy,
    obj,
    one,
    remove,
    service,
    slice_,
    work,
)


def errors(world: w.World) -> list[str]:
    return [each.code for each in chain(world).findings if each.severity is Severity.ERROR]


def test_the_namespace_is_missing():
    world = healthy()
    remove(world.members["member2"], w.NAMESPACES, NAMESPACE, "")
    remove(world.members["member2"], w.SERVICES, NAME)
    remove(world.members["member2"], w.SLICES, COPY)
    words = "Applied=False: namespace shop does not exist in cluster member2"
    world.host.add(w.WORKS, [work("member2", "Service", service(), status=conditions(Applied=words[8:]))])
    assert errors(world) == ["MCS070"]
    assert one(world, "MCS070").fix == "kubectl --context member2 create namespace shop"
    label = {"namespace.karmada.io/skip-auto-propagation": "TRUE"}
    world.host.add(w.NAMESPACES, [obj(NAMESPACE, labels=label)])
    assert "skip-auto-propagation" in one(world, "MCS070").evidence


def test_the_namespace_is_new_or_is_being_deleted():
    world = healthy()
    young = obj(NAMESPACE)
    young["metadata"]["creationTimestamp"] = YOUNG
    world.host.add(w.NAMESPACES, [young])
    going = obj(NAMESPACE, status=conditions(NamespaceContentRemaining="True:pods. has 1 resource instances"))
    going["metadata"]["deletionTimestamp"] = OLD
    world.members["member2"].add(w.NAMESPACES, [going])
    assert "1 resource" in one(world, "MCS070").evidence
    remove(world.members["member2"], w.NAMESPACES, NAMESPACE, "")
    assert one(world, "MCS070").severity is Severity.IN_PROGRESS


def test_the_service_is_missing():
    world = healthy()
    remove(world.members["member2"], w.SERVICES, NAME)
    assert errors(world) == ["MCS071"]


def test_addresses_are_missing():
    world = healthy()
    world.members["member2"].add(w.SLICES, [copy(COPY, "member1")])
    assert errors(world) == ["MCS072"]


@pytest.mark.parametrize(
    ("kind", "words", "fix"),
    [
        ("Service", "exists in the cluster and is not managed by Karmada", "conflict-resolution=overwrite"),
        ("EndpointSlice", "exists in the cluster and is not managed by Karmada", "delete endpointslice"),
        ("Service", "belongs to Work a/b of another control plane (permanent-id x)", "delete service web"),
        ("Service", "is applied by another Work already, a/b", "delete service web"),
    ],
)
def test_a_foreign_object_is_in_the_way(kind: str, words: str, fix: str):
    world = healthy()
    manifest = service() if kind == "Service" else copy(COPY, "member1", "10.1.0.5")
    world.host.add(w.WORKS, [work("member2", kind, manifest, status=conditions(Applied=f"False:{words}"))])
    assert fix in one(world, "MCS073").fix


def test_a_member_of_another_control_plane_is_taken_over_by_its_uid():
    world = healthy()
    uid = "01234567-89ab-cdef-0123-456789abcdef"
    status = conditions(Ready="True", MemberOwned=f"False:it belongs to control plane {uid}")
    world.host.add(w.CLUSTERS, [obj("member2", spec={"syncMode": "Push"}, status=status)])
    words = f"False:the member belongs to another control plane {uid}"
    world.host.add(w.WORKS, [work("member2", "Service", service(), status=conditions(Applied=words))])
    finding = one(world, "MCS073")
    assert finding.fix.endswith(f"take-over-member-from={uid}")
    assert finding.symptom


@pytest.mark.parametrize(
    "change",
    [
        {"type": "ExternalName", "externalName": "example.com"},
        {"ports": [{"name": "http", "port": 81}]},
        {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    ],
)
def test_the_service_was_edited_in_the_consumer(change: dict[str, Any]):
    world = healthy()
    edited = service()
    edited["spec"] |= change
    world.members["member2"].add(w.SERVICES, [edited])
    assert errors(world) == ["MCS074"]
    edited["metadata"]["managedFields"] = [{"time": YOUNG}]
    assert errors(world) == []


def test_what_members_fill_in_is_no_difference():
    world = healthy()
    filled = service()
    filled["spec"] |= {"type": "ClusterIP", "clusterIP": "10.2.255.20"}
    filled["spec"]["ports"] = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30000}]
    world.members["member2"].add(w.SERVICES, [filled])
    assert found(world, "MCS074") == []


def test_hints_for_places_that_the_consumer_does_not_have_are_mentioned():
    world = healthy()
    hinted = copy(COPY, "member1", "10.1.0.5")
    hinted["endpoints"][0]["hints"] = {"forZones": [{"name": "zone-a"}]}
    world.members["member2"].add(w.SLICES, [hinted])
    assert one(world, "MCS075").severity is Severity.INFO
    near = obj("member2-node", labels={"topology.kubernetes.io/zone": "zone-a"}, status=conditions(Ready="True"))
    world.members["member2"].add(w.NODES, [near])
    assert found(world, "MCS075") == []


def test_no_endpoint_is_ready_although_the_provider_has_one():
    world = healthy()
    world.members["member2"].add(w.SLICES, [copy(COPY, "member1", "10.1.0.5", ready=False)])
    assert errors(world) == ["MCS076"]


def test_endpoints_of_its_own_in_a_consumer_that_is_no_provider():
    world = healthy()
    world.members["member2"].add(w.SLICES, [slice_("web-own", "10.2.0.7")])
    assert "10.2.0.7" in one(world, "MCS077").evidence
    assert '"add", "path": "/spec/providerClusters/-", "value": {"name": "member2"}' in one(world, "MCS077").fix
    assert "get endpointslice" in one(replace(world, from_cluster="member2"), "MCS077").fix  # may not be the only one
    assert errors(world) == []
    world.members["member2"].add(w.SLICES, [slice_("web-own")])
    assert found(world, "MCS077") == []


def test_a_slice_that_comes_from_elsewhere_is_no_copy_of_this_provider():
    world = healthy()
    world.members["member1"].add(w.SLICES, [slice_(SLICE)])
    world.members["member2"].add(w.SLICES, [copy("member3-x", "member3", "10.3.0.1")])
    assert found(world, "MCS072") == []
