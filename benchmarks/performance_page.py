"""``docs/performance.md`` and its charts, made from kept results and nothing else."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks import first_answer_section, registry
from benchmarks.arithmetic import NOISE, figure
from benchmarks.chart import bars
from benchmarks.flame import flame_graph, stacks_of
from benchmarks.measured import Results
from benchmarks.scenario import Kept
from benchmarks.tables import TextTable, behind, found, measured, targets, titles
from benchmarks.texts import part_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.machine import Machine
    from benchmarks.scenario import Contestant, Measurement

PAGE = Path("docs/performance.md")
RESULTS = Path("benchmarks/results")


def result_path(scenario: str) -> Path:
    """Where the results of a scenario are kept."""
    return RESULTS / f"{scenario}.json"


def load(root: Path) -> tuple[list[Kept], Results | None]:
    """The kept results: of the scenarios in the registry's order, and of the first answer."""
    kept = [
        msgspec.json.decode(path.read_bytes(), type=Kept)
        for path in (root / result_path(name) for name in registry.names())
        if path.exists()
    ]
    raw = root / first_answer_section.RAW
    return kept, msgspec.json.decode(raw.read_bytes(), type=Results) if raw.exists() else None


def files(root: Path) -> dict[Path, str]:
    """What the page and its charts have to be: by path below `root`, their text."""
    kept, first_answer = load(root)
    made = {PAGE: page(kept, first_answer)}
    for each in kept:
        made |= dict(charts(each))
    if first_answer is not None:
        made[first_answer_section.CHART] = first_answer_section.chart(first_answer)
    return made


def write(root: Path) -> None:
    """Make the page and its charts again, and remove charts that it does not show any more."""
    made = files(root)
    for old in (root / PAGE.parent).glob(f"{PAGE.stem}-*.svg"):
        if old.relative_to(root) not in made:
            old.unlink()
    for path, text in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def page(results: Sequence[Kept], first_answer: Results | None) -> str:
    """The page."""
    parts = [_HEAD]
    if quick := [each.title for each in results if each.quick]:
        parts.append(f"**Only a first look, with small sizes: {', '.join(quick)}.**")
    if results:
        parts += ["## In short", _summary(results)]
    parts += [_section(each) for each in results]
    if first_answer is not None:
        parts.append(first_answer_section.section(first_answer))
    parts.append(_machines(results, first_answer))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def charts(kept: Kept) -> Iterator[tuple[Path, str]]:
    """The charts of one scenario, in the order of its measurements, and its flame graphs."""
    for number, (title, group) in enumerate(_chart_groups(kept), 1):
        yield _chart_path(kept, number), _chart(title, group, kept.outcome.contestants)
    for number, profile in enumerate(kept.outcome.profiles, 1):
        yield _flame_path(kept, number), flame_graph(profile.title, stacks_of(profile))


_HEAD = """\
# Performance

Made by `make bench`; no figure on this page is typed by hand. The raw numbers, every sample of every round, are in
[benchmarks/results](../benchmarks/results); `python -m benchmarks --page-only` makes the page from them again.
`make bench-quick` gives a first look in a few minutes, and keeps nothing.

Contestants of a table were measured in the same run, in turns, round by round. A figure is the percentile over the
samples of all rounds; beside it is the range of the same percentile of single rounds. *Ours ÷ theirs* is computed for
each round: the median, and the range. Expect other numbers elsewhere, and compare those of one run with each other."""


def _summary(results: Sequence[Kept]) -> str:
    parts = []
    if (reached := targets(results)).rows:
        parts += ["What we want to reach:", reached.markdown()]
    if (ahead := behind(results)).rows:
        parts += [f"Where somebody is ahead of us in every round, by more than {NOISE:.0%}:", ahead.markdown()]
    else:
        parts.append(f"Nobody is ahead of us in every round by more than {NOISE:.0%}, in anything that was measured.")
    return "\n\n".join(parts)


def _section(kept: Kept) -> str:
    outcome = kept.outcome
    parts = [f"## {kept.title}", kept.about]
    shown = 0
    pictures = _chart_groups(kept)
    drawn = {title: number for number, (title, _) in enumerate(pictures, 1)}
    for measurement in outcome.measurements:
        if (number := drawn.get(measurement.chart, 0)) > shown:
            parts.append(f"![{measurement.chart}]({_chart_path(kept, number).name})")
            shown = number
        parts += [f"**{measurement.title}** ({measurement.better} is better)"]
        parts.append(measured(measurement, outcome.contestants).markdown())
    for number, profile in enumerate(outcome.profiles, 1):
        parts.append(f"![{profile.title}]({_flame_path(kept, number).name})")
    for title, table in found(kept):
        parts += [f"**{title}**", table.markdown()]
    parts += (
        ["How it is measured:", "\n".join(f"- {each}" for each in outcome.conditions)] if outcome.conditions else []
    )
    parts += ["Who takes part:", _contestants(outcome.contestants)]
    parts.append(f"Raw numbers: [{result_path(kept.scenario)}](../{result_path(kept.scenario)}).")
    return "\n\n".join(parts)


def _contestants(contestants: Sequence[Contestant]) -> str:
    lines = []
    for each in contestants:
        versions = ", ".join(f"{name} {version}" for name, version in each.versions.items())
        words = " ".join(part for part in (each.about, f"({versions})" if versions else "") if part)
        lines.append(f"- {each.title}" + (f": {words}" if words else ""))
    return "\n".join(lines)


def _chart_groups(kept: Kept) -> list[tuple[str, list[Measurement]]]:
    charted = [each for each in kept.outcome.measurements if each.chart]
    order = {each.chart: None for each in charted}  # a dict keeps the order in which they come
    return [(title, [each for each in charted if each.chart == title]) for title in order]


def _chart_path(kept: Kept, number: int) -> Path:
    return PAGE.parent / f"{PAGE.stem}-{kept.scenario.replace('_', '-')}-{number}.svg"


def _flame_path(kept: Kept, number: int) -> Path:
    return PAGE.parent / f"{PAGE.stem}-{kept.scenario.replace('_', '-')}-flame-{number}.svg"


def _chart(title: str, group: Sequence[Measurement], contestants: Sequence[Contestant]) -> str:
    """Of one measurement: a row for each contestant, percentiles as bars. Of several: a row for each, contestants."""
    taking_part = {
        name: shown for name, shown in titles(contestants).items() if any(_has(each, name) for each in group)
    }
    if len(group) == 1:
        (only,) = group
        series = [
            (
                part_name(part) if len(only.parts) > 1 else "",
                [figure(only, name, part).value for name in taking_part],
            )
            for part in only.parts
        ]
        return bars(title, list(taking_part.values()), series, unit=only.unit)
    several: list[tuple[str, list[float | None]]] = [
        (shown, [figure(each, name, each.parts[0]).value if _has(each, name) else None for each in group])
        for name, shown in taking_part.items()
    ]
    return bars(title, [each.title for each in group], several, unit=group[0].unit)


def _has(measurement: Measurement, contestant: str) -> bool:
    return any(measurement.rounds.get(contestant, ()))


def _machines(results: Sequence[Kept], first_answer: Results | None) -> str:
    runs: list[tuple[str, Machine, float | None]] = [(each.title, each.machine, each.seconds) for each in results]
    if first_answer is not None:
        runs.append((first_answer_section.TITLE, first_answer.machine, None))
    noisy = [title for title, machine, _ in runs if machine.load > machine.cores / 2]
    rows = [
        [title, machine.date, f"{machine.load:g}", "" if seconds is None else f"{seconds:.0f} s"]
        for title, machine, seconds in runs
    ]
    parts = ["## On what"]
    if noisy:
        parts.append(
            "**The machine was noisy: other work ran on it at the same time, more than half of its cores' worth of "
            f"load when these began: {', '.join(noisy)}.**"
        )
    parts.append(TextTable(columns=["measured", "when", "load before", "took"], rows=rows).markdown())
    for described, group in groupby(sorted((_described(machine), title) for title, machine, _ in runs), lambda x: x[0]):
        names = [title for _, title in group]
        parts.append(described + ("" if len(names) == len(runs) else f" ({', '.join(names)})"))
    return "\n\n".join(parts)


def _described(machine: Machine) -> str:
    components = ", ".join(f"{name} {version}" for name, version in machine.components.items())
    processor = f" ({machine.processor})" if machine.processor else ""
    return (
        f"{machine.cores} cores{processor}, {machine.memory_gib:g} GiB, Linux {machine.kernel}, "
        f"Python {machine.python}, mcs-controller {machine.controller}, {components}."
    )
