"""The basic queue: each item waits at most once and is with at most one worker.

Semantics of client-go `util/workqueue/queue.go`, whose package comment promises:

- fair: items are processed in the order in which they were added (here: within one priority and flow, see
  `fair_queue.py`);
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

from workqueue.fair_queue import FairQueue, head_of
from workqueue.metrics import NO_METRICS
from workqueue.priority import NORMAL, Flow, T

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from workqueue.clock import Clock
    from workqueue.metrics import MetricsProvider


class ShutDown(Exception):
    """The queue was shut down and holds nothing more to work on."""


class Queue(Generic[T]):
    """A deduplicating queue of keys.

    Not thread-safe: all calls come from coroutines or callbacks of one event loop. Every method but :meth:`get` and
    :meth:`shut_down_with_drain` returns without awaiting, so no lock is needed.
    """

    def __init__(
        self,
        name: str = "",
        *,
        clock: Clock,
        metrics: MetricsProvider = NO_METRICS,
        flow: Callable[[T], Flow] | None = None,
        per_flow: int | None = None,
    ) -> None:
        """An empty queue. Starts nothing, and needs no running event loop.

        Args:
            name: label of its metrics.
            clock: measures how long items wait and are worked on.
            metrics: asked once, here, for the queue's own.
            flow: whose work an item is; asked when it begins to wait. None: all of them are one flow's.
            per_flow: so many items of flows that begin alike are in processing at a time, at most. None for no limit.
        """
        self.name = name
        self._clock = clock
        self._flow = flow
        self._per_flow = per_flow
        # How many items are in processing, by what their flows begin with.
        self._in_hand: dict[Hashable, int] = {}
        # Items that a worker could have, in the order in which they are handed out. None is in _processing.
        self._order: FairQueue[T] = FairQueue()
        # Items with a worker, with the time since which, and the priority and flow with which it took them.
        self._processing: dict[T, tuple[float, int, Flow]] = {}
        # Items added while being processed, with their priority and the time of that; they follow once done.
        self._dirty: dict[T, tuple[int, float]] = {}
        # Workers waiting for an item, longest first.
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shutting_down = False
        self._drained = asyncio.Event()
        self._metrics = metrics.register(name, self)

    def __len__(self) -> int:
        """How many items wait, also for others of their flow. Those added again while in processing are not counted."""
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
        """Wait for the next item and take it. :meth:`done` must be called for it, also after a failure.

        The next is the one that waits longest of those with the highest priority, of the flow whose turn it is; but an
        item of lower priority has its turn in bounded time, see :class:`~workqueue.fair_queue.FairQueue`. An item whose
        flow has its share in processing waits until one of them is done. Cancelling a waiting call loses no item.

        Raises:
            ShutDown: the queue was shut down and is empty.
        """
        while (place := self._order.take()) is None:
            if self._shutting_down and not self._order:
                raise ShutDown
            await self._wait_for_item()
        item, priority, since, _, flow = place
        now = self._clock.monotonic()
        self._metrics.waited(now - since)
        self._processing[item] = (now, priority, flow)
        if self._per_flow is not None:
            head = head_of(flow)
            in_hand = self._in_hand[head] = self._in_hand.get(head, 0) + 1
            if in_hand == self._per_flow:
                self._order.hold(head)
        if self._shutting_down and not self._order:
            self._wake_all_getters()
        return item

    def priority_of(self, item: T) -> int:
        """With which priority `item` was taken; what is added meanwhile does not count.

        Raises:
            ValueError: `item` is not being processed.
        """
        return self._taken(item, "priority_of")[1]

    def flow_of(self, item: T) -> Flow:
        """As whose work `item` was taken.

        Raises:
            ValueError: `item` is not being processed.
        """
        return self._taken(item, "flow_of")[2]

    def done(self, item: T) -> None:
        """Tell that `item` has been processed. If it was added again meanwhile it goes back to the end of its priority.

        Raises:
            ValueError: `item` is not being processed.
        """
        taken = self._processing.pop(item, None)
        if taken is None:
            raise ValueError(f"done() without get(): {item!r}")
        self._metrics.worked(self._clock.monotonic() - taken[0])
        if self._per_flow is not None:
            self._give_back(head_of(taken[2]))
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
        return sum((now - started for started, _, _ in self._processing.values()), 0.0)

    def longest_running_seconds(self) -> float:
        """See :class:`workqueue.metrics.QueueState`."""
        now = self._clock.monotonic()
        return max((now - started for started, _, _ in self._processing.values()), default=0.0)

    def _add_again(self, item: T, priority: int) -> None:
        known = self._dirty.get(item)
        if known is None:
            self._metrics.added()
            self._dirty[item] = (priority, self._clock.monotonic())
        elif priority > known[0]:
            self._dirty[item] = (priority, known[1])

    def _taken(self, item: T, asked: str) -> tuple[float, int, Flow]:
        taken = self._processing.get(item)
        if taken is None:
            raise ValueError(f"{asked}() without get(): {item!r}")
        return taken

    def _give_back(self, head: Hashable) -> None:
        in_hand = self._in_hand[head] - 1
        if in_hand:
            self._in_hand[head] = in_hand
        else:
            del self._in_hand[head]
        if in_hand + 1 == self._per_flow:
            self._order.resume(head)
            self._wake_getter()  # for the one that may have waited for this

    def _push(self, item: T, priority: int, since: float) -> None:
        self._order.add(item, priority, since, self._flow(item) if self._flow is not None else ())
        if self._getters:
            self._wake_getter()

    def _idle(self) -> bool:
        return not self._order and not self._processing

    def _begin_shutdown(self) -> None:
        self._shutting_down = True
        self._wake_all_getters()

    def _wake_all_getters(self) -> None:
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
