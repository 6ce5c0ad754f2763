"""Informers on demand: one for each key, from its first use until its removal.

A key is whatever tells them apart: a cluster, a kind, or both. Each has a task of its own that waits for its first
list, so a server that does not answer holds up nobody else.

After client-go `dynamicinformer`, controller-runtime `cache.Informers.GetInformer` and Karmada's
`genericmanager.MultiClusterInformerManager`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from informers.meta import KubeObject
from workqueue.clock import time_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator

    from informers.cache.informer import SharedInformer
    from workqueue.clock import Clock

K = TypeVar("K", bound="Hashable")
T = TypeVar("T", bound=KubeObject)


class Handle(Protocol):
    """A handler's place in an informer, such as :class:`~informers.Registration`."""

    def remove(self) -> None:
        """Deliver no more events."""
        ...


@dataclass(eq=False, slots=True)
class _Entry(Generic[T]):
    find: Callable[[], Awaitable[SharedInformer[T]]]
    informer: SharedInformer[T] | None = None
    handles: tuple[Handle, ...] = ()
    task: asyncio.Task[None] | None = None


class DynamicInformers(Generic[K, T]):
    """A set of informers by key. They start and stop in :meth:`run`. Not thread-safe."""

    def __init__(
        self,
        *,
        clock: Clock,
        register: Callable[[K, SharedInformer[T]], Iterable[Handle]],
        synced: Callable[[K], None],
        sync_timeout: float | None = None,
        overdue: Callable[[K, SharedInformer[T]], None] | None = None,
        stop: Callable[[SharedInformer[T]], Awaitable[None]] | None = None,
    ) -> None:
        """Follows nothing yet.

        Args:
            clock: for the time limit.
            register: adds the handlers to a new informer; they are removed when the key is.
            synced: told when a key's informer has its first complete list, or again one after it was dropped for want
                of memory. Does no more than enqueue, as it is called between two awaits.
            sync_timeout: seconds after which a first list is overdue; it goes on being waited for.
            overdue: told then, once.
            stop: ends an informer that was found, when its key is removed; None if that is somebody else's business.
        """
        self._clock = clock
        self._register = register
        self._synced = synced
        self._sync_timeout = sync_timeout
        self._overdue = overdue
        self._stop = stop
        self._entries: dict[K, _Entry[T]] = {}
        self._begun: asyncio.Queue[tuple[K, _Entry[T]]] = asyncio.Queue()

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._entries))

    def get(self, key: K) -> SharedInformer[T] | None:
        """The key's informer, whether it has synced or not; None if it is not followed, or being found."""
        entry = self._entries.get(key)
        return entry.informer if entry is not None else None

    def get_synced(self, key: K) -> SharedInformer[T] | None:
        """The key's informer, once it has its first complete list."""
        informer = self.get(key)
        return informer if informer is not None and informer.has_synced else None

    def add(self, key: K, informer: SharedInformer[T]) -> None:
        """Follow an informer from now on, under a key that is not followed."""

        async def found() -> SharedInformer[T]:
            return informer

        self.find(key, found)
        self._begin(key, self._entries[key], informer)

    def find(self, key: K, find: Callable[[], Awaitable[SharedInformer[T]]]) -> None:
        """The same for an informer that has to be found first, by discovery for example; :meth:`run` does it."""
        entry = self._entries[key] = _Entry(find)
        self._begun.put_nowait((key, entry))

    def remove(self, key: K) -> None:
        """Follow the key's informer no more, if it is followed; nobody hears of it again."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        for handle in entry.handles:
            handle.remove()
        if entry.task is not None:
            entry.task.cancel()  # its first list may never come

    async def run(self) -> None:
        """Wait for first lists, and tell of them, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                key, entry = await self._begun.get()
                if self._entries.get(key) is entry:
                    entry.task = group.create_task(self._follow(key, entry), name=f"first list of {key}")

    async def _follow(self, key: K, entry: _Entry[T]) -> None:
        informer = await entry.find()
        if entry.informer is None:
            self._begin(key, entry, informer)
        try:
            while True:
                await self._wait_synced(key, informer)
                self._synced(key)
                await informer.wait_dropped()
        finally:
            if self._stop is not None:
                await self._stop(informer)

    def _begin(self, key: K, entry: _Entry[T], informer: SharedInformer[T]) -> None:
        entry.informer = informer
        entry.handles = tuple(self._register(key, informer))

    async def _wait_synced(self, key: K, informer: SharedInformer[T]) -> None:
        if self._sync_timeout is not None and self._overdue is not None:
            try:
                async with time_limit(self._clock, self._sync_timeout):
                    await informer.wait_synced()
            except TimeoutError:
                self._overdue(key, informer)
        await informer.wait_synced()
