"""Removal of providers and consumers from a service, and of the service itself."""

from __future__ import annotations

import pytest

from tests.e2e.world import Scene, workload
from tests.support.conformance import KARMADA, KARMADA_API, behaviour
from tests.support.fleet import MCS, gone

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def offered_by_both(scene: Scene) -> tuple[set[str], set[str]]:
    """Pods in member1 and in member2, which answer in both."""
    await scene.offer(["member1", "member2"], ["member1", "member2"])
    remote = await scene.run("member1", workload("web", replicas=2))
    local = await scene.run("member2", workload("web"))
    for member in ("member1", "member2"):
        await scene.answered_by(member, scene.url(), remote | local)
    return remote, local


@behaviour(
    "A cluster removed from `providerClusters` gets no more traffic from the consumer, whose own Pods still answer",
    level="Required",
    clause=KARMADA_API,
)
async def test_a_provider_is_removed(scene):
    remote, local = await offered_by_both(scene)
    await scene.set_clusters(providerClusters=["member2"])
    await scene.answers("in member2, when member1 is no longer a provider", local)
    # It is still a consumer: its own Pods and those of member2.
    scene.expected = ("MCS077",)
    await scene.answers("in member1, which is still a consumer", remote | local, member="member1")


@behaviour(
    "A cluster removed from `consumerClusters` no longer reaches remote Pods; as a provider it keeps its own",
    level="Required",
    clause=KARMADA_API,
)
async def test_a_consumer_is_removed(scene):
    remote, local = await offered_by_both(scene)
    await scene.set_clusters(consumerClusters=["member1"])
    await scene.answers("in member2, when it is no longer a consumer", local)
    await scene.answers("in member1, which still is", remote | local, member="member1")


@behaviour(
    "In a cluster that is no longer provider or consumer, the name does not resolve",
    level="Required",
    clause=KARMADA_API,
)
async def test_a_cluster_leaves_the_service_altogether(scene):
    await scene.offer()
    pods = await scene.run("member1", workload("web"))
    await scene.answered_by("member2", scene.url(), pods)
    await scene.set_clusters(consumerClusters=["member1"])
    await scene.resolves("addresses of the name in member2", f"web.{scene.namespace}", [])
    await scene.answers("in member1, which is a provider", pods, member="member1")


@behaviour(
    "After the deletion of the MultiClusterService no remote Pods answer, and every cluster keeps its own",
    level="Required",
    clause=KARMADA,
)
async def test_the_service_is_deleted(scene):
    remote, local = await offered_by_both(scene)
    await scene.space.host.delete(MCS, "web", namespace=scene.namespace)
    await gone(scene.space.host, MCS, "web", scene.namespace)
    await scene.answers("in member2", local)
    await scene.answers("in member1", remote, member="member1")
