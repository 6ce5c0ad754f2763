"""What the model tests tell at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line for the summary and for the report."""

    def told(line: str) -> None:
        record_property("model", line)
        request.config.stash.setdefault(_LINES, []).append(line)

    return told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := terminalreporter.config.stash.get(_LINES, []):
        terminalreporter.section("crash points")
        for line in lines:
            terminalreporter.write_line(line)
