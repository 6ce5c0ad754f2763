"""An API server in memory, for tests of reconcilers: no sockets, no tasks, no waiting.

    api = MemoryApi()
    works = api.cached(WORKS, {"by-cluster": cluster_index})     # a CachedClient, as production uses it
    api.seed({"apiVersion": "work.karmada.io/v1alpha1", "kind": "Work", "metadata": {...}, "spec": {...}})
    await SomeReconciler(works=works).reconcile(Request("ns", "name"))
    assert api.writes == []

Faithful where reconcilers depend on it: resourceVersions and conflicts, uids, generations, status as a subresource,
finalizers, deletion preconditions, merge and JSON patches, writes that change nothing, namespaces that do not exist.
Objects are kept and handed out as JSON, through the same decoders and the same cache as in production.

What somebody else does on the server is written with `seed`, `edit` and `remove`, which are not in `calls`.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from informers.cache.cache import Cache
from informers.cache.cached_client import CachedClient
from informers.cache.event import Event, Handler
from informers.client.transport import RawResponse
from informers.client.wire import Identity, ListPage
from informers.errors import AlreadyExists, Conflict, KubeError, NotFound
from informers.meta import KubeObject, ObjectKey
from informers.selectors import LabelSelector
from tests.support.managed_fields import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from informers.cache.informer import SharedInformer
    from informers.cache.store import Indexers, Store
    from informers.client.client import ApiClient
    from informers.resource import Resource

T = TypeVar("T", bound=KubeObject)

Json = dict[str, Any]
CREATED = "2026-01-01T00:00:00Z"
DELETED = "2026-01-02T00:00:00Z"

_PLURALS = {"EndpointSlice": "endpointslices", "PropagationPolicy": "propagationpolicies"}
_NO_GENERATION = {"services", "namespaces", "secrets", "configmaps", "nodes"}
_STATUS_SUBRESOURCE = {
    "services",
    "namespaces",
    "works",
    "resourcebindings",
    "multiclusterservices",
    "clusters",
    "deployments",
}


@dataclass(frozen=True)
class Call:
    """One request that the code under test made."""

    verb: str
    plural: str
    namespace: str
    name: str
    body: Any = None
    subresource: str = ""

    def __str__(self) -> str:
        target = "/".join(part for part in (self.plural, self.namespace, self.name, self.subresource) if part)
        return f"{self.verb} {target}"


@dataclass
class _Fault:
    error: Exception
    verb: str
    plural: str
    namespace: str
    name: str
    times: int

    def hits(self, verb: str, plural: str, namespace: str, name: str) -> bool:
        wanted = ((self.plural, plural), (self.namespace, namespace), (self.name, name))
        return self.verb == verb and all(mine in ("", asked) for mine, asked in wanted)


class MemoryInformer(Generic[T]):
    """What a `SharedInformer` is to its readers, fed by a `MemoryApi` in the same step as the write."""

    def __init__(self, resource: Resource[T], indexers: Indexers[T], label_selector: str, field_selector: str) -> None:
        self.resource = resource
        self.last_error: KubeError | None = None
        self.synced = asyncio.Event()
        self.synced.set()
        self.wakes = 0
        self._listener: Callable[[KubeError | None], None] | None = None
        self._labels = LabelSelector.parse(label_selector)
        self._field_selector = field_selector
        self._cache: Cache[T] = Cache(indexers)
        self._handlers: list[Handler[T]] = []

    @property
    def store(self) -> Store[T]:
        return self._cache.store

    def add_handler(self, handler: Handler[T], *, name: str = "") -> None:
        self._handlers.append(handler)
        for obj in self.store.values():
            handler(Event(new=obj, initial=True))

    def observe(self, obj: T) -> None:
        if not self._field_selector:  # as in SharedInformer: only a server can evaluate those
            self._tell(self._cache.observe(obj, selected=self._labels.matches(obj.metadata.labels)))

    def observe_deleted(self, key: ObjectKey, *, uid: str = "") -> None:
        self._tell(self._cache.observe_deleted(key, uid))

    def on_failure(self, listener: Callable[[KubeError | None], None]) -> None:
        self._listener = listener

    def fail(self, error: KubeError | None) -> None:
        """The server answers a list or a watch with this; or it works again."""
        self.last_error = error
        if self._listener is not None:
            self._listener(error)

    @property
    def has_synced(self) -> bool:
        return self.synced.is_set()

    async def wait_synced(self) -> None:
        """Synced from the beginning, unless a test clears `synced`."""
        await self.synced.wait()

    def wake(self) -> None:
        self.wakes += 1

    def relist(self, contents: Iterable[Json], resource_version: int) -> None:
        objects = [self.resource.decode(_encode(content)) for content in contents if self._selects(content)]
        self._tell(self._cache.replace(objects, str(resource_version)))

    def deliver(self, content: Json, *, deleted: bool) -> None:
        obj = self.resource.decode(_encode(content))
        if deleted or not self._selects(content):
            meta = obj.metadata
            identity = Identity(meta.name, meta.namespace, meta.uid, meta.resource_version)
            # Of an object that leaves the selection a server shows the state before, and so does the store.
            self._tell(self._cache.remove(identity, obj if deleted else None))
        else:
            self._tell(self._cache.put(obj))

    def _selects(self, content: Json) -> bool:
        if not self._labels.matches(content["metadata"].get("labels") or {}):
            return False
        for term in (term for term in self._field_selector.split(",") if term):
            path, value = term.split("=", 1)
            found: Any = content
            for step in path.split("."):
                found = (found or {}).get(step)
            if found != value:
                return False
        return True

    def _tell(self, events: Iterable[Event[T]]) -> None:
        for event in events:
            for handler in tuple(self._handlers):
                handler(event)


@dataclass
class MemoryApi:
    """One API server: an `ApiClient` as far as reconcilers use one, and the hand of everybody else.

    Attributes:
        defaulters: by kind, what the server adds to an object on its way into the store (cluster IPs and the like).
            Called with the object that is written, and the one before it or None.
        served: what discovery lists, by path: each `{"name": "deployments", "kind": "Deployment", "namespaced": True}`.
        strict_namespaces: writes into namespaces that do not exist fail, as on a real server.
        records_fields: whether objects say who set what, as on a real server.
        travel: awaited by each write on its way to the server and by its answer on the way back.
        calls: what the code under test asked for, in order.
    """

    defaulters: Mapping[str, Callable[[Json, Json | None], None]] = field(default_factory=dict)
    strict_namespaces: bool = False
    records_fields: bool = False
    served: Mapping[str, list[Json]] = field(default_factory=dict)
    travel: Callable[[], Awaitable[object]] | None = None
    calls: list[Call] = field(default_factory=list)
    _objects: dict[tuple[str, ObjectKey], Json] = field(default_factory=dict)
    _informers: list[MemoryInformer[Any]] = field(default_factory=list)
    _faults: list[_Fault] = field(default_factory=list)
    _held: list[tuple[str, Json, bool]] | None = None
    _version: int = 100
    _uids: int = 0

    # --- for the test -----------------------------------------------------------------------------------------------

    @property
    def writes(self) -> list[Call]:
        """The calls that could change something."""
        return [call for call in self.calls if call.verb not in ("get", "list", "discover")]

    def informer(
        self,
        resource: Resource[T],
        indexers: Indexers[T] | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> MemoryInformer[T]:
        """A synced informer of what is there and what comes."""
        made = MemoryInformer(resource, indexers or {}, label_selector, field_selector)
        made.relist((obj for (plural, _), obj in self._objects.items() if plural == resource.plural), self._version)
        self._informers.append(made)
        return made

    def cached(
        self,
        resource: Resource[T],
        indexers: Indexers[T] | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> CachedClient[T]:
        """A `CachedClient` over this server."""
        informer = self.informer(resource, indexers, label_selector=label_selector, field_selector=field_selector)
        return CachedClient(cast("ApiClient", self), cast("SharedInformer[T]", informer))

    def seed(self, content: Mapping[str, Any], *, plural: str = "") -> Json:
        """Somebody creates an object, status included; uid, resourceVersion and finalizers are kept if given."""
        obj = copy.deepcopy(dict(content))
        key = self._key(plural or plural_of(obj), obj)
        assert key not in self._objects, f"{key} exists"
        return self._create(key, obj)

    def edit(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any]) -> Json:
        """Somebody changes anything about an object, status included, by a merge patch."""
        key = (plural_of({"kind": kind}), ObjectKey(namespace, name))
        before = self._objects[key]
        after = merge_patch(before, patch)
        if self.records_fields:
            written(before, after, by_us=False)
        return self._store(key, before, after)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Somebody deletes an object; finalizers hold it."""
        key = (plural_of({"kind": kind}), ObjectKey(namespace, name))
        self._delete(key, self._objects[key])

    def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """A copy of an object as the server has it, or None."""
        found = self._objects.get((plural_of({"kind": kind}), ObjectKey(namespace, name)))
        return copy.deepcopy(found)

    def all(self, kind: str) -> list[Json]:
        """Copies of all objects of a kind, by key."""
        plural = plural_of({"kind": kind})
        return [copy.deepcopy(obj) for (of, _), obj in sorted(self._objects.items()) if of == plural]

    def fail(
        self, error: Exception, verb: str, kind: str = "", name: str = "", *, namespace: str = "", times: int = 1
    ) -> None:
        """Let the next matching requests fail; nothing is written then."""
        plural = plural_of({"kind": kind}) if kind else ""
        self._faults.append(_Fault(error, verb, plural, namespace, name, times))

    def hold_watches(self) -> None:
        """From now on informers hear of nothing but the code's own write-through."""
        self._held = []

    def release_watches(self) -> None:
        """Deliver what was held back, in order."""
        held, self._held = self._held or [], None
        for plural, content, deleted in held:
            self._notify(plural, content, deleted=deleted)

    def release_watches_of(self, plural: str) -> None:
        """Deliver what was held back of one kind; the others wait on. Every kind has a watch of its own."""
        held, self._held = self._held or [], None
        for one, content, deleted in held:
            if one == plural:
                self._notify(one, content, deleted=deleted)
        self._held = [entry for entry in held if entry[0] != plural]

    # --- ApiClient --------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        self._called("get", resource, namespace, name)
        return resource.decode(_encode(self._existing(resource, namespace, name)))

    async def raw(self, method: str, path: str) -> RawResponse:
        """Discovery, of what `served` says; 404 for any other path."""
        assert method == "GET"
        self.calls.append(Call("discover", path.strip("/"), "", ""))
        if path not in self.served:
            return RawResponse(404, b"404 page not found", {})
        resources = [
            {"verbs": ["get", "list", "watch", "patch", "create", "delete"], **one} for one in self.served[path]
        ]
        return RawResponse(200, _encode({"kind": "APIResourceList", "resources": resources}), {})

    async def list(self, resource: Resource[T], namespace: str = "", **_: Any) -> ListPage[T]:
        self._called("list", resource, namespace, "")
        items = [
            resource.decode(_encode(obj))
            for (plural, key), obj in sorted(self._objects.items())
            if plural == resource.plural and namespace in ("", key.namespace)
        ]
        return ListPage(items=items, resource_version=str(self._version))

    async def create(self, resource: Resource[T], body: bytes | Mapping[str, Any], namespace: str = "") -> T:
        async with self._on_the_way():
            obj = _decode(body)
            metadata = obj.setdefault("metadata", {})
            self._called("create", resource, namespace, metadata["name"], obj)
            if resource.namespaced:
                metadata["namespace"] = namespace
                self._needs_namespace(namespace)
            for name in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"):
                metadata.pop(name, None)
            if resource.plural in _STATUS_SUBRESOURCE:
                obj.pop("status", None)
            obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
            key = self._key(resource.plural, obj)
            if key in self._objects:
                raise AlreadyExists(409, "AlreadyExists", f'{resource.plural} "{key[1].name}" already exists')
            if self.records_fields:
                written(None, obj, by_us=True)
            return resource.decode(_encode(self._create(key, obj)))

    async def patch(
        self, resource: Resource[T], name: str, body: Any, namespace: str = "", *, subresource: str = "", **_: Any
    ) -> T:
        async with self._on_the_way():
            patch: Any = _decode(body)
            self._called("patch", resource, namespace, name, patch, subresource)
            before = self._existing(resource, namespace, name)
            after = apply_json_patch(before, patch) if isinstance(patch, list) else merge_patch(before, patch)
            if after["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
                raise Conflict(409, "Conflict", f'{resource.plural} "{name}": the object has been modified')
            if subresource == "status":
                after = before | ({"status": after["status"]} if "status" in after else {})
            elif resource.plural in _STATUS_SUBRESOURCE:
                after.pop("status", None)
                after |= {"status": before["status"]} if "status" in before else {}
            if self.records_fields:
                written(before, after, by_us=True)
            return resource.decode(_encode(self._store((resource.plural, ObjectKey(namespace, name)), before, after)))

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation_policy: str = "Background",
    ) -> T | None:
        async with self._on_the_way():
            self._called("delete", resource, namespace, name, {"propagationPolicy": propagation_policy})
            found = self._existing(resource, namespace, name)
            for precondition, value in ((uid, "uid"), (resource_version, "resourceVersion")):
                if precondition and found["metadata"][value] != precondition:
                    raise Conflict(409, "Conflict", f"precondition failed: {value}")
            left = self._delete((resource.plural, ObjectKey(namespace, name)), found)
            return None if left is None else resource.decode(_encode(left))

    # --- inside -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _on_the_way(self) -> AsyncIterator[None]:
        if self.travel is not None:
            await self.travel()
        try:
            yield
        finally:
            if self.travel is not None:
                await self.travel()

    def _called(
        self, verb: str, resource: Resource[T], namespace: str, name: str, body: Any = None, subresource: str = ""
    ) -> None:
        self.calls.append(Call(verb, resource.plural, namespace, name, copy.deepcopy(body), subresource))
        for fault in self._faults:
            if fault.hits(verb, resource.plural, namespace, name):
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                raise fault.error

    def _existing(self, resource: Resource[T], namespace: str, name: str) -> Json:
        found = self._objects.get((resource.plural, ObjectKey(namespace, name)))
        if found is None:
            raise NotFound(404, "NotFound", f'{resource.plural} "{name}" not found')
        return found

    def _needs_namespace(self, namespace: str) -> None:
        if self.strict_namespaces and ("namespaces", ObjectKey("", namespace)) not in self._objects:
            raise NotFound(404, "NotFound", f'namespaces "{namespace}" not found')

    def _key(self, plural: str, obj: Json) -> tuple[str, ObjectKey]:
        return plural, ObjectKey(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def _create(self, key: tuple[str, ObjectKey], obj: Json) -> Json:
        self._uids += 1
        metadata = obj["metadata"]
        metadata.setdefault("uid", f"uid-{self._uids}")
        metadata.setdefault("creationTimestamp", CREATED)
        if key[0] not in _NO_GENERATION:
            metadata.setdefault("generation", 1)
        metadata.pop("resourceVersion", None)
        self._default(obj, None)
        return self._commit(key, obj)

    def _store(self, key: tuple[str, ObjectKey], before: Json, after: Json) -> Json:
        metadata = after["metadata"]
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "generation", "name", "namespace"):
            if name in before["metadata"]:
                metadata[name] = before["metadata"][name]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            del self._objects[key]
            self._version += 1
            metadata["resourceVersion"] = str(self._version)
            self._notify(key[0], after, deleted=True)
            return after
        self._default(after, before)
        if _without(after, "resourceVersion") == _without(before, "resourceVersion"):
            return before
        outside = {"metadata", "status"}
        changed = {k: v for k, v in after.items() if k not in outside} != {
            k: v for k, v in before.items() if k not in outside
        }
        if changed and key[0] not in _NO_GENERATION:
            metadata["generation"] = before["metadata"].get("generation", 1) + 1
        return self._commit(key, after)

    def _delete(self, key: tuple[str, ObjectKey], found: Json) -> Json | None:
        if not found["metadata"].get("finalizers"):
            del self._objects[key]
            self._version += 1
            gone = copy.deepcopy(found)
            gone["metadata"]["resourceVersion"] = str(self._version)
            self._notify(key[0], gone, deleted=True)
            return None
        if "deletionTimestamp" in found["metadata"]:
            return found
        marked = copy.deepcopy(found)
        marked["metadata"]["deletionTimestamp"] = DELETED
        if key[0] not in _NO_GENERATION:
            marked["metadata"]["generation"] = marked["metadata"].get("generation", 1) + 1
        return self._commit(key, marked)

    def _default(self, obj: Json, before: Json | None) -> None:
        if (defaulter := self.defaulters.get(obj.get("kind", ""))) is not None:
            defaulter(obj, before)

    def _commit(self, key: tuple[str, ObjectKey], obj: Json) -> Json:
        self._version += 1
        # The former state may share its metadata with this one, and somebody may have kept it.
        obj = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self._version)}}
        self._objects[key] = obj
        self._notify(key[0], obj, deleted=False)
        return obj

    def _notify(self, plural: str, content: Json, *, deleted: bool) -> None:
        if self._held is not None:
            self._held.append((plural, copy.deepcopy(content), deleted))
            return
        for informer in tuple(self._informers):
            if informer.resource.plural == plural:
                informer.deliver(content, deleted=deleted)


@dataclass
class MemoryRecorder:
    """Remembers events instead of writing them, each as (component, kind, namespace/name, type, reason, message)."""

    events: list[tuple[str, str, str, str, str, str]] = field(default_factory=list)
    component: str = ""

    def for_component(self, component: str) -> MemoryRecorder:
        return MemoryRecorder(self.events, component)

    def event(self, ref: Any, type_: str, reason: str, message: str) -> None:
        self.events.append((self.component, ref.kind, f"{ref.namespace}/{ref.name}", type_, reason, message))

    def take(self) -> list[tuple[str, str]]:
        """(kind, reason) of what came since the last call."""
        taken = [(kind, reason) for _, kind, _, _, reason, _ in self.events]
        self.events.clear()
        return taken


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386, on copies; inside of lists the server drops nulls as well (seen on kube-apiserver 1.37)."""
    if not isinstance(patch, Mapping):
        return _without_nulls(patch)
    merged = copy.deepcopy(dict(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else copy.deepcopy(value)


def apply_json_patch(content: Json, operations: list[Json]) -> Json:
    """RFC 6902, as far as needed: add, remove and replace, in objects and lists."""
    content = copy.deepcopy(content)
    for operation in operations:
        *parents, last = (step.replace("~1", "/").replace("~0", "~") for step in operation["path"][1:].split("/"))
        target: Any = content
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if operation["op"] == "remove":
            del target[int(last) if isinstance(target, list) else last]
        elif isinstance(target, list):
            target.insert(len(target) if last == "-" else int(last), operation["value"])
        else:
            target[last] = operation["value"]
    return content


def plural_of(obj: Mapping[str, Any]) -> str:
    """The name in URLs, as far as the kinds of these tests go."""
    kind = cast("str", obj["kind"])
    return _PLURALS.get(kind, f"{kind.lower()}s")


def _without(obj: Json, name: str) -> Json:
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key != name}}


def _encode(content: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(content)


def _decode(body: bytes | Mapping[str, Any]) -> Json:
    # Through JSON in any case: what does not encode must not pass a test.
    return cast("Json", msgspec.json.decode(body if isinstance(body, bytes) else msgspec.json.encode(body)))
