"""A whole stand-alone control plane on a fake clock: one tenant's thousand services beside another's new one.

And somebody who is at odds with the controllers in a member. Controllers, queues and flows are those of production;
every write passes a bucket with the default limit of requests.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcs_controller import start
from mcs_controller.context import ControllerContext
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone import start as standalone
from mcs_controller.standalone.domain.contention import REPAIRS
from tests.support.builders import cluster, mcs, service, slice_
from tests.support.clock import FakeClock, settle
from tests.support.fake_context import FakeContext
from tests.support.members import MemoryMembers
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json
from workqueue import TokenBucket

FLAGS = ("--controllers=-clusterStatus,-policy,*,standalone", "--feature-gates=MultiClusterService=true")


class Limited(MemoryApi):
    """A server whose client waits for a token before each write."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.bucket = TokenBucket(40, 60, clock=clock)

    @asynccontextmanager
    async def _on_the_way(self) -> AsyncIterator[None]:
        await self.bucket.wait()
        yield


class Context(FakeContext):
    """With the controllers of production."""

    controller = ControllerContext.controller


class World:
    """A control plane with members m1, which provides, and m2."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.host, self.m1, self.m2 = (Limited(self.clock) for _ in range(3))
        apis: dict[str, MemoryApi] = {"m1": self.m1, "m2": self.m2}
        members = MemoryMembers(apis)
        controllers: list[Any] = []
        context = Context(self.host, members, *FLAGS, clock=self.clock, rng=random.Random(1), recorder=MemoryRecorder())
        manager: Any = context.manager
        manager.add_controller = controllers.append
        for api in (self.host, self.m1, self.m2):
            for name in ("kube-system", "karmada-system", "crowd", "quiet"):
                api.seed(_namespace(name))
        for name in apis:
            self.host.seed(cluster(name))
        context.local_execution = standalone.start_standalone(context)
        start.start_controllers(context)
        for name in apis:
            members.join(name)
        self._tasks = [asyncio.create_task(one.run()) for one in (*context.runnables, *controllers)]

    def add(self, namespace: str, name: str) -> None:
        """A tenant makes a service that m1 provides and m2 consumes."""
        self.m1.seed(slice_(f"{name}-1", namespace, service=name))
        self.host.seed(service(name, namespace))
        made = mcs(name, namespace, providers=["m1"], consumers=["m2"], permanent_id="", adopted=False)
        self.host.seed(made)

    async def seconds_until_delivered(self, namespace: str, name: str) -> float:
        """Until its Service and its endpoints are in m2, by the fake clock."""
        for tenths in range(600):
            if self.m2.find("EndpointSlice", namespace, f"m1-{name}-1") and self.m2.find("Service", namespace, name):
                return tenths / 10
            await self.clock.advance(0.1)
        raise AssertionError(f"{namespace}/{name} is not delivered within a minute")

    def condition(self, namespace: str, name: str, kind: str) -> tuple[str, str]:
        """Status and message of a MultiClusterService's condition."""
        found = self.host.find("MultiClusterService", namespace, name) or {}
        one = next(one for one in found["status"]["conditions"] if one["type"] == kind)
        return one["status"], one["message"]

    def check(self) -> None:
        """Raise what ended something that never ends."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def test_a_thousand_new_services_of_one_tenant_delay_anothers_by_two_seconds_at_most() -> None:
    world = World()
    await world.clock.advance(60)
    for number in range(1000):
        world.add("crowd", f"s{number}")
    await world.clock.advance(5)
    world.add("quiet", "web")
    assert await world.seconds_until_delivered("quiet", "web") <= 2.0
    delivered = [one for one in world.m2.all("Service") if one["metadata"]["namespace"] == "crowd"]
    assert len(delivered) < 100  # or there was no crowd
    world.check()
    await settle()
    await world.stop()


async def test_service_says_who_keeps_changing_its_slice_back_in_a_member_until_that_stops() -> None:
    world = World()
    await world.clock.advance(60)
    world.add("quiet", "web")
    await world.seconds_until_delivered("quiet", "web")
    await world.clock.advance(10)
    assert world.condition("quiet", "web", wk.SLICE_DISPATCHED)[0] == "True"
    rival = {"manager": "fleet-agent", "time": "2026-01-01T00:00:00Z"}
    theirs = {"endpoints": [{"addresses": ["10.9.9.9"]}], "metadata": {"managedFields": [rival]}}
    for _ in range(100):
        world.m2.edit("EndpointSlice", "quiet", "m1-web-1", theirs)
        await world.clock.advance(0.1)
    writes = [call for call in world.m2.writes if call.name == "m1-web-1"]
    assert REPAIRS + 1 <= len(writes) <= REPAIRS + 3
    status, message = world.condition("quiet", "web", wk.SLICE_DISPATCHED)
    assert status == "False"
    assert "EndpointSlice quiet/m1-web-1: somebody else writes it: fleet-agent" in message
    await world.clock.advance(120)
    assert world.condition("quiet", "web", wk.SLICE_DISPATCHED)[0] == "True"
    assert len([call for call in world.m2.writes if call.name == "m1-web-1"]) == len(writes) + 1
    world.check()
    await world.stop()
