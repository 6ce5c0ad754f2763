"""The summary of a scenario's samples: one file ``benchmarks/results/<scenario>.json``."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from benchmarks.formatting import part_name, quantity
from benchmarks.machine import Machine
from benchmarks.scenario import OURS, Competitor, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.scenario import Measurement, Outcome, Scenario, Target

LINE = 220
"""Of a line of JSON: a competitor or its figures fit on one."""


class Ratio(msgspec.Struct, frozen=True, array_like=True):
    """Ours divided by theirs, per round: the median, the minimum and the maximum of the rounds."""

    median: float
    min: float
    max: float


class Figure(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The figures of one competitor.

    Attributes:
        parts: percentiles over the samples of all rounds, by name: "p50", "p99".
        rounds: how many there were.
        min: of the first percentile, the minimum of the rounds.
        max: and the maximum.
        ratio: of the first percentile, ours to this competitor's; None for ours, and where it says nothing.
    """

    parts: dict[str, float]
    rounds: int
    min: float
    max: float
    ratio: Ratio | None = None


class Verdict(msgspec.Struct, kw_only=True, frozen=True):
    """A target, what was measured, and whether that meets the target."""

    target: str
    measured: str
    met: bool


class Summary(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One measurement: the figures by competitor, and the verdicts."""

    title: str
    unit: str
    better: Literal["lower", "higher"]
    figures: dict[str, Figure]
    verdicts: list[Verdict] = []


class Result(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One run of one scenario.

    Attributes:
        scenario: its name.
        title: its heading.
        about: what is measured and why.
        quick: whether the small sizes were used; such figures are for a first look only.
        seconds: how long the run took.
        machine: where it ran.
        competitors: in the order of the tables; ours first.
        measurements: in the order of the page.
        tables: further results.
        conditions: how it was measured.
    """

    scenario: str
    title: str
    about: str
    quick: bool = False
    seconds: float
    machine: Machine
    competitors: list[Competitor]
    measurements: list[Summary]
    tables: list[Table] = []
    conditions: list[str] = []


def summarized(scenario: Scenario, outcome: Outcome, *, machine: Machine, quick: bool, seconds: float) -> Result:
    """The result of a run."""
    titles = {each.name: each.title for each in outcome.competitors}
    return Result(
        scenario=scenario.name,
        title=scenario.title,
        about=scenario.about,
        quick=quick,
        seconds=round(seconds, 1),
        machine=machine,
        competitors=outcome.competitors,
        measurements=[summary(each, titles) for each in outcome.measurements],
        tables=outcome.tables,
        conditions=outcome.conditions,
    )


def summary(measurement: Measurement, titles: dict[str, str]) -> Summary:
    """The summary of the raw samples.

    Args:
        measurement: with the samples of each round.
        titles: of the competitors, by name.
    """
    return Summary(
        title=measurement.title,
        unit=measurement.unit,
        better=measurement.better,
        figures={name: figure(measurement, name) for name, rounds in measurement.rounds.items() if any(rounds)},
        verdicts=[
            found for target in measurement.targets if (found := verdict(measurement, target, titles)) is not None
        ],
    )


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values is, interpolated between two values."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figure(measurement: Measurement, competitor: str) -> Figure:
    """The percentiles of one competitor."""
    rounds = [each for each in measurement.rounds[competitor] if each]
    first = [percentile(samples, measurement.parts[0]) for samples in rounds]
    return Figure(
        parts={part_name(part): _digits(overall(measurement, competitor, part)) for part in measurement.parts},
        rounds=len(rounds),
        min=_digits(min(first)),
        max=_digits(max(first)),
        ratio=ratio(measurement, competitor, measurement.parts[0]) if competitor != OURS else None,
    )


def overall(measurement: Measurement, competitor: str, part: float) -> float:
    """A percentile over the samples of all rounds."""
    return percentile([sample for samples in measurement.rounds[competitor] for sample in samples], part)


def ratio(measurement: Measurement, competitor: str, part: float) -> Ratio | None:
    """Ours divided by theirs, round by round, as a machine that is slow for a while is slow for both.

    None if a round of theirs is zero or less (a timer that fires early has a negative delay), or without pairs.
    """
    ours, theirs = measurement.rounds.get(OURS, []), measurement.rounds.get(competitor, [])
    pairs = [
        (percentile(mine, part), percentile(other, part))
        for mine, other in zip(ours, theirs, strict=False)
        if mine and other
    ]
    if not pairs or any(other <= 0 for _, other in pairs):
        return None
    each = [mine / other for mine, other in pairs]
    return Ratio(_digits(median(each)), _digits(min(each)), _digits(max(each)))


def verdict(measurement: Measurement, target: Target, titles: dict[str, str]) -> Verdict | None:
    """Compare a target with what was measured; None if its competitors were not measured."""
    if OURS not in measurement.rounds or (target.against and target.against not in measurement.rounds):
        return None
    unit = "×" if target.against else measurement.unit
    if target.against and target.against != OURS and target.part == target.against_part:
        found = ratio(measurement, target.against, target.part)
        if found is None:
            return None
        value = found.median
    else:
        value = overall(measurement, OURS, target.part)
        if target.against:
            value /= overall(measurement, target.against, target.against_part)
    met = (target.at_most is None or value <= target.at_most) and (target.at_least is None or value >= target.at_least)
    return Verdict(target=_wanted(target, measurement.unit, titles), measured=quantity(value, unit), met=met)


def _wanted(target: Target, unit: str, titles: dict[str, str]) -> str:
    """A target as text: ``at most 0.75 × baseline``, ``p99 at most 2 × ours, p50``."""
    bound = target.at_least if target.at_most is None else target.at_most
    assert bound is not None, "a target has a bound"
    what = "" if target.part == 0.5 else f"{part_name(target.part)} "
    words = f"{what}at {'least' if target.at_most is None else 'most'} {bound:g}"
    if not target.against:
        return f"{words} {unit}"
    which = "" if target.part == target.against_part else f", {part_name(target.against_part)}"
    return f"{words} × {titles.get(target.against, target.against)}{which}"


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def as_text(result: Result) -> str:
    """JSON with short values on one line, for readable diffs."""
    return _lines(msgspec.to_builtins(result), 0) + "\n"


def _lines(value: Any, depth: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if depth and (len(text) + depth <= LINE or not isinstance(value, (dict, list))):
        return text
    begin, end, items = "[", "]", [("", each) for each in value]
    if isinstance(value, dict):
        begin, end = "{", "}"
        items = [(f"{json.dumps(key)}: ", each) for key, each in value.items()]
    inner = ",\n".join(f"{' ' * (depth + 1)}{key}{_lines(each, depth + 1)}" for key, each in items)
    return f"{begin}\n{inner}\n{' ' * depth}{end}"
