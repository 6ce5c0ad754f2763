"""What is aggregated into a ResourceBinding, and into a load balancer's Service."""

from typing import Any, cast

import pytest

from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.binding_status import aggregate, plan_ingress, plan_status
from tests.support.builders import a_work, binding, condition, decode, service, work
from tests.support.clusters import golden
from tests.support.object_store import Json

NOW = "2026-01-01T00:00:00Z"


def _binding(*clusters: str, status: Json | None = None) -> ResourceBinding:
    content = binding(labels={wk.BINDING_PERMANENT_ID: "rb-id"})
    content["spec"]["clusters"] = [{"name": cluster} for cluster in clusters]
    return cast("ResourceBinding", decode(content | ({"status": status} if status else {})))


def _work(cluster: str, applied: str | None = "True", *, message: str = "", status: Any = None, **fields: Any) -> Work:
    content = work(cluster, "web", service(), **fields)
    if applied is not None:
        identifier = {"ordinal": 0, "version": "v1", "kind": "Service", "namespace": "default", "name": "web"}
        entry = {"identifier": identifier, "health": "Healthy"} | ({"status": status} if status else {})
        content["status"] = {
            "conditions": [condition("Applied", applied, message=message)],
            "manifestStatuses": [entry],
        }
    return a_work(content)


def _verdict(patch: Json | None) -> tuple[str, str]:
    assert patch is not None
    found = next(one for one in patch["status"]["conditions"] if one["type"] == "FullyApplied")
    return found["status"], found["reason"]


def test_the_golden_binding_needs_no_write() -> None:
    observed = cast("ResourceBinding", decode(golden("host-resourcebinding.json")[0]))
    works = [
        a_work(one)
        for cluster in ("member1", "member2")
        for one in golden(f"host-works-karmada-es-{cluster}.json")
        if one["metadata"]["name"] == "nginx-64b7849b5"
    ]
    assert aggregate(observed, reversed(works)) == observed.status.aggregated_status
    assert plan_status(observed, works, NOW) is None


def test_fully_applied_when_scheduled_and_applied_clusters_coincide() -> None:
    patch = plan_status(_binding("m1", "m2"), [_work("m2"), _work("m1")], NOW)
    assert _verdict(patch) == ("True", "FullyAppliedSuccess")
    assert patch is not None
    assert [one["clusterName"] for one in patch["status"]["aggregatedStatus"]] == ["m1", "m2"]
    assert patch["metadata"] == {"resourceVersion": "7"}


@pytest.mark.parametrize(
    "works",
    [
        pytest.param([_work("m1")], id="one-is-missing"),
        pytest.param([_work("m1"), _work("m2", None)], id="one-was-not-tried"),
        pytest.param([_work("m1"), _work("m2", "False")], id="one-failed"),
        pytest.param([_work("m1"), _work("m2"), _work("m3")], id="one-too-many"),
        pytest.param([_work("m1"), _work("m2"), _work("m3", "False")], id="one-too-many-that-failed"),
    ],
)
def test_not_fully_applied(works: list[Work]) -> None:
    assert _verdict(plan_status(_binding("m1", "m2"), works, NOW)) == ("False", "FullyAppliedFailed")


def test_not_fully_applied_without_any_cluster() -> None:
    before = {"conditions": [condition("FullyApplied", "True", "FullyAppliedSuccess")]}
    assert _verdict(plan_status(_binding(status=before), [], NOW)) == ("False", "FullyAppliedFailed")


def test_a_failure_says_why_and_nothing_of_its_health() -> None:
    [entry] = aggregate(_binding("m1"), [_work("m1", "False", message="no such namespace")])
    assert entry == {"clusterName": "m1", "appliedMessage": "no such namespace", "health": "Unknown"}


def test_a_reported_status_is_passed_on() -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    [entry] = aggregate(_binding("m1"), [_work("m1", status=status)])
    assert entry == {"clusterName": "m1", "applied": True, "health": "Healthy", "status": status}


def test_works_on_their_way_out_do_not_count() -> None:
    assert aggregate(_binding("m1"), [_work("m1", deleting=True, finalizers=["x"])]) == []


def test_nothing_is_said_before_there_is_anything_to_say() -> None:
    assert plan_status(_binding(), [], NOW) is None
    assert plan_status(_binding("m1"), [], NOW) is None


def test_the_schedulers_condition_stays() -> None:
    patch = plan_status(_binding("m1", status={"conditions": [condition("Scheduled")]}), [_work("m1")], NOW)
    assert patch is not None
    assert [one["type"] for one in patch["status"]["conditions"]] == ["Scheduled", "FullyApplied"]


def _balanced(cluster: str, *ingress: Json) -> Work:
    return _work(cluster, status={"loadBalancer": {"ingress": list(ingress)}})


def test_addresses_are_a_union_in_a_fixed_order() -> None:
    works = [
        _balanced("m2", {"ip": "1.1.1.1"}, {"hostname": "b"}, {"ip": "2.2.2.2", "ipMode": "VIP"}),
        _balanced("m1", {"hostname": "a"}, {"ip": "1.1.1.1"}, {"ip": "2.2.2.2", "ipMode": "Proxy"}),
    ]
    wanted = [
        {"hostname": "a"},
        {"hostname": "b"},
        {"ip": "1.1.1.1"},
        {"ip": "2.2.2.2", "ipMode": "Proxy"},
        {"ip": "2.2.2.2", "ipMode": "VIP"},
    ]
    assert plan_ingress(works, []) == wanted
    assert plan_ingress(reversed(works), wanted) is None


def test_addresses_go_with_their_clusters() -> None:
    assert plan_ingress([_work("m1")], [{"ip": "1.1.1.1"}]) == []
    assert plan_ingress([], []) is None
