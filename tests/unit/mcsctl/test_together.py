"""Several things at once: results in order, and after an error nothing goes on."""

from __future__ import annotations

import asyncio

import pytest

from mcs_controller.mcsctl.together import all_of


async def test_results_are_in_order():
    assert await all_of(asyncio.sleep(0, 1), asyncio.sleep(0, 2)) == [1, 2]
    assert await all_of() == []


async def test_after_the_first_error_the_others_have_ended():
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        await all_of(hangs(), fails(), hangs())
    assert ended.is_set()
