"""The tables of a scenario: the same rows for the page and for the console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.formatting import number, part_name, quantity, times
from benchmarks.result import figure, ratio, verdict, wins
from benchmarks.scenario import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.scenario import Competitor, Kept, Measurement, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """Cells as text; all columns but the first to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As a page has it."""
        marks = ["---", *("---:" for _ in self.columns[1:])]
        lines = [self.columns, marks, *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def titles(competitors: Sequence[Competitor]) -> dict[str, str]:
    """What tables call them, by name."""
    return {each.name: each.title for each in competitors}


def measured(measurement: Measurement, competitors: Sequence[Competitor]) -> TextTable:
    """One row for each competitor: its percentiles, how far the rounds differ, and ours divided by it."""
    compared = OURS in measurement.rounds and len(measurement.rounds) > 1
    first = measurement.parts[0]
    columns = ["", *map(part_name, measurement.parts)]
    columns += [f"rounds, {part_name(first)}"] + (["ours ÷ theirs"] if compared else [])
    rows = []
    for name, title in titles(competitors).items():
        if not any(measurement.rounds.get(name, ())):
            continue
        figures = [figure(measurement, name, part) for part in measurement.parts]
        row = [title, *(quantity(each.value, measurement.unit) for each in figures)]
        row.append(f"{number(figures[0].least)} to {number(figures[0].most)}")
        if compared:
            found = ratio(measurement, name, first)
            row.append("" if name == OURS or found is None else _ratio(found.value, found.least, found.most))
        rows.append(row)
    return TextTable(columns=columns, rows=rows)


def found(kept: Kept) -> list[tuple[str, TextTable]]:
    """The tables that are no measurements, with their titles."""
    return [
        (
            table.title,
            TextTable(
                columns=table.columns,
                rows=[[cell if isinstance(cell, str) else number(cell) for cell in row] for row in table.rows],
            ),
        )
        for table in kept.outcome.tables
    ]


def targets(results: Sequence[Kept]) -> TextTable:
    """Every target, and whether it is met."""
    rows = []
    for kept in results:
        names = titles(kept.outcome.competitors)
        for measurement in kept.outcome.measurements:
            for target in measurement.targets:
                result = verdict(measurement, target)
                bound, value = wanted(target, measurement.unit, names), "not measured"
                if result is not None:
                    value = times(result.value) if target.against else quantity(result.value, measurement.unit)
                met = "" if result is None else "yes" if result.met else "no"
                rows.append([f"{kept.title}: {measurement.title}", bound, value, met])
    return TextTable(columns=["what", "target", "measured", "met"], rows=rows)


def behind(results: Sequence[Kept]) -> TextTable:
    """Every competitor that is ahead of ours by more than the noise, the largest lead of a scenario first."""
    rows = []
    for kept in results:
        names = titles([each for each in kept.outcome.competitors if not each.reference])
        leads = []
        for measurement in kept.outcome.measurements:
            for name, title in names.items():
                result = ratio(measurement, name, measurement.parts[0]) if name != OURS else None
                if result is not None and wins(measurement, result) is False:
                    lead = result.value if measurement.better == "lower" else 1 / result.value if result.value else 0.0
                    leads.append((lead, [f"{kept.title}: {measurement.title}", title, times(result.value)]))
        rows += [row for _, row in sorted(leads, key=lambda each: -each[0])]
    return TextTable(columns=["what", "who is ahead", "ours ÷ theirs"], rows=rows)


def wanted(target: Target, unit: str, names: dict[str, str]) -> str:
    """A target in words: ``at most 0.75 × baseline``, ``p99 at most 2 × ours, p50``."""
    least = target.at_most is None
    bound = target.at_least if least else target.at_most
    assert bound is not None, "a target has a bound"
    words = f"at {'least' if least else 'most'}"
    what = "" if target.part == 0.5 else f"{part_name(target.part)} "
    if not target.against:
        return f"{what}{words} {bound:g} {unit}"
    against = names.get(target.against, target.against)
    which = "" if target.part == target.against_part else f", {part_name(target.against_part)}"
    return f"{what}{words} {bound:g} × {against}{which}"


def _ratio(value: float, least: float, most: float) -> str:
    return f"{times(value)} ({number(least)} to {number(most)})"
