"""Rules about delivery: what is collected, sent and applied, and what members refuse."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Severity
from mcs_controller.diagnosis.rules.leases import restart
from mcs_controller.domain.naming import work_name
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
    dispatched,
    found,
    healthy,
    obj,
    one,
    remove,
    service,
    slice_,
    work,
)

COLLECTED = work_name("EndpointSlice", NAMESPACE, SLICE)


def refused(message: str, kind: str = "Service") -> w.World:
    """member2 refuses the Service, or the copy, with these words."""
    world = healthy()
    status = conditions(Applied=f"False:{message}")
    if kind == "Service":
        world.host.add(w.WORKS, [work("member2", "Service", service(), status=status)])
    else:
        world.host.add(w.WORKS, [dispatched("member2", "member1", copy(COPY, "member1", "10.1.0.5"), status=status)])
    return world


def test_a_healthy_world_has_no_findings():
    assert [each for each in chain(healthy()).findings if each.severity > Severity.INFO] == []


@pytest.mark.parametrize(("code", "cluster"), [("MCS060", "karmada-es-member1"), ("MCS062", "karmada-es-member2")])
def test_a_slice_that_is_not_collected_or_not_sent(code: str, cluster: str):
    world = healthy()
    remove(world.host, w.WORKS, COLLECTED, cluster)
    finding = one(world, code)
    assert SLICE in finding.evidence
    assert finding.severity is Severity.ERROR
    assert chain(world).verdict == finding


def test_a_young_slice_is_on_its_way():
    world = healthy()
    young = slice_("web-young", "10.1.0.6")
    young["metadata"]["creationTimestamp"] = YOUNG
    world.members["member1"].add(w.SLICES, [young])
    assert one(world, "MCS060").severity is Severity.IN_PROGRESS
    assert chain(world).verdict is None


@pytest.mark.parametrize("time", [OLD, YOUNG])
@pytest.mark.parametrize("hop", ["collected", "sent"])
def test_a_work_that_is_behind(hop: str, time: str):
    world = healthy()
    now = slice_(SLICE, "10.1.0.5", "10.1.0.6")
    now["metadata"]["managedFields"] = [{"time": time}, {"time": YOUNG, "subresource": "status"}]
    world.members["member1"].add(w.SLICES, [now])
    if hop == "sent":
        world.host.add(w.WORKS, [work("member1", "EndpointSlice", now, spec={"suspendDispatching": True})])
    finding = one(world, "MCS061")
    assert hop in finding.problem
    assert "10.1.0.6" in finding.evidence
    assert finding.severity is (Severity.IN_PROGRESS if time == YOUNG else Severity.ERROR)


@pytest.mark.parametrize("hop", ["collected", "sent"])
def test_a_work_whose_ports_are_behind(hop: str):
    world = healthy()
    now = slice_(SLICE, "10.1.0.5") | {"ports": [{"name": "http", "port": 9090, "protocol": "TCP"}]}
    world.members["member1"].add(w.SLICES, [now])
    if hop == "sent":
        world.host.add(w.WORKS, [work("member1", "EndpointSlice", now, spec={"suspendDispatching": True})])
    finding = one(world, "MCS061")
    assert finding.problem.startswith(f"the ports {hop} of")
    assert "in member1: http TCP 9090; in the Work: http TCP" in finding.evidence


def test_a_service_that_lists_its_ports_sends_some_of_them():
    world = healthy()
    assert world.mcs is not None
    world.mcs["spec"]["ports"] = [{"name": "http", "port": 80}]
    now = slice_(SLICE, "10.1.0.5")
    now["ports"] = [*now["ports"], {"name": "admin", "port": 9090, "protocol": "TCP"}]
    world.members["member1"].add(w.SLICES, [now])
    world.host.add(w.WORKS, [work("member1", "EndpointSlice", now, spec={"suspendDispatching": True})])
    assert found(world, "MCS061") == []


def test_an_address_that_never_leaves_its_cluster_is_not_behind():
    world = healthy()
    own = slice_(SLICE, "10.1.0.5", "127.0.0.1")
    world.members["member1"].add(w.SLICES, [own])
    world.host.add(w.WORKS, [work("member1", "EndpointSlice", own, spec={"suspendDispatching": True})])
    assert [code for code in ("MCS061", "MCS072") if found(world, code)] == []


@pytest.mark.parametrize(
    ("code", "words", "named"),
    [
        ("MCS065", "Service shop/web: somebody else writes it: argocd; it is written less and less often", "argocd"),
        ("MCS066", '403 Forbidden: admission webhook "deny.example.com" denied the request: no', "deny.example.com"),
        ("MCS066", "services \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request", "p"),
        ("MCS067", 'services "web" is forbidden: exceeded quota: few, requested: services=1, used: services=2', "few"),
        ("MCS073", "Service web exists in the cluster and is not managed by Karmada; delete it there", "web"),
        ("MCS063", "500 Internal Server Error: etcdserver: no space", "web"),
    ],
)
def test_what_a_member_refuses_has_one_code_by_its_words(code: str, words: str, named: str):
    world = refused(words)
    assert named in one(world, code).problem
    assert [each.code for each in chain(world).findings if each.severity is Severity.ERROR] == [code]


def test_the_fix_of_a_quota_raises_it_to_what_is_needed():
    words = "exceeded quota: few, requested: count/services=1,services=1, used: services=2, limited: services=2"
    assert """-p '{"spec": {"hard": {"services": "3"}}}'""" in one(refused(words), "MCS067").fix
    assert "describe" in one(refused("maximum cpu usage per Pod is 1"), "MCS067").fix


def test_names_in_the_words_of_members_are_quoted():
    fix = one(refused("exceeded quota: $(reboot), requested: services=1, used: services=2"), "MCS067").fix
    assert "$(reboot)" in shlex.split(fix)


def test_a_webhook_that_does_not_answer_can_be_bypassed():
    world = refused('Internal error occurred: failed calling webhook "b.example.com": connection refused')
    hooks = obj("hooks", webhooks=[{"name": "a.example.com"}, {"name": "b.example.com"}])
    world.members["member2"].add(w.WEBHOOKS, [hooks])
    assert "/webhooks/1/failurePolicy" in one(world, "MCS066").fix


def test_a_work_that_nobody_applies():
    world = healthy()
    world.host.add(w.WORKS, [dispatched("member2", "member1", copy(COPY, "member1", "10.1.0.5"), status={})])
    assert one(world, "MCS063").severity is Severity.ERROR
    assert one(world, "MCS063").object.name == COPY


@pytest.mark.parametrize(
    ("finalizer", "symptom"), [("example.com/hold", False), ("karmada.io/execution-controller", True)]
)
def test_a_work_that_is_held_by_a_finalizer(finalizer: str, symptom: bool):
    world = healthy()
    held = dispatched("member2", "member1", copy(COPY, "member1", "10.1.0.5"))
    held["metadata"] |= {"deletionTimestamp": OLD, "finalizers": ["karmada.io/execution-controller", finalizer]}
    world.host.add(w.WORKS, [held])
    finding = one(world, "MCS064")
    assert finding.symptom is symptom
    assert finding.clusters == {"member2"}
    assert ('"/metadata/finalizers/1"' in finding.fix) is not symptom


@pytest.mark.parametrize(("time", "expected"), [(OLD, Severity.ERROR), (YOUNG, Severity.IN_PROGRESS)])
def test_a_condition_that_nobody_explains(time: str, expected: Severity):
    world = healthy()
    mcs: dict[str, Any] = dict(world.mcs or {})
    mcs["status"] = conditions(ServiceApplied="True", EndpointSliceDispatched="False:something odd")
    mcs["status"]["conditions"][1]["lastTransitionTime"] = time
    world.host.add(w.MULTICLUSTERSERVICES, [mcs])
    finding = one(world, "MCS068")
    assert (finding.severity, finding.evidence) == (expected, "something odd")
    remove(world.members["member2"], w.SERVICES, NAME)
    assert "MCS068" not in [each.code for each in chain(world).findings]


def test_a_service_that_no_controller_has_seen():
    world = healthy()
    world.host.add(w.MULTICLUSTERSERVICES, [dict(world.mcs or {}) | {"status": {}}])
    assert "no controller" in one(world, "MCS068").problem


MANAGER = obj("mcs-controller-manager", "karmada-system")
KARMADAS = obj("karmada-controller-manager", "karmada-system")
AGENT = obj("mcs-controller-agent", "karmada-es-member1")
KARMADAS_AGENT = obj("member1", "karmada-cluster")


@pytest.mark.parametrize(
    ("mode", "leases", "expected"),
    [
        ("Push", [], ("karmada", "mcs-controller-manager", "mcs-controller-manager")),
        ("Push", [MANAGER], ("karmada", "mcs-controller-manager", "mcs-controller-manager")),
        ("Push", [MANAGER, KARMADAS], ("karmada", "mcs-controller-manager", "karmada-controller-manager")),
        ("Push", [KARMADAS], ("karmada", "karmada-controller-manager", "karmada-controller-manager")),
        ("Pull", [MANAGER, AGENT], ("member1", "mcs-controller-agent", "mcs-controller-agent")),
        ("Pull", [MANAGER, AGENT, KARMADAS_AGENT], ("member1", "mcs-controller-agent", "karmada-agent")),
    ],
)
def test_who_is_restarted_is_who_does_that(mode: str, leases: list[w.Object], expected: tuple[str, str, str]):
    context, collector, executor = expected
    world = healthy()
    remove(world.host, w.LEASES, "mcs-controller-manager", "karmada-system")
    world.host.add(w.LEASES, leases)
    world.host.add(w.CLUSTERS, [obj("member1", spec={"syncMode": mode})])
    command = f"kubectl --context {context} -n karmada-system rollout restart deployment"
    assert restart(world, "member1") == f"{command} {collector}"
    assert restart(world, "member1", executes=True) == f"{command} {executor}"


def test_leases_that_are_not_seen_are_no_reason_to_name_no_fix():
    world = healthy()
    world.host.unseen(w.LEASES, "403 Forbidden")
    world.host.unseen(w.CLUSTERS, "403 Forbidden")
    assert restart(world, "member1").endswith("deployment mcs-controller-manager")
