"""Cache sync at start: which controllers wait for which cache, and how slow caches are reported.

controller-runtime gives a cache `CacheSyncTimeout` (two minutes) and then ends the process, which begins anew and ends
again, so one kind that is not served keeps every controller from working. Here the process goes on: informers try for
ever, so the cache fills by itself once the cause is gone, and nothing is gained by a restart. After the same time the
log says what is missing and what to do; until then the informers' own warnings do. `/readyz` says it at once.

A cache that only some controllers need can be set apart. Then these alone wait for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from informers.errors import Forbidden, KubeError, NotFound, TransportError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.resource import Resource
    from workqueue import Clock

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS: Final = 5.0
"""Between two looks at caches that are overdue."""


class Cache(Protocol):
    """A SharedInformer, as far as its first list goes."""

    @property
    def resource(self) -> Resource[Any]:
        """What it holds."""
        ...

    @property
    def has_synced(self) -> bool:
        """Whether it has had a complete list."""
        ...

    @property
    def last_error(self) -> KubeError | None:
        """Why the last list or watch failed; None if it did not."""
        ...

    async def wait_synced(self) -> None:
        """Return once :attr:`has_synced`."""
        ...


class CacheSync:
    """The caches that must sync at start. A runnable that reports the slow ones. Not thread-safe."""

    name: Final = "first lists"

    def __init__(self, *, clock: Clock, overdue_seconds: float, manifests: str) -> None:
        """Starts nothing.

        Args:
            clock: for the time until caches are overdue.
            overdue_seconds: how long a first list may take before the log says that it is missing.
            manifests: where people find what to apply, for the advice; empty if nowhere.
        """
        self._clock = clock
        self._overdue_seconds = overdue_seconds
        self._manifests = manifests
        self._caches: list[Cache] = []
        self._apart: dict[Cache, tuple[str, ...]] = {}
        self._begun = False

    def require_only_for(self, cache: Cache, controllers: Iterable[str]) -> None:
        """Let only these controllers, by name, wait for `cache`."""
        self._apart[cache] = (*self._apart.get(cache, ()), *controllers)

    def begin(self, caches: Iterable[Cache]) -> None:
        """These are the caches. What is made later is the business of whoever makes it."""
        self._caches = list(caches)
        self._begun = True

    @property
    def complete(self) -> bool:
        """Whether all caches, also those set apart, have had their first list."""
        return self._begun and not self._missing()

    async def wait(self) -> None:
        """Return once every cache that is not set apart has its first list. Without a limit."""
        for cache in self._caches:
            if cache not in self._apart:
                await cache.wait_synced()

    async def wait_for(self, controller: str) -> None:
        """Return once those that are set apart for this controller have theirs. Without a limit."""
        for cache, controllers in self._apart.items():
            if controller in controllers:
                await cache.wait_synced()

    def check(self) -> str:
        """For `/readyz`: empty, or what is missing, why, and what to do about it."""
        if not self._begun:
            return "the first lists have not begun"
        return "; ".join(
            f"no list of {cache.resource} yet, so {self._waiting(cache)} cannot work: {_reason(cache)}; "
            f"{self._next_step(cache.last_error)}"
            for cache in self._missing()
        )

    async def run(self) -> None:
        """Log each cache that is overdue, and again whenever its error changes. Returns when none is missing."""
        await self._clock.sleep(self._overdue_seconds)
        told: dict[Cache, str] = {}
        while missing := self._missing():
            for cache in missing:
                reason = _reason(cache)
                if told.get(cache) != reason:
                    told[cache] = reason
                    log.error(
                        "Cache not synced yet, retrying",
                        extra={
                            "kind": str(cache.resource),
                            "error": reason,
                            "waiting": self._waiting(cache),
                            "next_step": self._next_step(cache.last_error),
                        },
                    )
            await self._clock.sleep(LOOK_AGAIN_SECONDS)
        if told:
            log.info("All caches are synced")

    def _missing(self) -> list[Cache]:
        return [cache for cache in self._caches if not cache.has_synced]

    def _waiting(self, cache: Cache) -> str:
        return ", ".join(self._apart.get(cache, ("every controller",)))

    def _next_step(self, error: KubeError | None) -> str:
        where = f" (see {self._manifests})" if self._manifests else ""
        match error:
            case None:
                return "the server is slow, or the list is long: wait, or look at the server"
            case NotFound():
                return f"the server does not serve this kind: apply its CustomResourceDefinition{where}"
            case Forbidden():
                return f"let this identity list and watch the kind: apply the roles{where}"
            case Unauthorized():
                return "the server does not accept the credentials: renew those in the kubeconfig"
            case TransportError():
                return "the server cannot be reached: check its address and the network"
            case _:
                return "look at the server"


def _reason(cache: Cache) -> str:
    return "no answer yet" if cache.last_error is None else str(cache.last_error)
