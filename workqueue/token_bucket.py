"""A token bucket: so many events a second, with room for a burst.

Used by the queue's overall rate limit and by the API clients' qps/burst flags. Semantics as `golang.org/x/time/rate`:
the bucket starts full, refills continuously, and a reservation may run it into debt, which later callers wait for. But
who waits is served by priority, and fairly between flows: when bulk work, or one member's, has exhausted a client's
limit, that does not hold up what is news, or what is others'.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from workqueue.clock import time_limit
from workqueue.fair_queue import FairQueue
from workqueue.priority import Turn, current_flow, current_turn

if TYPE_CHECKING:
    from workqueue.clock import Clock

_ALMOST: Final = 1 - 1e-6
"""A token, but for rounding: of the time slept and of the sum."""


class _Waiter:
    __slots__ = ("served", "woken")

    def __init__(self) -> None:
        self.served = False
        self.woken = asyncio.Event()  # to leave with a token, or to watch the time from now on


class TokenBucket:
    """At most `burst` events at once and `qps` events a second over time.

    Not thread-safe; within one event loop no lock is needed, because :meth:`reserve` does not await.
    """

    def __init__(self, qps: float, burst: int, *, clock: Clock) -> None:
        """A full bucket: `qps` tokens a second by `clock`, and room for `burst` of them.

        Raises:
            ValueError: a number is not positive.
        """
        if qps <= 0 or burst <= 0:
            raise ValueError(f"qps and burst must be positive, got {qps} and {burst}")
        self._qps = qps
        self._burst = float(burst)
        self._clock = clock
        self._tokens = self._burst
        self._last = clock.monotonic()
        # Who waits for a token; nobody while there is one. One of them watches the time for all, and when it leaves,
        # wakes another to do so.
        self._order: FairQueue[_Waiter] = FairQueue()
        self._watched = False

    def reserve(self) -> float:
        """Take one token now and return how many seconds its holder must wait before acting (0 if none).

        Those in :meth:`wait` come after it.
        """
        self._serve()
        self._tokens -= 1.0
        return 0.0 if self._tokens >= 0 else -self._tokens / self._qps

    def try_take(self) -> bool:
        """Take one token if there is a free one; never runs into debt."""
        self._serve()
        if self._tokens < _ALMOST:
            return False
        self._tokens -= 1.0
        return True

    @property
    def is_full(self) -> bool:
        """Whether it is as it was in the beginning."""
        self._serve()
        return self._tokens >= self._burst

    async def wait(self, *, priority: int | None = None) -> None:
        """Take one token, and wait until there is one.

        Highest priority first; within one priority flows take turns, and within one flow it is the order of the calls;
        no priority starves: see :class:`~workqueue.fair_queue.FairQueue`. The flow is that of what is being done now,
        :func:`~workqueue.priority.current_flow`. Cancelling gives the place back, and the token if there was one.

        Args:
            priority: by default that of what is being done now, :func:`~workqueue.priority.current_priority`, and as
                high as that becomes.
        """
        if self.try_take():
            return
        waiter = _Waiter()
        turn = current_turn() if priority is None else Turn(priority)
        self._order.add(waiter, turn.priority, self._last, current_flow())
        promote = partial(self._order.promote, waiter)
        turn.waits.add(promote)
        try:
            while not waiter.served:
                waiter.woken.clear()
                if self._watched:
                    await waiter.woken.wait()
                else:
                    await self._watch(waiter)
        except BaseException:
            if waiter.served:
                self._tokens += 1.0
            else:
                self._order.remove(waiter)
            self._serve()
            raise
        finally:
            turn.waits.discard(promote)
            # The last to come has the longest to wait, so the watch seldom changes hands.
            if not self._watched and (last := self._order.last()) is not None:
                last.woken.set()

    async def _watch(self, waiter: _Waiter) -> None:
        self._watched = True
        try:
            async with time_limit(self._clock, (1.0 - self._tokens) / self._qps):
                await waiter.woken.wait()
        except TimeoutError:
            self._serve()
        finally:
            self._watched = False

    def _serve(self) -> None:
        """Give those who wait the tokens that have come since the last look."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._last) * self._qps)
        self._last = now
        while self._tokens >= _ALMOST and (place := self._order.take()) is not None:
            self._tokens -= 1.0
            place[0].served = True
            place[0].woken.set()
