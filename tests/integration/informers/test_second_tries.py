"""What aiohttp does by itself when a kept connection turns out to be dead."""

from __future__ import annotations

from typing import Any

import pytest

from informers.client.config import ClientConfig
from informers.errors import TransportError
from tests.support.api_server import ScriptedApiServer, drop, reply
from tests.support.informing import client_for
from tests.support.objects import CONFIG_MAPS, manifest


@pytest.mark.parametrize(
    ("method", "write"),
    [
        ("PUT", lambda client: client.update(CONFIG_MAPS, "a", manifest("a", 5), "ns")),
        ("DELETE", lambda client: client.delete(CONFIG_MAPS, "a", "ns")),
        ("PATCH", lambda client: client.patch(CONFIG_MAPS, "a", {}, "ns")),
    ],
)
async def test_write_whose_connection_died_is_told_and_not_repeated(method: str, write: Any) -> None:
    """The first may have taken effect: a repetition would find a conflict, or nothing there any more."""
    async with ScriptedApiServer() as server, client_for(ClientConfig(server=server.url)) as client:
        server.script(reply(200, manifest("a", 5)), drop, reply(200, manifest("a", 6)))
        await client.get(CONFIG_MAPS, "a", "ns")
        with pytest.raises(TransportError, match=method):
            await write(client)
        assert [request.method for request in server.requests] == ["GET", method]


async def test_read_whose_connection_died_is_repeated_once() -> None:
    async with ScriptedApiServer() as server, client_for(ClientConfig(server=server.url)) as client:
        answer = reply(200, manifest("a", 5))
        server.script(answer, drop, answer)
        await client.get(CONFIG_MAPS, "a", "ns")
        await client.get(CONFIG_MAPS, "a", "ns")
        assert len(server.requests) == 3
