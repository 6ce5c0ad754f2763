"""Workers over a queue that watches fill.

Semantics of controller-runtime `pkg/internal/controller/controller.go`. What to watch is wired with plain callables:

    controller = Controller("endpointslice-collect", reconciler, clock=clock, rate_limiter=limiter, workers=5)
    controller.watch(slices, enqueue_object, content_changed)
    manager.add_controller(controller)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from informers.meta import KubeObject
from mcs_controller.runtime.logging import log_fields
from mcs_controller.runtime.reconcile import ReconcileTimeout, Request, Result, failure_of
from mcs_controller.runtime.write_log import noting_writes
from workqueue import (
    LOW,
    NO_METRICS,
    NORMAL,
    URGENT,
    ItemExponentialFailureRateLimiter,
    RateLimitingQueue,
    ShutDown,
    at_priority,
    current_priority,
    in_flow,
    time_limit,
)

if TYPE_CHECKING:
    from informers.cache.event import Event
    from mcs_controller.runtime.reconcile import Reconciler
    from mcs_controller.runtime.write_log import Written
    from workqueue import Clock, Flow, MetricsProvider, RateLimiter
    from workqueue.priority import Turn

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Hashable)
T = TypeVar("T", bound=KubeObject)

_DONE: Final = Result()

_QUIET_CONFLICTS: Final = 5
"""In a row, for one request."""

_AWAY_FIRST_SECONDS: Final = 0.25
"""First wait for a server that does not answer; it doubles with each try. All that goes to it fails at once, and no
bucket holds back the tries: the workers have others to care for."""

_AWAY_SECONDS: Final = 5.0
"""Longest wait for a server that does not answer: how long it has been away says nothing about when it is back."""

Mapper: TypeAlias = "Callable[[Event[T]], Iterable[R]]"
Predicate: TypeAlias = "Callable[[Event[T]], bool]"
Outcome: TypeAlias = Literal["success", "requeue_after", "error", "terminal", "timeout", "panic", "cancelled"]


class Registration(Protocol):
    """A handler's place in an informer."""

    def remove(self) -> None:
        """Deliver no more events."""
        ...


class Source(Protocol[T]):
    """The source of a controller's watch: a SharedInformer."""

    def add_handler(self, handler: Callable[[Event[T]], None], *, name: str = "") -> Registration:
        """Deliver all events from now on, beginning with the objects that are there already."""
        ...

    async def wait_synced(self) -> None:
        """Return once the first list is complete and delivered."""
        ...


class ControllerMetrics(Protocol):
    """Observer of controllers' workers. Called in the hot path: must be cheap and must not raise."""

    def created(self, controller: str, workers: int) -> None:
        """There is such a controller, with so many workers."""
        ...

    def began(self, controller: str) -> None:
        """A worker begins to reconcile."""
        ...

    def ended(self, controller: str, outcome: Outcome, seconds: float, *, wrote: bool) -> None:
        """A worker is done. "terminal", "timeout" and "panic" are kinds of errors, counted as such and on their own.

        `wrote`: an API server has accepted a write of it. A "cancelled" one was cut short by the end of the process and
        is neither.
        """
        ...


class _NoControllerMetrics:
    def created(self, controller: str, workers: int) -> None: ...

    def began(self, controller: str) -> None: ...

    def ended(self, controller: str, outcome: Outcome, seconds: float, *, wrote: bool) -> None: ...


NO_CONTROLLER_METRICS: Final[ControllerMetrics] = _NoControllerMetrics()


def enqueue_object(event: Event[T]) -> Iterable[Request]:
    """The mapper for controllers that reconcile the watched object itself."""
    return (Request(*event.key),)


def _always() -> bool:
    return True


class _Watch(Generic[T]):
    """One source of a controller: registered while the controller runs, until removed from its watches."""

    def __init__(
        self, name: str, source: Source[T], handler: Callable[[Event[T]], None], watches: list[_Watch[Any]]
    ) -> None:
        self.source = source
        self._name = name
        self._handler = handler
        self._watches = watches
        self._registration: Registration | None = None

    def register(self) -> None:
        self._registration = self.source.add_handler(self._handler, name=self._name)

    def unregister(self) -> None:
        if self._registration is not None:
            self._registration.remove()
            self._registration = None

    def remove(self) -> None:
        self.unregister()
        if self in self._watches:
            self._watches.remove(self)


class Controller(Generic[R]):
    """Runs a reconciler for every request that its watches put into its queue.

    One request is never reconciled by two workers at a time; changes meanwhile lead to one more reconcile. A reconcile
    that fails, in whatever way, is logged once, counted and tried again with back-off, and never ends its worker.

    What is not news comes last: the objects of a first list, the replay for a new handler, and resyncs are queued with
    LOW priority, everything else with NORMAL, as controller-runtime's handlers do. What a write of our own changes has
    the priority of that write, and a watch can call some of its events URGENT. A request that waits and then changes
    moves up. While a request is reconciled its priority is the :func:`~workqueue.priority.current_priority`: it
    goes on to the requests to API servers made for it, and to what it enqueues elsewhere. Tries after a failure keep
    it. LOW work is slower while there is other work but never stands still.

    Where requests belong to different flows (members, namespaces), these take turns, each has so many workers of its
    own, and the flow goes with the requests to API servers as the priority does: :class:`~workqueue.FairQueue`. So
    one that has much to do, or whose reconciles take long, does not delay the others.

    Not thread-safe.
    """

    def __init__(
        self,
        name: str,
        reconciler: Reconciler[R],
        *,
        clock: Clock,
        rate_limiter: RateLimiter[R],
        metrics: ControllerMetrics = NO_CONTROLLER_METRICS,
        queue_metrics: MetricsProvider = NO_METRICS,
        workers: int = 1,
        flow: Callable[[R], Flow] | None = None,
        reconcile_timeout: float | None = None,
        priorities: bool = True,
    ) -> None:
        """Starts nothing.

        Args:
            name: label of metrics and log lines, and name of the queue.
            reconciler: asked once for each request in the queue.
            clock: for delays, time-outs and measurements.
            rate_limiter: back-off of failed requests; not shared with other controllers. It is not asked while a
                server cannot be reached: then a request is tried again after 0.25 s, 0.5 s, ... and then every 5 s.
            metrics: told about each reconcile.
            queue_metrics: told about the queue.
            workers: how many requests are reconciled at a time; of flows that begin alike, if there are flows.
            flow: whose work a request is, from the widest to the narrowest. None: all of them are one flow's.
            reconcile_timeout: seconds after which a reconcile is cancelled and counts as failed; None for no limit.
            priorities: False gives everything one priority.

        Raises:
            ValueError: no workers.
        """
        if workers < 1:
            raise ValueError(f"controller {name} needs at least one worker, got {workers}")
        self.name = name
        self.queue: RateLimitingQueue[R] = RateLimitingQueue(
            name,
            clock=clock,
            rate_limiter=rate_limiter,
            metrics=queue_metrics,
            flow=flow,
            per_flow=workers if flow is not None else None,
        )
        self._own_flow = None if flow is not None else (name,)
        self._reconciler = reconciler
        # For failures that are not the request's own: they must neither make it wait for long once the server is back,
        # nor use up the bucket from which the others are retried.
        self._unreachable: ItemExponentialFailureRateLimiter[R] = ItemExponentialFailureRateLimiter(
            _AWAY_FIRST_SECONDS, _AWAY_SECONDS
        )
        self._clock = clock
        self._metrics = metrics
        self._workers = workers
        self._tasks: set[asyncio.Task[None]] = set()
        self._available = 0  # workers, those that have a request in hand included
        self._in_hand = 0
        self._turns: dict[R, Turn] = {}
        self._timeout = reconcile_timeout
        self._priorities = priorities
        self._watches: list[_Watch[Any]] = []
        self._running = False
        self._cancelled = False
        self._ids = count(1)
        self._worker_ids = count(1)
        metrics.created(name, workers)

    def watch(
        self,
        source: Source[T],
        mapper: Mapper[T, R],
        predicate: Predicate[T] | None = None,
        *,
        urgent: Predicate[T] | None = None,
        debounce_seconds: float = 0.0,
    ) -> None:
        """Enqueue what `mapper` makes of each event of `source` that `predicate` lets pass; `urgent` ones come first.

        With `debounce_seconds` it is enqueued so much later, together with what else happens to it in the meantime.

        The handler is registered when the controller starts, not before: the queue of a standby stays empty, and the
        replay at the start brings everything.
        """
        self.add_source(source, mapper, predicate, urgent=urgent, debounce_seconds=debounce_seconds)

    def add_source(
        self,
        source: Source[T],
        mapper: Mapper[T, R],
        predicate: Predicate[T] | None = None,
        *,
        urgent: Predicate[T] | None = None,
        debounce_seconds: float = 0.0,
    ) -> Registration:
        """As :meth:`watch`, but may be called at any time, and what it returns ends the watch when removed.

        A running controller registers at once and does not wait for the source to be synced.
        """

        def handle(event: Event[T]) -> None:
            if predicate is None or predicate(event):
                priority: int | None = None
                if event.initial or event.old is event.new:
                    priority = LOW
                elif urgent is not None and urgent(event):
                    priority = URGENT
                for request in mapper(event):
                    if debounce_seconds > 0:
                        self.enqueue_after(request, debounce_seconds, priority)
                    else:
                        self.enqueue(request, priority)

        watch = _Watch(self.name, source, handle, self._watches)
        self._watches.append(watch)
        if self._running:
            watch.register()
        return watch

    def enqueue(self, request: R, priority: int | None = None) -> None:
        """Reconcile `request` soon; by default with the priority of what is being done now.

        If it is being reconciled, and then once more, what is in hand comes to its end with that priority too.
        """
        wanted = self._priority(priority)
        self.queue.add(request, priority=wanted)
        if (turn := self._turns.get(request)) is not None:
            turn.promote(wanted)

    def enqueue_after(self, request: R, seconds: float, priority: int | None = None) -> None:
        """Reconcile `request` after `seconds`; by default with the priority of what is being done now."""
        self.queue.add_after(request, seconds, priority=self._priority(priority))

    async def run(self, is_leader: Callable[[], bool] = _always) -> None:
        """Register the watches, wait until their sources are synced, then work until stopped. Can be run once.

        Returns after :meth:`stop`, as soon as the reconciles in hand are done. Cancelling cancels those as well;
        whatever they make of that, no other begins.

        Args:
            is_leader: asked before each reconcile, for example whether this process still leads. Once it says no,
                nothing is begun any more; it is up to the caller to cancel then.
        """
        self._running = True
        try:
            declared = list(self._watches)
            for watch in declared:
                watch.register()
                await asyncio.sleep(0)  # each replays all that is cached
            for watch in declared:
                await watch.source.wait_synced()
            log.info("Starting workers", extra={"controller": self.name, "workers": self._workers})
            async with asyncio.TaskGroup() as group:
                group.create_task(self.queue.run(), name=f"{self.name} delays")
                for _ in range(self._workers):
                    self._add_worker(group, is_leader)
                try:
                    while self._tasks:
                        await asyncio.wait(self._tasks)
                except asyncio.CancelledError:
                    # Known here before the workers are cancelled. They cannot tell by themselves: a task group in a
                    # reconcile may swallow the cancel, and its `cancelling()` counts others too (both Python 3.11).
                    self._cancelled = True
                    raise
        finally:
            self.stop()

    def stop(self) -> None:
        """Take no more requests. What still waits is left to the next leader, who looks at everything anyway."""
        self._running = False
        self.queue.shut_down()
        for watch in self._watches:
            watch.unregister()

    def _add_worker(self, group: asyncio.TaskGroup, is_leader: Callable[[], bool]) -> None:
        task = group.create_task(self._work(group, is_leader), name=f"{self.name} worker {next(self._worker_ids)}")
        self._available += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, group: asyncio.TaskGroup, is_leader: Callable[[], bool]) -> None:
        """Where there are flows, one who takes the last free worker sees to it that there is another.

        How many requests of a flow are in hand at a time is the queue's to say. Workers that are too many end.
        """
        while self._running and not self._cancelled:
            try:
                request = await self.queue.get()
            except ShutDown:
                return
            if not self._running or not is_leader():
                self.queue.done(request)
                return
            self._in_hand += 1
            if self._own_flow is None and self._in_hand == self._available:
                self._add_worker(group, is_leader)
            with (
                log_fields(controller=self.name, request=request, reconcile_id=next(self._ids)),
                at_priority(self.queue.priority_of(request)) as turn,
                in_flow(self._own_flow or self.queue.flow_of(request)),
                noting_writes() as written,
            ):
                self._turns[request] = turn
                await self._process(request, written)
            if self._available > max(self._workers, self._in_hand + 1):
                self._available -= 1
                return
            # A reconcile that found everything in the caches never waited for anything, and there may be thousands in a
            # row after a start: in between, the lease wants to be renewed and the probes to be answered.
            await asyncio.sleep(0)

    async def _process(self, request: R, written: Written) -> None:
        started = self._clock.monotonic()
        outcome: Outcome = "cancelled"
        self._metrics.began(self.name)
        try:
            result = await self._reconcile(request)
        except asyncio.CancelledError as error:
            # A reconcile may raise this without our being cancelled, for example by awaiting a task that was. The task
            # group would take it for the worker's end and say nothing.
            if self._cancelled:
                raise
            outcome = self._failed(request, error)
        except Exception as error:
            outcome = self._failed(request, error)
        else:
            self._unreachable.forget(request)
            self.queue.forget(request)
            outcome = "success"
            if result.requeue_after is not None:
                self.enqueue_after(request, result.requeue_after)
                outcome = "requeue_after"
        finally:
            self._in_hand -= 1
            del self._turns[request]
            self.queue.done(request)
            seconds = self._clock.monotonic() - started
            self._metrics.ended(self.name, outcome, seconds, wrote=bool(written))
            if log.isEnabledFor(logging.DEBUG):
                log.debug("Reconciled", extra={"outcome": outcome, "milliseconds": round(seconds * 1000, 1)})

    async def _reconcile(self, request: R) -> Result:
        result = await self._within_time(request)
        if result is None:
            return _DONE
        if not isinstance(result, Result):
            raise TypeError(f"reconcile returned {result!r}, which is neither a Result nor None")
        return result

    async def _within_time(self, request: R) -> Result | None:
        if self._timeout is None:
            return await self._reconciler.reconcile(request)
        try:
            async with time_limit(self._clock, self._timeout) as limit:
                return await self._reconciler.reconcile(request)
        except TimeoutError:
            if limit.expired():
                raise ReconcileTimeout(f"took longer than {self._timeout:g} s") from None
            raise

    def _priority(self, wanted: int | None) -> int:
        if not self._priorities:
            return NORMAL
        return current_priority() if wanted is None else wanted

    def _failed(self, request: R, error: BaseException) -> Outcome:
        failure = failure_of(error)
        retries = self.queue.num_requeues(request) + self._unreachable.num_requeues(request)
        fields: dict[str, object] = {"error": failure.message, "retries": retries}
        if not failure.away:
            self._unreachable.forget(request)  # a server answered
        if failure.terminal:
            # controller-runtime keeps the count of failures here, so that a later change is retried late. We clear it.
            self.queue.forget(request)
            log.error("Reconcile failed, not retrying", extra=fields)
            return "terminal"
        if failure.away:
            self.enqueue_after(request, self._unreachable.when(request))
        else:
            self.queue.add_rate_limited(request, at_least=failure.retry_after, priority=self._priority(None))
        if failure.expected:
            # Two writers of one object take turns by conflicts. That is worth a warning only if it does not end.
            quiet = failure.conflict and self.queue.num_requeues(request) <= _QUIET_CONFLICTS
            log.log(logging.DEBUG if quiet else logging.WARNING, "Reconcile failed", extra=fields)
            return "timeout" if isinstance(error, ReconcileTimeout) else "error"
        log.error("Reconcile failed unexpectedly", extra=fields, exc_info=error)
        return "panic"
