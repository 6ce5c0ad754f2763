"""Each change of endpoints counts once for each consumer, from when it happened to the answer to the last write."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from informers.errors import Conflict, ServerError
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from tests.support.builders import cluster, endpoint, mcs, service, slice_
from tests.support.clock import settle
from tests.support.execution import KEY
from tests.support.execution import World as Execution
from tests.support.mcs_world import World
from tests.unit.reconcilers.test_early_writes import NEW, changed_work

NAME = work_name(wk.SLICE_KIND, "default", "web-1")


def ago(world: World, seconds: float) -> str:
    return (world.clock.utcnow() - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def change(world: World, address: str, trigger_time: str | None, name: str = "web-1") -> None:
    """The provider's endpoints change, as its EndpointSlice controller writes it."""
    annotations = {"metadata": {"annotations": {wk.TRIGGER_TIME: trigger_time}}}
    world.members["m1"].edit(wk.SLICE_KIND, "default", name, annotations | {"endpoints": [endpoint(address)]})


def counted(world: World, consumer: str, provider: str = "m1") -> tuple[float, float]:
    """How many changes, and their seconds together."""
    labels = {"provider_cluster": provider, "consumer_cluster": consumer}
    values = [world.metrics.get_sample_value(f"mcs_propagation_seconds_{kind}", labels) for kind in ("count", "sum")]
    return values[0] or 0, values[1] or 0


def pairs(world: World) -> set[tuple[str, str]]:
    """Those that are shown."""
    found = [one for family in world.metrics.collect() for one in family.samples]
    name = "mcs_propagation_seconds_count"
    return {(one.labels["provider_cluster"], one.labels["consumer_cluster"]) for one in found if one.name == name}


async def running(**fields: Any) -> World:
    """m1 provides a slice that changed an hour before the process began; m2 and m3 consume it."""
    world = World("m1", "m2", "m3", **fields)
    world.host.seed(service(), mcs(providers=["m1"]))
    world.members["m1"].seed(slice_(annotations={wk.TRIGGER_TIME: ago(world, 3600)}))
    await world.settle()
    await world.clock.advance(100)
    assert counted(world, "m2") == (0, 0), "a new copy"
    return world


async def test_a_change_counts_once_for_each_consumer():
    world = await running()
    change(world, "10.0.0.2", ago(world, 2.5))
    await world.settle()
    assert counted(world, "m2") == counted(world, "m3") == (1, 2.5)
    await world.clock.advance(60)
    for request in (*world.host.all("Work"), *world.host.all("MultiClusterService")):
        world.host.edit(request["kind"], request["metadata"]["namespace"], request["metadata"]["name"], {})
    await world.settle()
    assert counted(world, "m2") == (1, 2.5)
    change(world, "10.0.0.3", ago(world, 0.5))
    await world.settle()
    assert counted(world, "m2") == (2, 3.0)


async def test_a_pair_is_shown_before_its_first_change_also_after_a_restart():
    world = await running()
    for _ in range(2):
        labels = {"provider_cluster": "m1", "consumer_cluster": "m2"}
        assert world.metrics.get_sample_value("mcs_propagation_seconds_count", labels) == 0
        world.start()
        await world.settle()


async def test_a_write_for_another_reason_is_no_change_of_endpoints():
    world = await running()
    change(world, "10.0.0.2", ago(world, 1))
    await world.settle()
    await world.clock.advance(60)
    world.host.edit("MultiClusterService", "default", "web", {"spec": {"ports": [{"port": 80}]}})
    await world.settle()
    world.host.edit("Work", execution_namespace("m2"), NAME, {"spec": {"workload": {"manifests": []}}})
    await world.settle()
    change(world, "10.0.0.3", None)
    await world.settle()
    assert counted(world, "m2") == (1, 1)


async def test_what_changed_before_the_process_began_does_not_count():
    world = await running()
    change(world, "10.0.0.2", ago(world, 1))
    await world.settle()
    world.stop()
    change(world, "10.0.0.3", ago(world, 0.5))
    await world.clock.advance(3600)
    world.start()
    await world.settle()
    assert counted(world, "m2") == (0, 0)
    change(world, "10.0.0.4", ago(world, -0.1))
    await world.settle()
    assert counted(world, "m2") == (1, 0), "a clock that is ahead"


async def test_a_consumer_that_is_named_later_has_a_new_copy_and_no_change():
    world = await running()
    world.host.edit("MultiClusterService", "default", "web", {"spec": {"consumerClusters": [{"name": "m2"}]}})
    await world.settle()
    change(world, "10.0.0.2", ago(world, 1))
    await world.settle()
    await world.clock.advance(600)
    world.host.edit("MultiClusterService", "default", "web", {"spec": {"consumerClusters": None}})
    await world.settle()
    assert world.slices_in("m3") == {"m1-web-1": ["10.0.0.2"]}
    assert counted(world, "m3") == (0, 0)


@pytest.mark.parametrize("failing", ["m1", "m2"])
@pytest.mark.parametrize("error", [Conflict(409, "Conflict", "x"), ServerError(500, "x", "x")], ids=lambda e: type(e))
async def test_a_write_that_fails_counts_when_it_succeeds_and_the_others_do_not_again(failing: str, error: Exception):
    world = await running()
    world.host.fail(error, "patch", "Work", NAME, namespace=execution_namespace(failing), times=4)
    change(world, "10.0.0.2", ago(world, 1))
    await world.settle()
    times, seconds = counted(world, "m2")
    assert times == 1
    assert (seconds > 1) == (failing == "m2"), "a round of tries takes a second"
    assert counted(world, "m3") == (1, 1)


async def test_pairs_beyond_the_limit_count_together():
    world = await running(flags={"metrics_service_pairs": 1})
    change(world, "10.0.0.2", ago(world, 1))
    await world.settle()
    found = [counted(world, consumer, provider) for consumer, provider in (("m2", "m1"), ("m3", "m1"), ("", ""))]
    assert sorted(found) == [(0, 0), (1, 1), (1, 1)]
    assert counted(world, "", "") == (1, 1)


@pytest.mark.parametrize("gone", ["m1", "m2"])
async def test_a_cluster_that_is_gone_makes_room_for_others(gone: str):
    world = await running(flags={"metrics_service_pairs": 2})
    assert pairs(world) == {("m1", "m2"), ("m1", "m3")}
    world.host.edit("Cluster", "", gone, {"metadata": {"finalizers": ["until/its-works-are-gone"]}})
    world.host.remove("Cluster", "", gone)
    await world.settle()
    world.connections.leave(gone)
    world.host.edit("Cluster", "", gone, {"metadata": {"finalizers": None}})
    await world.settle()
    assert pairs(world) == {("m1", "m3")} - {(gone, "m3")}
    world.host.seed(cluster("m4"))
    await world.settle()
    assert pairs(world) == ({("m1", "m3"), ("m1", "m4")} if gone == "m2" else set())


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
)
async def test_a_trigger_time_that_makes_no_sense_does_no_harm(text: str):
    world = await running()
    change(world, "10.0.0.2", text)
    await world.settle()
    assert counted(world, "m2")[1] == 0
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.2"]}


# --- in the member ----------------------------------------------------------------------------------------------------


class Arrival:
    """Whom the execution controller tells."""

    times = 0

    def __call__(self) -> None:
        self.times += 1


async def test_a_change_has_arrived_when_the_member_has_answered():
    world, arrived = Execution(), Arrival()
    await world.apply(slice_())
    gate = asyncio.Event()
    world.member.travel = gate.wait
    async with world.executing():
        with world.reconciler.start_writes(changed_work(world, **NEW), arrived):
            await settle()
        assert arrived.times == 0
        gate.set()
        await settle()
        assert arrived.times == 1
    await world.reconcile()
    assert arrived.times == 1


async def test_a_change_that_could_not_go_ahead_has_arrived_when_its_work_is_applied():
    world, arrived = Execution(), Arrival()
    await world.apply(slice_())
    world.member.fail(ServerError(500, "x", "x"), "patch", times=2)
    async with world.executing():
        with world.reconciler.start_writes(changed_work(world, **NEW), arrived):
            world.carry(slice_(addresses=["10.9.9.9"]))
            await settle()
        await settle()
    await world.reconcile()
    assert arrived.times == 0
    await world.reconcile()
    assert arrived.times == 1


async def test_a_change_whose_work_is_not_written_is_told_by_the_next_try():
    world, arrived = Execution(), Arrival()
    await world.apply(slice_())
    world.ready("False")
    with pytest.raises(ServerError), world.reconciler.start_writes(changed_work(world, **NEW), arrived):
        raise ServerError(500, "x", "x")
    world.ready("True")
    world.member.travel = asyncio.Event().wait
    async with world.executing():
        with pytest.raises(ServerError), world.reconciler.start_writes(changed_work(world, **NEW), arrived):
            raise ServerError(500, "x", "x")
    world.member.travel = settle
    await world.reconcile()
    assert arrived.times == 0


async def test_of_a_member_that_its_agent_writes_to_the_work_is_what_counts():
    world, arrived = Execution(), Arrival()
    await world.apply(slice_())
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Pull"}})
    with world.reconciler.start_writes(changed_work(world, **NEW), arrived):
        assert arrived.times == 0
    assert arrived.times == 1


async def test_nobody_waits_for_a_work_that_is_gone():
    world, arrived = Execution(), Arrival()
    await world.apply(slice_())
    with world.reconciler.start_writes(changed_work(world, **NEW), arrived):
        pass
    assert world.reconciler._arrivals
    world.host.remove("Work", *KEY)
    await world.reconcile()
    assert not world.reconciler._arrivals
    assert arrived.times == 0
