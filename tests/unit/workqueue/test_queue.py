"""The promises of the basic queue, one test each (client-go util/workqueue/queue.go and its tests)."""

import asyncio
import contextlib
import weakref

import pytest

from tests.support.clock import FakeClock, settle
from workqueue import LOW, Queue, ShutDown


@pytest.fixture
def queue() -> Queue[str]:
    return Queue("q", clock=FakeClock())


async def take(queue: Queue[str], number: int) -> list[str]:
    """Get and finish so many items."""
    items = []
    for _ in range(number):
        items.append(await queue.get())
        queue.done(items[-1])
    return items


async def test_items_come_out_in_the_order_they_were_added(queue: Queue[str]):
    for item in "cab":
        queue.add(item)
    assert await take(queue, 3) == ["c", "a", "b"]


async def test_item_added_twice_before_processing_comes_out_once(queue: Queue[str]):
    for item in ("a", "b", "a", "a"):
        queue.add(item)
    assert await take(queue, 2) == ["a", "b"]
    assert len(queue) == 0


async def test_item_added_again_while_waiting_keeps_its_place(queue: Queue[str]):
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert await queue.get() == "a"


async def test_item_added_while_processing_is_not_handed_to_a_second_worker(queue: Queue[str]):
    queue.add("a")
    await queue.get()
    queue.add("a")
    second = asyncio.create_task(queue.get())
    await settle()
    assert not second.done()
    queue.done("a")
    assert await second == "a"


async def test_item_added_many_times_while_processing_runs_once_more(queue: Queue[str]):
    queue.add("a")
    await queue.get()
    for _ in range(3):
        queue.add("a")
    queue.done("a")
    assert await take(queue, 1) == ["a"]
    assert len(queue) == 0


async def test_item_added_while_processing_goes_to_the_end(queue: Queue[str]):
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("b")
    queue.done("a")
    assert await take(queue, 2) == ["b", "a"]


async def test_item_added_for_ever_does_not_starve_the_others(queue: Queue[str]):
    queue.add("busy")
    queue.add("patient")
    seen = []
    for _ in range(3):
        item = await queue.get()
        queue.add("busy")
        queue.done(item)
        seen.append(item)
    assert seen == ["busy", "patient", "busy"]


async def test_item_that_is_done_is_not_kept_alive():
    class Item:
        pass

    queue: Queue[Item] = Queue("q", clock=FakeClock())
    queue.add(item := Item(), priority=LOW)
    queue.add(item)
    queue.done(await queue.get())
    gone = weakref.ref(item)
    del item
    assert gone() is None


@pytest.mark.parametrize("drain", [False, True], ids=["shutdown", "drain"])
async def test_many_producers_and_workers_handle_each_item_and_each_change(drain: bool):
    clock = FakeClock()
    queue: Queue[int] = Queue("q", clock=clock)
    added, begun = [0] * 50, [0] * 50
    seen_by_a_later_run = [0] * 50
    busy: set[int] = set()

    async def produce(item: int) -> None:
        for turn in range(10):
            added[item] += 1
            queue.add(item)
            await clock.sleep(0.001 * (item * turn % 7))

    async def work() -> None:
        with contextlib.suppress(ShutDown):
            while True:
                item = await queue.get()
                assert item not in busy
                busy.add(item)
                begun[item], seen_by_a_later_run[item] = begun[item] + 1, added[item]
                if begun[item] == 2:
                    queue.add(item)
                await clock.sleep(0.003)
                busy.remove(item)
                queue.done(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(work())
        for item in range(50):
            group.create_task(produce(item))
        await clock.advance(0.06)
        for item in range(50):
            added[item] += 1
            queue.add(item)
        if drain:
            drained = group.create_task(queue.shut_down_with_drain())
            await settle()
            assert not drained.done()
        else:
            queue.shut_down()
        queue.add(99)
        await clock.advance(10)
    assert seen_by_a_later_run == added == [11] * 50
    assert max(begun) <= 12
    assert len(queue) == 0


async def test_length_counts_what_a_worker_could_get(queue: Queue[str]):
    for item in "aab":
        queue.add(item)
    assert len(queue) == 2
    await queue.get()
    queue.add("a")
    assert len(queue) == 1


async def test_get_waits_until_something_is_added(queue: Queue[str]):
    getting = asyncio.create_task(queue.get())
    await settle()
    assert not getting.done()
    queue.add("a")
    assert await getting == "a"


async def test_each_added_item_wakes_a_worker(queue: Queue[str]):
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await settle()
    for item in "abc":
        queue.add(item)
    assert await asyncio.gather(*workers) == ["a", "b", "c"]


async def test_item_of_a_worker_cancelled_on_waking_goes_to_the_next(queue: Queue[str]):
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add("a")
    first.cancel()
    assert await second == "a"
    assert first.cancelled()


async def test_item_added_right_after_a_cancel_wakes_the_next(queue: Queue[str]):
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    first.cancel()
    queue.add("a")
    assert await second == "a"


async def test_worker_cancelled_while_waiting_takes_nothing(queue: Queue[str]):
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    first.cancel()
    await settle()
    queue.add("a")
    assert await second == "a"


async def test_worker_that_comes_late_may_take_the_item_another_was_woken_for(queue: Queue[str]):
    early = asyncio.create_task(queue.get())
    await settle()
    queue.add("a")
    assert await queue.get() == "a"
    await settle()
    assert not early.done()
    queue.add("b")
    assert await early == "b"


@pytest.mark.parametrize("times", [0, 1], ids=["never taken", "done twice"])
async def test_done_without_get_is_an_error(queue: Queue[str], times: int):
    queue.add("a")
    await take(queue, times)
    with pytest.raises(ValueError, match="done\\(\\) without get\\(\\): 'a'"):
        queue.done("a")


async def test_add_after_shutdown_is_ignored(queue: Queue[str]):
    queue.shut_down()
    queue.add("a")
    assert queue.shutting_down
    with pytest.raises(ShutDown):
        await queue.get()


async def test_items_added_before_shutdown_are_handed_out_before_it_is_told(queue: Queue[str]):
    queue.add("a")
    queue.add("b")
    queue.shut_down()
    assert await take(queue, 2) == ["a", "b"]
    with pytest.raises(ShutDown):
        await queue.get()


async def test_item_added_again_in_processing_survives_shutdown(queue: Queue[str]):
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.shut_down()
    queue.done("a")
    assert await take(queue, 1) == ["a"]


async def test_every_waiting_worker_learns_of_shutdown(queue: Queue[str]):
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await settle()
    queue.shut_down()
    outcomes = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShutDown] * 3


async def test_drain_waits_for_items_in_processing(queue: Queue[str]):
    queue.add("a")
    queue.add("b")
    await queue.get()
    await queue.get()
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await settle()
    queue.done("a")
    await settle()
    assert not drain.done()
    queue.done("b")
    await drain


async def test_drain_waits_for_items_no_worker_has_taken_yet(queue: Queue[str]):
    queue.add("a")
    queue.add("b")
    await queue.get()
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await settle()
    queue.done("a")
    await settle()
    assert not drain.done()
    assert await take(queue, 1) == ["b"]
    await drain


async def test_drain_waits_for_items_added_again_while_processing(queue: Queue[str]):
    queue.add("a")
    await queue.get()
    queue.add("a")
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await settle()
    queue.done("a")
    await settle()
    assert not drain.done()
    assert await take(queue, 1) == ["a"]
    await drain


async def test_drain_of_an_idle_queue_returns_at_once(queue: Queue[str]):
    await queue.shut_down_with_drain()
    assert queue.shutting_down


async def test_shutdown_ends_a_drain(queue: Queue[str]):
    queue.add("a")
    await queue.get()
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await settle()
    assert not drain.done()
    queue.shut_down()
    await drain
