"""Flows of a controller: one that has much to do, or whose reconciles take long, does not delay the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.reconcile import ClusterRequest, Result
from tests.support.clock import FakeClock, settle
from tests.support.scale import SCALE
from workqueue import NORMAL, URGENT, Flow, ItemExponentialFailureRateLimiter, TokenBucket, current_flow
from workqueue.priority import AGING_INTERVAL

SLOW_SECONDS = 31.0


def by_cluster(request: ClusterRequest) -> Flow:
    return (request.cluster, request.namespace)


class Members:
    """A reconciler whose requests take as long as their member does, and notes of when each began and in which flow."""

    def __init__(self, workers: int = 1, *, flows: bool = True) -> None:
        self.clock = FakeClock()
        self.began: dict[ClusterRequest, float] = {}
        self.flows: set[Flow] = set()
        self.seconds: dict[str, float] = {}
        self.at_once: dict[str, int] = {}
        self.most = 0
        limiter: ItemExponentialFailureRateLimiter[ClusterRequest] = ItemExponentialFailureRateLimiter(1, 10)
        self.controller: Controller[ClusterRequest] = Controller(
            "test", self, clock=self.clock, rate_limiter=limiter, workers=workers, flow=by_cluster if flows else None
        )

    async def reconcile(self, request: ClusterRequest) -> Result:
        self.began[request] = round(self.clock.monotonic() - 1000, 6)
        self.flows.add(current_flow())
        self.at_once[request.cluster] = self.at_once.get(request.cluster, 0) + 1
        self.most = max(self.most, self.at_once[request.cluster])
        await self.clock.sleep(self.seconds.get(request.cluster, 0.01))
        self.at_once[request.cluster] -= 1
        return Result()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Controller[ClusterRequest]]:
        run = asyncio.create_task(self.controller.run())
        await settle()
        yield self.controller
        self.controller.stop()
        await self.clock.advance(2 * SLOW_SECONDS)
        assert run.done()
        await run


@given(slow=st.integers(0, 12), workers=st.integers(1, 3))
@settings(max_examples=15 * SCALE, deadline=None)
def test_slow_members_delay_no_other_however_many_they_are(slow: int, workers: int):
    async def run() -> None:
        members = Members(workers)
        async with members.running() as controller:
            for number in range(slow):
                members.seconds[f"slow{number}"] = SLOW_SECONDS
                for name in range(20):
                    controller.enqueue(ClusterRequest(f"slow{number}", "default", str(name)), URGENT)
            await members.clock.advance(1)
            mine = [ClusterRequest("quick", "default", str(name)) for name in range(6)]
            for request in mine:
                controller.enqueue(request)
            await members.clock.advance(1)
            for number, request in enumerate(mine):
                assert members.began[request] == pytest.approx(1 + number // workers * 0.01)
            assert members.most <= workers
            assert controller._available <= slow * workers + workers + 1

    asyncio.run(run())


async def test_workers_that_are_too_many_end():
    members = Members(2)
    async with members.running() as controller:
        for number in range(50):
            controller.enqueue(ClusterRequest(f"m{number}", "default", "web"))
        await settle()
        assert controller._available == 51
        await members.clock.advance(1)
        for number in range(3):
            controller.enqueue(ClusterRequest("m1", "default", str(number)))
        await members.clock.advance(1)
        assert len(controller._tasks) == controller._available == 2


async def test_flow_goes_with_the_request_and_ends_with_it():
    members = Members()
    async with members.running() as controller:
        controller.enqueue(ClusterRequest("m1", "default", "web"))
        controller.enqueue(ClusterRequest("m2", "shop", "web"))
        await settle()
    assert members.flows == {("m1", "default"), ("m2", "shop")}
    assert current_flow() == ()


async def test_without_flows_all_that_a_controller_does_is_one_flow():
    members = Members(2, flows=False)
    async with members.running() as controller:
        for number in range(5):
            controller.enqueue(ClusterRequest(f"m{number}", "default", "web"))
        await settle()
        assert len(members.began) == 2
    assert members.flows == {("test",)}


async def test_stopping_leaves_what_waits_for_its_share():
    members = Members()
    members.seconds["m1"] = SLOW_SECONDS
    async with members.running() as controller:
        for number in range(5):
            controller.enqueue(ClusterRequest("m1", "default", str(number)))
        await members.clock.advance(1)
    assert len(members.began) == 1


async def test_flow_of_many_requests_takes_turns_with_one_of_few():
    """A thousand of one namespace, and one of another: it has the next turn but one."""
    members = Members()
    async with members.running() as controller:
        for number in range(1000):
            controller.enqueue(ClusterRequest("m1", "crowded", str(number)))
        await members.clock.advance(0.1)
        controller.enqueue(ClusterRequest("m1", "quiet", "web"))
        await members.clock.advance(0.1)
        assert members.began[ClusterRequest("m1", "quiet", "web")] <= 0.1 + 2 * 0.01
        controller.stop()


async def test_changes_of_one_object_come_together():
    """500 changes a second of a slice for ten seconds: one reconcile at a time, so no more than that takes."""
    members = Members(5)
    members.seconds["m1"] = 0.05
    rounds = 0
    reconcile = members.reconcile

    async def counted(request: ClusterRequest) -> Result:
        nonlocal rounds
        rounds += 1
        return await reconcile(request)

    members.reconcile = counted  # type: ignore[method-assign]
    async with members.running() as controller:
        for _ in range(5000):
            controller.enqueue(ClusterRequest("m1", "default", "web"), URGENT)
            await members.clock.advance(0.002)
        assert members.most == 1
        assert rounds <= 10 / 0.05 + 1
        assert len(controller.queue) <= 1


@given(
    mad=st.integers(0, 6),
    priority=st.sampled_from([NORMAL, URGENT]),
    writes=st.integers(1, 6),
    workers=st.integers(1, 5),
)
@settings(max_examples=15 * SCALE, deadline=None)
def test_work_among_mad_flows_takes_as_long_as_the_formula_says(mad: int, priority: int, writes: int, workers: int):
    """c * n / qps seconds for each request to the server: n flows, and c is 1, or AGING_INTERVAL among urgent ones."""

    async def run() -> None:
        members = Members(workers)
        qps = 40
        bucket = TokenBucket(qps, 1, clock=members.clock)
        ended: dict[ClusterRequest, float] = {}

        async def reconcile(request: ClusterRequest) -> Result:
            for _ in range(writes):
                await bucket.wait()
            ended[request] = members.clock.monotonic() - 1000
            return Result()

        members.reconcile = reconcile  # type: ignore[method-assign]
        async with members.running() as controller:
            for number in range(mad):
                for name in range(1000):
                    controller.enqueue(ClusterRequest(f"mad{number}", "default", str(name)), priority)
            await members.clock.advance(5)
            mine = ClusterRequest("good", "default", "web")
            controller.enqueue(mine)
            each = (mad + 1) * (AGING_INTERVAL if priority == URGENT else 1)
            await members.clock.advance(writes * each / qps)
            assert mine in ended
            controller.stop()
            await members.clock.advance(5)

    asyncio.run(run())
