"""What a MultiClusterService says about itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcs_controller.api.common import Condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import (
    News,
    Outcome,
    Verdict,
    differs_in_reach,
    merge,
    news,
    says_the_same,
    service_applied,
    slices_dispatched,
)
from mcs_controller.domain.exposure import Ports
from mcs_controller.domain.selection import Skip
from mcs_controller.domain.works import SliceRef
from tests.support.builders import an_mcs, condition

EARLIER, NOW = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def stamped(kind: str, status: str = "True", message: str = "m", at: str = EARLIER) -> Condition:
    return Condition(type=kind, status=status, reason="R", message=message, last_transition_time=at)


# --- which words ------------------------------------------------------------------------------------------------------

WEB_1, WEB_2, FAR = SliceRef("m1", "default", "web-1"), SliceRef("m1", "default", "web-2"), SliceRef("m2", "d", "far")
SENT = Outcome(consumers=("m2", "m3"), endpoints=2)
NOT_READY = Skip("m4", wk.EVENT_SYNC_SERVICE_FAILED, "the cluster is not ready")
THEIRS = "EndpointSlice are dispatched successfully"


def test_service_applied_speaks_as_karmada_does():
    assert service_applied(Outcome()).condition == Condition(
        type="ServiceApplied",
        status="True",
        reason="ServiceAppliedSucceed",
        message="Service is propagated to target clusters.",
    )


def test_case_26_slices_dispatched_speaks_as_karmada_does_and_then_says_what_reached_whom():
    found = slices_dispatched({WEB_1: SENT, WEB_2: Outcome(consumers=("m2",), endpoints=3)}).condition
    assert (found.type, found.status, found.reason) == (
        "EndpointSliceDispatched",
        "True",
        "EndpointSliceDispatchedSucceed",
    )
    assert found.message == f"{THEIRS}: 2 slices with 5 endpoints from m1 to m2, m3"


@pytest.mark.parametrize(
    ("slices", "providers", "told"),
    [
        ({WEB_1: Outcome(consumers=("m2",), endpoints=1)}, (), ": 1 slice with 1 endpoint from m1 to m2"),
        ({WEB_1: SENT, FAR: SENT}, (), ": 2 slices with 4 endpoints from m1, m2 to m2, m3"),
        ({WEB_1: Outcome(endpoints=3)}, (), ": 1 slice, none of which has a consumer"),
        ({WEB_1: SENT}, ("m1", "m7"), ": 1 slice with 2 endpoints from m1 to m2, m3; no endpoints in m7"),
        (
            {WEB_1: SENT, FAR: Outcome(consumers=("m3",))},
            ("m1", "m2"),
            ": 2 slices with 2 endpoints from m1, m2 to m2, m3; no endpoints in m2",
        ),
        (
            {WEB_1: Outcome(consumers=tuple(f"c{n:02}" for n in range(12)), endpoints=1)},
            (),
            f": 1 slice with 1 endpoint from m1 to {', '.join(f'c{n:02}' for n in range(10))} and 2 more",
        ),
        ({}, (), ": no EndpointSlice in any provider"),
        ({}, ("m7", "m1"), ": no EndpointSlice in m1, m7"),
        (
            {WEB_1: Outcome(consumers=("m2",), endpoints=2, skips=(NOT_READY,))},
            (),
            ": 1 slice with 2 endpoints from m1 to m2. Left out for now: m4: the cluster is not ready.",
        ),
        (
            {WEB_1: Outcome(consumers=("m2",), endpoints=2, problem="annotation x is ignored: no")},
            (),
            ": 1 slice with 2 endpoints from m1 to m2. Note: annotation x is ignored: no.",
        ),
    ],
    ids=[
        "one of each",
        "two providers",
        "nobody to send it to",
        "a provider without slices",
        "a provider without endpoints",
        "many consumers",
        "no slice any more",
        "no slice in either provider",
        "a consumer that has to wait",
        "something that was ignored",
    ],
)
def test_a_success_says_how_much_reached_whom_and_what_is_missing(slices: Any, providers: Any, told: str):
    found = slices_dispatched(slices, providers=providers).condition
    assert (found.status, found.message) == ("True", THEIRS + told)


def test_every_failure_is_in_the_message():
    found = service_applied(Outcome(errors=("Work a: no", "Work b: no"))).condition
    assert (found.status, found.reason) == ("False", "ServiceAppliedFailed")
    assert found.message == "Work a: no; Work b: no"


def test_a_skipped_cluster_is_named_with_its_reason_and_is_no_failure():
    skips = (Skip("m1", "R", "is not ready"), Skip("m2", "R", "is not there"))
    found = service_applied(Outcome(skips=skips)).condition
    assert found.status == "True"
    assert found.message.endswith("Left out for now: m1: is not ready; m2: is not there.")
    found = service_applied(Outcome(errors=("Work a: no",), skips=skips[:1])).condition
    assert found.message == "Work a: no. Left out for now: m1: is not ready."


def test_opening_10_one_slices_success_never_hides_anothers_failure():
    outcomes = [Outcome(errors=("slice b: no",)), SENT, Outcome(errors=("slice a: no", "slice b: no"))]
    for order in (outcomes, outcomes[::-1]):
        found = slices_dispatched(dict(zip((WEB_1, WEB_2, FAR), order, strict=True))).condition
        assert (found.status, found.reason) == ("False", "EndpointSliceDispatchedFailed")
        assert found.message == "slice a: no; slice b: no. In place: 1 slice with 2 endpoints from m1 to m2, m3."


def test_opening_23_what_failed_elsewhere_fails_the_condition():
    found = slices_dispatched({WEB_1: SENT}, ["slice default/web-1 of m1 in m3: denied"])
    assert (found.condition.status, found.condition.message) == (
        "False",
        "slice default/web-1 of m1 in m3: denied. In place: 1 slice with 2 endpoints from m1 to m2.",
    )
    assert found.errors == ("slice default/web-1 of m1 in m3: denied",)


def test_a_cluster_that_all_slices_skip_is_named_once():
    skipping = Outcome(skips=(NOT_READY, Skip("m4", wk.EVENT_CLUSTER_NOT_FOUND, NOT_READY.message)))
    assert slices_dispatched({WEB_1: skipping, WEB_2: skipping, FAR: skipping}).condition.message.count("m4") == 1


def test_a_long_error_is_cut_within_what_an_event_has_room_for():
    found = service_applied(Outcome(errors=("x" * 100_000,))).condition
    assert found.message == "x" * 1023 + "…"


MAX_MESSAGE = 32768
"""Characters, of a condition's message, in Karmada's CRD and ours (contract 1.1)."""


def fleet(number: int, message: str = "the cluster is not ready") -> tuple[Skip, ...]:
    return tuple(Skip(f"cluster-{one:05}", wk.EVENT_SYNC_SERVICE_FAILED, message) for one in range(number))


def test_clusters_that_share_a_reason_are_named_together():
    skips = (*fleet(2), Skip("m0", "R", "no such Cluster is registered"), Skip("a9", "R", "the cluster is not ready"))
    assert service_applied(Outcome(skips=skips)).condition.message.endswith(
        " Left out for now: a9, cluster-00000, cluster-00001: the cluster is not ready; "
        "m0: no such Cluster is registered."
    )


def test_both_conditions_name_clusters_in_the_same_order():
    skips = (Skip("m1", "Z", "late"), Skip("m1-a", "A", "late"), Skip("m2", "A", "early"), Skip("m3", "B", "late"))
    applied = service_applied(Outcome(skips=skips))
    for one in (applied, slices_dispatched({WEB_1: Outcome(skips=skips[::-1])})):
        assert one.condition.message.endswith(". Left out for now: m1, m1-a, m3: late; m2: early.")
        assert one.remarks == applied.remarks
    assert [one.text for one in applied.remarks] == ["m1: late", "m1-a: late", "m2: early", "m3: late"]


def test_hundreds_of_clusters_that_are_left_out_are_all_named():
    message = service_applied(Outcome(skips=fleet(600))).condition.message
    assert all(one.cluster in message for one in fleet(600))


def test_a_list_that_is_too_long_is_cut_between_two_items_and_says_how_many_there_are_more():
    verdict = service_applied(Outcome(errors=tuple(f"Work {one}: no" for one in range(5000)), skips=fleet(5000)))
    message = verdict.condition.message
    assert len(message) <= MAX_MESSAGE
    failed, _, left_out = message.partition(". Left out for now: ")
    *errors, more_errors = failed.split("; ")
    clusters, more_clusters = left_out.removesuffix(".").split(": the cluster is not ready; ")
    assert errors == [f"Work {one}: no" for one in range(len(errors))]
    assert clusters.split(", ") == [one.cluster for one in fleet(clusters.count(", ") + 1)]
    assert more_errors == f"and {5000 - len(errors)} more"
    assert more_clusters == f"and {5000 - clusters.count(', ') - 1} more"
    assert len(verdict.untold) == 10_000 - len(errors) - clusters.count(", ") - 1


def ports(*missing: str, listed: tuple[str, ...] = ("http", "9090"), there: str = "http (8080/TCP)") -> Outcome:
    exposed = () if set(missing) == set(listed) else ({"name": "http"},)
    found = Ports(exposed=exposed, listed=listed, missing=missing, there=(there,))
    return Outcome(consumers=("m2",) if exposed else (), endpoints=1, ports=found)


@pytest.mark.parametrize(
    ("outcomes", "status", "told"),
    [
        ([ports()], "True", None),
        ([ports("http"), ports("9090")], "True", None),
        ([ports("http", "9090"), ports()], "True", None),
        ([ports("9090"), Outcome()], "True", "spec.ports lists 9090, but the slices have http (8080/TCP)"),
        ([ports("http", "9090")], "False", "spec.ports lists http, 9090, but the slices have http (8080/TCP)"),
        (
            [ports("http", "9090"), ports("http", "9090", there="7/UDP")],
            "False",
            "spec.ports lists http, 9090, but the slices have 7/UDP, http (8080/TCP)",
        ),
        ([Outcome(consumers=("m2",))], "True", None),
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
def test_opening_18_listed_ports_that_no_slice_has_are_named(outcomes: list[Outcome], status: str, told: str | None):
    verdict = slices_dispatched(dict(zip((WEB_1, WEB_2, FAR), outcomes, strict=False)))
    assert verdict.condition.status == status
    if told is None:
        assert (verdict.errors, verdict.remarks) == ((), ())
    elif status == "False":
        assert verdict.errors == (told,)
    else:
        assert verdict.remarks == ((wk.EVENT_PORTS_NOT_FOUND, told),)


# --- what is worth a write at once, and what is worth an event --------------------------------------------------------


def dispatched(
    *skips: Skip, errors: tuple[str, ...] = (), endpoints: int = 2, to: tuple[str, ...] = ("m2",)
) -> Verdict:
    return slices_dispatched({WEB_1: Outcome(skips=skips, errors=errors, endpoints=endpoints, consumers=to)})


@pytest.mark.parametrize(
    ("after", "only"),
    [
        (dispatched(endpoints=7), True),
        (dispatched(to=("m2", "m3")), True),
        (dispatched(to=()), True),
        (slices_dispatched({}), True),
        (slices_dispatched({}, providers=["m1"]), True),
        (dispatched(NOT_READY), False),
        (dispatched(errors=("no",)), False),
    ],
    ids=[
        "more endpoints",
        "more consumers",
        "no consumers",
        "no slices",
        "nor any in m1",
        "a cluster is left out",
        "a failure",
    ],
)
def test_only_how_much_is_where_may_be_told_late(after: Verdict, only: bool):
    assert differs_in_reach(dispatched().condition, after.condition) is only
    assert not differs_in_reach(None, after.condition)


def test_karmadas_own_message_lacks_nothing_but_the_reach():
    theirs = Condition("EndpointSliceDispatched", "True", "EndpointSliceDispatchedSucceed", THEIRS)
    assert differs_in_reach(theirs, dispatched().condition)
    assert news(theirs, dispatched()) == []


@pytest.mark.parametrize("skips", [(), (NOT_READY,)], ids=["", "beside a cluster that is left out"])
def test_the_reach_of_a_failure_is_no_news(skips: tuple[Skip, ...]):
    before, after = (dispatched(*skips, errors=("no. Why",), endpoints=number) for number in (2, 9))
    assert before.condition != after.condition
    assert differs_in_reach(before.condition, after.condition)
    assert news(before.condition, after) == []
    other = dispatched(*skips, errors=("no. How",))
    assert not differs_in_reach(before.condition, other.condition)
    assert [one.message for one in news(before.condition, other)] == ["no. How"]
    assert not differs_in_reach(before.condition, dispatched(OTHER, *skips, errors=("no. Why",)).condition)


def test_where_nothing_is_is_no_news():
    before, after = (service_applied(Outcome(providers=named), collected=False) for named in (("m1",), ("m1", "m2")))
    propagated = service_applied(Outcome(providers=("m1",)))
    assert after.condition.message == f"{propagated.condition.message} No EndpointSlice in m1, m2 yet."
    for one, other in ((before, after), (after, before), (after, propagated), (propagated, after)):
        assert differs_in_reach(one.condition, other.condition)
        assert news(one.condition, other) == []


def test_the_reach_changes_beside_a_cluster_that_is_left_out():
    assert differs_in_reach(dispatched(NOT_READY).condition, dispatched(NOT_READY, endpoints=9).condition)
    assert news(dispatched(NOT_READY).condition, dispatched(NOT_READY, endpoints=9)) == []


GOOD_NEWS = News(True, None, THEIRS)
LEFT_OUT = News(False, wk.EVENT_SYNC_SERVICE_FAILED, "m4: the cluster is not ready")
OTHER = Skip("am4", wk.EVENT_SYNC_SERVICE_FAILED, "the cluster is not ready")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, dispatched(), [GOOD_NEWS]),
        (None, dispatched(NOT_READY), [GOOD_NEWS, LEFT_OUT]),
        (dispatched(), dispatched(endpoints=9, to=("m2", "m3")), []),
        (dispatched(), dispatched(NOT_READY), [LEFT_OUT]),
        (dispatched(NOT_READY), dispatched(), [GOOD_NEWS]),
        (dispatched(OTHER), dispatched(NOT_READY, OTHER), [LEFT_OUT]),
        (dispatched(NOT_READY, OTHER), dispatched(OTHER), []),
        (dispatched(), dispatched(errors=("a: no",)), [News(False, None, "a: no")]),
        (dispatched(errors=("a: no",)), dispatched(errors=("a: no", "b: no")), [News(False, None, "b: no")]),
        (dispatched(errors=("a: no", "b: no")), dispatched(errors=("b: no",)), []),
        (dispatched(errors=("a: no",)), dispatched(), [GOOD_NEWS]),
    ],
    ids=[
        "the first time",
        "the first time, with a cluster left out",
        "it grows",
        "a cluster leaves",
        "the cluster is back",
        "a cluster leaves whose name ends another's",
        "one of two is back",
        "it fails",
        "more fails",
        "less fails",
        "it works again",
    ],
)
def test_one_event_for_each_change_of_state(before: Verdict | None, after: Verdict, told: list[News]):
    assert news(before.condition if before is not None else None, after) == told
    assert news(after.condition, after) == [], "nor after a restart"


MANY, ONE_MORE = fleet(5000), fleet(5001)


@pytest.mark.parametrize(
    "judge", [lambda skips: service_applied(Outcome(skips=skips)), lambda skips: dispatched(*skips)]
)
def test_what_the_message_has_no_room_for_is_told_once(judge: Any):
    before, after = judge(MANY), judge(ONE_MORE)
    assert [one.message for one in news(None, before)][1:] == [
        f"{', '.join(one.cluster for one in MANY[:10])} and 4990 more: the cluster is not ready"
    ]
    assert news(before.condition, before, before.untold) == []
    assert [one.message for one in news(before.condition, after, before.untold)] == [
        "cluster-05000: the cluster is not ready"
    ]
    assert news(before.condition, after) == [], "nobody knows who was told of"


@pytest.mark.parametrize(("number", "events"), [(10, 10), (11, 1)])
def test_very_many_clusters_that_are_left_out_for_one_reason_are_one_event(number: int, events: int):
    lone = Skip("far", wk.EVENT_CLUSTER_NOT_FOUND, "no such Cluster is registered")
    found = [one for one in news(None, dispatched(lone, *fleet(number))) if one.reason is not None]
    assert [one.message for one in found if one.reason == wk.EVENT_CLUSTER_NOT_FOUND] == [
        "far: no such Cluster is registered"
    ]
    assert len(found) == events + 1


def test_a_reason_that_begins_as_another_is_another():
    before, after = dispatched(errors=("m1: no",)), dispatched(errors=("m1: no", "m1: no room"))
    assert news(after.condition, before) == []
    assert [one.message for one in news(before.condition, after)] == ["m1: no room"]
    longer = dispatched(errors=("m1: no room",))
    assert [one.message for one in news(longer.condition, before)] == ["m1: no"]
    skipped = dispatched(Skip("m4", wk.EVENT_SYNC_SERVICE_FAILED, "the cluster is not ready to rumble"))
    assert news(skipped.condition, dispatched(NOT_READY)) == [LEFT_OUT]


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=1500)
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
LARGE = st.sampled_from([1, 30, 300])


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    """Of any size: what is drawn is multiplied, as hypothesis draws no hundreds."""
    reasons = st.sampled_from([wk.EVENT_SYNC_SERVICE_FAILED, wk.EVENT_CLUSTER_NOT_FOUND])
    drawn = draw(st.lists(st.builds(Skip, NAMES, reasons, WORDS), max_size=5))
    skips = [Skip(f"{one.cluster}{n}", one.reason, one.message) for one in drawn for n in range(draw(LARGE))]
    errors = [f"{one} {n}" for one in draw(st.lists(WORDS, max_size=5)) for n in range(draw(LARGE))]
    outcome = Outcome(skips=tuple(skips), errors=tuple(errors), consumers=("m2",), endpoints=1)
    return service_applied(outcome) if draw(st.booleans()) else slices_dispatched({WEB_1: outcome})


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(verdicts())
def test_the_same_verdict_again_is_no_news_however_large_it_is_nor_after_a_restart(verdict: Verdict):
    assert len(verdict.condition.message) <= MAX_MESSAGE
    assert news(verdict.condition, verdict, verdict.untold) == []
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
    [
        (stamped("A", at=NOW), True),
        (stamped("A", message="other"), False),
        (stamped("A", status="False"), False),
    ],
    ids=["only the time differs", "other words", "other status"],
)
def test_an_event_is_worth_a_change_of_words_or_status(after: Condition, same: bool):
    assert says_the_same(stamped("A"), after) is same
    assert not says_the_same(None, after)


# --- on the wire ------------------------------------------------------------------------------------------------------


def test_a_foreign_condition_goes_back_as_it_came():
    # `message` is required and may be empty: leaving it out would have the server refuse the whole status.
    foreign = condition("Foreign", message="") | {"observedGeneration": 3}
    [found] = merge(an_mcs(conditions=[foreign]).conditions, [], NOW)
    assert msgspec.to_builtins(found) == foreign


def test_our_own_conditions_carry_all_required_fields_and_no_observed_generation():
    [found] = merge((), [service_applied(Outcome()).condition], NOW)
    assert msgspec.to_builtins(found).keys() == {"type", "status", "reason", "message", "lastTransitionTime"}
    assert found.type == wk.SERVICE_APPLIED


def test_a_transition_time_of_null_is_read():
    # What Go's zero time becomes, in objects of an aggregated API server.
    [found] = an_mcs(conditions=[condition("Odd") | {"lastTransitionTime": None}]).conditions
    assert found.status == "True"
