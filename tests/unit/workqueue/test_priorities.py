"""Priorities in the queue (controller-runtime pkg/controller/priorityqueue and its tests), and the bound they lack."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.clock import FakeClock, settle
from workqueue import LOW, NORMAL, URGENT, ItemExponentialFailureRateLimiter, RateLimitingQueue, at_priority
from workqueue.fair_queue import FairQueue
from workqueue.priority import AGING_INTERVAL, current_priority


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def queue(clock: FakeClock) -> AsyncIterator[RateLimitingQueue[str]]:
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(1, 1000)
    queue: RateLimitingQueue[str] = RateLimitingQueue("q", clock=clock, rate_limiter=limiter)
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run())
        yield queue
        queue.shut_down()


async def take(queue: RateLimitingQueue[str]) -> tuple[str, int]:
    """The next item and its priority, finished at once."""
    item = await queue.get()
    priority = queue.priority_of(item)
    queue.done(item)
    return item, priority


async def drain(queue: RateLimitingQueue[str]) -> str:
    return "".join([(await take(queue))[0] for _ in range(len(queue))])


async def test_higher_priority_comes_first_and_within_one_the_order_is_kept(queue: RateLimitingQueue[str]):
    for item, priority in (("a", LOW), ("b", NORMAL), ("c", URGENT), ("d", 7), ("e", NORMAL), ("f", URGENT)):
        queue.add(item, priority=priority)
    taken = [await take(queue) for _ in range(3)]
    assert taken == [("c", URGENT), ("f", URGENT), ("d", 7)]


async def test_item_added_again_with_a_higher_priority_moves_up(queue: RateLimitingQueue[str]):
    for item in "abc":
        queue.add(item)
    queue.add("c", priority=1)
    assert len(queue) == 3
    assert await take(queue) == ("c", 1)
    assert await drain(queue) == "ab"


async def test_item_added_again_with_a_lower_priority_stays_where_it_is(queue: RateLimitingQueue[str]):
    queue.add("a", priority=2)
    queue.add("b", priority=1)
    queue.add("a", priority=LOW)
    assert await take(queue) == ("a", 2)


async def test_item_that_moves_up_comes_after_those_who_are_there(queue: RateLimitingQueue[str]):
    queue.add("a")
    queue.add("b", priority=1)
    queue.add("a", priority=1)
    assert await drain(queue) == "ba"


async def test_item_that_moved_up_comes_once(queue: RateLimitingQueue[str]):
    for item in "abcdef":
        queue.add(item, priority=LOW)
    for priority in (NORMAL, URGENT):
        for item in "cbf":
            queue.add(item, priority=priority)
    assert len(queue) == 6
    assert sorted(await drain(queue)) == list("abcdef")
    assert len(queue) == 0


async def test_item_that_once_moved_up_has_no_claim_to_its_old_place(queue: RateLimitingQueue[str]):
    for item in "abcd":
        queue.add(item, priority=LOW)
    queue.add("b")
    assert await take(queue) == ("b", NORMAL)
    queue.add("b", priority=LOW)
    assert await drain(queue) == "acdb"


async def test_item_added_while_processing_waits_with_the_highest_priority_asked_for(queue: RateLimitingQueue[str]):
    queue.add("a")
    item = await queue.get()
    queue.add("b")
    for priority in (LOW, 5, NORMAL):
        queue.add(item, priority=priority)
    assert queue.priority_of("a") == NORMAL
    queue.done("a")
    assert await take(queue) == ("a", 5)


async def test_item_in_processing_does_not_hold_up_the_others(queue: RateLimitingQueue[str]):
    queue.add("a", priority=URGENT)
    await queue.get()
    queue.add("a", priority=URGENT)
    queue.add("b", priority=LOW)
    assert await take(queue) == ("b", LOW)
    queue.done("a")
    assert await take(queue) == ("a", URGENT)


async def test_priority_is_known_while_processing_only(queue: RateLimitingQueue[str]):
    queue.add("a", priority=3)
    with pytest.raises(ValueError, match="priority_of\\(\\) without get\\(\\): 'a'"):
        queue.priority_of("a")
    await take(queue)
    with pytest.raises(ValueError, match="priority_of"):
        queue.priority_of("a")


async def test_priority_begins_anew_with_each_round(queue: RateLimitingQueue[str]):
    queue.add("a", priority=URGENT)
    await take(queue)
    queue.add("a")
    assert await take(queue) == ("a", NORMAL)


async def test_delayed_item_keeps_its_priority(queue: RateLimitingQueue[str], clock: FakeClock):
    queue.add("a")
    queue.add_after("b", 1, priority=URGENT)
    queue.add_after("c", -1, priority=5)
    await clock.advance(1)
    assert [await take(queue) for _ in range(3)] == [("b", URGENT), ("c", 5), ("a", NORMAL)]


async def test_delayed_items_due_at_once_come_by_priority(queue: RateLimitingQueue[str], clock: FakeClock):
    for item, priority in (("a", NORMAL), ("b", URGENT), ("c", NORMAL), ("d", URGENT)):
        queue.add_after(item, 1, priority=priority)
    await clock.advance(1)
    assert len(queue) == 4
    assert await take(queue) == ("b", URGENT)
    assert await take(queue) == ("d", URGENT)


@pytest.mark.parametrize(
    "delays", [((1, LOW), (5, URGENT)), ((5, URGENT), (1, LOW)), ((5, URGENT), (1, LOW), (3, NORMAL))], ids=str
)
async def test_two_delays_end_with_the_earlier_and_have_the_higher_priority(
    queue: RateLimitingQueue[str], clock: FakeClock, delays: tuple[tuple[int, int], ...]
):
    for seconds, priority in delays:
        queue.add_after("a", seconds, priority=priority)
    await clock.advance(1)
    assert await take(queue) == ("a", URGENT)
    await clock.advance(10)
    assert len(queue) == 0


async def test_delayed_item_that_is_added_comes_at_once(queue: RateLimitingQueue[str], clock: FakeClock):
    getting = asyncio.create_task(queue.get())
    queue.add_after("a", 60, priority=LOW)
    await settle()
    assert not getting.done()
    queue.add("a", priority=1)
    assert await getting == "a"
    assert queue.priority_of("a") == 1


async def test_delay_that_ends_raises_an_item_that_waits(queue: RateLimitingQueue[str], clock: FakeClock):
    queue.add_after("b", 1, priority=URGENT)
    queue.add("a")
    queue.add("b", priority=LOW)
    await clock.advance(1)
    assert len(queue) == 2
    assert await take(queue) == ("b", URGENT)


async def test_failed_item_keeps_its_priority_and_others_their_delays(queue: RateLimitingQueue[str], clock: FakeClock):
    for _ in range(3):
        queue.add_rate_limited("b", priority=LOW)
    queue.add_rate_limited("a", priority=7)
    queue.add_rate_limited("c", priority=URGENT)
    await clock.advance(1)
    assert [await take(queue) for _ in range(3)] == [("c", URGENT), ("a", 7), ("b", LOW)]


async def test_priorities_are_ignored_after_shutdown_and_what_waits_comes_in_order(queue: RateLimitingQueue[str]):
    queue.add("a")
    queue.add("b", priority=1)
    queue.shut_down()
    queue.add("a", priority=URGENT)
    queue.add("c", priority=URGENT)
    assert await drain(queue) == "ba"


async def test_worker_that_waits_gets_the_best_there_is_when_it_runs(queue: RateLimitingQueue[str]):
    worker = asyncio.create_task(queue.get())
    await settle()
    queue.add("a", priority=LOW)
    queue.add("b", priority=URGENT)
    assert await worker == "b"


# --- nobody starves ---------------------------------------------------------------------------------------------------


async def test_lower_priority_has_every_nth_turn_while_a_higher_one_never_ends(queue: RateLimitingQueue[str]):
    for item in "abc":
        queue.add(item, priority=LOW)
    order = ""
    for _ in range(4 * AGING_INTERVAL):
        for item in "12":
            queue.add(item)
        order += (await take(queue))[0]
    assert order == "121a212b121c2121"


async def test_turn_of_the_oldest_is_nobodys_in_particular(queue: RateLimitingQueue[str]):
    queue.add("h", priority=URGENT)
    queue.add("l", priority=LOW)
    order = ""
    for number in range(2 * AGING_INTERVAL):
        queue.add(f"{number}", priority=URGENT)
        if number == 1:
            queue.add("n")
        order += (await take(queue))[0]
    assert order == "h01l234n"


async def test_item_that_moved_up_has_waited_as_long_as_before(queue: RateLimitingQueue[str]):
    for item in "ab":
        queue.add(item, priority=LOW)
    queue.add("a")
    for item in "1234":
        queue.add(item, priority=URGENT)
    assert await drain(queue) == "123a4b"


async def test_items_that_moved_up_do_not_delay_the_turn_of_the_oldest(queue: RateLimitingQueue[str]):
    queue.add("L", priority=LOW)
    for item in "abcd":
        queue.add(item)
    queue.add("b", priority=URGENT)
    assert await drain(queue) == "bacLd"


async def test_order_is_kept_as_long_as_one_priority_waits(queue: RateLimitingQueue[str]):
    for item in "abc":
        queue.add(item)
    for item in "ab":
        queue.add(item, priority=1)
    assert await drain(queue) == "abc"
    for item in "abcdefgh":
        queue.add(item)
    assert await drain(queue) == "abcdefgh"


@pytest.mark.parametrize("before", [0, 1, 5, 30])
@pytest.mark.parametrize("raised", [False, True], ids=["added", "raised"])
def test_bound_holds_whatever_comes_later(before: int, raised: bool):
    """The promise of FairQueue: within AGING_INTERVAL * (k + 1) turns."""
    order: FairQueue[object] = FairQueue()
    for number in range(before):
        order.add(number, (LOW, NORMAL, URGENT, 5)[number % 4], 0)
    order.add("me", -200 if raised else -50, 0)
    if raised:
        order.promote("me", -50)
    for _ in range(AGING_INTERVAL * (before + 1)):
        order.add(object(), URGENT, 0)
        order.add(object(), -40, 0)
        place = order.take()
        assert place is not None
        if place[0] == "me":
            return
    pytest.fail("it waits for longer than promised")


def test_memory_follows_what_waits_however_often_things_leave_from_the_middle():
    order: FairQueue[int] = FairQueue()
    for number in range(10):
        order.add(number, LOW, 0)
    for number in range(100, 10_000):
        order.add(number, LOW, 0)
        order.promote(number, NORMAL)
        order.remove(number)
    assert order.depth() == {LOW: 10, NORMAL: 0}
    assert [order.take() for _ in range(11)] == [*((number, LOW, 0, number + 1, ()) for number in range(10)), None]


# --- the priority of what is being done now ---------------------------------------------------------------------------


async def test_tasks_inherit_the_priority_of_what_started_them():
    async def look() -> int:
        await asyncio.sleep(0)
        return current_priority()

    async with asyncio.TaskGroup() as group:
        with at_priority(LOW):
            low = group.create_task(look())
            with at_priority(URGENT):
                urgent = group.create_task(look())
                assert await look() == URGENT
            assert await look() == LOW
        assert await look() == NORMAL
    assert (low.result(), urgent.result()) == (LOW, URGENT)


async def test_priority_is_restored_after_a_failure():
    with pytest.raises(ValueError, match="x"), at_priority(LOW):
        raise ValueError("x")
    assert current_priority() == NORMAL
