"""A member that is well, and whose refusals quote the request."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from testbed.access import ClusterAccess

Manner = Literal["forbidden", "invalid", "broken", "unlisted", "unwatched"]
"""How it answers writes: by the Status of a 403, by that of a 422 with causes, by the page of a 500. `unlisted` answers
so to lists and watches, too, by 403; `unwatched` has the quotation in the ERROR event of a watch."""

MARK = "you sent"
"""Before each quotation, so that a test sees that one has arrived."""

_HOP_HEADERS = frozenset({"transfer-encoding", "content-length", "connection", "content-encoding", "host", "date"})
_NOT_OURS = _HOP_HEADERS | {"authorization", "proxy-authorization"}
_WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class QuotingMember:
    """A way to the API server behind `access`, while the block lasts. Without TLS, so it can be a proxy as well.

    Args:
        access: of one who may do everything; what is sent on goes in that name.
        manner: of quoting.
        about: path elements, such as `services`: requests with one of them are not sent on but quoted.
    """

    def __init__(self, access: ClusterAccess, manner: Manner, *about: str) -> None:
        self._access = access
        self._manner = manner
        self._about = frozenset(about)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.quoted: list[str] = []

    @property
    def address(self) -> str:
        """Host and port."""
        assert self._runner is not None
        return f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._about & set(request.path.split("/")):
            quotation = f"{MARK} {request.method} {request.raw_path} " + " ".join(
                f"{name}: {value}" for name, value in request.headers.items()
            )
            answer = self._quote(request, quotation)
            if answer is not None:
                self.quoted.append(quotation)
                return answer
        return await self._send_on(request)

    def _quote(self, request: web.Request, quotation: str) -> web.Response | None:
        if request.method in _WRITES:
            if self._manner == "invalid":
                causes = [{"reason": "FieldValueInvalid", "field": "spec", "message": quotation}]
                return _refusal(422, "Invalid", quotation, {"causes": causes})
            if self._manner == "broken":
                return web.Response(status=500, text=f"<pre>{quotation}</pre>", content_type="text/html")
            return _refusal(403, "Forbidden", quotation)
        if self._manner == "unlisted":
            return _refusal(403, "Forbidden", quotation)
        if self._manner == "unwatched" and "watch" in request.query:
            event = {"type": "ERROR", "object": _status(500, "InternalError", quotation)}
            return web.Response(text=json.dumps(event) + "\n", content_type="application/json")
        return None

    async def _send_on(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_OURS}
        async with self._session.request(
            request.method,
            self._access.server + request.path,
            params=request.query,
            data=await request.read() or None,  # empty bytes would be given a media type
            headers=headers,
        ) as far:
            kept = {name: value for name, value in far.headers.items() if name.lower() not in _HOP_HEADERS}
            response = web.StreamResponse(status=far.status, headers=kept)
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # the client has heard enough
                async for data in far.content.iter_any():
                    await response.write(data)
                await response.write_eof()
            return response


def _status(code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    return status | {"message": message, "details": details or {}}


def _refusal(code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> web.Response:
    return web.json_response(_status(code, reason, message, details), status=code)
