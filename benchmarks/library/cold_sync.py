"""The first list of a large collection."""

from __future__ import annotations

from benchmarks import golang
from benchmarks.child import answer_of
from benchmarks.library.apiserver import filled
from benchmarks.library.contestants.follow import PAGE_SIZE
from benchmarks.library.followers import (
    KOPF,
    MODELS,
    PAGED,
    PROTOBUF,
    TYPED,
    TYPED_LIST,
    UNSTRUCTURED,
    UNSTRUCTURED_LIST,
    contestants,
    start,
)
from benchmarks.library.slices import ENDPOINTS
from benchmarks.scenario import OURS, Context, Measurement, Outcome, Rounds, Scenario

NAMES = (OURS, PAGED, UNSTRUCTURED, UNSTRUCTURED_LIST, TYPED, TYPED_LIST, PROTOBUF, MODELS, KOPF)


async def run(context: Context) -> Outcome:
    """Measure all followers on one server."""
    rounds, slices = (2, 1_000) if context.quick else (4, 10_000)
    program = await golang.binary(context.tell)
    seconds, processor, peak = Rounds(NAMES), Rounds(NAMES), Rounds(NAMES)
    async with filled(context, slices) as server:
        kubeconfig = str(server.access.kubeconfig)
        async for _, who in seconds.interleaved(context, rounds=rounds):
            command, environ = start(program, "cold_sync", who, kubeconfig=kubeconfig, count=slices)
            answer = await answer_of(command, environ=environ)
            seconds.add(who, [answer["seconds"]])
            processor.add(who, [answer["cpu"]])
            peak.add(who, [answer["peak"]])
    what = f"{slices:,} slices with {ENDPOINTS} endpoints"
    return Outcome(
        contestants=await contestants(program, *NAMES),
        measurements=[
            Measurement(
                name="seconds",
                title=f"Time until the handler has been told of {what}",
                unit="s",
                better="lower",
                rounds=seconds.found,
            ),
            Measurement(
                name="processor",
                title="Processor time for it",
                unit="s",
                better="lower",
                rounds=processor.found,
            ),
            Measurement(
                name="peak",
                title="Peak memory of the whole process",
                unit="MiB",
                better="lower",
                rounds=peak.found,
            ),
        ],
        conditions=[
            "A real etcd and kube-apiserver on the same machine, with TLS; nothing else works on them.",
            "Time runs from the first request, when everything is imported and configured. Each contestant is a new "
            f"process with all cores, one after the other; {rounds} rounds. Pages have {PAGE_SIZE} objects.",
        ],
    )


SCENARIO = Scenario(
    name="cold_sync",
    title="Cold sync",
    about="How long a cache takes to fill, and what it takes: a start, or a cluster that comes back.",
    run=run,
)
