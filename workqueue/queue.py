"""The basic queue: each item waits at most once and is with at most one worker.

Semantics of client-go `util/workqueue/queue.go`, whose package comment promises:

- fair: items are processed in the order in which they were added (here: within one priority, see `priority.py`);
- stingy: one item is never processed by two workers at a time, and an item added several times before it can be
  processed is processed once;
- many producers and consumers; in particular, an item may be added again while it is being processed;
- shutdown is told: whoever gets learns of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Generic

from workqueue.metrics import NO_METRICS
from workqueue.priority import NORMAL, PriorityFifo, T

if TYPE_CHECKING:
    from workqueue.clock import Clock
    from workqueue.metrics import MetricsProvider


class ShutDown(Exception):
    """The queue was shut down and holds nothing more to work on."""


class Queue(Generic[T]):
    """A deduplicating queue of keys.

    Not thread-safe: all calls come from coroutines or callbacks of one event loop. Every method but :meth:`get` and
    :meth:`shut_down_with_drain` returns without awaiting, so no lock is needed.
    """

    def __init__(self, name: str = "", *, clock: Clock, metrics: MetricsProvider = NO_METRICS) -> None:
        """An empty queue. Starts nothing, and needs no running event loop.

        Args:
            name: label of its metrics.
            clock: measures how long items wait and are worked on.
            metrics: asked once, here, for the queue's own.
        """
        self.name = name
        self._clock = clock
        # Items that a worker could have, in the order in which they are handed out. None is in _processing.
        self._order: PriorityFifo[T] = PriorityFifo()
        # Items with a worker, with the time since which, and the priority with which it took them.
        self._processing: dict[T, tuple[float, int]] = {}
        # Items added while being processed, with their priority and the time of that; they follow once done.
        self._dirty: dict[T, tuple[int, float]] = {}
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

    def add(self, item: T, *, priority: int = NORMAL) -> None:
        """Mark `item` as needing to be processed.

        If it waits already it moves up to `priority` if that is higher, and nothing else happens; if it is being
        processed it will be processed once more afterwards, with the highest priority asked for meanwhile. Ignored once
        shutdown has begun.
        """
        if self._shutting_down:
            return
        if item in self._processing:
            self._add_again(item, priority)
        elif not self._order.promote(item, priority):
            self._metrics.added()
            self._push(item, priority, self._clock.monotonic())

    async def get(self) -> T:
        """Wait for the next item and take it. :meth:`done` must be called for it, whatever comes of it.

        The next is the one that waits longest of those with the highest priority; but an item of lower priority has its
        turn in bounded time, see :class:`~workqueue.priority.PriorityFifo`. Cancelling a waiting call loses no item.

        Raises:
            ShutDown: the queue was shut down and is empty.
        """
        while (place := self._order.take()) is None:
            if self._shutting_down:
                raise ShutDown
            await self._wait_for_item()
        item, priority, since, _ = place
        now = self._clock.monotonic()
        self._metrics.waited(now - since)
        self._processing[item] = (now, priority)
        return item

    def priority_of(self, item: T) -> int:
        """With which priority `item` was taken; what is added meanwhile does not count.

        Raises:
            ValueError: `item` is not being processed.
        """
        taken = self._processing.get(item)
        if taken is None:
            raise ValueError(f"priority_of() without get(): {item!r}")
        return taken[1]

    def done(self, item: T) -> None:
        """Tell that `item` has been processed. If it was added again meanwhile it goes back to the end of its priority.

        Raises:
            ValueError: `item` is not being processed.
        """
        taken = self._processing.pop(item, None)
        if taken is None:
            raise ValueError(f"done() without get(): {item!r}")
        self._metrics.worked(self._clock.monotonic() - taken[0])
        if self._dirty and item in self._dirty:
            self._push(item, *self._dirty.pop(item))
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

    def depth(self) -> dict[int, int]:
        """See :class:`workqueue.metrics.QueueState`."""
        depth = self._order.depth()
        for priority, _ in self._dirty.values():
            depth[priority] = depth.get(priority, 0) + 1
        return depth

    def unfinished_work_seconds(self) -> float:
        """See :class:`workqueue.metrics.QueueState`."""
        now = self._clock.monotonic()
        return sum((now - started for started, _ in self._processing.values()), 0.0)

    def longest_running_seconds(self) -> float:
        """See :class:`workqueue.metrics.QueueState`."""
        now = self._clock.monotonic()
        return max((now - started for started, _ in self._processing.values()), default=0.0)

    def _add_again(self, item: T, priority: int) -> None:
        known = self._dirty.get(item)
        if known is None:
            self._metrics.added()
            self._dirty[item] = (priority, self._clock.monotonic())
        elif priority > known[0]:
            self._dirty[item] = (priority, known[1])

    def _push(self, item: T, priority: int, since: float) -> None:
        self._order.add(item, priority, since)
        if self._getters:
            self._wake_getter()

    def _idle(self) -> bool:
        return not self._order and not self._processing

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
