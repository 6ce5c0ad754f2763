"""``docs/performance.md`` says what the kept results say, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import performance_page, registry
from benchmarks.__main__ import as_kept
from benchmarks.formatting import number, part_name, quantity
from benchmarks.machine import Machine
from benchmarks.performance_page import PAGE, page
from benchmarks.scenario import OURS, Competitor, Kept, Measurement, Outcome, Table, Target

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
        rounds={OURS: [[2.0, 2.0], [4.0]], "other": [[1.0], [1.0]], "baseline": [[1.0], [1.0]]},
        targets=[Target(against="baseline", at_most=1.5), Target(at_most=3.0)],
    )
    rate = Measurement(
        name="rate", title="Rate", unit="1/s", better="higher", rounds={OURS: [[2000.0]], "other": [[1000.0]]}
    )
    outcome = Outcome(
        competitors=[
            Competitor(name=OURS, title="this project", about="As it is.", versions={"python": "3.11"}),
            Competitor(name="other", title="the other"),
            Competitor(name="baseline", title="the baseline", reference=True),
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
    made = performance_page.page(performance_page.load(REPOSITORY))
    assert (REPOSITORY / PAGE).read_text() == made, "make it again with `python -m benchmarks --page-only`"


@pytest.mark.parametrize(
    "line",
    [
        "|  | p50 | p99 | rounds, p50 | ours ÷ theirs |",
        "| this project | 2.00 ms | 3.96 ms | 2.00 to 4.00 |  |",
        "| the other | 1.00 ms | 1.00 ms | 1.00 to 1.00 | 3.00 × (2.00 to 4.00) |",
        "| the other | 1,000/s | 1,000 to 1,000 | 2.00 × (2.00 to 2.00) |",
        "| patch | 12,345 |",
        "| Example: Latency | at most 1.5 × the baseline | 3.00 × | no |",
        "| Example: Latency | at most 3 ms | 2.00 ms | yes |",
        "| Example: Latency | the other | 3.00 × |",
        "- Measured by hand.",
        "- this project: As it is. (python 3.11)",
        "| Example | 2026-01-01 00:00 UTC | 0.1 | 12 s |",
    ],
)
def test_the_page_has_every_figure(line):
    assert line in page([kept()]).splitlines()


def test_a_baseline_is_nobody_who_is_ahead():
    ahead = page([kept()]).split("Where somebody is ahead")[1].split("## ")[0]
    assert "the baseline" not in ahead


def test_small_sizes_and_a_noisy_machine_are_said():
    assert "Only a first look" not in page([kept()])
    assert "noisy" not in page([kept()])
    assert "Only a first look, with small sizes: Example." in page([kept(quick=True)])
    noisy = msgspec.structs.replace(MACHINE, load=1.5)
    assert "noisy" in page([kept(machine=noisy)])


def test_kept_results_are_read_as_they_were_written_and_a_round_is_one_line():
    text = as_kept(kept())
    assert msgspec.json.decode(text, type=Kept) == kept()
    assert any("[2.0, 2.0]" in line for line in text.splitlines())


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
