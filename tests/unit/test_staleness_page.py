"""docs/staleness.md has every fault, the tests that show each, and seconds that follow from the constants and flags."""

import re
from pathlib import Path

import pytest

from informers.client.transport import GUARD_ANSWER_SECONDS, GUARD_SECONDS
from informers.metrics import STALE_SECONDS
from informers.watch.comparison import COMPARE_AGAIN_SECONDS, IN_FLIGHT_SECONDS, SILENT_SECONDS
from mcs_controller.reconcilers.service_status import APPLY_GRACE_SECONDS
from mcs_controller.runtime.freshness import LOOK_AGAIN_SECONDS
from tests.unit.test_leader_election_page import lease
from tests.unit.test_leader_election_page import row as of_the_lease

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "staleness.md").read_text()
ROWS = {
    cells[0].strip(): [one.strip() for one in cells[1:]]
    for cells in (
        line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "Fault" not in line
    )
}
FAULTS = (
    "control plane API server away; provider's API server away; consumer's API server away; half-open watch;"
    " load balancer that swallows packets; leader paused; leader dead; Secret rotated; clock jumps; etcd restored;"
    " watch and consistent read disagree; certificate expired; rights taken away"
)
BOUND, LEADER_BOUND = 15.0, 20.0


def test_every_fault_has_its_row():
    assert ROWS.keys() == {one.strip() for one in FAULTS.split(";")}
    for fault, cells in ROWS.items():
        assert cells[2] == (f"{LEADER_BOUND:g} s" if fault.startswith("leader ") else f"{BOUND:g} s")


@pytest.mark.parametrize("text", [*(cells[3] for cells in ROWS.values()), PAGE], ids=[*ROWS, "the page"])
def test_the_tests_that_it_names_are_there(text: str):
    named = re.findall(r"\[test_\w+\.py\]\((\S+?)\)((?:,?\s*`[^`]+`)+)", text)
    assert named
    for path, tests in named:
        source = (DOCS / path).read_text()
        for one in re.findall(r"`([^`]+)`", tests):
            assert f"def {one}(" in source or f'"{one}": ' in source, f"{one} is not in {path}"


def test_what_is_silent_is_put_right_or_stale_in_time():
    assert SILENT_SECONDS + GUARD_ANSWER_SECONDS + IN_FLIGHT_SECONDS <= STALE_SECONDS, (
        "compared once, as slowly as may be"
    )
    assert SILENT_SECONDS + GUARD_ANSWER_SECONDS + COMPARE_AGAIN_SECONDS < STALE_SECONDS, (
        "and once more, after a failure"
    )
    assert GUARD_SECONDS + GUARD_ANSWER_SECONDS < STALE_SECONDS, "connections are given up before"
    assert STALE_SECONDS + LOOK_AGAIN_SECONDS < BOUND, "and there is time to write it"
    assert 2 * APPLY_GRACE_SECONDS < BOUND
    for text in (
        f"for {SILENT_SECONDS:g} s is compared",
        f"no answer in {GUARD_ANSWER_SECONDS:g} s",
        f"asked every {GUARD_SECONDS:g} s",
        f"not confirmed for {STALE_SECONDS:g} s is stale",
        f"counts after {APPLY_GRACE_SECONDS:g} s",
    ):
        assert text in PAGE


def test_another_leads_in_time_with_the_default_lease():
    config = lease()
    leads = config.lease_duration + config.retry_period
    carried = float(of_the_lease("the next change")[0].removesuffix(" s"))
    assert carried < LEADER_BOUND
    assert config.term < BOUND, "a leader without a control plane has ended"
    assert f"taken within {leads:g} s, and the next change carried within {carried:g} s" in PAGE
