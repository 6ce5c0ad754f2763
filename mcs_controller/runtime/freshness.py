"""Stale caches, named by `/readyz` and the log, also when nothing can be written.

The leader names those of all clusters on its Lease as well, for tools that cannot read its metrics. What is stale is
decided here for all: conditions, metrics, the status page.
"""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

from informers.errors import NotFound
from informers.metrics import STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.errors import KubeError
    from informers.resource import Resource
    from workqueue import Clock

_log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 0.5
"""docs/staleness.md counts on it."""

_MAX_PUBLISHED: Final = 20
"""Caches that are named on the Lease."""


class Cache(Protocol):
    """A SharedInformer, as far as its age goes."""

    @property
    def resource(self) -> Resource[Any]:
        """What it holds."""
        ...

    @property
    def made_monotonic(self) -> float:
        """When it was made."""
        ...

    @property
    def last_confirmed_monotonic(self) -> float | None:
        """When it was last known to be right; None if it never was."""
        ...

    @property
    def last_error(self) -> KubeError | None:
        """Why the last list or watch failed; None if it did not."""
        ...


C = TypeVar("C", bound=Cache)


def ages(caches: Iterable[C], now: float) -> list[tuple[C, float]]:
    """For how many seconds each cache of a cluster was not confirmed, by the clock of the caches.

    A cache without a first list is as old as it is. Kinds that the API server does not have are left out. That is
    believed if it never had them, or if it answers for others: a load balancer without servers says 404, too.
    """
    found: list[tuple[C, float]] = []
    absent: list[tuple[C, float]] = []
    for cache in caches:
        confirmed, missing = cache.last_confirmed_monotonic, isinstance(cache.last_error, NotFound)
        since = confirmed if confirmed is not None else cache.made_monotonic
        if not (missing and confirmed is None):
            (absent if missing else found).append((cache, max(0.0, now - since)))
    return found if any(age <= STALE_SECONDS for _, age in found) else found + absent


class Freshness:
    """A runnable, and a check for `/readyz`: names caches that were not confirmed for some time. Not thread-safe."""

    name: Final = "freshness of caches"

    def __init__(
        self,
        caches: Callable[[], Iterable[tuple[str, Cache]]],
        *,
        required: Iterable[Cache],
        clock: Clock,
        publish: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Looks at nothing yet.

        Args:
            caches: all there are, each with its cluster, which is empty for the control plane; by cluster.
            required: those of the control plane that nothing works without; it may still grow. They make the process
                unready, also if their kind is gone.
            clock: that of the caches.
            publish: called twice a second with what is stale, of all clusters: `CLUSTER/RESOURCE=SECONDS`, joined by
                commas.
        """
        self._caches = caches
        self._required = required
        self._clock = clock
        self._publish = publish
        self._known: frozenset[tuple[str, str]] = frozenset()
        self._reported: frozenset[tuple[str, str]] = frozenset()
        self._on_change: list[Callable[[str, str], None]] = []

    def is_stale(self, cluster: str, plural: str) -> bool:
        """Whether objects of that kind in the cluster were stale when it was last looked: twice a second."""
        return (cluster, plural) in self._known

    def on_change(self, listener: Callable[[str, str], None]) -> None:
        """Call `listener` with cluster and plural of what becomes stale, and of what is confirmed again or gone."""
        self._on_change.append(listener)

    def check(self) -> str:
        """Empty, or which required caches are stale, for how long, and why. `CacheSync` tells of those never listed."""
        now = self._clock.monotonic()
        return "; ".join(
            f"{cache.resource} not confirmed for {now - confirmed:.0f} s: {_reason(cache)}"
            for cache in self._required
            if (confirmed := cache.last_confirmed_monotonic) is not None and now - confirmed > STALE_SECONDS
        )

    async def run(self) -> NoReturn:
        """Tell what becomes stale, and what is confirmed again. Runs until cancelled."""
        while True:
            await self._clock.sleep(LOOK_AGAIN_SECONDS)
            all_stale = self._stale()
            worst = sorted(all_stale, key=lambda one: -one[2])[:_MAX_PUBLISHED]
            self._publish(",".join(sorted(f"{cluster}/{cache.resource}={age:.0f}" for cluster, cache, age in worst)))
            stale = {(cluster, str(cache.resource)): cache for cluster, cache, _ in all_stale}
            for cluster, resource in sorted(self._reported ^ stale.keys()):
                cache = stale.get((cluster, resource))
                owner = "a member" if cluster else "the control plane"
                fields = {"cluster": cluster} if cluster else {}
                if cache is not None:
                    fields |= {"resource": resource, "error": _reason(cache)}
                    _log.warning("Objects of %s may be out of date", owner, extra=fields)
                else:
                    _log.info("Objects of %s are up to date again", owner, extra=fields | {"resource": resource})
            self._reported = frozenset(stale)
            before = self._known
            self._known = frozenset((cluster, cache.resource.plural) for cluster, cache, _ in all_stale)
            for cluster, plural in sorted(before ^ self._known):
                for listener in self._on_change:
                    listener(cluster, plural)

    def _stale(self) -> list[tuple[str, Cache, float]]:
        now = self._clock.monotonic()
        return [
            (cluster, cache, age)
            for cluster, caches in groupby(self._caches(), key=lambda one: one[0])
            for cache, age in ages((cache for _, cache in caches), now)
            if age > STALE_SECONDS
        ]


def _reason(cache: Cache) -> str:
    return str(cache.last_error) if cache.last_error is not None else "lists are not answered"
