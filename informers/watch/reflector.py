"""Makes a cache follow the server: does what the state machine of :mod:`informers.watch.watcher` asks for, for ever.

Here are the requests, the pauses and the log lines; what answers mean is over there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Generic, NoReturn, Protocol, TypeVar

from informers.client.nesting import cut
from informers.client.wire import TooDeep
from informers.errors import (
    ApiError,
    CacheFull,
    DecodeError,
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    TransportError,
    Unauthorized,
    WatchIdle,
)
from informers.memory import READER
from informers.meta import KubeObject, key_of
from informers.metrics import NO_INFORMER_METRICS, InformerMetrics
from informers.watch.backoff import Backoff, ServerHealth
from informers.watch.comparison import (
    BUSY_PAUSE,
    BUSY_SECONDS,
    COMPARE_AGAIN_SECONDS,
    IN_FLIGHT_SECONDS,
    SILENT_SECONDS,
    differences,
    is_older,
)
from informers.watch.watcher import (
    Ended,
    Failed,
    Input,
    Line,
    ListRequest,
    Page,
    Pause,
    Replaced,
    Upsert,
    Watcher,
    WatchRequest,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from informers.client.transport import Lines
    from informers.client.wire import ListPage, Rejected, Versions
    from informers.memory import MemoryAccount
    from informers.meta import ObjectKey
    from informers.resource import Resource
    from informers.watch.comparison import VersionReader
    from informers.watch.watcher import Output
    from workqueue.clock import Clock

T = TypeVar("T", bound=KubeObject)

MIN_WATCH_SECONDS: Final = 300
MAX_WATCH_SECONDS: Final = 600
"""Watches are asked to end after a random time between these, so that the load moves to new API servers (client-go)."""

SHORT_WATCH_SECONDS: Final = 1.0
"""A watch that ends sooner counts as a failure: resuming at once would be a tight loop."""

MAX_RETRY_AFTER_SECONDS: Final = 300.0
"""A server may ask for patience, but not for ever."""

STALLED_LIST_SECONDS: Final = 5.0
"""A streaming list that tells of changes, and for so long of no further object, is taken to be complete without its end
being told: servers without bookmarks (aggregated ones, for example) never tell it. The list is then read by pages."""

_SHORTEST_PAUSE: Final = 0.001

MAX_REJECTED: Final = 100
"""Objects that cannot be decoded of which the log hears, until there is a new list; the metric counts all."""

_log = logging.getLogger(__name__)


class ListWatch(Protocol):
    """The part of :class:`~informers.ApiClient` that an informer needs. Raises KubeError and nothing else."""

    @property
    def host(self) -> str:
        """Host and port of the API server, for log lines."""
        ...

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        resource_version: str = "",
        continue_token: str = "",
    ) -> ListPage[T]:
        """See :meth:`informers.ApiClient.list`."""
        ...

    def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int,
        bookmarks: bool = True,
        send_initial_events: bool = False,
    ) -> AbstractAsyncContextManager[Lines]:
        """See :meth:`informers.ApiClient.watch`."""
        ...


class Reflector(Generic[T]):
    """Follows one collection.

    Attributes:
        last_error: why the cache may be out of date at the moment; None while lists and watches succeed.
        last_confirmed: monotonic time at which the cache was last known to have what the server has; None before the
            first list.
        on_failure: called with every failure, and with None when lists and watches work again.
    """

    def __init__(
        self,
        client: ListWatch,
        resource: Resource[T],
        apply: Callable[[Output[T]], None],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = 500,
        clock: Clock,
        rng: random.Random,
        outage: ServerHealth,
        metrics: InformerMetrics = NO_INFORMER_METRICS,
        memory: MemoryAccount | None = None,
    ) -> None:
        """`apply` is called with every change, in the order in which the server tells them.

        When there is no room in `memory` for what the server has, its `on_evicted` is to drop what was applied, and
        the collection is listed anew after a pause.
        """
        self._client = client
        self._resource = resource
        self._apply = apply
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._watcher = Watcher(resource, page_size=page_size, memory=memory)
        self._memory = memory
        self._asking: asyncio.Timeout | None = None
        self._anew = False
        self._is_open = False  # a watch is
        self._refused: KubeError | None = None
        self._disputed: Mapping[ObjectKey, str] = {}
        self._reading_seconds = 0.0
        """How long it took to read the versions last."""
        self._backoff = Backoff(clock=clock, rng=rng)
        self._outage = outage
        self._sleeping: asyncio.Task[None] | None = None
        self._wakes = 0
        self._rejected: dict[ObjectKey | None, str] = {}
        """What was told of objects that cannot be decoded."""
        self.last_error: KubeError | None = None
        self.last_confirmed: float | None = None
        self.on_failure: Callable[[KubeError | None], None] | None = None

    async def run(self) -> NoReturn:
        """Follow the server until cancelled. Errors of the API server and of the network never end it."""
        READER.set(self._memory)  # this task is nobody else's
        heard = self._outage.answers
        while True:
            pause = await self._ask_until_told()
            # From the last failure on, if this is one more: who fails while others are answered has to back off.
            answered, heard = self._outage.answers != heard, self._outage.answers
            if pause is not None:
                await self._wait(pause, answered=answered)

    def retry_now(self) -> None:
        """The server seems to answer again: end the pause, if there is one, and begin anew with short ones.

        What the server itself has asked to wait is waited all the same.
        """
        self._wakes += 1
        self._backoff.reset()
        if self._sleeping is not None:
            self._sleeping.cancel()

    def give_way(self) -> None:
        """Begin anew, after a pause: what was kept is dropped, as others need the room."""
        self._watcher.reset()
        self._end_request()

    def list_anew(self, why: str) -> None:
        """List the collection again instead of following it from here."""
        _log.warning("listing again", extra=self._fields(why=why))
        if self._asking is None:
            self._watcher.reset()
        elif self._end_request():
            self._anew = True

    def _end_request(self) -> bool:
        """End the request under way; False if there is none, or it is on its way out."""
        if self._asking is None or self._asking.expired():
            return False
        self._asking.reschedule(asyncio.get_running_loop().time())
        return True

    async def compare(self, versions: Callable[[], Mapping[ObjectKey, str]], reader: VersionReader) -> NoReturn:
        """Now and then compare the versions that the cache has with the server's, until cancelled.

        What the watch has not told of is listed; a refusal ends the watch, which API servers do not.
        """
        READER.set(self._memory)
        pause, due = SILENT_SECONDS, 0.0
        while True:
            await self._clock.sleep(pause)
            pause = COMPARE_AGAIN_SECONDS
            if (heard := self.last_confirmed) is None or not self._is_open:
                continue
            now = self._clock.monotonic()
            if (left := heard + SILENT_SECONDS - now) <= 0:
                if settled := await self._compare(versions, reader, heard):
                    pause = SILENT_SECONDS
            elif now < due:
                pause = max(_SHORTEST_PAUSE, min(left, due - now))
                continue
            else:
                # It may take two lists. Begun late, it would make a cache stale that a list of its own would confirm.
                settled = left >= SILENT_SECONDS - BUSY_SECONDS and await self._compare_busy(versions, reader)
            if settled:
                due = self._clock.monotonic() + max(SILENT_SECONDS, BUSY_PAUSE * self._reading_seconds)

    async def _read_versions(
        self, versions: Callable[[], Mapping[ObjectKey, str]], reader: VersionReader
    ) -> Versions | None:
        """What the server has; None if it does not say. A refusal ends the watch."""
        began = self._clock.monotonic()
        try:
            return await reader.list_versions(
                self._resource,
                self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                at_most=2 * len(versions()) + 1000,
            )
        except (Unauthorized, Forbidden, NotFound) as error:
            self._refused = error
            self._end_request()
            return None
        except KubeError as error:
            _log.debug("cannot compare a watch with a list", extra=self._fields(error=error))
            return None
        finally:
            self._reading_seconds = self._clock.monotonic() - began

    async def _compare_busy(self, versions: Callable[[], Mapping[ObjectKey, str]], reader: VersionReader) -> bool:
        """Whether a watch that tells of something tells of all: what two lists show, and the watch between them not.

        Returns whether that settled it.
        """
        if (server := await self._read_versions(versions, reader)) is None:
            return self._refused is not None
        missed = differences(versions(), server).items() - self._disputed.items()
        if missed:
            await self._clock.sleep(IN_FLIGHT_SECONDS)
            if (server := await self._read_versions(versions, reader)) is None or not self._is_open:
                return self._refused is not None
            missed &= differences(versions(), server).items()
        if missed:
            self._disputed = {**self._disputed, **dict(missed)}
            self._tell_missed(missed)
        return True

    def _tell_missed(self, missed: Collection[tuple[ObjectKey, str]]) -> None:
        self._metrics.missed(str(self._resource), len(missed))
        self.list_anew(f"the watch did not tell of {len(missed)} objects, as {min(missed)[0]}")

    async def _compare(
        self, versions: Callable[[], Mapping[ObjectKey, str]], reader: VersionReader, heard: float
    ) -> bool:
        """Whether that settled it: not if the server could not be read, or there was no watch to be compared."""
        if (server := await self._read_versions(versions, reader)) is None:
            return self._refused is not None
        if differences(versions(), server):
            await self._clock.sleep(IN_FLIGHT_SECONDS)
        if self.last_confirmed != heard:
            return True  # the watch has told of something
        if not (self._is_open and self._watcher.position):
            return False  # it has just ended, in good order perhaps; the next one is about to be opened
        if is_older(server.resource_version, than=self._watcher.position):
            self.list_anew(f"the server went back from version {self._watcher.position} to {server.resource_version}")
            return True
        found, before = differences(versions(), server), self._disputed
        self._disputed = found
        # What a list did not settle is there to stay: see Undecodable.
        if new := found.items() - before.items():
            self._tell_missed(new)
        else:
            self.last_confirmed = self._clock.monotonic()
        return True

    async def _ask(self) -> Pause | None:
        request = self._watcher.request()
        return await (self._list(request) if isinstance(request, ListRequest) else self._watch(request))

    async def _ask_until_told(self) -> Pause | None:
        """Ask, unless :meth:`give_way` or :meth:`list_anew` ends it."""
        memory = self._memory
        try:
            async with asyncio.timeout(None) as self._asking:
                if memory is not None and memory.exceeded is not None:
                    raise memory.exceeded
                return await self._ask()
        except (CacheFull, TimeoutError):
            if memory is None or memory.exceeded is None:
                if self._refused is not None:
                    return self._take(Ended(self._refused))[1]
                if not self._anew:
                    raise
                return None
        finally:
            self._asking = self._refused = None
            if self._anew:
                self._anew = False
                self._watcher.reset()
        exceeded, memory.exceeded = memory.exceeded, None
        # A new one is kept: the traceback of that one keeps all objects alive that were dropped.
        return self._take(Failed(CacheFull(str(exceeded), exceeded.retry_after)))[1]

    async def _list(self, request: ListRequest) -> Pause | None:
        try:
            page = await self._client.list(
                self._resource,
                self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=request.limit,
                continue_token=request.continue_token,
            )
        except CacheFull:
            raise
        except KubeError as error:
            return self._take(Failed(error))[1]
        return self._take(Page(page))[1]

    async def _watch(self, request: WatchRequest) -> Pause | None:
        opened: float | None = None
        ended: KubeError | None = None
        try:
            async with self._client.watch(
                self._resource,
                self._namespace,
                resource_version=request.resource_version,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                timeout_seconds=int(self._rng.uniform(MIN_WATCH_SECONDS, MAX_WATCH_SECONDS)),
                send_initial_events=request.send_initial_events,
            ) as stream:
                opened = self._clock.monotonic()
                self._outage.answered()
                self._is_open = True
                self._metrics.watching(str(self._resource))
                if not request.send_initial_events:
                    self._healthy()  # the next line may be a minute away
                listed, progress = 0, opened
                async for lines in stream:
                    for line in lines:
                        try:
                            again, pause = self._take(Line(line))
                        except TooDeep:
                            again, pause = self._take(Line(await cut(line), was_cut=True))
                        if again:
                            return pause
                    if (count := self._watcher.initial_objects) is None:
                        continue
                    now = self._clock.monotonic()
                    if count != listed:
                        listed, progress = count, now
                    elif now - progress >= STALLED_LIST_SECONDS:
                        ended = TransportError(
                            "streaming list goes on without telling that its initial events are over"
                        )
                        break
        except CacheFull:
            raise
        except DecodeError as error:
            return self._take(Failed(error))[1]
        except KubeError as error:
            ended = error
        finally:
            self._is_open = False
        if opened is None:
            assert ended is not None
            return self._take(Failed(ended))[1]
        return self._take(Ended(ended, short=self._clock.monotonic() - opened < SHORT_WATCH_SECONDS))[1]

    def _take(self, received: Input[T]) -> tuple[bool, Pause | None]:
        """Whether the request is over, and the pause before the next one.

        The step itself must not outlive this call: it may hold every object of a list, and the next step may be hours
        away.
        """
        if self._memory is not None and self._memory.exceeded is not None:
            raise self._memory.exceeded  # it was given to others since this was asked for
        if _is_answer(received):
            self._outage.answered()
        step = self._watcher.step(received)
        if isinstance(step.output, Replaced) or (isinstance(received, Line) and self._watcher.position):
            self.last_confirmed = self._clock.monotonic()
        if self._rejected and isinstance(step.output, Replaced):
            left = {one.key for one in step.rejected}
            self._rejected = {key: text for key, text in self._rejected.items() if key in left}
        self._tell_rejected(step.rejected)
        if step.error is not None:
            self._report(step.error)
        elif isinstance(received, Ended | Failed):
            if isinstance(received.error, WatchIdle):
                _log.debug("watch was idle, opening another", extra=self._fields(error=received.error))
        elif not isinstance(self.last_error, CacheFull) or isinstance(step.output, Replaced):  # there is room for it
            self._healthy()
        if step.output is not None:
            self._apply(step.output)
            if isinstance(step.output, Replaced):
                self._metrics.listed(str(self._resource), len(step.output.objects))
            elif self._rejected and isinstance(step.output, Upsert):
                self._rejected.pop(key_of(step.output.object), None)
        return step.again, step.pause

    def _tell_rejected(self, rejected: Sequence[Rejected]) -> None:
        """One log line for each object and what is wrong with it, not one for each event; of so many at most."""
        for one in rejected:
            self._metrics.rejected(str(self._resource))
            text = str(one.error)
            if self._rejected.get(one.key) == text:
                level = logging.DEBUG
            elif len(self._rejected) < MAX_REJECTED:
                level, self._rejected[one.key] = logging.ERROR, text
            else:
                level = logging.DEBUG
            _log.log(level, "skipped an object that cannot be decoded", extra=self._fields(error=text))

    def _report(self, error: KubeError) -> None:
        """One log line per change of the trouble, not one per attempt: a cluster may be away for days."""
        self._metrics.failed(str(self._resource), error)
        news = str(error) != str(self.last_error)
        level = logging.DEBUG if not news else logging.INFO if isinstance(error, Gone) else logging.WARNING
        _log.log(level, "list or watch failed, will try again", extra=self._fields(error=error))
        self.last_error = error
        if self.on_failure is not None:
            self.on_failure(error)

    def _fields(self, **more: object) -> dict[str, str]:
        fields = {"server": self._client.host, "resource": self._resource, **more}
        return {key: str(value) for key, value in fields.items()}

    def _healthy(self) -> None:
        if self.last_error is not None:
            _log.info("list and watch work again", extra=self._fields())
            self.last_error = None
            if self.on_failure is not None:
                self.on_failure(None)

    async def _wait(self, pause: Pause, *, answered: bool) -> None:
        if answered:
            asked, ours, wakes = min(pause.seconds, MAX_RETRY_AFTER_SECONDS), self._backoff.next(), self._wakes
            if asked > 0:
                await self._clock.sleep(asked)
                if ours <= asked or self._wakes != wakes:
                    return
            waiting: Coroutine[None, None, None] = self._clock.sleep(ours - asked)
        else:
            waiting = self._outage.wait()
        async with asyncio.TaskGroup() as group:  # a task of its own, so that wake() can end it and nothing else
            self._sleeping = group.create_task(waiting)
        self._sleeping = None


def _is_answer(received: Input[T]) -> bool:
    """Whether the server said it: not a silence, nor the end of what it had to say."""
    match received:
        case Line() | Page():
            return True
        case Failed(error):
            return isinstance(error, ApiError | DecodeError | CacheFull)
        case Ended():
            return False
