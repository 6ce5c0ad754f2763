"""``python -m benchmarks.first_answer``: it measures, and its page says what the kept results say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.chart import bars
from benchmarks.first_answer import RESULTS
from benchmarks.measured import Results, percentile
from benchmarks.performance_page import CHART, PAGE, chart, page

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_page_and_its_chart_are_made_from_the_kept_results():
    kept = msgspec.json.decode((REPOSITORY / RESULTS).read_bytes(), type=Results)
    again = "make them again with `python -m benchmarks.first_answer --page-only`"
    assert (REPOSITORY / PAGE).read_text() == page(kept), again
    assert (REPOSITORY / CHART).read_text() == chart(kept), again


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)], ids=["least", "middle", "between", "most"]
)
def test_percentiles_lie_between_the_values(part, value):
    assert percentile([4.0, 1.0, 3.0, 2.0], part) == pytest.approx(value)
    assert percentile([7.0], part) == 7.0


@pytest.mark.parametrize("most", [0.0, 0.4, 17.2, 950.0])
def test_a_chart_of_any_size_is_a_picture_with_all_its_names(most):
    picture = ElementTree.fromstring(bars("a < b", ["one", "two & three"], [("p50", [most, most / 2])], unit="ms"))
    texts = {each.text for each in picture.iter() if each.tag.endswith("text")}
    assert {"a < b", "one", "two & three", "p50", f"{most:.0f} ms"} <= texts
    assert len(texts) < 20  # so many ticks that nobody can read them would be more


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
    assert msgspec.json.decode((tmp_path / RESULTS).read_bytes(), type=Results) == results
    assert (tmp_path / PAGE).read_text() == page(results)
    assert (tmp_path / CHART).read_text() == chart(results)
