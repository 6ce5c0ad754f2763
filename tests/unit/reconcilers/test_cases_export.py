"""Cases of the ServiceExport path that the controllers' own tests leave open: what a queue holds, and Pull clusters."""

from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import ClusterRequest
from tests.support.builders import export_work, service_export, slice_
from tests.support.mcs_world import EXPORT_CONTROLLERS, World


async def followed() -> World:
    """A world in which m1's ServiceExports are followed, and nothing is exported yet."""
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    world.host.seed(export_work("m1"))
    await world.settle()
    world.forget_calls()
    return world


def pending(world: World) -> dict[str, list[object]]:
    """Queue to what it holds."""
    return {name: list(one.pending) for name, one in world.controllers.items() if one.pending}


async def test_case_53_each_queue_holds_keys_of_one_kind():
    """The peer's one queue takes any key, so it has to sort out foreign and unknown ones. Ours never hold any."""
    world = await followed()
    world.members["m1"].seed(slice_())
    assert pending(world) == {wk.SLICE_COLLECT_CONTROLLER: [ClusterRequest("m1", "default", "web-1")]}
    await world.settle()
    world.members["m1"].seed(service_export())
    assert pending(world) == {wk.EXPORTED_SLICES_CONTROLLER: [ClusterRequest("m1", "default", "web")]}
    await world.settle()
    world.members["m1"].seed(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": "x"}}
    )
    assert pending(world) == {}


async def test_case_58_the_exports_of_a_pull_cluster_are_left_to_its_agent():
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Pull"}})
    world.connections.leave("m1")
    world.members["m1"].seed(slice_(), service_export())
    world.host.seed(export_work("m1"))
    await world.settle()
    assert world.writes == []
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Push"}})
    world.connections.join("m1")
    await world.settle()
    assert len(world.host.all("EndpointSlice")) == 1
