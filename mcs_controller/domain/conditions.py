"""What a MultiClusterService says about itself (contract 0.1, 3.1, 3.3).

Two conditions, each computed over everything it speaks of: one success never hides another's failure, and every cluster
that had to be left out is named with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcs_controller.api.common import Condition, find_condition
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcs_controller.domain.selection import Skip

_MAX_MESSAGE = 8192
"""Characters. The API allows 32,768; a person reads far fewer, and every watcher pays for each."""

SERVICE_APPLIED_MESSAGE = "Service is propagated to target clusters."
SLICE_DISPATCHED_MESSAGE = "EndpointSlice are dispatched successfully"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one piece of work for a service ended.

    Attributes:
        skips: clusters that were left out; not a failure.
        errors: what failed, one text per cluster or step, without anything that changes from try to try.
    """

    skips: tuple[Skip, ...] = ()
    errors: tuple[str, ...] = ()


def service_applied(outcome: Outcome) -> Condition:
    """Condition ServiceApplied for one reconcile."""
    if outcome.errors:
        return _condition(wk.SERVICE_APPLIED, wk.SERVICE_APPLIED_FAILED, _join(outcome.errors), status="False")
    return _condition(
        wk.SERVICE_APPLIED, wk.SERVICE_APPLIED_SUCCEED, _with_skips(SERVICE_APPLIED_MESSAGE, outcome.skips)
    )


def slices_dispatched(outcomes: Iterable[Outcome]) -> Condition:
    """Condition EndpointSliceDispatched over all slices of the service."""
    outcomes = tuple(outcomes)
    errors = sorted({error for outcome in outcomes for error in outcome.errors})
    if errors:
        return _condition(wk.SLICE_DISPATCHED, wk.SLICE_DISPATCHED_FAILED, _join(errors), status="False")
    skips = sorted({skip for outcome in outcomes for skip in outcome.skips})
    return _condition(wk.SLICE_DISPATCHED, wk.SLICE_DISPATCHED_SUCCEED, _with_skips(SLICE_DISPATCHED_MESSAGE, skips))


def merge(observed: tuple[Condition, ...], wanted: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """The list with the wanted conditions in it, others kept, in the order they have.

    `lastTransitionTime` moves only when `status` does (metav1's SetStatusCondition). `now` is RFC 3339 in UTC. The
    result equals `observed` if nothing differs.
    """
    merged = list(observed)
    for condition in wanted:
        before = find_condition(observed, condition.type)
        same_status = before is not None and before.status == condition.status
        stamped = Condition(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message,
            last_transition_time=before.last_transition_time if before is not None and same_status else now,
        )
        if before is None:
            merged.append(stamped)
        elif before != stamped:
            merged[merged.index(before)] = stamped
    return tuple(merged)


def says_the_same(before: Condition | None, after: Condition) -> bool:
    """Whether two conditions differ in nothing that is worth an event."""
    return before is not None and (before.status, before.reason, before.message) == (
        after.status,
        after.reason,
        after.message,
    )


def _condition(kind: str, reason: str, message: str, *, status: str = "True") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=_cap(message))


def _with_skips(message: str, skips: Iterable[Skip]) -> str:
    skipped = "; ".join(f"{skip.cluster}: {skip.message}" for skip in skips)
    return f"{message} Left out for now: {skipped}." if skipped else message


def _join(errors: Iterable[str]) -> str:
    return "; ".join(errors)


def _cap(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 1]}…"
