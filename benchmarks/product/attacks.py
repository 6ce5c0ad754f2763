"""The latency of a service while another member attacks the controller, compared with the same attack on somebody else.

An attacker needs the processors that the controller has. So quiet is not silence: it is the same attacker at the same
rate, whose bytes a client reads that has nothing to do with the controller.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.product.fleet import SPACE, fleet, offer, ours
from benchmarks.product.objects import (
    CLUSTERS,
    CONSUMER,
    MCS,
    PROVIDER,
    SERVICES,
    SLICES,
    endpointslice,
    multiclusterservice,
    service,
    slice_name,
)
from benchmarks.product.one_change import WEB, change, observed
from benchmarks.scenario import OURS, Competitor, Context, Measurement, Outcome, Rounds, Scenario, Target
from testbed import karmada
from testbed.hostile_member import hostile_member
from testbed.processes import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from benchmarks.product.fleet import Fleet
    from benchmarks.product.one_change import Way

QUIET: Final = "quiet"
BYTES_PER_SECOND: Final = 500_000.0
ATTACKS: Final = {
    "churn": "1,500 changes a second of 2,000 slices",
    "garbage": "2,000 events a second that cannot be decoded",
    "deep": "events of 6 MB that are nested too deep, one in twelve seconds",
    "bomb": "newlines, packed a thousand to one",
    "endless-list": "a first list of slices that does not end",
    "slow": "writes that take 31 s each, to a consumer of 20 services",
}
SLOW_SERVICES: Final = 20
SETTLE_SECONDS: Final = 60.0


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    rounds, changes = (2, 10) if context.quick else (5, 40)
    measurements = []
    async with fleet(context) as world, AsyncExitStack() as stack:
        controller = await world.start()
        await offer(world, WEB)
        way = await stack.enter_async_context(observed(world, SPACE, "karmada-es-"))
        url, ca_pem = await stack.enter_async_context(hostile_member(world.bed.root, bytes_per_second=BYTES_PER_SECOND))
        numbers = iter(range(1, 1_000_000))
        await _latencies(world, way, numbers, changes)  # until connections, caches and code are warm
        for attack, about in ATTACKS.items():
            found = Rounds((OURS, QUIET))
            async for number, name in found.interleaved(context, rounds=rounds, what=attack):
                target = f"{url}/{attack}/{name}-{number}"
                attacked = _attacked(world, attack, target, ca_pem) if name == OURS else _elsewhere(world, target)
                async with attacked:
                    found.add(name, await _latencies(world, way, numbers, changes))
            measurements.append(
                Measurement(
                    f"From the PATCH in the provider to the watch event in the consumer, with {about}",
                    "ms",
                    "lower",
                    found.found,
                    parts=[0.5, 0.99],
                    targets=[Target(part=0.99, against=QUIET, against_part=0.99, at_most=2.0)],
                )
            )
        assert controller.pid is not None
        assert "Lost the lease" not in controller.log.read_text()
    return Outcome(
        competitors=[
            ours("under attack by a member that has nothing to do with the service"),
            Competitor(QUIET, "quiet", "the same attack on a client that is not the controller's", reference=True),
        ],
        measurements=measurements,
        conditions=[
            f"{rounds} rounds of {changes} changes each, in turns; an attack begins before them, and ends after them.",
            f"Each attack has {BYTES_PER_SECOND / 1000:.0f} KB a second on the wire, over TLS, from a process beside.",
        ],
    )


async def _latencies(world: Fleet, way: Way, numbers: Iterator[int], changes: int) -> list[float]:
    return [(await change(world, way, next(numbers)))[-1] for _ in range(changes)]


@asynccontextmanager
async def _elsewhere(world: Fleet, target: str) -> AsyncIterator[None]:
    """The attack on a client that reads, and does nothing with it."""
    watch = f"{target}/apis/discovery.k8s.io/v1/endpointslices?watch=1"
    process = Process(
        "outside",
        [sys.executable, "-m", "benchmarks.product.outside", watch],
        log=world.bed.root / "outside.log",
        root=world.bed.root,
        environ={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    await process.start()
    try:
        yield
    finally:
        await process.kill()


@asynccontextmanager
async def _attacked(world: Fleet, attack: str, target: str, ca_pem: bytes) -> AsyncIterator[None]:
    """The attack on the controller: a Cluster whose slices some service wants, or that some services are for."""
    name = target.removeprefix("https://").partition("/")[2].replace("/", "-")
    await karmada.register(world.bed, name, target, "x", ca_pem)
    baits = [f"{name}-{number}" for number in range(SLOW_SERVICES if attack == "slow" else 1)]
    for bait in baits:
        if attack == "slow":
            await world.member(PROVIDER).create(endpointslice(bait, 0), namespace=SPACE)
        sides = ([PROVIDER], [CONSUMER, name]) if attack == "slow" else ([name], [CONSUMER])
        for made in (service(bait), multiclusterservice(bait, *sides)):
            await world.host.create(made, namespace=SPACE)
    await world.ready([name], seconds=SETTLE_SECONDS)
    try:
        yield
    finally:
        for bait in baits:
            await world.host.delete(MCS, bait, namespace=SPACE)
            await world.host.delete(SERVICES, bait, namespace=SPACE)
            await world.member(PROVIDER).delete(SLICES, slice_name(bait), namespace=SPACE, missing_ok=True)
        await world.host.delete(CLUSTERS, name)
        # Without kube-controller-manager the execution namespace stays, for which the Cluster would wait.
        await world.host.patch(CLUSTERS, name, {"metadata": {"finalizers": None}})
        await world.host.delete("v1/secrets", name, namespace=karmada.CLUSTER_NAMESPACE)


SCENARIO = Scenario(
    name="attacks",
    title="A member that attacks",
    about=(
        "The latency of a service while a member that has nothing to do with it attacks the controller, compared with "
        "the same attack on another client on the same machine."
    ),
    run=run,
)
