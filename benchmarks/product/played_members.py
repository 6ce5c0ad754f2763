"""``python -m benchmarks.product.played_members PORT NAME...``: many member clusters in one small process.

For measuring what members cost the controller where real ones would not fit on the machine. Each member is a path
(``http://127.0.0.1:PORT/NAME``) below which objects can be listed, watched, created, patched and deleted; discovery and
probes answer. There is no validation, no admission, no memory of old versions, and no TLS.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]

KINDS: Final = {
    ("", "v1", "namespaces"): "Namespace",
    ("", "v1", "services"): "Service",
    ("discovery.k8s.io", "v1", "endpointslices"): "EndpointSlice",
}
BOOKMARK_SECONDS: Final = 30.0


class Member:
    """The objects of one member. The newest version is all there is."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: defaultdict[str, dict[tuple[str, str], Object]] = defaultdict(dict)
        self.watches: defaultdict[str, set[asyncio.Queue[Object]]] = defaultdict(set)

    def put(self, plural: str, key: tuple[str, str], obj: Object) -> Object:
        """Keep an object and tell those who watch."""
        known = key in self.objects[plural]
        obj = self._stamped(obj)
        self.objects[plural][key] = obj
        self._tell(plural, "MODIFIED" if known else "ADDED", obj)
        return obj

    def pop(self, plural: str, key: tuple[str, str]) -> Object | None:
        """Forget an object and tell those who watch."""
        obj = self.objects[plural].pop(key, None)
        if obj is not None:
            obj = self._stamped(obj)
            self._tell(plural, "DELETED", obj)
        return obj

    def _stamped(self, obj: Object) -> Object:
        """A copy of the next version: the former one may still wait for somebody who watches."""
        self.version += 1
        return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.version)}}

    def _tell(self, plural: str, kind: str, obj: Object) -> None:
        for queue in self.watches[plural]:
            queue.put_nowait({"type": kind, "object": obj})


def matches(obj: Object, selector: str) -> bool:
    """Whether an object has the labels; of the language of selectors, only ``key=value`` and ``key`` are known."""
    labels = obj["metadata"].get("labels") or {}
    for term in (each for each in selector.split(",") if each):
        key, equals, value = term.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def merged(before: Any, patch: Any) -> Any:
    """A merge patch (RFC 7386) applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Server:
    """All members, behind one port.

    Args:
        names: of the members.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._members = {name: Member() for name in names}

    def application(self) -> web.Application:
        """What is to be served."""
        app = web.Application()
        app.router.add_route("*", "/{member}/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        member = self._members[request.match_info["member"]]
        parts = request.match_info["path"].split("/")
        if parts[0] in ("readyz", "livez", "healthz"):
            return web.Response(text="ok")
        if parts[0] == "version":
            return web.json_response({"gitVersion": "v1.37.2"})
        group, parts = ("", parts[1:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[2:])
        if len(parts) < 2:
            return self._discover(request.match_info["path"].split("/"))
        version, *rest = parts
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind = KINDS.get((group, version, rest[0]))
        if kind is None:
            return _status(404, "NotFound")
        api_version = f"{group}/{version}" if group else version
        if len(rest) > 1:
            return await self._one(request, member, rest[0], (namespace, rest[1]))
        if request.method == "POST":
            return await self._create(request, member, rest[0], namespace)
        if "watch" in request.query:
            return await self._watch(request, member, rest[0], {"apiVersion": api_version, "kind": kind})
        selector = request.query.get("labelSelector", "")
        found = [each for each in member.objects[rest[0]].values() if matches(each, selector)]
        meta = {"resourceVersion": str(member.version)}
        return web.json_response({"apiVersion": api_version, "kind": f"{kind}List", "metadata": meta, "items": found})

    def _discover(self, parts: list[str]) -> web.Response:
        """Plain discovery: servers may leave out the aggregated kind."""
        if parts == ["api"]:
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if parts == ["apis"]:
            version = {"groupVersion": "discovery.k8s.io/v1", "version": "v1"}
            group = {"name": "discovery.k8s.io", "versions": [version], "preferredVersion": version}
            return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
        group_version = "/".join(parts[1:])
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        resources = [
            {"name": plural, "singularName": "", "namespaced": kind != "Namespace", "kind": kind, "verbs": verbs}
            for (group, version, plural), kind in KINDS.items()
            if group_version == (f"{group}/{version}" if group else version)
        ]
        if not resources:
            return _status(404, "NotFound")
        return web.json_response({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources})

    async def _create(self, request: web.Request, member: Member, plural: str, namespace: str) -> web.Response:
        obj = json.loads(await request.read())
        key = (namespace, obj["metadata"]["name"])
        if key in member.objects[plural]:
            return _status(409, "AlreadyExists")
        obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        if namespace:
            obj["metadata"]["namespace"] = namespace
        return web.json_response(member.put(plural, key, obj), status=201)

    async def _one(self, request: web.Request, member: Member, plural: str, key: tuple[str, str]) -> web.Response:
        obj = member.objects[plural].get(key)
        if obj is None:
            return _status(404, "NotFound")
        if request.method == "PATCH":
            patch = json.loads(await request.read())
            if patch.get("metadata", {}).get("resourceVersion", "") not in ("", obj["metadata"]["resourceVersion"]):
                return _status(409, "Conflict")
            obj = member.put(plural, key, merged(obj, patch))
        elif request.method == "DELETE":
            member.pop(plural, key)
        return web.json_response(obj)

    async def _watch(self, request: web.Request, member: Member, plural: str, bookmark: Object) -> web.StreamResponse:
        selector = request.query.get("labelSelector", "")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[Object] = asyncio.Queue()
        if request.query.get("sendInitialEvents") == "true":
            for each in member.objects[plural].values():
                queue.put_nowait({"type": "ADDED", "object": each})
            queue.put_nowait(_bookmark(bookmark, member.version, initial=True))
        member.watches[plural].add(queue)
        await response.prepare(request)
        try:
            while True:
                try:
                    async with asyncio.timeout(BOOKMARK_SECONDS):
                        event = await queue.get()
                except TimeoutError:
                    event = _bookmark(bookmark, member.version, initial=False)
                if event["type"] == "BOOKMARK" or matches(event["object"], selector):
                    await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionError:
            return response
        finally:
            member.watches[plural].discard(queue)


def _bookmark(of: Object, version: int, *, initial: bool) -> Object:
    metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"type": "BOOKMARK", "object": of | {"metadata": metadata}}


def _status(code: int, reason: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": reason,
    }
    return web.json_response(body, status=code)


if __name__ == "__main__":
    port, *members = sys.argv[1:]
    web.run_app(Server(members).application(), host="127.0.0.1", port=int(port), print=None, access_log=None)
