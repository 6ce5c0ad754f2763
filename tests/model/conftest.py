"""What the model tests tell at the end of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import fleet_model_report as report
from tests.support.fleet_model_flows import FLOWS
from tests.support.scale import LONG

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE = bool(os.environ.get("MODEL_WRITE"))
WIRINGS = ("stand-alone", "beside Karmada", "agent")
WHOLE = {False: 3, True: 6}
"""Of so many writes on their way at once, every subset; in `make test-long`, and without."""

_FOUND = pytest.StashKey[dict[tuple[str, str], report.Found]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Takes what a change came to: for the summary, for the report, and for the page; it has to be what that says."""

    def told(change: str, wiring: str, found: report.Found) -> None:
        record_property("model", f"{change}, {wiring}: {found}")
        request.config.stash.setdefault(_FOUND, {})[change, wiring] = found
        if not (LONG or WRITE):
            said = report.said(report.PAGE.read_text(), WIRINGS).get((change, wiring))
            assert found == said, f"{report.PAGE.name} says {said}; write it anew if there is a reason"

    return told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell all numbers, and write the page if that is asked for."""
    found = terminalreporter.config.stash.get(_FOUND, {})
    if found:
        terminalreporter.section("crash points")
        for (change, wiring), one in found.items():
            terminalreporter.write_line(f"{change}, {wiring}: {one}")
    if WRITE and not LONG and len(found) == len(FLOWS) * len(WIRINGS):
        report.PAGE.write_text(report.page(found, WIRINGS, whole=WHOLE[False], long=WHOLE[True]))
