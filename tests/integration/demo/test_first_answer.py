"""``python -m benchmarks.first_answer``: it measures, hop by hop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import performance_page
from benchmarks.first_answer_section import CHART, RAW, chart
from benchmarks.measured import Results

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.usefixtures("dataplane")
def test_one_round_is_measured_hop_by_hop_and_kept(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_answer", "--rounds=1", "--output=json", f"--into={tmp_path}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = msgspec.json.decode(done.stdout, type=Results)
    assert results.hops[0] == "Pod ready in member1"
    assert results.hops[-1] == "first answer over the name"
    assert results.ours == ["collected on karmada", "dispatched on karmada", "slice applied in member2"]
    (seconds,) = results.rounds
    assert len(seconds) == len(results.hops) == 7
    assert all(each >= 0 for each in seconds)
    assert 0 < sum(seconds) < 30
    assert results.questions > results.unanswered
    assert msgspec.json.decode((tmp_path / RAW).read_bytes(), type=Results) == results
    assert (tmp_path / performance_page.PAGE).read_text() == performance_page.page([], results)
    assert (tmp_path / CHART).read_text() == chart(results)
