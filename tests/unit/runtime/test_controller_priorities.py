"""Which requests go first, and that their priority goes on with them (controller-runtime's handlers and queue)."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from informers.cache.event import Event
from informers.resource import PartialObject
from mcs_controller.features import CONTROLLER_PRIORITY_QUEUE, FEATURES
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.feature_gates import FeatureGates
from mcs_controller.runtime.reconcile import ReconcileError, Request, Result, TerminalError
from tests.support.clock import FakeClock, settle
from tests.support.fake_informer import FakeSource, an_object
from workqueue import LOW, NORMAL, URGENT, ItemExponentialFailureRateLimiter, TokenBucket, current_priority
from workqueue.priority import current_turn


class Bench:
    """A controller whose reconciles are noted with the priority that holds while they run."""

    def __init__(self, *, priorities: bool = True, workers: int = 1) -> None:
        self.clock = FakeClock()
        self.seen: list[tuple[str, int]] = []
        self.act: Callable[[Request], Awaitable[Result]] = self.succeed
        self.controller: Controller[Request] = Controller(
            "the-controller",
            self,
            clock=self.clock,
            rate_limiter=ItemExponentialFailureRateLimiter(1, 1000),
            workers=workers,
            priorities=priorities,
        )

    async def reconcile(self, request: Request) -> Result:
        self.seen.append((request.name, current_priority()))
        return await self.act(request)

    async def succeed(self, request: Request) -> Result:
        return Result()

    def then(self, *steps: Result | Exception) -> None:
        """Return or raise these, one after the other, then succeed."""
        left = list(steps)

        async def act(request: Request) -> Result:
            step = left.pop(0) if left else Result()
            if isinstance(step, Exception):
                raise step
            return step

        self.act = act

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Controller[Request]]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.controller.run())
            await settle()
            yield self.controller
            task.cancel()

    @property
    def order(self) -> str:
        return "".join(name for name, _ in self.seen)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def request(name: str) -> Request:
    return Request("default", name)


async def test_change_goes_before_what_a_start_replays(bench: Bench):
    source = FakeSource(*(an_object(name) for name in "abc"), synced=False)
    bench.controller.watch(source, enqueue_object)
    async with bench.running():
        source.add("x")
        source.sync()
        await settle()
    assert bench.seen == [("x", NORMAL), ("a", LOW), ("b", LOW), ("c", LOW)]


async def test_replayed_object_that_changes_meanwhile_moves_up(bench: Bench):
    source = FakeSource(*(an_object(name) for name in "abc"), synced=False)
    bench.controller.watch(source, enqueue_object)
    async with bench.running():
        source.emit(Event(old=an_object("c"), new=an_object("c", resource_version="2")))
        source.sync()
        await settle()
    assert bench.seen == [("c", NORMAL), ("a", LOW), ("b", LOW)]


async def test_replay_for_a_source_added_later_does_not_delay_a_change(bench: Bench):
    async with bench.running() as controller:
        controller.add_source(FakeSource(*(an_object(name) for name in "ab")), enqueue_object)
        controller.enqueue(request("x"))
        await settle()
    assert bench.seen == [("x", NORMAL), ("a", LOW), ("b", LOW)]


@pytest.mark.parametrize(
    ("event", "priority"),
    [
        (Event(new=an_object("a"), initial=True), LOW),
        (Event(new=an_object("a")), NORMAL),
        (Event(old=(same := an_object("a")), new=same), LOW),
        (Event(old=an_object("a"), new=an_object("a", resource_version="2")), NORMAL),
        (Event(old=an_object("a")), NORMAL),
        (Event(old=an_object("a"), tombstone=True), NORMAL),
    ],
    ids=["first list", "added", "resync", "updated", "deleted", "deleted in a gap"],
)
async def test_only_what_is_not_news_has_low_priority(bench: Bench, event: Event[PartialObject], priority: int):
    source = FakeSource()
    bench.controller.watch(source, enqueue_object)
    async with bench.running():
        source.emit(event)
        await settle()
    assert bench.seen == [("a", priority)]


async def test_what_a_write_of_our_own_changes_has_the_priority_of_that_write(bench: Bench):
    source = FakeSource(an_object("a"))
    bench.controller.watch(source, enqueue_object)

    async def write(request: Request) -> Result:
        if len(bench.seen) == 1:
            source.add("b")
        return Result()

    bench.act = write
    async with bench.running():
        await settle()
    assert bench.seen == [("a", LOW), ("b", LOW)], "or the replay of one controller would be news to the next"


async def test_a_watch_says_which_of_its_events_are_urgent(bench: Bench):
    source = FakeSource(an_object("old"))
    bench.controller.watch(source, enqueue_object, urgent=lambda event: event.old is not None or event.initial)
    async with bench.running():
        source.add("new")
        source.emit(Event(old=an_object("used"), new=an_object("used", resource_version="2")))
        await settle()
    assert bench.seen == [("old", LOW), ("used", URGENT), ("new", NORMAL)], "and a replay never is"


async def test_replay_goes_on_while_changes_never_end(bench: Bench):
    source = FakeSource(*(an_object(name) for name in "abcd"))
    bench.controller.watch(source, enqueue_object)

    async def change_again(request: Request) -> Result:
        if len(bench.seen) < 20:
            for name in "xy":  # as an informer's own task does
                contextvars.Context().run(source.add, name)
        return Result()

    bench.act = change_again
    async with bench.running():
        await settle()
    replayed = [number for number, (_, priority) in enumerate(bench.seen, 1) if priority == LOW]
    assert len(replayed) == 4
    assert max(after - before for before, after in pairwise(replayed)) <= 4


@pytest.mark.parametrize("priority", [LOW, URGENT])
async def test_tries_after_a_failure_and_later_looks_keep_the_priority(bench: Bench, priority: int):
    bench.then(ReconcileError("no"), ZeroDivisionError("oops"), Result(requeue_after=5), Result(requeue_after=0))
    async with bench.running() as controller:
        controller.enqueue(request("a"), priority)
        await bench.clock.advance(100)
    assert bench.seen == [("a", priority)] * 5


async def test_change_while_failing_counts_as_a_change(bench: Bench):
    bench.then(ReconcileError("no"))
    async with bench.running() as controller:
        controller.enqueue(request("a"), LOW)
        await settle()
        controller.enqueue(request("a"))
        await settle()
        await bench.clock.advance(10)
    assert bench.seen == [("a", LOW), ("a", NORMAL), ("a", LOW)]


async def test_priority_ends_with_the_reconcile(bench: Bench):
    bench.then(TerminalError("no"))
    async with bench.running() as controller:
        controller.enqueue(request("a"), LOW)
        await settle()
        controller.enqueue(request("b"))
        await settle()
    assert bench.seen == [("a", LOW), ("b", NORMAL)]
    assert current_priority() == NORMAL


async def test_what_a_reconcile_enqueues_elsewhere_has_its_priority_unless_told(bench: Bench):
    other = Bench()

    async def pass_on(request: Request) -> Result:
        other.controller.enqueue(request)
        other.controller.enqueue(Request("default", "u"), URGENT)
        other.controller.enqueue_after(Request("default", "l"), 1)
        other.controller.enqueue_after(Request("default", "n"), 1, NORMAL)
        return Result()

    bench.act = pass_on
    async with bench.running() as controller, other.running():
        controller.enqueue(request("a"), LOW)
        await settle()
        await other.clock.advance(1)
    assert other.seen == [("u", URGENT), ("a", LOW), ("n", NORMAL), ("l", LOW)]


async def test_requests_to_servers_for_a_change_go_before_those_of_a_replay():
    bench = Bench(workers=5)
    bucket = TokenBucket(1, 1, clock=bench.clock)
    assert bucket.try_take()
    written: list[str] = []

    async def write(request: Request) -> Result:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(bucket.wait())
        written.append(request.name)
        return Result()

    bench.act = write
    source = FakeSource(*(an_object(name) for name in "abcd"))
    bench.controller.watch(source, enqueue_object)
    async with bench.running():
        source.add("x")
        await bench.clock.advance(2)
        assert written == ["x"]
        await bench.clock.advance(8)
    assert sorted(written) == list("abcdx")


async def test_without_the_feature_everything_has_one_priority():
    bench = Bench(priorities=False)
    source = FakeSource(*(an_object(name) for name in "ab"), synced=False)
    bench.controller.watch(source, enqueue_object)
    bench.then(ReconcileError("no"))
    async with bench.running() as controller:
        source.add("x")
        controller.enqueue(request("u"), URGENT)
        controller.enqueue_after(request("l"), 0, LOW)
        source.sync()
        await bench.clock.advance(1)
    assert bench.seen == [(name, NORMAL) for name in "abxula"]
    assert controller.queue.depth() == {NORMAL: 0}


def test_feature_is_on_unless_switched_off():
    assert FeatureGates(FEATURES).enabled(CONTROLLER_PRIORITY_QUEUE)
    assert not FeatureGates(FEATURES, "ControllerPriorityQueue=false").enabled(CONTROLLER_PRIORITY_QUEUE)
    assert not FeatureGates(FEATURES, "AllBeta=false").enabled(CONTROLLER_PRIORITY_QUEUE)


async def test_change_promotes_the_reconcile_in_hand_that_it_has_to_wait_for():
    """It was begun for a replay and waits for a token behind many others: the change would wait with it."""
    bench = Bench(workers=20)
    bucket = TokenBucket(1, 1, clock=bench.clock)
    assert bucket.try_take()
    written: list[tuple[str, int]] = []

    async def write(request: Request) -> Result:
        await bucket.wait()
        written.append((request.name, current_priority()))
        return Result()

    bench.act = write
    source = FakeSource(*(an_object(name) for name in "abcdefghij"))
    bench.controller.watch(source, enqueue_object)
    async with bench.running() as controller:
        controller.enqueue(request("j"), URGENT)
        controller.enqueue(request("i"), LOW)
        await bench.clock.advance(2)
        assert written == [("j", URGENT), ("j", URGENT)]
        await bench.clock.advance(10)
        assert not controller._turns
    assert sorted(written[2:]) == [(name, LOW) for name in "abcdefghii"]
    assert not current_turn().waits
