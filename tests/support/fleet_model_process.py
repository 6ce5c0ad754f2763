"""One process of a fleet: controllers wired as in production, with queues, clients and watches that a test moves on.

A fleet has one or several. Each has its own memory: caches, queues, connections to the members. Which they are, and
which controllers each of them has, is one of `STANDALONE`, `BESIDE` and `AGENT`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from unittest import mock

from informers.meta import ObjectKey
from mcs_controller import start
from mcs_controller.standalone import start as standalone
from tests.support.fake_context import FakeContext, PlainController
from tests.support.fleet_model_server import BEGAN, PROCESS, Connection, Server
from tests.support.members import MemoryMembers

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from tests.support.fleet_model import Fleet, Move


class Kind(NamedTuple):
    """What a process is.

    Attributes:
        flags: its command line.
        agent_of: the Pull cluster that it is the agent of, if it is one.
    """

    flags: tuple[str, ...]
    agent_of: str = ""


_GATE = "--feature-gates=MultiClusterService=true"
# How members fare is for the test to say; and kinds that policies select are a world of their own.
_EVERYTHING = "--controllers=-clusterStatus,-policy,*,standalone"
STANDALONE = (Kind((_GATE, _EVERYTHING)),)
"""One process that does everything."""

BESIDE = (Kind((_GATE, "--controllers=*")), Kind(("--controllers=-clusterStatus,-policy,standalone",)))
"""Ours, and Karmada's neighbours of ours in a process of their own."""

AGENT = (
    Kind((_GATE, _EVERYTHING, "--cluster-name=a", f"--karmada-kubeconfig={__file__}"), "a"),  # nobody reads that
    Kind((_GATE, _EVERYTHING)),
)
"""The agent of cluster a, and one process that does everything else."""


class Process:
    """A process that runs.

    Attributes:
        number: which one it is, of all that ever ran.
        controllers: by name.
    """

    def __init__(self, fleet: Fleet, kind: Kind) -> None:
        fleet.wire.processes += 1
        self.number = fleet.wire.processes
        self.fleet = fleet
        self.connections = MemoryMembers()
        self.host = Connection(fleet.host)
        self._connected: dict[str, str] = {}
        self._tasks: dict[tuple[str, Hashable], asyncio.Task[None]] = {}
        # Requests that are sent from now on, and by the tasks that begin here, are this process's.
        PROCESS.set(self.number)
        with (
            mock.patch.object(start, "new_id", fleet.new_id),
            mock.patch.object(standalone, "new_id", fleet.new_id),
        ):
            self._context = FakeContext(
                self.host,
                self.connections,
                *kind.flags,
                clock=fleet.clock,
                rng=fleet.rng,
                recorder=fleet.recorder,
            )
            self.controllers = self._context.controllers
            self.clusters = self._context.clusters.store
            self._context.local_execution = standalone.start_standalone(self._context)
            start.start_controllers(self._context)
        self._runnables = [asyncio.create_task(one.run()) for one in self._context.runnables]

    def kill(self) -> list[asyncio.Task[None]]:
        """It ends here, and hears of nothing any more. Returns the tasks that end with it."""
        tasks = [*self._tasks.values(), *self._runnables]
        for task in tasks:
            task.cancel()
        for one in (self.host, *self._members.values()):
            one.stop()
        return tasks

    def check(self) -> None:
        """Raise what ended one of the tasks that never end."""
        for runnable in self._runnables:
            if runnable.done():
                runnable.result()

    # --- what can happen next -----------------------------------------------------------------------------------------

    def connecting(self) -> Iterator[Move]:
        """What `MemberClusters` does: a connection for each Cluster, another one for another of the same name."""
        for name, server in self.fleet.members.items():
            found = self.clusters.get(ObjectKey("", name))
            mine = found is not None and self._context.sync_modes.owns(name, found)
            wanted = found.metadata.uid if found is not None and mine else None
            known = self._connected.get(name)
            if known is not None and known != wanted:
                yield f"leave {name}", partial(self.disconnect, name)
            elif known is None and wanted is not None:
                yield f"join {name}", partial(self._join, name, server, wanted)

    def looking(self) -> Iterator[Move]:
        """Requests for which a worker is free."""
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        for owner in self.controllers.values():
            if sum(name == owner.name for name, _ in self._tasks) < owner.workers:
                for request in owner.pending:
                    if (owner.name, request) not in self._tasks:
                        yield f"look {owner.name} {request}", partial(self._look, owner, request)

    def _look(self, owner: PlainController, request: Hashable) -> None:
        # Off the queue at once: what is asked for from now on is another look.
        owner.pending.pop(request)
        PROCESS.set(self.number)
        self._tasks[owner.name, request] = asyncio.create_task(self._reconcile(owner, request))

    async def _reconcile(self, owner: PlainController, request: Hashable) -> None:
        BEGAN.set(self.fleet.wire.tick())
        await owner.run_one(request)

    def _join(self, name: str, server: Server, uid: str) -> None:
        self._connected[name] = uid
        self.connections.join(name, cast("Any", Connection(server)))

    def disconnect(self, name: str) -> None:
        """The connection to a member is closed."""
        if name in self._connected:
            self._members[name].close()
            del self._connected[name]
            self.connections.leave(name)

    @property
    def _members(self) -> dict[str, Connection]:
        return {name: cast("Connection", self.connections.factories[name].api) for name in self._connected}
