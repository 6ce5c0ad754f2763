"""One cluster, the controllers of the control plane and its agent, in memory: each writes only for clusters it owns."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mcs_controller import start
from mcs_controller.api import resources
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from mcs_controller.members.sync_mode import SyncModeFilter, SyncModeLogger
from mcs_controller.reconcilers.agent_demand import LEFTOVERS_SECONDS
from mcs_controller.runtime.reconcile import ClusterRequest
from tests.support.builders import collected_work, mcs, mcs_work, service, slice_
from tests.support.clock import settle
from tests.support.fake_context import FakeContext
from tests.support.mcs_world import World
from tests.support.members import MemoryMembers

COLLECTED = work_name(wk.SLICE_KIND, "default", "web-1")
ADDRESS = {"endpoints": [{"addresses": ["10.0.0.9"]}]}


class Agent:
    """The agent of m1, as production wires it, with plain queues, over the API servers of a world.

    It shares no cache with the world's controllers: what it does not watch it cannot see.
    """

    def __init__(self, world: PullWorld, cluster: str = "m1", *flags: str) -> None:
        self.world = world
        self.cluster = cluster
        self.connections = MemoryMembers({cluster: world.members[cluster]})
        context = FakeContext(
            world.host,
            self.connections,
            "--controllers=endpointsliceCollect,serviceExport",
            "--feature-gates=MultiClusterService=true",
            f"--cluster-name={cluster}",
            f"--karmada-kubeconfig={__file__}",  # nobody reads it
            *flags,
            clock=world.clock,
            recorder=world.recorder,
        )
        self.controllers = context.controllers
        start.start_controllers(context)
        self.watched = {plural for plural, _ in cast("Any", context.informers).informers}
        if world.mode_of(cluster) == "Pull":
            self.connections.join(cluster)

    @property
    def later(self) -> dict[Any, float]:
        return {request: after for one in self.controllers.values() for request, after in one.later.items()}

    async def work(self) -> None:
        """Do everything that is to be done now."""
        for _ in range(1000):
            waiting = [(one, request) for one in self.controllers.values() for request in one.pending]
            if not waiting:
                return
            await waiting[0][0].run_one(waiting[0][1])
            assert not [failure for one in self.controllers.values() for failure in one.failed]
        raise AssertionError("the agent never comes to rest")

    def due(self) -> None:
        """What waits is due."""
        for one in self.controllers.values():
            for request in list(one.later):
                one.enqueue(request)
            one.later.clear()


class PullWorld(World):
    """A world in which m1 may be a Pull cluster."""

    def mode_of(self, name: str) -> str:
        return str(self.host.read("Cluster", "", name)["spec"]["syncMode"])

    async def switch(self, mode: str, agent: Agent) -> None:
        """Somebody changes the mode; both sides hear of it."""
        self.host.edit("Cluster", "", "m1", {"spec": {"syncMode": mode}})
        joining, leaving = (
            (agent.connections, self.connections) if mode == "Pull" else (self.connections, agent.connections)
        )
        leaving.leave("m1")
        joining.join("m1")
        await self.everybody(agent)

    async def everybody(self, agent: Agent) -> None:
        for _ in range(3):
            await agent.work()
            await self.settle()


@pytest.fixture
async def world() -> PullWorld:
    """m1 is a Pull cluster and provides web to m2. Its slice is not collected yet."""
    world = PullWorld("m1", "m2")
    world.connections.leave("m1")
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Pull"}})
    world.host.seed(service(), mcs(providers=["m1"], consumers=["m2"]))
    world.members["m1"].seed(slice_())
    await world.settle()
    world.forget_calls()
    return world


async def test_the_agent_collects_and_the_control_plane_dispatches(world):
    assert COLLECTED not in world.works_in("m1")
    agent = Agent(world)
    await agent.work()
    assert world.writes == [f"create works/karmada-es-m1/{COLLECTED}"]
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_the_agent_looks_at_works_and_clusters_only(world):
    assert Agent(world).watched == {"works", "clusters"}


async def test_a_change_costs_one_write_of_the_agent(world):
    agent = Agent(world)
    await world.everybody(agent)
    world.forget_calls()
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", ADDRESS)
    await agent.work()
    assert world.writes == [f"patch works/karmada-es-m1/{COLLECTED}"]
    await world.everybody(agent)
    assert world.writes == [f"patch works/karmada-es-m1/{COLLECTED}", f"patch works/karmada-es-m2/{COLLECTED}"]


async def test_a_new_agent_writes_nothing_in_a_steady_world(world):
    await world.everybody(Agent(world))
    world.forget_calls()
    await world.everybody(Agent(world))
    assert world.writes == []


async def test_the_control_plane_leaves_what_an_agent_collected_even_if_it_looks_wrong_to_it(world):
    """Not wanted by any service, and its slice is unknown: what a Push cluster's would be withdrawn for."""
    stray = slice_("stray", service="nobody")
    world.host.seed(collected_work("m1", stray))
    world.start()
    world.host.edit(
        "Work", "karmada-es-m1", work_name(wk.SLICE_KIND, "default", "stray"), {"metadata": {"labels": {"a": "b"}}}
    )
    await world.settle()
    assert world.writes == []
    # ... and its agent does withdraw it.
    agent = Agent(world)
    await agent.work()
    assert f"delete works/karmada-es-m1/{work_name(wk.SLICE_KIND, 'default', 'stray')}" in world.writes


async def test_the_agent_leaves_a_push_cluster_alone(world):
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Push"}})
    world.host.seed(collected_work("m1", slice_("stray", service="nobody")))
    agent = Agent(world)
    agent.controllers[wk.SLICE_COLLECT_CONTROLLER].enqueue(ClusterRequest("m1", "default", "stray"))
    await agent.work()
    assert world.writes == []


async def test_the_agent_leaves_what_a_vanished_cluster_leaves_behind(world):
    agent = Agent(world)
    await world.everybody(agent)
    world.host.edit("Cluster", "", "m1", {"metadata": {"finalizers": []}})
    world.host.remove("Cluster", "", "m1")
    world.forget_calls()
    world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    await agent.work()
    assert world.writes == []


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_hand_over_writes_nothing_and_each_change_has_one_writer(world, rounds):
    agent = Agent(world)
    await world.everybody(agent)
    for number in range(rounds):
        for mode in ("Push", "Pull"):
            world.forget_calls()
            await world.switch(mode, agent)
            assert world.writes == []
            assert "m1-web-1" in world.slices_in("m2")
            address = f"10.0.{number}.{len(mode)}{'1' if mode == 'Push' else '2'}"
            world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"endpoints": [{"addresses": [address]}]})
            await (world.settle() if mode == "Pull" else agent.work())
            assert world.writes == [], "it is not theirs"
            await world.everybody(agent)
            assert world.slices_in("m2") == {"m1-web-1": [address]}
            assert len(world.writes) == 2


async def test_the_end_of_a_service_is_the_control_planes_to_clear_away(world):
    agent = Agent(world)
    await world.everybody(agent)
    world.host.remove(wk.MCS_KIND, "default", "web")
    world.forget_calls()
    await world.settle()
    assert COLLECTED not in world.works_in("m1")
    written = world.writes
    await agent.work()
    assert world.writes == written
    assert world.slices_in("m2") == {}


async def test_what_the_agent_collected_behind_the_back_of_that_it_withdraws_a_little_later(world):
    agent = Agent(world)
    await world.everybody(agent)
    request = mcs_work("m1")["metadata"]
    world.host.remove("Work", request["namespace"], request["name"])
    world.forget_calls()
    await agent.work()
    assert world.writes == []
    assert agent.later == {ClusterRequest("m1", "default", "web-1"): LEFTOVERS_SECONDS}
    agent.due()
    await agent.work()
    assert world.writes == [f"{verb} works/karmada-es-m1/{COLLECTED}" for verb in ("patch", "delete")]


async def test_an_end_that_was_cleared_away_in_time_costs_the_agent_nothing(world):
    agent = Agent(world)
    await world.everybody(agent)
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    world.forget_calls()
    agent.due()
    await agent.work()
    assert world.writes == []


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("Pull", ["The Cluster is served by this agent"]),
        ("Push", ["The Cluster is served by the control plane's controllers; waiting"]),
        (None, ["The control plane has no such Cluster; waiting until it is registered there"]),
    ],
)
async def test_the_agent_says_whether_it_has_anything_to_do(world, caplog, mode, said):
    caplog.set_level("INFO", "mcs_controller.members.sync_mode")
    if mode is None:
        world.host.remove("Cluster", "", "m1")
    else:
        world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": mode}})
    informer = world.host.informer(resources.CLUSTERS)
    task = asyncio.create_task(SyncModeLogger(cast("Any", informer), SyncModeFilter("m1")).run())
    await settle()
    if mode is not None:
        world.host.edit("Cluster", "", "m1", {"metadata": {"labels": {"beat": "1"}}})
        await settle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert informer.handlers == []
    assert [record.message for record in caplog.records if record.name == "mcs_controller.members.sync_mode"] == said


async def test_an_agent_keeps_to_its_members_limit_and_tells_its_log_alone(world, caplog: pytest.LogCaptureFixture):
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    agent = Agent(world, "m1", "--member-max-works=1")
    await world.everybody(agent)
    assert len(world.slices_in("m2")) == 1
    assert "No further Works are made for slices of a member" in caplog.messages
    assert [event for event in world.recorder.events if event[5].startswith("No further")] == []
    [there] = world.slices_in("m2")
    world.members["m1"].remove(wk.SLICE_KIND, "default", there.removeprefix("m1-"))
    await world.everybody(agent)
    assert len(world.slices_in("m2")) == 1
    assert there not in world.slices_in("m2")


async def test_beside_an_agent_that_keeps_to_nothing_the_control_plane_makes_no_further_copies():
    """Collected Works of a Pull cluster count as well, whoever has made them."""
    world = PullWorld("m1", "m2", flags={"member_max_works": 2})
    world.connections.leave("m1")
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Pull"}})
    world.host.seed(service(), mcs(providers=["m1"], consumers=["m2"]))
    for number in (1, 2, 3):
        world.host.seed(collected_work("m1", slice_(f"web-{number}")))
    await world.settle()
    assert world.slices_in("m2") == {}
    assert "no further ones are made" in (world.condition(wk.SLICE_DISPATCHED) or ("", ""))[1]
    assert [event[5] for event in world.recorder.events if event[1] == wk.CLUSTER_KIND] == [
        "No further Works are made for its slices: it has the 2 Works that one member may have (--member-max-works)"
    ]
