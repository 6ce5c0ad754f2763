"""What a MultiClusterService says about itself."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcs_controller.api.common import Condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import Outcome, merge, says_the_same, service_applied, slices_dispatched
from mcs_controller.domain.selection import Skip
from tests.support.builders import an_mcs, condition

EARLIER, NOW = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def stamped(kind: str, status: str = "True", message: str = "m", at: str = EARLIER) -> Condition:
    return Condition(type=kind, status=status, reason="R", message=message, last_transition_time=at)


# --- which words ------------------------------------------------------------------------------------------------------


def test_service_applied_speaks_as_karmada_does():
    assert service_applied(Outcome()) == Condition(
        type="ServiceApplied",
        status="True",
        reason="ServiceAppliedSucceed",
        message="Service is propagated to target clusters.",
    )


def test_case_26_slices_dispatched_speaks_as_karmada_does():
    assert slices_dispatched([Outcome()]) == Condition(
        type="EndpointSliceDispatched",
        status="True",
        reason="EndpointSliceDispatchedSucceed",
        message="EndpointSlice are dispatched successfully",
    )


def test_every_failure_is_in_the_message():
    found = service_applied(Outcome(errors=("Work a: no", "Work b: no")))
    assert (found.status, found.reason) == ("False", "ServiceAppliedFailed")
    assert found.message == "Work a: no; Work b: no"


def test_a_skipped_cluster_is_named_with_its_reason_and_is_no_failure():
    found = service_applied(Outcome(skips=(Skip("m1", "R", "is not ready"), Skip("m2", "R", "is not there"))))
    assert found.status == "True"
    assert found.message.endswith("Left out for now: m1: is not ready; m2: is not there.")


def test_one_slices_success_never_hides_anothers_failure():
    outcomes = [Outcome(errors=("slice b: no",)), Outcome(), Outcome(errors=("slice a: no", "slice b: no"))]
    for order in (outcomes, outcomes[::-1]):
        found = slices_dispatched(order)
        assert (found.status, found.reason) == ("False", "EndpointSliceDispatchedFailed")
        assert found.message == "slice a: no; slice b: no"


def test_a_cluster_that_all_slices_skip_is_named_once():
    skip = Skip("m1", "R", "is not ready")
    assert slices_dispatched([Outcome(skips=(skip,))] * 3).message.count("m1") == 1


def test_a_long_message_is_cut_within_what_the_api_allows():
    found = service_applied(Outcome(errors=("x" * 100_000,)))
    assert len(found.message) <= 32768
    assert found.message.endswith("…")


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
    [found] = merge((), [service_applied(Outcome())], NOW)
    assert msgspec.to_builtins(found).keys() == {"type", "status", "reason", "message", "lastTransitionTime"}
    assert found.type == wk.SERVICE_APPLIED


def test_a_transition_time_of_null_is_read():
    # What Go's zero time becomes, in objects of an aggregated API server.
    [found] = an_mcs(conditions=[condition("Odd") | {"lastTransitionTime": None}]).conditions
    assert found.status == "True"
