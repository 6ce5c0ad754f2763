"""Services with tiers: which cluster answers, whatever becomes of the others. Clients ask all the time.

The client is in member2. member1 is of its region, member3 is not. Services of several kinds share the Pods.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mcs_controller.domain import well_known as wk
from tests.e2e.world import GRACE_SECONDS, Loop, service, workload
from tests.support.conformance import KARMADA, behaviour
from tests.support.fleet import CLUSTERS, MCS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.e2e.conftest import Stage
    from tests.e2e.world import Follower, Object, Offered, Scene, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

REGIONS = {"member1": "eu", "member2": "eu", "member3": "us"}
NEAREST = {wk.TIERS: "local; same-region; any", wk.HAND_BACK_AFTER: "3s", wk.HAND_BACK_EVERY: "1s"}
SEALED = {**NEAREST, wk.TIERS: "local; same-region", wk.TIER_STRICT: "true"}
GRACE = f"Pods that are to go answer for {GRACE_SECONDS} s more"
CONTAINER = {
    "name": "web",
    "image": "nginx",
    "ports": [{"name": "web", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}],
    "lifecycle": {"preStop": {"sleep": {"seconds": GRACE_SECONDS}}},
}
HTTP = {"port": 80, "targetPort": "web"}
BOTH = [{"name": "http", **HTTP}, {"name": "admin", "port": 8081, "targetPort": "admin"}]
WINDOW_SECONDS = 10.0
PROGRAMMED_SECONDS = 2.0
"""kube-proxy gathers changes for a second: what it does is this old at most."""
DEVIATIONS = 5.0
"""A Pod with its fair share of a window exceeds it by so many standard deviations once in some million windows."""


def pods(replicas: int, name: str = "web", container: Object = CONTAINER, grace: int = GRACE_SECONDS) -> Object:
    return workload(name, replicas=replicas, containers=[container], grace=grace)


async def begin(world: World, stage: Stage) -> Scene:
    """A namespace in three clusters of two regions."""
    await world.has_joined("member3")
    for name, region in REGIONS.items():
        await world.bed.host.api.patch(CLUSTERS, name, {"spec": {"region": region}})
    scene: Scene = await stage(*REGIONS)
    scene.expected = ("MCS053",)  # Deployments without Pods
    return scene


async def offer(
    scene: Scene,
    name: str,
    rules: dict[str, str],
    ports: Sequence[Object] = (HTTP,),
    providers: Sequence[str] = tuple(REGIONS),
    **spec: object,
) -> None:
    """A Service of all clusters in member2, in front of the Pods of the workload web."""
    made = service(name, ports, **{"selector": {"app": "web"}, **spec})
    await scene.offer(providers, ["member2"], service_=made, annotations=rules)


def window_shares(loop: Loop, states: Sequence[Offered]) -> Iterator[tuple[float, float]]:
    """For each window, what the busiest Pod answered, and twice its fair share: 1 / endpoints before the step."""
    bases = [
        (each.at, max(each.total, before.total if each.copies < before.copies else 0))
        for before, each in zip((states[0], *states), states, strict=False)
    ]
    ends = iter(loop.history)
    end = next(ends)
    for start in loop.history:
        while end.at < start.at + WINDOW_SECONDS:
            if (following := next(ends, None)) is None:
                return
            end = following
        since = max((at for at, _ in bases if at <= start.at - PROGRAMMED_SECONDS), default=None)
        if since is None:  # it is not known yet what was offered
            continue
        fewest = min(count for at, count in bases if since <= at <= end.at)
        answered = end.pods - start.pods
        yield max(answered.values()), 2 * answered.total() / fewest


def keeps_shares(scene: Scene, loop: Loop, states: Sequence[Offered]) -> None:
    """Take down that no step took more than half of what was offered, and that no Pod got more than twice its share."""
    steps = [(each.total, before.total) for before, each in itertools.pairwise(states) if each.copies < before.copies]
    told = " → ".join(str(each) for each in (steps[0][1], *(after for after, _ in steps)))
    scene.holds(
        "steps of the hand-back",
        "each leaves at least half of the endpoints",
        len(steps) > 0 and all(2 * after >= before for after, before in steps),
        otherwise=told,
        measured=told,
    )
    windows = list(window_shares(loop, states))
    worst = max(busiest / allowed for busiest, allowed in windows)
    scene.holds(
        f"the busiest Pod in each window of {WINDOW_SECONDS:.0f} s",
        f"at most twice its fair share, within {DEVIATIONS:g} standard deviations",
        all(busiest <= allowed + DEVIATIONS * math.sqrt(allowed) for busiest, allowed in windows),
        otherwise=f"{2 * worst:.2f} times its fair share",
        measured=f"{2 * worst:.2f} times its fair share in the worst of {len(windows)}",
    )


def silence(loop: Loop, before: set[str], after: set[str]) -> str:
    """How long nobody answered: from the last answer of the ones to the first of the others."""
    last = max(b.at for a, b in itertools.pairwise(loop.history) if (b.pods - a.pods).keys() & before)
    first = next(each.at for each in loop.history if each.pods.keys() & after)
    return f"no answer for {max(first - last, 0):.1f} s"


def loses_no_more(scene: Scene, loop: Loop, pods: set[str], when: str) -> None:
    """Take down that nothing was lost of what was asked after these Pods first answered; before, nobody could."""
    known = next(each.at for each in loop.history if each.pods.keys() & pods)
    late = loop.tally.lost_at > known
    what = f"requests lost after the Pods of member1 were known, {when}"
    scene.holds(what, "none", not late, otherwise="some", measured=f"before: {loop.told()}")


class Fronts(NamedTuple):
    """Loops that ask Services of several kinds."""

    plain: Loop
    named: Loop
    headless: Loop
    sealed: Loop


@behaviour(
    "With the tiers `local; same-region; any` the consumer's own Pods answer as long as there are enough, then those of"
    " its region, then all others, and the same way back; also for a headless Service and for named ports; with strict"
    " tiers nobody else ever does; and no request is lost",
    level="Optional",
    clause=KARMADA,
)
async def test_the_nearest_pods_answer(world, stage):
    scene = await begin(world, stage)
    await offer(scene, "web", NEAREST)
    await offer(scene, "named", NEAREST, BOTH)
    # DNS has no Pods that are on their way out: one that stays is needed to tell clients, until others are known.
    await offer(scene, "headless", {**NEAREST, wk.TIER_MINIMUM: "2"}, [{"port": 8080}], clusterIP="None")
    await offer(scene, "sealed", SEALED)
    local, near, far = await asyncio.gather(
        scene.run("member2", pods(2)), scene.run("member1", pods(2)), scene.run("member3", pods(2))
    )
    async with AsyncExitStack() as stack:
        asked = ("web", 80), ("named", 8081), ("headless", 8080), ("sealed", 80)
        for name, port in asked:
            await scene.answered_by("member2", scene.url(name, port), local)
        loops = Fronts(*[await stack.enter_async_context(scene.loop("member2", *each)) for each in asked])
        headless = await stack.enter_async_context(scene.follow(name="headless"))
        await asyncio.gather(*(each.goes_on(200) for each in loops))
        scene.never("answers of other clusters while local is good", near | far, *loops)

        await scene.scale("member2", 1)
        await headless.until("the endpoints of the region", lambda seen: len(seen.copies) == 2)
        await scene.scale("member2", 0)
        await scene.serve("no Pod is left in member2", near, *loops)
        # While no Pod is ready kube-proxy takes those on their way out, and these are about to go.
        await scene.settled("member2", "web", 0)
        scene.never("answers of member3 until now", far, *loops)

        await scene.scale("member1", 1)
        await headless.until("the endpoints of all", lambda seen: len(seen.copies) == 3)
        await scene.scale("member1", 0)
        await scene.serve("nor in member1", far, *loops[:3])
        await scene.serve("the same, strict", (), loops.sealed)

        back = await scene.scale("member1", 2)
        await scene.serve("again in member1", back, *loops)
        back = await scene.scale("member2", 2)
        await scene.serve("again in member2", back, *loops)
    never_empty = all(each.total for each in headless.states)
    scene.holds("moments without a ready endpoint in the consumer", "none", never_empty, otherwise="some")
    went = next(b.at for a, b in itertools.pairwise(headless.states) if len(b.own) < len(a.own))
    came = next(each.at for each in headless.states if each.at >= went and each.copies)
    scene.measured(f"the region's endpoints were in the consumer {1000 * (came - went):.0f} ms after a local one went")
    for name, loop in loops._asdict().items():
        if name != "sealed":
            scene.kept_up(loop, what=f"requests, {name}", why=GRACE)
    scene.never("answers of member3 for strict tiers", far, loops.sealed)


LATE = 8
"""Endpoints of the region that answer before there are any in the consumer."""
EARLY = 30
FLAPS = 2


async def flap(scene: Scene, pod: str, times: int) -> None:
    """Make a Pod unready and ready again, some seconds each: that is the disturbance."""
    for _ in range(times):
        for ready in ("false", "true"):
            await scene.space.member("member2").patch(
                "v1/pods", pod, {"metadata": {"annotations": {"testbed/ready": ready}}}, namespace=scene.namespace
            )
            await asyncio.sleep(5)


@behaviour(
    "When a consumer gets many Pods of its own they are handed all traffic in steps: no request is lost, and no Pod"
    " gets more than twice its fair share; a controller that is killed in the middle goes on with it, and while the"
    " control plane is dead too the order is kept; a Pod that flaps moves nothing",
    level="Optional",
    clause=KARMADA,
)
async def test_handing_back(world, stage):
    scene, controller = await begin(world, stage), world.controller
    small = {wk.HAND_BACK_STEP: "8%", wk.HAND_BACK_EVERY: "3s"}
    await offer(scene, "web", NEAREST | small)
    await offer(scene, "sealed", SEALED | small)
    await offer(scene, "flapping", NEAREST, providers=["member1", "member2"], selector={"app": "flapping"})
    near, far, flapping, instead = await asyncio.gather(
        scene.run("member1", pods(LATE)),
        scene.run("member3", pods(1)),
        scene.run("member2", pods(1, "flapping")),
        scene.run("member1", pods(1, "flapping")),
    )
    await scene.space.create_in("member2", pods(0))
    async with AsyncExitStack() as stack:
        for name, those in (("web", near), ("sealed", near), ("flapping", flapping)):
            await scene.answered_by("member2", scene.url(name), those)
        follow = [await stack.enter_async_context(scene.follow(name=name)) for name in ("web", "flapping")]
        loops = [await stack.enter_async_context(scene.loop(name=name)) for name in ("web", "sealed", "flapping")]
        patient = {"metadata": {"annotations": {wk.HAND_BACK_AFTER: "30s"}}}
        await scene.space.host.patch(MCS, "flapping", patient, namespace=scene.namespace)
        flaps = asyncio.create_task(flap(scene, min(flapping), FLAPS))
        stack.callback(flaps.cancel)
        await follow[1].until("the endpoint of member1", lambda seen: len(seen.copies) == 1)
        own = asyncio.create_task(scene.scale("member2", EARLY))
        stack.callback(own.cancel)
        await follow[0].until("a part of the endpoints of member1", lambda seen: 0 < len(seen.copies) < LATE)
        await controller.kill()
        killed = follow[0].states[-1]
        await world.bed.host.kill_apiserver()
        try:
            local = await own
            await asyncio.gather(*(each.goes_on(100) for each in loops))
            left = len(follow[0].states[-1].copies)
            scene.holds(
                "endpoints of member1 in the consumer, with a dead control plane",
                "a part of them",
                0 < left < LATE,
                otherwise=str(left),
                measured=f"{left} of {LATE}, {len(killed.own)} Pods of its own at the kill",
            )
            scene.never("answers of member3 with a dead control plane", far, *loops)
        finally:
            await world.bed.host.start_apiserver()
            await controller.start()
        await flaps
        await scene.becomes(
            "endpoints of member1 in the consumer, after a restart",
            0,
            lambda: copies(follow[0]),
            accept=lambda n: n == 0,
        )
        await asyncio.gather(*(each.goes_on(100) for each in loops))
    for what, loop in zip(("requests", "the same, strict"), loops, strict=False):
        scene.kept_up(loop, what=what)
    loses_no_more(scene, loops[2], instead, "in front of a Pod that flaps")
    scene.never("answers of member3", far, *loops)
    keeps_shares(scene, loops[0], follow[0].states)
    grown = [len(each.copies) for each in follow[0].states]
    scene.holds(
        "the endpoints of member1 never grow again", "never", grown == sorted(grown)[::-1], otherwise=str(grown)
    )
    changes = sum(a.copies != b.copies for a, b in itertools.pairwise(follow[1].states))
    scene.holds(
        f"changes of what is dispatched, while a Pod flapped {FLAPS} times", "1", changes == 1, otherwise=str(changes)
    )
    assert set(loops[2].tally.pods) == flapping | instead
    assert local


async def copies(follower: Follower) -> int:
    return len(follower.states[-1].copies)


@pytest.mark.long
@behaviour(
    "The order of the tiers is kept while a provider is drained, and while it is not ready as its API server is dead:"
    " its Pods answer on unless its endpoints are withdrawn, then those of the next tier do, and strict tiers have"
    " nobody; a drain and its end lose no request",
    level="Optional",
    clause=KARMADA,
)
async def test_drains_and_outages(world, stage):
    scene = await begin(world, stage)
    provider, drain = world.bed.members["member1"], {wk.DRAIN: "true"}
    withdrawing = {wk.WITHDRAW_AFTER: "1s"}
    await offer(scene, "web", NEAREST)
    await offer(scene, "withdrawn", NEAREST | withdrawing)
    await offer(scene, "sealed", SEALED | withdrawing)
    await offer(scene, "brisk", NEAREST, providers=["member1", "member2"], selector={"app": "brisk"})
    without_grace = pods(1, "brisk", CONTAINER | {"lifecycle": {}}, grace=0)
    near, far, remote, own = await asyncio.gather(
        scene.run("member1", pods(4)),
        scene.run("member3", pods(2)),
        scene.run("member1", without_grace),
        scene.run("member2", without_grace),
    )
    asked = "web", "withdrawn", "sealed"
    await scene.answered_by("member2", scene.url("brisk"), own)
    async with scene.loop(name="brisk") as brisk:
        await scene.scale("member2", 0, "brisk")
        await scene.serve("the consumer's only Pod has ended without grace", remote, brisk)
        scene.measured(silence(brisk, own, remote))
        await brisk.goes_on(100)
    loses_no_more(scene, brisk, remote, "when the only Pod ends without grace")
    async with AsyncExitStack() as stack:
        for name in asked:
            await scene.answered_by("member2", scene.url(name), near)
        follower = await stack.enter_async_context(scene.follow(name="web"))
        web, withdrawn, sealed = loops = [await stack.enter_async_context(scene.loop(name=name)) for name in asked]
        await world.bed.host.api.patch(CLUSTERS, "member1", {"metadata": {"labels": drain}})
        try:
            await scene.serve("member1 is drained", far, web, withdrawn)
            await scene.serve("the same, strict: nobody else may", near, sealed)
        finally:
            await world.bed.host.api.patch(CLUSTERS, "member1", {"metadata": {"labels": dict.fromkeys(drain)}})
        await scene.serve("no longer drained", near, *loops)
        scene.kept_up(web, what="requests, drained and undrained")
        scene.kept_up(sealed, what="the same, strict")
        keeps_shares(scene, web, follower.states)
        await provider.kill_apiserver()
        try:
            await world.cluster_is("member1", ready=False)
            await scene.serve("the API server of member1 is dead, its endpoints are withdrawn", far, withdrawn)
            await scene.serve("the same, strict", (), sealed)
            await scene.serve("the same, not withdrawn", near, web)
            local = await scene.run("member2", pods(1))
            await scene.serve("the consumer has a Pod of its own", local, *loops)
            await scene.scale("member2", 0)
            await scene.serve("no longer", near, web)
            await scene.serve("no longer, withdrawn", far, withdrawn)
        finally:
            await provider.start_apiserver()
            await provider.restart_controller_manager()
        await world.cluster_is("member1", ready=True)
        await scene.serve("the API server of member1 is back", near, *loops)
    scene.kept_up(web, what="requests, not withdrawn", why=GRACE)
    scene.kept_up(withdrawn, what="requests, withdrawn", why=GRACE)
    scene.never("answers of member3 for strict tiers", far, sealed)
