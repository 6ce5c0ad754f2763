"""Operations of the work queue, compared with client-go's and with a plain asyncio.Queue."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from benchmarks import golang
from benchmarks.child import answer_of, one_core, python
from benchmarks.library.competitors.workqueue import DUPLICATES
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario

GO, PLAIN = "go", "asyncio"


class _Operation(NamedTuple):
    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    size: int
    parts: list[float]
    competitors: tuple[str, ...] = (OURS, GO, PLAIN)


SPREAD_SECONDS = 1.0
LIMITED = "Add rate limited, wait for the delay, get, forget, done: items per CPU second"
HANDOVER = "From adding to an empty queue until a waiting worker has the item"
OPERATIONS = (
    _Operation("add_get_done", "Add, get, done: items per CPU second", "1/s", "higher", 200_000, [0.5]),
    _Operation("duplicates", "Add a waiting item: adds per CPU second", "1/s", "higher", 1_000_000, [0.5], (OURS, GO)),
    _Operation("rate_limited", LIMITED, "1/s", "higher", 50_000, [0.5]),
    _Operation("handover", HANDOVER, "µs", "lower", 1_000, [0.5, 0.99]),
    _Operation("delay", "Lateness of an item that was added with a delay", "ms", "lower", 500, [0.5, 0.99]),
)


async def run(context: Context) -> Outcome:
    """Measure all operations."""
    rounds = 3 if context.quick else 5
    scale = 5 if context.quick else 1
    program = await golang.binary(context.tell)
    measurements = []
    for operation in OPERATIONS:
        turns = Rounds(operation.competitors)
        parameters = {"count": operation.size // scale, "seconds": SPREAD_SECONDS / scale}
        async for _, who in turns.interleaved(context, rounds=rounds, what=operation.name):
            if who == GO:
                command = golang.command(program, "workqueue", operation.name, **parameters)
            else:
                asked = json.dumps({"operation": operation.name, **parameters})
                command = python("benchmarks.library.competitors.workqueue", who, asked)
            turns.add(who, (await answer_of(command, before=one_core()))["samples"])
        measurements.append(
            Measurement(operation.title, operation.unit, operation.better, turns.found, parts=operation.parts)
        )
    return Outcome(
        competitors=[
            Competitor(
                OURS,
                "this project",
                "`workqueue.Queue` and `RateLimitingQueue`.",
                python_versions("mcs-controller"),
            ),
            Competitor(GO, "Go client-go", "`util/workqueue`, typed.", await golang.versions(program)),
            Competitor(
                PLAIN,
                "asyncio.Queue",
                "No deduplication, no retries; delays are timers of the event loop, which may be early.",
                python_versions(),
                reference=True,
            ),
        ],
        measurements=measurements,
        conditions=[
            f"Each competitor has a process of its own, kept on one core; {rounds} rounds. Throughput counts CPU "
            "time, threads and garbage collector included, so that other work on the machine matters less.",
            f"Items are added by one producer: {OPERATIONS[0].size // scale:,} different keys first, then all are "
            f"taken; duplicates are {DUPLICATES:,} keys in turns; delays are spread over {SPREAD_SECONDS / scale:g} s.",
            "Ours has no lock to take, as everything happens on one event loop; Go's is safe for many threads.",
        ],
    )


SCENARIO = Scenario(
    name="workqueue",
    title="Work queue",
    about="The cost of the queue between watches and reconcilers, which each change passes once or twice.",
    run=run,
)
