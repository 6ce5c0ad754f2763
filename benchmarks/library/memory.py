"""The memory of a cached object."""

from __future__ import annotations

import json
from typing import Any

from benchmarks import golang
from benchmarks.child import answer_of, python
from benchmarks.library.decode import NAMES, TYPED, UNSTRUCTURED, competitors
from benchmarks.library.slices import ENDPOINTS, write_events
from benchmarks.scenario import Context, Measurement, Outcome, Rounds, Scenario, Target


async def run(context: Context) -> Outcome:
    """Measure all stores."""
    rounds, objects = (1, 1_000) if context.quick else (3, 5_000)
    program = await golang.binary(context.tell)
    events = context.scratch / "events"
    size = write_events(events, objects=objects)
    parameters: dict[str, Any] = {"events": str(events), "count": objects}
    heap = Rounds(NAMES)
    resident = Rounds(heap.competitors)
    async for _, who in heap.interleaved(context, rounds=rounds):
        if who in (UNSTRUCTURED, TYPED):
            answer = await answer_of(golang.command(program, "memory", who.removeprefix("go-"), **parameters))
            heap.add(who, [answer["heap"]])
            resident.add(who, [answer["resident"]])
            continue
        for found, traced in ((heap, True), (resident, False)):  # tracing needs memory itself: two processes
            asked = json.dumps({**parameters, "traced": traced})
            answer = await answer_of(python("benchmarks.library.competitors.memory", who, asked))
            found.add(who, [answer["each"]])
    return Outcome(
        competitors=await competitors(program),
        measurements=[
            Measurement(
                f"Memory allocated for each cached slice with {ENDPOINTS} endpoints",
                "KiB",
                "lower",
                heap.found,
                targets=[Target(at_most=4.0)],
            ),
            Measurement(
                f"Resident memory gained for each cached slice with {ENDPOINTS} endpoints",
                "KiB",
                "lower",
                resident.found,
            ),
        ],
        conditions=[
            f"{objects:,} different slices, decoded from watch events of {size:,} bytes and kept; the first 100 are "
            f"there before the store is weighed; {rounds} rounds.",
            "Ours are kept in a `Store` with two indexes, those of Go in an `Indexer` with two, the others in a dict.",
            "Allocated: tracemalloc in Python, HeapAlloc after a collection in Go. Resident: what the system shows "
            "after a collection, with the memory that Go can return returned.",
        ],
    )


SCENARIO = Scenario(
    name="memory",
    title="Memory",
    about="The memory of one more slice in a cache. A controller holds every slice of every member.",
    run=run,
)
