"""Time that moves only when the test says so.

A :class:`FakeClock` goes where production passes a `RealClock`. Nothing sleeps for real, and times are exact:

    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.advance(4.999)
    assert not task.done()
    await clock.advance(0.001)
    assert task.done()
"""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from typing import Any, cast

_NANOSECOND = 1_000_000_000
_MAX_ROUNDS = 100_000


async def settle() -> None:
    """Let every task run until all of them wait for something: a sleep, a future, a socket.

    Looks into asyncio's own event loop (`_ready`), because no public call tells whether anything is left to run; a
    fixed number of `sleep(0)` would be too few for somebody some day. Does not wait for sockets or threads.

    Raises:
        AssertionError: the tasks never come to rest, for example because one polls with `sleep(0)`.
    """
    ready = cast("Any", asyncio.get_running_loop())._ready
    for _ in range(_MAX_ROUNDS):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError(f"the event loop did not come to rest in {_MAX_ROUNDS} rounds: something is spinning")


class FakeClock:
    """A `workqueue.clock.Clock` moved by :meth:`advance`. Whole nanoseconds inside, so ten times 0.1 is 1.

    Starts at 1000 seconds (so that a forgotten 0 shows) and at 2026-01-01T00:00:00Z.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = 1000 * _NANOSECOND
        self._epoch = start - timedelta(seconds=1000)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._now / _NANOSECOND

    def utcnow(self) -> datetime:
        """See `Clock.utcnow`."""
        return self._epoch + timedelta(microseconds=self._now // 1000)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`. A positive time is at least one nanosecond, so that nobody spins on a rounding error."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._now + max(1, round(seconds * _NANOSECOND)), self._order, woken))
        await woken  # cancelled with its sleeper, and skipped when its time comes

    async def advance(self, seconds: float) -> None:
        """Move time on, waking sleepers in the order of their deadlines, each at its own time.

        After each of them all tasks run until they wait again, so one woken may sleep anew and wake within the same
        call. `advance(0)` wakes nobody and just lets the tasks run.
        """
        target = self._now + round(seconds * _NANOSECOND)
        await settle()
        # One nanosecond of slack, as asyncio's timers have: deadlines computed in floats may miss by a rounding error.
        while seconds > 0 and (deadline := self.next_deadline) is not None and deadline <= target + 1:
            _, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, deadline)
            woken.set_result(None)
            await settle()
        self._now = max(self._now, target)

    def freeze(self, seconds: float) -> None:
        """Let time pass in which nobody ran: the process was stopped, or its machine was suspended.

        To be called from anywhere, also between two lines of one task. Sleepers that are due wake with the next
        :meth:`advance`, as late as in a real process.
        """
        self._now += round(seconds * _NANOSECOND)

    def jump_wall_clock(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or an administrator does. Monotonic time does not notice."""
        self._epoch += timedelta(seconds=seconds)

    @property
    def next_deadline(self) -> int | None:
        """When the next sleeper wakes, in nanoseconds of this clock; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    @property
    def sleepers(self) -> int:
        """How many sleeps are under way."""
        return sum(not woken.done() for _, _, woken in self._sleepers)
