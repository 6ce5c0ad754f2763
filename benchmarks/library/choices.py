"""What was tried to make decoding, caches and requests cheap; what is kept, and what is not."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.child import answer_of, one_core, python
from benchmarks.library.apiserver import filled
from benchmarks.library.slices import ENDPOINTS, endpoint_slice, write_events
from benchmarks.library.versions import python_versions
from benchmarks.scenario import OURS, Contestant, Context, Measurement, Outcome, Rounds, Scenario, Table

EAGER, RAW, INTERNED, MSGSPEC, ORJSON = "eager", "raw", "interned", "msgspec-dicts", "orjson-dicts"
FROZEN, ASYNCIO, NEW = "frozen", "asyncio", "new-connections"
OBJECTS = 500
MODULE = "benchmarks.library.contestants.choices"

DECISIONS = (
    (
        "typed metadata, and JSON for what is only copied",
        "kept",
        "a small cache, and nothing is decoded a second time",
    ),
    ("decoding endpoints and ports as well", "dropped", "nobody looks into them; dicts are large"),
    (
        "the whole object as bytes, decoded when asked",
        "dropped",
        "faster to take in, but larger, and decoded again at each use",
    ),
    ("interning labels and annotations", "dropped", "most values differ: saves little, costs time at each event"),
    ("msgspec into structs", "kept", "faster than what makes dicts, and it checks types"),
    ("orjson", "dropped", "makes dicts, and dicts are what costs"),
    ("structs that the garbage collector does not follow", "kept", "JSON has no cycles; a collection stays short"),
    ("`gc.freeze` when all is wired, before the caches fill", "kept", "modules and wiring are never looked at again"),
    ("`gc.freeze` after the caches are full", "dropped", "a collection is short already"),
    ("uvloop", "kept", "less processor time for a request"),
    ("one pool of kept connections for each API server", "kept", "a TLS handshake costs more than a request"),
)
"""What was tried, what became of it, and why. The reasons are what the tables show; they name no figures."""


async def run(context: Context) -> Outcome:
    """Measure each choice beside what it was chosen over."""
    rounds, seconds, objects, requests = (2, 0.2, 2_000, 100) if context.quick else (5, 1.0, 20_000, 1_000)
    events, many = context.scratch / "events", context.scratch / "many"
    size = write_events(events, objects=OBJECTS)
    write_events(many, objects=objects)

    async def answer(who: str, what: str, **parameters: Any) -> Any:
        return await answer_of(python(MODULE, who, json.dumps({"what": what, **parameters})), before=one_core())

    decoded = Rounds((OURS, EAGER, RAW, INTERNED, MSGSPEC, ORJSON))
    async for _, who in decoded.interleaved(context, rounds=rounds, what="decoding"):
        decoded.add(who, (await answer(who, "decode", events=str(events), seconds=seconds))["samples"])
    kept = Rounds((OURS, EAGER, RAW, INTERNED, MSGSPEC, FROZEN))
    pauses = Rounds(kept.contestants)
    async for _, who in kept.interleaved(context, rounds=min(rounds, 3), what="keeping"):
        found = await answer(who, "keep", events=str(many), freeze=who == FROZEN)
        pauses.add(who, found["pauses"])
        kept.add(who, [found["each"]])
    asked = Rounds((OURS, ASYNCIO, NEW))
    processor = Rounds(asked.contestants)
    async with filled(context, 1) as server:
        metadata = endpoint_slice(0)["metadata"]
        parameters = {
            "kubeconfig": str(server.access.kubeconfig),
            "path": [metadata["namespace"], metadata["name"]],
            "count": requests,
        }
        async for _, who in asked.interleaved(context, rounds=rounds, what="asking"):
            found = await answer(who, "ask", **parameters)
            asked.add(who, found["latencies"])
            processor.add(who, [found["processor"]])
    return Outcome(
        contestants=_contestants(),
        measurements=[
            Measurement(
                name="decode",
                title=f"Watch events of a slice with {ENDPOINTS} endpoints decoded a second of processor time",
                unit="1/s",
                better="higher",
                rounds=decoded.found,
            ),
            Measurement(
                name="keep",
                title=f"Memory allocated for each kept slice with {ENDPOINTS} endpoints",
                unit="KiB",
                better="lower",
                rounds={who: found for who, found in kept.found.items() if who != FROZEN},
            ),
            Measurement(
                name="pause",
                title=f"A full garbage collection with {objects:,} of them",
                unit="ms",
                better="lower",
                rounds=pauses.found,
            ),
            Measurement(
                name="ask",
                title="One GET after the other",
                unit="ms",
                better="lower",
                rounds=asked.found,
                parts=[0.5, 0.99],
            ),
            Measurement(
                name="processor",
                title="Processor time for each of these requests, of the process that asks",
                unit="ms",
                better="lower",
                rounds=processor.found,
            ),
        ],
        tables=[
            Table(
                title="What was tried, and what came of it",
                columns=["what", "", "because"],
                rows=[list(each) for each in DECISIONS],
            )
        ],
        conditions=[
            f"Decoding: {OBJECTS} different events of {size:,} bytes in turns, for {seconds:g} s of processor time. "
            f"Keeping: {objects:,} slices; ours in a store without indexes, the others in a dict by name. "
            f"Asking: {requests:,} times for the same slice, of a real API server with TLS. Each in a process of its "
            "own, kept on one core.",
        ],
    )


def _contestants() -> list[Contestant]:
    def other(name: str, title: str, about: str, *versions: str) -> Contestant:
        return Contestant(name=name, title=title, about=about, versions=python_versions(*versions), reference=True)

    return [
        Contestant(
            name=OURS,
            title="as it is",
            about="Structs with typed metadata, endpoints and ports as JSON; uvloop; kept connections.",
            versions=python_versions("mcs-controller", "msgspec", "aiohttp", "uvloop"),
        ),
        other(EAGER, "endpoints and ports decoded", "The same, and dicts of what is in them.", "msgspec"),
        other(RAW, "whole object as JSON", "Name, namespace and labels are read, the bytes are kept.", "msgspec"),
        other(INTERNED, "strings interned", "Ours, with `sys.intern` for labels and annotations.", "msgspec"),
        other(MSGSPEC, "msgspec to dicts", "", "msgspec"),
        other(ORJSON, "orjson to dicts", "", "orjson"),
        other(FROZEN, "frozen when full", "Ours, and `gc.freeze` once all is there.", "msgspec"),
        other(ASYNCIO, "asyncio's own loop", "The same client on another event loop.", "aiohttp"),
        other(NEW, "a new connection each", "The same client, made anew for each request.", "aiohttp", "uvloop"),
    ]


SCENARIO = Scenario(
    name="choices",
    title="What was tried",
    about="The ways in which decoding, caches and requests could be made cheap, beside those that were taken.",
    run=run,
)
