"""What a MultiClusterService says about itself."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from informers.meta import Condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import Finding, Kind
from mcs_controller.domain.conditions import (
    ConditionReport,
    EventToRecord,
    StepResult,
    equal_ignoring_time,
    merge,
    news,
    service_applied,
    slices_dispatched,
)
from mcs_controller.domain.ports import Ports
from mcs_controller.domain.selection import SkippedCluster
from mcs_controller.domain.works import SliceRef
from tests.support.builders import an_mcs, condition

EARLIER, NOW = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def stamped(kind: str, status: str = "True", message: str = "m", at: str = EARLIER) -> Condition:
    return Condition(type=kind, status=status, reason="R", message=message, last_transition_time=at)


# --- which words ------------------------------------------------------------------------------------------------------

WEB_1, WEB_2, FAR = SliceRef("m1", "default", "web-1"), SliceRef("m1", "default", "web-2"), SliceRef("m2", "d", "far")
NOT_READY = SkippedCluster("m4", wk.EVENT_SYNC_SERVICE_FAILED, "the cluster is not ready")
THEIRS = "EndpointSlice are dispatched successfully"


def test_service_applied_speaks_as_karmada_does():
    assert service_applied(StepResult()).condition == Condition(
        type="ServiceApplied",
        status="True",
        reason="ServiceAppliedSucceed",
        message="Service is propagated to target clusters.",
    )


@pytest.mark.parametrize(
    "slices",
    [{WEB_1: StepResult(), WEB_2: StepResult()}, {WEB_1: StepResult()}, {}],
    ids=["two", "one", "no slice any more"],
)
def test_case_26_slices_dispatched_speaks_as_karmada_does_however_many_there_are(slices: Any):
    assert slices_dispatched(slices).condition == Condition(
        type="EndpointSliceDispatched", status="True", reason="EndpointSliceDispatchedSucceed", message=THEIRS
    )


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (StepResult(skips=(NOT_READY,)), f"{THEIRS}. Skipped: m4: the cluster is not ready."),
        (StepResult(problem="annotation x is ignored: no"), f"{THEIRS}. Note: annotation x is ignored: no."),
        (
            StepResult(skips=(NOT_READY,), problem="annotation x is ignored: no"),
            f"{THEIRS}. Skipped: m4: the cluster is not ready. Note: annotation x is ignored: no.",
        ),
    ],
    ids=["a consumer that has to wait", "something that was ignored", "both"],
)
def test_a_success_goes_on_with_what_was_skipped_or_ignored(outcome: StepResult, message: str):
    found = slices_dispatched({WEB_1: outcome}).condition
    assert (found.status, found.message) == ("True", message)


def test_every_failure_is_in_the_message():
    found = service_applied(StepResult(errors=("Work a: no", "Work b: no"))).condition
    assert (found.status, found.reason) == ("False", "ServiceAppliedFailed")
    assert found.message == "Work a: no; Work b: no"


def test_a_skipped_cluster_is_named_with_its_reason_and_is_no_failure():
    skips = (SkippedCluster("m1", "R", "is not ready"), SkippedCluster("m2", "R", "is not there"))
    found = service_applied(StepResult(skips=skips)).condition
    assert found.status == "True"
    assert found.message == ("Service is propagated to target clusters. Skipped: m1: is not ready; m2: is not there.")
    found = service_applied(StepResult(errors=("Work a: no",), skips=skips[:1])).condition
    assert found.message == "Work a: no. Skipped: m1: is not ready."


def test_opening_10_one_slices_success_never_hides_anothers_failure():
    outcomes = [StepResult(errors=("slice b: no",)), StepResult(), StepResult(errors=("slice a: no", "slice b: no"))]
    for order in (outcomes, outcomes[::-1]):
        found = slices_dispatched(dict(zip((WEB_1, WEB_2, FAR), order, strict=True))).condition
        assert (found.status, found.reason) == ("False", "EndpointSliceDispatchedFailed")
        assert found.message == "slice a: no; slice b: no"


def test_opening_23_what_failed_elsewhere_fails_the_condition():
    found = slices_dispatched({WEB_1: StepResult()}, ["slice default/web-1 of m1 in m3: denied"]).condition
    assert (found.status, found.message) == ("False", "slice default/web-1 of m1 in m3: denied")


def test_a_cluster_that_all_slices_skip_is_named_once():
    skipping = StepResult(skips=(NOT_READY, SkippedCluster("m4", wk.EVENT_CLUSTER_NOT_FOUND, NOT_READY.message)))
    assert slices_dispatched({WEB_1: skipping, WEB_2: skipping, FAR: skipping}).condition.message.count("m4") == 1


def test_a_long_error_is_cut_within_what_an_event_has_room_for():
    found = service_applied(StepResult(errors=("x" * 100_000,))).condition
    assert found.message == "x" * 1023 + "…"


MAX_MESSAGE = 32768
"""Characters, of a condition's message, in Karmada's CRD and ours (contract 1.1)."""


def fleet(number: int, message: str = "the cluster is not ready") -> tuple[SkippedCluster, ...]:
    return tuple(SkippedCluster(f"cluster-{one:05}", wk.EVENT_SYNC_SERVICE_FAILED, message) for one in range(number))


def test_clusters_that_share_a_reason_are_named_together():
    skips = (
        *fleet(2),
        SkippedCluster("m0", "R", "no such Cluster is registered"),
        SkippedCluster("a9", "R", "the cluster is not ready"),
    )
    assert service_applied(StepResult(skips=skips)).condition.message.endswith(
        " Skipped: a9, cluster-00000, cluster-00001: the cluster is not ready; m0: no such Cluster is registered."
    )


def test_both_conditions_name_clusters_in_the_same_order():
    skips = (
        SkippedCluster("m1", "Z", "late"),
        SkippedCluster("m1-a", "A", "late"),
        SkippedCluster("m2", "A", "early"),
        SkippedCluster("m3", "B", "late"),
    )
    applied = service_applied(StepResult(skips=skips))
    for one in (applied, slices_dispatched({WEB_1: StepResult(skips=skips[::-1])})):
        assert one.condition.message.endswith(". Skipped: m1, m1-a, m3: late; m2: early.")
        assert one.notes == applied.notes
    assert [one.text for one in applied.notes] == ["m1: late", "m1-a: late", "m2: early", "m3: late"]


def test_hundreds_of_clusters_that_are_skipped_are_all_named():
    message = service_applied(StepResult(skips=fleet(600))).condition.message
    assert all(one.cluster in message for one in fleet(600))


def test_a_list_that_is_too_long_is_cut_between_two_items_and_says_so():
    verdict = service_applied(StepResult(errors=tuple(f"Work {one}: no" for one in range(5000)), skips=fleet(5000)))
    message = verdict.condition.message
    assert len(message) <= MAX_MESSAGE
    failed, _, skipped = message.partition(". Skipped: ")
    *errors, more_errors = failed.split("; ")
    clusters, more_clusters = skipped.removesuffix(".").split(": the cluster is not ready; ")
    assert errors == [f"Work {one}: no" for one in range(len(errors))]
    assert clusters.split(", ") == [one.cluster for one in fleet(clusters.count(", ") + 1)]
    assert more_errors == more_clusters == "and others"


def ports(*missing: str, listed: tuple[str, ...] = ("http", "9090"), there: str = "http (8080/TCP)") -> StepResult:
    exposed = () if set(missing) == set(listed) else ({"name": "http"},)
    return StepResult(ports=Ports(exposed=exposed, listed=listed, missing=missing, there=(there,)))


@pytest.mark.parametrize(
    ("outcomes", "status", "told"),
    [
        ([ports()], "True", None),
        ([ports("http"), ports("9090")], "True", None),
        ([ports("http", "9090"), ports()], "True", None),
        ([ports("9090"), StepResult()], "True", "spec.ports lists 9090, but the slices have http (8080/TCP)"),
        ([ports("http", "9090")], "False", "spec.ports lists http, 9090, but the slices have http (8080/TCP)"),
        (
            [ports("http", "9090"), ports("http", "9090", there="7/UDP")],
            "False",
            "spec.ports lists http, 9090, but the slices have 7/UDP, http (8080/TCP)",
        ),
        ([StepResult()], "True", None),
    ],
    ids=[
        "all are there",
        "in different slices",
        "one slice has none",
        "one is nowhere",
        "all are nowhere",
        "in none of several slices",
        "slices without ports",
    ],
)
def test_opening_18_listed_ports_that_no_slice_has_are_named(outcomes: list[StepResult], status: str, told: str | None):
    verdict = slices_dispatched(dict(zip((WEB_1, WEB_2, FAR), outcomes, strict=False)))
    assert verdict.condition.status == status
    if told is None:
        assert (verdict.condition.message, verdict.notes) == (THEIRS, ())
    elif status == "False":
        assert verdict.condition.message == told
    else:
        assert verdict.notes == ((wk.EVENT_PORTS_NOT_FOUND, told),)


# --- what is worth an event -------------------------------------------------------------------------------------------


def dispatched(*skips: SkippedCluster, errors: tuple[str, ...] = ()) -> ConditionReport:
    return slices_dispatched({WEB_1: StepResult(skips=skips, errors=errors)})


def own(verdict: ConditionReport) -> EventToRecord:
    return EventToRecord(verdict.condition.status == "True", None, verdict.condition.message)


M4 = EventToRecord(False, wk.EVENT_SYNC_SERVICE_FAILED, "m4: the cluster is not ready")
OTHER = SkippedCluster("am4", wk.EVENT_SYNC_SERVICE_FAILED, "the cluster is not ready")


@pytest.mark.parametrize(
    ("before", "after", "skipped"),
    [
        (None, dispatched(), []),
        (None, dispatched(NOT_READY), [M4]),
        (dispatched(), dispatched(NOT_READY), [M4]),
        (dispatched(NOT_READY), dispatched(), []),
        (dispatched(OTHER), dispatched(NOT_READY, OTHER), [M4]),
        (dispatched(NOT_READY, OTHER), dispatched(OTHER), []),
        (dispatched(), dispatched(errors=("a: no",)), []),
        (dispatched(errors=("a: no",)), dispatched(errors=("a: no", "b: no")), []),
        (dispatched(errors=("a: no",)), dispatched(), []),
        (dispatched(NOT_READY), dispatched(NOT_READY, errors=("a: no",)), []),
    ],
    ids=[
        "the first time",
        "the first time, with a cluster skipped",
        "a cluster leaves",
        "the cluster is back",
        "a cluster leaves whose name ends another's",
        "one of two is back",
        "it fails",
        "more fails",
        "it works again",
        "it fails beside a cluster that is skipped",
    ],
)
def test_one_event_for_each_change_of_the_condition_and_one_for_each_cluster_that_is_newly_skipped(
    before: ConditionReport | None, after: ConditionReport, skipped: list[EventToRecord]
):
    known = before.notes if before is not None else ()
    stays = before is not None and before.condition.status == after.condition.status == "True"
    told = news(before.condition if before is not None else None, after, known)
    assert told == (skipped if stays and skipped else [own(after), *skipped])
    assert news(after.condition, after) == [], "nor after a restart"


def test_a_cluster_that_two_conditions_of_one_write_skip_is_one_event():
    before, after = dispatched(), dispatched(NOT_READY)
    assert news(before.condition, after, told=after.notes) == []
    failed = dispatched(NOT_READY, errors=("a: no",))
    assert news(before.condition, failed, told=after.notes) == [own(failed)]


@pytest.mark.parametrize(("number", "events"), [(10, 10), (11, 1), (5000, 1)])
def test_very_many_clusters_that_are_skipped_for_one_reason_are_one_event(number: int, events: int):
    lone = SkippedCluster("far", wk.EVENT_CLUSTER_NOT_FOUND, "no such Cluster is registered")
    found = [one for one in news(None, dispatched(lone, *fleet(number))) if one.reason is not None]
    assert [one.message for one in found if one.reason == wk.EVENT_CLUSTER_NOT_FOUND] == [
        "far: no such Cluster is registered"
    ]
    assert len(found) == events + 1
    if events == 1:
        names = ", ".join(one.cluster for one in fleet(10))
        assert found[0].message == f"{names} and others: the cluster is not ready"


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=1500)
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
LARGE = st.sampled_from([1, 30, 300])


@st.composite
def verdicts(draw: st.DrawFn) -> ConditionReport:
    """Of any size: what is drawn is multiplied, as hypothesis draws no hundreds."""
    reasons = st.sampled_from([wk.EVENT_SYNC_SERVICE_FAILED, wk.EVENT_CLUSTER_NOT_FOUND])
    drawn = draw(st.lists(st.builds(SkippedCluster, NAMES, reasons, WORDS), max_size=5))
    skips = [SkippedCluster(f"{one.cluster}{n}", one.reason, one.message) for one in drawn for n in range(draw(LARGE))]
    errors = [f"{one} {n}" for one in draw(st.lists(WORDS, max_size=5)) for n in range(draw(LARGE))]
    outcome = StepResult(skips=tuple(skips), errors=tuple(errors))
    return service_applied(outcome) if draw(st.booleans()) else slices_dispatched({WEB_1: outcome})


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(verdicts())
def test_a_verdict_of_any_size_fits_and_is_told_once(verdict: ConditionReport):
    assert len(verdict.condition.message) <= MAX_MESSAGE
    assert all(len(one.message) <= 1024 + 50 for one in news(None, verdict))
    assert news(verdict.condition, verdict) == []


# --- merging ----------------------------------------------------------------------------------------------------------


def test_a_new_condition_is_added_behind_the_others():
    other = stamped("Other")
    assert merge((other,), [stamped("New", at="")], NOW) == (other, stamped("New", at=NOW))


def test_the_transition_time_moves_only_with_the_status():
    before = (stamped("A"),)
    assert merge(before, [stamped("A", message="other words", at="")], NOW) == (stamped("A", message="other words"),)
    assert merge(before, [stamped("A", status="False", at="")], NOW) == (stamped("A", status="False", at=NOW),)


def test_merging_the_same_again_changes_nothing():
    before = (stamped("A"), stamped("B", status="False"))
    assert merge(before, [stamped("B", status="False", at=""), stamped("A", at="")], NOW) == before


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from(["True", "False"])), max_size=8, unique_by=lambda x: x[0]
    ),
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.sampled_from(["True", "False"])), max_size=3, unique_by=lambda x: x[0]
    ),
)
def test_merging_is_idempotent_and_keeps_one_condition_of_a_type(
    observed: list[tuple[str, str]], wanted: list[tuple[str, str]]
):
    before = tuple(stamped(kind, status) for kind, status in observed)
    new = [stamped(kind, status, at="") for kind, status in wanted]
    merged = merge(before, new, NOW)
    assert merge(merged, new, "2027-01-01T00:00:00Z") == merged
    assert len({one.type for one in merged}) == len(merged)
    assert {one.type: one.status for one in merged} == dict(observed) | dict(wanted)


@pytest.mark.parametrize(
    ("after", "same"),
    [(stamped("A", at=NOW), True), (stamped("A", message="other"), False), (stamped("A", status="False"), False)],
    ids=["only the time differs", "other words", "other status"],
)
def test_an_event_is_worth_a_change_of_words_or_status(after: Condition, same: bool):
    assert equal_ignoring_time(stamped("A"), after) is same
    assert not equal_ignoring_time(None, after)


# --- on the wire ------------------------------------------------------------------------------------------------------


def test_a_foreign_condition_goes_back_as_it_came():
    # `message` is required and may be empty: leaving it out would have the server refuse the whole status.
    foreign = condition("Foreign", message="") | {"observedGeneration": 3}
    [found] = merge(an_mcs(conditions=[foreign]).conditions, [], NOW)
    assert msgspec.to_builtins(found) == foreign


def test_our_own_conditions_carry_all_required_fields_and_no_observed_generation():
    [found] = merge((), [service_applied(StepResult()).condition], NOW)
    assert msgspec.to_builtins(found).keys() == {"type", "status", "reason", "message", "lastTransitionTime"}
    assert found.type == wk.SERVICE_APPLIED


def test_a_transition_time_of_null_is_read():
    # What Go's zero time becomes, in objects of an aggregated API server.
    [found] = an_mcs(conditions=[condition("Odd") | {"lastTransitionTime": None}]).conditions
    assert found.status == "True"


# --- addresses --------------------------------------------------------------------------------------------------------


def left_out(total: int = 1, example: str = "127.0.0.1", why: str = "loopback") -> StepResult:
    return StepResult(addresses=(Finding(True, total, Kind.REFUSED, example, why),))


def suspicious(example: str = "10.2.0.1", why: str = "in 10.2.0.0/16, a range of m2") -> StepResult:
    return StepResult(addresses=(Finding(False, 1, Kind.MEMBER, example, why),))


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ({WEB_1: left_out()}, "Note: addresses of endpoints were left out: m1: 127.0.0.1 (loopback)."),
        (
            {WEB_1: left_out(), WEB_2: left_out(example="127.0.0.0"), FAR: left_out(1000, "::1")},
            "Note: addresses of endpoints were left out: m1: more than 1, such as 127.0.0.0 (loopback); "
            "m2: more than 100, such as ::1 (loopback).",
        ),
        (
            {WEB_1: suspicious()},
            "Note: endpoints have suspicious addresses: m1: 10.2.0.1 (in 10.2.0.0/16, a range of m2).",
        ),
        (
            {WEB_1: suspicious(), WEB_2: left_out(11)},
            "Note: addresses of endpoints were left out: m1: more than 10, such as 127.0.0.1 (loopback). "
            "Note: endpoints have suspicious addresses: m1: 10.2.0.1 (in 10.2.0.0/16, a range of m2).",
        ),
    ],
    ids=["one", "several slices and providers", "suspicious", "both"],
)
def test_addresses_are_named_by_provider(slices: Any, message: str):
    condition = slices_dispatched(slices).condition
    assert (condition.status, condition.message) == ("True", f"{THEIRS}. {message}")


def test_how_many_addresses_there_are_changes_the_message_in_powers_of_ten_only():
    said = {slices_dispatched({WEB_1: left_out(total)}).condition.message for total in range(1, 1001)}
    assert len(said) == 4


def test_addresses_of_very_many_providers_fit_into_an_event():
    slices = {SliceRef(f"m{number:03}", "default", "web-1"): left_out(example="a" * 64) for number in range(500)}
    verdict = slices_dispatched(slices)
    assert verdict.condition.message.endswith("; and others.")
    [event] = [one for one in news(None, verdict) if one.reason == wk.EVENT_ADDRESSES_LEFT_OUT]
    assert len(event.message) <= 1024
    assert event.message.endswith("and others")
