"""Workers, watches and what becomes of results and failures."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from informers.cache.event import Event
from informers.client.client import Write
from informers.errors import Conflict, ServerError, TooManyRequests, TransportError
from mcs_controller.runtime.controller import Controller, Outcome, enqueue_object
from mcs_controller.runtime.reconcile import ReconcileError, Request, Result, TerminalError
from mcs_controller.runtime.write_log import WriteLog
from tests.support.clock import FakeClock, settle
from tests.support.fake_informer import FakeSource, an_object
from tests.support.objects import CONFIG_MAPS
from workqueue import ItemExponentialFailureRateLimiter, default_controller_rate_limiter

A, B = Request("default", "a"), Request("default", "b")


class Scripted:
    """A reconciler that notes what it is asked and does what the test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seen: list[tuple[float, Request]] = []
        self.act: Callable[[Request], Awaitable[Result | None]] = self.succeed

    async def reconcile(self, request: Request) -> Result | None:
        self.seen.append((round(self.clock.monotonic() - 1000, 6), request))
        return await self.act(request)

    async def succeed(self, request: Request) -> Result:
        return Result()

    def fail(self, *errors: BaseException) -> None:
        """Raise these, one after the other, then succeed."""
        left = list(errors)

        async def act(request: Request) -> Result:
            if left:
                raise left.pop(0)
            return Result()

        self.act = act

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.seen]

    @property
    def requests(self) -> list[Request]:
        return [request for _, request in self.seen]


class Noted:
    """Metrics that remember."""

    def __init__(self) -> None:
        self.workers: dict[str, int] = {}
        self.outcomes: list[tuple[Outcome, float]] = []
        self.wrote: list[bool] = []
        self.active = 0

    def created(self, controller: str, workers: int) -> None:
        self.workers[controller] = workers

    def began(self, controller: str) -> None:
        self.active += 1

    def ended(self, controller: str, outcome: Outcome, seconds: float, *, wrote: bool) -> None:
        self.active -= 1
        self.outcomes.append((outcome, round(seconds, 6)))
        self.wrote.append(wrote)


class Bench:
    def __init__(self, clock: FakeClock | None = None, **options: Any) -> None:
        self.clock = clock or FakeClock()
        self.reconciler = Scripted(self.clock)
        self.metrics = Noted()
        self.controller: Controller[Request] = Controller(
            "the-controller",
            self.reconciler,
            clock=self.clock,
            metrics=self.metrics,
            **{"rate_limiter": ItemExponentialFailureRateLimiter(1, 1000), **options},
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Controller[Request]]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.controller.run())
            await settle()
            yield self.controller
            task.cancel()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_reconcile_that_writes_nothing_is_told_from_one_that_does(bench: Bench):
    async def write() -> None:
        WriteLog()(Write("delete", CONFIG_MAPS, "default", "a", "", None, None))

    async def act(request: Request) -> Result:
        if request == A:
            await asyncio.gather(write())
        return Result()

    bench.reconciler.act = act
    async with bench.running() as controller:
        for request in (A, B, A):
            controller.enqueue(request)
            await settle()
    assert bench.metrics.wrote == [True, False, True]


async def test_each_change_of_an_object_is_reconciled(bench: Bench):
    source = FakeSource()
    bench.controller.watch(source, enqueue_object)
    async with bench.running():
        source.add("a")
        await settle()
        source.emit(Event(old=an_object("a"), new=an_object("a")))
        await settle()
        source.emit(Event(old=an_object("a")))
        await settle()
    assert bench.reconciler.requests == [A, A, A]


async def test_changes_while_reconciling_lead_to_one_more_reconcile(bench: Bench):
    going_on = asyncio.Event()

    async def wait(request: Request) -> Result:
        await going_on.wait()
        return Result()

    bench.reconciler.act = wait
    async with bench.running() as controller:
        for _ in range(5):
            controller.enqueue(A)
            await settle()
        assert bench.reconciler.requests == [A]
        going_on.set()
        await settle()
    assert bench.reconciler.requests == [A, A]


async def test_mapper_and_predicate_decide_what_is_enqueued(bench: Bench):
    source = FakeSource()
    bench.controller.watch(
        source,
        lambda event: [Request("x", event.key.name), Request("y", event.key.name)],
        lambda event: event.kind == "deleted",
    )
    async with bench.running():
        source.add("a")
        source.emit(Event(old=an_object("b")))
        await settle()
    assert bench.reconciler.requests == [("x", "b"), ("y", "b")]


async def test_nothing_is_watched_before_start_and_everything_is_replayed_then(bench: Bench):
    source = FakeSource(an_object("a"))
    bench.controller.watch(source, enqueue_object)
    await settle()
    assert source.handlers == []
    assert len(bench.controller.queue) == 0
    async with bench.running():
        assert bench.reconciler.requests == [A]
    assert source.handlers == []


async def test_workers_wait_until_all_sources_are_synced(bench: Bench):
    first, second = FakeSource(an_object("a")), FakeSource(synced=False)
    bench.controller.watch(first, enqueue_object)
    bench.controller.watch(second, enqueue_object)
    async with bench.running():
        await bench.clock.advance(100)
        assert bench.reconciler.seen == []
        second.sync()
        await settle()
        assert bench.reconciler.requests == [A]


async def test_source_added_while_running_counts_at_once_and_until_removed(bench: Bench):
    async with bench.running() as controller:
        source = FakeSource(an_object("a"), synced=False)
        registration = controller.add_source(source, enqueue_object)
        source.add("b")
        await settle()
        assert bench.reconciler.requests == [B, A]
        registration.remove()
        registration.remove()
        assert source.handlers == []
        source.add("c")
        await settle()
        assert bench.reconciler.requests == [B, A]


async def test_source_removed_before_start_is_never_watched(bench: Bench):
    source = FakeSource(an_object("a"), synced=False)
    bench.controller.add_source(source, enqueue_object).remove()
    async with bench.running():
        assert source.handlers == []


async def test_requeue_after_reconciles_again_then_and_resets_failures(bench: Bench):
    results: list[Result | ReconcileError] = [
        ReconcileError("once"),
        Result(requeue_after=30),
        Result(requeue_after=0),
        Result(),
    ]

    async def act(request: Request) -> Result:
        step = results.pop(0)
        if isinstance(step, ReconcileError):
            raise step
        return step

    bench.reconciler.act = act
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(1)
        assert controller.queue.num_requeues(A) == 0
        await bench.clock.advance(100)
    assert bench.reconciler.times == [0, 1, 31, 31]
    assert [outcome for outcome, _ in bench.metrics.outcomes] == ["error", "requeue_after", "requeue_after", "success"]


async def test_reconcile_that_returns_nothing_is_done(bench: Bench):
    async def act(request: Request) -> None:
        if len(bench.reconciler.seen) == 1:
            raise ReconcileError("once")

    bench.reconciler.act = act
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(1)
        assert controller.queue.num_requeues(A) == 0
        await bench.clock.advance(100)
    assert bench.reconciler.times == [0, 1]
    assert [outcome for outcome, _ in bench.metrics.outcomes] == ["error", "success"]


async def test_reconcile_that_returns_something_else_is_a_defect_that_kills_no_worker(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    async def act(request: Request) -> Any:
        return 30.0 if request == A else None

    bench.reconciler.act = act
    async with bench.running() as controller:
        controller.enqueue(A)
        controller.enqueue(B)
        await bench.clock.advance(0.5)
    assert bench.reconciler.requests == [A, B]
    assert [outcome for outcome, _ in bench.metrics.outcomes] == ["panic", "success"]
    assert "reconcile returned 30.0, which is neither a Result nor None" in str(caplog.records[0].exc_info)


async def test_a_watch_can_gather_what_happens_to_an_object(bench: Bench):
    source = FakeSource()
    bench.controller.watch(source, enqueue_object, debounce_seconds=0.25)
    async with bench.running():
        source.add("a")
        await bench.clock.advance(0.2)
        source.add("a")
        assert bench.reconciler.seen == []
        await bench.clock.advance(0.05)
        assert len(bench.reconciler.seen) == 1
        await bench.clock.advance(10)
        assert len(bench.reconciler.seen) == 1


async def test_a_long_row_of_reconciles_from_caches_lets_others_have_their_turn(bench: Bench):
    turns = 0

    async def renew_the_lease() -> None:
        nonlocal turns
        while len(bench.reconciler.seen) < 1000:
            turns += 1
            await asyncio.sleep(0)

    async with bench.running() as controller:
        for number in range(1000):
            controller.enqueue(Request("default", str(number)))
        await asyncio.wait_for(renew_the_lease(), 60)
    assert turns >= 900


async def test_enqueue_after_reconciles_later(bench: Bench):
    async with bench.running() as controller:
        controller.enqueue_after(A, 5)
        await bench.clock.advance(10)
    assert bench.reconciler.times == [5]


async def test_failures_back_off_and_success_forgets_them(bench: Bench):
    bench.reconciler.fail(*[ReconcileError("no")] * 3)
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(20)
        assert bench.reconciler.times == [0, 1, 3, 7]
        bench.reconciler.fail(ReconcileError("again"))
        controller.enqueue(A)
        await bench.clock.advance(20)
        assert bench.reconciler.times[4:] == [20, 21]


async def test_server_that_asks_for_patience_gets_it(bench: Bench):
    bench.reconciler.fail(TooManyRequests(429, "", "slow down", retry_after=17))
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(20)
    assert bench.reconciler.times == [0, 17]


async def test_opening_15_a_server_that_is_away_is_tried_again_every_few_seconds(bench: Bench):
    bench.reconciler.fail(*[TransportError("no route")] * 8)
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(60)
        assert bench.reconciler.times == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 12.75, 17.75, 22.75]
        bench.reconciler.fail(TransportError("no route"))
        controller.enqueue(A)
        await bench.clock.advance(1)
        assert bench.reconciler.times[9:] == [60, 60.25]


async def test_opening_15_a_long_outage_delays_nothing_that_comes_after_it():
    """Neither the requests that met it, nor others that draw from the same bucket of retries."""
    clock = FakeClock()
    bench = Bench(clock=clock, rate_limiter=default_controller_rate_limiter(clock=clock))
    away = True
    conflicts = {A: 1, B: 1}

    async def act(request: Request) -> Result:
        if away:
            raise TransportError("no route")
        if conflicts.get(request):
            conflicts[request] -= 1
            raise Conflict(409, "Conflict", "changed")
        return Result()

    bench.reconciler.act = act
    async with bench.running() as controller:
        for request in (A, *(Request("default", str(number)) for number in range(199))):
            controller.enqueue(request)
        await clock.advance(500)
        assert len([request for request in bench.reconciler.requests if request == A]) > 100
        away = False
        await clock.advance(5)
        assert conflicts[A] == 0
        controller.enqueue(B)
        await clock.advance(1)
        assert bench.reconciler.requests.count(B) == 2
    assert [outcome for outcome, _ in bench.metrics.outcomes].count("success") == 201


async def test_server_that_was_away_and_answered_is_tried_again_soon_when_it_is_away_anew(bench: Bench):
    bench.reconciler.fail(*[TransportError("no route")] * 8, ReconcileError("answered"), TransportError("no route"))
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(60)
    assert bench.reconciler.times[-3:] == [22.75, 23.75, 24]


async def test_each_reconcile_is_a_line_with_its_outcome_and_milliseconds(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, "mcs_controller.runtime.controller")
    bench.reconciler.fail(ServerError(500), TerminalError("no"))
    async with bench.running() as controller:
        for name in "abc":
            controller.enqueue(Request("ns", name))
            await settle()
    told = [vars(record) for record in caplog.records if record.message == "Reconciled"]
    assert [(one["outcome"], one["milliseconds"]) for one in told] == [
        ("error", 0.0),
        ("terminal", 0.0),
        ("success", 0.0),
    ]


async def test_terminal_error_waits_for_a_change_and_clears_the_failures(bench: Bench):
    bench.reconciler.fail(ReconcileError("first"), TerminalError("hopeless"))
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(10_000)
        assert bench.reconciler.times == [0, 1]
        assert controller.queue.num_requeues(A) == 0
        controller.enqueue(A)
        await settle()
        assert bench.reconciler.times == [0, 1, 10_000]
    assert [outcome for outcome, _ in bench.metrics.outcomes] == ["error", "terminal", "success"]


async def test_group_of_errors_is_terminal_only_if_all_of_them_are(bench: Bench):
    bench.reconciler.fail(
        ExceptionGroup("", [TerminalError("a"), ServerError(500, "", "b")]),
        ExceptionGroup("", [TerminalError("a"), ExceptionGroup("", [TerminalError("b")])]),
    )
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(100)
    assert bench.reconciler.times == [0, 1]


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("oops"), asyncio.CancelledError(), ExceptionGroup("", [KeyError("k"), TerminalError("t")])],
    ids=["exception", "stray cancel", "group"],
)
async def test_panic_is_logged_with_traceback_retried_and_kills_no_worker(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: BaseException
):
    bench.reconciler.fail(error)
    async with bench.running() as controller:
        controller.enqueue(A)
        controller.enqueue(B)
        await bench.clock.advance(10)
    assert bench.reconciler.seen == [(0, A), (0, B), (1, A)]
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.levelname == "ERROR"
    assert record.exc_info
    assert bench.metrics.outcomes[0][0] == "panic"
    assert bench.metrics.active == 0


async def test_conflicts_are_worth_a_warning_only_if_they_do_not_end(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.reconciler.fail(*[Conflict(409, "Conflict", "changed")] * 8)
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(1000)
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [vars(record)["retries"] for record in records] == [5, 6, 7]


@pytest.mark.parametrize(
    "error",
    [ServerError(500, "", "later"), ReconcileError("waiting"), ExceptionGroup("", [ServerError(500)])],
    ids=["api", "expected", "group"],
)
async def test_expected_failure_is_one_line_without_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: Exception
):
    bench.reconciler.fail(error, error)
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(10)
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelname for record in records] == ["WARNING", "WARNING"]
    assert [vars(record)["retries"] for record in records] == [0, 1]
    assert not any(record.exc_info for record in records)
    leaf = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
    assert vars(records[0])["error"] == f"{type(leaf).__name__}: {leaf}"


async def test_reconcile_that_takes_too_long_is_cancelled_and_retried(caplog: pytest.LogCaptureFixture):
    bench = Bench(reconcile_timeout=5)

    async def hang(request: Request) -> Result:
        await asyncio.Event().wait()
        return Result()

    bench.reconciler.act = hang
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(5)
        bench.reconciler.act = bench.reconciler.succeed
        await bench.clock.advance(5)
    assert bench.reconciler.times == [0, 6]
    assert bench.metrics.outcomes == [("timeout", 5), ("success", 0)]
    assert "took longer than 5 s" in vars(caplog.records[-1])["error"]


async def test_time_out_of_the_reconciler_itself_is_not_taken_for_ours():
    bench = Bench(reconcile_timeout=5)
    bench.reconciler.fail(TimeoutError("mine"))
    async with bench.running() as controller:
        controller.enqueue(A)
        await settle()
    assert bench.metrics.outcomes == [("panic", 0)]


async def test_so_many_reconciles_at_a_time_as_there_are_workers():
    bench = Bench(workers=3)
    gate = asyncio.Event()

    async def wait(request: Request) -> Result:
        await gate.wait()
        return Result()

    bench.reconciler.act = wait
    async with bench.running() as controller:
        for number in range(5):
            controller.enqueue(Request("", str(number)))
        await settle()
        assert len(bench.reconciler.seen) == bench.metrics.active == 3
        gate.set()
        await settle()
        assert len(bench.reconciler.seen) == 5
    assert bench.metrics.workers == {"the-controller": 3}


async def test_stopping_finishes_what_is_in_hand_and_leaves_the_rest(bench: Bench):
    source = FakeSource(an_object("a"), an_object("b"))
    bench.controller.watch(source, enqueue_object)

    async def slow(request: Request) -> Result:
        await bench.clock.sleep(5)
        return Result(requeue_after=1)

    bench.reconciler.act = slow
    running = asyncio.create_task(bench.controller.run())
    await settle()
    bench.controller.stop()
    assert source.handlers == []
    await bench.clock.advance(4.9)
    assert not running.done()
    await bench.clock.advance(0.1)
    await running
    assert bench.reconciler.requests == [A]
    assert bench.metrics.outcomes == [("requeue_after", 5)]


async def test_cancelling_cuts_reconciles_short_and_counts_no_error(bench: Bench):
    async def hang(request: Request) -> Result:
        await asyncio.Event().wait()
        return Result()

    bench.reconciler.act = hang
    async with bench.running() as controller:
        controller.enqueue(A)
        await settle()
    assert [outcome for outcome, _ in bench.metrics.outcomes] == ["cancelled"]
    assert bench.metrics.active == 0


@pytest.mark.parametrize("turns", range(12))
async def test_nothing_begins_after_cancelling_though_the_reconcile_in_hand_swallows_it(bench: Bench, turns: int):
    """A task group that is being left with an error swallows a cancel: here it takes ten turns to be left."""
    failing = asyncio.Event()

    async def leaves_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)

    async def swallow(request: Request) -> Result:
        async with asyncio.TaskGroup() as group:
            group.create_task(leaves_slowly())
            await failing.wait()
            raise ReconcileError("failed")

    bench.reconciler.act = swallow
    running = asyncio.create_task(bench.controller.run())
    await settle()
    bench.controller.enqueue(A)
    bench.controller.enqueue(B)
    await settle()
    failing.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await settle()
    assert running.cancelled()
    assert bench.reconciler.requests == [A]
    assert bench.metrics.active == 0


async def test_failed_task_group_does_not_make_a_stray_cancel_end_the_worker(bench: Bench):
    """It may leave the worker's task with a count of cancels that nobody asked for (Python 3.11)."""

    async def fail_in_a_group(request: Request) -> Result:
        async def fail() -> None:
            raise ReconcileError("failed")

        bench.reconciler.fail(asyncio.CancelledError())
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
        raise AssertionError

    bench.reconciler.act = fail_in_a_group
    async with bench.running() as controller:
        controller.enqueue(A)
        await bench.clock.advance(10)
    assert [outcome for outcome, _ in bench.metrics.outcomes] == ["error", "panic", "success"]


async def test_nothing_begins_any_more_once_the_process_may_not_act():
    bench = Bench(workers=2)
    answers = [True, False, False]
    running = asyncio.create_task(bench.controller.run(lambda: answers.pop(0)))
    await settle()
    for request in (A, B, Request("default", "c")):
        bench.controller.enqueue(request)
    await bench.clock.advance(10)
    assert len(bench.reconciler.seen) == 1
    assert not running.done()  # its caller knows why, and cancels it
    running.cancel()
    await settle()
    assert running.cancelled()


async def test_controller_without_workers_is_refused():
    with pytest.raises(ValueError, match="controller the-controller needs at least one worker, got 0"):
        Bench(workers=0)
