"""From raw samples to the kept summary."""

from typing import Literal

import msgspec
import pytest

from benchmarks.machine import Machine
from benchmarks.result import Ratio, Result, as_text, figure, percentile, ratio, summarized, summary, verdict
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Scenario, Target

MACHINE = Machine(date="2026-01-01 00:00 UTC", cores=2, memory_gib=4.0, load=0.1, kernel="6.1")
TITLES = {OURS: "this project", "theirs": "the other"}


def measurement(better: Literal["lower", "higher"] = "lower", **rounds: list[list[float]]) -> Measurement:
    return Measurement("M", "ms", better, rounds, parts=[0.5, 1.0])


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)], ids=["least", "middle", "between", "most"]
)
def test_percentiles_lie_between_the_values(part, value):
    assert percentile([4.0, 1.0, 3.0, 2.0], part) == pytest.approx(value)
    assert percentile([7.0], part) == 7.0


def test_percentiles_are_over_all_samples_and_the_range_is_that_of_the_rounds():
    found = figure(measurement(ours=[[1.0, 2.0, 3.0], [], [10.0]]), OURS)
    assert found.parts == {"p50": 2.5, "p100": 10.0}
    assert (found.rounds, found.min, found.max, found.ratio) == (2, 2.0, 10.0, None)


def test_a_ratio_is_ours_by_theirs_of_the_same_round():
    # Round by round 0.5, 0.5, 4: of medians it would be 2.
    both = measurement(ours=[[1.0], [10.0], [4.0]], theirs=[[2.0], [20.0], [1.0]])
    assert figure(both, "theirs").ratio == Ratio(0.5, 0.5, 4.0)


@pytest.mark.parametrize(
    "rounds",
    [{"ours": [[1.0]]}, {"theirs": [[1.0]]}, {"ours": [[1.0]], "theirs": [[0.0]]}, {"ours": [[1.0]], "theirs": [[-1]]}],
    ids=["no other", "not ours", "zero", "below zero"],
)
def test_no_ratio_where_there_is_nothing_to_divide(rounds):
    assert ratio(measurement(**rounds), "theirs", 0.5) is None


@pytest.mark.parametrize(
    ("target", "words", "value", "met"),
    [
        (Target(at_most=4.0), "at most 4 ms", "3.00 ms", True),
        (Target(at_most=2.5), "at most 2.5 ms", "3.00 ms", False),
        (Target(at_least=2.5), "at least 2.5 ms", "3.00 ms", True),
        (Target(against="theirs", at_most=0.75), "at most 0.75 × the other", "0.5 ×", True),
        (Target(against="theirs", at_least=0.75), "at least 0.75 × the other", "0.5 ×", False),
        (Target(part=1.0, against=OURS, at_most=2.0), "p100 at most 2 × this project, p50", "1.67 ×", True),
        (Target(part=1.0, against=OURS, at_most=1.5), "p100 at most 1.5 × this project, p50", "1.67 ×", False),
    ],
    ids=["at most", "above", "at least", "ratio", "ratio too small", "most to middle", "most too far from middle"],
)
def test_targets_bound_ours_or_its_ratio(target, words, value, met):
    found = verdict(measurement(ours=[[1.0, 3.0, 5.0]], theirs=[[6.0]]), target, TITLES)
    assert found is not None
    assert (found.target, found.measured, found.met) == (words, value, met)


def test_a_target_against_somebody_who_was_not_measured_has_no_verdict():
    assert verdict(measurement(ours=[[1.0]]), Target(against="theirs", at_most=1.0), TITLES) is None
    assert verdict(measurement(theirs=[[1.0]]), Target(at_most=1.0), TITLES) is None


def test_a_competitor_without_samples_has_no_figures():
    assert summary(measurement(ours=[[1.0]], theirs=[[], []]), TITLES).figures.keys() == {OURS}


def test_a_result_is_read_as_it_was_written_and_figures_are_one_line():
    async def run(_: Context) -> Outcome:
        raise NotImplementedError

    scenario = Scenario(name="example", title="Example", about="About it.", run=run)
    competitors = [Competitor(name, title) for name, title in TITLES.items()]
    outcome = Outcome(competitors=competitors, measurements=[measurement(ours=[[1.0]], theirs=[[3.0]])])
    result = summarized(scenario, outcome, machine=MACHINE, quick=False, seconds=1.23)
    text = as_text(result)
    assert msgspec.json.decode(text, type=Result) == result
    assert text.count("\n") == 16
    assert '"ratio": [0.333333, 0.333333, 0.333333]' in text
