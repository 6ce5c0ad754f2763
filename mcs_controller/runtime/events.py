"""Kubernetes events, as `kubectl describe` shows them: recorder, broadcaster, aggregation.

core/v1 Events as client-go `tools/record` writes them. Recording never waits and never fails: events are queued, and
one task writes them. The same event again raises the count of the first one; an object with very many of them is
throttled. Unlike client-go, similar events (which differ in their message only) are not merged into one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar

from tenacity import AsyncRetrying, RetryError, retry_if_result, stop_after_attempt, wait_fixed

from informers.errors import AlreadyExists, KubeError, NamespaceTerminating, NotFound
from informers.resource import PartialObject, Resource, struct_decoder
from workqueue import TokenBucket, time_limit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from informers.meta import KubeObject
    from workqueue import Clock

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

EventType: TypeAlias = Literal["Normal", "Warning"]

EVENTS: Final[Resource[PartialObject]] = Resource(
    group="", version="v1", plural="events", kind="Event", decode=struct_decoder(PartialObject)
)

_MAX_MESSAGE_BYTES: Final = 1024
_MAX_NAME: Final = 253
_MAX_QUEUED: Final = 1000
_MAX_REMEMBERED: Final = 4096
_SPAM_BURST: Final = 25
_SPAM_QPS: Final = 1 / 300
_MAX_TRIES: Final = 12
_RETRY_SECONDS: Final = 10.0
_FLUSH_SECONDS: Final = 5.0


class ObjectReference(NamedTuple):
    """The object that an event is about. `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def to(cls, obj: KubeObject, kind: Resource[Any]) -> ObjectReference:
        """The reference to an object of that kind."""
        meta = obj.metadata
        return cls(kind.api_version, kind.kind, meta.name, meta.namespace, meta.uid)


class Recorder(Protocol):
    """Records events of one component: what reconcilers call."""

    def event(self, ref: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Record an event: `reason` in CamelCase for programs, `message` for people. Returns at once, never raises."""
        ...

    def for_component(self, component: str) -> Recorder:
        """A recorder whose events name another component as their source."""
        ...


class EventClient(Protocol):
    """The two verbs that are needed: part of `informers.ApiClient`."""

    async def create(
        self, resource: Resource[PartialObject], body: Mapping[str, Any], namespace: str = ""
    ) -> PartialObject:
        """Create. Raises AlreadyExists."""
        ...

    async def patch(
        self, resource: Resource[PartialObject], name: str, body: Mapping[str, Any], namespace: str = ""
    ) -> PartialObject:
        """Merge patch. Raises NotFound."""
        ...


class _Occurrence(NamedTuple):
    """The identity of an event: two that are equal are counted as one."""

    component: str
    ref: ObjectReference
    type: EventType
    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class _Series:
    """One Event object: an occurrence and its repetitions."""

    what: _Occurrence
    name: str
    first: datetime
    last: datetime
    count: int = 0
    sent: int = 0  # the count that the API server knows; 0 before it knows the Event

    @property
    def namespace(self) -> str:
        """Events about cluster-scoped objects live in this namespace; the API server insists on it."""
        return self.what.ref.namespace or "default"


class EventBroadcaster:
    """Queues and writes the events of all components of a process. :meth:`run` must run.

    Events are written one after the other, in the order in which they were first recorded. What waits at most are 1000
    different ones; a component may record 25 about one object at once and then one in five minutes, as in client-go's
    spam filter. A write that fails for want of a server is tried 12 times, 10 s apart. Not thread-safe.
    """

    def __init__(self, client: EventClient, *, clock: Clock) -> None:
        """Makes no request.

        Args:
            client: of the API server that keeps the events; best one whose rate limit nobody else needs.
            clock: for time stamps, limits and pauses.
        """
        self._client = client
        self._clock = clock
        self._series: _LeastRecentlyUsed[_Occurrence, _Series] = _LeastRecentlyUsed(_MAX_REMEMBERED)
        self._buckets: _LeastRecentlyUsed[tuple[str, ObjectReference, str], TokenBucket] = _LeastRecentlyUsed(
            _MAX_REMEMBERED
        )
        self._pending: dict[_Occurrence, _Series] = {}
        self._arrived = asyncio.Event()
        self._last_stamp = 0

    def for_component(self, component: str) -> EventRecorder:
        """A recorder whose events name `component` as their source."""
        return EventRecorder(self, component)

    def record(self, component: str, ref: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Queue an event. Returns at once, never raises.

        It is dropped, with a log line, if its object has had too many lately or too many are queued altogether. A
        message of more than 1024 bytes is cut.
        """
        bucket = self._buckets.get_or_make(
            (component, ref, type_), lambda: TokenBucket(_SPAM_QPS, _SPAM_BURST, clock=self._clock)
        )
        what = _Occurrence(component, ref, type_, reason, _capped(message))
        if not bucket.try_take():
            log.debug("Event dropped: too many about this object", extra=_fields(what))
            return
        now = self._clock.utcnow()
        series = self._series.get_or_make(
            what, lambda: _Series(what=what, name=self._new_name(ref.name, now), first=now, last=now)
        )
        series.count += 1
        series.last = now
        if what not in self._pending and len(self._pending) >= _MAX_QUEUED:
            log.warning("Event dropped: too many are waiting to be written", extra=_fields(what))
            return
        self._pending[what] = series
        self._arrived.set()

    async def run(self) -> NoReturn:
        """Write events until cancelled; then write what is left, for 5 s at most. To be run once at a time."""
        try:
            while True:
                self._arrived.clear()
                for series in list(self._pending.values()):
                    await self._deliver(series)
                await self._arrived.wait()
        finally:
            await self._flush()

    async def _deliver(self, series: _Series) -> None:
        tries = AsyncRetrying(
            retry=retry_if_result(lambda written: not written),
            stop=stop_after_attempt(_MAX_TRIES),
            wait=wait_fixed(_RETRY_SECONDS),
            sleep=self._clock.sleep,
        )
        try:
            await tries(self._try_write, series)
        except RetryError:
            log.warning("Dropping event after failed attempts", extra=_fields(series.what))
            del self._pending[series.what]

    async def _flush(self) -> None:
        try:
            async with time_limit(self._clock, _FLUSH_SECONDS):
                for series in list(self._pending.values()):
                    await self._try_write(series)
        except TimeoutError:
            log.warning("Events not written before shutdown", extra={"events": len(self._pending)})

    async def _try_write(self, series: _Series) -> bool:
        """Write one series as it is now. False if it is worth another try."""
        count = series.count
        try:
            await self._write(series)
        except KubeError as error:
            if error.retryable:
                return False
            # Nobody waits for the events of objects that go with their namespace, and there may be thousands.
            level = logging.DEBUG if isinstance(error, NamespaceTerminating | NotFound) else logging.WARNING
            log.log(level, "Event rejected", extra=_fields(series.what, error=str(error)))
        else:
            series.sent = count
        if series.count == count:
            del self._pending[series.what]
        return True

    async def _write(self, series: _Series) -> None:
        if series.sent:
            body = {"count": series.count, "lastTimestamp": _timestamp(series.last)}
            try:
                await self._client.patch(EVENTS, series.name, body, series.namespace)
            except NotFound:
                pass  # events expire after an hour; begin anew under the same name, as client-go does
            else:
                return
        with contextlib.suppress(AlreadyExists):  # an earlier try got through, only its answer did not
            await self._client.create(EVENTS, _body(series), series.namespace)

    def _new_name(self, name: str, now: datetime) -> str:
        # Nanoseconds as client-go has them. Two events at one moment must not share a name.
        self._last_stamp = max(self._last_stamp + 1, int(now.timestamp() * 1e6) * 1000)
        suffix = f".{self._last_stamp:x}"
        return name[: _MAX_NAME - len(suffix)] + suffix


class EventRecorder:
    """A :class:`Recorder`: one component's voice in a broadcaster."""

    def __init__(self, broadcaster: EventBroadcaster, component: str) -> None:
        self._broadcaster = broadcaster
        self._component = component

    def event(self, ref: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """See :meth:`Recorder.event`."""
        self._broadcaster.record(self._component, ref, type_, reason, message)

    def for_component(self, component: str) -> EventRecorder:
        """See :meth:`Recorder.for_component`."""
        return EventRecorder(self._broadcaster, component)


class _LeastRecentlyUsed(Generic[K, V]):
    """A bounded mapping that drops the entry least recently used."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        if key not in self._entries:
            self._entries[key] = make()
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]


def _body(series: _Series) -> dict[str, Any]:
    what, ref = series.what, series.what.ref
    reference = {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
        "uid": ref.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": series.name, "namespace": series.namespace},
        "involvedObject": {key: value for key, value in reference.items() if value},
        "reason": what.reason,
        "message": what.message,
        "type": what.type,
        "source": {"component": what.component},
        "reportingComponent": what.component,
        "reportingInstance": "",
        "firstTimestamp": _timestamp(series.first),
        "lastTimestamp": _timestamp(series.last),
        "count": series.count,
    }


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _capped(message: str) -> str:
    """The API server refuses longer ones. Never cuts within a character."""
    return message.encode()[:_MAX_MESSAGE_BYTES].decode(errors="ignore")


def _fields(what: _Occurrence, **more: str) -> dict[str, str]:
    ref = what.ref
    return {"object": f"{ref.kind} {ref.namespace}/{ref.name}", "reason": what.reason, "event": what.message, **more}
