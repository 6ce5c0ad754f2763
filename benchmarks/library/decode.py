"""One watch event from bytes to an object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks import golang
from benchmarks.child import answer_of, one_core, python
from benchmarks.library.slices import ENDPOINTS, write_events
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario, Target

if TYPE_CHECKING:
    from pathlib import Path

UNSTRUCTURED, TYPED, MODELS, JSON, ORJSON = "go-unstructured", "go-typed", "kubernetes-asyncio", "json", "orjson"
NAMES = (OURS, UNSTRUCTURED, TYPED, MODELS, JSON, ORJSON)
OBJECTS = 500


async def run(context: Context) -> Outcome:
    """Measure all decoders."""
    rounds, seconds = (3, 0.3) if context.quick else (5, 1.0)
    program = await golang.binary(context.tell)
    events = context.scratch / "events"
    size = write_events(events, objects=OBJECTS)
    parameters = {"events": str(events), "seconds": seconds}
    turns = Rounds(NAMES)
    async for _, who in turns.interleaved(context, rounds=rounds):
        if who in (UNSTRUCTURED, TYPED):
            command = golang.command(program, "decode", who.removeprefix("go-"), **parameters)
        else:
            command = python("benchmarks.library.competitors.decode", who, json.dumps(parameters))
        turns.add(who, (await answer_of(command, before=one_core()))["samples"])
    return Outcome(
        competitors=await competitors(program),
        measurements=[
            Measurement(
                f"Watch events of a slice with {ENDPOINTS} endpoints decoded per CPU second",
                "1/s",
                "higher",
                turns.found,
                targets=[Target(against=UNSTRUCTURED, at_least=4.0)],
            )
        ],
        conditions=[
            f"An event has {size:,} bytes, managedFields included; {OBJECTS} different ones in turns, from memory, for "
            f"{seconds:g} s of CPU time, garbage collector included; {rounds} rounds; each competitor in a "
            "process of its own, kept on one core.",
            "Ours keeps endpoints and ports as JSON, as they are only copied; the others decode everything.",
        ],
    )


async def competitors(program: Path) -> list[Competitor]:
    """The decoders, for the scenario `memory` as well."""
    go = await golang.versions(program)
    ours = python_versions("mcs-controller", "msgspec")
    return [
        Competitor(OURS, "this project", "`informers.client.wire`, `mcs_controller.api`.", ours),
        Competitor(UNSTRUCTURED, "Go, unstructured", "As a dynamic informer decodes.", go),
        Competitor(TYPED, "Go, typed", "As a typed informer decodes, in JSON.", go),
        Competitor(
            MODELS, "kubernetes_asyncio models", "`Watch.unmarshal_event`.", python_versions("kubernetes-asyncio")
        ),
        Competitor(JSON, "json to dicts", versions=python_versions()),
        Competitor(ORJSON, "orjson to dicts", versions=python_versions("orjson")),
    ]


SCENARIO = Scenario(
    name="decode",
    title="Decoding",
    about="The cost of decoding one watch event into an object: the largest part of the cost of a cache.",
    run=run,
)
