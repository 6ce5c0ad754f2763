"""Servers that take connections and hang: at once, after the headers of an answer, or in a body without an end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

WAYS: Final = ("silent", "headers", "endless")

_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Hanging:
    """A server that hangs."""

    port: int = 0
    is_cut: bool = False
    connected: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Cut all connections, these and later ones, so that clients need not wait until they give up."""
        self.is_cut = True
        for writer in self.connected:
            writer.transport.abort()


@asynccontextmanager
async def hanging(way: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Hanging]:
    """Such a server. Nobody must be connecting to it at its end."""
    made = Hanging()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connected.add(writer)
        try:
            if way != "silent" and not made.is_cut:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_HEADERS)
            while way == "endless" and not made.is_cut:
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
            if not made.is_cut:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            made.connected.discard(writer)
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made
        made.cut()
