"""The shared informer: one cached collection and its handlers."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from informers.cache.cache import Cache
from informers.cache.event import AsyncHandler, Event, Handler
from informers.cache.registration import AsyncRegistration, Registration
from informers.meta import KubeObject, ObjectKey, key_of
from informers.metrics import NO_INFORMER_METRICS, InformerMetrics
from informers.selectors import LabelSelector
from informers.watch.backoff import ServerHealth
from informers.watch.comparison import VersionReader
from informers.watch.reflector import ListWatch, Reflector
from informers.watch.watcher import Bookmark, Deleted, Output, Replaced, Undecodable, Upsert

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from informers.cache.store import Indexers, Store
    from informers.errors import KubeError
    from informers.memory import MemoryBudget
    from informers.resource import Resource
    from workqueue.clock import Clock

__all__ = ["Event", "Handler", "Registration", "SharedInformer"]

T = TypeVar("T", bound=KubeObject)


CONFIRMATION_SECONDS: Final = 60.0
"""For the watch to tell of what a write was answered. It mostly takes milliseconds."""


class SharedInformer(Generic[T]):
    """Keeps a :class:`~informers.Store` in step with the API server and calls handlers for every change.

    What is promised: client-go's SharedInformer (tools/cache/shared_informer.go), restated for one event loop, and what
    KEP-3157 (streaming lists) and KEP-5504 (comparable resource versions) add. tests/unit/informers/README.md names the
    tests of each promise.

    1. *Eventually equal.* As long as the server can be reached now and then, the store becomes equal to the server's
       collection, or to a later state of it. No deletion is lost, however long the gap: one that was missed is found by
       comparing with a list, and told as a tombstone.
    2. *In order.* The states of one object appear in the store, and to each handler, in the order in which the server
       had them. Some may be left out, and none comes twice. Between different objects there is no order.
    3. *An object is a namespace and a name.* Deleted and created again under a watch, it is a deletion and an addition.
       In a gap, or by our own writes, it is one update between two uids. Who cares compares uids.
    4. *Store first.* A handler is called in the same step of the event loop as the change of the store, after it: the
       store is as new as the event, or newer.
    5. *Whole lists.* A list replaces the content of the store in one step, before the first handler hears of it; nobody
       sees half of one. Between a failed list and the next the store stays as it was.
    6. *Every handler from the beginning.* One that is added is told of all objects in the store (`initial`) before
       :meth:`add_handler` returns, and of all changes from then on, also if the informer does not run. One added twice
       is told twice.
    7. *Synced means told.* `has_synced` of the informer, and of each handler, turns true once the first complete list
       is in the store and its handlers have been told of it; an empty list counts. It stays true, but for 18.
    8. *Handlers are apart.* An exception in one is logged and counted; the others and the store do not notice. One that
       was removed is told nothing more, not even of the event that is being delivered. A handler that takes its time
       awaits (:meth:`add_async_handler`): however slow it is, and if it never returns, the others and the store do not
       notice. It is told the states of each object in order, some left out (2), and later than 4 and 6 say.
    9. *Other handlers are quick.* Those of :meth:`add_handler` run inside the event loop, one after the other, and no
       queue is between them and the watch: a slow one holds up everything in the process, and the server's events wait
       in the socket. A server that loses patience ends the watch, and it is resumed. One that takes 0.1 s is named in
       the log. So such a handler does no more than put a key in a queue; it cannot call :meth:`add_handler`,
       :meth:`observe` or :meth:`observe_deleted`.
    10. *Memory is bounded* by the collection itself (twice while a list comes in), one read from the socket, one page,
        4096 numbers of own writes and 4096 uids of own deletions that the watch has yet to confirm. What has left
        the store is not kept alive, except what a handler that awaits has yet to be told: two events of each object.
    11. *Resync is local.* It tells all handlers of every object again at an interval, as an update with `old is new`,
        and asks the server for nothing. (There is one interval for the informer, not one for each handler.)
    12. *Read your writes.* What is given to :meth:`observe` stays visible until the server has something newer: see
        :mod:`informers.cache.cache`. What the server answered, and has not told of by its watch for a minute or two, is
        not believed any longer: a new list decides.
    13. *Any server.* Streaming lists where the server has them, else consistent lists by pages, else everything at
        once when a continue token has expired. No bookmarks are needed: they save lists after quiet times. Silence is
        no reason to list: the watch is opened again where it was. If it was silent from its beginning, a list of one
        object tells first whether the server has gone back behind our position (restored from a backup). Lists and
        streams ask for the most recent state (resourceVersion ""), never for what some cache holds ("0"): a list is
        never older than what a handler was told, unless the server itself went back. A watch begins exactly where the
        list or the watch before it ended.
    14. *Time-outs everywhere.* A watch is asked to end after 5 to 10 minutes. Without a byte for 90 s it is given up,
        which for a quiet kind is how it usually ends, and no failure. A peer that is gone without a word is noticed
        within 15 s: by TCP keep-alive and TCP_USER_TIMEOUT (Linux), or, if something in between
        still acknowledges what it does not pass on, by a request of the factory's that has no answer
        (:meth:`informers.ApiClient.guard`). Only what swallows one watch and nothing else takes the 90 s. A
        request has 32 s, if its client is configured with nothing else; a list that goes on coming has 10 minutes.
    15. *410 at every stage* (start of a watch, in it, on a page, as an HTTP status or an event) leads to a new list and
        costs nothing but that.
    16. *Failures are paced.* A server that refuses is asked less and less often (up to 30 s apart, or as it says), one
        that does not answer once a second by the informers of a factory together: see :mod:`informers.watch.backoff`.
    17. *One bad object costs one object.* What cannot be decoded, or is nested too deep, is skipped with an error in
        the log. If the store has an older state of it, that stays, out of date.
    18. *A server cannot take all memory.* With a :class:`~informers.memory.MemoryBudget`, a collection that there is no
        room for is dropped as a whole: the store is empty, `has_synced` false, and no handler is told, as what is not
        known is not gone. It is listed again after a minute.
    19. *Silence is looked into.* A watch that says nothing for 7 s is compared with a consistent list of resource
        versions (metadata only, 1,000 objects a page). What the watch should have told by then, and does not in 2 s
        more, is listed anew; so is a server that went back. A refusal ends the watch, as API servers do not when rights
        or tokens are taken away. A watch that tells of changes is compared as often, or less if that takes long, and
        what two lists show and it does not is listed anew. `last_confirmed_monotonic` is the time at which the store
        was last known to be right.

    Objects are shared by all who read them: whoever changes one breaks it for everybody. tests/support/mutation.py
    finds out. Not thread-safe.

    Attributes:
        resource: what is cached.
        store: the cached objects. Incomplete before :attr:`has_synced`.
        made_monotonic: when this was made, on the clock's monotonic time.
    """

    def __init__(
        self,
        client: ListWatch,
        resource: Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Indexers[T] | None = None,
        resync_seconds: float = 0.0,
        clock: Clock,
        rng: random.Random,
        page_size: int = 500,
        outage: ServerHealth | None = None,
        metrics: InformerMetrics = NO_INFORMER_METRICS,
        memory: MemoryBudget | None = None,
    ) -> None:
        """Makes no request before :meth:`run`.

        Args:
            client: the API server.
            resource: what to cache.
            namespace: only this one; empty means all.
            label_selector: only objects whose labels match.
            field_selector: only objects whose fields match.
            indexers: see :class:`~informers.Store`.
            resync_seconds: tell the handlers of every object again at this interval; 0 means never. Makes no requests.
            clock: for pauses and resyncs.
            rng: for jitter.
            page_size: objects on a page, where the server has no streaming lists.
            outage: shared by the informers of one API server, so that one of them at a time tries it while it is away.
            metrics: told what happens.
            memory: what the store may take, together with those of others; None for a server that is trusted.

        Raises:
            ValueError: the label selector cannot be read.
        """
        self.resource = resource
        self._name = str(resource)
        self._namespace = namespace
        self._selector = LabelSelector.parse(label_selector)
        self._field_selector = field_selector
        self._resync_seconds = resync_seconds
        self._clock = clock
        self.made_monotonic = clock.monotonic()
        self._metrics = metrics
        self._cache: Cache[T] = Cache(indexers)
        self.store: Store[T] = self._cache.store
        self._memory = memory.account(self._drop) if memory is not None else None
        self._versions = client if isinstance(client, VersionReader) else None
        self._reflector = Reflector(
            client,
            resource,
            self._apply,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            page_size=page_size,
            clock=clock,
            rng=rng,
            outage=outage if outage is not None else ServerHealth(clock=clock, rng=rng),
            metrics=metrics,
            memory=self._memory,
        )
        self._registrations: dict[Registration[T], None] = {}  # a set in order of registration
        self._delivering = False
        self._group: asyncio.TaskGroup | None = None
        self._synced = asyncio.Event()
        self._dropped = asyncio.Event()

    @property
    def has_synced(self) -> bool:
        """Whether the store has held a complete list, and all handlers have received it."""
        return self._synced.is_set()

    @property
    def last_error(self) -> KubeError | None:
        """Why the store may be out of date at the moment; None while lists and watches succeed."""
        return self._reflector.last_error

    @property
    def last_confirmed_monotonic(self) -> float | None:
        """When the store was last known to equal the server's state (19), on the clock's monotonic time.

        None before the first list.
        """
        return self._reflector.last_confirmed

    @property
    def cached_bytes(self) -> int:
        """The estimated memory of the objects; 0 without a memory account."""
        return self._memory.used if self._memory is not None else 0

    def on_failure(self, listener: Callable[[KubeError | None], None]) -> None:
        """Call `listener` with every failure of a list or a watch, and with None when they work again.

        There is one listener; it must not raise.
        """
        self._reflector.on_failure = listener

    async def wait_synced(self) -> None:
        """Return once :attr:`has_synced`. Never, if the server is never reached: use a time-out."""
        await self._synced.wait()

    async def wait_dropped(self) -> None:
        """Return once the store has been dropped for want of memory (18), and :attr:`has_synced` is false again."""
        await self._dropped.wait()

    def add_handler(self, handler: Handler[T], *, name: str = "") -> Registration[T]:
        """Tell `handler` of the objects in the store, before returning, and of every change from now on.

        Args:
            handler: see :data:`~informers.cache.event.Handler`. What it raises is logged, and never raised here.
            name: for logs and metrics; else the function's own.

        Raises:
            RuntimeError: called by a handler.
        """
        return self._add(Registration(self, handler, name or _name_of(handler), self._clock))

    def add_async_handler(self, handler: AsyncHandler[T], *, name: str = "") -> Registration[T]:
        """The same for a handler that awaits. A task of its own tells it, one event after the other, while this runs.

        However long it takes, nobody else waits for it. Events that wait for their turn are merged by object: see
        :func:`registration.merged`. When the informer stops, the call under way is cancelled, and what waits
        is told when it runs again.

        Args:
            handler: see :data:`~informers.cache.event.AsyncHandler`. What it raises is logged.
            name: for logs and metrics; else the function's own.

        Raises:
            RuntimeError: called by a handler that is not asynchronous.
        """
        registration = AsyncRegistration(self, handler, name or _name_of(handler), self._clock)
        self._add(registration)
        if self._group is not None:
            self._start(registration, self._group)
        return registration

    def _add(self, registration: Registration[T]) -> Registration[T]:
        self._refuse_handlers("add_handler")
        self._registrations[registration] = None
        self._delivering = True
        try:
            for obj in self.store.values():
                registration._call(Event(new=obj, initial=True), self._clock.monotonic())
        finally:
            self._delivering = False
        return registration

    def add_indexers(self, indexers: Indexers[T]) -> None:
        """Index the store by more, at any time. Raises ValueError if a name is taken by another function."""
        self._cache.writer.add_indexers(indexers)

    async def run(self) -> None:
        """Follow the server until cancelled. The store stays as it is then.

        Raises:
            RuntimeError: it runs already.
            ExceptionGroup: a defect, for example an indexer that raises. Servers and networks cannot cause it.
        """
        if self._group is not None:
            raise RuntimeError(f"the informer of {self.resource} runs already")
        try:
            async with asyncio.TaskGroup() as self._group:
                group = self._group
                self._start_handlers(group)
                group.create_task(self._reflector.run(), name=f"reflector of {self.resource}")
                group.create_task(self._confirm(), name=f"confirmation of {self.resource}")
                if self._versions is not None:
                    comparing = self._reflector.compare(self._known_versions, self._versions)
                    group.create_task(comparing, name=f"comparison of {self.resource}")
                if self._resync_seconds > 0:
                    group.create_task(self._resync(), name=f"resync of {self.resource}")
        finally:
            self._group = None
            if self._memory is not None:
                self._memory.close()

    def _start_handlers(self, group: asyncio.TaskGroup) -> None:
        for registration in self._registrations:
            if isinstance(registration, AsyncRegistration):
                self._start(registration, group)

    def _start(self, registration: AsyncRegistration[T], group: asyncio.TaskGroup) -> None:
        # With a context of its own: whoever added it must not lend it its priority and its log fields.
        group.create_task(registration._run(), name=f"handler {registration.name}", context=contextvars.Context())

    def _forget(self, registration: Registration[T]) -> None:
        self._registrations.pop(registration, None)

    def retry_now(self) -> None:
        """Try again now, if waiting after a failure, and not because the server asked to wait."""
        self._reflector.retry_now()

    def observe(self, obj: T) -> None:
        """Put the answer to one's own write into the store, ahead of the watch, and tell the handlers.

        Ignored if the store knows as much already, if it is outside of the informer's namespace, and by informers with
        a field selector, as only the server can evaluate those. The watch event for the same write is then no news.

        Raises:
            RuntimeError: called by a handler.
        """
        self._refuse_handlers("observe")
        if self._field_selector or (self._namespace and obj.metadata.namespace != self._namespace):
            return
        self._deliver(self._cache.observe(obj, selected=self._selector.matches(obj.metadata.labels)))

    def observe_deleted(self, key: ObjectKey, uid: str) -> None:
        """Take the object that one has deleted, and that is gone, out of the store ahead of the watch.

        Args:
            key: its key.
            uid: its uid, as the server confirmed it (a precondition of the delete, say). Nothing happens without: the
                object deleted may have been another one than that in the store.

        Raises:
            RuntimeError: called by a handler.
        """
        self._refuse_handlers("observe_deleted")
        self._deliver(self._cache.observe_deleted(key, uid))

    def _apply(self, output: Output[T]) -> None:
        match output:
            case Upsert(obj):
                self._deliver(self._cache.put(obj))
            case Deleted(identity=identity, final=final):
                self._deliver(self._cache.remove(identity, final))
            case Bookmark(resource_version):
                self._cache.advance(resource_version)
            case Undecodable(identity):
                self._cache.skip(identity)
            case Replaced(objects=objects, resource_version=resource_version, keep=keep):
                self._deliver(self._cache.replace(objects, resource_version, keep))
                self._dropped.clear()
                self._synced.set()

    def _known_versions(self) -> dict[ObjectKey, str]:
        return {key_of(obj): obj.metadata.resource_version for obj in self.store.values()}

    def _drop(self) -> None:
        """No handler is told: what is not known is not gone."""
        self._synced.clear()
        self._cache.clear()
        self._dropped.set()
        self._reflector.give_way()

    def _deliver(self, events: list[Event[T]]) -> None:
        self._delivering = True
        try:
            for event in events:
                self._metrics.event(self._name, event.kind)
                now = self._clock.monotonic()
                for registration in tuple(self._registrations):
                    if registration in self._registrations:  # not removed by a handler before it
                        now = registration._call(event, now)
        finally:
            self._delivering = False

    def _refuse_handlers(self, method: str) -> None:
        if self._delivering:
            # It would tell some handlers of a later change before the present one.
            raise RuntimeError(f"{method}() called by a handler, which should do no more than put a key in a queue")

    async def _resync(self) -> None:
        while True:
            await self._clock.sleep(self._resync_seconds)
            self._deliver([Event(old=obj, new=obj) for obj in self.store.values()])

    async def _confirm(self) -> None:
        """Have a list decide about writes that were answered, and of which the watch tells nothing."""
        before: dict[ObjectKey, int | str] = {}
        while True:
            await self._clock.sleep(CONFIRMATION_SECONDS)
            now = self._cache.unconfirmed()
            silent = sorted(key for key, what in now.items() if before.get(key) == what)
            if silent and self._reflector.last_error is None:
                self._cache.doubt(silent)
                self._reflector.list_anew(f"no event for what was written, as {silent[0]} ({len(silent)} in all)")
            before = now


def _name_of(handler: object) -> str:
    return getattr(handler, "__qualname__", repr(handler))
