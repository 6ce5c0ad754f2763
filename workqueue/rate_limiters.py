"""How long an item waits before it is tried again.

Semantics of client-go `util/workqueue/default_rate_limiters.go`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from workqueue.priority import T
from workqueue.token_bucket import TokenBucket

if TYPE_CHECKING:
    from workqueue.clock import Clock

T_contra = TypeVar("T_contra", bound=Hashable, contravariant=True)


class RateLimiter(Protocol[T_contra]):
    """Decides about retries. Keeps state for each item until told to forget it. Not thread-safe."""

    def when(self, item: T_contra) -> float:
        """Count one more try of `item` and return how many seconds it must wait first."""
        ...

    def forget(self, item: T_contra) -> None:
        """The item succeeded, or is given up: its next failure is its first."""
        ...

    def num_requeues(self, item: T_contra) -> int:
        """How often `item` failed since it was last forgotten."""
        ...


class ItemExponentialFailureRateLimiter(Generic[T]):
    """`base_delay` * 2^failures of the item, at most `max_delay` (seconds)."""

    def __init__(self, base_delay: float, max_delay: float) -> None:
        """Delays in seconds: after the first failure, and the longest. Keeps a number for each item that failed."""
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._failures: dict[T, int] = {}

    def when(self, item: T) -> float:
        """See :meth:`RateLimiter.when`."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        # Beyond 2^63 the cap holds for any delay one could configure; the power itself overflows a float at 2^1024.
        return min(self._max_delay, self._base_delay * 2.0 ** min(failures, 63))

    def forget(self, item: T) -> None:
        """See :meth:`RateLimiter.forget`."""
        self._failures.pop(item, None)

    def num_requeues(self, item: T) -> int:
        """See :meth:`RateLimiter.num_requeues`."""
        return self._failures.get(item, 0)


class BucketRateLimiter:
    """A token bucket over all items together; knows nothing of single ones."""

    def __init__(self, bucket: TokenBucket) -> None:
        """Each try takes a token of `bucket`, in debt if need be, and waits until it is paid."""
        self._bucket = bucket

    def when(self, item: Hashable) -> float:
        """See :meth:`RateLimiter.when`."""
        return self._bucket.reserve()

    def forget(self, item: Hashable) -> None:
        """Nothing to forget."""

    def num_requeues(self, item: Hashable) -> int:
        """Always 0."""
        return 0


class MaxOfRateLimiter(Generic[T]):
    """The longest wait of several limiters. Each of them counts each try."""

    def __init__(self, *limiters: RateLimiter[T]) -> None:
        """No limiter at all means no wait."""
        self._limiters = limiters

    def when(self, item: T) -> float:
        """See :meth:`RateLimiter.when`."""
        return max((limiter.when(item) for limiter in self._limiters), default=0.0)

    def forget(self, item: T) -> None:
        """See :meth:`RateLimiter.forget`."""
        for limiter in self._limiters:
            limiter.forget(item)

    def num_requeues(self, item: T) -> int:
        """See :meth:`RateLimiter.num_requeues`."""
        return max((limiter.num_requeues(item) for limiter in self._limiters), default=0)


def default_controller_rate_limiter(
    *, clock: Clock, base_delay: float = 0.005, max_delay: float = 1000.0, qps: float = 10.0, burst: int = 100
) -> RateLimiter[Hashable]:
    """What controllers use unless told otherwise: exponential for each item, and a bucket for all retries together.

    Delays in seconds, `qps` in retries a second. Defaults of client-go's `DefaultTypedControllerRateLimiter`.
    """
    return MaxOfRateLimiter[Hashable](
        ItemExponentialFailureRateLimiter[Hashable](base_delay, max_delay),
        BucketRateLimiter(TokenBucket(qps, burst, clock=clock)),
    )
