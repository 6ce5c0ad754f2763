"""How long an item waits before it is tried again.

Semantics of client-go `util/workqueue/default_rate_limiters.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from workqueue.fair_queue import head_of
from workqueue.priority import Flow, T
from workqueue.token_bucket import TokenBucket

if TYPE_CHECKING:
    from workqueue.clock import Clock

_MANY_BUCKETS: Final = 100
"""Kept before it is looked which of them are full."""

T_contra = TypeVar("T_contra", bound=Hashable, contravariant=True)


class RateLimiter(Protocol[T_contra]):
    """Decides about retries. Keeps state for each item until it is forgotten. Not thread-safe."""

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


class FlowBucketRateLimiter(Generic[T]):
    """A token bucket for each flow, by what it begins with, so that one that fails a lot delays no tries of others.

    Keeps the buckets that are not full, and some more.
    """

    def __init__(self, new_bucket: Callable[[], TokenBucket], flow: Callable[[T], Flow]) -> None:
        """Each try takes a token of its flow's bucket, in debt if need be, and waits until it is paid."""
        self._new_bucket = new_bucket
        self._flow = flow
        self._buckets: dict[Hashable, TokenBucket] = {}
        self._drop_at = _MANY_BUCKETS

    def when(self, item: T) -> float:
        """See :meth:`RateLimiter.when`."""
        head = head_of(self._flow(item))
        bucket = self._buckets.get(head)
        if bucket is None:
            if len(self._buckets) >= self._drop_at:
                self._buckets = {known: bucket for known, bucket in self._buckets.items() if not bucket.is_full}
                self._drop_at = max(_MANY_BUCKETS, 2 * len(self._buckets))
            bucket = self._buckets[head] = self._new_bucket()
        return bucket.reserve()

    def forget(self, item: T) -> None:
        """Nothing to forget."""

    def num_requeues(self, item: T) -> int:
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
    *,
    clock: Clock,
    base_delay: float = 0.005,
    max_delay: float = 1000.0,
    qps: float = 10.0,
    burst: int = 100,
    flow: Callable[[T], Flow] | None = None,
) -> RateLimiter[T]:
    """The default of controllers: exponential back-off for each item, and a bucket for all retries together.

    Delays in seconds, `qps` in retries a second. Defaults of client-go's `DefaultTypedControllerRateLimiter`. With
    `flow`, the retries of each member or namespace have a bucket of their own.
    """

    def new_bucket() -> TokenBucket:
        return TokenBucket(qps, burst, clock=clock)

    return MaxOfRateLimiter[T](
        ItemExponentialFailureRateLimiter[T](base_delay, max_delay),
        FlowBucketRateLimiter[T](new_bucket, flow) if flow is not None else BucketRateLimiter(new_bucket()),
    )
