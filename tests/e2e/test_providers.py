"""Services with Pods in several clusters."""

from __future__ import annotations

import pytest

from testbed import karmada
from tests.e2e.world import workload
from tests.support.conformance import KARMADA, KARMADA_API, KEP_1645, behaviour
from tests.support.fleet import CLUSTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@behaviour(
    "A MultiClusterService without cluster names applies to all clusters, also to one that joins later",
    level="Required",
    clause=KARMADA_API,
)
async def test_no_clusters_named_means_all(world, scene):
    if await world.bed.host.api.find(CLUSTERS, "member3"):
        await karmada.unjoin(world.bed, "member3")
    await scene.offer([], [])
    pods = await scene.run("member1", workload("web")) | await scene.run("member2", workload("web"))
    for member in ("member1", "member2"):
        await scene.answers(f"answering in {member}", pods, member=member)
    await world.has_joined("member3")
    await scene.has_namespace("member3")
    pods |= await scene.run("member3", workload("web"))
    for member in ("member1", "member2", "member3"):
        await scene.answers(f"answering in {member}, after member3 joined", pods, member=member)


@behaviour(
    "The Pods of several providers answer under one name, in a consumer without Pods of its own",
    level="Required",
    clause=KEP_1645,
)
async def test_two_providers(world, stage):
    await world.has_joined("member3")
    scene = await stage("member1", "member2", "member3")
    await scene.offer(["member1", "member3"])
    pods = await scene.run("member1", workload("web", replicas=2)) | await scene.run("member3", workload("web"))
    await scene.answers("answering in member2", pods)


@behaviour(
    "In a cluster that is both consumer and provider, its own and remote Pods answer",
    level="Required",
    clause=KARMADA,
)
async def test_a_consumer_that_is_a_provider(scene):
    await scene.offer(["member1", "member2"])
    pods = await scene.run("member1", workload("web")) | await scene.run("member2", workload("web"))
    await scene.answers("answering in member2", pods)


@behaviour(
    "When a provider's Cluster is deleted, traffic goes to the other providers only, and no request is lost",
    level="Required",
    clause=KARMADA,
)
async def test_a_cluster_is_deleted(world, stage):
    await world.has_joined("member3")
    scene = await stage("member1", "member2", "member3")
    await scene.offer(["member1", "member3"])
    staying = await scene.run("member1", workload("web"))
    leaving = await scene.run("member3", workload("web"))
    await scene.answered_by("member2", scene.url(), staying | leaving)
    async with scene.loop() as loop:
        await world.bed.host.api.delete(CLUSTERS, "member3")
        await scene.answers("answering in member2, after Cluster member3 was deleted", staying)
    scene.kept_up(loop)
    scene.expected = ("MCS033",)
    await karmada.unjoin(world.bed, "member3")
