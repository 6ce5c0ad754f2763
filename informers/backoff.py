"""How long to wait before trying again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

    from workqueue.clock import Clock

BASE_SECONDS: Final = 0.8
MAX_SECONDS: Final = 30.0
RESET_SECONDS: Final = 120.0


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
