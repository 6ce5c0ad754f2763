"""``docs/performance.md``, made from the files in ``benchmarks/results``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks import registry
from benchmarks.formatting import markdown, number, quantity
from benchmarks.result import Result
from benchmarks.scenario import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.result import Figure, Summary

PAGE = Path("docs/performance.md")
RESULTS = Path("benchmarks/results")
NOISE = 0.05
"""Ratios nearer to 1 than this are called equal."""


def result_path(scenario: str) -> Path:
    """The path of a scenario's result."""
    return RESULTS / f"{scenario}.json"


def load(root: Path) -> list[Result]:
    """The kept results, in the registry's order."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Result)
        for path in (root / result_path(name) for name in registry.names())
        if path.exists()
    ]


def write(root: Path) -> None:
    """Write the page."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(load(root)))


_HEAD = """\
# Performance

`make bench` runs all benchmarks and generates this page from the summaries in
`benchmarks/results`; `python -m benchmarks --page-only` generates it without measuring.
`make bench-quick` takes a few minutes and writes to `build/`.

The competitors of a table ran in the same run, in turns, round by round. *p50*, *p90* and *p99* are percentiles over
the samples of all rounds (*p100* is the maximum); *rounds* is the range of the first percentile over single rounds.
*Ours ÷ theirs* is computed per round: the median, and the range. Numbers differ on other machines; compare
only numbers of the same run."""

_EARLIER = """\
## Earlier measurements

These scenarios were measured on 2026-11-22 and 2026-11-23 on the machine below, and removed afterwards, as no decision
depends on them any more. Their code and raw samples are in the Git history before the commit that removed them.

- From a ready Pod in `member1` to its first answer in `member2` over the Service's name, 20 rounds: median 70 ms, p90
  141 ms. The controller's own hops (collect, dispatch, apply) take 29 ms of it, p90 55 ms. `make demo` shows the same
  hops, with the times of one run.
- One change of an endpoint with 2, 10, 30 and 100 members (real API servers for two of them, fakes for the others): 3
  requests, and 7.4, 6.7, 6.5 and 6.1 ms of CPU. Memory grows from 89 MiB with 2 members to 100 MiB with 100.
- One change of an endpoint while 500 services are being created with the default request limits: median 16 ms, p90
  33 ms, maximum 62 ms. After a restart in the middle of that: 19 ms, 47 ms and 728 ms.
- Services created at once and deleted at once, with one consumer: 200 services take 87 s and 34 s with the default
  request limits (40/60); 500 take 49 s and 36 s with limits of 2000/4000. The time grows in proportion to the number of
  services, and no request was answered 409. One service created takes 9 control plane requests of the
  MultiClusterService controllers (2 of them events), one deleted 5.
- Watch events through an informer (decode, store, two indexes, handler), per second of CPU time: 47,500; client-go
  5,600 typed and 5,000 unstructured. On a real API server, 1,000 changes at once: 124 µs of CPU for each event;
  client-go 143 µs typed and 424 µs unstructured, kubernetes_asyncio 879 µs, kopf 998 µs.
- CPU profile in a stream of changes: a quarter of the samples in the event loop, 8% in sending requests, 4% in parsing
  HTTP. For a profile of your own: `py-spy record --format flamegraph --output profile.svg --pid PID`.
- Alternatives for decoding: endpoints and ports decoded into dicts take half the throughput and three times the memory
  (12.6 instead of 3.9 KiB a slice); msgspec into dicts 0.7 times the throughput and 16.8 KiB. A full garbage collection
  with 20,000 slices takes 2 ms; with dicts it takes 228 to 301 ms.
- A new connection for each request takes ten times the CPU time of a kept one."""


def page(results: Sequence[Result]) -> str:
    """The page."""
    parts = [_HEAD]
    if quick := [each.title for each in results if each.quick]:
        parts.append(f"**Only a first look, with small sizes: {', '.join(quick)}.**")
    if results:
        parts += ["## Summary", _targets(results), _behind(results)]
    parts += [*map(section, results), _EARLIER]
    if results:
        parts.append(_machines(results))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _targets(results: Sequence[Result]) -> str:
    rows = [
        [f"{result.title}: {measurement.title}", each.target, each.measured, "yes" if each.met else "no"]
        for result in results
        for measurement in result.measurements
        for each in measurement.verdicts
    ]
    return markdown(["measurement", "target", "measured", "met"], rows)


def _behind(results: Sequence[Result]) -> str:
    """Every competitor that is ahead of ours in all rounds, by more than the noise."""
    rows = [
        [f"{result.title}: {measurement.title}", each.title, f"{number(found.ratio.median)} ×"]
        for result in results
        for measurement in result.measurements
        for each in result.competitors
        if not each.reference
        and (found := measurement.figures.get(each.name))
        and found.ratio
        and is_ahead(measurement, found)
    ]
    if not rows:
        return f"No competitor is ahead of ours in every round by more than {NOISE:.0%}."
    return f"Where a competitor is ahead of ours in every round, by more than {NOISE:.0%}:\n\n" + markdown(
        ["measurement", "competitor", "ours ÷ theirs"], rows
    )


def is_ahead(measurement: Summary, theirs: Figure) -> bool:
    """Whether a competitor is better than ours in every round, and by more than :data:`NOISE`."""
    if theirs.ratio is None or abs(theirs.ratio.median - 1) < NOISE:
        return False
    return theirs.ratio.min > 1 if measurement.better == "lower" else theirs.ratio.max < 1


def section(result: Result) -> str:
    """The section of one scenario."""
    parts = [f"## {result.title}", result.about, _table(result)]
    for table in result.tables:
        rows = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in table.rows]
        parts += [f"{table.title}:", markdown(table.columns, rows)]
    described = "; ".join(f"*{each.title}*: {each.about.rstrip('.')}" for each in result.competitors if each.about)
    parts.append("\n".join(f"- {each}" for each in (*result.conditions, *([f"{described}."] if described else []))))
    return "\n\n".join(part for part in parts if part)


def _table(result: Result) -> str:
    """A row for each measurement and competitor; columns that would be empty everywhere are left out."""
    if not result.measurements:
        return ""
    figures = [each for measurement in result.measurements for each in measurement.figures.values()]
    names = list(dict.fromkeys(part for each in figures for part in each.parts))
    compared = any(each.ratio for each in figures)
    several = any(each.rounds > 1 for each in figures)
    columns = ["measurement", *(["competitor"] if compared else [])]
    columns += names if compared or several else ["value"]
    columns += (["rounds"] if several else []) + (["ours ÷ theirs"] if compared else [])
    rows = []
    for measurement in result.measurements:
        title = f"{measurement.title}{' (more is better)' if measurement.better == 'higher' else ''}"
        for competitor in result.competitors:
            if (found := measurement.figures.get(competitor.name)) is None:
                continue
            row = [title, *([competitor.title] if compared else [])]
            row += [quantity(found.parts[name], measurement.unit) if name in found.parts else "" for name in names]
            if several:
                row.append(f"{number(found.min)} to {number(found.max)}" if found.rounds > 1 else "")
            if compared:
                row.append(_ratio(found) if competitor.name != OURS else "")
            rows.append(row)
            title = ""
    return markdown(columns, rows, left=2 if compared else 1)


def _ratio(found: Figure) -> str:
    if found.ratio is None:
        return ""
    return f"{number(found.ratio.median)} × ({number(found.ratio.min)} to {number(found.ratio.max)})"


def _machines(results: Sequence[Result]) -> str:
    parts = ["## Machine and software"]
    if noisy := [each.title for each in results if each.machine.load > each.machine.cores / 2]:
        parts.append(
            "**Other work ran on the machine at the same time.** The load before the run was more than half of its "
            f"cores for: {', '.join(noisy)}."
        )
    rows = [[each.title, each.machine.date, number(each.machine.load), f"{each.seconds:.0f} s"] for each in results]
    parts.append(markdown(["scenario", "date", "load before", "duration"], rows))
    parts += dict.fromkeys(each.machine.described() for each in results)
    software = dict(pair for result in results for each in result.competitors for pair in each.versions.items())
    parts.append("Software: " + ", ".join(f"{name} {version}" for name, version in sorted(software.items())) + ".")
    return "\n\n".join(parts)
