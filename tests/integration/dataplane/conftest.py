"""The test bed's own fixtures, wherever the run starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures once, even if a conftest further up has done so already."""
    config.pluginmanager.import_plugin("testbed.pytest_plugin")
