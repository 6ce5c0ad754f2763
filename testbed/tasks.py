"""Run coroutines concurrently, and raise the first error instead of a group."""

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
