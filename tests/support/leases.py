"""A server that holds one Lease, and connections to it that can be slow, broken or hang."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from informers.errors import KubeError
from informers.meta import ObjectKey
from informers.resource import Resource
from mcs_controller.runtime.leader_election import LEASES, Lease
from tests.support.clock import FakeClock
from tests.support.object_store import Json, ObjectStore

LEASE = ("leases", ObjectKey("karmada-system", "the-lease"))
NAMESPACE = ("namespaces", ObjectKey("", "karmada-system"))


class LeaseServer(ObjectStore):
    """An API server with the Lease's namespace, and perhaps the Lease."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(strict_namespaces=True)
        self.clock = clock
        self.make_namespace()

    def make_namespace(self) -> None:
        self.insert(NAMESPACE, {"kind": "Namespace", "metadata": {"name": NAMESPACE[1].name}})

    @property
    def lease(self) -> Json | None:
        return self.objects.get(LEASE)

    @property
    def spec(self) -> Json:
        spec: Json = self.get(LEASE)["spec"]
        return spec

    @property
    def holder(self) -> str:
        return self.spec.get("holderIdentity", "") if self.lease else ""

    def edit(self, **spec: Any) -> None:
        """Somebody with kubectl changes the spec; nothing given, the labels."""
        labels = {} if spec else {"version": str(self.version)}
        self.patch(LEASE, {"metadata": {"labels": labels}, "spec": spec})


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
        return await self._call("get", partial(self.server.get, LEASE))

    async def create(self, resource: Resource[Lease], body: Mapping[str, Any], namespace: str = "") -> Lease:
        assert (resource, namespace) == (LEASES, "karmada-system")
        return await self._call("create", lambda: self.server.create(LEASE, _copy(body)))

    async def update(self, resource: Resource[Lease], name: str, body: Mapping[str, Any], namespace: str = "") -> Lease:
        assert (resource, name, namespace) == (LEASES, "the-lease", "karmada-system")
        assert body["metadata"]["resourceVersion"], "the server would not notice that somebody else was faster"
        return await self._call("update", lambda: self.server.update(LEASE, _copy(body)))

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


def _copy(body: Mapping[str, Any]) -> Json:
    copied: Json = msgspec.json.decode(msgspec.json.encode(body))
    return copied
