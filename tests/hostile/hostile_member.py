"""A member cluster that attacks whoever follows it: a program, so that its work is not the test's.

    python -m tests.hostile.hostile_member PORT

The first element of a request's path is the attack: a Cluster whose apiEndpoint is `http://127.0.0.1:PORT/endless-list/1`
has it in the first list of its EndpointSlices; to all else it answers as an empty cluster does.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAMESPACE: Final = "hostile"
_KINDS: Final = {
    "v1": [("namespaces", "Namespace", False), ("services", "Service", True), ("nodes", "Node", False)],
    "discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True)],
}


def _slice(number: int, **parts: Any) -> dict[str, Any]:
    metadata = {
        "name": f"bait-{number}",
        "namespace": NAMESPACE,
        "uid": f"uid-{number}",
        "resourceVersion": str(100 + number),
        "labels": {"kubernetes.io/service-name": "nobody"},
    }
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": [], "ports": []} | parts


def _event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


_SYNCED: Final = _event(
    "BOOKMARK",
    {"metadata": {"resourceVersion": "100", "annotations": {"k8s.io/initial-events-end": "true"}}},
)
_ENDPOINT: Final = {"addresses": ["192.0.2.77"], "conditions": {"ready": True}, "nodeName": "x" * 40}


async def _begin(request: web.Request, **headers: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", **headers})
    await response.prepare(request)
    return response


async def _ordinary(request: web.Request) -> web.StreamResponse:
    """The watch of an empty collection."""
    response = await _begin(request)
    await response.write(_SYNCED)
    await asyncio.sleep(3600)
    return response


async def _slices_without_end(response: web.StreamResponse) -> None:
    template = _event("ADDED", _slice(0, endpoints=[_ENDPOINT] * 20)).replace(b"bait-0", b"bait-%d")
    template = template.replace(b'"100"', b'"%d"')
    for number in itertools.count(1):
        await response.write(template % (number, 1000 + number))
        if number % 100 == 0:
            await asyncio.sleep(0)  # others are attacked, too


async def endless_list(request: web.Request) -> web.StreamResponse:
    """A first list that does not end."""
    response = await _begin(request)
    await _slices_without_end(response)
    return response


async def endless_growth(request: web.Request) -> web.StreamResponse:
    """A first list that ends, and objects that are added for ever."""
    response = await _begin(request)
    await response.write(_SYNCED)
    await _slices_without_end(response)
    return response


async def endless_pages(request: web.Request) -> web.StreamResponse:
    """No streaming list, and pages that always have a next one."""
    if "watch" in request.query:
        return web.json_response({"kind": "Status", "code": 422, "reason": "Invalid"}, status=422)
    number = int(request.query.get("continue", "0"))
    items = [_slice(500 * number + each, endpoints=[_ENDPOINT] * 20) for each in range(500)]
    return web.json_response({"metadata": {"resourceVersion": "100", "continue": str(number + 1)}, "items": items})


async def interim(request: web.Request) -> web.StreamResponse:
    """Answers of status 103, and none that counts."""
    transport = request.transport
    while transport is not None and not transport.is_closing():
        transport.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        await asyncio.sleep(0.001 if transport.get_write_buffer_size() < 1 << 20 else 0.1)
    return web.Response()


async def bomb(request: web.Request) -> web.StreamResponse:
    """Newlines, packed a thousand to one, whatever was asked for."""
    response = await _begin(request, **{"Content-Encoding": "gzip"})
    packed = gzip.compress(b"\n" * (16 << 20))
    while True:
        await response.write(packed)
        await asyncio.sleep(0)


async def garbage(request: web.Request) -> web.StreamResponse:
    """Objects that cannot be decoded, as fast as the wire goes."""
    response = await _begin(request)
    await response.write(_SYNCED)
    broken = _event("MODIFIED", _slice(1, ports=[1]))
    while True:
        await response.write(broken * 100)
        await asyncio.sleep(0)


async def churn(request: web.Request) -> web.StreamResponse:
    """Two thousand slices that change as fast as the wire goes."""
    response = await _begin(request)
    await response.write(_SYNCED)
    template = _event("MODIFIED", _slice(0, endpoints=[_ENDPOINT])).replace(b"bait-0", b"bait-%d")
    template = template.replace(b'"100"', b'"%d"')
    for number in itertools.count(1):
        await response.write(template % (number % 2000, 1000 + number))
        if number % 100 == 0:
            await asyncio.sleep(0)
    return response


ATTACKS: Final[dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = {
    "endless-list": endless_list,
    "endless-growth": endless_growth,
    "endless-pages": endless_pages,
    "interim": interim,
    "bomb": bomb,
    "garbage": garbage,
    "churn": churn,
}


def _kind(version: str, plural: str) -> tuple[str, str, bool] | None:
    return next((one for one in _KINDS.get(version, ()) if one[0] == plural), None)


async def serve(request: web.Request) -> web.StreamResponse:
    """Answer as an empty cluster does, or attack."""
    attack, path = request.match_info["attack"], request.match_info["path"]
    if path in ("readyz", "livez", "healthz"):
        return web.Response(text="ok")
    if path == "version":
        return web.json_response({"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
    if path == "api":
        return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
    if path == "apis":
        version = {"groupVersion": "discovery.k8s.io/v1", "version": "v1"}
        group = {"name": "discovery.k8s.io", "versions": [version], "preferredVersion": version}
        return web.json_response({"kind": "APIGroupList", "groups": [group]})
    root, _, rest = path.partition("/")
    if rest in _KINDS:
        kinds = [{"name": n, "kind": k, "namespaced": s, "verbs": ["list", "watch"]} for n, k, s in _KINDS[rest]]
        return web.json_response({"kind": "APIResourceList", "groupVersion": rest, "resources": kinds})
    plural = rest.rpartition("/")[2]
    if request.method == "GET" and plural == "endpointslices" and "labelSelector" not in request.query:
        return await ATTACKS[attack](request)
    if request.method == "GET" and "watch" in request.query:
        return await _ordinary(request)
    if request.method == "GET" and root in ("api", "apis") and any(_kind(version, plural) for version in _KINDS):
        return web.json_response({"metadata": {"resourceVersion": "100"}, "items": []})
    return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_route("*", "/{attack}/{number}/{path:.*}", serve)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
