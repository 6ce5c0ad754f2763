"""A connection that is lost between two reads of an answer: a network error like others, whatever aiohttp calls it."""

from __future__ import annotations

from typing import NoReturn

import aiohttp
import pytest

from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from informers.errors import TransportError
from tests.support.hanging import hanging
from workqueue.clock import RealClock


async def lost(_: aiohttp.StreamReader) -> NoReturn:
    """As `aiohttp.StreamReader._wait` says it."""
    raise RuntimeError("Connection closed.")


async def test_a_connection_lost_in_the_middle_of_an_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(aiohttp.StreamReader, "readany", lost)
    async with hanging("endless") as server:
        config = ClientConfig(server=f"http://127.0.0.1:{server.port}")
        async with ApiClient(config, clock=RealClock(), user_agent="test") as client:
            with pytest.raises(TransportError, match="the connection was closed"):
                await client.raw("GET", "/version")
