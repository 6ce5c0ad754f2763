"""Limiters and the queue that asks them (client-go default_rate_limiters.go, rate_limiting_queue.go)."""

import asyncio

import pytest

from tests.support.clock import FakeClock, settle
from workqueue import (
    BucketRateLimiter,
    FlowBucketRateLimiter,
    ItemExponentialFailureRateLimiter,
    MaxOfRateLimiter,
    RateLimiter,
    RateLimitingQueue,
    TokenBucket,
    default_controller_rate_limiter,
)


def test_delay_doubles_with_each_failure_of_an_item_alone():
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(0.001, 1)
    assert [limiter.when("one") for _ in range(5)] == [0.001, 0.002, 0.004, 0.008, 0.016]
    assert limiter.num_requeues("one") == 5
    assert [limiter.when("two") for _ in range(2)] == [0.001, 0.002]
    assert limiter.num_requeues("two") == 2


def test_forgotten_item_starts_anew():
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(0.001, 1)
    limiter.when("a")
    limiter.when("a")
    limiter.forget("a")
    limiter.forget("never seen")
    assert limiter.num_requeues("a") == 0
    assert limiter.when("a") == 0.001


@pytest.mark.parametrize("failures", [18, 62, 63, 64, 1023, 1024, 5000])
def test_delay_is_capped_after_any_number_of_failures(failures: int):
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(0.005, 1000)
    for _ in range(failures):
        limiter.when("a")
    assert limiter.when("a") == 1000


async def test_bucket_limits_all_items_together():
    clock = FakeClock()
    limiter = BucketRateLimiter(TokenBucket(10, 2, clock=clock))
    assert [limiter.when(item) for item in "abcd"] == pytest.approx([0, 0, 0.1, 0.2])
    assert limiter.num_requeues("a") == 0
    limiter.forget("a")
    await clock.advance(0.2)
    assert limiter.when("e") == pytest.approx(0.1)


def test_longest_of_several_delays_wins_and_all_of_them_count():
    fast: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(1, 3)
    slow: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(2, 100)
    limiter: MaxOfRateLimiter[str] = MaxOfRateLimiter(fast, slow)
    slow.when("a")
    assert [limiter.when("a") for _ in range(3)] == [4, 8, 16]
    assert (fast.num_requeues("a"), slow.num_requeues("a"), limiter.num_requeues("a")) == (3, 4, 4)
    limiter.forget("a")
    assert (fast.num_requeues("a"), slow.num_requeues("a")) == (0, 0)


def test_default_limiter_backs_off_single_items_and_then_all_of_them():
    limiter: RateLimiter[str | int] = default_controller_rate_limiter(clock=FakeClock())
    assert [limiter.when("a") for _ in range(3)] == [0.005, 0.01, 0.02]
    for number in range(97):
        assert limiter.when(number) == 0.005
    assert limiter.when("101st retry") == pytest.approx(0.1)
    for _ in range(20):
        limiter.when("a")
    assert limiter.when("a") == 1000


async def test_failed_item_returns_after_its_back_off_and_forget_resets_it():
    clock = FakeClock()
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(1, 1000)
    queue: RateLimitingQueue[str] = RateLimitingQueue("q", clock=clock, rate_limiter=limiter)
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run())
        for expected in (1, 2, 4):
            queue.add_rate_limited("a")
            await clock.advance(expected - 0.001)
            assert len(queue) == 0
            await clock.advance(0.001)
            queue.done(await queue.get())
        assert queue.num_requeues("a") == 3
        queue.forget("a")
        assert queue.num_requeues("a") == 0
        queue.add_rate_limited("a")
        await clock.advance(1)
        assert len(queue) == 1
        queue.shut_down()


async def test_failed_item_waits_as_long_as_a_server_asked_for():
    clock = FakeClock()
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(1, 1000)
    queue: RateLimitingQueue[str] = RateLimitingQueue("q", clock=clock, rate_limiter=limiter)
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run())
        queue.add_rate_limited("a", at_least=7)
        await clock.advance(6.999)
        assert len(queue) == 0
        await clock.advance(0.001)
        assert len(queue) == 1
        assert queue.num_requeues("a") == 1
        queue.shut_down()


async def test_rate_limited_item_is_ignored_after_shutdown():
    clock = FakeClock()
    queue: RateLimitingQueue[str] = RateLimitingQueue(
        "q", clock=clock, rate_limiter=ItemExponentialFailureRateLimiter(0, 0)
    )
    queue.shut_down()
    queue.add_rate_limited("a")
    await settle()
    assert len(queue) == 0


def test_items_of_each_flow_have_a_bucket_of_their_own():
    clock = FakeClock()
    limiter: FlowBucketRateLimiter[str] = FlowBucketRateLimiter(
        lambda: TokenBucket(1, 1, clock=clock), lambda item: (item[0],)
    )
    assert [limiter.when("a1"), limiter.when("a2"), limiter.when("a3"), limiter.when("b1")] == [0, 1, 2, 0]
    limiter.forget("a1")
    assert limiter.num_requeues("a1") == 0


async def test_buckets_that_are_full_are_not_kept():
    clock = FakeClock()
    limiter: FlowBucketRateLimiter[str] = FlowBucketRateLimiter(
        lambda: TokenBucket(1, 1, clock=clock), lambda item: (item,)
    )
    for number in range(150):
        assert limiter.when(f"first{number}") == 0
    assert limiter.when("first0") == 1
    await clock.advance(2)
    for number in range(100):
        limiter.when(f"then{number}")
    assert len(limiter._buckets) <= 101
    limiter.when("then0")
    assert limiter.when("then0") == 2, "it is not full, so it is known"


def test_default_limiter_counts_the_tries_of_each_flow_on_their_own():
    limiter: RateLimiter[str] = default_controller_rate_limiter(
        clock=FakeClock(), burst=1, flow=lambda item: (item[0],)
    )
    for number in range(50):
        limiter.when(f"a{number}")
    assert limiter.when("b1") == 0.005
