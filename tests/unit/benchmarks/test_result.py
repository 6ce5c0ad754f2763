"""From raw samples to figures."""

from __future__ import annotations

from typing import Literal

import pytest

from benchmarks.result import Figure, figure, percentile, ratio, verdict, wins
from benchmarks.scenario import OURS, Measurement, Target


def measurement(better: Literal["lower", "higher"] = "lower", **rounds: list[list[float]]) -> Measurement:
    return Measurement(name="m", title="M", unit="ms", better=better, rounds=rounds)


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)], ids=["least", "middle", "between", "most"]
)
def test_percentiles_lie_between_the_values(part, value):
    assert percentile([4.0, 1.0, 3.0, 2.0], part) == pytest.approx(value)
    assert percentile([7.0], part) == 7.0


def test_a_figure_is_over_all_samples_and_its_range_is_that_of_the_rounds():
    found = figure(measurement(ours=[[1.0, 2.0, 3.0], [10.0]]), OURS, 0.5)
    assert found == Figure(value=2.5, least=2.0, most=10.0)


def test_rounds_without_samples_count_for_nothing():
    assert figure(measurement(ours=[[], [4.0]]), OURS, 0.5) == Figure(value=4.0, least=4.0, most=4.0)


def test_a_ratio_is_ours_by_theirs_of_the_same_round():
    # Round by round 0.5, 0.5, 4: of medians it would be 2.
    found = ratio(measurement(ours=[[1.0], [10.0], [4.0]], theirs=[[2.0], [20.0], [1.0]]), "theirs", 0.5)
    assert found == Figure(value=0.5, least=0.5, most=4.0)


@pytest.mark.parametrize(
    "rounds",
    [{"ours": [[1.0]]}, {"theirs": [[1.0]]}, {"ours": [[1.0]], "theirs": [[0.0]]}, {"ours": [[1.0]], "theirs": [[-1]]}],
    ids=["no other", "not ours", "zero", "below zero"],
)
def test_no_ratio_where_there_is_nothing_to_divide(rounds):
    assert ratio(measurement(**rounds), "theirs", 0.5) is None


@pytest.mark.parametrize(
    ("better", "found", "won"),
    [
        ("lower", (0.5, 0.4, 0.6), True),
        ("lower", (2.0, 1.5, 3.0), False),
        ("higher", (2.0, 1.5, 3.0), True),
        ("higher", (0.5, 0.4, 0.6), False),
        ("lower", (2.0, 0.9, 3.0), None),
        ("lower", (1.04, 1.01, 1.06), None),
    ],
    ids=["less is better", "more is worse", "more is better", "less is worse", "rounds disagree", "within the noise"],
)
def test_who_is_ahead_depends_on_the_direction_and_needs_rounds_that_agree(better, found, won):
    value, least, most = found
    assert wins(measurement(better), Figure(value=value, least=least, most=most)) is won


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target(at_most=4.0), 3.0, True),
        (Target(at_most=2.5), 3.0, False),
        (Target(at_least=2.5), 3.0, True),
        (Target(against="theirs", at_most=0.75), 0.5, True),
        (Target(against="theirs", at_least=0.75), 0.5, False),
        (Target(part=1.0, against=OURS, at_most=2.0), 5.0 / 3.0, True),
        (Target(part=1.0, against=OURS, at_most=1.5), 5.0 / 3.0, False),
    ],
    ids=["at most", "above", "at least", "ratio", "ratio too small", "most to middle", "most too far from middle"],
)
def test_targets_bound_ours_or_its_ratio(target, value, met):
    found = verdict(measurement(ours=[[1.0, 3.0, 5.0]], theirs=[[6.0]]), target)
    assert found is not None
    assert found.value == pytest.approx(value)
    assert found.met is met


def test_a_target_against_somebody_who_was_not_measured_has_no_verdict():
    assert verdict(measurement(ours=[[1.0]]), Target(against="theirs", at_most=1.0)) is None
    assert verdict(measurement(theirs=[[1.0]]), Target(at_most=1.0)) is None
