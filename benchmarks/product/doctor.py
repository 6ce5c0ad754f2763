"""The time of `mcsctl doctor` for one service, with many services and many members."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.product.fleet import SPACE, at_once, fleet, offer, one, ours
from benchmarks.product.objects import (
    CLUSTERS,
    CONSUMER,
    PROVIDER,
    Object,
    endpointslice,
    multiclusterservice,
    service,
)
from benchmarks.scenario import OURS, BenchmarkError, Context, Measurement, Outcome, Scenario, Target
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace
from testbed.controller import installed_binary

if TYPE_CHECKING:
    from benchmarks.product.fleet import Fleet

MOST_SECONDS: Final = 2.0
BROKEN: Final = 1


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    services, members, repeats = (100, 4, 3) if context.quick else (5000, 20, 15)
    names = [f"other-{number:04d}" for number in range(services)]
    async with fleet(context) as world:
        controller = await world.start()
        await offer(world, "asked")
        # It would need half an hour for the new services, which mean the same to whoever reads beside them.
        await controller.terminate()
        while await ask(world) is not None:
            context.tell("waiting until nobody can be about to take over")
        few = await timed(context, world, repeats, "1 service, 2 members")
        context.tell(f"making {services} services and {members} members")
        await more_members(world, members)
        manifests = [(make(name), SPACE) for name in names for make in (service, multiclusterservice)]
        manifests += [(collected_work(name), execution_namespace(PROVIDER)) for name in names]
        await at_once([partial(world.host.create, each, namespace=where) for each, where in manifests])
        many = await timed(context, world, repeats, f"{services} services, {members} members")
    return Outcome(
        competitors=[ours("as a process of its own, in a bed without Nodes and Pods")],
        measurements=[
            Measurement(
                f"`mcsctl doctor asked`, start of the process included, with {services} services and {members} members",
                "s",
                "lower",
                {OURS: [many]},
                parts=[0.5, 1.0],
                targets=[Target(part=0.5, at_most=MOST_SECONDS)],
            ),
            one("The same, divided by its time with 1 service and 2 members", "×", _middle(many) / _middle(few)),
        ],
        conditions=[
            f"All services are in one namespace; {members - 2} of the members are registered and not of this service.",
            "Each of the others has a Service, a MultiClusterService and a Work with its EndpointSlice.",
            f"{repeats} runs of each, one after the other. The controller is stopped: each of them finds just that.",
        ],
    )


def collected_work(name: str) -> Object:
    """A Work with the EndpointSlice of one of the other services."""
    labels = {wk.MCS_NAME: name, wk.MCS_NAMESPACE: SPACE}
    slice_ = endpointslice(name, 0)
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {"name": f"work-{name}", "labels": labels},
        "spec": {"suspendDispatching": True, "workload": {"manifests": [slice_]}},
    }


async def more_members(world: Fleet, members: int) -> None:
    """Register further members, to which nobody connects."""
    known = [await world.host.get(CLUSTERS, name) for name in (PROVIDER, CONSUMER)]
    for number in range(members - len(known)):
        spec = {**known[number % 2]["spec"], "syncMode": "Pull"}
        body = {
            "apiVersion": "cluster.karmada.io/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": f"more-{number:02d}"},
            "spec": spec,
        }
        await world.host.create(body)


async def timed(context: Context, world: Fleet, repeats: int, what: str) -> list[float]:
    """Seconds of each run."""
    found = []
    for number in range(repeats):
        context.tell(f"{what}: run {number + 1} of {repeats}")
        began = time.perf_counter()
        if (output := await ask(world)) is not None:
            raise BenchmarkError(f"doctor found something else: {output}")
        found.append(time.perf_counter() - began)
    return found


async def ask(world: Fleet) -> str | None:
    """Run doctor. None if it finds the stopped controller, as it has to; else what it says."""
    files = [plane.access.kubeconfig for plane in world.planes]
    process = await asyncio.create_subprocess_exec(
        str(installed_binary().with_name("mcsctl")),
        *("--context", "karmada", "doctor", "asked", "-n", SPACE),
        env={**os.environ, "KUBECONFIG": ":".join(map(str, files))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return None if process.returncode == BROKEN and b"Broken: MCS005" in output else output.decode()


def _middle(samples: list[float]) -> float:
    return sorted(samples)[len(samples) // 2]


SCENARIO = Scenario(
    name="doctor",
    title="Diagnosis of one service",
    about="The time from the command to the verdict, for one service among many.",
    run=run,
)
