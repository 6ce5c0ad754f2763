"""``docs/performance.md`` says what the kept results say, and nothing else."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from benchmarks import performance_page, registry
from benchmarks.formatting import number, part_name, quantity
from benchmarks.machine import Machine
from benchmarks.performance_page import PAGE, is_ahead, page
from benchmarks.result import Figure, Ratio, Result, Summary, summary
from benchmarks.scenario import OURS, Competitor, Measurement, Table, Target

REPOSITORY = Path(__file__).resolve().parents[3]
MACHINE = Machine(date="2026-01-01 00:00 UTC", cores=2, memory_gib=4.0, load=0.1, kernel="6.1")
TITLES = {OURS: "this project", "other": "the other", "baseline": "the baseline"}


def result(**changes: Any) -> Result:
    latency = Measurement(
        "Latency",
        "ms",
        "lower",
        {OURS: [[2.0, 2.0], [4.0]], "other": [[1.0], [1.0]], "baseline": [[1.0], [1.0]]},
        parts=[0.5, 0.99],
        targets=[Target(against="baseline", at_most=1.5), Target(at_most=3.0)],
    )
    rate = Measurement("Rate", "1/s", "higher", {OURS: [[2000.0]], "other": [[1000.0]]})
    fields: dict[str, Any] = {
        "scenario": "example",
        "title": "Example",
        "about": "About it.",
        "seconds": 12.3,
        "machine": MACHINE,
        "competitors": [
            Competitor(OURS, "this project", "As it is.", {"python": "3.11"}),
            Competitor("other", "the other"),
            Competitor("baseline", "the baseline", reference=True),
        ],
        "measurements": [summary(each, TITLES) for each in (latency, rate)],
        "conditions": ["Measured by hand."],
        "tables": [Table(title="By size", columns=["size", "seconds"], rows=[[12345, 1.5]])],
    }
    return Result(**{**fields, **changes})


def test_the_page_in_docs_is_made_from_the_kept_results():
    made = page(performance_page.load(REPOSITORY))
    assert (REPOSITORY / PAGE).read_text() == made, "make it again with `python -m benchmarks --page-only`"


def test_every_scenario_has_the_name_of_its_module_and_a_result():
    assert [registry.load(name).name for name in registry.names()] == registry.names()
    assert [each.scenario for each in performance_page.load(REPOSITORY)] == registry.names()


@pytest.mark.parametrize(
    "line",
    [
        "| measurement | competitor | p50 | p99 | rounds | ours ÷ theirs |",
        "| Latency | this project | 2.00 ms | 3.96 ms | 2.00 to 4.00 |  |",
        "|  | the other | 1.00 ms | 1.00 ms | 1.00 to 1.00 | 3.00 × (2.00 to 4.00) |",
        "| Rate (more is better) | this project | 2,000/s |  |  |  |",
        "|  | the other | 1,000/s |  |  | 2.00 × (2.00 to 2.00) |",
        "| 12,345 | 1.50 |",
        "| Example: Latency | at most 1.5 × the baseline | 3.00 × | no |",
        "| Example: Latency | at most 3 ms | 2.00 ms | yes |",
        "| Example: Latency | the other | 3.00 × |",
        "- Measured by hand.",
        "- *this project*: As it is.",
        "| Example | 2026-01-01 00:00 UTC | 0.1 | 12 s |",
        "Software: python 3.11.",
    ],
)
def test_the_page_has_every_figure(line):
    assert line in page([result()]).splitlines()


def test_a_baseline_is_not_reported_as_ahead():
    ahead = page([result()]).split("Where a competitor is ahead")[1].split("## ")[0]
    assert "the baseline" not in ahead


@pytest.mark.parametrize(
    ("better", "found", "ahead"),
    [
        ("lower", (0.5, 0.4, 0.6), False),
        ("lower", (2.0, 1.5, 3.0), True),
        ("higher", (2.0, 1.5, 3.0), False),
        ("higher", (0.5, 0.4, 0.6), True),
        ("lower", (2.0, 0.9, 3.0), False),
        ("lower", (1.04, 1.01, 1.06), False),
    ],
    ids=["less is better", "more is worse", "more is better", "less is worse", "rounds disagree", "within the noise"],
)
def test_who_is_ahead_depends_on_the_direction_and_needs_rounds_that_agree(
    better: Literal["lower", "higher"], found, ahead
):
    theirs = Figure(parts={}, rounds=3, min=0, max=0, ratio=Ratio(*found))
    assert is_ahead(Summary(title="", unit="", better=better, figures={}), theirs) is ahead


def test_small_sizes_and_a_noisy_machine_are_said():
    assert "Only a first look" not in page([result()])
    assert "Other work ran" not in page([result()])
    assert "Only a first look, with small sizes: Example." in page([result(quick=True)])
    assert "Other work ran" in page([result(machine=msgspec.structs.replace(MACHINE, load=1.5))])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (99.96, "100"), (12345.6, "12,346"), (10, "10")],
)
def test_numbers_have_about_three_digits(value, text):
    assert number(value) == text


def test_units_and_percentiles_read_as_people_write_them():
    assert quantity(5.0, "1/s") == "5.00/s"
    assert quantity(5.0, "") == "5.00"
    assert part_name(0.99) == "p99"
