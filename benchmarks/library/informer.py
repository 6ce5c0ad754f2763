"""Watch events through an informer: decoded, stored, indexed, handed to a handler."""

from __future__ import annotations

import json

from benchmarks import golang
from benchmarks.child import answer_of, one_core, python
from benchmarks.library.slices import ENDPOINTS, write_events
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Contestant, Context, Measurement, Outcome, Rounds, Scenario

UNSTRUCTURED, TYPED = "go-unstructured", "go-typed"


async def run(context: Context) -> Outcome:
    """Measure all informers."""
    rounds, objects, each = (3, 500, 4) if context.quick else (5, 2_000, 8)
    program = await golang.binary(context.tell)
    events = context.scratch / "events"
    write_events(events, objects=objects, events=objects * each)
    parameters = {"events": str(events), "count": objects}
    turns = Rounds((OURS, UNSTRUCTURED, TYPED))
    async for _, who in turns.interleaved(context, rounds=rounds):
        if who == OURS:
            command = python("benchmarks.library.contestants.informer", who, json.dumps(parameters))
        else:
            command = golang.command(program, "informer", who.removeprefix("go-"), **parameters)
        turns.add(who, (await answer_of(command, before=one_core()))["samples"])
    go = await golang.versions(program)
    return Outcome(
        contestants=[
            Contestant(
                name=OURS,
                title="this project",
                about="`SharedInformer` with two indexes.",
                versions=python_versions("mcs-controller", "msgspec", "uvloop"),
            ),
            Contestant(
                name=UNSTRUCTURED,
                title="Go, unstructured",
                about="`SharedIndexInformer` with the same indexes.",
                versions=go,
            ),
            Contestant(
                name=TYPED, title="Go, typed", about="`SharedIndexInformer` with the same indexes.", versions=go
            ),
        ],
        measurements=[
            Measurement(
                name="events",
                title=f"Events of slices with {ENDPOINTS} endpoints through an informer a second of processor time",
                unit="1/s",
                better="higher",
                rounds=turns.found,
            )
        ],
        conditions=[
            f"{objects:,} slices are added and then changed {each - 1} times each; the stream comes from memory in "
            f"pieces of 64 KiB; indexes by namespace and by service; one handler that counts; {rounds} rounds; each "
            "contestant in a process of its own, kept on one core. Processor time counts, garbage collector included.",
            "The other Python libraries have no informer with a store and indexes.",
        ],
    )


SCENARIO = Scenario(
    name="informer",
    title="Informer",
    about="The whole way of an event inside of a process, from the bytes of the watch to the handler.",
    run=run,
)
