"""Production's `ControllerContext` over API servers in memory, with queues that a test empties."""

import dataclasses
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache, cached_property
from typing import Any, cast

from prometheus_client import CollectorRegistry

from informers.cache.event import Event
from mcs_controller.context import ControllerContext
from mcs_controller.metrics import Metrics
from mcs_controller.options import Options, command
from mcs_controller.runtime.freshness import Freshness
from mcs_controller.runtime.reconcile import Reconciler
from tests.support.members import MemoryFactory, MemoryMembers


class PlainController:
    """What `Controller` is to the start functions, with a queue that the test empties."""

    def __init__(self, name: str, reconciler: Reconciler[Any] | None, workers: int = 1) -> None:
        self.name = name
        self.workers = workers
        self.reconciler = reconciler
        self.pending: dict[Hashable, None] = {}
        self.failed: list[tuple[Hashable, Exception]] = []
        self.later: dict[Hashable, float] = {}

    def watch(self, source: Any, mapper: Callable[[Any], Iterable[Any]], predicate: Any = None, **_: Any) -> None:
        self.add_source(source, mapper, predicate)

    def add_source(self, source: Any, mapper: Callable[[Any], Iterable[Any]], predicate: Any = None, **_: Any) -> Any:
        def handle(event: Event[Any]) -> None:
            if predicate is None or predicate(event):
                for request in mapper(event):
                    self.enqueue(request)

        return source.add_handler(handle)

    def enqueue(self, request: Hashable, priority: int | None = None) -> None:
        self.pending[request] = None

    def enqueue_after(self, request: Hashable, seconds: float) -> None:
        """Later is when all else is done."""
        self.later[request] = seconds

    async def run_one(self, request: Any) -> None:
        self.pending.pop(request, None)
        assert self.reconciler is not None
        try:
            result = await self.reconciler.reconcile(request)
        except Exception as error:
            self.failed.append((request, error))
        else:
            if result is not None and result.requeue_after is not None:
                self.later[request] = result.requeue_after


class FakeContext(ControllerContext):
    """See the module.

    Attributes:
        controllers: by name.
        runnables: what the manager would run.
    """

    def __init__(
        self,
        host: Any,
        members: MemoryMembers,
        *flags: str,
        clock: Any,
        recorder: Any,
        rng: Any = None,
        options: Mapping[str, Any] | None = None,
        freshness: Freshness | None = None,
    ) -> None:
        """`options` are those that a test sets to values which no flag can have, or beside the flags."""
        self.controllers: dict[str, PlainController] = {}
        self.runnables: list[Any] = []
        self._fake_members = members
        manager = types.SimpleNamespace(
            add_informers=lambda _: None,
            add_runnable=lambda runnable, **_: self.runnables.append(runnable),
            require_only_for=lambda *_: None,
            prepare_metrics=lambda _: None,
        )
        super().__init__(
            dataclasses.replace(_parsed(flags), **(options or {})),
            cast("Any", manager),
            host,
            clock=clock,
            rng=rng,
            user_agent="tests",
            recorder=recorder,
            metrics=_metrics(),
            freshness=freshness,
        )
        self.metrics.registry = CollectorRegistry()  # the stand-alone controllers of each process register theirs
        self.informers = cast("Any", MemoryFactory(host))

    @cached_property
    def members(self) -> Any:
        return self._fake_members

    def controller(self, name: str, reconciler: Any, workers: int, *, flow: Any) -> Any:
        self.controllers[name] = PlainController(name, reconciler, workers)
        return self.controllers[name]


@cache
def _metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@cache
def _parsed(flags: tuple[str, ...]) -> Options:
    return Options.of(command("test", "0", "").main(args=list(flags), prog_name="test", standalone_mode=False))
