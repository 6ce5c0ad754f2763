"""Time as an argument.

Everything here and above that waits or measures takes a :class:`Clock`, so tests move time by hand. The lowest module
of the project: `informers` uses it too.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


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
