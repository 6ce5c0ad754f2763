"""How many endpoints of a MultiClusterService there are on each way from a provider to a consumer."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import endpoints_of
from mcs_controller.domain.selection import consumers_of, providers_of
from mcs_controller.domain.service_delivery import was_taken
from mcs_controller.domain.works import Role, SliceRef, cluster_of, origin_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.selection import Clusters


class Pair(NamedTuple):
    """A way that endpoints take."""

    provider: str
    consumer: str


class Counts(NamedTuple):
    """Endpoints of one pair.

    Attributes:
        wanted: all in the provider's slices, of those that the consumer is offered.
        ready: of these, those that are ready.
        delivered: ready ones in copies that the consumer has taken.
    """

    wanted: int
    ready: int
    delivered: int


class SliceCounts(NamedTuple):
    """Endpoints in one slice."""

    total: int = 0
    ready: int = 0


def endpoints_in(work: Work) -> SliceCounts:
    """Those in the slice of a Work; none if it holds none that can be read."""
    ready = [one.is_ready for one in endpoints_of(work)]
    return SliceCounts(len(ready), sum(ready))


def count_endpoints(
    mcs: MultiClusterService,
    works: Iterable[Work],
    clusters: Clusters,
    read: Callable[[Work], SliceCounts] = endpoints_in,
) -> dict[Pair, Counts]:
    """Of each provider and each other cluster that consumes, as far as they are registered.

    Of a slice of which the consumer is offered a part, by its tiers, this part is what is wanted. `works` are those of
    the service, and `read` may remember what it read.
    """
    offered: defaultdict[str, dict[SliceRef, SliceCounts]] = defaultdict(dict)
    parts: dict[tuple[str, SliceRef], SliceCounts] = {}
    copies: defaultdict[str, dict[SliceRef, int]] = defaultdict(dict)
    for work in works:
        origin = origin_of(work)
        if origin is None or work.metadata.deletion_timestamp is not None:
            continue
        if role_of(work) is Role.COLLECTED:
            offered[origin.cluster][origin] = read(work)
            continue
        consumer = cluster_of(work) or ""
        if work.metadata.annotations.get(wk.OFFERED, wk.OFFERED_WHOLE) != wk.OFFERED_WHOLE:
            parts[consumer, origin] = read(work)
        if was_taken(work):
            copies[consumer][origin] = read(work).ready

    def count(provider: str, consumer: str) -> Counts:
        wanted = [parts.get((consumer, origin), counts) for origin, counts in offered[provider].items()]
        return Counts(
            sum(one.total for one in wanted),
            sum(one.ready for one in wanted),
            sum(copies[consumer].get(origin, 0) for origin in offered[provider]),
        )

    return {
        Pair(provider, consumer): count(provider, consumer)
        for provider in _registered(providers_of(mcs, clusters), clusters)
        for consumer in _registered(consumers_of(mcs, clusters), clusters)
        if provider != consumer
    }


def count_tiers(
    works: Iterable[Work], read: Callable[[Work], SliceCounts] = endpoints_in
) -> dict[tuple[str, str], int]:
    """By consumer and tier, as it is written: ready endpoints of other clusters that the consumer is offered."""
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    for work in works:
        tier = work.metadata.annotations.get(wk.TIER)
        if tier is not None and role_of(work) is Role.DISPATCHED and work.metadata.deletion_timestamp is None:
            found[cluster_of(work) or "", tier] += read(work).ready
    return dict(found)


def _registered(names: Iterable[str], clusters: Clusters) -> list[str]:
    return [name for name in names if clusters.get(name) is not None]
