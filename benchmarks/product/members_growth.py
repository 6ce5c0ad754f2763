"""The cost of one change, with more and more member clusters."""

from __future__ import annotations

import itertools
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from benchmarks.product.copies import FIRST
from benchmarks.product.cost import usage
from benchmarks.product.fleet import SPACE, Fleet, at_once, fleet, offer, one, ours
from benchmarks.product.objects import CONSUMER, SLICES
from benchmarks.product.services_growth import Change, changes_cost, until_quiet
from benchmarks.product.stream import Marks, observing
from benchmarks.scenario import Context, Outcome, Scenario, Table
from testbed import karmada
from testbed.ports import free_ports
from testbed.processes import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REAL: Final = 2
MOST_GROWTH: Final = 1.5
READY_SECONDS: Final = 120.0


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    sizes, changes = ((2, 20), 20) if context.quick else ((2, 10, 30, 100), 100)
    costs: dict[int, Change] = {}
    memory: dict[int, float] = {}
    numbers = itertools.count(1)
    names = [f"played-{number:03d}" for number in range(max(sizes) - REAL)]
    marks = Marks()
    async with (
        fleet(context) as world,
        _played(world, names) as url,
        observing(world.bed.members[CONSUMER].access, SLICES, SPACE, marks),
    ):
        controller = await world.start()
        await offer(world, FIRST)
        for size in sizes:
            context.tell(f"joining members until there are {size}")
            joined = names[: size - REAL]
            await at_once([partial(_join, world, name, f"{url}/{name}") for name in joined])
            await world.ready(joined, seconds=READY_SECONDS)
            await world.requests().quiet()
            await until_quiet(controller)
            context.tell(f"{changes} changes among {size} members")
            costs[size] = await changes_cost(world, controller, marks, numbers, changes)
            memory[size] = usage(controller).rss_mib
        await controller.terminate()
    few, many = min(sizes), max(sizes)
    compared = f"with {many} members, compared with {few}"
    return Outcome(
        contestants=[ours("with its default limits")],
        measurements=[
            *(
                one(f"change_cpu_{size}", f"CPU for one change, with {size} members", "ms", cost.cpu_milliseconds)
                for size, cost in costs.items()
            ),
            one(
                "growth_requests",
                f"Requests for one change, {compared}",
                "×",
                costs[many].requests / costs[few].requests,
                most=MOST_GROWTH,
            ),
            one(
                "growth_cpu",
                f"CPU for one change, {compared}",
                "×",
                costs[many].cpu_milliseconds / costs[few].cpu_milliseconds,
                most=MOST_GROWTH,
            ),
        ],
        tables=[
            Table(
                title="By the number of members",
                columns=["members", "requests for a change", "CPU ms", "arrival p50 ms", "idle CPU %", "memory MiB"],
                rows=[
                    [
                        size,
                        round(cost.requests, 2),
                        round(cost.cpu_milliseconds, 2),
                        round(sorted(cost.milliseconds)[len(cost.milliseconds) // 2], 1),
                        round(100 * cost.idle, 1),
                        round(memory[size]),
                    ]
                    for size, cost in costs.items()
                ],
            )
        ],
        conditions=[
            f"**The first {REAL} members are real API servers; all others are played** by one small process that "
            "answers lists, watches, writes, discovery and probes. The service that changes has a real provider and a "
            "real consumer. The namespaces of the control plane are carried into all members.",
            f"{changes} changes followed one another. The CPU that the process uses when nothing happens is taken off; "
            "it grows with the members, as each is probed every 10 s.",
        ],
    )


@asynccontextmanager
async def _played(world: Fleet, names: list[str]) -> AsyncIterator[str]:
    """The members that are not real, for the block; the URL below which they are."""
    (port,) = free_ports(1)
    root = world.bed.root
    process = Process(
        "played members",
        [sys.executable, "-m", "benchmarks.product.played_members", str(port), *names],
        log=root / "played-members.log",
        root=root,
        environ={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    url = f"http://127.0.0.1:{port}"
    await process.start()
    try:
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                try:
                    async with session.get(f"{url}/{names[0]}/readyz") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await process.until(answers, timeout=READY_SECONDS)
        yield url
    finally:
        await process.kill()


async def _join(world: Fleet, name: str, url: str) -> None:
    """Register a member that is not real, with a token that nobody checks."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": karmada.CLUSTER_NAMESPACE},
        "stringData": {"token": "not-checked"},
    }
    cluster = {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {
            "syncMode": "Push",
            "apiEndpoint": url,
            "secretRef": {"namespace": karmada.CLUSTER_NAMESPACE, "name": name},
            "insecureSkipTLSVerification": True,
        },
    }
    for each in (secret, cluster):
        await world.host.apply(each)


SCENARIO = Scenario(
    name="members_growth",
    title="More and more members",
    about="Whether one change costs more among many member clusters than among few.",
    run=run,
    uvloop=True,
)
