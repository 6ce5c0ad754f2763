"""From raw samples to figures. Whatever is shown of a measurement is computed here."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.scenario import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.scenario import Measurement, Target


NOISE = 0.05
"""Ratios nearer to 1 than this are called equal."""


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values is, between two of them if need be."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number and how far the rounds differ.

    Attributes:
        value: over the samples of all rounds, or the median of the rounds.
        least: the smallest of the rounds.
        most: the largest of the rounds.
    """

    value: float
    least: float
    most: float


def figure(measurement: Measurement, competitor: str, part: float) -> Figure:
    """A percentile of one competitor over the samples of all rounds, and the range of that of each round."""
    rounds = [each for each in measurement.rounds[competitor] if each]
    each = [percentile(samples, part) for samples in rounds]
    together = [sample for samples in rounds for sample in samples]
    return Figure(value=percentile(together, part), least=min(each), most=max(each))


def ratio(measurement: Measurement, competitor: str, part: float) -> Figure | None:
    """Ours divided by theirs, round by round: the median and the range.

    Rounds are paired, as a machine that is slow for a while is slow for both. None if a round of theirs is zero or less
    (a timer that fires early is late by a negative time), as no ratio says anything then; or if there are no pairs.
    """
    ours, theirs = measurement.rounds.get(OURS, []), measurement.rounds.get(competitor, [])
    pairs = [
        (percentile(mine, part), percentile(other, part))
        for mine, other in zip(ours, theirs, strict=False)
        if mine and other
    ]
    if any(other <= 0 for _, other in pairs):
        return None
    each = [mine / other for mine, other in pairs]
    return Figure(value=median(each), least=min(each), most=max(each)) if each else None


def wins(measurement: Measurement, found: Figure) -> bool | None:
    """Whether a ratio of ours to theirs is in our favour.

    None if the rounds do not agree on that, or if it is less than :data:`NOISE` away from 1.
    """
    if found.least <= 1 <= found.most or abs(found.value - 1) < NOISE:
        return None
    return (found.value > 1) == (measurement.better == "higher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a target came out.

    Attributes:
        value: what was measured: a ratio, or in the measurement's unit.
        met: whether it is within the bound.
    """

    value: float
    met: bool


def verdict(measurement: Measurement, target: Target) -> Verdict | None:
    """Compare a target with what was measured; None if its competitors were not measured."""
    if OURS not in measurement.rounds or (target.against and target.against not in measurement.rounds):
        return None
    if target.against and target.against != OURS and target.part == target.against_part:
        found = ratio(measurement, target.against, target.part)
        if found is None:
            return None
        value = found.value
    else:
        value = figure(measurement, OURS, target.part).value
        if target.against:
            divisor = figure(measurement, target.against, target.against_part).value
            if not divisor:
                return None
            value /= divisor
    met = (target.at_most is None or value <= target.at_most) and (target.at_least is None or value >= target.at_least)
    return Verdict(value=value, met=met)
