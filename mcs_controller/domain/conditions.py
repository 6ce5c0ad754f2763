"""The two conditions that a MultiClusterService has from Karmada (contract 0.1, 3.1, 3.3), and their events.

Each is computed over everything it speaks of: one success never hides another's failure, and every cluster that was
skipped is named with the reason. When all is well the message is Karmada's own, to the byte, so that taking over from
it writes nothing; otherwise it goes on with what a person needs, or says what failed:

    EndpointSlice are dispatched successfully. Skipped: m4, m5: the cluster is not ready, see its condition Ready.
    slice default/web-1 of m1 in m2: denied, retrying. Skipped: m4: no such Cluster is registered.

Nothing in a message counts anything, but in powers of ten, so it changes only when the state does, and every change
is worth an event.
Whether endpoints can be reached is another question: see `availability`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from informers.meta import Condition, find_condition
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mcs_controller.domain.addresses import Finding
    from mcs_controller.domain.ports import Ports
    from mcs_controller.domain.selection import SkippedCluster
    from mcs_controller.domain.works import SliceRef

SERVICE_APPLIED_MESSAGE: Final = "Service is propagated to target clusters."
SLICE_DISPATCHED_MESSAGE: Final = "EndpointSlice are dispatched successfully"

MAX_MESSAGE: Final = 32_768
"""Characters that the API takes in a condition's message (contract 1.1)."""

_MAX_ITEM: Final = 1024
"""Characters of one error or reason, and of an event's message: there is no room for more in it."""

_ROOM: Final = 12_000
"""Characters for the errors, and as many for the clusters that are skipped; the rest is for all else."""

_MAX_NAMES: Final = 10
"""Clusters that get an event each: of one object few events are let through at a time."""

_ADDRESS_ROOM: Final = 900
"""Characters for the addresses of all providers: with what is said of them they fit into an event."""

_NOTES: Final = frozenset(
    {
        wk.EVENT_PORTS_NOT_FOUND,
        wk.EVENT_INVALID_ANNOTATION,
        wk.EVENT_ADDRESSES_LEFT_OUT,
        wk.EVENT_SUSPICIOUS_ADDRESSES,
    }
)
"""Remarks that are not about a cluster."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one piece of work for a service ended.

    Attributes:
        skips: clusters that were skipped; not a failure.
        errors: what failed, one text per cluster or step, without anything that changes from try to try.
        ports: how a slice's ports compare with those that the service lists, if it lists some.
        problem: what in the service was ignored, and why.
        addresses: of a slice, those that were left out, or are suspicious.
    """

    skips: tuple[SkippedCluster, ...] = ()
    errors: tuple[str, ...] = ()
    ports: Ports | None = None
    problem: str | None = None
    addresses: tuple[Finding, ...] = ()


class Note(NamedTuple):
    """A cluster that was skipped ("cluster: why"), or a wish that was ignored, with the reason of its event.

    Not a failure.
    """

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ConditionReport:
    """A condition, and what was skipped (by cluster) and then what was ignored, each of which has events of its own."""

    condition: Condition
    notes: tuple[Note, ...] = ()


class EventToRecord(NamedTuple):
    """An event to be recorded; `reason` is None for the condition's own, of success or failure."""

    ok: bool
    reason: str | None
    message: str


def copy_in(consumer: str, origin: SliceRef) -> str:
    """What an error on the copy of a slice begins with, before a colon."""
    return f"slice {origin.namespace}/{origin.name} of {origin.cluster} in {consumer}"


def service_applied(outcome: StepResult) -> ConditionReport:
    """Condition ServiceApplied for one reconcile."""
    notes = _in_order(_skipped(outcome.skips))
    if outcome.errors:
        return _failure(wk.SERVICE_APPLIED, wk.SERVICE_APPLIED_FAILED, outcome.errors, notes)
    return _success(wk.SERVICE_APPLIED, wk.SERVICE_APPLIED_SUCCEED, SERVICE_APPLIED_MESSAGE, notes)


def slices_dispatched(slices: Mapping[SliceRef, StepResult], failed: Iterable[str] = ()) -> ConditionReport:
    """Condition EndpointSliceDispatched over all slices of the service.

    Args:
        slices: what became of each.
        failed: what else went wrong, in words as in `StepResult.errors`.
    """
    errors = {error for outcome in slices.values() for error in outcome.errors} | set(failed)
    found = set(_skipped(skip for outcome in slices.values() for skip in outcome.skips))
    found |= {
        Note(wk.EVENT_INVALID_ANNOTATION, clip(one.problem)) for one in slices.values() if one.problem is not None
    }
    found.update(_addresses(slices))
    nothing_exposed, unmatched = _unmatched([one.ports for one in slices.values() if one.ports is not None])
    if unmatched is not None and nothing_exposed:
        errors.add(unmatched)
    elif unmatched is not None:
        found.add(Note(wk.EVENT_PORTS_NOT_FOUND, clip(unmatched)))
    notes = _in_order(found)
    if errors:
        return _failure(wk.SLICE_DISPATCHED, wk.SLICE_DISPATCHED_FAILED, sorted(errors), notes)
    return _success(wk.SLICE_DISPATCHED, wk.SLICE_DISPATCHED_SUCCEED, SLICE_DISPATCHED_MESSAGE, notes)


def merge(observed: tuple[Condition, ...], wanted: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """The list with the wanted conditions in it, others kept, in the order they have.

    `lastTransitionTime` moves only when `status` does (metav1's SetStatusCondition). `now` is RFC 3339 in UTC. The
    result equals `observed` if nothing differs.
    """
    merged = list(observed)
    for condition in wanted:
        before = find_condition(observed, condition.type)
        same_status = before is not None and before.status == condition.status
        at = before.last_transition_time if before is not None and same_status else now
        stamped = msgspec.structs.replace(condition, last_transition_time=at)
        if before is None:
            merged.append(stamped)
        elif before != stamped:
            merged[merged.index(before)] = stamped
    return tuple(merged)


def equal_ignoring_time(before: Condition | None, after: Condition) -> bool:
    """Whether two conditions differ in nothing that is worth an event."""
    return before is not None and (before.status, before.reason, before.message) == (
        after.status,
        after.reason,
        after.message,
    )


def news(
    before: Condition | None, verdict: ConditionReport, known: Collection[Note] = (), told: Collection[Note] = ()
) -> list[EventToRecord]:
    """What people should hear: that the condition changed, and which clusters are skipped that were not before.

    Nothing if it did not change, so a restart tells nothing. That a condition stays True and skips more clusters is
    told by their events alone.

    Args:
        before: the condition as it was, as far as it was there.
        verdict: what is written now.
        known: notes that were told before.
        told: notes that are told along with another condition of the same write.
    """
    condition = verdict.condition
    if equal_ignoring_time(before, condition):
        return []
    new = [one for one in verdict.notes if one not in known]
    ok = condition.status == "True"
    stays = ok and new and before is not None and before.status == "True"
    own = [] if stays else [EventToRecord(ok, None, clip(condition.message))]
    return [*own, *_gathered(one for one in new if one not in told)]


def clip(text: str, size: int = _MAX_ITEM) -> str:
    """The text, cut to so many characters."""
    return text if len(text) <= size else f"{text[: size - 1]}…"


def printable(text: str) -> str:
    """The text with all control characters escaped: what others say must not forge lines."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def listed(items: Iterable[str], room: int = _ROOM) -> str:
    """The items in the order given, as far as there is room for them: a list is cut between two items, and says so."""
    shown: list[str] = []
    for item in items:
        room -= len(item) + 2
        if room < 0:
            return "; ".join([*shown, "and others"])
        shown.append(item)
    return "; ".join(shown)


def by_reason(reasons: Iterable[tuple[str, str]], room: int = _ROOM) -> str:
    """Pairs of cluster and reason: "m1, m3: why; m2: why else". Those of one reason come together, cut as `listed`.

    Reasons come in the order of the first cluster that each of them is about.
    """
    named = sorted(set(reasons))
    first = {why: cluster for cluster, why in reversed(named)}
    items: list[str] = []
    for why, group in groupby(sorted(named, key=lambda one: (first[one[1]], one[1])), lambda one: one[1]):
        room -= len(why) + 4
        clusters: list[str] = []
        for cluster, _ in group:
            room -= len(cluster) + 2
            if room < 0:
                break
            clusters.append(cluster)
        if clusters:
            items.append(f"{', '.join(clusters)}: {why}")
        if room < 0:
            return "; ".join([*items, "and others"])
    return "; ".join(items)


def _gathered(notes: Iterable[Note]) -> Iterable[EventToRecord]:
    """One event for each; one for all of those that share a reason if they are very many."""
    by_why: dict[tuple[str, str], list[Note]] = {}
    for one in notes:
        why = one.text if one.reason in _NOTES else one.text.partition(": ")[2]
        by_why.setdefault((one.reason, why), []).append(one)
    for (reason, why), those in by_why.items():
        if len(those) > _MAX_NAMES:
            names = [one.text.partition(": ")[0] for one in those]
            yield EventToRecord(False, reason, f"{', '.join(names[:_MAX_NAMES])} and others: {why}")
        else:
            yield from (EventToRecord(False, reason, one.text) for one in those)


def _success(kind: str, reason: str, text: str, notes: tuple[Note, ...]) -> ConditionReport:
    return _verdict(Condition(kind, "True", reason, text), notes)


def _failure(kind: str, reason: str, errors: Iterable[str], notes: tuple[Note, ...]) -> ConditionReport:
    return _verdict(Condition(kind, "False", reason, listed(dict.fromkeys(map(clip, errors)))), notes)


def _verdict(condition: Condition, notes: tuple[Note, ...]) -> ConditionReport:
    skipped = [_split(note.text) for note in notes if note.reason not in _NOTES]
    sentences = [f"Skipped: {by_reason((cluster, why) for cluster, _, why in skipped)}."] if skipped else []
    sentences += [f"Note: {note.text}." for note in notes if note.reason in _NOTES]
    message = condition.message
    if sentences:
        message = " ".join([message if message.endswith(".") else f"{message}.", *sentences])
    return ConditionReport(msgspec.structs.replace(condition, message=clip(message, MAX_MESSAGE)), notes)


def _split(text: str) -> tuple[str, str, str]:
    return text.partition(": ")


def _skipped(skips: Iterable[SkippedCluster]) -> Iterable[Note]:
    return (Note(skip.reason, f"{skip.cluster}: {clip(skip.message)}") for skip in skips)


def _addresses(slices: Mapping[SliceRef, StepResult]) -> Iterable[Note]:
    """What is to be said of the addresses that providers give their endpoints, in one note of each sort.

    How many there are is told in powers of ten, so that it does not change with every Pod.
    """
    by_provider: defaultdict[tuple[bool, str], list[Finding]] = defaultdict(list)
    for origin, outcome in slices.items():
        for one in outcome.addresses:
            by_provider[one.left_out, origin.cluster].append(one)
    items: defaultdict[bool, list[str]] = defaultdict(list)
    for (left_out, provider), those in sorted(by_provider.items()):
        total = sum(one.total for one in those)
        worst = min(those, key=lambda one: (one.worst, one.example))
        many = f"more than {10 ** (len(str(total - 1)) - 1)}, such as " if total > 1 else ""
        items[left_out].append(f"{provider}: {many}{worst.example} ({worst.why})")
    for left_out, each in items.items():
        reason = wk.EVENT_ADDRESSES_LEFT_OUT if left_out else wk.EVENT_SUSPICIOUS_ADDRESSES
        what = "addresses of endpoints were left out" if left_out else "endpoints have suspicious addresses"
        yield Note(reason, f"{what}: {listed(each, _ADDRESS_ROOM)}")


def _in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """By cluster, notes last; the same in both conditions."""
    return tuple(sorted(set(notes), key=lambda one: (one.reason in _NOTES, *_split(one.text), one.reason)))


def _unmatched(ports: list[Ports]) -> tuple[bool, str | None]:
    """Whether no slice has any listed port, and what is to be said of those that no slice has, if there are any."""
    if not ports:
        return False, None
    listed_ports = ports[0].listed
    missing = [entry for entry in listed_ports if all(entry in one.missing for one in ports)]
    if not missing:
        return False, None
    there = sorted({port for one in ports for port in one.there})
    text = f"spec.ports lists {', '.join(missing)}, but the slices have {', '.join(there)}"
    return len(missing) == len(listed_ports), text
