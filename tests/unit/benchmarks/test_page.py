"""``docs/performance.md`` and its charts say what the kept results say, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import performance_page, registry
from benchmarks.__main__ import as_kept
from benchmarks.chart import bars
from benchmarks.machine import Machine
from benchmarks.performance_page import PAGE, charts, page
from benchmarks.scenario import OURS, Contestant, Kept, Measurement, Outcome, Table, Target
from benchmarks.texts import number, part_name, quantity

REPOSITORY = Path(__file__).resolve().parents[3]

MACHINE = Machine(
    date="2026-01-01 00:00 UTC",
    cores=2,
    memory_gib=4.0,
    load=0.1,
    kernel="6.1",
    python="3.11",
    controller="0.1.0",
    components={"etcd": "v3"},
)


def kept(**changes: Any) -> Kept:
    latency = Measurement(
        name="latency",
        title="Latency",
        unit="ms",
        better="lower",
        parts=[0.5, 0.99],
        rounds={OURS: [[2.0, 2.0], [4.0]], "other": [[1.0], [1.0]], "yardstick": [[1.0], [1.0]]},
        targets=[Target(against="yardstick", at_most=1.5), Target(at_most=3.0)],
        chart="Latencies",
    )
    rate = Measurement(
        name="rate", title="Rate", unit="1/s", better="higher", rounds={OURS: [[2000.0]], "other": [[1000.0]]}
    )
    outcome = Outcome(
        contestants=[
            Contestant(name=OURS, title="this project", about="As it is.", versions={"python": "3.11"}),
            Contestant(name="other", title="the other"),
            Contestant(name="yardstick", title="the yardstick", reference=True),
        ],
        measurements=[latency, rate],
        conditions=["Measured by hand."],
        tables=[Table(title="Writes", columns=["verb", "count"], rows=[["patch", 12345]])],
    )
    fields: dict[str, Any] = {
        "scenario": "example",
        "title": "Example",
        "about": "About it.",
        "quick": False,
        "seconds": 12.3,
        "machine": MACHINE,
        "outcome": outcome,
    }
    return Kept(**{**fields, **changes})


def test_the_page_in_docs_is_made_from_the_kept_results():
    again = "make it again with `python -m benchmarks --page-only`"
    made = performance_page.files(REPOSITORY)
    there = {PAGE, *(path.relative_to(REPOSITORY) for path in (REPOSITORY / "docs").glob("performance-*.svg"))}
    assert set(made) == there, again
    for path, text in made.items():
        assert (REPOSITORY / path).read_text() == text, f"{path}: {again}"


@pytest.mark.parametrize(
    "line",
    [
        "|  | p50 | p99 | rounds, p50 | ours ÷ theirs |",
        "| this project | 2.00 ms | 3.96 ms | 2.00 to 4.00 |  |",
        "| the other | 1.00 ms | 1.00 ms | 1.00 to 1.00 | 3.00 × (2.00 to 4.00) |",
        "| the other | 1,000/s | 1,000 to 1,000 | 2.00 × (2.00 to 2.00) |",
        "| patch | 12,345 |",
        "| Example: Latency | at most 1.5 × the yardstick | 3.00 × | no |",
        "| Example: Latency | at most 3 ms | 2.00 ms | yes |",
        "| Example: Latency | the other | 3.00 × |",
        "- Measured by hand.",
        "- this project: As it is. (python 3.11)",
        "| Example | 2026-01-01 00:00 UTC | 0.1 | 12 s |",
        "![Latencies](performance-example-1.svg)",
    ],
)
def test_the_page_has_every_figure(line):
    assert line in page([kept()], None).splitlines()


def test_a_yardstick_is_nobody_who_is_ahead():
    ahead = page([kept()], None).split("Where somebody is ahead")[1].split("## ")[0]
    assert "the yardstick" not in ahead


def test_small_sizes_and_a_noisy_machine_are_said():
    assert "Only a first look" not in page([kept()], None)
    assert "noisy" not in page([kept()], None)
    assert "Only a first look, with small sizes: Example." in page([kept(quick=True)], None)
    noisy = msgspec.structs.replace(MACHINE, load=1.5)
    assert "noisy" in page([kept(machine=noisy)], None)


def test_a_measurement_with_a_chart_gets_one_with_all_its_contestants():
    ((path, text),) = charts(kept())
    assert path == Path("docs/performance-example-1.svg")
    texts = {each.text for each in ElementTree.fromstring(text).iter()}
    assert {"Latencies", "this project", "the other", "the yardstick", "p50", "p99", "2.00 ms"} <= texts


def test_measurements_of_one_chart_share_it():
    (first, second) = kept().outcome.measurements
    both = [msgspec.structs.replace(each, chart="Both") for each in (first, second)]
    ((_, text),) = charts(kept(outcome=msgspec.structs.replace(kept().outcome, measurements=both)))
    texts = {each.text for each in ElementTree.fromstring(text).iter()}
    assert {"Both", "Latency", "Rate", "this project", "the other", "the yardstick"} <= texts


@pytest.mark.parametrize("most", [0.0, 0.4, 17.2, 950.0])
def test_a_chart_of_any_size_is_a_picture_with_all_its_names(most):
    picture = ElementTree.fromstring(bars("a < b", ["one", "two & three"], [("p50", [most, most / 2])], unit="ms"))
    texts = {each.text for each in picture.iter() if each.tag.endswith("text")}
    assert {"a < b", "one", "two & three", "p50", quantity(most, "ms")} <= texts
    assert len(texts) < 20  # so many ticks that nobody can read them would be more


def test_a_missing_value_leaves_its_place_empty():
    picture = ElementTree.fromstring(bars("a", ["one", "two"], [("x", [1.0, None])], unit="s"))
    assert len([each for each in picture.iter() if each.tag.endswith("rect")]) == 2  # one of them is the legend's


def test_kept_results_are_read_as_they_were_written_and_a_round_is_one_line():
    text = as_kept(kept())
    assert msgspec.json.decode(text, type=Kept) == kept()
    assert any("[2.0, 2.0]" in line for line in text.splitlines())


def test_old_charts_go_when_the_page_is_made(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/performance-gone-1.svg").write_text("")
    (tmp_path / "docs/other.svg").write_text("")
    performance_page.write(tmp_path)
    assert sorted(path.name for path in (tmp_path / "docs").iterdir()) == ["other.svg", "performance.md"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (99.96, "100"), (12345.6, "12,346")],
)
def test_numbers_have_about_three_digits(value, text):
    assert number(value) == text


def test_units_and_percentiles_read_as_people_write_them():
    assert quantity(5.0, "1/s") == "5.00/s"
    assert quantity(5.0, "") == "5.00"
    assert part_name(0.99) == "p99"


def test_every_scenario_has_the_name_of_its_module():
    assert [registry.load(name).name for name in registry.names()] == registry.names()
