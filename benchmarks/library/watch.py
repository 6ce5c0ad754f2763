"""From an update on an API server to the handler."""

from __future__ import annotations

from benchmarks import golang
from benchmarks.child import started
from benchmarks.library.apiserver import ANNOTATION, WRITERS, filled, update_at_once, update_one_by_one
from benchmarks.library.followers import BARE, KOPF, MODELS, TYPED, UNSTRUCTURED, contestants, start
from benchmarks.scenario import OURS, Context, Measurement, Outcome, Rounds, Scenario

NAMES = (OURS, UNSTRUCTURED, TYPED, MODELS, KOPF, BARE)
PAUSE_SECONDS = 0.005
PARTS = [0.5, 0.99]


async def run(context: Context) -> Outcome:
    """Measure all followers on one server."""
    rounds, slices, single, burst = (2, 200, 50, 400) if context.quick else (4, 1_000, 150, 1_000)
    program = await golang.binary(context.tell)
    idle, busy, processor = Rounds(NAMES), Rounds(NAMES), Rounds(NAMES)
    async with filled(context, slices) as server:
        parameters = {"kubeconfig": str(server.access.kubeconfig), "count": slices, "annotation": ANNOTATION}
        async for _, who in idle.interleaved(context, rounds=rounds):
            command, environ = start(program, "watch", who, **parameters)
            async with started(command, environ=environ) as follower:
                await follower.answer()  # it has the first list
                await update_one_by_one(server.api, [number % slices for number in range(single)], PAUSE_SECONDS)
                idle.add(who, (await follower.ask(str(single)))["latencies"])
                await update_at_once(server.api, [number % slices for number in range(burst)])
                answer = await follower.ask(str(burst))
                busy.add(who, answer["latencies"])
                processor.add(who, [1e6 * answer["cpu"] / burst])
    return Outcome(
        contestants=await contestants(program, *NAMES),
        measurements=[
            Measurement(
                name="idle",
                title="From sending a PATCH to the handler, one at a time",
                unit="ms",
                better="lower",
                rounds=idle.found,
                parts=PARTS,
            ),
            Measurement(
                name="burst",
                title=f"From sending a PATCH to the handler, {burst:,} at once from {WRITERS} writers",
                unit="ms",
                better="lower",
                rounds=busy.found,
                parts=PARTS,
            ),
            Measurement(
                name="processor",
                title="Processor time of the follower for each event of the burst",
                unit="µs",
                better="lower",
                rounds=processor.found,
            ),
        ],
        conditions=[
            f"A real etcd and kube-apiserver on the same machine, with TLS and {slices:,} slices; {rounds} rounds.",
            "The time includes the server's: most of it. The bare watch shows how much. A burst is limited by the "
            "server and the writers, which share the cores with the follower.",
            f"One at a time: {single} updates a round, with {1000 * PAUSE_SECONDS:g} ms after each.",
        ],
    )


SCENARIO = Scenario(
    name="watch",
    title="Watch",
    about="How soon a handler hears of a change, and what each change costs the follower.",
    run=run,
)
