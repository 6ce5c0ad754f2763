"""The section of ``docs/performance.md`` on the first answer of a Pod, and its chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.arithmetic import percentile
from benchmarks.chart import bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measured import Results

CHART = Path("docs/performance-first-answer.svg")
RAW = Path("benchmarks/results/first_answer.json")
TITLE = "From a ready Pod to its first answer"
PARTS = (("p50", 0.5), ("p90", 0.9))


def chart(results: Results) -> str:
    """The hops as bars."""
    indexes = range(1, len(results.hops))
    series = [(name, [1000 * percentile(results.each(index), part) for index in indexes]) for name, part in PARTS]
    return bars(f"From “{results.hops[0]}” to “{results.hops[-1]}”, by hop", results.hops[1:], series, unit="ms")


def section(results: Results) -> str:
    """The section."""
    last = len(results.hops) - 1
    return f"""\
## {TITLE}

A Deployment in `member1` is scaled up by one Pod. How long until that Pod answers a client in `member2` that asks for
the Service by its name, and where does the time go? Measured by `make bench-first-answer`.

![The hops as bars]({CHART.name})

{_table(results)}

- Of all that, the controller's own hops ({", ".join(results.ours)}) take {_both(results.our_share())}.
- The whole way takes {_both(results.since(last))}. {len(results.rounds)} rounds; {results.questions:,} questions
  were asked in and between them, while Pods came and went; {results.unanswered:,} of them got no answer.

How it is measured:

- Etcd, API servers, controller managers, kube-proxy (nftables) and CoreDNS are the real ones, and the controller is the
  installed binary with its default flags. Containers are played: the test bed answers in their place.
- A hop ends when the measuring process hears of it: of objects by watches, of kube-proxy's rules by `nft monitor`, of
  the answer by a client in a Pod of `member2` that asks every {1000 * results.asking_interval:.0f} ms, each time
  with a look-up and a connection of its own. With two Pods behind the name, every second question goes to the new one.
- Watches of several servers are not in step: a hop that is heard of before the one it follows counts as 0.
- kube-proxy writes its rules once a second at most, if it has its default settings as here. Each round begins when it
  has been idle for longer than that, so its hop is the best case; while other things change, up to a second is added.
- The Pods have no readiness probe, no network is in between, and every API server writes an audit log.
- Etcd, three API servers, three controller managers, the nodes, the controller and the measuring share the cores.
"""


def _table(results: Results) -> str:
    lines = ["| hop | p50 | p90 | since the Pod was ready, p50 | p90 |", "| --- | ---: | ---: | ---: | ---: |"]
    for index, name in enumerate(results.hops[1:], 1):
        figures = [
            _milliseconds(values, part) for values in (results.each(index), results.since(index)) for _, part in PARTS
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _both(values: Sequence[float]) -> str:
    return ", ".join(f"{_milliseconds(values, part)} ({name})" for name, part in PARTS)


def _milliseconds(values: Sequence[float], part: float) -> str:
    return f"{1000 * percentile(values, part):.0f} ms"
