"""Rules about kube-proxy, DNS, nodes and NetworkPolicies, and about what a probe showed."""

from __future__ import annotations

from typing import Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Severity
from mcs_controller.diagnosis.world import ProbeResult
from tests.unit.diagnosis.healthy import (
    COPY,
    NAME,
    NAMESPACE,
    YOUNG,
    chain,
    copy,
    found,
    healthy,
    node,
    obj,
    one,
    remove,
    slice_,
)


@pytest.mark.parametrize(
    ("updated", "ready", "expected"),
    [(3, 0, Severity.ERROR), (3, 2, Severity.WARNING), (2, 2, Severity.IN_PROGRESS)],
)
def test_kube_proxy_is_not_ready(updated: int, ready: int, expected: Severity):
    world = healthy()
    status = {"desiredNumberScheduled": 3, "updatedNumberScheduled": updated, "numberReady": ready}
    world.members["member2"].add(w.DAEMONSETS, [obj("kube-proxy", "kube-system", status=status)])
    assert one(world, "MCS080").severity is expected


def test_a_cluster_without_nodes_kube_proxy_and_dns_is_not_unhealthy():
    world = healthy()
    for name in world.members:
        remove(world.members[name], w.DAEMONSETS, "kube-proxy", "kube-system")
        remove(world.members[name], w.SERVICES, "kube-dns", "kube-system")
        remove(world.members[name], w.NODES, f"{name}-node", "")
    findings = chain(world).findings
    assert {each.code for each in findings} == {"MCS081", "MCS082"}
    assert {each.severity for each in findings} == {Severity.INFO}


def test_dns_has_no_ready_endpoint():
    world = healthy()
    member = world.members["member2"]
    dns = slice_("kube-dns-x", "10.2.0.2", ready=False, labels={"kubernetes.io/service-name": "kube-dns"})
    dns["metadata"]["namespace"] = "kube-system"
    member.add(w.SLICES, [dns])
    assert "describe pods" in one(world, "MCS081").fix
    member.add(w.DEPLOYMENTS, [obj("coredns", "kube-system", spec={"replicas": 0})])
    finding = one(world, "MCS081")
    assert finding.severity is Severity.ERROR
    assert finding.fix.endswith("scale deployment coredns --replicas=2")


def policy(**spec: Any) -> dict[str, Any]:
    return obj("deny", NAMESPACE, spec={"podSelector": {}, "policyTypes": ["Egress"]} | spec)


@pytest.mark.parametrize(
    ("spec", "denied"),
    [
        ({}, True),
        ({"egress": [{"to": [{"podSelector": {}}]}]}, True),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.0.0/24"]}}]}]}, True),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "not one"}}]}]}, True),
        ({"egress": [{}]}, False),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]}, False),
        ({"podSelector": {"matchLabels": {"app": "db"}}}, False),
        ({"policyTypes": ["Ingress"]}, False),
    ],
)
def test_a_network_policy_denies_egress(spec: dict[str, Any], denied: bool):
    world = healthy()
    world.members["member2"].add(w.NETWORKPOLICIES, [policy(**spec)])
    assert [each.code for each in found(world, "MCS083")] == ["MCS083"] * denied


def test_the_fix_allows_the_pods_of_the_provider_and_dns():
    world = healthy()
    world.members["member2"].add(w.NETWORKPOLICIES, [policy()])
    fix = one(world, "MCS083").fix
    assert '"cidr": "10.1.0.0/16"' in fix
    assert '"port": 53' in fix


@pytest.mark.parametrize(
    ("kind", "service", "told"),
    [
        ("IPv6", {"ipFamilies": ["IPv4"]}, True),
        ("IPv6", {"ipFamilies": ["IPv4", "IPv6"]}, False),
        ("IPv6", {"ipFamilies": ["IPv4"], "clusterIP": "None"}, False),
        ("IPv6", {}, False),
        ("IPv4", {"ipFamilies": ["IPv4"]}, False),
    ],
    ids=["of the other one", "dual-stack", "headless", "not known", "the same"],
)
def test_endpoints_of_a_family_that_the_service_does_not_have(kind: str, service: dict[str, Any], told: bool):
    world = healthy()
    world.members["member2"].add(w.SERVICES, [obj(NAME, NAMESPACE, spec=service)])
    sent = copy(COPY, "member1", "2001:db8::5" if kind == "IPv6" else "10.1.0.5")
    world.members["member2"].add(w.SLICES, [sent | {"addressType": kind}])
    assert [each.code for each in found(world, "MCS084")] == ["MCS084"] * told
    if told:
        assert one(world, "MCS084").fix.endswith(
            """patch service web --type=merge -p '{"spec": {"ipFamilyPolicy": "PreferDualStack"}}'"""
        )


def test_nodes_that_are_not_ready():
    world = healthy()
    member = world.members["member2"]
    member.add(w.NODES, [node("other", "10.2.1.0/24", ready="False:kubelet stopped")])
    assert one(world, "MCS085").severity is Severity.WARNING
    member.add(w.NODES, [node("member2-node", "10.2.0.0/24", ready="Unknown")])
    assert one(world, "MCS085").severity is Severity.ERROR
    young = node("other", "10.2.1.0/24", ready="False:kubelet stopped")
    young["metadata"]["creationTimestamp"] = YOUNG
    member.add(w.NODES, [young, node("member2-node", "10.2.0.0/24")])
    assert found(world, "MCS085") == []


OK = ""
A, B = "10.1.0.5:80", "10.1.0.6:80"


@pytest.mark.parametrize(
    ("dns", "service", "endpoints", "code"),
    [
        (OK, OK, {A: OK, B: OK}, ""),
        ("no such name", OK, {A: OK}, "MCS090"),
        ("timeout", OK, {A: OK}, "MCS090"),
        ("timeout", "timeout", {A: OK}, "MCS091"),
        (OK, "timeout", {A: OK, B: OK}, "MCS091"),
        (OK, "timeout", {A: "timeout", B: "timeout"}, "MCS092"),
        (OK, "timeout", {A: "timeout", B: "refused"}, "MCS092"),
        (OK, "refused", {A: "refused", B: "refused"}, "MCS093"),
        (OK, "refused", {A: "refused", B: OK}, "MCS094"),
        (OK, OK, {A: "timeout", B: OK}, "MCS094"),
    ],
)
def test_what_a_probe_shows_has_one_code(dns: str, service: str, endpoints: dict[str, str], code: str):
    world = healthy()
    results = [("dns", "web.shop.svc", dns), ("service", "10.2.255.20:80", service)]
    results += [("endpoint", target, error) for target, error in endpoints.items()]
    world.members["member2"].probes = [
        ProbeResult(step=step, target=target, ok=not error, error=error) for step, target, error in results
    ]
    assert [each.code for each in chain(world).findings if each.severity is Severity.ERROR] == [code] * bool(code)


def test_endpoints_that_fail_are_told_with_their_provider():
    world = healthy()
    world.members["member2"].probes = [
        ProbeResult(step="endpoint", target=A, ok=False, error="timeout"),
        ProbeResult(step="endpoint", target=B, ok=True),
    ]
    assert "of member1:" in one(world, "MCS094").evidence


def test_coredns_is_restarted_if_names_are_not_resolved():
    world = healthy()
    world.members["member2"].probes = [ProbeResult(step="dns", target="web.shop.svc", ok=False, error="timeout")]
    assert "describe pods -l k8s-app=kube-dns" in one(world, "MCS090").fix
    world.members["member2"].add(w.DEPLOYMENTS, [obj("dns", "kube-system")])
    assert one(world, "MCS090").fix.endswith("-n kube-system rollout restart deployment dns")


def test_a_probe_that_could_not_be_made_is_unknown():
    world = healthy()
    world.members["member2"].probe_error = "pods is forbidden"
    finding = one(world, "MCS090")
    assert finding.severity is Severity.UNKNOWN
    assert "forbidden" in finding.evidence


def test_what_cannot_be_read_of_kube_system_hides_nothing_of_the_service():
    world = healthy()
    world.members["member2"].unseen(w.SLICES, "403 Forbidden", "kube-system")
    assert [(each.code, each.severity) for each in chain(world).findings] == [("MCS081", Severity.UNKNOWN)]


def test_what_was_not_read_is_told_with_its_namespace():
    snapshot = w.Snapshot(name="member2")
    snapshot.unseen(w.SLICES, "403", "kube-system")
    snapshot.unseen(w.NODES, "timed out")
    snapshot.unseen(None, "gone")
    assert dict(snapshot.unread()) == {"endpointslices.discovery.k8s.io kube-system": "403", "nodes": "timed out"}
