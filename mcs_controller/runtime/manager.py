"""The controller manager: starts and stops a process's controllers, caches, probes and leader election in order.

Order is nesting; leaving goes in reverse. From the outside in:

1. probes and metrics: answer from first to last, also while this process is a standby;
2. runnables that need no leadership, such as the event writer: there for everything inside;
3. informers: synced before we campaign, so that a standby is warm (except those set apart, see `cache_sync`);
4. the lease: released once nothing that needs it runs any more;
5. runnables that need leadership, and controllers: on the way out, the reconciles in hand get a grace period.

What fails takes the process down: a crashed runnable, and a lost lease, which cancels the controllers without grace.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mcs_controller.runtime.cache_sync import CacheSync
from mcs_controller.runtime.http import HttpServer, health_routes, metrics_routes
from mcs_controller.runtime.leader_election import LeadershipLost
from mcs_controller.runtime.reconcile import leaf_errors
from workqueue import time_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from prometheus_client import CollectorRegistry

    from mcs_controller.runtime.cache_sync import Cache
    from mcs_controller.runtime.controller import Controller
    from mcs_controller.runtime.http import Check
    from mcs_controller.runtime.leader_election import LeaderElector
    from workqueue import Clock

log = logging.getLogger(__name__)


class Runnable(Protocol):
    """Something that runs as long as the manager wants."""

    async def run(self) -> None:
        """Run until cancelled. Returning earlier is fine, raising ends the process."""
        ...


class Informers(Runnable, Protocol):
    """Caches to be filled before anything works with them: an InformerFactory."""

    @property
    def informers(self) -> Sequence[Cache]:
        """All there are at the moment."""
        ...


class Manager:
    """Runs controllers and their runnables. Add everything first, then :meth:`run` once. Not thread-safe.

    After controller-runtime's `pkg/manager`, except for caches that do not fill: see `cache_sync`.

    Attributes:
        health: the server of the probes.
        metrics: the server of the metrics.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        registry: CollectorRegistry,
        elector: LeaderElector | None = None,
        health_address: str = "0",
        metrics_address: str = "0",
        grace_seconds: float = 30.0,
        sync_timeout: float = 120.0,
        manifests: str = "",
    ) -> None:
        """Starts nothing.

        Args:
            clock: for the grace period.
            registry: what `/metrics` shows.
            elector: None to lead without asking.
            health_address: where probes are answered, see `runtime.http.parse_address`.
            metrics_address: the same for metrics.
            grace_seconds: how long reconciles in hand may take when stopping.
            sync_timeout: seconds after which the log says which first lists are missing, and why. The process goes on.
            manifests: where people find CustomResourceDefinitions and roles to apply; for that log line.

        Raises:
            ValueError: an address is none.
        """
        self._clock = clock
        self._elector = elector
        self._grace_seconds = grace_seconds
        self._stopping = asyncio.Event()
        self._first_lists = CacheSync(clock=clock, overdue_seconds=sync_timeout, manifests=manifests)
        self._informers: list[Informers] = []
        self._runnables: list[Runnable] = []
        self._leader_runnables: list[Runnable] = []
        self._controllers: list[Controller[Any]] = []
        self._ready_checks: dict[str, Check] = {"informers-synced": self._first_lists.check}
        self.health = HttpServer(
            "health",
            health_address,
            [*health_routes("/healthz", {"ping": lambda: ""}), *health_routes("/readyz", self._ready_checks)],
        )
        self._prepare_metrics: list[Callable[[], Awaitable[None]]] = []
        self.metrics = HttpServer("metrics", metrics_address, metrics_routes(registry, self._prepare_metrics))

    def add_informers(self, informers: Informers) -> None:
        """Run these caches, and fill them before anything that needs leadership starts.

        That goes for the caches there are when :meth:`run` begins; of later ones only the running is done here.
        """
        self._informers.append(informers)

    def require_only_for(self, cache: Cache, *controllers: Controller[Any]) -> None:
        """Let these controllers alone wait for `cache`, which is one of :meth:`add_informers`.

        For a kind that an installation may lack: the others work without it, and these as soon as it can be listed.
        No other controller may read the cache.
        """
        self._first_lists.require_only_for(cache, [controller.name for controller in controllers])

    def add_controller(self, controller: Controller[Any]) -> None:
        """Run this controller while leading. On the way out it finishes the reconciles in hand.

        Raises:
            ValueError: there is a controller of that name. Metrics, logs and what waits for caches would take one for
                the other.
        """
        if any(other.name == controller.name for other in self._controllers):
            raise ValueError(f"there is a controller named {controller.name!r} already: give each a name of its own")
        self._controllers.append(controller)

    def add_runnable(self, runnable: Runnable, *, needs_leader: bool) -> None:
        """Run this while leading, beside the controllers; or all the time."""
        (self._leader_runnables if needs_leader else self._runnables).append(runnable)

    def prepare_metrics(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Await this before each scrape."""
        self._prepare_metrics.append(prepare)

    def add_ready_check(self, name: str, check: Check) -> None:
        """Ask this for `/readyz` too. A standby should be ready: it does its job, which is to wait."""
        self._ready_checks[name] = check

    def stop(self) -> None:
        """Make :meth:`run` stop everything in good order and return. Returns at once; can be called any time, twice."""
        self._stopping.set()

    async def run(self) -> None:
        """Run everything until :meth:`stop`, or until something fails.

        Raises:
            LeadershipLost: the lease could not be kept. Another process may lead already.
            ListenError: probes or metrics cannot be served.
            ExceptionGroup: several things failed at once. If it was one, its error is raised as it is.
        """
        try:
            await self._run()
        except BaseExceptionGroup as group:
            errors = leaf_errors(group)
            if len(errors) > 1:
                raise
        else:
            log.info("Shut down cleanly")
            return
        raise errors[0]

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.health)
            await stack.enter_async_context(self.metrics)
            log.info("Serving", extra={"health_port": self.health.port, "metrics_port": self.metrics.port})
            await stack.enter_async_context(self._running(self._runnables))
            await stack.enter_async_context(self._running(self._informers))
            self._first_lists.begin(cache for informers in self._informers for cache in informers.informers)
            await stack.enter_async_context(self._running([self._first_lists]))
            await self._unless_stopping(self._sync)
            if self._elector is not None:
                stack.push_async_callback(self._elector.release)  # nothing, if it was lost or never claimed
                await self._unless_stopping(self._elector.acquire)
            if not self._stopping.is_set():
                await stack.enter_async_context(self._leading())
                await stack.enter_async_context(self._working())
                await self._stopping.wait()

    @asynccontextmanager
    async def _running(self, runnables: Sequence[Runnable]) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [_start(group, _name(runnable), runnable.run()) for runnable in runnables]
            yield
            for task in tasks:
                task.cancel()

    async def _sync(self) -> None:
        await self._first_lists.wait()
        log.info("Informers are synced")

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[None]:
        """Keep the lease. Losing it cancels the body."""
        if self._elector is None:
            yield
            return
        async with asyncio.TaskGroup() as group:
            renewal = group.create_task(self._elector.renew(), name="lease renewal")
            yield
            renewal.cancel()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Run what needs leadership. Leaving lets reconciles in hand finish; being cancelled does not."""
        async with self._running(self._leader_runnables), asyncio.TaskGroup() as group:
            tasks = [_start(group, controller.name, self._work(controller)) for controller in self._controllers]
            yield
            for controller in self._controllers:
                controller.stop()
            try:
                async with time_limit(self._clock, self._grace_seconds):
                    await _all_done(tasks)
            except TimeoutError:
                late = [task for task in tasks if not task.done()]
                names = ",".join(task.get_name() for task in late)
                log.warning("Cancelling reconciles that take too long", extra={"controllers": names})
                for task in late:
                    task.cancel()

    async def _work(self, controller: Controller[Any]) -> None:
        await self._unless_stopping(lambda: self._first_lists.wait_for(controller.name))
        if not self._stopping.is_set():
            await controller.run(self._may_act)

    def _may_act(self) -> bool:
        # A process that stood still is told by the clock, before the renewal had its turn to find out.
        return self._elector is None or self._elector.is_leader

    async def _unless_stopping(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take a step of the start, but not when stopping, and cut it short by stopping."""
        if self._stopping.is_set():
            return
        async with asyncio.TaskGroup() as group:
            tasks = {group.create_task(step()), group.create_task(self._stopping.wait())}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()


async def _all_done(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all of them, without taking over their errors or cancelling them."""
    if tasks:
        await asyncio.wait(tasks)


def _name(runnable: Runnable) -> str:
    return getattr(runnable, "name", None) or type(runnable).__name__


def _start(group: asyncio.TaskGroup, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = group.create_task(work, name=name)
    task.add_done_callback(_report_crash)
    return task


def _report_crash(task: asyncio.Task[None]) -> None:
    # Here and not where the group is caught, because here the name is known.
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, LeadershipLost):
        log.critical("Crashed; the process ends", extra={"runnable": task.get_name()}, exc_info=error)
