"""Pods of the provider start and stop: the consumer follows, and no avoidable request is lost."""

from __future__ import annotations

import pytest

from tests.e2e.world import GRACE_SECONDS, Scene, workload
from tests.support.conformance import KARMADA, KUBERNETES_SERVICE, behaviour
from tests.support.fleet import DEPLOYMENTS

pytestmark = pytest.mark.asyncio(loop_scope="session")

GRACE = f"Pods that are to go answer for {GRACE_SECONDS} s more, longer than the news travels"


async def offered(scene: Scene, replicas: int) -> set[str]:
    await scene.offer()
    pods = await scene.run("member1", workload("web", replicas=replicas))
    await scene.answered_by("member2", scene.url(), pods)
    return pods


@behaviour(
    "The consumer follows when the provider is scaled up and down, and no request of a client fails",
    level="Required",
    clause=KARMADA,
)
async def test_scaling_up_and_down(scene):
    await offered(scene, 2)
    async with scene.loop() as loop:
        await scene.answers("2 scaled to 4", await scene.scale("member1", 4))
        await scene.answers("4 scaled to 1", await scene.scale("member1", 1))
        # Longer than those that went have answered: had the consumer still sent anybody there, it would show.
        await scene.settled("member1", "web", 1)
        await loop.goes_on(100)
    scene.kept_up(loop, why=GRACE)


@behaviour(
    "A Service scaled to zero does not answer, and answers again when it is scaled up",
    level="Required",
    clause=KARMADA,
)
async def test_scaling_to_zero_and_back(scene):
    await offered(scene, 2)
    await scene.answers("scaled to 0", await scene.scale("member1", 0))
    await scene.answers("scaled to 2", await scene.scale("member1", 2))


@behaviour(
    "A Pod that becomes unready gets no traffic from the consumer, and gets traffic again when it is ready",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_readiness_flips(scene):
    one, *others = sorted(await offered(scene, 3))
    async with scene.loop() as loop:
        for ready, expected in ((False, set(others)), (True, {one, *others})):
            annotation = {"metadata": {"annotations": {"testbed/ready": str(ready).lower()}}}
            await scene.space.member("member1").patch("v1/pods", one, annotation, namespace=scene.namespace)
            await scene.answers(f"1 of 3 {'is ready again' if ready else 'is not ready'}", expected)
    scene.kept_up(loop)


@behaviour(
    "A rolling update with graceful termination loses no request of a client in the consumer",
    level="Optional",
    clause=KUBERNETES_SERVICE,
)
async def test_rolling_update(scene):
    before = await offered(scene, 3)
    async with scene.loop() as loop:
        update = workload("web", replicas=3, version="2.0.0")["spec"]
        await scene.space.member("member1").patch(DEPLOYMENTS, "web", {"spec": update}, namespace=scene.namespace)
        after = await scene.settled("member1", "web", 3, without=before)
        await scene.answers("answering after the update", after)
        await loop.goes_on(100)
    assert set(loop.tally.versions) == {"1.0.0", "2.0.0"}
    scene.kept_up(loop, why=GRACE)
