"""What a running process says of its build."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from testbed.controller import installed_binary
from tests.support.traffic import samples

if TYPE_CHECKING:
    from testbed import ControllerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")


def said_version() -> str:
    """The last word of what `--version` says."""
    said = subprocess.run([installed_binary(), "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[-1]


async def test_the_metric_karmada_build_info_tells_the_version_of_the_binary(controller: ControllerProcess):
    ((labels, value),) = [(of, value) for name, of, value in await samples(controller) if name == "karmada_build_info"]
    assert value == 1
    assert labels["git_version"] == f"v{said_version()}"
    assert labels["compiler"]
    assert labels["platform"].startswith("linux/")
