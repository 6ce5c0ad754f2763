"""An API server on a real socket that answers from an `ObjectHistory`, truthfully,
except where a fault plan says otherwise.

It has lists by pages with tokens that expire, watches with history, bookmarks, streaming lists, selections, and the
writes that a CachedClient makes, with their conflicts. Like kube-apiserver, it opens a watch from a version that it
has yet to reach, and says nothing on it, not even bookmarks, until then.
"""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

import msgspec

from informers.errors import ApiError
from informers.meta import ObjectKey
from tests.support import fault_plan
from tests.support.api_server import Answer, Exchange, ScriptedApiServer, drop, gzipped, half_a_page, hang, reply
from tests.support.fault_plan import Fault, FaultPlan
from tests.support.object_store import Change, Json, Key, ObjectStore, Selection
from tests.support.objects import bookmark_line, event_line, manifest, status

BOOKMARK_SECONDS: Final = 0.05
"""A minute of a real server."""

LATE_SECONDS: Final = 0.02
OVERSIZED: Final = b"x" * (9 << 20)
DATES: Final = ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:03 GMT")
UNDECODABLE: Final = manifest("never-seen", 1) | {"data": 7}

_PATH: Final = re.compile(r"/apis?(?:/[^/]+)?/v1(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?")
_REFUSALS: Final[dict[str, Answer]] = {
    "410": reply(410, status(410, "Expired")),
    "429, Retry-After in seconds": reply(429, status(429, "TooManyRequests"), Retry_After="1"),
    "429, Retry-After as a date": reply(429, None, Retry_After=DATES[1], Date=DATES[0]),
    "500": reply(500, status(500, "InternalError")),
    "503": reply(503, None, Retry_After="1"),
    "401": reply(401, status(401, "Unauthorized")),
    "redirect": reply(307, None, Location="http://127.0.0.1:1/"),
    "garbage": reply(200, "<html>"),
    "reset before the answer": drop,
    "no answer": hang,
    "EOF in the page": half_a_page,
    "EOF in the head": lambda exchange: _send_and_close(exchange, b"HTTP/1.1 200 OK\r\nContent-"),
    "corrupt gzip": lambda exchange: exchange.answer(200, b"not gzip", Content_Encoding="gzip"),
}


class State(NamedTuple):
    """A state that an object really had."""

    key: Key
    uid: str
    version: int


class ObjectHistory(ObjectStore):
    """Objects with their past, as etcd keeps them until it is compacted.

    Attributes:
        compacted: the version up to which the past is forgotten.
        states: all that were ever written; each carries a number of its own in `data.n`.
        deleted: the versions at which objects ended.
    """

    def __init__(self) -> None:
        super().__init__(version=1000)
        self.compacted = self.version
        self.states: dict[str, State] = {}
        self.deleted: dict[Key, int] = {}
        self._history: list[Change] = []

    def compact(self) -> None:
        """Forget the past."""
        self.compacted = self.version
        self._history.clear()

    def restore(self, backup: Any) -> None:
        """As etcd does it without --bump-revision: versions begin again from there, and name other states then."""
        uids = self._uids
        super().restore(backup)
        self._uids = uids
        self.deleted.clear()
        self.compact()

    def after(self, version: int) -> list[Change]:
        """What happened since, in order."""
        # Versions of the history are consecutive.
        return self._history[max(0, version - self.compacted) :]

    def _default(self, obj: Json, before: Json | None) -> None:
        obj["data"] = {"n": str(len(self.states))}

    def _changed(self, change: Change) -> None:
        if change.new is None:
            self.deleted[change.key] = change.version
        else:
            self.states[change.new["data"]["n"]] = State(change.key, change.new["metadata"]["uid"], change.version)
        self._history.append(change)
        super()._changed(change)


class FakeApiServer(ScriptedApiServer):
    """See the module. `watches` counts those that are open."""

    def __init__(self, world: ObjectHistory, plan: FaultPlan) -> None:
        super().__init__()
        self.world = world
        self.plan = plan
        self.bookmarks = True
        self.streaming_lists = True
        self.watches = 0
        self._pages: dict[str, tuple[int, list[Json]]] = {}

    async def respond(self, exchange: Exchange) -> None:
        request = exchange.request
        found = _PATH.fullmatch(request.path)
        assert found is not None, request.path
        namespace, plural, name = found["ns"] or "", found["plural"], found["name"] or ""
        query = request.query
        selection = Selection(plural, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if request.method != "GET":
            body = msgspec.json.decode(request.body)
            key = plural, ObjectKey(namespace, name or body.get("metadata", {}).get("name", ""))
            await self._write(exchange, key, body)
        elif "watch" in query:
            await self._watch(exchange, selection)
        else:
            await self._list(exchange, selection)

    def compact(self) -> None:
        """Lose the history and the lists under way."""
        self.world.compact()
        self._pages.clear()

    # --- lists ---

    async def _list(self, exchange: Exchange, selection: Selection) -> None:
        fault = self.plan.next(fault_plan.Place.PAGE)
        if fault is not None and await self._refused(exchange, fault):
            return
        query = exchange.request.query
        if token := query.get("continue"):
            if token not in self._pages:
                await _REFUSALS["410"](exchange)
                return
            version, items = self._pages[token]
        else:
            version, items = self.world.version, self.world.items(selection)
        limit = int(query.get("limit", "0")) or len(items) or 1
        page, rest = items[:limit], items[limit:]
        token = f"{version}-{selection}-{len(rest)}" if rest else ""
        if rest:
            self._pages[token] = (version, rest)
        if fault is not None and fault.kind == "undecodable extra item":
            page = [UNDECODABLE, *page]
        content = {"metadata": {"resourceVersion": str(version), "continue": token}, "items": page}
        await (gzipped(content) if len(items) % 2 else reply(200, content))(exchange)

    async def _refused(self, exchange: Exchange, fault: Fault) -> bool:
        """Make a fault happen instead of the answer, if it is such a fault."""
        self.plan.inject(fault)
        if fault.kind == "late":
            await asyncio.sleep(LATE_SECONDS)
        if fault.kind not in _REFUSALS:
            return False
        await _REFUSALS[fault.kind](exchange)
        return True

    # --- watches ---

    async def _watch(self, exchange: Exchange, selection: Selection) -> None:
        fault = self.plan.next(fault_plan.Place.OPENING)
        if fault is not None and await self._refused(exchange, fault):
            return
        query, world = exchange.request.query, self.world
        initial = "sendInitialEvents" in query
        if initial and not self.streaming_lists:
            await reply(422, status(422, "Invalid", "sendInitialEvents is forbidden"))(exchange)
            return
        version = world.version if initial else int(query["resourceVersion"])
        if version < world.compacted and world.version % 2:
            await _REFUSALS["410"](exchange)
            return
        queue: asyncio.Queue[Change] = asyncio.Queue()
        world.watchers.append(queue.put_nowait)  # in one step with what follows, so that nothing is missed
        lines: list[bytes] = []
        if initial:
            lines = [event_line("ADDED", obj) for obj in world.items(selection)]
            lines.append(bookmark_line(version, initial_events_end=True))
        elif version < world.compacted:
            lines = [event_line("ERROR", status(410, "Expired"))]
        else:
            lines = [event_line(*event) for change in world.after(version) if (event := selection.event(change))]
        self.watches += 1
        try:
            await exchange.begin_stream()
            watch = _Stream(self, exchange, selection, version, queue, initial=initial)
            try:
                await _first_of(watch.run(lines), exchange.reader.read())  # whose end is that of the client
            finally:
                watch.close()
        finally:
            self.watches -= 1
            world.watchers.remove(queue.put_nowait)

    # --- writes ---

    async def _write(self, exchange: Exchange, key: Key, body: Json) -> None:
        fault = self.plan.next(fault_plan.Place.WRITE)
        kind = None if fault is None else fault.kind
        if fault is not None:
            self.plan.inject(fault)
        match kind:
            case "cut before it is done":
                await drop(exchange)
                return
            case "500 before it is done":
                await reply(500)(exchange)
                return
            case "409":
                await reply(409, status(409, "Conflict"))(exchange)
                return
            case "429":
                await reply(429, None, Retry_After="1")(exchange)
                return
        code, content = self._do(exchange.request.method, key, body)
        match kind:
            case "cut after it is done":
                await drop(exchange)
            case "500 after it is done":
                await reply(500)(exchange)
            case "half an answer":
                await _send_and_close(exchange, b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"metadata":{"name":')
            case "answered late":
                await asyncio.sleep(LATE_SECONDS)
                await reply(code, content)(exchange)
            case _:
                await reply(code, content)(exchange)

    def _do(self, method: str, key: Key, body: Json) -> tuple[int, Any]:
        try:
            match method:
                case "POST":
                    return 201, self.world.create(key, body)
                case "DELETE":
                    named = body.get("preconditions", {})
                    version = named.get("resourceVersion", "")
                    self.world.delete(key, uid=named.get("uid", ""), resource_version=version)
                    return 200, {"kind": "Status", "status": "Success"}
                case _:
                    return 200, self.world.patch(key, body)
        except ApiError as refused:
            return refused.status, status(refused.status, refused.reason)


class _Stream:
    """One open watch."""

    def __init__(
        self,
        server: FakeApiServer,
        exchange: Exchange,
        selection: Selection,
        version: int,
        queue: asyncio.Queue[Change],
        *,
        initial: bool,
    ) -> None:
        self._server = server
        self._exchange = exchange
        self._selection = selection
        self._version = version
        self._queue = queue
        self._listing = initial
        self._sent: list[bytes] = []  # after the initial events, which cannot come twice
        self._fault = server.plan.next(fault_plan.Place.STREAM)
        self._at = 0 if self._fault is None else self._fault.at

    def close(self) -> None:
        """The fault that has not happened here is to happen elsewhere."""
        if self._fault is not None:
            self._server.plan.postpone(self._fault)

    async def run(self, lines: list[bytes]) -> None:
        """Send lines, then whatever happens, until the watch ends."""
        for line in lines:
            if not await self._line(line):
                return
        self._listing = False
        while True:
            try:
                async with asyncio.timeout(BOOKMARK_SECONDS):  # before Python 3.12, wait_for() can lose a cancellation
                    change = await self._queue.get()
            except TimeoutError:
                if not await self._bookmark():
                    return
                continue
            if change.version <= self._version:
                continue  # from a version that lies ahead
            event = self._selection.event(change)
            if event is not None and not await self._line(event_line(*event)):
                return

    async def _bookmark(self) -> bool:
        """A minute without events. Returns whether the watch goes on."""
        server = self._server
        if server.world.version < self._version or not self._queue.empty():
            return True
        if self._fault is not None:  # a watch without events must not keep its fault from happening
            self._at = 0
        if server.bookmarks:
            return await self._line(bookmark_line(server.world.version))
        return await self._strike(b"")

    async def _line(self, line: bytes) -> bool:
        if not await self._strike(line):
            return False
        if not self._listing:
            self._sent.append(line)
        await self._exchange.chunk(line + b"\n")
        return True

    async def _strike(self, line: bytes) -> bool:
        """Let the fault happen if it is due before this line. Returns whether the watch goes on."""
        fault, exchange = self._fault, self._exchange
        if fault is None:
            self._fault = self._server.plan.next(fault_plan.Place.STREAM)
            self._at = 0 if self._fault is None else self._fault.at
            return True
        if self._at > 0:
            self._at -= 1
            return True
        self._fault = None
        if fault.kind == "repeated events" and not self._sent:
            self._server.plan.postpone(fault)
            return True
        self._server.plan.inject(fault)
        match fault.kind:
            case "EOF in a line":
                text = line or event_line("MODIFIED", manifest("half", 1))
                await exchange.chunk(text[: fault.number % len(text)])
                exchange.writer.close()
            case "EOF between lines":
                exchange.writer.close()
            case "reset":
                exchange.reset()
            case "silence":
                await hang(exchange)
            case "good end":
                await exchange.end_stream()
            case "ERROR 410" | "ERROR 429" | "ERROR 500":
                code = int(fault.kind[-3:])
                await exchange.chunk(event_line("ERROR", status(code, "X")) + b"\n")
                await exchange.end_stream()
            case "malformed line":
                await exchange.chunk(b'{"type":"ADDED","object"}\n')
                await hang(exchange)
            case "oversized line":
                await exchange.chunk(OVERSIZED)
                await hang(exchange)
            case "unknown event type":
                await exchange.chunk(event_line("RENAMED", manifest("never-seen", 1)) + b"\n")
                return True
            case "undecodable object":
                await exchange.chunk(event_line("MODIFIED", UNDECODABLE) + b"\n")
                return True
            case "repeated events":
                for again in self._sent[-1 - fault.number % 8 :]:
                    await exchange.chunk(again + b"\n")
                return True
            case "byte by byte":
                for byte in line + b"\n" if line else b"":
                    await exchange.chunk(bytes([byte]))
                return True  # and the line once more, whole
            case "late":
                await asyncio.sleep(LATE_SECONDS)
                return True
        return False


async def _send_and_close(exchange: Exchange, data: bytes) -> None:
    await exchange.send(data)
    exchange.writer.close()


async def _first_of(*alternatives: Coroutine[Any, Any, Any]) -> None:
    """Run all until one is done, and raise what any of them raised."""
    tasks = [asyncio.ensure_future(alternative) for alternative in alternatives]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
