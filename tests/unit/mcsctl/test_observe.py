"""Reading from a server that hangs, in each way: every read comes to its end, and says that it saw nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from mcs_controller.diagnosis import world as w
from mcs_controller.mcsctl.observe import Reader
from tests.support.hanging import WAYS, hanging
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = b'{"metadata":{"continue":"more"},"items":[]}'
SERVED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


async def endless_pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(SERVED % (len(PAGE), PAGE))
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def reading(port: int, *, timeout: float) -> AsyncIterator[Reader]:
    config = ClientConfig(server=f"http://127.0.0.1:{port}", timeout_seconds=timeout)
    async with ApiClient(config, clock=RealClock(), user_agent="test") as client:
        yield Reader(client, w.Snapshot(name="member1"))


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_hangs_is_not_seen(way: str):
    async with hanging(way) as server, reading(server.port, timeout=0.2) as reader:
        await reader.version()
        await asyncio.gather(reader.list(w.NODES), reader.get(w.SERVICES, "web", "shop"))
        assert reader.snapshot.why_unseen(), "the cluster"
        assert {name for name, _ in reader.snapshot.unread()} == {"nodes", "services shop"}


async def test_pages_without_an_end_are_not_seen():
    server = await asyncio.start_server(endless_pages, "127.0.0.1", 0)
    async with server, reading(server.sockets[0].getsockname()[1], timeout=30) as reader:
        assert await reader.list(w.NODES) == []
        assert dict(reader.snapshot.unread()) == {"nodes": "its pages have no end"}
