"""What a Cluster's status should say."""

from typing import Any

import msgspec
import pytest

from informers.discovery import Discovery, parse_root
from informers.meta import Condition
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.cluster_status import (
    Collected,
    ProbeHistory,
    Thresholds,
    apply_thresholds,
    collection_failed,
    enablements_condition,
    from_probe,
    next_probe,
    not_reachable,
    plan_status,
)
from tests.support.clusters import aggregated, cluster, cluster_json, golden

NOW = "2026-11-22T13:21:56Z"
READY = from_probe("/readyz", 200)
DOWN = not_reachable("connection refused")
LIMITS = Thresholds(success=30, failure=30)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, "ClusterReady"),
        (201, "ClusterNotReady"),
        (206, "ClusterNotReady"),
        (207, "ClusterNotReachable"),
        (302, "ClusterNotReachable"),
        (401, "CredentialsRefused"),
        (403, "CredentialsRefused"),
        (404, "ClusterNotReachable"),
        (500, "ClusterNotReachable"),
    ],
)
def test_answer_of_the_health_endpoint(status: int, reason: str) -> None:
    condition = from_probe("/readyz", status)
    assert (condition.reason, condition.status) == (reason, "True" if status == 200 else "False")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "cluster refused the token in Secret a/b (/readyz answered 401)"),
        (403, "cluster does not let anybody read /readyz with the token in Secret a/b (/readyz answered 403)"),
        (503, "cluster is not reachable: /readyz answered 503"),
    ],
)
def test_server_that_refuses_is_told_from_one_that_is_away(status: int, message: str) -> None:
    assert from_probe("/readyz", status, "the token in Secret a/b").message == message


def test_foreign_text_in_a_condition_is_capped() -> None:
    assert len(not_reachable("x" * 10_000).message) == 512
    assert len(collection_failed("x" * 10_000).message) == 512


# --- thresholds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("observed", "published"), [(DOWN, READY), (READY, DOWN)], ids=["goes-down", "comes-back"])
@pytest.mark.parametrize(
    ("seconds", "is_new"),
    [
        pytest.param(0.0, False, id="case-88-just-flipped"),
        pytest.param(29.9, False, id="case-88-not-over"),
        pytest.param(30.0, True, id="case-88-over"),
    ],
)
def test_flip_is_published_when_it_lasted(
    observed: Condition, published: Condition, seconds: float, is_new: bool
) -> None:
    _, streak = apply_thresholds(published, published, None, 0.0, LIMITS)
    first, streak = apply_thresholds(observed, published, streak, 100.0, LIMITS)
    assert first == published
    later, streak = apply_thresholds(observed, published, streak, 100.0 + seconds, LIMITS)
    assert later == (observed if is_new else published)
    assert streak == ProbeHistory(observed.status, 100.0)


def test_relapse_begins_the_wait_anew() -> None:
    streak = ProbeHistory("True", 0.0)
    _, streak = apply_thresholds(DOWN, READY, streak, 100.0, LIMITS)
    _, streak = apply_thresholds(READY, READY, streak, 120.0, LIMITS)
    condition, _ = apply_thresholds(DOWN, READY, streak, 131.0, LIMITS)
    assert condition == READY


@pytest.mark.parametrize(
    ("limits", "observed", "published"),
    [(Thresholds(success=0, failure=30), READY, DOWN), (Thresholds(success=30, failure=0), DOWN, READY)],
    ids=["success", "failure"],
)
def test_each_direction_has_its_own_threshold(limits: Thresholds, observed: Condition, published: Condition) -> None:
    condition, streak = apply_thresholds(observed, published, ProbeHistory(published.status, 0.0), 1.0, limits)
    assert condition == observed
    back, _ = apply_thresholds(published, observed, streak, 2.0, limits)
    assert back == observed


def test_a_success_right_after_a_start_counts_at_once() -> None:
    assert apply_thresholds(READY, DOWN, None, 5.0, LIMITS) == (READY, ProbeHistory("True", 5.0))


def test_opening_29_a_failure_right_after_a_start_waits_as_any_other() -> None:
    condition, streak = apply_thresholds(DOWN, READY, None, 5.0, LIMITS)
    assert (condition, streak) == (READY, ProbeHistory("False", 5.0))
    assert apply_thresholds(DOWN, READY, streak, 34.9, LIMITS)[0] == READY
    assert apply_thresholds(DOWN, READY, streak, 35.0, LIMITS)[0] == DOWN


def test_without_a_published_condition_there_is_nothing_to_protect() -> None:
    assert apply_thresholds(DOWN, None, ProbeHistory("True", 0.0), 5.0, LIMITS)[0] == DOWN


def test_other_reason_for_the_same_status_does_not_wait() -> None:
    not_ready = from_probe("/readyz", 201)
    assert apply_thresholds(not_ready, DOWN, ProbeHistory("False", 0.0), 1.0, LIMITS)[0] == not_ready


# --- the status ----------------------------------------------------------------------------------------------------


def from_golden(content: dict[str, Any]) -> Collected:
    apis = {
        one["groupVersion"]: {resource["name"]: resource["kind"] for resource in reversed(one["resources"])}
        for one in reversed(content["status"]["apiEnablements"])
    }
    found = parse_root(msgspec.json.encode(aggregated(apis)))
    assert isinstance(found, Discovery)
    return Collected(content["status"]["kubernetesVersion"], found)


@pytest.mark.parametrize("content", golden("host-clusters.json"), ids=lambda content: content["metadata"]["name"])
def test_status_of_a_new_cluster_is_karmadas(content: dict[str, Any]) -> None:
    fresh = CLUSTERS.decode(msgspec.json.encode(content | {"status": {}}))
    now = content["status"]["conditions"][0]["lastTransitionTime"]
    patch = plan_status(fresh, READY, from_golden(content), now)
    assert patch is not None
    wanted = {name: content["status"][name] for name in ("apiEnablements", "conditions", "kubernetesVersion")}
    sent = msgspec.json.decode(msgspec.json.encode(patch))
    assert sent == {"metadata": {"resourceVersion": content["metadata"]["resourceVersion"]}, "status": wanted}


@pytest.mark.parametrize("content", golden("host-clusters.json"), ids=lambda content: content["metadata"]["name"])
def test_status_that_is_right_is_not_written(content: dict[str, Any]) -> None:
    known = CLUSTERS.decode(msgspec.json.encode(content))
    assert plan_status(known, READY, from_golden(content), "2027-01-01T00:00:00Z") is None


def test_cluster_that_is_not_ready_keeps_what_was_collected() -> None:
    patch = plan_status(cluster(), DOWN, None, NOW)
    assert patch is not None
    assert list(patch["status"]) == ["conditions"]
    ready, complete = patch["status"]["conditions"]
    assert (ready["status"], ready["lastTransitionTime"]) == ("False", NOW)
    assert complete["status"] == "True"


def test_conditions_of_others_are_kept() -> None:
    content = cluster_json()
    foreign = {
        "type": "Foreign",
        "status": "True",
        "reason": "R",
        "message": "",
        "observedGeneration": 4,
        "lastTransitionTime": NOW,
    }
    content["status"]["conditions"].insert(0, foreign)
    patch = plan_status(CLUSTERS.decode(msgspec.json.encode(content)), DOWN, None, NOW)
    assert patch is not None
    assert patch["status"]["conditions"][0] == foreign


@pytest.mark.parametrize(
    ("discovery", "status", "reason"),
    [
        (Discovery({"v1": {}}), "True", "Complete"),
        (Discovery({"v1": {}}, frozenset({"b/v1", "a/v1"})), "False", "Partial"),
        (Discovery({}), "False", "Empty"),
        (Discovery({}, frozenset({"/api"})), "False", "Empty"),
    ],
    ids=["complete", "partial", "empty", "nothing-answered"],
)
def test_condition_of_the_api_list(discovery: Discovery, status: str, reason: str) -> None:
    condition = enablements_condition(discovery)
    assert (condition.status, condition.reason) == (status, reason)
    for failed in discovery.failed if discovery.apis else ():
        assert failed in condition.message


def test_list_of_an_earlier_time_survives_a_failed_discovery() -> None:
    failed = Collected(None, Discovery({}, frozenset({"/api", "/apis"})))
    patch = plan_status(cluster(), READY, failed, NOW)
    assert patch is not None
    assert list(patch["status"]) == ["conditions"]
    complete = next(one for one in patch["status"]["conditions"] if one["type"] == "CompleteAPIEnablements")
    assert (complete["status"], complete["reason"]) == ("False", "Partial")


def test_server_that_serves_nothing_has_its_list_cleared() -> None:
    patch = plan_status(cluster(), READY, Collected("v1", Discovery({})), NOW)
    assert patch is not None
    assert patch["status"]["apiEnablements"] == []


def test_version_that_could_not_be_read_is_left_as_it_was() -> None:
    content = cluster_json()
    content["status"]["kubernetesVersion"] = "v1.36.0"
    known = CLUSTERS.decode(msgspec.json.encode(content))
    same = Discovery({"v1": {"services": "Service"}})
    patch = plan_status(known, READY, Collected(None, same), NOW)
    assert patch is not None
    assert "kubernetesVersion" not in patch["status"]
    patch = plan_status(known, READY, Collected("v1.36.1", same), NOW)
    assert patch is not None
    assert patch["status"]["kubernetesVersion"] == "v1.36.1"


# --- when to look again ----------------------------------------------------------------------------------------------


def _ready(status: str) -> Condition:
    return Condition(type=wk.READY, status=status, reason="r", message="m")


@pytest.mark.parametrize(
    ("observed", "published", "since", "pause"),
    [
        pytest.param("True", "True", 0.0, 10.0, id="healthy"),
        pytest.param("False", "False", 0.0, 2.0, id="away"),
        pytest.param("True", "False", 100.0, 10.0, id="back, long before it may be said"),
        pytest.param("True", "False", 76.0, 6.0, id="back, and soon to be said"),
        pytest.param("False", "True", 55.0, 5.0, id="away, and soon to be said"),
        pytest.param("False", "True", 10.0, 0.0, id="overdue"),
    ],
)
def test_the_next_look_is_when_something_may_be_said(observed: str, published: str, since: float, pause: float) -> None:
    thresholds = Thresholds(success=30.0, failure=50.0)
    streak = ProbeHistory(observed, since)
    assert next_probe(_ready(observed), _ready(published), streak, 100.0, thresholds, 10.0) == pause


def test_a_member_is_looked_at_at_most_as_often_as_was_asked_for() -> None:
    seen = _ready("False")
    assert next_probe(seen, seen, ProbeHistory("False", 0.0), 9.0, Thresholds(), 0.5) == 0.5
