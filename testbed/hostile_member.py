"""A member cluster that attacks whoever follows it: a program, so that its work is not the test's.

    python -m testbed.hostile_member PORT CERTIFICATE [BYTES_PER_SECOND]

The first element of a request's path is the attack: a Cluster whose apiEndpoint is
`https://127.0.0.1:PORT/endless-list/1` has it in the first list of its EndpointSlices; to all else it answers as an
empty cluster does. Without a rate an attack goes on as fast as the wire goes.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import math
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbed.access import write_private
from testbed.certificates import Authority
from testbed.ports import free_ports
from testbed.processes import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

NAMESPACE: Final = "hostile"
SLOW_SECONDS: Final = 31.0
"""What a write takes: a little less than what clients wait for."""

_RATE: Final = web.AppKey("rate", float)
_KINDS: Final = {
    "v1": [("namespaces", "Namespace", False), ("services", "Service", True), ("nodes", "Node", False)],
    "discovery.k8s.io/v1": [("endpointslices", "EndpointSlice", True)],
}


@asynccontextmanager
async def hostile_member(root: Path, *, bytes_per_second: float = math.inf) -> AsyncIterator[tuple[str, bytes]]:
    """Such a program; its URL, and the certificate of the authority that signed its certificate.

    Args:
        root: the bed's directory.
        bytes_per_second: of each attack.
    """
    [port] = free_ports(1)
    authority = Authority("hostile-ca")
    pair = authority.server("127.0.0.1")
    certificate = root / f"hostile-{port}.pem"
    write_private(certificate, pair.certificate_pem + pair.key_pem)
    process = Process(
        f"hostile-{port}",
        [sys.executable, "-m", "testbed.hostile_member", str(port), str(certificate), str(bytes_per_second)],
        log=root / f"hostile-{port}.log",
        root=root,
    )
    await process.start()
    try:
        yield f"https://127.0.0.1:{port}", authority.certificate_pem
    finally:
        await process.kill()


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


class _Answer:
    """The body of an answer, at the agreed rate."""

    def __init__(self, request: web.Request, **headers: str) -> None:
        self.response = web.StreamResponse(headers={"Content-Type": "application/json", **headers})
        self._request = request
        self._seconds = 1 / request.app[_RATE]
        self._due = asyncio.get_running_loop().time()

    async def begin(self) -> None:
        await self.response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        await self.response.write(data)
        self._due += len(data) * self._seconds
        # At least once in a while others are attacked, too.
        await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))


async def _watch(request: web.Request, **headers: str) -> _Answer:
    """The watch of an empty collection, of which the first list is over."""
    answer = _Answer(request, **headers)
    await answer.begin()
    await answer.write(_SYNCED)
    return answer


async def _ordinary(request: web.Request) -> web.StreamResponse:
    answer = await _watch(request)
    await asyncio.sleep(3600)
    return answer.response


async def _without_end(answer: _Answer, template: bytes, names: int = sys.maxsize) -> web.StreamResponse:
    """Events about so many slices, in turns, a hundred at a time."""
    template = template.replace(b"bait-0", b"bait-%d").replace(b'"100"', b'"%d"')
    for number in itertools.count(1):
        data = b"".join(template % (one % names, 1000 + one) for one in range(100 * number, 100 * number + 100))
        await answer.write(data)
    return answer.response


async def endless_list(request: web.Request) -> web.StreamResponse:
    """A first list that does not end."""
    answer = _Answer(request)
    await answer.begin()
    return await _without_end(answer, _event("ADDED", _slice(0, endpoints=[_ENDPOINT] * 20)))


async def endless_growth(request: web.Request) -> web.StreamResponse:
    """A first list that ends, and objects that are added for ever."""
    return await _without_end(await _watch(request), _event("ADDED", _slice(0, endpoints=[_ENDPOINT] * 20)))


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


async def _again_and_again(answer: _Answer, data: bytes) -> web.StreamResponse:
    while True:
        await answer.write(data)


async def bomb(request: web.Request) -> web.StreamResponse:
    """Newlines, packed a thousand to one, whatever was asked for."""
    answer = _Answer(request, **{"Content-Encoding": "gzip"})
    await answer.begin()
    return await _again_and_again(answer, gzip.compress(b"\n" * (16 << 20)))


async def garbage(request: web.Request) -> web.StreamResponse:
    """Objects that cannot be decoded."""
    return await _again_and_again(await _watch(request), _event("MODIFIED", _slice(1, ports=[1])) * 100)


async def deep(request: web.Request) -> web.StreamResponse:
    """Objects of brackets, nested deeper than decoders go: 6 MB each."""
    brackets = b"[" * 400 + b"]" * 400
    text = b"[" + b",".join([brackets] * (6 << 10)) + b",%b%b]" % (b"[" * 100_000, b"]" * 100_000)
    data = _event("MODIFIED", _slice(1, spec="x")).replace(b'"x"', text)
    return await _again_and_again(await _watch(request), data)


async def churn(request: web.Request) -> web.StreamResponse:
    """Two thousand slices that change all the time."""
    return await _without_end(await _watch(request), _event("MODIFIED", _slice(0, endpoints=[_ENDPOINT])), 2000)


ATTACKS: Final[dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = {
    "endless-list": endless_list,
    "endless-growth": endless_growth,
    "endless-pages": endless_pages,
    "interim": interim,
    "bomb": bomb,
    "garbage": garbage,
    "deep": deep,
    "churn": churn,
    "slow": _ordinary,
}


async def _write(request: web.Request) -> web.StreamResponse:
    """Take very long for it, and store nothing."""
    if request.match_info["attack"] == "slow":
        await asyncio.sleep(SLOW_SECONDS)
    if request.method != "POST":
        return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)
    made = await request.json()
    made["metadata"] |= {"uid": "made", "resourceVersion": "101"}
    return web.json_response(made, status=201)


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
    if request.method != "GET":
        return await _write(request)
    plural = rest.rpartition("/")[2]
    if plural == "endpointslices" and "labelSelector" not in request.query:
        return await ATTACKS[attack](request)
    if "watch" in request.query:
        return await _ordinary(request)
    if root in ("api", "apis") and any(_kind(version, plural) for version in _KINDS):
        return web.json_response({"metadata": {"resourceVersion": "100"}, "items": []})
    return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)


def main() -> None:
    """Serve until killed."""
    port, certificate, *rate = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    app = web.Application()
    app[_RATE] = float(rate[0]) if rate else math.inf
    app.router.add_route("*", "/{attack}/{number}/{path:.*}", serve)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, print=None, access_log=None)


if __name__ == "__main__":
    main()
