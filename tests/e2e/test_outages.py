"""Outages of API servers and controllers: traffic continues, and changes arrive afterwards."""

from __future__ import annotations

import asyncio

import pytest

from testbed import ControllerProcess, NotYet, wait_for
from tests.e2e.world import PATIENCE_SECONDS, Scene, workload
from tests.support.conformance import KARMADA, KARMADA_FAILOVER, LEADER_ELECTION, behaviour
from tests.support.fleet import endpointslice, multiclusterservice, service
from tests.support.traffic import LEADS, samples

pytestmark = pytest.mark.asyncio(loop_scope="session")

BULK = 40
OUTAGE_SECONDS = 60.0


async def offered(scene: Scene, replicas: int) -> set[str]:
    await scene.offer()
    pods = await scene.run("member1", workload("web", replicas=replicas))
    await scene.answered_by("member2", scene.url(), pods)
    return pods


@behaviour(
    "While the provider's API server is down for a minute, its Pods still answer in the consumer;"
    " afterwards changes are delivered again",
    level="Required",
    clause=KARMADA_FAILOVER,
)
async def test_the_providers_api_server_is_down(scene):
    world, pods = scene.world, await offered(scene, 2)
    provider = world.bed.members["member1"]
    async with scene.loop() as loop:
        await provider.kill_apiserver()
        try:
            await world.cluster_is("member1", ready=False)
            await asyncio.sleep(OUTAGE_SECONDS)
            await loop.goes_on(500)  # with the control plane knowing
            await scene.answers("while it is down", pods)
        finally:
            await provider.start_apiserver()
            # Its own controllers look for the API server every 30 s only by now. They are not what is tested.
            await provider.restart_controller_manager()
        await world.cluster_is("member1", ready=True)
        more = await scene.scale("member1", 4)
        await scene.answers("back, and scaled to 4", more)
    scene.kept_up(loop)


@behaviour(
    "While the consumer's API server is down, its clients get answers; afterwards the missed changes are delivered",
    level="Required",
    clause=KARMADA_FAILOVER,
)
async def test_the_consumers_api_server_is_down(scene):
    world, _ = scene.world, await offered(scene, 2)
    consumer = world.bed.members["member2"]
    async with scene.loop() as loop:
        await consumer.kill_apiserver()
        try:
            await world.cluster_is("member2", ready=False)
            more = await scene.scale("member1", 3)
            await loop.goes_on(200)
        finally:
            await consumer.start_apiserver()
        await world.cluster_is("member2", ready=True)
        await scene.answers("back, after the provider was scaled from 2 to 3 meanwhile", more)
    scene.kept_up(loop)


async def write_slices(scene: Scene) -> None:
    """Changes for a while: slices of a second Service, one after the other."""
    for each in range(BULK):
        await scene.space.create_in("member1", endpointslice(f"bulk-{each}", "bulk", [f"192.0.2.{each + 1}"]))
        await asyncio.sleep(0.02)  # a person's pace does not matter, only that it is not all at once


async def arrived(scene: Scene) -> int:
    return len(await scene.space.dispatched("member2", "bulk"))


@pytest.fixture
def bulk():
    """A second Service, without a selector: only the test makes slices for it."""
    return service("bulk"), multiclusterservice("bulk", ["member1"], ["member2"])


async def some_have_arrived(scene: Scene) -> None:
    async def probe() -> bool:
        if (count := await arrived(scene)) < 3:
            raise NotYet(f"{count} slices")
        return True

    await wait_for("the first slices in the consumer", probe, PATIENCE_SECONDS)


@behaviour(
    "When the controller is killed during changes, no request fails; after a restart it completes the changes",
    level="Optional",
    clause=KARMADA,
)
async def test_the_controller_is_killed_in_the_middle_of_changes(scene, bulk):
    await offered(scene, 2)
    await scene.space.create(*bulk)
    controller = scene.world.controller
    async with scene.loop() as loop:
        async with asyncio.TaskGroup() as changes:
            changes.create_task(write_slices(scene))
            await some_have_arrived(scene)
            await controller.kill()
            seen = await arrived(scene)
        more = await scene.scale("member1", 4)
        await loop.goes_on(100)
        await controller.start()
        await scene.becomes("slices of the other Service in the consumer", BULK, lambda: arrived(scene))
        scene.measured(f"{seen} at the moment of the kill")
        await scene.answers("scaled from 2 to 4 meanwhile", more)
        await scene.succeeded()
    scene.kept_up(loop)


async def leads(process: ControllerProcess) -> bool | None:
    held = [value for _, _, value in await samples(process, LEADS)]
    return held == [1.0] or None


@behaviour(
    "When the leader of two replicas is killed during changes, the other one completes them, and no request fails",
    level="Optional",
    clause=LEADER_ELECTION,
)
async def test_the_leader_is_killed_in_the_middle_of_changes(scene, bulk, standby):
    await offered(scene, 2)
    await scene.space.create(*bulk)
    leader = scene.world.controller
    await wait_for("the leader to lead", lambda: leads(leader), PATIENCE_SECONDS)
    async with scene.loop() as loop:
        async with asyncio.TaskGroup() as changes:
            changes.create_task(write_slices(scene))
            await some_have_arrived(scene)
            await leader.kill()
            seen = await arrived(scene)
        more = await scene.scale("member1", 4)
        await wait_for("the standby to lead", lambda: leads(standby), PATIENCE_SECONDS)
        await scene.becomes("slices of the other Service in the consumer", BULK, lambda: arrived(scene))
        scene.measured(f"{seen} at the moment of the kill")
        await scene.answers("scaled from 2 to 4 meanwhile", more)
        await scene.succeeded()
    scene.kept_up(loop)
