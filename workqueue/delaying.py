"""A queue to which items can be added later.

Semantics of client-go `util/workqueue/delaying_queue.go`.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING, Final

from workqueue.metrics import NO_METRICS
from workqueue.priority import NORMAL, T
from workqueue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from workqueue.clock import Clock
    from workqueue.metrics import MetricsProvider
    from workqueue.priority import Flow


_FEW: Final = 64
"""Replaced entries that are not worth the work of dropping them."""


class DelayingQueue(Queue[T]):
    """A :class:`Queue` whose :meth:`add_after` delays. :meth:`run` must run, or delayed items stay delayed."""

    def __init__(
        self,
        name: str = "",
        *,
        clock: Clock,
        metrics: MetricsProvider = NO_METRICS,
        flow: Callable[[T], Flow] | None = None,
        per_flow: int | None = None,
    ) -> None:
        """As :class:`Queue`; `clock` also tells when a delay is over. Starts no timer: :meth:`run` does."""
        super().__init__(name, clock=clock, metrics=metrics, flow=flow, per_flow=per_flow)
        # When each delayed item is due, and with which priority; the truth. The heap may also hold entries that an
        # earlier time has replaced, but not many more than there are items.
        self._due: dict[T, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._sequence = count()  # breaks ties by age, and keeps the heap from comparing items
        self._changed = asyncio.Event()  # something is due, or due sooner than the timer thinks, or it is all over

    def add_after(self, item: T, seconds: float, *, priority: int = NORMAL) -> None:
        """Add `item` after `seconds`; at once if that is zero or less.

        Of two delays for one item the earlier end wins, and so does the higher priority. An ordinary :meth:`add` does
        not cancel a delay: the item is then added twice, as in client-go. (In controller-runtime's priority queue it
        does; then a change takes away the later look that somebody else has asked for.) Ignored once shutdown has
        begun, and what is delayed then is dropped.
        """
        if self.shutting_down:
            return
        self._metrics.retried()
        if seconds <= 0:
            self.add(item, priority=priority)
            return
        due = self._clock.monotonic() + seconds
        known = self._due.get(item)
        if known is not None:
            priority = max(priority, known[1])
            if due >= known[0]:
                self._due[item] = (known[0], priority)
                return
        sooner = not self._heap or due < self._heap[0][0]
        self._due[item] = (due, priority)
        heapq.heappush(self._heap, (due, next(self._sequence), item))
        if len(self._heap) > 2 * len(self._due) + _FEW:
            self._drop_replaced()
        if sooner:
            self._changed.set()

    async def run(self) -> None:
        """Move delayed items into the queue as they fall due. Returns when the queue is shut down.

        At most one timer runs at a time, whatever the number of items.
        """
        async with asyncio.TaskGroup() as group:
            while not self.shutting_down:
                self._changed.clear()
                self._add_due()
                timer = group.create_task(self._sleep_until_next(), name=f"{self.name} delay")
                await self._changed.wait()
                timer.cancel()

    def _begin_shutdown(self) -> None:
        super()._begin_shutdown()
        self._due.clear()
        self._heap.clear()
        self._changed.set()

    def _add_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, item = heapq.heappop(self._heap)
            known = self._due.get(item)
            if known is not None and known[0] == due:
                del self._due[item]
                self.add(item, priority=known[1])

    def _drop_replaced(self) -> None:
        current: dict[T, tuple[float, int, T]] = {}  # one entry for each item, the oldest
        for entry in sorted(self._heap):
            due, _, item = entry
            known = self._due.get(item)
            if known is not None and known[0] == due:
                current.setdefault(item, entry)
        self._heap = list(current.values())  # sorted, so a heap

    async def _sleep_until_next(self) -> None:
        if self._heap:
            await self._clock.sleep(self._heap[0][0] - self._clock.monotonic())
            self._changed.set()
