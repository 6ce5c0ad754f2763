"""``docs/performance.md`` and its chart, made from kept results and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chart import bars
from benchmarks.measured import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measured import Results

PAGE = Path("docs/performance.md")
CHART = Path("docs/performance-first-answer.svg")
RAW = "benchmarks/results/first_answer.json"
PARTS = (("p50", 0.5), ("p90", 0.9))


def chart(results: Results) -> str:
    """The hops as bars."""
    indexes = range(1, len(results.hops))
    series = [(name, [1000 * percentile(results.each(index), part) for index in indexes]) for name, part in PARTS]
    return bars(f"From “{results.hops[0]}” to “{results.hops[-1]}”, by hop", results.hops[1:], series, unit="ms")


def page(results: Results) -> str:
    """The page."""
    machine = results.machine
    components = ", ".join(f"{name} {version}" for name, version in machine.components.items())
    last = len(results.hops) - 1
    return f"""\
# Performance

Made by `python -m benchmarks.first_answer`; no figure on this page is typed by hand. The raw numbers are in
[{RAW}](../{RAW}); `--page-only` makes the page from them again.

## From a ready Pod to its first answer

A Deployment in `member1` is scaled up by one Pod. How long until that Pod answers a client in `member2` that asks for
the Service by its name, and where does the time go?

![The hops as bars]({CHART.name})

{_table(results)}

- Of all that, the controller's own hops ({_listing(results.ours)}) take {_both(results.our_share())}.
- The whole way takes {_both(results.since(last))}. {len(results.rounds)} rounds; {results.questions:,} questions
  were asked in and between them, while Pods came and went; {results.unanswered:,} of them got no answer.

## How it is measured

- Etcd, API servers, controller managers, kube-proxy (nftables) and CoreDNS are the real ones, and the controller is the
  installed binary with its default flags. Containers are played: the test bed answers in their place.
- A hop ends when the measuring process hears of it: of objects by watches, of kube-proxy's rules by `nft monitor`, of
  the answer by a client in a Pod of `member2` that asks every {1000 * results.asking_interval:.0f} ms, each time
  with a look-up and a connection of its own. With two Pods behind the name, every second question goes to the new one.
- Watches of several servers are not in step: a hop that is heard of before the one it follows counts as 0.
- kube-proxy writes its rules once a second at most, if it has its default settings as here. Each round begins when it
  has been idle for longer than that, so its hop is the best case; while other things change, up to a second is added.
- The Pods have no readiness probe, no network is in between, and every API server writes an audit log.

## On what

Expect other numbers elsewhere, and compare those of one run with each other. {_noise(results)} Etcd, three API servers,
three controller managers, the nodes, the controller and the measuring itself share the cores.

| | |
| --- | --- |
| date | {machine.date} |
| cores | {machine.cores} |
| memory | {machine.memory_gib:g} GiB |
| kernel | Linux {machine.kernel} |
| Python | {machine.python} |
| mcs-controller | {machine.controller} |
| components | {components} |
"""


def _table(results: Results) -> str:
    lines = ["| hop | p50 | p90 | since the Pod was ready, p50 | p90 |", "| --- | ---: | ---: | ---: | ---: |"]
    for index, name in enumerate(results.hops[1:], 1):
        figures = [
            _milliseconds(values, part) for values in (results.each(index), results.since(index)) for _, part in PARTS
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _noise(results: Results) -> str:
    machine = results.machine
    load = f"load {machine.load:g} on {machine.cores} cores when the run began"
    if machine.load > machine.cores / 2:
        return f"**This machine was noisy: other work ran on it at the same time ({load}).**"
    return f"This machine had little else to do ({load})."


def _both(values: Sequence[float]) -> str:
    return ", ".join(f"{_milliseconds(values, part)} ({name})" for name, part in PARTS)


def _milliseconds(values: Sequence[float], part: float) -> str:
    return f"{1000 * percentile(values, part):.0f} ms"


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names)
