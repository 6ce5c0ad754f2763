"""Delays: exact, collapsing to the earliest, one timer (client-go util/workqueue/delaying_queue.go and its tests)."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.clock import FakeClock, settle
from workqueue import DelayingQueue


@asynccontextmanager
async def running() -> AsyncIterator[tuple[DelayingQueue[str], FakeClock]]:
    clock = FakeClock()
    queue: DelayingQueue[str] = DelayingQueue("q", clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run())
        yield queue, clock
        queue.shut_down()


async def drain(queue: DelayingQueue[str]) -> list[str]:
    """Get and finish everything that waits."""
    items = []
    while len(queue):
        items.append(await queue.get())
        queue.done(items[-1])
    return items


async def test_delayed_item_comes_when_due_and_not_before():
    async with running() as (queue, clock):
        queue.add_after("a", 0.05)
        await clock.advance(0.049)
        assert len(queue) == 0
        await clock.advance(0.001)
        assert await drain(queue) == ["a"]


async def test_zero_or_negative_delay_adds_at_once():
    async with running() as (queue, _):
        queue.add_after("a", 0)
        queue.add_after("b", -1)
        assert await drain(queue) == ["a", "b"]


async def test_delayed_items_come_in_the_order_they_are_due():
    async with running() as (queue, clock):
        for item, seconds in (("c", 3), ("a", 1), ("b", 2), ("a2", 1)):
            queue.add_after(item, seconds)
        await clock.advance(3)
        assert await drain(queue) == ["a", "a2", "b", "c"]


async def test_earlier_delay_replaces_a_later_one():
    async with running() as (queue, clock):
        queue.add_after("a", 1)
        await settle()
        queue.add_after("a", 0.05)
        await clock.advance(0.06)
        assert await drain(queue) == ["a"]
        await clock.advance(5)
        assert await drain(queue) == []


async def test_later_delay_does_not_postpone_an_earlier_one():
    async with running() as (queue, clock):
        queue.add_after("a", 1)
        queue.add_after("a", 5)
        await clock.advance(1)
        assert await drain(queue) == ["a"]
        await clock.advance(10)
        assert await drain(queue) == []


async def test_ordinary_add_does_not_cancel_a_delay():
    async with running() as (queue, clock):
        queue.add_after("a", 1)
        queue.add("a")
        assert await drain(queue) == ["a"]
        await clock.advance(1)
        assert await drain(queue) == ["a"]


async def test_delayed_item_that_falls_due_while_processing_runs_once_more():
    async with running() as (queue, clock):
        queue.add("a")
        await queue.get()
        queue.add_after("a", 1)
        await clock.advance(1)
        assert len(queue) == 0
        queue.done("a")
        assert await drain(queue) == ["a"]


async def test_item_delayed_again_after_falling_due_comes_again():
    async with running() as (queue, clock):
        for _ in range(3):
            queue.add_after("a", 1)
            await clock.advance(1)
            assert await drain(queue) == ["a"]


async def test_new_earliest_item_moves_the_timer():
    async with running() as (queue, clock):
        queue.add_after("late", 100)
        await clock.advance(10)
        queue.add_after("soon", 1)
        await clock.advance(1)
        assert await drain(queue) == ["soon"]
        await clock.advance(89)
        assert await drain(queue) == ["late"]


async def test_one_timer_serves_any_number_of_items():
    async with running() as (queue, clock):
        for number in range(1000):
            queue.add_after(str(number), 1000 - number)
            if number % 100 == 0:
                await settle()
        await settle()
        assert clock.sleepers == 1
        await clock.advance(1)
        assert await drain(queue) == ["999"]
        assert clock.sleepers == 1


async def test_items_delayed_before_the_timer_runs_come_when_it_does():
    clock = FakeClock()
    queue: DelayingQueue[str] = DelayingQueue("q", clock=clock)
    queue.add_after("past", 1)
    queue.add_after("future", 5)
    await clock.advance(2)
    assert len(queue) == 0
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run())
        await settle()
        assert await drain(queue) == ["past"]
        await clock.advance(3)
        assert await drain(queue) == ["future"]
        queue.shut_down()


async def test_shutdown_drops_what_is_delayed_and_ends_the_timer():
    async with running() as (queue, clock):
        queue.add_after("a", 1)
        await settle()
        queue.shut_down()
        queue.add_after("b", 1)
        queue.add_after("c", 0)
        await clock.advance(5)
        assert len(queue) == 0
        assert clock.sleepers == 0


async def test_cancelling_the_timer_leaves_no_sleeper_behind():
    clock = FakeClock()
    queue: DelayingQueue[str] = DelayingQueue("q", clock=clock)
    queue.add_after("a", 1)
    timer = asyncio.create_task(queue.run())
    await settle()
    timer.cancel()
    await settle()
    assert timer.cancelled()
    assert clock.sleepers == 0


async def test_memory_follows_what_is_delayed_however_often_a_delay_is_replaced_by_an_earlier_one():
    async with running() as (queue, clock):
        queue.add_after("other", 40_000)
        for _ in range(20_000):
            queue.add_after("a", 36_000)
            queue.add_after("a", 1)
            await clock.advance(1)
            assert await drain(queue) == ["a"]
            assert len(queue._heap) < 100
        await clock.advance(20_000)
        assert await drain(queue) == ["other"]


async def test_delays_hold_however_often_they_are_replaced_by_earlier_ones():
    """Each item is due at the earliest time asked for, in the order of those times."""
    rng = random.Random(1)
    async with running() as (queue, clock):
        due: dict[str, float] = {}
        for step in range(3000):
            item, seconds = str(rng.randrange(20)), float(rng.randint(5000, 6000) - step)
            due[item] = min(seconds, due.get(item, seconds))
            queue.add_after(item, seconds)
            assert len(queue._heap) < 2 * 20 + 100
        for moment in sorted(set(due.values())):
            await clock.advance(moment - (clock.monotonic() - 1000))
            assert sorted(await drain(queue)) == sorted(item for item in due if due[item] == moment)
