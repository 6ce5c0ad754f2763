"""A token bucket: so many events a second, with room for a burst.

Used by the queue's overall rate limit and by the API clients' qps/burst flags. Semantics as `golang.org/x/time/rate`:
the bucket starts full, refills continuously, and a reservation may run it into debt, which later callers wait for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workqueue.clock import Clock


class TokenBucket:
    """At most `burst` events at once and `qps` events a second over time.

    Not thread-safe; within one event loop no lock is needed, because :meth:`reserve` does not await.
    """

    def __init__(self, qps: float, burst: int, *, clock: Clock) -> None:
        """Raises ValueError unless both numbers are positive."""
        if qps <= 0 or burst <= 0:
            raise ValueError(f"qps and burst must be positive, got {qps} and {burst}")
        self._qps = qps
        self._burst = float(burst)
        self._clock = clock
        self._tokens = self._burst
        self._last = clock.monotonic()

    def reserve(self) -> float:
        """Take one token now and return how many seconds its holder must wait before acting (0 if none)."""
        self._refill()
        self._tokens -= 1.0
        return 0.0 if self._tokens >= 0 else -self._tokens / self._qps

    def try_take(self) -> bool:
        """Take one token if there is one; never runs into debt."""
        self._refill()
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    async def wait(self) -> None:
        """Take one token and sleep until it is due. Waiters are served in the order of their calls.

        If the sleep is cancelled the token is given back.
        """
        delay = self.reserve()
        if delay <= 0:
            return
        try:
            await self._clock.sleep(delay)
        except asyncio.CancelledError:
            self._tokens = min(self._burst, self._tokens + 1.0)
            raise

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._last) * self._qps)
        self._last = now
