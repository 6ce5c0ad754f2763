"""An API server on a real socket that answers as the test says: byte by byte if need be, and badly if need be.

    async with ScriptedApiServer() as server:
        server.script(list_page(manifest("a", 5), version=10), stream(event, half_a_line, reset=True), hang)
        ...
        assert [str(request) for request in server.requests] == ["GET /api/v1/configmaps", ...]

Each request takes the next answer of the script; without one left it gets a 500 and the test will notice.
"""

import asyncio
import contextlib
import gzip
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

import msgspec


@dataclass(frozen=True)
class Request:
    """What a client sent. Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def __str__(self) -> str:
        """For informers: what it asks for."""
        query = self.query
        if "sendInitialEvents" in query:
            return "stream"
        if "watch" in query:
            return f"watch {query.get('resourceVersion', '')}"
        if query.get("limit") == "1":
            return "list of one"
        if self.method == "GET" and "limit" in query:
            return f"list {query.get('continue', '')}".strip()
        return f"{self.method} {self.path}"


class Exchange:
    """One request, and the means to answer it."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; the connection stays open. Underscores in header names become dashes."""
        lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def begin_stream(self) -> None:
        """The head of a chunked answer."""
        await self.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        """One chunk of it."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        """The end of it, in good order."""
        await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Throw the connection away."""
        self.writer.transport.abort()


Answer = Callable[[Exchange], Awaitable[None]]


def reply(status: int, content: Any = None, **headers: str) -> Answer:
    """A JSON answer."""

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(status, b"" if content is None else msgspec.json.encode(content), **headers)

    return answer


def list_page(*items: Any, version: int, token: str = "") -> Answer:
    """A page of a list."""
    return reply(200, {"metadata": {"resourceVersion": str(version), "continue": token}, "items": list(items)})


def stream(*lines: bytes, tail: bytes = b"", end: str = "hang", pieces: int = 0) -> Answer:
    """A watch: these lines, then perhaps some bytes more, then what `end` says.

    Args:
        lines: without their newlines.
        tail: sent as it is.
        end: "hang" (stays open), "good" (in good order), "eof" (the connection closes in the middle) or "reset".
        pieces: send so many bytes at a time; 0 means each line by itself.
    """

    async def answer(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for data in [*(line + b"\n" for line in lines), tail]:
            size = pieces or len(data) or 1
            for start in range(0, len(data), size):
                await exchange.chunk(data[start : start + size])
        match end:
            case "good":
                await exchange.end_stream()
            case "eof":
                exchange.writer.close()
            case "reset":
                exchange.reset()
            case _:
                await hang(exchange)

    return answer


def gzipped(content: Any) -> Answer:
    """A compressed JSON answer."""

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(200, gzip.compress(msgspec.json.encode(content)), Content_Encoding="gzip")

    return answer


async def half_a_page(exchange: Exchange) -> None:
    """The begin of a list, then EOF."""
    await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"metadata":{"resourceVersion":"1"},"items":[')
    exchange.writer.close()


async def hang(exchange: Exchange) -> None:
    """Say nothing (more)."""
    await asyncio.Event().wait()


async def drop(exchange: Exchange) -> None:
    """Close the connection without an answer."""
    exchange.reset()


class ScriptedApiServer:
    """Listens on the loopback address; with `tls`, speaks TLS."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._port = 0
        self._script: deque[Answer] = deque()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return cast("int", self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """The requests, in short."""
        return [str(request) for request in self.requests]

    def script(self, *answers: Answer) -> None:
        """Answer the next requests so."""
        self._script.extend(answers)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def listen(self) -> None:
        """Accept connections, after :meth:`hang_up` on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self.port

    async def hang_up(self) -> None:
        """Accept no connection any more, and reset all there are."""
        assert self._server is not None
        self._server.close()
        self.reset_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def reset_all(self) -> None:
        """Reset all connections. New ones are welcome."""
        for task in self._tasks:
            task.cancel()

    async def respond(self, exchange: Exchange) -> None:
        """Answer one request: here, as the script says."""
        self.requests.append(exchange.request)
        answer = self._script.popleft() if self._script else reply(500)
        await answer(exchange)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hang_up()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            # A cancelled connection task would be reported by asyncio's streams as an unhandled error.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self.respond(Exchange(await _read_request(reader), reader, writer))
        finally:
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)
