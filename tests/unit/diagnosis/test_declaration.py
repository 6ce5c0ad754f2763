"""Rules about what users declared: each finds what it is about, and nothing in a healthy world."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Link, Severity
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.domain import well_known as wk
from tests.unit.diagnosis.worlds import NAME, ago, binding, found, mcs, named, service, the, thing, world

DECLARATION = [rule for rule in RULES.values() if rule.link is Link.DECLARATION]


def patch_of(fix: str) -> Any:
    """The patch in a command; its quoting is undone as a shell does."""
    words = shlex.split(fix)
    return json.loads(words[words.index("-p") + 1])


def policy(*selectors: dict[str, Any], **content: Any) -> dict[str, Any]:
    spec = {"resourceSelectors": list(selectors), "placement": {"replicaScheduling": {}}}
    return thing("all", **{"spec": spec, **content})


def deployment(**content: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": NAME}}}
    return thing(spec={"replicas": 1, "template": template}, **content)


WEB_DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
WEB_SERVICE = {"apiVersion": "v1", "kind": "Service", "name": NAME}


def refused(seconds_ago: float) -> dict[str, Any]:
    """The event about the policy."""
    return thing(
        "all.1",
        reason="PolicyRefused",
        message="The policy is refused, and nothing is done for it: spec.placement.replicaScheduling other than "
        "Duplicated is not supported; spec.resourceSelectors[0].odd is not supported",
        lastTimestamp=ago(seconds_ago),
        involvedObject={"uid": "uid-all"},
    )


@pytest.mark.parametrize(
    "observed",
    [
        world(),
        world(host={w.MULTICLUSTERSERVICES: [mcs()]}),
        world(host={w.MULTICLUSTERSERVICES: [mcs(["member1", "member2"], ["member1", "member2"])]}),
        world(host={w.MULTICLUSTERSERVICES: [mcs(ports=[{"port": 80}, {"name": "http", "port": 1}])]}),
        world(host={w.POLICIES: [policy(WEB_DEPLOYMENT)], w.DEPLOYMENTS: [deployment()]}),
        world(from_cluster="member2"),
    ],
)
def test_nothing_is_found_in_a_healthy_world(observed: w.World):
    diagnosis = diagnose(observed, DECLARATION)
    assert not diagnosis.findings
    assert diagnosis.checked == {rule.code for rule in DECLARATION}


@pytest.mark.parametrize("hostile", [None, 7, "text", [], ["text", None, 3], {}, {"a": {"b": 1}}])
def test_fields_of_any_type_end_no_rule(hostile: Any):
    """Remote objects are whatever a server sends."""
    objects = [thing(spec=hostile, status=hostile), {"metadata": hostile}]
    odd = {**thing(), "metadata": {**thing()["metadata"], "labels": hostile, "finalizers": hostile}, "spec": hostile}
    host = {
        kind: [*objects, odd]
        for kind in (w.MULTICLUSTERSERVICES, w.SERVICES, w.POLICIES, w.DEPLOYMENTS, w.EVENTS, w.BINDINGS)
    }
    diagnose(world(host=host), DECLARATION)
    host = {w.BINDINGS: [thing(f"{NAME}-service", spec={"suspension": hostile, "clusters": hostile})]}
    diagnose(world(host={**host, w.MULTICLUSTERSERVICES: [mcs(ports=hostile)]}), DECLARATION)


def test_mcs030_names_the_one_that_was_meant():
    other = thing("webb", spec={})
    assert "did you mean webb?" in the("MCS030", world(host={w.MULTICLUSTERSERVICES: [other]})).problem


def test_mcs031_makes_the_service_like_the_one_of_a_member():
    finding = the("MCS031", world(host={w.SERVICES: []}))
    assert "it is in cluster member1, cluster member2" in finding.problem
    assert json.loads(shlex.split(finding.fix)[1])["spec"]["selector"] == {"app": NAME}


def test_mcs032_makes_it_anew_and_keeps_its_spec():
    finding = the("MCS032", world(host={w.MULTICLUSTERSERVICES: [mcs(["member1"], types=["LoadBalancer"])]}))
    manifest = json.loads(shlex.split(finding.fix)[1])
    assert manifest["spec"] == {"types": ["CrossCluster"], "providerClusters": [{"name": "member1"}]}
    assert found("MCS032", world(host={w.MULTICLUSTERSERVICES: [mcs(types=[])]}))


def test_mcs033_corrects_what_it_can_guess():
    finding = the("MCS033", world(host={w.MULTICLUSTERSERVICES: [mcs(["member1"], ["membr2", "member1"])]}))
    assert patch_of(finding.fix) == {"spec": {"consumerClusters": [{"name": "member2"}, {"name": "member1"}]}}
    unknown = the("MCS033", world(host={w.MULTICLUSTERSERVICES: [mcs(["$(reboot)"])]}))
    assert unknown.fix == "mcsctl join '$(reboot)' --cluster-context '$(reboot)'"


def test_mcs034_says_that_nothing_is_sent():
    finding = the("MCS034", world(host={w.MULTICLUSTERSERVICES: [mcs(["member1"], ["member1"])]}))
    assert finding.severity is Severity.INFO
    assert patch_of(finding.fix) == {"spec": {"consumerClusters": [{"name": "member1"}, {"name": "member2"}]}}
    assert the("MCS034", world(["member1"], host={w.MULTICLUSTERSERVICES: [mcs()]})).fix == ""


def test_mcs034_says_that_the_cluster_is_no_consumer():
    finding = the("MCS034", world(from_cluster="member1"))
    assert finding.severity is Severity.ERROR
    assert patch_of(finding.fix) == {"spec": {"consumerClusters": [{"name": "member1"}, {"name": "member2"}]}}
    assert the("MCS034", world(from_cluster="membr2")).fix == "mcsctl doctor -n shop web --from member2"


@pytest.mark.parametrize(
    ("listed", "corrected"),
    [
        ([{"port": 8080}], [{"name": "http", "port": 80}]),
        ([{"name": "htp", "port": 8080}], [{"name": "http", "port": 80}]),
        ([{"port": 80}, {"port": 8080}], [{"port": 80}, {"name": "http", "port": 80}]),
    ],
)
def test_mcs035_lists_a_port_of_the_service(listed: list[Any], corrected: list[Any]):
    finding = the("MCS035", world(host={w.MULTICLUSTERSERVICES: [mcs(ports=listed)]}))
    assert patch_of(finding.fix) == {"spec": {"ports": corrected}}
    assert "http (80)" in finding.evidence


def test_mcs035_lists_none_if_none_is_meant():
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    listed = mcs(ports=[{"port": 8080}])
    finding = the("MCS035", world(host={w.SERVICES: [service(ports=ports)], w.MULTICLUSTERSERVICES: [listed]}))
    assert patch_of(finding.fix) == {"spec": {"ports": None}}


def test_mcs036_an_alias_has_no_endpoints():
    finding = the("MCS036", world(host={w.SERVICES: [service(type="ExternalName", externalName="example.com")]}))
    assert patch_of(finding.fix) == {"spec": {"type": "ClusterIP", "externalName": None}}


def test_mcs037_a_service_that_every_cluster_has():
    own = thing("kubernetes", metadata={"namespace": "default"}, spec={"types": ["CrossCluster"]})
    observed = world(host={w.MULTICLUSTERSERVICES: [own]})
    finding = the("MCS037", w.World(now=observed.now, host=observed.host, service=("default", "kubernetes")))
    assert finding.fix.endswith("delete multiclusterservices.networking.karmada.io kubernetes")


def test_mcs038_takes_the_service_out_of_the_policy():
    finding = the("MCS038", world(host={w.POLICIES: [policy(WEB_DEPLOYMENT, WEB_SERVICE)]}))
    assert finding.severity is Severity.WARNING
    assert patch_of(finding.fix) == {"spec": {"resourceSelectors": [WEB_DEPLOYMENT]}}
    assert " delete " in the("MCS038", world(host={w.POLICIES: [policy(WEB_SERVICE)]})).fix
    all_of_them = {"apiVersion": "v1", "kind": "Service"}
    assert the("MCS038", world(host={w.POLICIES: [policy(all_of_them)]})).severity is Severity.INFO
    labelled = all_of_them | {"labelSelector": {"matchLabels": {"tier": "none"}}}
    assert not found("MCS038", world(host={w.POLICIES: [policy(labelled)]}))


def test_mcs039_takes_out_what_the_policy_is_refused_for():
    host = {w.POLICIES: [policy(WEB_DEPLOYMENT)], w.DEPLOYMENTS: [deployment()], w.EVENTS: [refused(60)]}
    finding = the("MCS039", world(host=host, members={"member1": {w.PODS: []}}))
    assert finding.severity is Severity.ERROR
    assert [one["path"] for one in patch_of(finding.fix)] == [
        "/spec/placement/replicaScheduling",
        "/spec/resourceSelectors/0/odd",
    ]
    assert the("MCS039", world(host=host)).severity is Severity.WARNING, "the Pods are there nevertheless"


def test_mcs039_not_of_a_policy_that_was_changed_since_or_selects_something_else():
    changed = policy(WEB_DEPLOYMENT, metadata={"managedFields": [{"time": ago(30)}]})
    host = {w.POLICIES: [changed], w.DEPLOYMENTS: [deployment()], w.EVENTS: [refused(60)]}
    assert not found("MCS039", world(host=host))
    assert found("MCS039", world(host=host | {w.EVENTS: [refused(30)]}))
    mended = changed | {"spec": {"resourceSelectors": [WEB_DEPLOYMENT]}}
    assert not found("MCS039", world(host=host | {w.EVENTS: [refused(30)], w.POLICIES: [mended]})), "in that second"
    odd = changed | {"spec": {"resourceSelectors": [WEB_DEPLOYMENT | {"odd": 1}]}}
    assert found("MCS039", world(host=host | {w.EVENTS: [refused(30)], w.POLICIES: [odd]}))
    assert not found("MCS039", world(host=host | {w.EVENTS: [refused(30)], w.DEPLOYMENTS: []}))
    assert not found("MCS039", world(host=host | {w.EVENTS: [refused(30)], w.POLICIES: [policy(WEB_SERVICE)]}))


def test_mcs040_local_endpoints_are_never_those_of_others():
    host = {w.SERVICES: [service(internalTrafficPolicy="Local")]}
    assert patch_of(the("MCS040", world(host=host)).fix) == {"spec": {"internalTrafficPolicy": "Cluster"}}
    assert not found("MCS040", world(host=host | {w.MULTICLUSTERSERVICES: [mcs(["member1"], ["member1"])]}))


def test_mcs041_takes_off_a_foreign_finalizer_and_waits_for_the_own_one():
    deleted = {"deletionTimestamp": ago(61), "finalizers": [wk.MCS_FINALIZER, "example.com/holds"]}
    finding = the("MCS041", world(host={w.MULTICLUSTERSERVICES: [mcs() | {"metadata": thing()["metadata"] | deleted}]}))
    assert finding.severity is Severity.ERROR
    at = {"path": "/metadata/finalizers/1"}
    assert patch_of(finding.fix) == [{"op": "test", "value": "example.com/holds"} | at, {"op": "remove"} | at]
    deleted = {"deletionTimestamp": ago(5), "finalizers": [wk.MCS_FINALIZER]}
    finding = the("MCS041", world(host={w.MULTICLUSTERSERVICES: [mcs() | {"metadata": thing()["metadata"] | deleted}]}))
    assert finding.severity is Severity.IN_PROGRESS
    assert " get works" in finding.fix


def test_mcs042_is_about_the_members_that_lack_the_namespace():
    kept_out = named("shop", metadata={"labels": {"namespace.karmada.io/skip-auto-propagation": "True"}})
    assert not found("MCS042", world(host={w.NAMESPACES: [kept_out]})), "every member has it all the same"
    observed = world(host={w.NAMESPACES: [kept_out]}, members={"member2": {w.NAMESPACES: []}})
    observed.members["member1"].unseen(None, "it does not answer")
    lacking = the("MCS042", observed)
    assert lacking.severity is Severity.ERROR
    assert lacking.clusters == {"member2"}
    observed.members["member2"].unseen(None, "it does not answer")
    assert the("MCS042", observed).severity is Severity.UNKNOWN


@pytest.mark.parametrize(
    "suspension", [{"dispatching": True}, {"dispatchingOnClusters": {"clusterNames": ["member2", "other"]}}]
)
def test_mcs043_takes_off_the_suspension_of_dispatching_alone(suspension: dict[str, Any]):
    held = binding(["member1", "member2"], suspension={"scheduling": True, **suspension})
    finding = the("MCS043", world(host={w.BINDINGS: [held]}))
    assert patch_of(finding.fix) == {"spec": {"suspension": dict.fromkeys(suspension)}}
    assert finding.clusters == ({"member1", "member2"} if "dispatching" in suspension else {"member2"})


def test_mcs044_an_annotation_that_is_no_duration():
    odd = mcs()
    odd["metadata"]["annotations"] = {"multiclusterservice.karmada.io/withdraw-not-ready-after": "5 minutes"}
    finding = the("MCS044", world(host={w.MULTICLUSTERSERVICES: [odd]}))
    assert "'5 minutes' is not a duration" in finding.problem


def test_mcs045_a_namespace_that_goes():
    text = "example.com/holds in 1 instances"
    remaining = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": text}
    going = named("shop", metadata={"deletionTimestamp": ago(61)}, status={"conditions": [remaining]})
    finding = the("MCS045", world(host={w.NAMESPACES: [going]}))
    assert (finding.severity, finding.evidence) == (Severity.ERROR, text)
    going = named("shop", metadata={"deletionTimestamp": ago(1)})
    assert the("MCS045", world(host={w.NAMESPACES: [going]})).severity is Severity.IN_PROGRESS


def test_mcs046_one_finding_for_each_cluster():
    unfit = binding([]) | {"status": {"conditions": [{"type": "Scheduled", "status": "False", "message": "no fit"}]}}
    findings = found("MCS046", world(host={w.BINDINGS: [unfit]}))
    assert [one.clusters for one in findings] == [{"member1"}, {"member2"}]
    assert "condition Scheduled: False no fit" in findings[0].evidence
    held = binding(["member1"], suspension={"scheduling": True}, requiredBy=[{"clusters": [{"name": "other"}]}])
    held["metadata"]["managedFields"] = [{"time": ago(1)}]
    assert the("MCS046", world(host={w.BINDINGS: [held]})).severity is Severity.ERROR
    del held["spec"]["suspension"]
    assert the("MCS046", world(host={w.BINDINGS: [held]})).severity is Severity.IN_PROGRESS
    assert "there is no ResourceBinding" in found("MCS046", world(host={w.BINDINGS: []}))[0].problem
