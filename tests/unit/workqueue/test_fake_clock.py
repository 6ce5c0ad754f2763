"""The tests' own clock, since every other test of time leans on it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.clock import FakeClock, settle
from workqueue.clock import Clock


async def test_sleepers_wake_in_deadline_order_each_at_its_own_time():
    clock = FakeClock()
    start = clock.monotonic()
    seen: list[tuple[str, float]] = []

    async def nap(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.monotonic() - start))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("c", 3), ("a", 1), ("b", 2), ("a2", 1)):
            group.create_task(nap(name, seconds))
        await clock.advance(10)

    assert seen == [("a", 1), ("a2", 1), ("b", 2), ("c", 3)]
    assert clock.monotonic() - start == 10


async def test_one_advance_wakes_a_sleeper_that_sleeps_again():
    clock = FakeClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(0.1)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await clock.advance(1)
    task.cancel()
    assert ticks == pytest.approx([1000 + n / 10 for n in range(1, 11)], abs=0)


async def test_deadline_missed_by_a_rounding_error_still_wakes():
    clock = FakeClock()
    woken = asyncio.Event()

    async def wait_until(deadline: float) -> None:
        while clock.monotonic() < deadline:
            await clock.sleep(deadline - clock.monotonic())
        woken.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(wait_until(clock.monotonic() + 0.1 + 0.2))
        await clock.advance(0.1)
        await clock.advance(0.2)
        assert woken.is_set()


async def test_cancelled_sleeper_is_forgotten():
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5))
    await settle()
    assert clock.sleepers == 1
    task.cancel()
    await settle()
    assert clock.sleepers == 0
    await clock.advance(10)


async def test_wall_clock_jumps_without_moving_monotonic_time():
    clock: FakeClock = FakeClock(datetime(2026, 8, 1, tzinfo=UTC))
    before = clock.monotonic()
    clock.jump_wall_clock(-3600)
    assert clock.utcnow() == datetime(2026, 7, 31, 23, tzinfo=UTC)
    assert clock.monotonic() == before
    await clock.advance(1.5)
    assert clock.utcnow() == datetime(2026, 7, 31, 23, tzinfo=UTC) + timedelta(seconds=1.5)


async def test_spinning_task_is_reported_rather_than_hung_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.support.clock._MAX_ROUNDS", 100)

    async def spin() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    with pytest.raises(AssertionError, match="spinning"):
        await settle()
    task.cancel()


def test_it_is_a_clock():
    clock: Clock = FakeClock()
    assert clock.monotonic() == 1000
