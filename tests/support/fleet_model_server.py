"""API servers whose requests, answers and watch events travel, each on its own, until somebody lets them arrive.

    wire = Wire()
    server = Server("m1", wire)
    task = asyncio.create_task(client_code(server))     # its write is parked at `wire.parked`
    wire.parked[0].go()                                 # it arrives; its answer is parked now

On top of `MemoryApi`: watches that lag, break and list again; faults before and after a write took effect; what other
controllers of Kubernetes do (garbage collection, the end of namespaces); a record of what belongs to others; and of
conflicts between two writes of one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from informers.errors import Conflict, KubeError, ServerError, TransportError
from informers.meta import ObjectKey
from informers.resource import Resource
from tests.support.execution import default_service
from tests.support.memory import MemoryApi, MemoryInformer
from tests.support.object_store import Change, Json, Key, json_copy, key_of, plural_of

BEGAN: ContextVar[int] = ContextVar("BEGAN", default=0)
"""When the reconcile that writes began, by the wire's time."""
PROCESS: ContextVar[int] = ContextVar("PROCESS", default=0)
"""Number of the process that writes."""
KUBERNETES = "kubernetes"
"""Finalizer of every Namespace. Kubernetes has it in the spec, which nobody here looks at."""
THEIRS = "example.com/theirs"
"""A finalizer, label or annotation of somebody else."""


@dataclass(eq=False)
class Parked:
    """A request on its way to a server, or an answer on its way back."""

    server: Server
    process: int
    what: str
    stage: str
    arrival: asyncio.Future[None]
    do: Callable[[], Awaitable[Any]] | None = None

    def go(self) -> None:
        """Let it arrive."""
        self.server.wire.parked.remove(self)
        self.arrival.set_result(None)

    def __str__(self) -> str:
        return f"{self.stage} {self.server.name}: {self.what}"


class Wire:
    """All that is between a process and its API servers.

    Attributes:
        parked: what is on its way, in the order in which it was sent.
        processes: how many ever ran.
        own_conflicts: writes that failed for an earlier one of the same process, which had been answered when the
            reconcile began: it ought to have known.
        overlaps: the same, if that was answered later. They are tried again.
        writes: what changed something, in order.
    """

    def __init__(self) -> None:
        self.parked: list[Parked] = []
        self.processes = 0
        self.own_conflicts: list[str] = []
        self.overlaps: list[str] = []
        self.writes: list[str] = []
        self._time = 0

    async def travel(
        self, server: Server, what: str, stage: str, do: Callable[[], Awaitable[Any]] | None = None
    ) -> None:
        """Park until somebody lets it arrive. A write says what it will do at the server."""
        parked = Parked(server, PROCESS.get(), what, stage, asyncio.get_running_loop().create_future(), do)
        self.parked.append(parked)
        await parked.arrival

    def tick(self) -> int:
        """A moment later than all before."""
        self._time += 1
        return self._time


@dataclass
class _Write:
    """The latest write of an object by the code under test."""

    what: str
    process: int
    answered: int | None = None
    lost: bool = False


class Server(MemoryApi):
    """See the module.

    Attributes:
        theirs: what belongs to others, as they left it.
        down: nobody reaches it, and its watches are broken.
        faults: what happens to the next writes; see `spoil`.
    """

    def __init__(self, name: str, wire: Wire, *, lists_late: bool) -> None:
        super().__init__(
            defaulters={"Namespace": _default_namespace, **({"Service": default_service} if lists_late else {})},
            strict_namespaces=True,
            records_fields=lists_late,
        )
        self.name = name
        self.wire = wire
        self.theirs: dict[Key, Json] = {}
        self.down = False
        self.faults: list[tuple[str, str]] = []
        self.restless = False
        self.store.watchers.append(self._noticed)
        self._lists_late = lists_late
        self._connection = 0
        self._latest: dict[Key, _Write] = {}
        self._scribbled: dict[Key, str] = {}

    # --- for the test -----------------------------------------------------------------------------------------------

    def add_theirs(self, content: Json) -> None:
        """Somebody else makes an object that nobody here may touch."""
        key = key_of(plural_of(content), content)
        self.theirs[key] = json_copy(self.seed(content))

    def change_theirs(self, kind: str, namespace: str, name: str, patch: Json) -> None:
        """They change it."""
        self.theirs[plural_of({"kind": kind}), ObjectKey(namespace, name)] = json_copy(
            self.edit(kind, namespace, name, patch)
        )

    def remove_theirs(self, kind: str, namespace: str, name: str) -> None:
        """They delete it."""
        del self.theirs[plural_of({"kind": kind}), ObjectKey(namespace, name)]
        self.remove(kind, namespace, name)

    def scribble(self, kind: str, namespace: str, name: str) -> None:
        """They put a label and an annotation onto an object, whoever has made it."""
        marks = {"labels": {THEIRS: "label"}, "annotations": {THEIRS: "annotation"}}
        meta = self.edit(kind, namespace, name, {"metadata": marks})["metadata"]
        self._scribbled[plural_of({"kind": kind}), ObjectKey(namespace, name)] = meta["uid"]

    def is_theirs(self, kind: str, namespace: str, name: str) -> bool:
        """Whether there is an object of that name, of others."""
        return (plural_of({"kind": kind}), ObjectKey(namespace, name)) in self.theirs

    def touched(self) -> list[str]:
        """What of others is not as they left it: objects, and marks on the objects of anybody."""
        found = [
            f"{self.name}: {plural} {key} is {self.store.objects.get((plural, key))}, not {content}"
            for (plural, key), content in self.theirs.items()
            if self.store.objects.get((plural, key)) != content
        ]
        for (plural, key), uid in self._scribbled.items():
            meta = self.store.objects.get((plural, key), {}).get("metadata", {"uid": ""})
            marks = [meta.get(part, {}).get(THEIRS) for part in ("labels", "annotations")]
            if meta["uid"] == uid and marks != ["label", "annotation"]:
                found.append(f"{self.name}: {plural} {key} lost the marks of others: {meta}")
        return found

    def accept(self) -> None:
        """What belongs to others is to stay as it is now."""
        self.theirs = {key: json_copy(self.store.objects[key]) for key in self.theirs}

    def spoil(self, fault: str, verb: str, times: int) -> None:
        """Let the next writes fail: "500", "409" or "unsent" before they take effect, "lost" thereafter."""
        self.faults += [(fault, verb)] * times

    def go_down(self) -> None:
        """Out of reach."""
        self.down = True
        for informer in self.informers:
            informer.cut()

    def forget_connection(self) -> None:
        """What the process wrote over a connection that is closed it need not know."""
        self._connection += 1
        self._latest.clear()

    def snapshot(self) -> Any:
        """What is stored. Objects are never changed in place."""
        return self.store.backup(), dict(self.theirs), dict(self._scribbled), self.restless

    def restore(self, snapshot: Any) -> None:
        """As it was."""
        stored, theirs, scribbled, self.restless = snapshot
        self.store.restore(stored)
        self.theirs, self._scribbled = dict(theirs), dict(scribbled)

    def tidy(self) -> None:
        """What Kubernetes' own controllers do: garbage collection, and namespaces that end. And those of others."""
        self.restless = False
        uids = {obj["metadata"]["uid"] for obj in self.store.objects.values()}
        for key, obj in list(self.store.objects.items()):
            owners = obj["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in uids for owner in owners):
                self._end(key)
            if obj["metadata"].get("finalizers") == [THEIRS] and "deletionTimestamp" in obj["metadata"]:
                self._latest.pop(key, None)
                self.store.replace(key, obj | {"metadata": obj["metadata"] | {"finalizers": []}})
        for key, obj in list(self.store.objects.items()):
            if key[0] == "namespaces" and "deletionTimestamp" in obj["metadata"]:
                inside = [one for one in self.store.objects if one[1].namespace == key[1].name]
                for one in inside:
                    self._end(one)
                if not any(one in self.store.objects for one in inside):
                    left = [one for one in obj["metadata"]["finalizers"] if one != KUBERNETES]
                    self.store.replace(key, obj | {"metadata": obj["metadata"] | {"finalizers": left}})

    # --- ApiClient --------------------------------------------------------------------------------------------------

    def informer(self, *args: Any, **selectors: Any) -> MemoryInformer[Any]:
        made = super().informer(*args, listed=not self._lists_late, **selectors)
        made.lagging = True
        return made

    async def get(self, resource: Resource[Any], name: str, namespace: str = "") -> Any:
        await self.wire.travel(self, f"get {resource.plural} {namespace}/{name}", "request")
        self._reachable()
        return await super().get(resource, name, namespace)

    async def list(self, resource: Resource[Any], namespace: str = "", **rest: Any) -> Any:
        await self.wire.travel(self, f"list {resource.plural} {namespace}", "request")
        self._reachable()
        return await super().list(resource, namespace, **rest)

    async def create(self, resource: Resource[Any], body: Any, namespace: str = "") -> Any:
        name = body["metadata"]["name"]
        return await self._write(
            "create", resource, namespace, name, partial(super().create, resource, body, namespace)
        )

    async def patch(
        self, resource: Resource[Any], name: str, body: Any, namespace: str = "", *, subresource: str = "", **rest: Any
    ) -> Any:
        do = partial(super().patch, resource, name, body, namespace, subresource=subresource, **rest)
        return await self._write("patch", resource, namespace, name, do, subresource)

    async def delete(self, resource: Resource[Any], name: str, namespace: str = "", **rest: Any) -> Any:
        do = partial(super().delete, resource, name, namespace, **rest)
        return await self._write("delete", resource, namespace, name, do)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _write(
        self,
        verb: str,
        resource: Resource[Any],
        namespace: str,
        name: str,
        do: Callable[[], Awaitable[Any]],
        subresource: str = "",
    ) -> Any:
        key = (resource.plural, ObjectKey(namespace if resource.namespaced else "", name))
        what = f"{verb} {resource.plural}{'/status' * bool(subresource)} {namespace}/{name}"
        process, connection = PROCESS.get(), self._connection
        await self.wire.travel(self, what, "request", do)
        self._reachable()
        fault = self._fault(verb)
        if fault in _BEFORE:
            raise _BEFORE[fault]
        before = self.store.objects.get(key)
        error: KubeError | None = None
        answer = None
        try:
            answer = await do()
        except KubeError as refused:
            error = refused
        write = _Write(what, process)
        if isinstance(error, Conflict) and before is not None:
            self._blame(key, what, process)
        elif self.store.objects.get(key) is not before:
            self._latest[key] = write
            write.lost = connection != self._connection
            self.wire.writes.append(f"{self.name}: {what}")
        if fault == "lost":
            write.lost = True
        await self.wire.travel(self, what, "answer")
        if fault == "lost" or self.down:
            write.lost = True
            raise TransportError(f"the answer to {what} is lost")
        write.answered = self.wire.tick()
        if error is not None:
            raise error
        return answer

    def _blame(self, key: Key, what: str, process: int) -> None:
        latest = self._latest.get(key)
        if latest is None or latest.process != process or latest.lost:
            return
        if latest.answered is not None and latest.answered < BEGAN.get():
            self.wire.own_conflicts.append(f"{self.name}: {what}, after {latest.what}")
        else:
            self.wire.overlaps.append(f"{self.name}: {what}, after {latest.what}")

    def _fault(self, verb: str) -> str:
        for index, (fault, wanted) in enumerate(self.faults):
            if wanted in ("", verb):
                del self.faults[index]
                return fault
        return ""

    def _reachable(self) -> None:
        if self.down:
            raise TransportError(f"{self.name} cannot be reached")

    def seed(self, *contents: Any, plural: str = "") -> Json:
        for content in contents:
            self._latest.pop(key_of(plural or plural_of(content), content), None)
        return super().seed(*contents, plural=plural)

    def edit(self, kind: str, namespace: str, name: str, patch: Any) -> Json:
        self._latest.pop((plural_of({"kind": kind}), ObjectKey(namespace, name)), None)
        return super().edit(kind, namespace, name, patch)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        self._latest.pop((plural_of({"kind": kind}), ObjectKey(namespace, name)), None)
        super().remove(kind, namespace, name)

    def _end(self, key: Key) -> None:
        obj = self.store.objects.get(key)
        if obj is not None and "deletionTimestamp" not in obj["metadata"]:
            self.theirs.pop(key, None)
            self._latest.pop(key, None)
            self.store.delete(key)

    def _noticed(self, change: Change) -> None:
        if change.new is None or "deletionTimestamp" in change.new["metadata"]:
            self.restless = True


class Connection:
    """A process's client of a server. Once it is closed, what is on its way has no answer, and nothing else goes."""

    def __init__(self, server: Server) -> None:
        self.raw = server.raw
        self._server = server
        self.informers: list[MemoryInformer[Any]] = []
        self._closed = False

    def informer(self, *args: Any, **selectors: Any) -> MemoryInformer[Any]:
        """A watch of its own."""
        self.informers.append(self._server.informer(*args, **selectors))
        return self.informers[-1]

    def stop(self, *informers: MemoryInformer[Any]) -> None:
        """End these watches, or all."""
        for one in informers or tuple(self.informers):
            self.informers.remove(one)
            self._server.stop(one)

    def close(self) -> None:
        """For ever."""
        self._closed = True
        self.stop()
        self._server.forget_connection()

    async def get(self, *args: Any, **rest: Any) -> Any:
        return await self._ask(self._server.get, *args, **rest)

    async def list(self, *args: Any, **rest: Any) -> Any:
        return await self._ask(self._server.list, *args, **rest)

    async def create(self, *args: Any, **rest: Any) -> Any:
        return await self._ask(self._server.create, *args, **rest)

    async def patch(self, *args: Any, **rest: Any) -> Any:
        return await self._ask(self._server.patch, *args, **rest)

    async def delete(self, *args: Any, **rest: Any) -> Any:
        return await self._ask(self._server.delete, *args, **rest)

    async def _ask(self, request: Callable[..., Awaitable[Any]], *args: Any, **rest: Any) -> Any:
        if self._closed:
            raise TransportError("the client is closed")
        answer = await request(*args, **rest)
        if self._closed:
            raise TransportError("the client was closed")
        return answer


_BEFORE: dict[str, KubeError] = {
    "500": ServerError(500, "InternalError", "the server is not well"),
    "409": Conflict(409, "Conflict", "the object has been modified"),
    "unsent": TransportError("connection refused"),
}


def _default_namespace(obj: Json, before: Json | None) -> None:
    if before is None:
        obj["metadata"]["finalizers"] = [*obj["metadata"].get("finalizers", ()), KUBERNETES]
