"""The informers of one API server, started and stopped together or one by one."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeVar, cast, runtime_checkable

from informers.cache.informer import SharedInformer
from informers.meta import KubeObject
from informers.metrics import NO_INFORMER_METRICS, InformerMetrics
from informers.watch.backoff import ServerHealth

if TYPE_CHECKING:
    import random

    from informers.cache.store import Indexers
    from informers.memory import MemoryBudget
    from informers.resource import Resource
    from informers.watch.reflector import ListWatch
    from workqueue.clock import Clock

T = TypeVar("T", bound=KubeObject)


class _Collection(NamedTuple):
    resource: Resource[Any]
    namespace: str
    label_selector: str
    field_selector: str


@runtime_checkable
class Guarded(Protocol):
    """A client that can find out about dead connections, as ApiClient can."""

    async def guard(self) -> NoReturn:
        """See :meth:`informers.ApiClient.guard`."""
        ...


class InformerFactory:
    """At most one informer, and so one watch and one copy of the objects, for each collection. Not thread-safe.

    Unlike client-go's factory it starts informers by itself: those asked for before :meth:`run` when that begins,
    later ones at once. It has the client look after its connections: see :meth:`informers.ApiClient.guard`.
    While the server is away, they take turns to try it: see :class:`~informers.watch.backoff.ServerHealth`.
    """

    def __init__(
        self,
        client: ListWatch,
        *,
        clock: Clock,
        rng: random.Random,
        resync_seconds: float = 0.0,
        page_size: int = 500,
        metrics: InformerMetrics = NO_INFORMER_METRICS,
        memory: MemoryBudget | None = None,
    ) -> None:
        """Makes no request. The arguments are those of every :class:`~informers.SharedInformer` made here."""
        self._client = client
        self._clock = clock
        self._rng = rng
        self._resync_seconds = resync_seconds
        self._page_size = page_size
        self._metrics = metrics
        self._memory = memory
        self._outage = ServerHealth(clock=clock, rng=rng)
        self._informers: dict[_Collection, SharedInformer[Any]] = {}
        self._tasks: dict[SharedInformer[Any], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def informer(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Indexers[T] | None = None,
    ) -> SharedInformer[T]:
        """The informer for this collection: the same one for the same arguments. Indexers are added to it.

        Raises:
            ValueError: a bad label selector, or the informer has another index of the same name.
        """
        collection = _Collection(resource, namespace, label_selector, field_selector)
        known = self._informers.get(collection)
        if known is not None:
            known.add_indexers(indexers or {})
            return cast("SharedInformer[T]", known)
        informer = SharedInformer(
            self._client,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            indexers=indexers,
            resync_seconds=self._resync_seconds,
            clock=self._clock,
            rng=self._rng,
            page_size=self._page_size,
            outage=self._outage,
            metrics=self._metrics,
            memory=self._memory,
        )
        self._informers[collection] = informer
        self._start(informer)
        return informer

    async def run(self) -> None:
        """Run all informers until cancelled.

        Raises:
            RuntimeError: it runs already.
            ExceptionGroup: an informer failed by a defect; the others have been stopped.
        """
        if self._group is not None:
            raise RuntimeError("the informer factory runs already")
        try:
            async with asyncio.TaskGroup() as self._group:
                if isinstance(self._client, Guarded):
                    self._group.create_task(
                        self._client.guard(), name="connection guard", context=contextvars.Context()
                    )
                for informer in self._informers.values():
                    self._start(informer)
                await asyncio.Event().wait()  # also without informers: more may come
        finally:
            self._group = None
            self._tasks.clear()

    async def wait_synced(self) -> None:
        """Return once every informer that exists now has synced. Never, if one cannot: use a time-out."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    @property
    def informers(self) -> list[SharedInformer[Any]]:
        """Those that exist now."""
        return list(self._informers.values())

    @property
    def has_synced(self) -> bool:
        """Whether all informers have synced."""
        return all(informer.has_synced for informer in self._informers.values())

    def retry_now(self) -> None:
        """Let every informer that waits after a failure try again now: the server is known to answer again."""
        for informer in self._informers.values():
            informer.retry_now()

    async def stop(self, informer: SharedInformer[T]) -> None:
        """Stop one informer and forget it; return when it has stopped. Whoever asks for it again gets a new one."""
        self._informers = {name: other for name, other in self._informers.items() if other is not informer}
        task = self._tasks.pop(informer, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])  # its error, if it had one, is the task group's business

    def _start(self, informer: SharedInformer[Any]) -> None:
        if self._group is not None:
            # With a context of its own: the work that asked first must not lend it its priority and its log fields.
            self._tasks[informer] = self._group.create_task(
                informer.run(), name=f"informer of {informer.resource}", context=contextvars.Context()
            )
