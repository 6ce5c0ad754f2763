"""docs/leader-election.md says what follows from the flags that it tells people to use."""

import re
from pathlib import Path

import pytest

from benchmarks.product.failover import FAST
from mcs_controller.options import Options, command
from mcs_controller.runtime.leader_election import LeaderElectionConfig

PAGE = (Path(__file__).parents[2] / "docs/leader-election.md").read_text()
TABLE = {
    cells[0].strip(): [one.strip() for one in cells[1:]]
    for cells in (line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|"))
}


def row(beginning: str) -> list[str]:
    [found] = [cells for first, cells in TABLE.items() if first.startswith(beginning)]
    return found


def lease(*flags: str) -> LeaderElectionConfig:
    values = command("test", "0", "").main(args=list(flags), prog_name="test", standalone_mode=False)
    options = Options.of(values)
    return LeaderElectionConfig(
        namespace="n",
        name="n",
        identity="i",
        lease_duration=options.leader_elect_lease_duration,
        renew_deadline=options.leader_elect_renew_deadline,
        retry_period=options.leader_elect_retry_period,
    )


def test_the_flags_that_are_shown_are_those_that_are_measured():
    assert tuple(re.findall(r"^--leader-elect-\S+$", PAGE, re.M)) == FAST
    assert [row(f"`--{name}`")[1] for name in re.findall(r"--([-a-z]+)=", " ".join(FAST))] == [
        flag.partition("=")[2] for flag in FAST
    ]


@pytest.mark.parametrize(("column", "flags"), [(0, ()), (1, FAST)], ids=["default", "fast"])
def test_the_seconds_follow_from_the_flags(column: int, flags: tuple[str, ...]):
    config = lease(*flags)
    assert row("another leads after a SIGKILL")[column] == f"{config.lease_duration + config.retry_period:g} s"
    assert row("the leader exits")[column] == f"{config.term:g} s"
    assert row("the next change")[column] == f"{config.lease_duration + config.retry_period + 1.5:g} s"
