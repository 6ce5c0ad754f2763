"""Time-outs by a clock that tests move."""

from __future__ import annotations

import asyncio

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
