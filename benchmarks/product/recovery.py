"""Recovery after an outage of a provider's API server."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.product.fleet import RAISED, SPACE, fleet, one, ours
from benchmarks.product.objects import CONSUMER, PROVIDER, SLICES, mark
from benchmarks.product.services import make_services, running, until_made
from benchmarks.product.stream import Marks, Names, observing, within
from benchmarks.scenario import OURS, Context, Measurement, Outcome, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.product.cost import Asked
    from testbed import ControllerProcess

SECONDS: Final = 120.0
MOST_SECONDS: Final = 2.0
CARRIED: Final = ("works", "resourcebindings", "services", "endpointslices", "namespaces")
WRITES_OF_A_CHANGE: Final = 3
LOOKED_AT_OFTEN: Final = (
    "--cluster-status-update-frequency=1s",
    "--cluster-failure-threshold=3s",
    "--cluster-success-threshold=3s",
)


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    services, seconds, rounds = (20, 8.0, 1) if context.quick else (200, 60.0, 2)
    # A short outage is only noticed by somebody who looks often.
    flags = LOOKED_AT_OFTEN if context.quick else ()
    names, marks = Names(), Marks()
    wanted = [f"kept-{number:04d}" for number in range(services)]
    back: list[float] = []
    attempts: list[float] = []
    ready: list[float] = []
    total: Counter[Asked] = Counter()

    def seen(moment: float, line: bytes) -> None:
        names(moment, line)
        marks(moment, line)

    async with (
        fleet(context) as world,
        observing(world.bed.members[CONSUMER].access, SLICES, SPACE, seen),
        running(world, *RAISED, *flags) as controller,
    ):
        context.tell(f"making {services} services")
        names.restart()
        await make_services(world, wanted)
        await until_made(names, wanted)
        requests = world.requests()
        await requests.quiet()
        plane = world.bed.members[PROVIDER]
        for number in range(1, rounds + 1):
            requests.restart()
            before = await failed_requests(controller, plane.access.server)
            context.tell(f"round {number} of {rounds}: the provider's API server is away for {seconds:g} s")
            await plane.kill_apiserver()
            await asyncio.sleep(seconds)
            attempts.append(await failed_requests(controller, plane.access.server) - before)
            context.tell(f"round {number} of {rounds}: it comes back")
            await plane.start_apiserver()
            began = time.perf_counter()
            arrived = marks.expect(f'"{mark(number)}"'.encode())
            await world.change(wanted[-1], number)
            back.append(await within(SECONDS, arrived, "a change in the provider that is back") - began)
            await world.ready([PROVIDER], seconds=SECONDS)
            ready.append(time.perf_counter() - began)
            await requests.quiet()
            total += requests.count()
    lost = len(names.went)
    return Outcome(
        competitors=[ours("with request limits raised to 2000/4000")],
        measurements=[
            Measurement(
                "From the readiness of the provider's API server to the arrival of the next change",
                "s",
                "lower",
                {OURS: [[each] for each in back]},
                parts=[0.5, 1.0],
                targets=[Target(part=1.0, at_most=MOST_SECONDS)],
            ),
            Measurement(
                "From the same moment to the readiness of the Cluster",
                "s",
                "lower",
                {OURS: [[each] for each in ready]},
                parts=[0.5, 1.0],
            ),
            one(f"Slices of {services} that the consumer lost meanwhile", "slices", float(lost), most=0.0),
            Measurement(
                "Failed requests per second during the outage",
                "1/s",
                "lower",
                {OURS: [[each / seconds] for each in attempts]},
            ),
            one(
                "Writes for one outage of Works, bindings, Services, slices or their status, other than the one change",
                "requests",
                sum(each for asked, each in total.items() if _carries(asked)) / rounds - WRITES_OF_A_CHANGE,
                most=0.0,
            ),
            one(
                "Requests for one outage that tell people of it, for each service: conditions and events",
                "requests",
                sum(each for asked, each in total.items() if asked.is_write and not _carries(asked))
                / rounds
                / services,
            ),
        ],
        conditions=[
            f"{services} services with one provider and one consumer. The provider's API server was killed, and "
            f"started again {seconds:g} s later; its start is not part of the times.",
            f"How often a member is looked at, and when it is believed: {' '.join(flags) or 'the defaults'}.",
            "The consumer's slices were watched all the time, and requests counted in the audit logs of all planes.",
        ],
    )


def _carries(asked: Asked) -> bool:
    return asked.is_write and asked.resource.partition("/")[0] in CARRIED


async def failed_requests(controller: ControllerProcess, server: str) -> float:
    """The number of failed requests to a server, from the controller's metrics."""
    async with aiohttp.ClientSession() as session, session.get(controller.metrics_url) as response:
        families = list(text_string_to_metric_families(await response.text()))
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "rest_client_requests_total"
        and sample.labels["code"] == "<error>"
        and server.endswith(sample.labels["host"])
    )


SCENARIO = Scenario(
    name="recovery",
    title="Recovery of a provider",
    about=(
        "A provider's API server is killed and restarted: whether the consumer keeps the endpoints, the requests "
        "during the outage, and the time until changes are delivered again."
    ),
    run=run,
)
