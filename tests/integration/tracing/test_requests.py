"""What an API server is told of the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from informers.errors import Forbidden
from mcs_controller.api.resources import WORKS
from mcs_controller.domain.works import SliceRef
from mcs_controller.tracing.changes import Change
from mcs_controller.tracing.spans import ChangeTracer, new_provider
from workqueue import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANGE = Change(SliceRef("m1", "default", "web-1"), "1")
WORK: dict[str, Any] = {
    "apiVersion": "work.karmada.io/v1alpha1",
    "kind": "Work",
    "metadata": {"name": "web", "namespace": "karmada-es-m1"},
    "spec": {"workload": {"manifests": []}},
}


class Server:
    """Answers with a Work, and remembers the headers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []
        self.status = 200
        self.address = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.told.append((request.method, request.headers.get("traceparent")))
        refused = {"kind": "Status", "apiVersion": "v1", "reason": "Forbidden", "code": 403, "message": "no"}
        return web.json_response(WORK if self.status == 200 else refused, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize("status", [200, 403])
async def test_a_write_for_a_change_has_a_traceparent_and_nothing_else_has_one(server: Server, status: int):
    exporter, provider = InMemorySpanExporter(), new_provider("mcs", "1", "me")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = ChangeTracer(provider)
    config = ClientConfig(server=server.address)
    server.status = status
    async with ApiClient(config, clock=RealClock(), user_agent="test", tracing=tracer.requests()) as client:
        if status == 200:
            await client.create(WORKS, WORK, "karmada-es-m1")
            with tracer.carry(CHANGE, observed=True):
                await client.get(WORKS, "web", "karmada-es-m1")
                await client.create(WORKS, WORK, "karmada-es-m1")
        else:
            with tracer.carry(CHANGE, observed=True), pytest.raises(Forbidden):
                await client.patch(WORKS, "web", {"spec": {}}, "karmada-es-m1")
    write, first = exporter.get_finished_spans()
    assert (write.name, first.name) == ("write collected Work", "endpointslice change")
    assert write.context is not None
    expected = f"00-{write.context.trace_id:032x}-{write.context.span_id:016x}-"
    method, sent = server.told[-1]
    assert sent is not None
    assert sent.startswith(expected)
    assert write.status.is_ok is (status == 200)
    if status == 200:
        assert server.told[:-1] == [("POST", None), ("GET", None)]
    else:
        assert method == "PATCH"
        assert "no" in (write.status.description or "")
