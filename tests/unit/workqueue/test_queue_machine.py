"""The queue against a plain model, under any order of calls.

The model knows no futures and no timers, just lists: whatever hypothesis does to both, they must agree on who got what,
when. Laws that follow: one item is never with two workers, nothing added before shutdown is lost, duplicates collapse,
order is kept, delays collapse to the earliest, a cancelled worker takes nothing along.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.clock import FakeClock, settle
from workqueue import DelayingQueue, ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS = st.sampled_from("abcd")
DELAYS = st.sampled_from([-1, 0, 1, 2, 3, 5])


@dataclass
class Model:
    """What the queue should be."""

    now: int = 0
    waiting: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)  # added while being processed
    processing: set[str] = field(default_factory=set)
    delayed: list[tuple[int, int, str]] = field(default_factory=list)  # due, age, item
    shut_down: bool = False

    def add(self, item: str) -> None:
        if self.shut_down or item in self.waiting or item in self.again:
            return
        (self.again if item in self.processing else self.waiting).append(item)

    def add_after(self, item: str, delay: int) -> None:
        if delay <= 0:
            self.add(item)
        elif not self.shut_down:
            due = self.now + delay
            if all(due < other for other, _, name in self.delayed if name == item):
                self.delayed = [entry for entry in self.delayed if entry[2] != item]
                self.delayed.append((due, max((age for _, age, _ in self.delayed), default=0) + 1, item))

    def get(self) -> str:
        item = self.waiting.pop(0)
        self.processing.add(item)
        return item

    def done(self, item: str) -> None:
        self.processing.remove(item)
        if item in self.again:
            self.again.remove(item)
            self.waiting.append(item)

    def fall_due(self) -> None:
        self.now += 1
        for due, age, item in sorted(self.delayed):
            if due <= self.now:
                self.delayed.remove((due, age, item))
                self.add(item)


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.queue: DelayingQueue[str] = DelayingQueue("q", clock=self.clock)
        self.model = Model()
        self.workers: list[asyncio.Task[str]] = []  # waiting, longest first
        self.drains: list[asyncio.Task[None]] = []
        self.runner.get_loop().create_task(self.queue.run())

    def do(self, *actions: Callable[[], object]) -> None:
        """Do all of that in one step of the event loop, then let it settle."""

        async def step() -> None:
            for action in actions:
                action()
            await settle()

        self.runner.run(step())

    def start_worker(self) -> None:
        self.workers.append(asyncio.get_running_loop().create_task(self.queue.get()))

    @rule(items=st.lists(ITEMS, min_size=1, max_size=4))
    def add(self, items: list[str]) -> None:
        for item in items:
            self.model.add(item)
        self.do(*(lambda item=item: self.queue.add(item) for item in items))
        self.serve()

    @rule(item=ITEMS, delay=DELAYS)
    def add_after(self, item: str, delay: int) -> None:
        self.model.add_after(item, delay)
        self.do(lambda: self.queue.add_after(item, delay))
        self.serve()

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def worker_comes(self) -> None:
        self.do(self.start_worker)
        self.serve()

    @precondition(lambda self: self.workers)
    @rule(item=ITEMS, item_first=st.booleans(), data=st.data())
    def worker_is_cancelled_while_an_item_comes(self, item: str, item_first: bool, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(self.workers))
        self.workers.remove(victim)
        self.model.add(item)
        steps: list[Callable[[], object]] = [lambda: self.queue.add(item), victim.cancel]
        self.do(*(steps if item_first else reversed(steps)))
        assert victim.cancelled()
        self.serve()

    @precondition(lambda self: self.model.processing)
    @rule(data=st.data())
    def worker_finishes(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.model.processing)))
        self.model.done(item)
        self.do(lambda: self.queue.done(item))
        self.serve()

    @rule()
    def a_second_passes(self) -> None:
        self.model.fall_due()
        self.runner.run(self.clock.advance(1))
        self.serve()

    # Seldom, or most runs would end here.
    @precondition(lambda self: not self.model.shut_down and self.model.now >= 3)
    @rule(drain=st.booleans())
    def shut_down(self, drain: bool) -> None:
        self.model.shut_down = True
        self.model.delayed.clear()
        if drain:
            loop = self.runner.get_loop()
            self.do(lambda: self.drains.append(loop.create_task(self.queue.shut_down_with_drain())))
        else:
            self.do(self.queue.shut_down)
        self.serve()

    def serve(self) -> None:
        """Every waiting worker has what the model would give it, in the order in which they came."""
        while self.workers and (self.model.waiting or self.model.shut_down):
            worker = self.workers.pop(0)
            assert worker.done(), f"a worker waits although there is {self.model.waiting or 'a shutdown'}"
            if self.model.waiting:
                assert worker.result() == self.model.get()
            else:
                assert isinstance(worker.exception(), ShutDown)

    @invariant()
    def they_agree(self) -> None:
        assert len(self.queue) == len(self.model.waiting)
        assert self.queue.depth() == len(self.model.waiting) + len(self.model.again)
        assert not any(worker.done() for worker in self.workers)
        idle = not (self.model.waiting or self.model.again or self.model.processing)
        assert all(drain.done() == idle for drain in self.drains)

    def teardown(self) -> None:
        self.runner.close()


QueueMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
