"""Time as an argument.

Everything here and above that waits or measures takes a :class:`Clock`, so tests move time by hand. The lowest module
of the project: `informers` uses it too.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Clock(Protocol):
    """A source of time. All methods are safe to call from any coroutine of one event loop."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back, not moved by changes of the wall clock."""
        ...

    def utcnow(self) -> datetime:
        """The wall clock, timezone-aware in UTC. Only for time stamps that people or other processes read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` (at once if zero or less, but not before other tasks had a turn)."""
        ...


class RealClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`."""
        return time.monotonic()

    def utcnow(self) -> datetime:
        """See :meth:`Clock.utcnow`."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))


@asynccontextmanager
async def time_limit(clock: Clock, seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """As `asyncio.timeout(seconds)`, but by `clock`: cancels its body when the time is over.

    What the body raises leaves as it came, at once and without awaiting anything. So does a cancel from outside,
    whenever it comes, also together with the limit.

    Raises:
        TimeoutError: the body took longer. `expired()` of the yielded object tells it from one that the body raised.
    """

    async def expire(scope: asyncio.Timeout) -> None:
        await clock.sleep(seconds)
        scope.reschedule(asyncio.get_running_loop().time())

    # The timer is cancelled and never awaited: leaving must have no moment at which a cancel from outside could arrive.
    # A TaskGroup has one, and drops such a cancel if its body failed (Python 3.11 and 3.12).
    async with asyncio.timeout(None) as scope:
        timer = asyncio.create_task(expire(scope), name="time limit")
        try:
            yield scope
        finally:
            timer.cancel()
