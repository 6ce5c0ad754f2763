"""What a MultiClusterService says about itself (contract 0.1, 3.1, 3.3).

Two conditions, each computed over everything it speaks of: one success never hides another's failure, and every cluster
that had to be left out is named with the reason. Messages begin with Karmada's text and go on with what a person needs:

    EndpointSlice are dispatched successfully: 2 slices with 5 endpoints from m1 to m2, m3. Left out for now: m4: ...
    slice default/web-1 of m1 in m2: denied. In place: 1 slice with 5 endpoints from m1 to m3. Left out for now: ...
    Service is propagated to target clusters. No EndpointSlice in m1 yet. Left out for now: m4: ...

How much is where, and where nothing is, is the reach. It changes whenever pods come and go, so whoever writes
conditions may be late with it, and nobody is told of it (`differs_in_reach`, `news`). How lists are written is in
`condition_messages`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from mcs_controller.api.common import Condition, find_condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.condition_messages import (
    IN_PLACE,
    MAX_MESSAGE,
    Told,
    clip,
    listed_errors,
    listed_skips,
    note,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mcs_controller.domain.exposure import Ports
    from mcs_controller.domain.selection import Skip
    from mcs_controller.domain.works import SliceRef

_MAX_NAMES: Final = 10
"""Clusters that are named one by one in the reach, and in events: of one object few are let through at a time."""

SERVICE_APPLIED_MESSAGE = "Service is propagated to target clusters."
SLICE_DISPATCHED_MESSAGE = "EndpointSlice are dispatched successfully"
_NOTES: Final = frozenset({wk.EVENT_PORTS_NOT_FOUND, wk.EVENT_INVALID_ANNOTATION})
"""Remarks that are not about a cluster."""

# No name of a cluster has a dot in it (contract 5.2, rule 8).
_SUCCESSES: Final = (
    re.compile(rf"{re.escape(SERVICE_APPLIED_MESSAGE)}(?: No EndpointSlice in [^.]*\.)?(?P<remarks>.*)", re.DOTALL),
    re.compile(rf"{SLICE_DISPATCHED_MESSAGE}(?:: [^.]*)?(?:\.(?P<remarks> .*)|\Z)", re.DOTALL),
)
_IN_PLACE: Final = re.compile(rf"\. {IN_PLACE}[^.]*(?:\.\Z|(?=\. ))")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one piece of work for a service ended.

    Attributes:
        skips: clusters that were left out; not a failure.
        errors: what failed, one text per cluster or step, without anything that changes from try to try.
        providers: clusters that are to provide, in a report on the Service.
        consumers: clusters that have the slice that this is about, unless an error says that they do not.
        endpoints: how many it has.
        ports: how its ports compare with those that the service lists, if it lists some.
        problem: what in the service was ignored, and why.
    """

    skips: tuple[Skip, ...] = ()
    errors: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    endpoints: int = 0
    ports: Ports | None = None
    problem: str | None = None


class Remark(NamedTuple):
    """A cluster that was left out ("cluster: why"), or a wish that was ignored.

    Not a failure, but worth an event with that reason.
    """

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition, and what it is made of.

    Attributes:
        errors: why the condition is False; empty if it is True.
        remarks: what was left out, by cluster, and then what was ignored.
        untold: those of both that the message has no room for.
    """

    condition: Condition
    errors: tuple[str, ...]
    remarks: tuple[Remark, ...]
    untold: frozenset[str] = frozenset()


class News(NamedTuple):
    """An event to be recorded; `reason` is None for the condition's own, of success or failure."""

    ok: bool
    reason: str | None
    message: str


def copy_in(consumer: str, origin: SliceRef) -> str:
    """What an error on the copy of a slice begins with, before a colon."""
    return f"slice {origin.namespace}/{origin.name} of {origin.cluster} in {consumer}"


def service_applied(outcome: Outcome, *, collected: bool = True) -> Verdict:
    """Condition ServiceApplied for one reconcile.

    As long as nothing was ever `collected` there is no other condition, so this one says from where nothing came.
    """
    remarks = _in_order(_skipped(outcome.skips))
    if outcome.errors:
        return _failure(wk.SERVICE_APPLIED, wk.SERVICE_APPLIED_FAILED, outcome.errors, remarks)
    sentences, untold = _told(remarks)
    lacking = set(outcome.providers) - {skip.cluster for skip in outcome.skips}
    if lacking and not collected:
        sentences.insert(0, f"No EndpointSlice in {_names(lacking)} yet.")
    message = " ".join([SERVICE_APPLIED_MESSAGE, *sentences])
    condition = Condition(wk.SERVICE_APPLIED, "True", wk.SERVICE_APPLIED_SUCCEED, clip(message, MAX_MESSAGE))
    return Verdict(condition, (), remarks, untold)


def slices_dispatched(
    slices: Mapping[SliceRef, Outcome], failed: Iterable[str] = (), providers: Iterable[str] = ()
) -> Verdict:
    """Condition EndpointSliceDispatched over all slices of the service.

    Args:
        slices: what became of each.
        failed: what else went wrong, in words as in `Outcome.errors`.
        providers: clusters that are to provide: those without endpoints are worth a word.
    """
    errors = {error for outcome in slices.values() for error in outcome.errors} | set(failed)
    found = set(_skipped(skip for outcome in slices.values() for skip in outcome.skips))
    found |= {
        Remark(wk.EVENT_INVALID_ANNOTATION, clip(one.problem)) for one in slices.values() if one.problem is not None
    }
    nothing_exposed, unmatched = _unmatched([one.ports for one in slices.values() if one.ports is not None])
    if unmatched is not None and nothing_exposed:
        errors.add(unmatched)
    elif unmatched is not None:
        found.add(Remark(wk.EVENT_PORTS_NOT_FOUND, clip(unmatched)))
    remarks = _in_order(found)
    if errors:
        in_place = _in_place(slices, errors) or "nothing"
        return _failure(wk.SLICE_DISPATCHED, wk.SLICE_DISPATCHED_FAILED, sorted(errors), remarks, in_place)
    sentences, untold = _told(remarks)
    message = f"{SLICE_DISPATCHED_MESSAGE}: {_reach(slices, providers)}"
    message = " ".join([f"{message}." if remarks else message, *sentences])
    condition = Condition(wk.SLICE_DISPATCHED, "True", wk.SLICE_DISPATCHED_SUCCEED, clip(message, MAX_MESSAGE))
    return Verdict(condition, (), remarks, untold)


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


def differs_in_reach(before: Condition | None, after: Condition) -> bool:
    """Whether the new condition says the same as the old one, apart from how many endpoints are where."""
    return before is not None and (before.status, before.reason, _remarks_in(before.message)) == (
        after.status,
        after.reason,
        _remarks_in(after.message),
    )


def news(
    before: Condition | None,
    verdict: Verdict,
    untold: frozenset[str] | None = None,
    known: Collection[str] = (),
) -> list[News]:
    """What people should hear of a change: that it works (again), and what fails or is left out and was not before.

    Whatever the former condition names already is not news, so a restart tells nothing, and of a failure that grows
    only what is new. Messages do not count endpoints: the same thing again is the same event with a higher count.

    Args:
        before: the condition as it was, as far as it was there.
        verdict: what is written now.
        untold: what the former message had no room for; None if nobody knows, as after a restart.
        known: texts of remarks that were told elsewhere.
    """
    condition = verdict.condition
    told = Told(before.message if before is not None else "", untold)
    was_true = before is not None and before.status == "True"
    found: list[News] = []
    if condition.status != "True":
        errors = [error for error in verdict.errors if was_true or not told.has_error(error)]
        if errors:
            found.append(News(False, None, "; ".join(errors)))
    elif before is None or not was_true or (_remarks_in(before.message) and not verdict.remarks):
        found.append(News(True, None, _SUCCESS[condition.type]))
    known = {*known, *left_out_in(before, untold, verdict)} if before is not None else {*known}
    known |= {one.text for one in verdict.remarks if one.reason in _NOTES and told.has_note(one.text)}
    return [*found, *_gathered(one for one in verdict.remarks if one.text not in known)]


def left_out_in(condition: Condition, untold: frozenset[str] | None, verdict: Verdict) -> set[str]:
    """Which of the clusters that the verdict leaves out are named in the condition already, with the same words.

    Those are texts of its remarks. `untold` is as in `news`.
    """
    skips = (one.text for one in verdict.remarks if one.reason not in _NOTES)
    return Told(condition.message, untold).has_skips(skips)


def _gathered(remarks: Iterable[Remark]) -> Iterable[News]:
    """One event for each; one for all of those that share a reason if they are very many."""
    by_reason: dict[tuple[str, str], list[Remark]] = {}
    for one in remarks:
        why = one.text if one.reason in _NOTES else one.text.partition(": ")[2]
        by_reason.setdefault((one.reason, why), []).append(one)
    for (reason, why), those in by_reason.items():
        if len(those) > _MAX_NAMES:
            yield News(False, reason, f"{_names(one.text.partition(': ')[0] for one in those)}: {why}")
        else:
            yield from (News(False, reason, one.text) for one in those)


_SUCCESS: Final = {wk.SERVICE_APPLIED: SERVICE_APPLIED_MESSAGE, wk.SLICE_DISPATCHED: SLICE_DISPATCHED_MESSAGE}


def _failure(
    kind: str, reason: str, errors: Iterable[str], remarks: tuple[Remark, ...], in_place: str | None = None
) -> Verdict:
    errors = tuple(dict.fromkeys(clip(error) for error in errors))
    failed = listed_errors(errors)
    sentences, untold = _told(remarks)
    if in_place is not None:
        sentences.insert(0, f"{IN_PLACE}{in_place}.")
    message = " ".join([f"{failed.text}." if sentences else failed.text, *sentences])
    condition = Condition(kind, "False", reason, clip(message, MAX_MESSAGE))
    return Verdict(condition, errors, remarks, failed.untold | untold)


def _skipped(skips: Iterable[Skip]) -> Iterable[Remark]:
    return (Remark(skip.reason, f"{skip.cluster}: {clip(skip.message)}") for skip in skips)


def _in_order(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """By cluster, notes last; the same in both conditions."""
    return tuple(sorted(set(remarks), key=lambda one: (one.reason in _NOTES, *one.text.partition(": "), one.reason)))


def _told(remarks: tuple[Remark, ...]) -> tuple[list[str], frozenset[str]]:
    """What the message says of them, in sentences, and what it has no room for."""
    left_out = listed_skips(remark.text for remark in remarks if remark.reason not in _NOTES)
    notes = [note(remark.text) for remark in remarks if remark.reason in _NOTES]
    return [*([left_out.text] if left_out.text else []), *notes], left_out.untold


def _remarks_in(message: str) -> str:
    """The message without the text of success and the reach; of any other one all but the reach."""
    for success in _SUCCESSES:
        if (match := success.fullmatch(message)) is not None:
            return match["remarks"] or ""
    return _IN_PLACE.sub("", message)


def _unmatched(ports: list[Ports]) -> tuple[bool, str | None]:
    """Whether no slice has any listed port, and what is to be said of those that no slice has, if there are any."""
    if not ports:
        return False, None
    listed = ports[0].listed
    missing = [entry for entry in listed if all(entry in one.missing for one in ports)]
    if not missing:
        return False, None
    there = sorted({port for one in ports for port in one.there})
    text = f"spec.ports lists {', '.join(missing)}, but the slices have {', '.join(there)}"
    return len(missing) == len(listed), text


def _reach(slices: Mapping[SliceRef, Outcome], providers: Iterable[str]) -> str:
    if not slices:
        return f"no EndpointSlice in {_names(providers) or 'any provider'}"
    text = _in_place(slices) or f"{_count(len(slices), 'slice')}, none of which has a consumer"
    offering = {origin.cluster for origin, outcome in slices.items() if outcome.endpoints}
    without = set(providers) - offering - {skip.cluster for one in slices.values() for skip in one.skips}
    return f"{text}; no endpoints in {_names(without)}" if without else text


def _in_place(slices: Mapping[SliceRef, Outcome], errors: Iterable[str] = ()) -> str | None:
    """How much from whom has reached whom; None if nothing has reached anybody."""
    refused = {error.partition(": ")[0] for error in errors}
    reached = {
        origin: {consumer for consumer in outcome.consumers if not refused or copy_in(consumer, origin) not in refused}
        for origin, outcome in slices.items()
    }
    reaching = [origin for origin, consumers in reached.items() if consumers]
    if not reaching:
        return None
    text = f"{_count(len(reaching), 'slice')} with "
    text += _count(sum(slices[origin].endpoints for origin in reaching), "endpoint")
    text += f" from {_names({origin.cluster for origin in reaching})}"
    return f"{text} to {_names(set().union(*reached.values()))}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _names(clusters: Iterable[str]) -> str:
    names = sorted(clusters)
    more = len(names) - _MAX_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MAX_NAMES])} and {more} more"
