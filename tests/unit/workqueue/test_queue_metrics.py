"""What a queue tells its metrics (client-go util/workqueue/metrics_test.go)."""

import asyncio

import pytest

from tests.support.clock import FakeClock
from workqueue import LOW, URGENT, DelayingQueue, Queue, QueueMetrics, QueueState


class Recorded:
    """A provider for one queue that keeps everything it is told."""

    def __init__(self) -> None:
        self.name = ""
        self.adds = self.retries = 0
        self.waits: list[float] = []
        self.works: list[float] = []

    def register(self, name: str, state: QueueState) -> QueueMetrics:
        self.name, self.state = name, state
        return self

    def added(self) -> None:
        self.adds += 1

    def retried(self) -> None:
        self.retries += 1

    def waited(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))

    def worked(self, seconds: float) -> None:
        self.works.append(round(seconds, 6))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Recorded:
    return Recorded()


@pytest.fixture
def queue(clock: FakeClock, metrics: Recorded) -> DelayingQueue[str]:
    return DelayingQueue("q", clock=clock, metrics=metrics)


async def test_adds_count_items_not_calls(queue: Queue[str], metrics: Recorded):
    assert metrics.name == "q"
    queue.add("a")
    queue.add("a")
    assert metrics.adds == 1
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert metrics.adds == 2
    queue.shut_down()
    queue.add("b")
    assert metrics.adds == 2


async def test_depth_counts_waiting_items_including_those_added_while_processing(queue: Queue[str], metrics: Recorded):
    queue.add("a")
    queue.add("b")
    assert metrics.state.depth() == {0: 2}
    await queue.get()
    assert metrics.state.depth() == {0: 1}
    queue.add("a")
    assert metrics.state.depth() == {0: 2}


async def test_depth_is_counted_by_priority(queue: DelayingQueue[str], clock: FakeClock, metrics: Recorded):
    assert metrics.state.depth() == {0: 0}
    queue.add("a")
    queue.add("b", priority=LOW)
    queue.add("c", priority=LOW)
    assert metrics.state.depth() == {0: 1, LOW: 2}
    queue.add("c")
    assert metrics.state.depth() == {0: 2, LOW: 1}
    await queue.get()
    queue.add("a", priority=LOW)
    assert metrics.state.depth() == {0: 1, LOW: 2}
    queue.add("a", priority=URGENT)
    assert metrics.state.depth() == {0: 1, LOW: 1, URGENT: 1}
    queue.done("a")
    assert metrics.state.depth() == {0: 1, LOW: 1, URGENT: 1}
    queue.add_after("d", 5, priority=URGENT)
    assert metrics.state.depth() == {0: 1, LOW: 1, URGENT: 1}
    for _ in range(3):
        queue.done(await queue.get())
    assert metrics.state.depth() == {0: 0, LOW: 0, URGENT: 0}


async def test_raising_an_item_is_no_second_add(queue: DelayingQueue[str], metrics: Recorded):
    queue.add("a", priority=LOW)
    queue.add("a")
    await queue.get()
    queue.add("a", priority=LOW)
    queue.add("a")
    assert metrics.adds == 2


async def test_waiting_time_runs_from_the_first_add_to_get(queue: Queue[str], clock: FakeClock, metrics: Recorded):
    queue.add("a")
    await clock.advance(2)
    queue.add("a")
    await clock.advance(3)
    await queue.get()
    queue.add("a")
    await clock.advance(3)
    queue.add("a", priority=URGENT)
    await clock.advance(4)
    queue.done("a")
    await clock.advance(1)
    queue.add("a", priority=URGENT + 1)
    await queue.get()
    assert metrics.waits == [5, 8]


async def test_working_time_runs_from_get_to_done(queue: Queue[str], clock: FakeClock, metrics: Recorded):
    queue.add("a")
    await queue.get()
    await clock.advance(0.25)
    queue.done("a")
    assert metrics.works == [0.25]


async def test_unfinished_work_is_read_live(queue: Queue[str], clock: FakeClock, metrics: Recorded):
    assert (metrics.state.unfinished_work_seconds(), metrics.state.longest_running_seconds()) == (0, 0)
    queue.add("a")
    queue.add("b")
    await queue.get()
    await clock.advance(10)
    await queue.get()
    await clock.advance(5)
    assert (metrics.state.unfinished_work_seconds(), metrics.state.longest_running_seconds()) == (20, 15)
    queue.done("a")
    assert (metrics.state.unfinished_work_seconds(), metrics.state.longest_running_seconds()) == (5, 5)


async def test_delayed_item_counts_when_it_is_due(queue: DelayingQueue[str], clock: FakeClock, metrics: Recorded):
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run())
        queue.add_after("a", 5)
        queue.add_after("b", 5)
        queue.add("b")
        assert (metrics.adds, metrics.state.depth()) == (1, {0: 1})
        await clock.advance(5)
        assert (metrics.adds, metrics.state.depth()) == (2, {0: 2})
        await queue.get()
        assert metrics.waits == [5]
        queue.shut_down()


async def test_delayed_adds_count_as_retries(queue: DelayingQueue[str], metrics: Recorded):
    queue.add_after("a", 1)
    queue.add_after("b", 0)
    assert (metrics.retries, metrics.adds) == (2, 1)
    queue.shut_down()
    queue.add_after("c", 1)
    assert metrics.retries == 2
