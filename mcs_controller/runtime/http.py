"""Probes and metrics over HTTP.

Paths and bodies as Kubernetes' components have them (`apiserver/pkg/server/healthz`):

    GET /healthz            200 "ok", or 500 and what failed
    GET /healthz?verbose    the same, check by check: "[+]ping ok"
    GET /healthz/ping       one check
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeAlias

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from mcs_controller.runtime.metrics import render_parts

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp.typedefs import Handler
    from prometheus_client import CollectorRegistry

Check: TypeAlias = Callable[[], str]
"""Says what is wrong; empty if all is well. Called from the event loop: must not block."""

_SHUTDOWN_SECONDS = 1.0
"""For requests that are being answered when the server stops; the answers are small."""


class ListenError(Exception):
    """A server cannot listen on its address."""


def parse_address(text: str) -> tuple[str | None, int] | None:
    """Host and port of a bind address as Go's flags have it; None for "0", which switches a server off.

    ":8080" means all interfaces (host None), "[::1]:8080" one IPv6 address, and port 0 any free port.

    Raises:
        ValueError: none of these.
    """
    if text in ("", "0"):
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise ValueError(f"bind address {text!r} is not host:port, :port or 0")
    return host.strip("[]") or None, int(port)


def health_routes(path: str, checks: Mapping[str, Check]) -> list[web.RouteDef]:
    """`path` for all checks, `path/<name>` for one of them. The mapping may grow while they are served."""
    name_of_all = path.strip("/")

    async def answer_all(request: web.Request) -> web.Response:
        excluded = request.query.getall("exclude", [])
        problems = {name: check() for name, check in sorted(checks.items()) if name not in excluded}
        healthy = not any(problems.values())
        lines = [f"[-]{name} failed: {problem}" if problem else f"[+]{name} ok" for name, problem in problems.items()]
        lines.append(f"{name_of_all} check {'passed' if healthy else 'failed'}\n")
        text = "ok" if healthy and "verbose" not in request.query else "\n".join(lines)
        return web.Response(text=text, status=200 if healthy else 500)

    async def answer_one(request: web.Request) -> web.Response:
        check = checks.get(request.match_info["check"])
        if check is None:
            raise web.HTTPNotFound
        problem = check()
        return web.Response(text=problem or "ok", status=500 if problem else 200)

    return [web.get(path, answer_all), web.get(f"{path}/{{check}}", answer_one)]


def metrics_routes(
    registry: CollectorRegistry, prepare: Sequence[Callable[[], Awaitable[None]]] = ()
) -> list[web.RouteDef]:
    """`/metrics` in Prometheus' text format.

    One scrape at a time, and in small parts: a large one would keep the event loop from the lease. What takes long to
    collect is collected by `prepare`, which may grow, before each scrape.
    """
    turn = asyncio.Lock()

    async def answer(request: web.Request) -> web.Response:
        async with turn:
            await asyncio.sleep(0)
            for each in prepare:
                await each()
            parts: list[bytes] = []
            for part in render_parts(registry):
                parts.append(part)
                await asyncio.sleep(0)
            return web.Response(body=b"".join(parts), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/metrics", answer)]


class HttpServer:
    """Serves some routes on one address, from entering to leaving. Does nothing if the address is "0".

    To be entered once. Requests under way when it is left get a second to be answered. Plain HTTP, as probes expect.
    Anybody can connect, so connections are bounded in number and time, whatever is sent or not sent on them.
    """

    def __init__(
        self,
        name: str,
        address: str,
        routes: list[web.RouteDef],
        *,
        max_connections: int = 64,
        max_seconds: float = 60.0,
    ) -> None:
        """Opens nothing yet.

        Args:
            name: for error messages.
            address: see :func:`parse_address`.
            routes: such as those of :func:`health_routes` and :func:`metrics_routes`.
            max_connections: for one more, the oldest is closed: probes come on new ones.
            max_seconds: without a whole request a connection is closed then, and after the answer to the first request
                that comes later. It is thrown away after twice as long: its client reads no answer.

        Raises:
            ValueError: the address is none.
        """
        self._name = name
        self._text = address
        self._address = parse_address(address)
        app = web.Application(middlewares=[self._close_aged])
        app.add_routes(routes)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, keepalive_timeout=max_seconds
        )
        self._listener: asyncio.Server | None = None
        self._max_connections = max_connections
        self._max_seconds = max_seconds
        self._aged: set[web.RequestHandler] = set()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        sockets = self._listener.sockets if self._listener is not None else ()
        return [(address[0], address[1]) for address in (each.getsockname() for each in sockets)]

    @property
    def port(self) -> int | None:
        """The port it listens on; None if it does not."""
        return self.addresses[0][1] if self.addresses else None

    async def __aenter__(self) -> Self:
        """Raises ListenError if the address is taken or not ours."""
        if self._address is not None:
            host, port = self._address
            await self._runner.setup()
            loop = asyncio.get_running_loop()
            try:
                self._listener = await loop.create_server(self._connection, host, port)
            except OSError as error:
                await self._runner.cleanup()
                raise ListenError(f"{self._name} cannot be served on {self._text!r}: {error.strerror}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _connection(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        server = self._runner.server
        assert server is not None
        open_ones = [each for each in server.connections if each.transport and not each.transport.is_closing()]
        if len(open_ones) >= self._max_connections:
            _abort(open_ones[0])  # the oldest
        loop, protocol = asyncio.get_running_loop(), server()
        loop.call_later(self._max_seconds, self._aged.add, protocol)
        loop.call_later(2 * self._max_seconds, self._throw_away, protocol)
        return protocol

    def _throw_away(self, connection: web.RequestHandler) -> None:
        self._aged.discard(connection)
        _abort(connection)

    @web.middleware
    async def _close_aged(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.protocol in self._aged:
            response.force_close()
        return response


def _abort(connection: web.RequestHandler) -> None:
    transport = connection.transport
    if transport is not None:
        transport.abort()
