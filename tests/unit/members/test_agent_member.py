"""The one member of an agent: joined while its Cluster is a Pull cluster, with the agent's own way to it."""

import random
from typing import cast

from informers.cache.informer import SharedInformer
from informers.client.client import ApiClient
from informers.client.config import ClientConfig, StaticToken
from mcs_controller.api.cluster import Cluster
from mcs_controller.members.registry import MemberClusters
from mcs_controller.members.sync_mode import SyncModeFilter
from tests.support.clock import settle
from tests.support.clusters import cluster_json
from tests.unit.members.test_registry import World, member_of

OWN = ClientConfig(server="https://own.example:6443", token_source=StaticToken("x"))


def agents_world() -> World:
    world = World()
    world.members = MemberClusters(
        cast("SharedInformer[Cluster]", world.clusters),
        cast("ApiClient", world.host),
        clock=world.clock,
        rng=random.Random(1),
        recorder=world.recorder,
        user_agent="test",
        sync_modes=SyncModeFilter("m1"),
        own=OWN,
    )
    world.members.add_listener(
        joined=lambda member: world.told.append(f"+{member.name}"), left=lambda name: world.told.append(f"-{name}")
    )
    return world


async def test_case_60_the_own_cluster_joins_by_the_agents_own_way_and_no_other_does():
    world = agents_world()
    world.add("m1", syncMode="Pull", secretRef=None, apiEndpoint="")
    world.add("m2", syncMode="Pull")
    world.add("m3")
    async with world.running():
        assert world.take() == ["+m1"]
        assert member_of(world).client.host == "own.example:6443"
        assert world.members.problem("m1") is None
        assert not world.host.calls, "no Secret is read"


async def test_the_mode_decides_and_the_endpoint_is_for_others():
    world = agents_world()
    world.add("m1", syncMode="Push")
    async with world.running():
        assert world.take() == []
        await world.edit("m1", spec={"syncMode": "Pull"})
        assert world.take() == ["+m1"]
        await world.edit("m1", spec={"apiEndpoint": "https://elsewhere:6443"})
        assert world.take() == []
        await world.edit("m1", spec={"syncMode": "Push"})
        assert world.take() == ["-m1"]


async def test_a_cluster_registered_anew_is_another_one():
    world = agents_world()
    world.add("m1", syncMode="Pull", finalizers=())
    async with world.running():
        world.host.remove("Cluster", "", "m1")
        world.host.seed(cluster_json("m1", syncMode="Pull", uid="another"))
        await settle()
        assert world.take() == ["+m1", "-m1", "+m1"]
