"""The queue against a plain model, under any order of calls.

The model knows no futures, no timers and no levels, just lists: whatever hypothesis does to both, they must agree on
who got what, when, and with which priority. Laws that follow: one item is never with two workers, nothing added before
shutdown is lost, duplicates collapse, order and priorities are kept, nobody starves, delays collapse to the earliest,
failures back off, a cancelled worker takes nothing along.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.clock import FakeClock, settle
from tests.support.scale import SCALE
from workqueue import LOW, NORMAL, URGENT, ItemExponentialFailureRateLimiter, RateLimitingQueue, ShutDown
from workqueue.priority import AGING_INTERVAL

ITEMS = st.sampled_from("abcdefgh")
DELAYS = st.sampled_from([-1, 0, 1, 2, 3, 5])
PRIORITIES = st.sampled_from([LOW, NORMAL, NORMAL, URGENT, 7])
LONGEST_BACK_OFF = 4


@dataclass
class Waiting:
    """An item that a worker could have."""

    item: str
    priority: int
    came: int  # the how manieth of all that came
    rank: int  # the same, but of those that came or moved up
    bound: int  # turns within which it must be served


@dataclass
class Model:
    """What the queue should be."""

    now: int = 0
    counter: int = 0
    turns: int = 0
    waiting: list[Waiting] = field(default_factory=list)
    again: dict[str, int] = field(default_factory=dict)  # added while being processed, with the priority
    processing: dict[str, int] = field(default_factory=dict)  # with the priority
    delayed: list[tuple[int, int, str, int]] = field(default_factory=list)  # due, age, item, priority
    failures: dict[str, int] = field(default_factory=dict)
    shut_down: bool = False

    def add(self, item: str, priority: int) -> None:
        if self.shut_down:
            return
        if item in self.processing:
            self.again[item] = max(priority, self.again.get(item, priority))
        elif known := [one for one in self.waiting if one.item == item]:
            if priority > known[0].priority:
                known[0].priority, known[0].rank = priority, self.count()
                known[0].bound = self.bound(len(self.waiting) - 1)
        else:
            self.come(item, priority)

    def come(self, item: str, priority: int) -> None:
        number = self.count()
        self.waiting.append(Waiting(item, priority, number, number, self.bound(len(self.waiting))))

    def count(self) -> int:
        self.counter += 1
        return self.counter

    def bound(self, others: int) -> int:
        return AGING_INTERVAL * (others + 1)

    def add_after(self, item: str, delay: int, priority: int) -> None:
        if delay <= 0:
            self.add(item, priority)
        elif not self.shut_down:
            due, age = self.now + delay, self.count()
            for entry in [entry for entry in self.delayed if entry[2] == item]:
                self.delayed.remove(entry)
                priority = max(priority, entry[3])
                if entry[0] <= due:
                    due, age = entry[:2]
            self.delayed.append((due, age, item, priority))

    def add_rate_limited(self, item: str, priority: int) -> None:
        failures = self.failures[item] = self.failures.get(item, 0) + 1
        self.add_after(item, min(LONGEST_BACK_OFF, 2 ** (failures - 1)), priority)

    def get(self) -> tuple[str, int]:
        first = {}
        for one in sorted(self.waiting, key=lambda one: one.rank, reverse=True):
            first[one.priority] = one
        chosen = first[max(first)]
        if len(first) > 1:
            self.turns += 1
            if self.turns == AGING_INTERVAL:
                self.turns, chosen = 0, min(first.values(), key=lambda one: one.came)
        self.waiting.remove(chosen)
        self.processing[chosen.item] = chosen.priority
        for one in self.waiting:
            one.bound -= 1
            assert one.bound > 0, f"{one} waits for longer than promised"
        return chosen.item, chosen.priority

    def done(self, item: str) -> None:
        del self.processing[item]
        if item in self.again:
            self.come(item, self.again.pop(item))

    def fall_due(self) -> None:
        self.now += 1
        for entry in sorted(self.delayed):
            due, _, item, priority = entry
            if due <= self.now:
                self.delayed.remove(entry)
                self.add(item, priority)

    def depth(self) -> dict[int, int]:
        priorities = [*(one.priority for one in self.waiting), *self.again.values()]
        return {priority: priorities.count(priority) for priority in priorities}


class QueueMachine(RuleBasedStateMachine):
    """Does the same to the queue and to the model. Three workers at most wait at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(1, LONGEST_BACK_OFF)
        self.queue: RateLimitingQueue[str] = RateLimitingQueue("q", clock=self.clock, rate_limiter=limiter)
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

    @rule(items=st.lists(st.tuples(ITEMS, PRIORITIES), min_size=1, max_size=8))
    def add(self, items: list[tuple[str, int]]) -> None:
        for item, priority in items:
            self.model.add(item, priority)
        self.do(*(lambda item=item, p=priority: self.queue.add(item, priority=p) for item, priority in items))
        self.serve()

    @rule(item=ITEMS, delay=DELAYS, priority=PRIORITIES)
    def add_after(self, item: str, delay: int, priority: int) -> None:
        self.model.add_after(item, delay, priority)
        self.do(lambda: self.queue.add_after(item, delay, priority=priority))
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
        self.model.add(item, NORMAL)
        steps: list[Callable[[], object]] = [lambda: self.queue.add(item), victim.cancel]
        self.do(*(steps if item_first else reversed(steps)))
        assert victim.cancelled()
        self.serve()

    @precondition(lambda self: self.model.processing)
    @rule(data=st.data(), fails=st.booleans())
    def worker_finishes(self, data: st.DataObject, fails: bool) -> None:
        item = data.draw(st.sampled_from(sorted(self.model.processing)))
        priority = self.model.processing[item]
        if fails:
            self.model.add_rate_limited(item, priority)
            self.do(lambda: self.queue.add_rate_limited(item, priority=self.queue.priority_of(item)))
        else:
            self.model.failures.pop(item, None)
            self.queue.forget(item)
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
                item, priority = self.model.get()
                assert (worker.result(), self.queue.priority_of(item)) == (item, priority)
            else:
                assert isinstance(worker.exception(), ShutDown)

    @invariant()
    def they_agree(self) -> None:
        assert len(self.queue) == len(self.model.waiting)
        assert {priority: items for priority, items in self.queue.depth().items() if items} == self.model.depth()
        assert all(self.queue.num_requeues(item) == self.model.failures.get(item, 0) for item in "abcdefgh")
        assert not any(worker.done() for worker in self.workers)
        for item, priority in self.model.processing.items():
            assert self.queue.priority_of(item) == priority
        idle = not (self.model.waiting or self.model.again or self.model.processing)
        assert all(drain.done() == idle for drain in self.drains)

    def teardown(self) -> None:
        self.runner.close()


QueueMachine.TestCase.settings = settings(max_examples=80 * SCALE, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase
