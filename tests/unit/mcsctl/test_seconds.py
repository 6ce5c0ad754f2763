"""Flags that say how long: as a number of seconds, or as Go writes durations."""

from __future__ import annotations

import click
import pytest

from mcs_controller.mcsctl.main import cli
from mcs_controller.mcsctl.seconds import SECONDS


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("0.5", 0.5), ("1m30s", 90), ("0", 0), (5.0, 5)]
)
def test_seconds_may_have_a_unit(text: object, seconds: float):
    assert SECONDS.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "5x", "nan", "inf"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(click.BadParameter, match="write it like 15s"):
        SECONDS.convert(text, None, None)


def test_every_flag_that_says_how_long_takes_a_unit():
    commands = [cli, *(cli.get_command(click.Context(cli), name) for name in cli.list_commands(click.Context(cli)))]
    floats = [
        f"{command.name} {each.opts[0]}"
        for command in commands
        if command is not None
        for each in command.params
        if isinstance(each.type, click.types.FloatParamType)
    ]
    assert not floats
