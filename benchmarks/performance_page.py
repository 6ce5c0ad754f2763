"""``docs/performance.md`` made from kept results and nothing else."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks import registry
from benchmarks.result import NOISE
from benchmarks.scenario import Kept
from benchmarks.tables import TextTable, behind, found, measured, targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.machine import Machine
    from benchmarks.scenario import Competitor

PAGE = Path("docs/performance.md")
RESULTS = Path("benchmarks/results")


def result_path(scenario: str) -> Path:
    """Where the results of a scenario are kept."""
    return RESULTS / f"{scenario}.json"


def load(root: Path) -> list[Kept]:
    """The kept results, in the registry's order."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Kept)
        for path in (root / result_path(name) for name in registry.names())
        if path.exists()
    ]


def write(root: Path) -> None:
    """Make the page again."""
    (root / PAGE).parent.mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(load(root)))


def page(results: Sequence[Kept]) -> str:
    """The page."""
    parts = [_HEAD]
    if quick := [each.title for each in results if each.quick]:
        parts.append(f"**Only a first look, with small sizes: {', '.join(quick)}.**")
    if results:
        parts += ["## In short", _summary(results)]
    parts += [*(_section(each) for each in results), _EARLIER, _machines(results)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


_HEAD = """\
# Performance

Made by `make bench`; no figure on this page is typed by hand. The raw numbers, every sample of every round, are in
[benchmarks/results](../benchmarks/results); `python -m benchmarks --page-only` makes the page from them again.
`make bench-quick` gives a first look in a few minutes, and keeps nothing.

Competitors of a table were measured in the same run, in turns, round by round. A figure is the percentile over the
samples of all rounds; beside it is the range of the same percentile of single rounds. *Ours ÷ theirs* is computed for
each round: the median, and the range. Expect other numbers elsewhere, and compare those of one run with each other."""


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
    for measurement in outcome.measurements:
        parts += [f"**{measurement.title}** ({measurement.better} is better)"]
        parts.append(measured(measurement, outcome.competitors).markdown())
    for title, table in found(kept):
        parts += [f"**{title}**", table.markdown()]
    parts += (
        ["How it is measured:", "\n".join(f"- {each}" for each in outcome.conditions)] if outcome.conditions else []
    )
    parts += ["Who takes part:", _competitors(outcome.competitors)]
    parts.append(f"Raw numbers: [{result_path(kept.scenario)}](../{result_path(kept.scenario)}).")
    return "\n\n".join(parts)


def _competitors(competitors: Sequence[Competitor]) -> str:
    lines = []
    for each in competitors:
        versions = ", ".join(f"{name} {version}" for name, version in each.versions.items())
        words = " ".join(part for part in (each.about, f"({versions})" if versions else "") if part)
        lines.append(f"- {each.title}" + (f": {words}" if words else ""))
    return "\n".join(lines)


def _machines(results: Sequence[Kept]) -> str:
    runs = [(each.title, each.machine, each.seconds) for each in results]
    noisy = [title for title, machine, _ in runs if machine.load > machine.cores / 2]
    rows = [[title, machine.date, f"{machine.load:g}", f"{seconds:.0f} s"] for title, machine, seconds in runs]
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
