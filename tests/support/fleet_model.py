"""The whole stand-alone pipeline in memory: all its controllers, wired as in production, over servers in memory.

    fleet = Fleet("m1", "m2", rng=random.Random(1))
    fleet.host.seed(...)
    await fleet.drive(20)          # twenty things happen: a request starts, arrives, is answered, an event is delivered
    await fleet.crash()            # the process dies; what was on its way arrives or does not
    fleet.start()
    await fleet.rest()             # until nothing is left to do

Only the transport and the queues are not those of production: which request is looked at next, which message arrives
next, is for `rng` to say, or in the order in which they came without it. As many requests run at a time as there are
workers. A failed request is looked at again in the next round, and what is to be looked at later when all else is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import types
from functools import cache, cached_property, partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from prometheus_client import CollectorRegistry

from informers.errors import KubeError
from informers.meta import ObjectKey
from mcs_controller import service_export_wiring, standalone, wiring
from mcs_controller.domain import well_known as wk
from mcs_controller.metrics import Metrics
from mcs_controller.options import Options, command
from tests.support.builders import cluster
from tests.support.clock import FakeClock, settle
from tests.support.fleet_model_server import BEGAN, THEIRS, Connection, LateInformer, Parked, Server, Wire
from tests.support.mcs_world import PlainController
from tests.support.members import MemoryMembers
from tests.support.memory import Json, MemoryRecorder

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Hashable, Iterator

    from informers.store import Store
    from mcs_controller.api.cluster import Cluster

_FLAGS = (
    "--feature-gates=MultiClusterService=true",
    "--controllers=-clusterStatus,-policy,*,standalone",  # how members fare is for the test to say
)
_MAX_STEPS = 30_000
_MAX_ROUNDS = 80
_STUCK_ROUNDS = 5

Move = tuple[str, "Callable[[], object]"]


class Fleet:
    """See the module."""

    def __init__(self, *names: str, rng: random.Random | None = None) -> None:
        self.names = names
        self.rng = rng
        self.wire = Wire()
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        self.host = Server("host", self.wire, lists_late=False)
        self.members = {name: Server(name, self.wire, lists_late=True) for name in names}
        self.connections = MemoryMembers()
        self.controllers: dict[str, tuple[PlainController, int]] = {}
        self.clusters: Store[Cluster]
        self.history: list[str] = []
        self._tasks: dict[tuple[str, Hashable], asyncio.Task[None]] = {}
        self._runnables: list[asyncio.Task[None]] = []
        self._connected: dict[str, str] = {}
        self._ids = count(1)

    @property
    def servers(self) -> list[Server]:
        """All API servers."""
        return [self.host, *self.members.values()]

    # --- the process ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return bool(self.controllers)

    def start(self) -> None:
        """The process begins, with an empty memory."""
        self.wire.process += 1
        self.connections = MemoryMembers()
        self._connected = {}
        with (
            mock.patch.object(wiring, "new_id", self._new_id),
            mock.patch.object(standalone, "new_id", self._new_id),
        ):
            made = _Wiring(self)
            wiring.wire_multi_cluster_service(made)
            service_export_wiring.wire_service_export(made)
            standalone.wire_standalone(made)
        self._runnables = [asyncio.create_task(one.run()) for one in made.runnables]

    async def stop(self, *, arriving: Collection[Parked] = ()) -> None:
        """The process dies. Of what is on its way to a server, `arriving` arrives there after all."""
        for one in list(arriving):
            one.go()
        await settle()
        tasks = [*self._tasks.values(), *self._runnables]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._runnables.clear()
        self.wire.parked.clear()
        self.controllers = {}
        for server in self.servers:
            server._informers.clear()

    async def crash(self, *, arriving: Collection[Parked] = ()) -> None:
        """The process dies, and another one begins."""
        await self.stop(arriving=arriving)
        self.start()

    # --- what can happen next -----------------------------------------------------------------------------------------

    def moves(self) -> Iterator[Move]:
        """All that may happen next, in the order in which it would if no message were fast."""
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        for server in self.servers:
            if server.restless:
                yield f"tidy {server.name}", server.tidy
        if self.running:
            yield from self._connecting()
        for server in self.servers:
            for informer in server.informers if not server.down else ():
                if informer.broken:
                    yield f"list {server.name} {informer.resource.plural}", informer.list_again
        for owner, workers in self.controllers.values():
            if sum(name == owner.name for name, _ in self._tasks) < workers:
                for request in owner.pending:
                    if (owner.name, request) not in self._tasks:
                        yield f"look {owner.name} {request}", partial(self._look, owner, request)
        for server in self.servers:
            for informer in server.informers if not server.down else ():
                if informer.late and not (informer.held or informer.broken):
                    yield f"event {server.name} {informer.resource.plural}", informer.step
        for message in self.wire.parked:
            yield str(message), message.go

    @property
    def all_wait(self) -> bool:
        """Whether there is nothing to do but to let a message arrive."""
        following = next(self.moves(), None)
        return following is not None and bool(self.wire.parked) and following[1] == self.wire.parked[0].go

    async def drive(self, steps: int = _MAX_STEPS) -> bool:
        """Let so many things happen. Returns whether nothing is left that could."""
        for _ in range(steps):
            move = next(self.moves(), None) if self.rng is None else _pick(self.rng, list(self.moves()))
            if move is None:
                return True
            what, do = move
            self.history.append(what)
            do()
            await settle()
            for runnable in self._runnables:
                if runnable.done():
                    runnable.result()
        if steps == _MAX_STEPS:
            raise AssertionError("the controllers keep each other busy for ever")
        return False

    async def rest(self) -> list[str]:
        """Let everything happen that can. Returns what fails again and again, and writes nothing.

        Raises:
            AssertionError: there is no end to it.
        """
        quiet = 0
        for server in self.servers:
            for informer in server.informers:
                informer.held = False
        for _ in range(_MAX_ROUNDS):
            before = len(self.wire.writes)
            await self.drive()
            queues = [owner for owner, _ in self.controllers.values()]
            again = [(owner, request, error) for owner in queues for request, error in owner.failed]
            later = [(owner, request) for owner in queues for request in owner.later]
            waits = [seconds for owner in queues for seconds in owner.later.values()]
            quiet = quiet + 1 if len(self.wire.writes) == before else 0
            if not (again or later) or quiet >= _STUCK_ROUNDS:
                self._requeue()
                return sorted(f"{owner.name} {request}: {error!r}" for owner, request, error in again)
            self._requeue()
            # What is due in a minute is due when nothing else is.
            await self.clock.advance(max([1.0, *waits]))
        raise AssertionError(f"no rest after {_MAX_ROUNDS} rounds: {[str(one) for one in again]}, {later}")

    async def later(self) -> bool:
        """Nobody has anything to do: let time go on until somebody has. Returns False if nobody ever will."""
        queues = [owner for owner, _ in self.controllers.values()]
        waits = [seconds for owner in queues for seconds in owner.later.values()]
        waiting = bool(waits) or any(owner.failed for owner in queues)
        self._requeue()
        await self.clock.advance(max([1.0, *waits]))
        return waiting

    def _requeue(self) -> None:
        for owner, _ in self.controllers.values():
            for request in [*(request for request, _ in owner.failed), *owner.later]:
                owner.enqueue(request)
            owner.failed.clear()
            owner.later.clear()

    def _look(self, owner: PlainController, request: Hashable) -> None:
        # Off the queue at once: what is asked for from now on is another look.
        owner.pending.pop(request)
        self._tasks[owner.name, request] = asyncio.create_task(self._reconcile(owner, request))

    async def _reconcile(self, owner: PlainController, request: Hashable) -> None:
        BEGAN.set(self.wire.tick())
        await owner.run_one(request)

    def _connecting(self) -> Iterator[Move]:
        """What `MemberClusters` does: a connection for each Cluster, another one for another of the same name."""
        for name, server in self.members.items():
            found = self.clusters.get(ObjectKey("", name))
            wanted = found.metadata.uid if found is not None else None
            known = self._connected.get(name)
            if known is not None and known != wanted:
                yield f"leave {name}", partial(self.disconnect, name)
            elif known is None and wanted is not None:
                yield f"join {name}", partial(self._join, name, server, wanted)

    def _join(self, name: str, server: Server, uid: str) -> None:
        self._connected[name] = uid
        self.connections.join(name, cast(Any, Connection(server)))

    def disconnect(self, name: str) -> None:
        """The connection to a member is closed."""
        if self._connected.pop(name, None) is None:
            return
        cast(Connection, self.connections.factories[name].api).close()
        gone = list(self.connections.factories[name].informers.values())
        self.members[name]._informers[:] = [one for one in self.members[name].informers if one not in gone]
        self.connections.leave(name)

    def _new_id(self) -> str:
        return f"id-{next(self._ids)}"

    # --- the world at a point of time ---------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """Of all servers."""
        return [server.snapshot() for server in self.servers], next(self._ids)

    def restore(self, snapshot: Any) -> None:
        """Let all servers have what they had. To be called before `start`."""
        contents, first = snapshot
        for server, content in zip(self.servers, contents, strict=True):
            server.restore(content)
        self._ids = count(first)

    def state(self) -> frozenset[Any]:
        """All objects, but for versions, ids and times: fleets that have the same go the same way after a restart."""
        return frozenset(
            (server.name, key, _digest(obj)) for server in self.servers for key, obj in server._objects.items()
        )

    async def after(self, arriving: Collection[Parked]) -> Any:
        """What the servers would have if these requests arrived; none of it happens."""
        before = self.snapshot()
        informers = [server.informers for server in self.servers]
        for server in self.servers:
            server._informers = []
        for one in arriving:
            assert one.do is not None
            with contextlib.suppress(KubeError):
                await one.do()
        found = self.snapshot(), self.state()
        for server, listening, content in zip(self.servers, informers, before[0], strict=True):
            server.restore(content)
            server._informers = cast(Any, listening)
        return found

    def register(self, name: str) -> None:
        """Somebody registers a Cluster."""
        self.host.seed(fresh(cluster(name, apis=_APIS)))


def _pick(rng: random.Random, moves: list[Move]) -> Move | None:
    return rng.choice(moves) if moves else None


_APIS = {wk.SLICE_API_VERSION: [wk.SLICE_KIND], "v1": ["Service", "Namespace"]}


def fresh(content: Json) -> Json:
    """The same, to be given uid and version by a server."""
    left = {key: value for key, value in content["metadata"].items() if key not in ("uid", "resourceVersion")}
    return content | {"metadata": left}


def marked(content: Json, *, finalizer: bool = False) -> Json:
    """The same, with a label, an annotation and perhaps a finalizer of somebody else."""
    meta = content["metadata"]
    marks: Json = {
        "labels": {**meta.get("labels", {}), THEIRS: "label"},
        "annotations": {**meta.get("annotations", {}), THEIRS: "annotation"},
    }
    if finalizer:
        marks["finalizers"] = [*meta.get("finalizers", ()), THEIRS]
    return content | {"metadata": meta | marks}


def namespace(name: str, **labels: str) -> Json:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


_MADE_UP = re.compile(r"\bid-\d+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
"""Ids and times of day: nobody acts on what they are."""
_digests: dict[int, tuple[Json, int]] = {}


def _digest(obj: Json) -> int:
    """Of an object without its versions. Objects are never changed in place, so each is looked at once."""
    if id(obj) not in _digests:
        meta = {key: one for key, one in obj["metadata"].items() if key not in ("resourceVersion", "generation", "uid")}
        _digests[id(obj)] = (obj, hash(_MADE_UP.sub("", repr(obj | {"metadata": meta}))))
    return _digests[id(obj)][1]


class _Factory:
    """An `InformerFactory` of the control plane."""

    def __init__(self, host: Server) -> None:
        self._host = host
        self._informers: dict[Any, LateInformer] = {}

    def informer(
        self,
        resource: Any,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Any = None,
    ) -> LateInformer:
        key = (resource, namespace, label_selector, field_selector)
        if key not in self._informers:
            self._informers[key] = self._host.informer(
                resource, None, label_selector=label_selector, field_selector=field_selector
            )
        self._informers[key].add_indexers(indexers or {})
        return self._informers[key]

    async def stop(self, informer: LateInformer) -> None:
        """See `InformerFactory`."""
        self._informers = {key: one for key, one in self._informers.items() if one is not informer}
        self._host._informers.remove(informer)


class _Wiring(wiring.Wiring):
    """Production's, with other queues and connections."""

    def __init__(self, fleet: Fleet) -> None:
        self.runnables: list[Any] = []
        self._fleet = fleet
        manager = types.SimpleNamespace(
            add_informers=lambda _: None,
            add_runnable=lambda runnable, **_: self.runnables.append(runnable),
            set_apart=lambda *_: None,
        )
        super().__init__(
            _options(),
            cast(Any, manager),
            cast(Any, fleet.host),
            clock=fleet.clock,
            rng=cast(Any, fleet.rng),
            user_agent="model",
            recorder=cast(Any, fleet.recorder),
            metrics=_metrics(),
        )
        self.informers = cast(Any, _Factory(fleet.host))
        fleet.clusters = self.clusters.store

    @cached_property
    def members(self) -> Any:
        return self._fleet.connections

    def controller(self, name: str, reconciler: Any, workers: int) -> Any:
        made = PlainController(name, reconciler)
        self._fleet.controllers[name] = (made, workers)
        return made


@cache
def _metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@cache
def _options() -> Options:
    values = command("model", "0", "").main(args=list(_FLAGS), prog_name="model", standalone_mode=False)
    return Options.of(values)
