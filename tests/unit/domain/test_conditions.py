"""What a MultiClusterService says about itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
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
        ({}, (), ""),
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
        assert found.message == "slice a: no; slice b: no"


def test_opening_23_what_failed_elsewhere_fails_the_condition():
    found = slices_dispatched({WEB_1: SENT}, ["slice default/web-1 of m1 in m3: denied"])
    assert (found.condition.status, found.condition.message) == ("False", "slice default/web-1 of m1 in m3: denied")
    assert found.errors == ("slice default/web-1 of m1 in m3: denied",)


def test_a_cluster_that_all_slices_skip_is_named_once():
    skipping = Outcome(skips=(NOT_READY,))
    assert slices_dispatched({WEB_1: skipping, WEB_2: skipping, FAR: skipping}).condition.message.count("m4") == 1


def test_a_long_message_is_cut_within_what_the_api_allows():
    found = service_applied(Outcome(errors=("x" * 100_000,))).condition
    assert len(found.message) <= 32768
    assert found.message.endswith("…")


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
        (dispatched(NOT_READY), False),
        (dispatched(errors=("no",)), False),
    ],
    ids=["more endpoints", "more consumers", "no consumers", "no slices", "a cluster is left out", "a failure"],
)
def test_only_how_much_is_where_may_be_told_late(after: Verdict, only: bool):
    assert differs_in_reach(dispatched().condition, after.condition) is only
    assert not differs_in_reach(None, after.condition)


def test_karmadas_own_message_lacks_nothing_but_the_reach():
    theirs = Condition("EndpointSliceDispatched", "True", "EndpointSliceDispatchedSucceed", THEIRS)
    assert differs_in_reach(theirs, dispatched().condition)
    assert news(theirs, dispatched()) == []


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
