"""An API server in memory, for tests of reconcilers: no sockets, no tasks, no waiting.

    api = MemoryApi()
    works = api.cached(WORKS, {"by-cluster": cluster_index})     # a CachedClient, as production uses it
    api.seed({"apiVersion": "work.karmada.io/v1alpha1", "kind": "Work", "metadata": {...}, "spec": {...}})
    await SomeReconciler(works=works).reconcile(Request("ns", "name"))
    assert api.writes == []

An `ObjectStore` does what an API server does to objects; they go through the same decoders and the same cache as in
production. What somebody else does on the server is written with `seed`, `edit` and `remove`, which are not in `calls`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import msgspec

from informers.cache.cache import Cache
from informers.cache.cached_client import CachedClient
from informers.cache.informer import SharedInformer
from informers.cache.store import Indexers, Store
from informers.client.client import ApiClient
from informers.client.transport import RawResponse
from informers.client.wire import Identity, ListPage
from informers.meta import KubeObject, ObjectKey
from informers.resource import Resource
from tests.support.fake_informer import FakeInformer
from tests.support.managed_fields import written
from tests.support.object_store import (
    Change,
    Json,
    Key,
    ObjectStore,
    Selection,
    json_copy,
    key_of,
    merge_patch,
    plural_of,
)

T = TypeVar("T", bound=KubeObject)


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

    def hits(self, call: Call) -> bool:
        wanted = ((self.plural, call.plural), (self.namespace, call.namespace), (self.name, call.name))
        return self.verb == call.verb and all(mine in ("", asked) for mine, asked in wanted)


class MemoryInformer(FakeInformer[T]):
    """A `SharedInformer` of an `ObjectStore`, told of each write in the same step; or later, when the test says so.

    Attributes:
        lagging: events wait in `late` until `step`.
        late: what has happened and has not arrived yet.
        broken: there is no watch; `list_again` makes one.
        held: its events are not to be delivered by those who deliver all (`Fleet`).
    """

    def __init__(
        self, resource: Resource[T], indexers: Indexers[T], selection: Selection, server: ObjectStore, *, listed: bool
    ) -> None:
        super().__init__(resource=resource, synced=False)
        self.late: deque[Change] = deque()
        self.lagging = False
        self.broken = not listed
        self.held = False
        self._selection = selection
        self._server = server
        self._cache: Cache[T] = Cache(indexers)
        if listed:
            self.list_again()

    @property
    def store(self) -> Store[T]:
        return self._cache.store

    def add_indexers(self, indexers: Indexers[T]) -> None:
        self._cache.writer.add_indexers(indexers)

    def _contents(self) -> Iterable[T]:
        return self.store.values()

    def observe(self, obj: T) -> None:
        if not self._selection.field:  # as in SharedInformer: only a server can evaluate those
            selected = self._selection.labels.matches(obj.metadata.labels)
            self.emit(*self._cache.observe(obj, selected=selected))

    def observe_deleted(self, key: ObjectKey, *, uid: str = "") -> None:
        self.emit(*self._cache.observe_deleted(key, uid))

    def deliver(self, change: Change) -> None:
        """Something happened at the server."""
        if self.lagging and not self.broken:
            self.late.append(change)
        elif not self.broken:
            self._apply(change)

    def step(self) -> None:
        """One event arrives."""
        self._apply(self.late.popleft())

    def cut(self) -> None:
        """The watch breaks; nothing that is on its way arrives."""
        self.late.clear()
        self.broken = True

    def list_again(self) -> None:
        """A complete list arrives, and a watch from there."""
        self.broken = False
        self.late.clear()
        found = [obj for key, obj in self._server.objects.items() if self._selection.holds(key, obj)]
        self.emit(*self._cache.replace([self._decode(obj) for obj in found], str(self._server.version)))
        self.synced.set()

    def _apply(self, change: Change) -> None:
        content = cast("Json", change.new or change.old)
        obj = self._decode(content)
        if change.new is None or not self._selection.holds(change.key, content):
            meta = obj.metadata
            identity = Identity(meta.name, meta.namespace, meta.uid, meta.resource_version)
            # Of an object that leaves the selection a server shows the state before, and so does the store.
            self.emit(*self._cache.remove(identity, obj if change.new is None else None))
        else:
            self.emit(*self._cache.put(obj))

    def _decode(self, content: Json) -> T:
        return self.resource.decode(_encode(content))  # type: ignore[no-any-return]


class MemoryApi:
    """One API server: an `ApiClient` as far as reconcilers use one, and the hand of everybody else.

    Attributes:
        store: what is there.
        informers: those that hear of changes.
        served: what discovery lists, by path: each `{"name": "deployments", "kind": "Deployment", "namespaced": True}`.
        travel: awaited by each write on its way to the server and by its answer on the way back.
        calls: what the code under test asked for, in order.
    """

    def __init__(self, *, served: Mapping[str, list[Json]] | None = None, **options: Any) -> None:
        """`options` are those of the `ObjectStore`."""
        self.store = ObjectStore(**options)
        self.store.watchers.append(self._notify)
        self.informers: list[MemoryInformer[Any]] = []
        self.served: Mapping[str, list[Json]] = served or {}
        self.travel: Callable[[], Awaitable[object]] | None = None
        self.calls: list[Call] = []
        self._faults: list[_Fault] = []
        self._lagging = False

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
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        listed: bool = True,
    ) -> MemoryInformer[T]:
        """An informer of what is there and what comes; without `listed`, it has yet to list."""
        selection = Selection(resource.plural, namespace, label_selector, field_selector)
        made = MemoryInformer(resource, indexers or {}, selection, self.store, listed=listed)
        made.lagging = self._lagging
        self.informers.append(made)
        return made

    def stop(self, *informers: MemoryInformer[Any]) -> None:
        """These hear of nothing any more, or none at all."""
        for one in informers or tuple(self.informers):
            self.informers.remove(one)

    def cached(self, resource: Resource[T], indexers: Indexers[T] | None = None, **selectors: str) -> CachedClient[T]:
        """A `CachedClient` over this server."""
        informer = self.informer(resource, indexers, **selectors)  # type: ignore[arg-type]
        return CachedClient(cast("ApiClient", self), cast("SharedInformer[T]", informer))

    def seed(self, *contents: Mapping[str, Any], plural: str = "") -> Json:
        """Somebody creates objects, status included; uid, resourceVersion and finalizers are kept if given.

        Returns the last one.
        """
        for content in contents:
            obj = json_copy(dict(content))
            made = self.store.insert(key_of(plural or plural_of(obj), obj), obj)
        return made

    def edit(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any]) -> Json:
        """Somebody changes anything about an object, status included, by a merge patch."""
        key = _key(kind, namespace, name)
        before = self.store.objects[key]
        after = merge_patch(before, patch)
        if self.store.records_fields:
            written(before, after, by_us=False)
        return self.store.replace(key, after)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Somebody deletes an object; finalizers hold it."""
        self.store.delete(_key(kind, namespace, name))

    def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """A copy of an object as the server has it, or None."""
        return json_copy(self.store.objects.get(_key(kind, namespace, name)))

    def read(self, kind: str, namespace: str, name: str) -> Json:
        """A copy of an object that has to be there."""
        found = self.find(kind, namespace, name)
        assert found is not None, f"there is no {kind} {namespace}/{name}"
        return found

    def all(self, kind: str) -> list[Json]:
        """Copies of all objects of a kind, by key."""
        return json_copy(self.store.items(Selection(plural_of({"kind": kind}))))

    def fail(
        self, error: Exception, verb: str, kind: str = "", name: str = "", *, namespace: str = "", times: int = 1
    ) -> None:
        """Let the next matching requests fail; nothing is written then."""
        plural = plural_of({"kind": kind}) if kind else ""
        self._faults.append(_Fault(error, verb, plural, namespace, name, times))

    def stop_failing(self) -> None:
        """Forget the failures that have not happened yet."""
        self._faults.clear()

    def hold_watches(self) -> None:
        """From now on informers hear of nothing but the code's own write-through."""
        self._lagging = True
        for informer in self.informers:
            informer.lagging = True

    def release_watches(self) -> None:
        """Deliver what was held back, and all that comes."""
        self._lagging = False
        for informer in self.informers:
            self.release_watches_of(informer.resource.plural)
            informer.lagging = False

    def release_watches_of(self, plural: str) -> None:
        """Deliver what was held back of one kind; the others wait on. Every kind has a watch of its own."""
        for informer in self.informers:
            while informer.resource.plural == plural and informer.late:
                informer.step()

    # --- ApiClient --------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        self._called("get", resource, namespace, name)
        return resource.decode(_encode(self.store.get((resource.plural, ObjectKey(namespace, name)))))

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
        found = self.store.items(Selection(resource.plural, namespace))
        version = str(self.store.version)
        return ListPage(items=[resource.decode(_encode(obj)) for obj in found], resource_version=version)

    async def create(self, resource: Resource[T], body: bytes | Mapping[str, Any], namespace: str = "") -> T:
        async with self._on_the_way():
            obj = _decode(body)
            name = obj["metadata"]["name"]
            self._called("create", resource, namespace, name, obj)
            obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
            key = resource.plural, ObjectKey(namespace if resource.namespaced else "", name)
            return resource.decode(_encode(self.store.create(key, obj)))

    async def patch(
        self, resource: Resource[T], name: str, body: Any, namespace: str = "", *, subresource: str = "", **_: Any
    ) -> T:
        async with self._on_the_way():
            patch: Any = _decode(body)
            self._called("patch", resource, namespace, name, patch, subresource)
            key = resource.plural, ObjectKey(namespace, name)
            return resource.decode(_encode(self.store.patch(key, patch, subresource)))

    async def update(self, resource: Resource[T], name: str, body: Mapping[str, Any], namespace: str = "") -> T:
        async with self._on_the_way():
            obj = _decode(body)
            self._called("update", resource, namespace, name, obj)
            return resource.decode(_encode(self.store.update((resource.plural, ObjectKey(namespace, name)), obj)))

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
            key = resource.plural, ObjectKey(namespace, name)
            left = self.store.delete(key, uid=uid, resource_version=resource_version)
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
        call = Call(verb, resource.plural, namespace, name, json_copy(body), subresource)
        self.calls.append(call)
        for fault in self._faults:
            if fault.hits(call):
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                raise fault.error

    def _notify(self, change: Change) -> None:
        for informer in tuple(self.informers):
            if informer.resource.plural == change.key[0]:
                informer.deliver(change)


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


def _key(kind: str, namespace: str, name: str) -> Key:
    return plural_of({"kind": kind}), ObjectKey(namespace, name)


def _encode(content: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(content)


def _decode(body: bytes | Mapping[str, Any]) -> Json:
    # Through JSON in any case: what does not encode must not pass a test.
    return cast("Json", msgspec.json.decode(body if isinstance(body, bytes) else msgspec.json.encode(body)))
