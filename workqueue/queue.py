"""The basic queue: each item waits at most once and is with at most one worker.

Semantics of client-go `util/workqueue/queue.go`, whose package comment promises:

- fair: items are processed in the order in which they were added;
- stingy: one item is never processed by two workers at a time, and an item added several times before it can be
  processed is processed once;
- many producers and consumers; in particular, an item may be added again while it is being processed;
- shutdown is told: whoever gets learns of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from workqueue.metrics import NO_METRICS

if TYPE_CHECKING:
    from workqueue.clock import Clock
    from workqueue.metrics import MetricsProvider

T = TypeVar("T", bound=Hashable)


class ShutDown(Exception):
    """The queue was shut down and holds nothing more to work on."""


class Queue(Generic[T]):
    """A deduplicating queue of keys.

    Not thread-safe: all calls come from coroutines or callbacks of one event loop. Every method but :meth:`get` and
    :meth:`shut_down_with_drain` returns without awaiting, so no lock is needed.
    """

    def __init__(self, name: str = "", *, clock: Clock, metrics: MetricsProvider = NO_METRICS) -> None:
        self.name = name
        self._clock = clock
        # The order in which items are handed out. Each of its items is in _dirty and not in _processing.
        self._order: deque[T] = deque()
        # Items to be processed, with the time since which; they may be in _processing too, and follow once done.
        self._dirty: dict[T, float] = {}
        # Items with a worker, with the time since which.
        self._processing: dict[T, float] = {}
        # Workers waiting for an item, longest first.
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shutting_down = False
        self._drained = asyncio.Event()
        self._metrics = metrics.register(name, self)

    def __len__(self) -> int:
        """How many items a worker could get now. Those added again while in processing are not counted."""
        return len(self._order)

    @property
    def shutting_down(self) -> bool:
        """Whether shutdown has begun. Never turns false again."""
        return self._shutting_down

    def add(self, item: T) -> None:
        """Mark `item` as needing to be processed.

        If it waits already nothing happens; if it is being processed it will be processed once more afterwards. Ignored
        once shutdown has begun.
        """
        if self._shutting_down or item in self._dirty:
            return
        self._metrics.added()
        self._dirty[item] = self._clock.monotonic()
        if item not in self._processing:
            self._push(item)

    async def get(self) -> T:
        """Wait for the next item and take it. :meth:`done` must be called for it, whatever comes of it.

        Cancelling a waiting call loses no item.

        Raises:
            ShutDown: the queue was shut down and is empty.
        """
        while not self._order:
            if self._shutting_down:
                raise ShutDown
            await self._wait_for_item()
        item = self._order.popleft()
        now = self._clock.monotonic()
        self._metrics.waited(now - self._dirty.pop(item))
        self._processing[item] = now
        return item

    def done(self, item: T) -> None:
        """Tell that `item` has been processed. If it was added again meanwhile it goes back to the end of the queue.

        Raises:
            ValueError: `item` is not being processed.
        """
        started = self._processing.pop(item, None)
        if started is None:
            raise ValueError(f"done() without get(): {item!r}")
        self._metrics.worked(self._clock.monotonic() - started)
        if item in self._dirty:
            self._push(item)
        elif self._shutting_down and self._idle():
            self._drained.set()

    def shut_down(self) -> None:
        """Ignore further adds; workers get what is left and then :class:`ShutDown`. Ends a drain under way."""
        self._begin_shutdown()
        self._drained.set()

    async def shut_down_with_drain(self) -> None:
        """As :meth:`shut_down`, and wait until every item is done, also those added again while being processed.

        Returns early if :meth:`shut_down` is called. Waits for ever if no worker is left to empty the queue. (client-go
        promises the same but may return early between one worker's `Done` and its next `Get`.)
        """
        self._begin_shutdown()
        if self._idle():
            self._drained.set()
        await self._drained.wait()

    def depth(self) -> int:
        """See :class:`workqueue.metrics.QueueState`."""
        return len(self._dirty)

    def unfinished_work_seconds(self) -> float:
        """See :class:`workqueue.metrics.QueueState`."""
        now = self._clock.monotonic()
        return sum((now - started for started in self._processing.values()), 0.0)

    def longest_running_seconds(self) -> float:
        """See :class:`workqueue.metrics.QueueState`."""
        now = self._clock.monotonic()
        return max((now - started for started in self._processing.values()), default=0.0)

    def _push(self, item: T) -> None:
        self._order.append(item)
        self._wake_getter()

    def _idle(self) -> bool:
        return not self._dirty and not self._processing

    def _begin_shutdown(self) -> None:
        self._shutting_down = True
        while self._getters:
            self._wake_getter()

    async def _wait_for_item(self) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._getters.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):
                self._getters.remove(woken)
            # It may have been woken for an item, or not been woken because it was cancelled: that is the next one's.
            if self._order:
                self._wake_getter()
            raise

    def _wake_getter(self) -> None:
        if self._getters:
            woken = self._getters.popleft()
            if not woken.done():  # one already cancelled wakes the next itself, see above
                woken.set_result(None)
