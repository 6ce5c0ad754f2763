"""A queue in which failed items wait longer and longer.

Semantics of client-go `util/workqueue/rate_limiting_queue.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.delaying import DelayingQueue
from workqueue.metrics import NO_METRICS
from workqueue.priority import NORMAL, T

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.clock import Clock
    from workqueue.metrics import MetricsProvider
    from workqueue.priority import Flow
    from workqueue.rate_limiters import RateLimiter


class RateLimitingQueue(DelayingQueue[T]):
    """A :class:`DelayingQueue` that asks a :class:`RateLimiter` for the delay."""

    def __init__(
        self,
        name: str = "",
        *,
        clock: Clock,
        rate_limiter: RateLimiter[T],
        metrics: MetricsProvider = NO_METRICS,
        flow: Callable[[T], Flow] | None = None,
        per_flow: int | None = None,
    ) -> None:
        """As :class:`DelayingQueue`. `rate_limiter` is told of each try and each success; queues do not share one."""
        super().__init__(name, clock=clock, metrics=metrics, flow=flow, per_flow=per_flow)
        self._rate_limiter = rate_limiter

    def add_rate_limited(self, item: T, *, at_least: float = 0.0, priority: int = NORMAL) -> None:
        """Add `item` when the rate limiter says it may be tried again, and in `at_least` so many seconds.

        The latter is for servers that say when to come back.
        """
        self.add_after(item, max(at_least, self._rate_limiter.when(item)), priority=priority)

    def forget(self, item: T) -> None:
        """Tell the rate limiter that `item` needs no more retries. Does not touch the queue: call `done` as well."""
        self._rate_limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """How often `item` was added rate limited since it was last forgotten."""
        return self._rate_limiter.num_requeues(item)
