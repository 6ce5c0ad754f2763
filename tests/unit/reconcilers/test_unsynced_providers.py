"""A provider whose slices cannot be listed is named by the services that count on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from informers.errors import Forbidden
from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import SLICE_INDEXES
from tests.support.builders import condition, mcs, service, slice_
from tests.support.clock import settle
from tests.support.mcs_world import World

APPLIED = "Service is propagated to target clusters."
REFUSED = "m1: its endpointslices cannot be listed: 403 Forbidden: you may not"


@asynccontextmanager
async def refusing() -> AsyncIterator[tuple[World, Any]]:
    """A world at rest whose m1 is about to refuse the list of its slices, and their informer."""
    world = World("m1", "m2")
    member: Any = world.connections.get("m1")
    informer = member.informers.informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
    informer.synced.clear()
    world.host.seed(service(), mcs(providers=["m1"], consumers=["m2"]))
    watching = asyncio.create_task(world.watches.run())
    try:
        await world.settle()
        await settle()
        yield world, informer
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def applied(world: World) -> tuple[str, str] | None:
    return world.condition(wk.SERVICE_APPLIED)


async def refuse(world: World, informer: Any) -> None:
    informer.fail(Forbidden(403, "Forbidden", "you may not"))
    await world.settle()


async def test_opening_09_a_provider_whose_slices_cannot_be_listed_is_named_with_the_reason():
    async with refusing() as (world, informer):
        assert applied(world) == ("True", f"{APPLIED}")
        await refuse(world, informer)
        assert applied(world) == ("True", f"{APPLIED} Skipped: {REFUSED}.")
        assert [event[5] for event in world.recorder.events].count(REFUSED) == 1

        world.forget_calls()
        await refuse(world, informer)
        assert world.writes == []
        assert not world.recorder.events

        world.members["m1"].seed(slice_())
        informer.synced.set()
        await settle()
        await world.settle()
        assert applied(world) == ("True", APPLIED)
        assert world.slices_in("m2") != {}


async def test_a_provider_that_is_left_out_for_another_reason_is_named_once():
    async with refusing() as (world, informer):
        await refuse(world, informer)
        not_ready = {"status": {"conditions": [condition("Ready", "False")]}}
        world.host.edit("Cluster", "", "m1", not_ready)
        await world.settle()
        _, message = applied(world) or ("", "")
        assert message.startswith(f"{APPLIED} Skipped: m1: the cluster is not ready")
        assert message.count("m1") == 1


async def test_a_connection_that_ends_takes_its_problem_with_it():
    async with refusing() as (world, informer):
        await refuse(world, informer)
        world.connections.leave("m1")
        await settle()
        await world.settle()
        assert applied(world) == ("True", f"{APPLIED}")
