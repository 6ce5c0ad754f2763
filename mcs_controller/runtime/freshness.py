"""Stale caches, named by `/readyz` and the log, also when nothing can be written.

The leader names those of all clusters on its Lease as well, for tools that cannot read its metrics.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.errors import KubeError
    from informers.resource import Resource
    from workqueue import Clock

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS: Final = 0.5

_MAX_PUBLISHED: Final = 20
"""Caches that are named on the Lease."""


class Cache(Protocol):
    """A SharedInformer, as far as its age goes."""

    @property
    def resource(self) -> Resource[Any]:
        """What it holds."""
        ...

    @property
    def last_confirmed_monotonic(self) -> float | None:
        """When it was last known to be right; None if it never was."""
        ...

    @property
    def last_error(self) -> KubeError | None:
        """Why the last list or watch failed; None if it did not."""
        ...


class Freshness:
    """A runnable, and a check for `/readyz`: names caches that were not confirmed for some time. Not thread-safe."""

    name: Final = "freshness of caches"

    def __init__(
        self,
        caches: Callable[[], Iterable[tuple[str, Cache]]],
        *,
        required: Iterable[Cache],
        stale_seconds: float,
        clock: Clock,
        publish: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Looks at nothing yet. Caches that never had a list are not stale: `CacheSync` tells of these.

        Args:
            caches: all there are, each with its cluster, which is empty for the control plane.
            required: those of the control plane that nothing works without; it may still grow. Others do not make the
                process unready: a kind that a policy names is stale for good once its definition is deleted.
            stale_seconds: beyond this age a cache is stale.
            clock: that of the caches.
            publish: called twice a second with what is stale, of all clusters: `CLUSTER/RESOURCE=SECONDS`, joined by
                commas.
        """
        self._caches = caches
        self._required = required
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._publish = publish
        self._known: frozenset[tuple[str, str]] = frozenset()
        self._on_change: list[Callable[[str, str], None]] = []

    def is_stale(self, cluster: str, plural: str) -> bool:
        """Whether objects of that kind in the cluster were stale when it was last looked: twice a second."""
        return (cluster, plural) in self._known

    def on_change(self, listener: Callable[[str, str], None]) -> None:
        """Call `listener` with cluster and plural of what becomes stale, and of what is confirmed again or gone."""
        self._on_change.append(listener)

    def check(self) -> str:
        """Empty, or which required caches are stale, for how long, and why."""
        return "; ".join(
            f"{cache.resource} not confirmed for {age:.0f} s: {_reason(cache)}"
            for _, cache, age in self._stale([("", cache) for cache in self._required])
        )

    async def run(self) -> NoReturn:
        """Log what becomes stale of the control plane, and when it is confirmed again. Runs until cancelled."""
        reported: set[str] = set()
        while True:
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
            all_stale = self._stale(self._caches())
            worst = sorted(all_stale, key=lambda one: -one[2])[:_MAX_PUBLISHED]
            self._publish(",".join(sorted(f"{cluster}/{cache.resource}={age:.0f}" for cluster, cache, age in worst)))
            stale = {str(cache.resource): cache for cluster, cache, _ in all_stale if not cluster}
            for resource in stale.keys() - reported:
                fields = {"resource": resource, "error": _reason(stale[resource])}
                _log.warning("Objects of the control plane may be out of date", extra=fields)
            for resource in reported - stale.keys():
                _log.info("Objects of the control plane are up to date again", extra={"resource": resource})
            reported = set(stale)
            before = self._known
            self._known = frozenset((cluster, cache.resource.plural) for cluster, cache, _ in all_stale)
            for cluster, plural in sorted(before ^ self._known):
                for listener in self._on_change:
                    listener(cluster, plural)

    def _stale(self, caches: Iterable[tuple[str, Cache]]) -> list[tuple[str, Cache, float]]:
        now = self._clock.monotonic()
        return [
            (cluster, cache, now - confirmed)
            for cluster, cache in caches
            if (confirmed := cache.last_confirmed_monotonic) is not None and now - confirmed > self._stale_seconds
        ]


def _reason(cache: Cache) -> str:
    return str(cache.last_error) if cache.last_error is not None else "lists are not answered"
