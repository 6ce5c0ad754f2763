"""A controller that dies, at any moment, and others that take over: the world ends up as it should be."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from benchmarks.product.failover import FAST
from testbed import wait_for
from tests.support.fleet import (
    LEASES,
    MCS,
    SERVICES,
    SLICES,
    Space,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)
from tests.support.traffic import LEADS, Traffic, idle, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Bed, ControllerProcess
    from tests.integration.product.conftest import Run

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = "--leader-elect=false"
LEASE = "election"
ELECTION = f"--leader-elect-resource-name={LEASE}"
"""Not shorter than by default: on a busy machine a leader that is well must not lose the Lease."""
SLOWLY = ("--kube-api-qps=10", "--kube-api-burst=20")
"""So that a busy machine, too, kills it in the middle of its work."""
SYSTEM = "karmada-system"


@pytest_asyncio.fixture(loop_scope="session")
async def space(fleet_bed: Bed, run: Run) -> AsyncIterator[Space]:
    """A namespace of one's own, in the control plane only: whoever runs the controller waits for the rest."""
    made = await Space.make(fleet_bed, in_members=False)
    yield made
    await made.remove()


async def start_world(space: Space) -> None:
    """Two services in both directions, one of them with three slices."""
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create(service("all"), multiclusterservice("all"))
    await space.create_in("member1", *(endpointslice(f"web-{each}", "web", [f"192.0.2.{each}"]) for each in (1, 2, 3)))
    await space.create_in("member1", endpointslice("all-a", "all", ["203.0.113.1"]))
    await space.create_in("member2", endpointslice("all-a", "all", ["203.0.113.2"]))


COMPLETE = {
    "member1": {"member2-all-a": ["203.0.113.2"]},
    "member2": {f"member1-web-{each}": [f"192.0.2.{each}"] for each in (1, 2, 3)} | {"member1-all-a": ["203.0.113.1"]},
}
EMPTY: dict[str, dict[str, list[str]]] = {"member1": {}, "member2": {}}


async def world_is(space: Space, expected: dict[str, dict[str, list[str]]]) -> None:
    for cluster, slices in expected.items():
        await space.dispatched_are(cluster, slices)


async def killed_again_and_again(run: Run, space: Space, name: str, writes: int) -> int:
    """Run the controller, kill it after so many writes, and so on, until it has nothing left to write.

    Returns:
        How often it was killed in the middle of its work.
    """
    for kills in range(40):
        traffic = Traffic(space.bed)
        process = await run(f"{name}-{kills}", ALONE, *SLOWLY)
        unfinished = await wrote(process, traffic, writes)
        await process.kill()
        assert process.returncode == -signal.SIGKILL
        if not unfinished:
            return kills
    raise AssertionError(f"it never gets done; it last wrote\n{traffic.told()}")


async def wrote(process: ControllerProcess, traffic: Traffic, writes: int) -> bool:
    """Wait until it has made so many writes, events aside, or has nothing to do any more; whether it is the former."""
    resting = asyncio.create_task(idle(process, traffic))
    try:
        while not resting.done():
            if sum(count for asked, count in traffic.writes().items() if asked.resource != "events") >= writes:
                return True
            await asyncio.sleep(0.001)
        await resting
        return False
    finally:
        resting.cancel()
        await asyncio.wait([resting])


@pytest.mark.timeout(900)
async def test_killed_in_the_middle_of_its_work_again_and_again_it_gets_it_done(run, space):
    first = await run("first", ALONE)
    await space.exists_in_members()
    await first.kill()
    await start_world(space)
    assert await killed_again_and_again(run, space, "making", 10) >= 3
    await world_is(space, COMPLETE)
    for name in ("web", "all"):
        await space.succeeded(name, but=["MCS004", "MCS005"])  # the last process has been killed, too

    for name in ("web", "all"):
        await space.host.delete(MCS, name, namespace=space.namespace)
    assert await killed_again_and_again(run, space, "clearing", 3) >= 3
    await world_is(space, EMPTY)
    for name in ("web", "all"):
        await gone(space.host, MCS, name, space.namespace)
        assert await space.host.find(SERVICES, name, namespace=space.namespace)
    for cluster in ("member1", "member2"):
        assert await space.work_names(cluster, "EndpointSlice") == []
        assert await space.work_names(cluster, "MultiClusterService") == []


async def test_openings_03_and_04_and_05_what_happened_while_it_was_down_is_seen_at_the_start(run, space):
    """The peer only sees what is there, not what is not there any more."""
    first = await run("before", ALONE)
    await space.exists_in_members()
    await start_world(space)
    await space.create(service("other"), multiclusterservice("other", ["member1"], ["member2"]))
    await space.create(service("forced"), multiclusterservice("forced", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("forced-a", "forced", ["198.51.100.1"]))
    complete = COMPLETE["member2"] | {"member1-forced-a": ["198.51.100.1"]}
    await world_is(space, COMPLETE | {"member2": complete})
    await idle(first)
    await first.kill()

    member, namespace = space.member("member1"), space.namespace
    await member.delete(SLICES, "web-1", namespace=namespace)
    relabelled = {"metadata": {"labels": {"kubernetes.io/service-name": "other"}}}
    await member.patch(SLICES, "web-2", relabelled, namespace=namespace)
    await space.set_addresses("member1", "web-3", ["192.0.2.33"])
    await space.create_in("member1", endpointslice("web-4", "web", ["192.0.2.4"]))
    await space.patch_mcs("all", {"providerClusters": [{"name": "member1"}]})
    await space.member("member2").delete(SLICES, "member1-web-3", namespace=namespace)
    await space.host.patch(MCS, "forced", {"metadata": {"finalizers": None}}, namespace=namespace)
    await space.host.delete(MCS, "forced", namespace=namespace)
    await gone(space.host, MCS, "forced", namespace)

    await run("after", ALONE)
    await space.dispatched_are("member2", {"member1-web-3": ["192.0.2.33"], "member1-web-4": ["192.0.2.4"]}, "web")
    await space.dispatched_are("member2", {"member1-web-2": ["192.0.2.2"]}, "other")
    await space.dispatched_are("member2", {"member1-all-a": ["203.0.113.1"]}, "all")
    await space.dispatched_are("member2", {}, "forced")
    await space.dispatched_are("member1", {})
    for cluster, collected in (("member1", 4), ("member2", 0)):

        async def suspended(cluster: str = cluster) -> int:
            works = await space.works(cluster, "EndpointSlice")
            return len([work for work in works if work["spec"].get("suspendDispatching")])

        await eventually(f"the collected Works of {cluster}", suspended, collected)


# --- several replicas -------------------------------------------------------------------------------------------------


async def leads(process: ControllerProcess) -> bool:
    return any(value > 0 for _, _, value in await samples(process, LEADS))


async def reconciles(process: ControllerProcess) -> float:
    return sum(value for _, _, value in await samples(process, ("controller_runtime_reconcile_total",)))


async def becomes_leader(process: ControllerProcess) -> None:
    await eventually(f"{process.name} to lead", lambda: leads(process), True)


async def holder(space: Space) -> str:
    lease = await space.host.get(LEASES, LEASE, namespace=SYSTEM)
    return str(lease["spec"].get("holderIdentity") or "")


@pytest_asyncio.fixture(loop_scope="session")
async def pair(run: Run, space: Space) -> AsyncIterator[tuple[ControllerProcess, ControllerProcess]]:
    """A leader and its standby, both ready, with a world to look after."""
    leader = await run("leader", ELECTION)
    await becomes_leader(leader)
    standby = await run("standby", ELECTION)
    await space.exists_in_members()
    await start_world(space)
    await world_is(space, COMPLETE)
    yield leader, standby
    for process in (standby, leader):  # whoever is left would make another Lease
        await process.kill()
    await space.host.delete(LEASES, LEASE, namespace=SYSTEM, missing_ok=True)


async def test_a_standby_is_ready_and_does_nothing(pair):
    _, standby = pair
    assert not await leads(standby)
    assert await reconciles(standby) == 0


async def test_when_the_leader_is_killed_in_the_middle_of_a_change_the_standby_finishes_it(pair, space):
    leader, standby = pair
    before = await holder(space)
    traffic = Traffic(space.bed)
    for each in range(10, 20):
        await space.create_in("member1", endpointslice(f"web-{each}", "web", [f"192.0.2.{each}"]))
    assert await wrote(leader, traffic, 3)
    await leader.kill()
    expected = COMPLETE["member2"] | {f"member1-web-{each}": [f"192.0.2.{each}"] for each in range(10, 20)}
    await world_is(space, COMPLETE | {"member2": expected})
    await becomes_leader(standby)
    assert await holder(space) not in ("", before)
    assert standby.pid is not None


async def test_when_the_leader_stands_still_the_standby_goes_on_and_the_leader_ends_when_it_wakes(pair, space):
    leader, standby = pair
    before = await holder(space)
    leader.signal(signal.SIGSTOP)
    try:
        await space.set_addresses("member1", "all-a", ["203.0.113.9"])
        await world_is(space, COMPLETE | {"member2": COMPLETE["member2"] | {"member1-all-a": ["203.0.113.9"]}})
        assert await holder(space) not in ("", before)
    finally:
        leader.signal(signal.SIGCONT)
    assert await leader.wait() == 1
    assert "Lost the lease" in leader.log.read_text()
    await space.set_addresses("member1", "all-a", ["203.0.113.2"])
    await world_is(space, COMPLETE | {"member2": COMPLETE["member2"] | {"member1-all-a": ["203.0.113.2"]}})
    assert await leads(standby)


async def start_again(process: ControllerProcess) -> None:
    """Start the process whenever it ends, as a kubelet does."""
    while True:
        await process.wait(timeout=3600)
        await process.start()


async def test_with_the_fast_lease_profile_another_replica_carries_changes_when_the_leader_is_killed(run, space):
    election = (f"--leader-elect-resource-name={LEASE}", *FAST)
    replicas = [await run(f"fast-{number}", *election) for number in (1, 2)]
    async with asyncio.TaskGroup() as group:
        kubelets = [group.create_task(start_again(process)) for process in replicas]
        await space.exists_in_members()
        await start_world(space)
        await world_is(space, COMPLETE)
        before = await holder(space)
        [leader] = [process for process in replicas if f"identity={before}" in process.log.read_text()]
        await leader.kill()
        await space.set_addresses("member1", "all-a", ["203.0.113.9"])
        await world_is(space, COMPLETE | {"member2": COMPLETE["member2"] | {"member1-all-a": ["203.0.113.9"]}})
        assert await holder(space) not in ("", before)
        for task in kubelets:
            task.cancel()
    for process in replicas:
        await process.kill()
    await space.host.delete(LEASES, LEASE, namespace=SYSTEM, missing_ok=True)


async def test_a_leader_that_is_asked_to_stop_hands_over_and_exits_with_0(pair, space):
    leader, standby = pair
    before = await holder(space)
    assert await leader.terminate() == 0
    # Released, not run out: nobody had to wait for that.
    assert await holder(space) != before
    assert "Released the lease" in leader.log.read_text()
    await becomes_leader(standby)
    await space.set_addresses("member1", "all-a", ["203.0.113.9"])
    await world_is(space, COMPLETE | {"member2": COMPLETE["member2"] | {"member1-all-a": ["203.0.113.9"]}})


async def test_a_leader_whose_lease_was_stolen_ends_with_1_and_leaves_the_lease_to_the_thief(pair, space):
    leader, standby = pair
    await standby.kill()

    async def steal() -> bool:
        lease = await space.host.get(LEASES, LEASE, namespace=SYSTEM)
        lease["spec"]["holderIdentity"] = "thief"
        await space.host.replace(lease)  # a conflict with a renewal is one more try
        return True

    await wait_for("the lease to be stolen", steal)
    assert await leader.wait() == 1
    assert "thief holds it" in leader.log.read_text()
    assert await holder(space) == "thief"


async def test_a_standby_that_is_asked_to_stop_exits_with_0_and_the_leader_goes_on(pair, space):
    leader, standby = pair
    before = await holder(space)
    assert await standby.terminate() == 0
    assert await holder(space) == before
    assert await leads(leader)
