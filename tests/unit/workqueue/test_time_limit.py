"""Time-outs by a clock that tests move."""

import asyncio
import contextlib

import pytest

from tests.support.clock import FakeClock, settle
from workqueue import time_limit


async def test_body_in_time_is_left_alone_and_no_timer_stays_behind():
    clock = FakeClock()
    async with time_limit(clock, 5) as scope:
        await settle()
        assert clock.sleepers == 1
    assert clock.sleepers == 0
    assert not scope.expired()


async def test_body_that_hangs_is_cancelled_at_the_limit():
    clock = FakeClock()

    async def hang() -> None:
        async with time_limit(clock, 5):
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await clock.advance(4.999)
    assert not hanging.done()
    await clock.advance(0.001)
    with pytest.raises(TimeoutError):
        await hanging


async def test_error_of_the_body_leaves_as_it_came():
    cause, raised = KeyError("cause"), ValueError("body")
    with pytest.raises(ValueError, match="body") as caught:
        async with time_limit(FakeClock(), 5):
            raise raised from cause
    assert caught.value is raised
    assert caught.value.__cause__ is cause
    assert caught.value.__context__ is None


async def test_time_out_of_the_body_is_told_from_the_limit():
    with pytest.raises(TimeoutError, match="mine"):
        async with time_limit(FakeClock(), 5) as scope:
            raise TimeoutError("mine")
    assert not scope.expired()


async def test_cancelling_the_body_from_outside_is_a_cancel():
    clock = FakeClock()

    async def hang() -> None:
        async with time_limit(clock, 5):
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await settle()
    hanging.cancel()
    await settle()
    assert hanging.cancelled()
    assert clock.sleepers == 0


async def test_task_cancelled_at_the_limit_is_cancelled():
    """The limit takes back its own cancel and no other."""
    clock = FakeClock()

    async def hang() -> None:
        async with time_limit(clock, 5):
            await asyncio.Event().wait()

    async def hang_and_go_on() -> None:
        with contextlib.suppress(TimeoutError):
            await hang()
        await asyncio.Event().wait()

    for turns in range(8):
        hanging = asyncio.create_task(hang_and_go_on())
        await clock.advance(4)
        reaching = asyncio.create_task(clock.advance(1))
        for _ in range(turns):
            await asyncio.sleep(0)
        hanging.cancel()
        await reaching
        await settle()
        assert hanging.cancelled(), turns


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("depth", [1, 2])
async def test_no_cancel_is_lost_whenever_it_comes_though_the_body_fails(depth: int, turns: int):
    """Leaving does not await, so there is no moment at which a cancel could arrive and be dropped."""
    clock = FakeClock()
    began = asyncio.Event()

    async def fail() -> None:
        began.set()
        await asyncio.sleep(0)
        raise ValueError("body")

    async def limited(depth: int) -> None:
        async with time_limit(clock, 5):
            await (limited(depth - 1) if depth else fail())

    async def goes_on() -> None:
        with contextlib.suppress(ValueError):
            await limited(depth - 1)
        await asyncio.Event().wait()

    task = asyncio.create_task(goes_on())
    await began.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await settle()
    assert task.cancelled()
    assert clock.sleepers == 0


@pytest.mark.parametrize("turns", range(8))
async def test_outer_limit_ends_the_body_though_the_inner_one_is_being_left_with_an_error(turns: int):
    clock = FakeClock()
    failing = asyncio.Event()

    async def fail() -> None:
        async with time_limit(clock, 60):
            await failing.wait()
            raise ValueError("body")

    async def goes_on() -> None:
        async with time_limit(clock, 5) as outer:
            scopes.append(outer)
            with contextlib.suppress(ValueError):
                await fail()
            await asyncio.Event().wait()

    scopes: list[asyncio.Timeout] = []
    limited = asyncio.create_task(goes_on())
    await settle()
    failing.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    scopes[0].reschedule(asyncio.get_running_loop().time())  # the limit is over at this very turn
    await settle()
    assert limited.done()
    with pytest.raises(TimeoutError):
        await limited
