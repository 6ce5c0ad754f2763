"""One fleet of this version under traffic, for all tests here, and their figures at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from testbed import Bed
from tests.support.upgrading import Fleet, fleet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.world import Loop

FIGURES: pytest.StashKey[list[str]] = pytest.StashKey()

Asking = Callable[[], AbstractAsyncContextManager["Loop"]]


def pytest_configure(config: pytest.Config) -> None:
    """Where the figures go."""
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print them."""
    for line in config.stash[FIGURES]:
        terminalreporter.write_line(line)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def made(dataplane: dict[str, Path]) -> AsyncIterator[Fleet]:
    async with Bed(audit=True, dataplane=True) as bed, fleet(bed) as made:
        yield made


@pytest.fixture
def asking(made: Fleet, request: pytest.FixtureRequest) -> Asking:
    """A client in the consumer that asks as long as the block lasts. What it has lost is taken down, and asserted 0."""

    @asynccontextmanager
    async def ask() -> AsyncIterator[Loop]:
        copies = await made.copies()
        async with made.loop() as loop:
            yield loop
        request.config.stash[FIGURES].append(f"{request.node.name}: {loop.told()}")
        assert loop.tally.lost == 0, f"{loop.told()} {loop.tally.errors}"
        assert await made.copies() == copies, "none was made anew"

    return ask
