"""When a Work that its member did not take is tried again.

    refused (4xx, or somebody else's object is there)   after a minute, and later if thousands are refused: all of them
                                                        together use a tenth of the member's request limit at most
    failed (5xx, a conflict, no answer, 401)            soon, then later and later, up to the same; without an answer
                                                        or with a token that was replaced (401), up to five seconds
    cannot be reached                                   not at all: what brings the member back leads back to its Works
    put off (`Deferred`)                                when the error says

Any change is tried at once, whatever is due later. Deviates from Karmada, whose back-off goes up to a thousand seconds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from informers.errors import Conflict, TransportError, Unauthorized
from mcs_controller.runtime.reconcile import ReconcileError, Request
from workqueue.rate_limiters import ItemExponentialFailureRateLimiter

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 60.0
"""From one try of what a member refuses to the next."""

_AWAY_SECONDS: Final = 5.0
_FIRST_SECONDS: Final = 0.25
_SHARE: Final = 0.1
"""Of a member's request limit that tries of what it refuses may use."""
_JITTER: Final = 0.2


class Deferred(ReconcileError):
    """Not written for now, and the text says why."""

    def __init__(self, message: str, seconds: float) -> None:
        """`seconds`: until the next try."""
        super().__init__(message)
        self.seconds = seconds


class Retries:
    """Keeps a number for each member, and a line for each Work that waits. Not thread-safe."""

    def __init__(
        self, *, clock: Clock, rng: random.Random, member_qps: float, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        """`member_qps` are the requests a second to each member; `rng` spreads the tries over time."""
        self._clock = clock
        self._rng = rng
        self._spacing = 1 / (member_qps * _SHARE)
        self._seconds = retry_seconds
        self._failures = ItemExponentialFailureRateLimiter[Request](_FIRST_SECONDS, retry_seconds)
        self._refused: dict[str, dict[Request, str]] = {}
        """By cluster: Works that wait for another try, and what was last said about each."""
        self._latest: dict[str, float] = {}
        """By cluster: when the last one of them is due."""
        self._reported: dict[str, str] = {}
        """By cluster: why its Works wait for it."""

    def after(self, request: Request, cluster: str, errors: Sequence[BaseException]) -> float:
        """Seconds from now to the next try of a Work that failed with these; the log hears of each change."""
        refused = self._refused.setdefault(cluster, {})
        text = "; ".join(str(error) for error in errors)
        changed = refused.get(request) != text
        refused[request] = text
        delay = self._delay(request, cluster, errors)
        level = logging.WARNING if changed else logging.DEBUG
        _log.log(level, "Work not applied", extra={"cluster": cluster, "error": text, "retry_seconds": round(delay, 1)})
        return delay

    def succeeded(self, request: Request, cluster: str) -> None:
        """The Work was applied, or is gone, or is given up."""
        self._failures.forget(request)
        refused = self._refused.get(cluster)
        if refused is not None and refused.pop(request, None) is not None and not refused:
            del self._refused[cluster]
            self._latest.pop(cluster, None)

    def waits(self, cluster: str, why: str) -> None:
        """Works of the cluster wait for it, which the log hears once."""
        if self._reported.get(cluster) != why:
            self._reported[cluster] = why
            _log.warning("Works wait for their cluster", extra={"cluster": cluster, "error": why})

    def reached(self, cluster: str) -> None:
        """The cluster's Works need not wait for it any more."""
        self._reported.pop(cluster, None)

    def _delay(self, request: Request, cluster: str, errors: Sequence[BaseException]) -> float:
        deferred = [error.seconds for error in errors if isinstance(error, Deferred)]
        if deferred:
            others = [error for error in errors if not isinstance(error, Deferred)]
            return min(*deferred, self._delay(request, cluster, others) if others else deferred[0])
        jitter = self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        if all(isinstance(error, TransportError | Unauthorized) for error in errors):
            return min(self._failures.when(request), _AWAY_SECONDS) * jitter
        if any(isinstance(error, Conflict) or getattr(error, "retryable", False) for error in errors):
            asked = max(getattr(error, "retry_after", None) or 0.0 for error in errors)
            return max(self._failures.when(request) * jitter, asked)
        # One after the other, so that a thousand that were refused at once are not tried at once. No later than all of
        # them together need: some that waited may be applied by now.
        now = self._clock.monotonic()
        longest = self._seconds * (1 + _JITTER) + len(self._refused[cluster]) * self._spacing
        in_turn = min(self._latest.get(cluster, 0.0) + self._spacing, now + longest)
        due = max(now + self._seconds * jitter, in_turn)
        self._latest[cluster] = due
        return due - now
