"""A node's agent: one small process that simulates the containers of all Pods of a node.

A socket belongs to the namespace in which it was made, whatever its process does later. So one process steps into a
namespace for the moment it takes to make a socket, and then serves all of them from one event loop: a Pod costs a
socket instead of an interpreter.

It is a process of its own, not a part of the bed's, so that a Pod answers at the same speed whatever the test does
meanwhile. Run as a file with ``python -I -S``: only the standard library, a start of some ten milliseconds.

Requests come as lines of JSON over a Unix socket, answers go back the same way:

======================================================================  ================================================
``{"op": "http", "netns": N, "port": P, "body": B, ...}``               answer every HTTP request with ``B``
``{"op": "udp", "netns": N, "port": P, "greeting": G, ...}``            send every datagram back, after ``G``
``{"op": "relay", "netns": N, "port": P}``                              TCP from N's 127.0.0.1:P to the root's
``{"op": "probe", "netns": N, "host": H, "port": P, "path": "/"}``      the HTTP status; without path: just connect
``{"op": "close", "netns": N}``                                         stop whatever serves in N
======================================================================  ================================================

Servers listen on each of the addresses ``hosts``. They write to the log of their container, the file ``log``, as
programs in containers do: one line when they start, and one for each request or datagram.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import datetime
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

CLONE_NEWNET = 0x40000000
NETNS = "/run/netns"
MAX_HEAD = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(netns: str) -> Iterator[None]:
    """Enter a network namespace for a block, which must not await."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"{NETNS}/{netns}", os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(handle: int) -> None:
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def listener(netns: str, kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """A socket bound in a namespace."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with inside(netns):
        made = socket.socket(family, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def write_log(log: str, text: str) -> None:
    """Add a line to a container's log, unless its Pod is gone. Not kept open: there are many Pods."""
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with contextlib.suppress(OSError), open(log, "ab", buffering=0) as file:
        file.write(f"{moment} {text}\n".encode())


class Web(asyncio.Protocol):
    """One HTTP connection: every request gets the same answer."""

    def __init__(self, body: bytes, connections: set[asyncio.Transport], log: str) -> None:
        self._body = body
        self._log = log
        self._connections = connections
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection, so that it can be closed with its Pod."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._transport is not None:
            self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        assert self._transport is not None
        self._pending += data
        while b"\r\n\r\n" in self._pending:
            head, _, rest = self._pending.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            fields = {
                name.strip().lower(): value.strip().lower()
                for name, _, value in (line.partition(b":") for line in lines[1:])
            }
            length = fields.get(b"content-length", b"0")
            if not length.isdigit() or len(lines[0].split()) != 3:
                self._answer(lines[0], b"400 Bad Request", b"", keep=False)
                return
            if len(rest) < int(length):
                break
            self._pending = rest[int(length) :]
            method, _, version = lines[0].split()
            keep = fields.get(b"connection", b"keep-alive" if version == b"HTTP/1.1" else b"close") != b"close"
            self._answer(lines[0], b"200 OK", self._body, keep=keep, head_only=method == b"HEAD")
            if not keep:
                return
        if len(self._pending) > MAX_HEAD:
            self._transport.abort()

    def _answer(self, request: bytes, status: bytes, body: bytes, *, keep: bool, head_only: bool = False) -> None:
        assert self._transport is not None
        peer = self._transport.get_extra_info("peername")[0]
        asked = request.decode("latin-1").encode("unicode_escape").decode()
        write_log(self._log, f'{peer} "{asked}" {status[:3].decode()}')
        connection = b"keep-alive" if keep else b"close"
        self._transport.write(
            b"HTTP/1.1 %s\r\nServer: testbed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: %s\r\n\r\n" % (status, len(body), connection) + (b"" if head_only else body)
        )
        if not keep:
            self._transport.close()


class Echo(asyncio.DatagramProtocol):
    """Sends every datagram back, after a greeting."""

    def __init__(self, greeting: bytes, log: str) -> None:
        self._greeting = greeting
        self._log = log
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # Not asserted: before Python 3.12, asyncio's own transport does not say that it is one.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer."""
        write_log(self._log, f"{addr[0]} {len(data)} bytes")
        if self._transport is not None:
            self._transport.sendto(self._greeting + data, addr)


class Agent:
    """The servers in each network namespace."""

    def __init__(self) -> None:
        self._stops: dict[str, list[Callable[[], None]]] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "http": self._http,
            "udp": self._udp,
            "relay": self._relay,
            "probe": self._probe,
            "close": self._close,
        }

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Handle one request; the response."""
        try:
            return {"id": request["id"], "result": await self._operations[request["op"]](request)}
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            return {"id": request["id"], "error": f"{type(error).__name__}: {error}"}

    def _on_close(self, request: dict[str, Any], stop: Callable[[], None]) -> None:
        self._stops.setdefault(request["netns"], []).append(stop)

    async def _http(self, request: dict[str, Any]) -> None:
        body, log = request["body"].encode(), request["log"]
        connections: set[asyncio.Transport] = set()

        def stop() -> None:
            for each in tuple(connections):
                each.close()  # what has been answered is still sent

        for host in request["hosts"]:
            made = listener(request["netns"], socket.SOCK_STREAM, host, request["port"])
            server = await asyncio.get_running_loop().create_server(
                lambda: Web(body, connections, log), sock=made, backlog=1024
            )
            self._on_close(request, server.close)
        self._on_close(request, stop)
        write_log(log, f"listening on TCP port {request['port']}")

    async def _udp(self, request: dict[str, Any]) -> None:
        greeting, log = request["greeting"].encode(), request["log"]
        for host in request["hosts"]:
            made = listener(request["netns"], socket.SOCK_DGRAM, host, request["port"])
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Echo(greeting, log), sock=made
            )
            self._on_close(request, transport.close)
        write_log(log, f"listening on UDP port {request['port']}")

    async def _relay(self, request: dict[str, Any]) -> None:
        port = request["port"]

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The far side's socket is made here, in the root namespace.
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                writer.transport.abort()
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(reader, far_writer))
                tasks.create_task(pump(far_reader, writer))

        made = listener(request["netns"], socket.SOCK_STREAM, "127.0.0.1", port)
        server = await asyncio.start_server(relay, sock=made, backlog=256)
        self._on_close(request, server.close)

    async def _probe(self, request: dict[str, Any]) -> int:
        with inside(request["netns"]):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with made:
            made.setblocking(False)
            async with asyncio.timeout(request.get("timeout", 1.0)):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(made, (request["host"], request["port"]))
                if not request.get("path"):
                    return 0
                head = f"GET {request['path']} HTTP/1.1\r\nHost: {request['host']}\r\nConnection: close\r\n\r\n"
                await loop.sock_sendall(made, head.encode())
                answer = b""
                while b"\r\n" not in answer:
                    chunk = await loop.sock_recv(made, 4096)
                    if not chunk:
                        raise ConnectionResetError("the connection was closed without an answer")
                    answer += chunk
                return int(answer.split(b" ", 2)[1])

    async def _close(self, request: dict[str, Any]) -> None:
        for stop in self._stops.pop(request["netns"], []):
            stop()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until one side ends, then close both: that ends the other direction, too."""
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(64 * 1024):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def serve(control: str) -> None:
    """Handle requests until killed."""
    agent = Agent()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def one(request: dict[str, Any]) -> None:
            writer.write(json.dumps(await agent.handle(request)).encode() + b"\n")

        async with asyncio.TaskGroup() as tasks:
            while line := await reader.readline():
                tasks.create_task(one(json.loads(line)))

    server = await asyncio.start_unix_server(attend, control)
    await server.serve_forever()


def main() -> int:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", required=True, help="path of the Unix socket to listen on")
    asyncio.run(serve(parser.parse_args().control))
    return 0


if __name__ == "__main__":
    sys.exit(main())
