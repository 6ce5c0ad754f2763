"""An API server of which every answer is given by the test, one by one; for informers without sockets.

server = ScriptedListWatch()
...                                     # an informer runs
await settle()
server.pending.fail(TransportError("refused"))
await clock.advance(1)
stream = server.pending.open()
stream.send(added, bookmark)
await settle()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from informers.client.transport import Lines
from informers.client.wire import ListPage
from informers.meta import KubeObject
from informers.resource import Resource

T = TypeVar("T", bound=KubeObject)


class Stream:
    """One open watch."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[list[bytes] | Exception | None] = asyncio.Queue()
        self.closed = False

    def send(self, *lines: bytes) -> None:
        """All of them in one read."""
        self._queue.put_nowait(list(lines))

    def end(self) -> None:
        """Close the watch in good order."""
        self._queue.put_nowait(None)

    def fail(self, error: Exception) -> None:
        """Break it."""
        self._queue.put_nowait(error)

    @property
    def unread(self) -> int:
        """How many reads are left."""
        return self._queue.qsize()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> list[bytes]:
        received = await self._queue.get()
        if received is None:
            raise StopAsyncIteration
        if isinstance(received, Exception):
            raise received
        return received


class PendingRequest:
    """A list or watch request that waits for its answer."""

    def __init__(self, verb: str, options: dict[str, Any]) -> None:
        self.verb = verb
        self.options = options
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def __str__(self) -> str:
        if self.verb == "list":
            return f"list limit={self.options['limit']} continue={self.options['continue_token']}"
        return "stream" if self.options["send_initial_events"] else f"watch {self.options['resource_version']}"

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self.answer.set_exception(error)

    def page(self, *objects: Any, version: int | str, token: str = "") -> None:
        """Answer a list request."""
        self.answer.set_result(ListPage(items=list(objects), resource_version=str(version), continue_token=token))

    def open(self, *lines: bytes) -> Stream:
        """Answer a watch request, and send lines if any are given."""
        stream = Stream()
        self.answer.set_result(stream)
        if lines:
            stream.send(*lines)
        return stream


class ScriptedListWatch:
    """An `informers.ListWatch`. Every request is remembered in `requests`, as text."""

    host = "scripted:6443"

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.waiting: list[PendingRequest] = []

    @property
    def pending(self) -> PendingRequest:
        """The one request that waits for an answer."""
        (request,) = self.waiting
        return request

    async def list(self, resource: Resource[T], namespace: str = "", **options: Any) -> ListPage[T]:
        page: ListPage[T] = await self._ask("list", resource, namespace, options)
        return page

    @asynccontextmanager
    async def watch(self, resource: Resource[T], namespace: str = "", **options: Any) -> AsyncIterator[Lines]:
        stream: Stream = await self._ask("watch", resource, namespace, options)
        try:
            yield stream
        finally:
            stream.closed = True

    async def _ask(self, verb: str, resource: Resource[T], namespace: str, options: dict[str, Any]) -> Any:
        request = PendingRequest(verb, options | {"resource": resource, "namespace": namespace})
        self.requests.append(str(request))
        self.waiting.append(request)
        try:
            return await request.answer
        finally:
            self.waiting.remove(request)
