"""Operations of the work queue, beside Go's and beside a queue that promises nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from benchmarks import golang
from benchmarks.child import answer_of, one_core, python
from benchmarks.library.competitors.workqueue import DUPLICATES
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario

GO, PLAIN = "go", "asyncio"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    count: int
    competitors: tuple[str, ...] = (OURS, GO, PLAIN)
    parts: tuple[float, ...] = (0.5,)


SPREAD_SECONDS = 1.0

OPERATIONS = (
    _Operation(
        name="add_get_done",
        title="Add, get, done: items per CPU second",
        unit="1/s",
        better="higher",
        count=200_000,
    ),
    _Operation(
        name="duplicates",
        title="Add what waits already: adds per CPU second",
        unit="1/s",
        better="higher",
        count=1_000_000,
        competitors=(OURS, GO),
    ),
    _Operation(
        name="rate_limited",
        title="Add rate limited, wait for the delay, get, forget, done: items per CPU second",
        unit="1/s",
        better="higher",
        count=50_000,
    ),
    _Operation(
        name="handover",
        title="From adding to an empty queue until a waiting worker has the item",
        unit="µs",
        better="lower",
        count=1_000,
        parts=(0.5, 0.99),
    ),
    _Operation(
        name="delay",
        title="How late an item comes that was added with a delay",
        unit="ms",
        better="lower",
        count=500,
        parts=(0.5, 0.99),
    ),
)


async def run(context: Context) -> Outcome:
    """Measure all operations."""
    rounds = 3 if context.quick else 5
    scale = 5 if context.quick else 1
    program = await golang.binary(context.tell)
    measurements = []
    for operation in OPERATIONS:
        turns = Rounds(operation.competitors)
        parameters = {"count": operation.count // scale, "seconds": SPREAD_SECONDS / scale}
        async for _, who in turns.interleaved(context, rounds=rounds, what=operation.name):
            if who == GO:
                command = golang.command(program, "workqueue", operation.name, **parameters)
            else:
                asked = json.dumps({"operation": operation.name, **parameters})
                command = python("benchmarks.library.competitors.workqueue", who, asked)
            turns.add(who, (await answer_of(command, before=one_core()))["samples"])
        measurements.append(
            Measurement(
                name=operation.name,
                title=operation.title,
                unit=operation.unit,
                better=operation.better,
                parts=list(operation.parts),
                rounds=turns.found,
            )
        )
    return Outcome(
        competitors=[
            Competitor(
                name=OURS,
                title="this project",
                about="`workqueue.Queue` and `RateLimitingQueue`, on uvloop.",
                versions=python_versions("mcs-controller", "uvloop"),
            ),
            Competitor(
                name=GO,
                title="Go client-go",
                about="`util/workqueue`, typed.",
                versions=await golang.versions(program),
            ),
            Competitor(
                name=PLAIN,
                title="asyncio.Queue",
                about="No deduplication, no retries; delays are timers of the event loop, which may be early.",
                versions=python_versions("uvloop"),
                reference=True,
            ),
        ],
        measurements=measurements,
        conditions=[
            f"Each competitor has a process of its own, kept on one core; {rounds} rounds. Throughput counts CPU "
            "time, threads and garbage collector included, so that other work on the machine matters less.",
            f"Items are added by one producer: {OPERATIONS[0].count // scale:,} different keys first, then all are "
            f"taken; duplicates are {DUPLICATES:,} keys in turns; delays are spread over {SPREAD_SECONDS / scale:g} s.",
            "Ours has no lock to take, as everything happens on one event loop; Go's is safe for many threads.",
        ],
    )


SCENARIO = Scenario(
    name="workqueue",
    title="Work queue",
    about="What the queue between watches and reconcilers costs. It is touched once or twice for each change.",
    run=run,
)
