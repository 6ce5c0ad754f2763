"""Scenarios and their outcomes.

A scenario is a module with a constant ``SCENARIO`` and a line in ``benchmarks/registry.py``. Its function ``run``
returns raw samples; ``benchmarks/result.py`` summarizes them, and the page is made from the summaries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from pathlib import Path

OURS = "ours"
"""The name of our competitor, in every measurement that has one."""


class Competitor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One implementation that is measured.

    Attributes:
        name: short, the key of its samples. Ours is :data:`OURS`.
        title: what a table calls it.
        about: how it does the work, if the title does not say so; one sentence.
        versions: of its software, by name, read while it ran.
        reference: True for a baseline, or another way to use ours: shown, and not reported as ahead of ours.
    """

    name: str
    title: str
    about: str = ""
    versions: dict[str, str] = {}
    reference: bool = False


class Target(msgspec.Struct, kw_only=True, frozen=True):
    """A bound on one figure of ours: a percentile, or its ratio to somebody's percentile.

    Attributes:
        part: which percentile of ours, over all rounds; 0.5 is the median.
        against: the competitor whose percentile ours is divided by; empty: ours itself is bounded. May be ``ours``, for
            a bound such as "p99 at most twice p50".
        against_part: which percentile of theirs.
        at_most: the bound, if less is better.
        at_least: the bound, if more is better.
    """

    part: float = 0.5
    against: str = ""
    against_part: float = 0.5
    at_most: float | None = None
    at_least: float | None = None


class Measurement(msgspec.Struct, frozen=True):
    """One quantity, measured of several competitors in the same run.

    Attributes:
        title: of its table: what is measured, and of what.
        unit: of every sample: "ms", "s", "KiB", "1/s", "requests" ...
        better: which direction wins.
        rounds: by competitor: for each round its raw samples. A throughput has one sample a round, a latency many.
            Competitors are measured in turns, so round `i` of one is comparable with round `i` of another.
        targets: what ours shall reach.
        parts: the percentiles that are shown.
    """

    title: str
    unit: str
    better: Literal["lower", "higher"]
    rounds: dict[str, list[list[float]]]
    targets: list[Target] = []
    parts: list[float] = msgspec.field(default_factory=lambda: [0.5])


class Table(msgspec.Struct, kw_only=True, frozen=True):
    """Results that depend on a size: a row for each size, numbers to the right."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float]]


class Outcome(msgspec.Struct, kw_only=True, frozen=True):
    """The outcome of a scenario's run.

    Attributes:
        competitors: in the order of the tables; ours first.
        measurements: in the order of the page.
        conditions: sentences on how it was measured, with this run's sizes, for a reader who wants to doubt it.
        tables: what else was found.
    """

    competitors: list[Competitor]
    measurements: list[Measurement]
    conditions: list[str] = []
    tables: list[Table] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parameters of a run.

    Attributes:
        quick: use sizes that take seconds, not minutes.
        tell: call it with what happens now, a few words; it is shown to people who wait.
        scratch: an empty directory that is removed afterwards.
    """

    quick: bool
    tell: Callable[[str], None]
    scratch: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A benchmark.

    Attributes:
        name: of its file and on the command line; the module's name.
        title: its heading on the page.
        about: what is measured, and why it matters; one or two sentences.
        run: measures. Raises :class:`BenchmarkError` (or ``testbed.errors.BedError``) when it cannot.
    """

    name: str
    title: str
    about: str
    run: Callable[[Context], Coroutine[Any, Any, Outcome]]


class BenchmarkError(Exception):
    """A scenario cannot be measured; the text has the reason."""


@dataclass(slots=True)
class Rounds:
    """Samples of competitors in turns: A B C, B C A, C A B ... so that drift of the machine affects all equally.

    Args:
        competitors: their names.
    """

    competitors: Sequence[str]
    found: dict[str, list[list[float]]] = field(default_factory=dict)

    async def interleaved(self, context: Context, *, rounds: int, what: str = "") -> AsyncIterator[tuple[int, str]]:
        """The turns, as (round from 0, competitor); each is reported."""
        for number in range(rounds):
            shift = number % len(self.competitors)
            for name in (*self.competitors[shift:], *self.competitors[:shift]):
                context.tell(f"{what + ', ' if what else ''}round {number + 1} of {rounds}: {name}")
                yield number, name

    def add(self, competitor: str, samples: Sequence[float]) -> None:
        """Keep the samples of one turn, with six digits."""
        self.found.setdefault(competitor, []).append([float(f"{sample:.6g}") for sample in samples])
