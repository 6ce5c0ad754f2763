"""Flows: who has its turn when others, however many and however much, want theirs as well."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import FakeClock, settle
from tests.support.scale import SCALE
from workqueue import LOW, NORMAL, URGENT, Flow, Queue, ShutDown, current_flow, in_flow
from workqueue.fair_queue import FairQueue, head_of
from workqueue.priority import AGING_INTERVAL


def order_of(*waiting: tuple[str, Flow, int]) -> str:
    order: FairQueue[str] = FairQueue()
    for item, flow, priority in waiting:
        order.add(item, priority, 0, flow)
    return drain(order)


def drain(order: FairQueue[str]) -> str:
    taken = ""
    while (place := order.take()) is not None:
        taken += place[0]
    return taken


def test_flows_take_turns_and_in_one_flow_the_order_is_kept():
    many = [(item, ("m1",), NORMAL) for item in "abcdef"]
    assert order_of(*many, ("1", ("m2",), NORMAL), ("2", ("m2",), NORMAL), ("x", (), NORMAL)) == "a1xb2cdef"


def test_narrower_flows_take_turns_in_the_wider_one():
    waiting = [(item, ("m1", "s1"), NORMAL) for item in "abc"]
    waiting += [(item, ("m1", "s2"), NORMAL) for item in "ABC"]
    waiting += [(item, ("m2", "s1"), NORMAL) for item in "123"]
    assert order_of(*waiting) == "a1A2b3BcC"


def test_higher_priority_comes_first_whoever_it_is_of():
    assert order_of(("a", ("m1",), LOW), ("b", ("m2",), NORMAL), ("c", ("m1",), NORMAL)) == "bca"


def test_turns_by_age_are_those_of_flows_too():
    """What is urgent in one flow starves nothing in another, although it was there before."""
    order: FairQueue[str] = FairQueue()
    for _ in range(1000):
        order.add(f"u{_}", URGENT, 0, ("mad",))
    order.add("n", NORMAL, 0, ("good",))
    taken = [place[0] for _ in range(2 * AGING_INTERVAL) if (place := order.take()) is not None]
    assert taken.index("n") < 2 * AGING_INTERVAL


def test_flow_that_is_promoted_or_removed_leaves_nothing_behind():
    order: FairQueue[int] = FairQueue()
    for number in range(1000):
        order.add(number, LOW, 0, ("m", number))
        order.promote(number, NORMAL)
        order.remove(number)
    for number in range(100):
        order.add(number, NORMAL, 0, (number, number))
    while order.take() is not None:
        pass
    rings = [order._by_age, *(level.order for level in order._levels)]
    assert not any(ring._ready or ring._held for ring in rings)
    assert order.depth() == {NORMAL: 0, LOW: 0}


FLOWS = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))
PRIORITIES = st.sampled_from([LOW, NORMAL, URGENT])


@given(st.lists(st.tuples(FLOWS, PRIORITIES, st.integers(0, 2), st.booleans()), max_size=80))
@settings(max_examples=200 * SCALE, deadline=None)
def test_nobody_waits_for_longer_than_promised(steps: list[tuple[Flow, int, int, bool]]):
    """AGING_INTERVAL * n * (k + 1) turns: n flows that wait, k others of the same flow before it."""
    order: FairQueue[int] = FairQueue()
    flows: dict[int, tuple[Flow, int]] = {}
    turns: dict[int, int] = defaultdict(int)
    ahead: dict[int, int] = {}
    widest: dict[int, int] = defaultdict(int)

    def note() -> None:
        heads = len({flow[0] for flow, _ in flows.values()})
        for item, (flow, _) in flows.items():
            beside = len({other for other, _ in flows.values() if other[0] == flow[0]})
            widest[item] = max(widest[item], heads * beside)

    for number, (flow, priority, takes, raises) in enumerate(steps):
        ahead[number] = sum(other == flow for other, _ in flows.values())
        order.add(number, priority, 0, flow)
        flows[number] = (flow, priority)
        known, (its, before) = next(iter(flows.items()))
        if raises and before < URGENT:
            assert order.promote(known, URGENT)
            flows[known] = (its, URGENT)
            ahead[known], turns[known], widest[known] = sum(other == its for other, _ in flows.values()) - 1, 0, 0
        note()
        for _ in range(takes):
            if (place := order.take()) is None:
                assert not flows
                break
            del flows[place[0]]
            for item in flows:
                turns[item] += 1
                assert turns[item] < AGING_INTERVAL * widest[item] * (ahead[item] + 1)
    left = []
    while (place := order.take()) is not None:
        left.append(place[0])
    assert sorted(left) == sorted(flows)


@given(st.lists(FLOWS, min_size=1, max_size=60), st.integers(1, 3))
def test_flows_that_always_wait_have_as_many_turns_each(came: list[Flow], times: int):
    order: FairQueue[int] = FairQueue()
    for number, flow in enumerate(came * times):
        order.add(number, NORMAL, 0, flow)
    left = defaultdict[object, int](int)
    for flow in came * times:
        left[flow[0]] += 1
    had = defaultdict[object, int](int)
    while (place := order.take()) is not None:
        head = head_of(place[4])
        had[head] += 1
        left[head] -= 1
        assert all(had[head] <= had[other] + 1 for other, waiting in left.items() if waiting)


# --- a share of the workers -------------------------------------------------------------------------------------------


def by_first(item: str) -> Flow:
    return (item[0],)


async def test_no_more_of_a_flow_are_in_processing_than_its_share():
    queue: Queue[str] = Queue(clock=FakeClock(), flow=by_first, per_flow=2)
    for item in ("a1", "a2", "a3", "b1"):
        queue.add(item)
    assert [await queue.get() for _ in range(3)] == ["a1", "b1", "a2"]
    worker = asyncio.create_task(queue.get())
    await settle()
    assert not worker.done()
    queue.add("c1", priority=LOW)
    assert await worker == "c1"
    worker = asyncio.create_task(queue.get())
    await settle()
    assert len(queue) == 1
    queue.done("a1")
    assert await worker == "a3"
    assert [queue.flow_of(item) for item in ("a3", "b1")] == [("a",), ("b",)]


async def test_flow_that_is_done_leaves_nothing_behind():
    queue: Queue[str] = Queue(clock=FakeClock(), flow=by_first, per_flow=1)
    for _ in range(3):
        queue.add("a1")
        queue.add("a2")
        for _ in range(2):
            queue.done(await queue.get())
    assert not queue._in_hand
    assert not queue._order._held


async def test_item_added_again_while_its_flow_has_its_share_waits_for_it():
    queue: Queue[str] = Queue(clock=FakeClock(), flow=by_first, per_flow=1)
    queue.add("a1")
    queue.add("a2", priority=LOW)
    assert await queue.get() == "a1"
    queue.add("a1")
    queue.add("a2", priority=URGENT)
    assert queue.depth() == {URGENT: 1, NORMAL: 1, LOW: 0}
    worker = asyncio.create_task(queue.get())
    await settle()
    assert not worker.done()
    queue.done("a1")
    assert await worker == "a2"


async def test_all_workers_learn_of_shutdown_once_what_waits_for_its_share_is_handed_out():
    queue: Queue[str] = Queue(clock=FakeClock(), flow=by_first, per_flow=1)
    for item in ("a1", "a2"):
        queue.add(item)
    await queue.get()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await settle()
    queue.shut_down()
    await settle()
    assert not any(worker.done() for worker in workers)
    queue.done("a1")
    await settle()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert results.count("a2") == 1
    assert [type(result) for result in results if result != "a2"] == [ShutDown, ShutDown]


@pytest.mark.parametrize("cancelled", ["the one that was woken", "another one"])
async def test_worker_that_is_cancelled_takes_nothing_of_a_flow_along(cancelled: str):
    queue: Queue[str] = Queue(clock=FakeClock(), flow=by_first, per_flow=1)
    for item in ("a1", "a2"):
        queue.add(item)
    await queue.get()
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await settle()
    queue.done("a1")
    victim, other = workers if cancelled == "the one that was woken" else reversed(workers)
    victim.cancel()
    assert await other == "a2"


@given(slow=st.integers(0, 6), quick=st.integers(1, 4), share=st.integers(1, 3), waiting=st.integers(1, 6))
@settings(max_examples=30 * SCALE, deadline=None)
def test_slow_flows_delay_no_other_however_many_they_are(slow: int, quick: int, share: int, waiting: int):
    """As long as there are workers for the shares of all."""

    async def run() -> None:
        clock = FakeClock()
        queue: Queue[str] = Queue(clock=clock, flow=by_first, per_flow=share)
        began: dict[str, float] = {}

        async def work() -> None:
            while True:
                item = await queue.get()
                began[item] = clock.monotonic() - 1000
                await clock.sleep(31 if item[0].isupper() else 0.01)
                queue.done(item)

        workers = [asyncio.create_task(work()) for _ in range((slow + quick) * share)]
        for number in range(50):
            for name in range(slow):
                queue.add(f"{chr(ord('A') + name)}{number}", priority=URGENT)
        await clock.advance(0.5)
        for name in range(quick):
            for number in range(waiting):
                queue.add(f"{chr(ord('a') + name)}{number}", priority=LOW)
        await clock.advance(1)
        for name in range(quick):
            for number in range(waiting):
                assert began[f"{chr(ord('a') + name)}{number}"] == pytest.approx(0.5 + number // share * 0.01)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    asyncio.run(run())


# --- the flow of what is being done now -------------------------------------------------------------------------------


async def test_tasks_inherit_the_flow_of_what_started_them():
    async def look() -> Flow:
        await asyncio.sleep(0)
        return current_flow()

    async with asyncio.TaskGroup() as group:
        with in_flow(("m1",)):
            inside = group.create_task(look())
        assert await look() == ()
    assert inside.result() == ("m1",)
