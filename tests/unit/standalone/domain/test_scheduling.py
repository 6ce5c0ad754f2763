"""Where a ResourceBinding goes."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcs_controller.api.cluster import Cluster
from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.resources import RESOURCEBINDINGS
from mcs_controller.standalone.domain.scheduling import (
    Schedule,
    is_news,
    is_schedulable,
    plan_schedule_status,
    schedule,
)
from tests.support.clusters import binding, binding_json, cluster, golden
from tests.support.object_store import merge_patch

NOW = "2026-11-22T13:22:24Z"
TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


def decide(one: ResourceBinding, *clusters: Cluster) -> Schedule:
    return schedule(one, {cluster.name: cluster for cluster in clusters}.get)


def decode(content: Any) -> ResourceBinding:
    return RESOURCEBINDINGS.decode(msgspec.json.encode(content))


# --- against the golden object -------------------------------------------------------------------------------------


def test_decision_and_status_are_karmadas() -> None:
    (wanted,) = golden("host-resourcebinding.json")
    unscheduled = copy.deepcopy(wanted)
    del unscheduled["metadata"]["annotations"]["policy.karmada.io/applied-placement"]
    del unscheduled["spec"]["clusters"]
    others = [one for one in wanted["status"]["conditions"] if one["type"] != "Scheduled"]
    unscheduled["status"] = {"aggregatedStatus": wanted["status"]["aggregatedStatus"], "conditions": others}
    before = decode(unscheduled)

    decision = decide(before, cluster("member1"), cluster("member2"))
    assert is_news(before, decision)
    placed = merge_patch(unscheduled, decision.patch)
    status = plan_schedule_status(decode(placed), decision, NOW)
    assert status is not None
    after = merge_patch(placed, msgspec.json.decode(msgspec.json.encode(status)))

    after["status"]["conditions"].sort(key=lambda one: one["type"] != "Scheduled")
    assert after == wanted


def test_golden_binding_is_left_alone() -> None:
    (content,) = golden("host-resourcebinding.json")
    known = decode(content)
    decision = decide(known, cluster("member1"), cluster("member2"))
    assert decision.patch is None
    assert plan_schedule_status(known, decision, "2027-01-01T00:00:00Z") is None
    assert not is_news(known, decision)


# --- whose binding it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"labels": {"propagationpolicy.karmada.io/permanent-id": "x"}}, True),
        ({"labels": {"clusterpropagationpolicy.karmada.io/permanent-id": "x"}}, True),
        ({"labels": {"binding.karmada.io/managed-by": ""}}, False),
        ({"labels": {}}, False),
        ({"schedulerName": "default-scheduler"}, True),
        ({"schedulerName": "mine"}, False),
        ({"suspension": {"scheduling": True}}, False),
        ({"suspension": {"scheduling": False, "dispatching": True}}, True),
    ],
    ids=str,
)
def test_binding_is_ours(fields: dict[str, Any], expected: bool) -> None:
    assert is_schedulable(binding("m1", **fields)) is expected


def test_binding_that_is_being_deleted_is_not() -> None:
    content = binding_json("m1")
    content["metadata"]["deletionTimestamp"] = NOW
    assert not is_schedulable(decode(content))


# --- filters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known", "why"),
    [
        ("unknown", None, "is not registered"),
        ("leaving", cluster("leaving", deleting=True), "is being removed"),
        ("without-api", cluster("without-api", apis={}), "is not known to serve v1 Service"),
        ("silent", cluster("silent", apis={}, complete=None), "is not known to serve v1 Service"),
        ("tainted", cluster("tainted", taints=[TAINT]), "has the taint k:NoSchedule"),
        ("evicting", cluster("evicting", taints=[TAINT | {"effect": "NoExecute"}]), "has the taint k:NoExecute"),
    ],
)
def test_new_cluster_that_does_not_fit(name: str, known: Cluster | None, why: str) -> None:
    clusters = [cluster("good"), *([known] if known else [])]
    assert decide(binding("good", name), *clusters).clusters == ("good",)
    alone = decide(binding(name), *clusters)
    assert (alone.condition.status, alone.condition.reason) == ("False", "NoClusterFit")
    assert alone.condition.message == f"0/1 clusters are available: {name} {why}"


def test_taint_that_only_prefers_does_not_matter() -> None:
    soft = cluster(taints=[TAINT | {"effect": "PreferNoSchedule"}])
    assert decide(binding("m1"), soft).clusters == ("m1",)


@pytest.mark.parametrize(
    "fields", [{"apis": {}}, {"apis": {}, "complete": None}, {"taints": [TAINT]}, {"ready": "False"}], ids=str
)
def test_cluster_that_was_chosen_before_is_kept(fields: dict[str, Any]) -> None:
    assert decide(binding("m1", clusters=("m1",)), cluster(**fields)).clusters == ("m1",)


def test_not_ready_cluster_without_a_taint_can_be_chosen() -> None:
    assert decide(binding("m1"), cluster(ready="False")).clusters == ("m1",)


@pytest.mark.parametrize("clusters", [(), ("m1",)], ids=["new", "chosen-before"])
def test_evicted_cluster_is_left(clusters: tuple[str, ...]) -> None:
    one = binding("m1", clusters=clusters, gracefulEvictionTasks=[{"fromCluster": "m1"}])
    assert decide(one, cluster()).clusters == ()


def test_cluster_that_is_not_named_any_more_is_left() -> None:
    decision = decide(binding("m2", clusters=("m1", "m2")), cluster("m1"), cluster("m2"))
    assert decision.clusters == ("m2",)


def test_leaving_cluster_is_dropped_even_if_it_was_the_last() -> None:
    decision = decide(binding("m1", clusters=("m1",)), cluster(deleting=True))
    assert decision.patch is not None
    assert decision.patch["spec"] == {"clusters": None}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
    ids=str,
)
def test_toleration(toleration: dict[str, str], tolerated: bool) -> None:
    placement = {"clusterAffinity": {"clusterNames": ["m1"]}, "clusterTolerations": [toleration]}
    assert decide(binding(placement=placement), cluster(taints=[TAINT])).succeeded is tolerated


@pytest.mark.parametrize(
    ("replicas", "succeeded"),
    [
        ({"replicaSchedulingType": "Duplicated"}, True),
        ({"replicaSchedulingType": "Divided"}, False),
        ({"replicaSchedulingType": "Duplicated", "weightPreference": {"staticWeightList": [1]}}, False),
    ],
    ids=["duplicated", "divided", "weighted"],
)
def test_only_the_same_replicas_everywhere_are_scheduled(replicas: dict[str, Any], succeeded: bool) -> None:
    placement = {"clusterAffinity": {"clusterNames": ["m1"]}, "replicaScheduling": replicas}
    decision = decide(binding(placement=placement), cluster())
    assert decision.succeeded is succeeded
    if not succeeded:
        assert "replicaScheduling" in decision.condition.message


# --- the result ----------------------------------------------------------------------------------------------------


def test_clusters_chosen_before_come_first_as_they_are_then_others_by_name() -> None:
    names = ("d", "c", "b", "a")
    decision = decide(binding(*names, clusters=("d", "c")), *(cluster(name) for name in names))
    assert decision.clusters == ("d", "c", "a", "b")
    assert decision.patch is not None
    assert decision.patch["spec"] == {"clusters": [{"name": name} for name in ("d", "c", "a", "b")]}


def test_placement_is_recorded_as_compact_json() -> None:
    decision = decide(binding("member1", "member2"), cluster("member1"))
    assert decision.patch is not None
    assert decision.patch["metadata"] == {
        "resourceVersion": "9",
        "annotations": {
            "policy.karmada.io/applied-placement": '{"clusterAffinity":{"clusterNames":["member1","member2"]}}'
        },
    }


@pytest.mark.parametrize(
    "text", ['{ "clusterAffinity": {"clusterNames": ["m1"]} }', '{"clusterAffinity":{"clusterNames":["m1"]}}']
)
def test_placement_that_was_recorded_in_another_spelling_is_left(text: str) -> None:
    one = binding("m1", clusters=("m1",), annotations={"policy.karmada.io/applied-placement": text})
    assert decide(one, cluster()).patch is None


def test_placement_that_was_recorded_as_garbage_is_replaced() -> None:
    one = binding("m1", clusters=("m1",), annotations={"policy.karmada.io/applied-placement": "{"})
    assert decide(one, cluster()).patch is not None


@pytest.mark.parametrize(
    ("placement", "field"),
    [
        ({"spreadConstraints": [{"spreadByField": "cluster"}]}, "spreadConstraints"),
        ({"clusterAffinity": {"clusterNames": ["m1"], "exclude": ["m2"]}}, "clusterAffinity.exclude"),
        ({"clusterAffinity": {"labelSelector": {"matchLabels": {"a": "b"}}}}, "clusterAffinity.labelSelector"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_placement_that_asks_for_more_is_refused_and_nothing_is_moved(placement: dict[str, Any], field: str) -> None:
    decision = decide(binding(placement=placement, clusters=("m1",)), cluster("m1"))
    assert (decision.patch, decision.clusters) == (None, ("m1",))
    assert (decision.condition.status, decision.condition.reason) == ("False", "Unschedulable")
    assert field in decision.condition.message


def test_binding_that_names_nobody_fits_nowhere() -> None:
    decision = decide(binding(), cluster())
    assert decision.condition.message == "0/0 clusters are available: the placement names none"
    assert decide(decode(binding_json(placement={})), cluster()).condition.reason == "NoClusterFit"


# --- the status ----------------------------------------------------------------------------------------------------


def test_failure_writes_nothing_but_the_condition() -> None:
    one = binding("m1", status={"schedulerObservedGeneration": 1}, generation=2)
    status = plan_schedule_status(one, decide(one), NOW)
    assert status is not None
    assert list(status["status"]) == ["conditions"]


def test_new_generation_with_the_same_result_is_acknowledged_without_news() -> None:
    first = binding_json("m1", clusters=("m1",))
    decision = decide(decode(first), cluster())
    status = plan_schedule_status(decode(first), decision, NOW)
    scheduled = merge_patch(first, status)
    scheduled["metadata"]["generation"] = 2
    status = plan_schedule_status(decode(scheduled), decision, NOW)
    assert status is not None
    assert status["status"] == {"schedulerObservedGeneration": 2, "lastScheduledTime": NOW}
    assert not is_news(decode(scheduled), decision)


NAMES = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4).map(tuple)


@example(("a", "b"), ("b",), {"a", "b"}, set())
@given(NAMES, NAMES, st.sets(st.sampled_from(["a", "b", "c", "d"])), st.sets(st.sampled_from(["a", "b"])))
def test_decision_that_was_carried_out_is_decided_the_same_way_again(
    named: tuple[str, ...], chosen: tuple[str, ...], present: set[str], tainted: set[str]
) -> None:
    clusters = [cluster(name, taints=[TAINT] if name in tainted else []) for name in sorted(present)]
    content = binding_json(*named, clusters=chosen)
    decision = decide(decode(content), *clusters)
    content = merge_patch(content, decision.patch or {})
    content = merge_patch(content, plan_schedule_status(decode(content), decision, NOW) or {})
    again = decide(decode(content), *clusters)
    assert again.patch is None
    assert plan_schedule_status(decode(content), again, "2027-01-01T00:00:00Z") is None
    assert not is_news(decode(content), again)
