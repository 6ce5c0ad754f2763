"""What all tiers share."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from testbed.controller import RECENT
from tests.support.scale import LONG

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["testbed.pytest_plugin"]

# In CI the same examples every time: a pipeline must not turn red for a change that has nothing to do with it. New
# examples are found, and kept in .hypothesis, wherever people run the tests.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

LOG_LINES = 40

# Whose tests open connections. Those of the others do not, and are too many to look after each.
WITH_CONNECTIONS = ("tests/integration/", "tests/e2e/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked as long, and count it as deselected, unless this is `make test-long`."""
    if not LONG and (left := [item for item in items if item.get_closest_marker("long")]):
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that fails what the controllers said that were started last: a race is seen once."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {process.name}", process.tail(LOG_LINES)) for process in RECENT]
    return report


@pytest.hookimpl(wrapper=True)  # after the fixtures, those of the session too
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Find what a file has left open at its end: later it would be found in another one, or when all have run.

    pytest raises what could not be raised with the next test. Here it is raised with the last test of its file.
    """
    yield
    if item.nodeid.startswith(WITH_CONNECTIONS) and (nextitem is None or nextitem.path != item.path):
        found: list[BaseException] = []
        told, sys.unraisablehook = sys.unraisablehook, lambda each: found.append(each.exc_value or each.exc_type())
        try:
            gc.collect()
            gc.collect()  # of what a finalizer let go
        finally:
            sys.unraisablehook = told
        if found:
            raise BaseExceptionGroup(f"left open by {item.path.name}", found)
