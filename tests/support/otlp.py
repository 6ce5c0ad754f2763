"""An OpenTelemetry collector that keeps what it receives: OTLP over HTTP, on real sockets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True)
class Received:
    """A span.

    Attributes:
        resource: attributes of who sent it.
    """

    name: str
    trace: int
    span: int
    parent: int
    attributes: dict[str, str]
    resource: dict[str, str]
    failed: bool
    nanoseconds: int


def _attributes(pairs: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in pairs}


class Collector:
    """Listens while the block lasts. Its address is for OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        app = web.Application(client_max_size=64 << 20)
        app.add_routes([web.post("/v1/traces", self._receive)])
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        """The URL without a path."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def of(self, trace: int) -> dict[str, list[Received]]:
        """The spans of a trace, by name."""
        found: dict[str, list[Received]] = {}
        for one in self.spans:
            if one.trace == trace:
                found.setdefault(one.name, []).append(one)
        return found

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":  # if aiohttp has not unpacked it
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            of = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [
                    Received(
                        name=one.name,
                        trace=int.from_bytes(one.trace_id, "big"),
                        span=int.from_bytes(one.span_id, "big"),
                        parent=int.from_bytes(one.parent_span_id, "big"),
                        attributes=_attributes(one.attributes),
                        resource=of,
                        failed=one.status.code == 2,
                        nanoseconds=one.end_time_unix_nano - one.start_time_unix_nano,
                    )
                    for one in scope.spans
                ]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")
