"""Which endpoints a consumer is offered, where a service has tiers: a pure function of what is there, and of before.

**Up to the first tier that is good enough.** A consumer is offered all endpoints of that tier and of those before it,
as these were not enough alone; none of later ones. If no tier is good enough it is offered all tiers. Drained clusters
come last, and only if no other tier has any ready endpoint.

**Fall back at once.** More endpoints harm nobody: each gets less than before.

**Hand back gently.** Endpoints of later tiers are taken away only after the better one was good enough for a while, and
delivered to the consumer; then in steps, each of which takes at most half of all that are offered, so that nobody who
stays gets more than twice what he got. Those of drained clusters need not wait, but go in the same steps.

A step is described by how many ready endpoints of a cluster are still offered. Which ones is the rank of their
addresses for this consumer, so each step's are among those of the step before, and consumers do not all keep the same.

After a restart the state is what the copies in the consumers hold: a hand-back under way goes on, one that was waited
for is waited for anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from informers.errors import UNDECODABLE
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.tiers import Minimum
from mcs_controller.domain.works import SliceRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work
    from mcs_controller.domain.tiers import ConsumerTiers, SelectionRules

LOOK_AGAIN_SECONDS: Final = 1.0
"""Between looks at whether the consumer has taken what it was given."""


_ANY_READY: Final = Minimum(1)
"""A tier that is not good enough is still better than a drained cluster."""


class Endpoint(NamedTuple):
    """One endpoint of a slice, by its first address."""

    origin: SliceRef
    address: str
    ready: bool


class Counts(NamedTuple):
    """Endpoints of a cluster or a tier."""

    ready: int = 0
    listed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerView:
    """What is known of one consumer of a service.

    Attributes:
        name: of the Cluster.
        tiers: see there.
        source: what the providers' slices have, those of withdrawn providers left out.
        own: what the consumer has itself; None if that will be known soon.
        held: ready addresses in the copies that were made for the consumer.
        delivered: of these, the copies that it has taken.
        takes_writes: whether its copies can be changed now.
    """

    name: str
    tiers: ConsumerTiers
    source: tuple[Endpoint, ...]
    own: Counts | None
    held: Mapping[SliceRef, frozenset[str]]
    delivered: frozenset[SliceRef]
    takes_writes: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What one consumer is offered.

    Attributes:
        whole: clusters all of whose endpoints are offered.
        kept: of other clusters, the addresses that are still offered.
        tier_of: of each cluster that is in a tier, the tier as it is written; of a drained one, that it is.
        last_resort: drained clusters that are offered, as no other has a ready endpoint.
        is_short: whether there are ready endpoints in its tiers, but in no tier enough.
        own_is_later: whether the consumer has ready endpoints of its own that no tier, or a later one, has.
        known: whether anything was decided. If not, each copy keeps the endpoints that it has.
    """

    whole: frozenset[str] = frozenset()
    kept: Mapping[SliceRef, frozenset[str]] = field(default_factory=dict)
    tier_of: Mapping[str, str] = field(default_factory=dict)
    last_resort: tuple[str, ...] = ()
    is_short: bool = False
    own_is_later: bool = False
    known: bool = True

    def differs(self, before: Decision, origin: SliceRef) -> bool:
        """Whether the copy of the slice is to be another one than by the decision before."""
        return (
            not before.known
            or self.offers(origin) != before.offers(origin)
            or self.tier_of.get(origin.cluster) != before.tier_of.get(origin.cluster)
        )

    def offers(self, origin: SliceRef) -> frozenset[str] | None:
        """The addresses of the slice that are offered; None for all."""
        return None if origin.cluster in self.whole else self.kept.get(origin, frozenset())


UNDECIDED: Final = Decision(known=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a decision needs to know of the one before.

    Attributes:
        tier: the place of the first tier that is good enough, or of the last one.
        since: when that tier was first good enough, in seconds of the clock that `decide` is given.
        stepped: when the last step was made; None if none was since then.
        budgets: how many ready endpoints of a cluster were offered; math.inf for all, then and later.
    """

    tier: int
    since: float
    stepped: float | None
    budgets: Mapping[str, float]


class Decided(NamedTuple):
    """A decision, what the next one needs of it, and in how many seconds that is due at the latest."""

    decision: Decision
    progress: Progress | None
    look_again: float | None = None


def decide(rules: SelectionRules, view: ConsumerView, before: Decided | None, now: float) -> Decided:
    """See the module.

    Args:
        rules: of the service.
        view: see there.
        before: what was decided last in this process, or None.
        now: seconds of a monotonic clock.
    """
    if view.own is None and view.tiers.own_tier is not None:
        return before if before is not None else Decided(UNDECIDED, None)
    counts = _count(view)
    place, is_good = _place(rules, view.tiers, counts)
    prefix = {name for _, names in view.tiers.tiers[: place + 1] for name in names}
    some_ready = any(counts[name].ready for name in prefix)
    last_resort = view.tiers.drained if not some_ready else ()
    prefix.update(last_resort)
    own_is_later = counts[view.name].ready > 0 and view.name not in prefix
    prefix.discard(view.name)
    later = _later(view, prefix)
    last = before.progress if before is not None else None
    budgets = {cluster: _budget(cluster, those, view, last) for cluster, those in later.items()}
    shown = {cluster: len(those[: _up_to(budgets[cluster])]) for cluster, those in later.items()}
    progress = Progress(place, now, None, {**dict.fromkeys(prefix, math.inf), **budgets})
    if last is None:
        # Of one who begins: a hand-back is under way if only a part is there.
        under_way = any(0 < shown[cluster] < len(those) for cluster, those in later.items())
        progress = replace(progress, since=-math.inf if under_way else now, stepped=now if under_way else None)
    else:
        progress = replace(progress, since=last.since if last.tier == place else now, stepped=last.stepped)
    look_again: float | None = None
    # What a consumer that takes no writes holds changes when it is back, in steps as well.
    if view.takes_writes and any(shown.values()) and any(counts[name].ready for name in (*prefix, view.name)):
        progress, look_again = _hand_back(rules, view, progress, later, counts, prefix, now, is_good=is_good)
    kept: defaultdict[SliceRef, set[str]] = defaultdict(set)
    for cluster, those in later.items():
        budget = progress.budgets[cluster]
        if budget != math.inf:
            for one in those[: _up_to(budget)]:
                kept[one.origin].add(one.address)
    whole = prefix | {cluster for cluster in later if progress.budgets[cluster] == math.inf}
    decision = Decision(
        whole=frozenset(whole),
        kept={one: frozenset(those) for one, those in kept.items()},
        tier_of={
            **{name: text for text, names in view.tiers.tiers for name in names},
            **dict.fromkeys(view.tiers.drained, wk.TIER_DRAINED),
        },
        last_resort=last_resort,
        is_short=some_ready and not is_good,
        own_is_later=own_is_later,
    )
    return Decided(decision, progress, look_again)


def _hand_back(
    rules: SelectionRules,
    view: ConsumerView,
    progress: Progress,
    later: Mapping[str, list[Endpoint]],
    counts: Mapping[str, Counts],
    prefix: set[str],
    now: float,
    *,
    is_good: bool,
) -> tuple[Progress, float | None]:
    """The next step, if it is due, and when to look again."""
    waits = progress.since + rules.hand_back_after - now
    going = [cluster for cluster in later if waits <= 0 or cluster in view.tiers.drained]
    held = {cluster: sum(_is_held(view, one) for one in those) for cluster, those in later.items()}
    leaving = sum(held[cluster] for cluster in going)
    if not leaving:
        return progress, waits if waits > 0 else None
    if progress.stepped is not None and (rest := progress.stepped + rules.hand_back_every - now) > 0:
        return progress, rest
    budgets = progress.budgets
    if any(held[cluster] > budgets[cluster] for cluster in going):
        return progress, LOOK_AGAIN_SECONDS  # the step before is not written yet
    delivered = _delivered(view, prefix)
    names = view.tiers.tiers[progress.tier][1] if is_good else (*prefix, view.name)
    minimum = rules.minimum if is_good else _ANY_READY
    ready = sum(counts[name].ready if name == view.name else delivered.get(name, 0) for name in names)
    if not minimum.is_met(ready, sum(counts[name].listed for name in names)):
        return progress, LOOK_AGAIN_SECONDS  # the consumer has not taken yet what is to stay
    stays = sum(delivered.values()) + (view.own.ready if view.own is not None else 0) + sum(held.values()) - leaving
    total = stays + leaving
    left = max(0, min(math.ceil(total * (1 - rules.hand_back_step)) - stays, leaving - 1))
    order = {name: place for place, (_, names) in enumerate(view.tiers.tiers) for name in names}
    ranked = sorted(
        (order.get(cluster, len(order)), place, cluster) for cluster in going for place in range(held[cluster])
    )
    keeps: defaultdict[str, int] = defaultdict(int)
    for _, _, cluster in ranked[:left]:
        keeps[cluster] += 1
    progress = replace(progress, stepped=now, budgets={**budgets, **{cluster: keeps[cluster] for cluster in going}})
    rest_of = sum(held.values()) - leaving + left
    return progress, rules.hand_back_every if left else (waits if rest_of and waits > 0 else None)


def _place(rules: SelectionRules, tiers: ConsumerTiers, counts: Mapping[str, Counts]) -> tuple[int, bool]:
    """The first tier that is good enough, or the last one."""
    for place, (_, names) in enumerate(tiers.tiers):
        if rules.minimum.is_met(*_sum(counts[name] for name in names)):
            return place, True
    return len(tiers.tiers) - 1, False


def _count(view: ConsumerView) -> defaultdict[str, Counts]:
    ready: defaultdict[str, int] = defaultdict(int)
    listed: defaultdict[str, int] = defaultdict(int)
    for one in view.source:
        listed[one.origin.cluster] += 1
        ready[one.origin.cluster] += one.ready
    counts = defaultdict(Counts, {name: Counts(ready[name], listed[name]) for name in listed})
    counts[view.name] = view.own or Counts()
    return counts


def _later(view: ConsumerView, prefix: set[str]) -> dict[str, list[Endpoint]]:
    """Ready endpoints of other clusters that are in some tier, by rank."""
    allowed = {name for _, names in view.tiers.tiers for name in names} | {*view.tiers.drained}
    found: dict[str, list[Endpoint]] = {name: [] for name in sorted(allowed - prefix - {view.name})}
    for one in view.source:
        if one.ready and one.origin.cluster in found:
            found[one.origin.cluster].append(one)
    for those in found.values():
        those.sort(key=lambda one: _rank(view.name, one))
    return found


def _budget(cluster: str, ready: list[Endpoint], view: ConsumerView, last: Progress | None) -> float:
    """How many of the cluster's ready endpoints are offered as yet."""
    if last is not None and cluster in last.budgets:
        return last.budgets[cluster]
    held = sum(_is_held(view, one) for one in ready)
    return math.inf if ready and held == len(ready) else held


def _delivered(view: ConsumerView, prefix: set[str]) -> Mapping[str, int]:
    """How many ready endpoints of these clusters the consumer has taken, by cluster."""
    found: defaultdict[str, int] = defaultdict(int)
    for one in view.source:
        if one.ready and one.origin.cluster in prefix and one.origin in view.delivered and _is_held(view, one):
            found[one.origin.cluster] += 1
    return found


def _is_held(view: ConsumerView, endpoint: Endpoint) -> bool:
    return endpoint.address in view.held.get(endpoint.origin, frozenset())


def _rank(consumer: str, endpoint: Endpoint) -> bytes:
    return blake2b(f"{consumer}/{endpoint.address}".encode(), digest_size=8).digest()


def _up_to(budget: float) -> int | None:
    return None if budget == math.inf else int(budget)


def _sum(counts: Iterable[Counts]) -> Counts:
    ready = listed = 0
    for one in counts:
        ready, listed = ready + one.ready, listed + one.listed
    return Counts(ready, listed)


class _Conditions(msgspec.Struct):
    ready: bool | None = None


class _Endpoint(msgspec.Struct):
    addresses: tuple[str, ...] | None = None
    conditions: _Conditions | None = None


class _Slice(msgspec.Struct):
    endpoints: tuple[_Endpoint, ...] | None = None


_slice = msgspec.json.Decoder(_Slice)
_endpoints = msgspec.json.Decoder(tuple[_Endpoint, ...] | None)


def endpoints_in(work: Work, origin: SliceRef) -> tuple[Endpoint, ...]:
    """The endpoints of the slice in a Work; none if it holds none that can be read."""
    try:
        return _listed(origin, _slice.decode(work.manifests[0].raw).endpoints) if work.manifests else ()
    except UNDECODABLE:
        return ()


def endpoints_of_slice(slice_: EndpointSlice, cluster: str) -> tuple[Endpoint, ...]:
    """The endpoints of a cluster's own slice; none of a copy, or if it has none that can be read."""
    if slice_.metadata.labels.get(wk.SLICE_MANAGED_BY) in wk.SLICE_MANAGERS:
        return ()
    try:
        endpoints = _endpoints.decode(slice_.endpoints)
    except UNDECODABLE:
        return ()
    return _listed(SliceRef(cluster, slice_.metadata.namespace, slice_.metadata.name), endpoints)


def _listed(origin: SliceRef, endpoints: Iterable[_Endpoint] | None) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(origin, one.addresses[0], one.conditions is None or one.conditions.ready is not False)
        for one in endpoints or ()
        if one.addresses
    )
