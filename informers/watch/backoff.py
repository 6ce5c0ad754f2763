"""How long to wait before trying again: one informer by itself (Backoff), and all those of one server (ServerHealth).

A server that answers "too many requests" or "internal error" is asked to do less: each informer backs off by itself,
doubling its delays up to half a minute. A server that does not answer says nothing about its load, and has none from us
while it is away. So the delays stay short there, to be at work again soon after it is back; and as twenty informers
learn no more than one, they take turns.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

    from workqueue.clock import Clock

BASE_SECONDS: Final = 0.8
MAX_SECONDS: Final = 30.0
RESET_SECONDS: Final = 120.0

MIN_TURN_SECONDS: Final = 0.5
MAX_TURN_SECONDS: Final = 1.0
"""While a server is away, it is tried once in a random time between these, whoever does it."""

SPREAD_SECONDS: Final = 0.2
"""When it answers, the others go on within this time."""


class Backoff:
    """Doubling delays with full jitter, beginning anew after a quiet spell.

    The numbers are those of client-go's reflector. Its jitter adds to the delay; ours takes the whole range from zero,
    which spreads the informers of many clusters best after a common cause (AWS, "Exponential Backoff And Jitter").
    """

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._attempts = 0
        self._last = clock.monotonic()

    def next(self) -> float:
        """Seconds to wait now, assuming that they are waited."""
        now = self._clock.monotonic()
        if now - self._last > RESET_SECONDS:
            self._attempts = 0
        ceiling = min(MAX_SECONDS, BASE_SECONDS * 2 ** min(self._attempts, 16))
        self._attempts += 1
        delay = self._rng.uniform(0.0, ceiling)
        self._last = now + delay
        return delay

    def reset(self) -> None:
        """Begin anew: there is reason to believe that things are well again."""
        self._attempts = 0


class ServerHealth:
    """What the informers of one API server know together about whether it answers. Not thread-safe.

    Attributes:
        answers: how often the server was heard, in whatever words: a page, a line of a watch, an error status. An
            attempt during which this did not grow found nobody at home.
    """

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._turn = asyncio.Lock()  # first come, first served; given on when its holder is cancelled
        self._waiting: set[asyncio.Task[None]] = set()
        self.answers = 0

    def answered(self) -> None:
        """The server was heard: let all who wait go on."""
        self.answers += 1
        for turn in self._waiting:
            turn.cancel()

    async def wait(self) -> None:
        """After an attempt without an answer, return when it makes sense to try again.

        That is when it is the caller's turn, or soon after the server answered somebody else.
        """
        answers = self.answers
        async with asyncio.TaskGroup() as group:  # a task of its own, so that answered() can end it and nothing else
            turn = group.create_task(self._wait_for_turn())
            self._waiting.add(turn)
            turn.add_done_callback(self._waiting.discard)
        if self.answers != answers:
            await self._clock.sleep(self._rng.uniform(0.0, SPREAD_SECONDS))

    async def _wait_for_turn(self) -> None:
        async with self._turn:
            await self._clock.sleep(self._rng.uniform(MIN_TURN_SECONDS, MAX_TURN_SECONDS))
