"""The command line: what --help shows, and what it does not import for that."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from mcs_controller.mcsctl.main import COMMANDS, cli

SLOW = {"aiohttp", "asyncio", "rich", "yaml", "informers", "msgspec"}


def test_help_imports_nothing_that_takes_long():
    program = "import sys; from mcs_controller.mcsctl.main import main; main(['--help']); print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert SLOW & set(output.splitlines()[-1].split()) == set()


GROUPS = {"token": ["token", "renew"], "connectivity": ["connectivity", "test"]}


@pytest.mark.parametrize("words", [[], *(GROUPS.get(each, [each]) for each in COMMANDS)], ids=str)
def test_help_of_every_command_has_examples_line_by_line(words: list[str]):
    output = CliRunner().invoke(cli, [*words, "--help"], prog_name="mcsctl").output
    assert any(line.startswith("    mcsctl ") for line in output.splitlines()), output
