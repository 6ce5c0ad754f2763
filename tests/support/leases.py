"""A server that holds one Lease, and connections to it that can be slow, broken or hang."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from informers.errors import AlreadyExists, Conflict, NotFound
from mcs_controller.runtime.leader_election import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from informers.errors import KubeError
    from informers.resource import Resource
    from mcs_controller.runtime.leader_election import Lease
    from tests.support.clock import FakeClock


@dataclass
class LeaseServer:
    """What an API server does with one Lease, resourceVersions included."""

    clock: FakeClock
    lease: dict[str, Any] | None = None
    namespace_exists: bool = True
    writes: int = 0

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    @property
    def holder(self) -> str:
        return self.lease["spec"].get("holderIdentity", "") if self.lease else ""

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the lease as somebody with kubectl would."""
        assert self.lease is not None
        change(self.lease)
        self._bump()

    def get(self) -> dict[str, Any]:
        if self.lease is None:
            raise NotFound(404, "NotFound", 'leases "the-lease" not found')
        return self.lease

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not self.namespace_exists:
            raise NotFound(404, "NotFound", 'namespaces "karmada-system" not found')
        if self.lease is not None:
            raise AlreadyExists(409, "AlreadyExists", "it exists")
        self.lease = copy.deepcopy(dict(body))
        self._bump()
        return self.lease

    def update(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["metadata"]["resourceVersion"] != self.get()["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        self.lease = copy.deepcopy(dict(body))
        self._bump()
        return self.lease

    def _bump(self) -> None:
        assert self.lease is not None
        self.writes += 1
        self.lease["metadata"]["resourceVersion"] = str(100 + self.writes)


@dataclass
class LeaseConnection:
    """One process's `LeaseClient`, with the faults of its own network.

    Attributes:
        delay_before: seconds until the server sees a request.
        delay_after: seconds until its answer is back.
        hangs: requests get no answer, and do not reach the server either.
        error: raised instead of asking the server.
        freezes: seconds for which the process stands still when the server has answered and nobody has looked yet, for
            each of the next writes.
    """

    server: LeaseServer
    delay_before: float = 0.0
    delay_after: float = 0.0
    hangs: bool = False
    error: KubeError | None = None
    freezes: list[float] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def get(self, resource: Resource[Lease], name: str, namespace: str = "") -> Lease:
        return await self._call("get", self.server.get)

    async def create(self, resource: Resource[Lease], body: Mapping[str, Any], namespace: str = "") -> Lease:
        assert (resource, namespace) == (LEASES, "karmada-system")
        return await self._call("create", lambda: self.server.create(body))

    async def update(self, resource: Resource[Lease], name: str, body: Mapping[str, Any], namespace: str = "") -> Lease:
        assert (resource, name, namespace) == (LEASES, "the-lease", "karmada-system")
        return await self._call("update", lambda: self.server.update(body))

    async def _call(self, verb: str, ask: Callable[[], dict[str, Any]]) -> Lease:
        self.calls.append(verb)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        # Decided now: a fault that is set later does not change a request under way.
        before, after = self.delay_before, self.delay_after
        if before:
            await self.server.clock.sleep(before)
        try:
            return LEASES.decode(msgspec.json.encode(ask()))
        finally:
            if after:
                await self.server.clock.sleep(after)
            if verb != "get" and self.freezes:
                self.server.clock.freeze(self.freezes.pop(0))
