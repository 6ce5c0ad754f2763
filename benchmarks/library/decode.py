"""One watch event from bytes to an object."""

from __future__ import annotations

import json

from benchmarks import golang
from benchmarks.child import answer_of, one_core, python
from benchmarks.library.slices import ENDPOINTS, write_events
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario, Target

UNSTRUCTURED, TYPED, MODELS, JSON, ORJSON = "go-unstructured", "go-typed", "kubernetes-asyncio", "json", "orjson"
OBJECTS = 500


async def run(context: Context) -> Outcome:
    """Measure all decoders."""
    rounds, seconds = (3, 0.3) if context.quick else (5, 1.0)
    program = await golang.binary(context.tell)
    events = context.scratch / "events"
    size = write_events(events, objects=OBJECTS)
    parameters = {"events": str(events), "seconds": seconds}
    turns = Rounds((OURS, UNSTRUCTURED, TYPED, MODELS, JSON, ORJSON))
    async for _, who in turns.interleaved(context, rounds=rounds):
        if who in (UNSTRUCTURED, TYPED):
            command = golang.command(program, "decode", who.removeprefix("go-"), **parameters)
        else:
            command = python("benchmarks.library.competitors.decode", who, json.dumps(parameters))
        turns.add(who, (await answer_of(command, before=one_core()))["samples"])
    go = await golang.versions(program)
    return Outcome(
        competitors=[
            Competitor(
                name=OURS,
                title="this project",
                about="Envelope and object by `informers.wire` and the decoder of `mcs_controller.api`.",
                versions=python_versions("mcs-controller", "msgspec"),
            ),
            Competitor(
                name=UNSTRUCTURED,
                title="Go, unstructured",
                about="What a dynamic informer of client-go does with the line.",
                versions=go,
            ),
            Competitor(
                name=TYPED,
                title="Go, typed",
                about="What a typed informer of client-go does with the line, in JSON.",
                versions=go,
            ),
            Competitor(
                name=MODELS,
                title="kubernetes_asyncio models",
                about="`Watch.unmarshal_event`.",
                versions=python_versions("kubernetes-asyncio"),
            ),
            Competitor(name=JSON, title="json to dicts", versions=python_versions()),
            Competitor(name=ORJSON, title="orjson to dicts", versions=python_versions("orjson")),
        ],
        measurements=[
            Measurement(
                name="decode",
                title=f"Watch events of a slice with {ENDPOINTS} endpoints decoded a second of processor time",
                unit="1/s",
                better="higher",
                rounds=turns.found,
                targets=[Target(against=UNSTRUCTURED, at_least=4.0)],
            )
        ],
        conditions=[
            f"An event has {size:,} bytes, managedFields included; {OBJECTS} different ones in turns, from memory, for "
            f"{seconds:g} s of processor time, garbage collector included; {rounds} rounds; each competitor in a "
            "process of its own, kept on one core.",
            "Ours keeps endpoints and ports as JSON, as they are only copied; the others decode everything.",
        ],
    )


SCENARIO = Scenario(
    name="decode",
    title="Decoding",
    about="What it takes to make an object of one watch event: the largest part of what a cache costs.",
    run=run,
)
