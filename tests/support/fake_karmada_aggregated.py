"""A control plane whose Clusters are served as by Karmada's aggregated API server: without watch bookmarks.

A reverse proxy in front of an API server; everything that is not about Clusters passes through untouched.
"""

import contextlib
import dataclasses
import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import aiohttp
from aiohttp import web

from testbed.access import ClusterAccess
from testbed.certificates import Authority
from tests.support.fake_karmada_webhook import server_context

CLUSTERS = "/apis/cluster.karmada.io/v1alpha1/clusters"
_HOP_HEADERS = frozenset({"transfer-encoding", "content-length", "connection", "content-encoding", "host", "date"})

Streaming = Literal["refused", "ignored"]


class AggregatedClusters:
    """A way to the API server of `access`, while the block lasts.

    Args:
        access: of the user who goes this way.
        streaming: what becomes of the wish for a streaming list of Clusters: refused, as by a server that knows of it
            and has it off, or ignored, as by one that does not know of it.
    """

    def __init__(self, access: ClusterAccess, *, streaming: Streaming = "refused") -> None:
        self._access = access
        self._streaming = streaming
        self._authority = Authority("aggregated-ca")
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self.seen: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=True,
        )
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=server_context(self._authority)).start()
        self._url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads through here."""
        access = dataclasses.replace(
            self._access, server=self._url, ca_pem=self._authority.certificate_pem, kubeconfig=path
        )
        return access.write_kubeconfig()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        about_clusters = request.path == CLUSTERS
        if about_clusters and "sendInitialEvents" in query:
            self.seen["streaming list"] += 1
            if self._streaming == "refused":
                message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
                body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}
                return web.json_response(body | {"message": message}, status=422)
            query = {name: value for name, value in query.items() if name not in _STREAMING}
        if about_clusters and "watch" in query:
            self.seen["watch"] += 1
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        async with self._session.request(
            request.method, self._access.server + request.path, params=query, data=await request.read(), headers=headers
        ) as far:
            kept = {name: value for name, value in far.headers.items() if name.lower() not in _HOP_HEADERS}
            response = web.StreamResponse(status=far.status, headers=kept)
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # the client has heard enough
                if about_clusters and "watch" in query:
                    await self._without_bookmarks(far, response)
                else:
                    async for data in far.content.iter_any():
                        await response.write(data)
                await response.write_eof()
            return response

    async def _without_bookmarks(self, far: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        async for line in far.content:
            if json.loads(line)["type"] == "BOOKMARK":
                self.seen["bookmark kept back"] += 1
            else:
                await response.write(line)


_STREAMING = frozenset({"sendInitialEvents", "resourceVersionMatch", "allowWatchBookmarks"})
