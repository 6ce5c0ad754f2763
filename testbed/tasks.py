"""Run things at the same time, and fail with the one error that a person wants to read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable


async def together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run all of it concurrently; when one fails the others are cancelled, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for each in work:
                tasks.create_task(each)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures  # the first is the cause; the others came with it
