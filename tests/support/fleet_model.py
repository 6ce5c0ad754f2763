"""The whole pipeline in memory: all controllers, wired as in production, over servers in memory.

    fleet = Fleet("m1", "m2", rng=random.Random(1))          # stand-alone; `kinds=BESIDE` for two processes, and so on
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
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from informers.errors import KubeError
from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.member_ownership import IDENTITY_NAMESPACE
from tests.support.builders import cluster
from tests.support.clock import FakeClock, settle
from tests.support.fleet_model_process import BESIDE, STANDALONE, Kind, Process
from tests.support.fleet_model_server import THEIRS, Parked, Server, Wire
from tests.support.memory import MemoryRecorder

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Iterator

    from tests.support.fake_context import PlainController
    from tests.support.object_store import Json

_MAX_STEPS = 30_000
_MAX_ROUNDS = 80
_STUCK_ROUNDS = 5

Move = tuple[str, "Callable[[], object]"]


class Fleet:
    """See the module."""

    def __init__(self, *names: str, rng: random.Random | None = None, kinds: tuple[Kind, ...] = STANDALONE) -> None:
        self.names = names
        self.kinds = kinds
        self.rng = rng
        self.wire = Wire()
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        self.host = Server("host", self.wire, lists_late=False)
        self.members = {name: Server(name, self.wire, lists_late=True) for name in names}
        for member in self.members.values():
            member.served = _SERVED
        for server in self.servers:
            for name in (IDENTITY_NAMESPACE, wk.SYSTEM_NAMESPACE):
                found = namespace(name)
                server.seed(found | {"metadata": found["metadata"] | {"uid": f"{name}-of-{server.name}"}})
        self.processes: list[Process] = []
        self.history: list[str] = []
        self._ids = count(1)

    @property
    def servers(self) -> list[Server]:
        """All API servers."""
        return [self.host, *self.members.values()]

    # --- the processes ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether there are processes."""
        return bool(self.processes)

    def start(self) -> None:
        """The processes begin, with empty memories."""
        self.processes = [Process(self, kind) for kind in self.kinds]

    async def stop(self, *, arriving: Collection[Parked] = ()) -> None:
        """All processes die. Of what is on its way to a server, `arriving` arrives there after all."""
        await self._kill(self.processes, arriving)
        self.processes = []

    async def crash(self, which: int | None = None, *, arriving: Collection[Parked] = ()) -> None:
        """One process dies, or all of them do, and others begin in their place."""
        dying = self.processes if which is None else [self.processes[which]]
        await self._kill(dying, arriving)
        self.processes = [
            Process(self, kind) if process in dying else process
            for kind, process in zip(self.kinds, self.processes, strict=True)
        ]

    async def _kill(self, dying: list[Process], arriving: Collection[Parked]) -> None:
        for one in list(arriving):
            one.go()
        await settle()
        tasks = [task for process in dying for task in process.kill()]
        await asyncio.gather(*tasks, return_exceptions=True)
        numbers = {process.number for process in dying}
        self.wire.parked[:] = [one for one in self.wire.parked if one.process not in numbers]

    def disconnect(self, name: str) -> None:
        """All connections to a member are closed."""
        for process in self.processes:
            process.disconnect(name)

    @property
    def _queues(self) -> list[PlainController]:
        return [owner for process in self.processes for owner in process.controllers.values()]

    # --- what can happen next -----------------------------------------------------------------------------------------

    def moves(self) -> Iterator[Move]:
        """All that may happen next, in the order in which it would if no message were fast."""
        for server in self.servers:
            if server.restless:
                yield f"tidy {server.name}", server.tidy
        yield from self._karmadas()
        for process in self.processes:
            yield from process.connecting()
        for server in self.servers:
            for informer in server.informers if not server.down else ():
                if informer.broken:
                    yield f"list {server.name} {informer.resource.plural}", informer.list_again
        for process in self.processes:
            yield from process.looking()
        for server in self.servers:
            for informer in server.informers if not server.down else ():
                if informer.late and not (informer.held or informer.broken):
                    yield f"event {server.name} {informer.resource.plural}", informer.step
        for message in self.wire.parked:
            yield str(message), message.go

    def _karmadas(self) -> Iterator[Move]:
        """What Karmada's execution controller does to slices when their Work goes, beside ours (`BESIDE`).

        It deletes what the Work carries wherever that has the label of managed objects, which native slices mirror from
        their Service. Ours, which stands for it in all else, looks at whose the object is.
        """
        for (plural, key), work in self.host.store.objects.items() if self.kinds == BESIDE else ():
            if plural != "works" or "deletionTimestamp" not in work["metadata"]:
                continue
            name = key.namespace.removeprefix("karmada-es-")
            cluster = self.host.store.objects.get(("clusters", ObjectKey("", name)))
            if cluster is None or "deletionTimestamp" in cluster["metadata"] or self.members[name].down:
                continue
            for manifest in work["spec"]["workload"]["manifests"]:
                meta = manifest["metadata"] if isinstance(manifest, dict) else {}
                where = (meta.get("namespace", ""), meta.get("name", ""))
                there = self.members[name].store.objects.get(("endpointslices", ObjectKey(*where)), {"metadata": {}})
                going = "deletionTimestamp" in there["metadata"]
                if there["metadata"].get("labels", {}).get(wk.MANAGED) == wk.TRUE and not going:
                    remove = partial(self.members[name].remove, wk.SLICE_KIND, *where)
                    yield f"Karmada deletes slice {where} of {name}", remove
                    return

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
            for process in self.processes:
                process.check()
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
            queues = self._queues
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
        queues = self._queues
        waits = [seconds for owner in queues for seconds in owner.later.values()]
        waiting = bool(waits) or any(owner.failed for owner in queues)
        self._requeue()
        await self.clock.advance(max([1.0, *waits]))
        return waiting

    def _requeue(self) -> None:
        for owner in self._queues:
            for request in [*(request for request, _ in owner.failed), *owner.later]:
                owner.enqueue(request)
            owner.failed.clear()
            owner.later.clear()

    def new_id(self) -> str:
        """A permanent id."""
        return f"id-{next(self._ids)}"

    # --- the world at a point of time ---------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """Of all servers, and what time it is."""
        return [server.snapshot() for server in self.servers], next(self._ids), self.clock.utcnow()

    def restore(self, snapshot: Any) -> None:
        """Let all servers have what they had, at that time. To be called before `start`."""
        contents, first, now = snapshot
        for server, content in zip(self.servers, contents, strict=True):
            server.restore(content)
        self._ids = count(first)
        self.clock = FakeClock(now)

    def state(self) -> frozenset[Any]:
        """All objects, but for versions, ids and times: fleets that have the same go the same way after a restart."""
        return frozenset(
            (server.name, key, _digest(obj)) for server in self.servers for key, obj in server.store.objects.items()
        )

    async def after(self, arriving: Collection[Parked]) -> Any:
        """What the servers would have if these requests arrived; none of it happens."""
        before = self.snapshot()
        informers = [server.informers for server in self.servers]
        for server in self.servers:
            server.informers = []
        for one in arriving:
            assert one.do is not None
            with contextlib.suppress(KubeError):
                await one.do()
        found = self.snapshot(), self.state()
        for server, listening, content in zip(self.servers, informers, before[0], strict=True):
            server.restore(content)
            server.informers = cast("Any", listening)
        return found

    def register(self, name: str) -> None:
        """Somebody registers a Cluster."""
        mode = "Pull" if name in {kind.agent_of for kind in self.kinds} else "Push"
        self.host.seed(fresh(cluster(name, apis=_APIS, mode=mode)))


def _pick(rng: random.Random, moves: list[Move]) -> Move | None:
    return rng.choice(moves) if moves else None


_SERVED = {
    f"/apis/{wk.MULTICLUSTER_API_VERSION}": [
        {"name": "serviceexports", "kind": wk.SERVICE_EXPORT_KIND, "namespaced": True}
    ]
}
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
