"""What only a real API server can tell: that it takes our Leases and Events."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from informers import ApiClient, load_kubeconfig
from mcs_controller.runtime import connect
from mcs_controller.runtime.events import EventBroadcaster, ObjectReference
from mcs_controller.runtime.leader_election import LeaderElectionConfig, LeaderElector
from testbed.api import wait_for
from workqueue import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from testbed import Bed
    from testbed.api import Object

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEASES = "coordination.k8s.io/v1/leases"


@pytest_asyncio.fixture(loop_scope="session")
async def client(bed: Bed) -> AsyncIterator[ApiClient]:
    clock = RealClock()
    config = await load_kubeconfig(str(bed.host.access.kubeconfig), clock=clock)
    async with ApiClient(config, clock=clock, user_agent="runtime-tests") as connected:
        yield connected


async def test_lease_is_created_renewed_released_and_taken_over(bed: Bed, namespace: str, client: ApiClient):
    def candidate(identity: str) -> LeaderElector:
        config = LeaderElectionConfig(
            namespace=namespace, name="l", identity=identity, lease_duration=60, renew_deadline=40, retry_period=0.2
        )
        return LeaderElector(client, config, clock=RealClock(), rng=random.Random(0))

    async def lease() -> Object:
        return await bed.host.api.get(LEASES, "l", namespace=namespace)

    first, second = candidate("first"), candidate("second")
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        await first.acquire()
        created = (await lease())["spec"]
        assert created["holderIdentity"] == "first"
        assert created["acquireTime"] == created["renewTime"]
        renewing = group.create_task(first.renew())
        waiting = group.create_task(second.acquire())

        async def renewed() -> bool | None:
            return (await lease())["spec"]["renewTime"] > created["renewTime"] or None

        await wait_for("the lease to be renewed", renewed)
        assert (await lease())["spec"]["acquireTime"] == created["acquireTime"]
        assert not waiting.done()
        renewing.cancel()
        await first.release()
        await waiting
        taken = (await lease())["spec"]
        assert (taken["holderIdentity"], taken["leaseTransitions"], taken["leaseDurationSeconds"]) == ("second", 1, 60)


@pytest.mark.parametrize("cluster_scoped", [False, True], ids=["namespaced", "cluster-scoped"])
async def test_event_is_accepted_and_counted(bed: Bed, namespace: str, client: ApiClient, cluster_scoped: bool):
    ref = (
        ObjectReference("v1", "Namespace", namespace)
        if cluster_scoped
        else ObjectReference("v1", "ConfigMap", "a" * 253, namespace, "uid-1")
    )
    home = "default" if cluster_scoped else namespace

    def counted(count: int) -> Callable[[], Awaitable[Object | None]]:
        async def probe() -> Object | None:
            found = await bed.host.api.list("v1/events", namespace=home)
            about = [event for event in found if event["involvedObject"]["name"] == ref.name]
            assert len(about) <= 1
            return about[0] if about and about[0]["count"] == count else None

        return probe

    broadcaster = EventBroadcaster(client, clock=RealClock())
    recorder = broadcaster.for_component("the-controller")
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        writing = group.create_task(broadcaster.run())
        recorder.event(ref, "Warning", "SyncServiceFailed", "ä" * 1000)
        await wait_for("the event", counted(1))
        recorder.event(ref, "Warning", "SyncServiceFailed", "ä" * 1000)
        event = await wait_for("the event to be counted", counted(2))
        assert event["source"] == {"component": "the-controller"}
        assert event["reportingComponent"] == "the-controller"
        assert event["message"] == "ä" * 512
        writing.cancel()


async def test_limit_of_a_program_holds_up_neither_its_lease_nor_its_events(bed: Bed, namespace: str):
    """A bucket that is filled again only after the test: what needs it waits, however long the rest takes."""
    kubeconfig = str(bed.host.access.kubeconfig)
    async with (
        connect("limited", lease_namespace=namespace, kubeconfig=kubeconfig, qps=0.0001, burst=2) as program,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(2):
            assert (await program.client.raw("GET", "/version")).status == 200
        third = group.create_task(program.client.raw("GET", "/version"))
        group.create_task(program.run())
        program.recorder.event(ObjectReference("v1", "ConfigMap", "c", namespace), "Normal", "Told", "words")

        async def leads() -> Object | None:
            return await bed.host.api.find(LEASES, "limited", namespace=namespace)

        async def told() -> bool | None:
            events = await bed.host.api.list("v1/events", namespace=namespace)
            return any(event["source"] == {"component": "limited"} for event in events) or None

        await wait_for("the lease", leads)
        await wait_for("the event", told)
        assert not third.done()
        third.cancel()
        program.manager.stop()
