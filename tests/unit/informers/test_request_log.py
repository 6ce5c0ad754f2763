"""What a client tells the log about requests, and its owner about writes."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from informers.client import transport
from informers.client.client import ApiClient, Write
from informers.client.config import ClientConfig, StaticToken
from informers.errors import Conflict, TransportError
from informers.resource import PartialObject, Resource, struct_decoder
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "the-token-of-a-member"
WIDGETS: Resource[PartialObject] = Resource(
    group="x.io", version="v1", plural="widgets", kind="Widget", decode=struct_decoder(PartialObject)
)


class Session:
    """Answers each request after 12 ms; raises what is no number."""

    def __init__(self, clock: FakeClock, *answers: tuple[int, Any] | Exception) -> None:
        self._clock, self._answers = clock, list(answers)

    @asynccontextmanager
    async def request(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        answer = self._answers.pop(0)
        self._clock.freeze(0.012)
        if isinstance(answer, Exception):
            raise answer
        yield SimpleNamespace(status=answer[0], headers={}, content=json.dumps(answer[1]).encode())

    async def close(self) -> None:
        pass


def widget(name: str) -> dict[str, Any]:
    return {"kind": "Widget", "metadata": {"name": name, "namespace": "ns"}}


def client(monkeypatch: pytest.MonkeyPatch, told: list[Write], *answers: tuple[int, Any] | Exception) -> ApiClient:
    async def read(response: Any, *_: Any) -> bytes:
        return bytes(response.content)

    clock = FakeClock()
    session = Session(clock, *answers)
    monkeypatch.setattr(transport, "_read", read)
    monkeypatch.setattr(transport.Transport, "_open", lambda _: session)
    config = ClientConfig(server="https://api:6443", token_source=StaticToken(TOKEN))
    return ApiClient(config, clock=clock, user_agent="test", on_write=told.append)


async def test_each_request_is_a_line_with_code_and_milliseconds_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, "informers.client.requests")
    api = client(monkeypatch, [], (200, widget("a")), (404, {}), OSError("away"))
    await api.get(WIDGETS, "a", "ns")
    await api.raw("GET", f"/apis/{TOKEN}?limit=1&key=hidden&labelSelector=a%3Db")
    with pytest.raises(TransportError):
        await api.raw("GET", "/readyz")
    records = [vars(record) for record in caplog.records if record.name == "informers.client.requests"]
    assert [(one["method"], one["path"], one["code"], one["milliseconds"], one["server"]) for one in records] == [
        ("GET", "/apis/x.io/v1/namespaces/ns/widgets/a", "200", 12.0, "api:6443"),
        ("GET", "/apis/[redacted]?limit=1&labelSelector=a%3Db", "404", 12.0, "api:6443"),
        ("GET", "/readyz", "<error>", 12.0, "api:6443"),
    ]
    assert TOKEN not in str(records)


async def test_nothing_is_made_of_requests_that_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "informers.client.requests")
    monkeypatch.setattr(transport, "shown_target", lambda _: pytest.fail("costs something"))
    await client(monkeypatch, [], (200, widget("a"))).get(WIDGETS, "a", "ns")
    assert caplog.records == []


async def test_each_write_that_was_accepted_is_told(monkeypatch: pytest.MonkeyPatch):
    told: list[Write] = []
    gone = {"kind": "Status"}
    answers = [(201, widget("a")), *[(200, widget("a"))] * 4, (200, gone), (409, {})]
    api = client(monkeypatch, told, *answers)
    await api.create(WIDGETS, widget(""), "ns")
    await api.update(WIDGETS, "a", widget("a"), "ns")
    await api.patch(WIDGETS, "a", {"status": {}}, "ns", subresource="status")
    await api.apply(WIDGETS, "a", {}, "ns", field_manager="me", dry_run=True)
    await api.apply(WIDGETS, "a", {}, "ns", field_manager="me")
    await api.delete(WIDGETS, "a", "ns")
    with pytest.raises(Conflict):
        await api.patch(WIDGETS, "a", {}, "ns")
    assert [(one.verb, one.name, one.subresource, one.answer is None) for one in told] == [
        ("create", "a", "", False),
        ("update", "a", "", False),
        ("patch", "a", "status", False),
        ("apply", "a", "", False),
        ("delete", "a", "", True),
    ]
