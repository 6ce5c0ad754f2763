"""Many slices that change at once, and one that changes all the time."""

from __future__ import annotations

import functools
import time
from typing import Final

from benchmarks.product.cost import on
from benchmarks.product.fleet import HOST, RAISED, SPACE, Fleet, at_once, fleet, one, ours
from benchmarks.product.objects import CONSUMER, PROVIDER, SLICES, endpoints, endpointslice, mark
from benchmarks.product.services import LONG_SECONDS, make_services, running
from benchmarks.product.stream import Marks, Names, observing
from benchmarks.scenario import Context, Measurement, Outcome, Scenario
from testbed.errors import BedError

LETTERS: Final = "abcdefghij"
"""Of the slices of one service."""

NEW: Final = "10.199.7.7"


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    slices, changes = (50, 100) if context.quick else (1000, 1000)
    names, marks = Names(), Marks()

    def seen(moment: float, line: bytes) -> None:
        names(moment, line)
        marks(moment, line)

    async with (
        fleet(context) as world,
        running(world, *RAISED),
        observing(world.bed.members[CONSUMER].access, SLICES, SPACE, seen),
    ):
        many = await _many(context, world, names, slices)
        single = await _one(context, world, marks, changes)
    return Outcome(
        competitors=[ours("with request limits raised to 2000/4000")],
        measurements=[*many, *single],
        conditions=[
            f"The {slices} slices of ten endpoints belong to {slices // len(LETTERS)} services with one consumer, and "
            "were changed by 64 requests at a time. The last of them is the last to come to the consumer.",
            f"The one slice was changed {changes} times, each time when the change before was answered, and not "
            "waiting for anything to arrive. The consumer had the last state in the end.",
        ],
    )


async def _many(context: Context, world: Fleet, names: Names, count: int) -> list[Measurement]:
    context.tell(f"making {count} slices")
    services = [f"wide-{number:04d}" for number in range(count // len(LETTERS))]
    slices = [f"{name}-{letter}" for name in services for letter in LETTERS]
    arrived = {f"{PROVIDER}-{name}" for name in slices}
    names.restart()
    await make_services(world, services)
    await at_once([functools.partial(_more, world, name) for name in services])
    await names.until(lambda seen: arrived <= seen.came.keys(), seconds=LONG_SECONDS)
    requests = world.requests()
    await requests.quiet(within=LONG_SECONDS)
    requests.restart()
    context.tell(f"{count} slices that change at once")
    names.restart(f'"{NEW}"'.encode())

    async def change(name: str) -> None:
        changed = endpoints(0)
        changed[0]["addresses"] = [NEW]
        await world.member(PROVIDER).patch(SLICES, name, {"endpoints": changed}, namespace=SPACE)

    began = time.perf_counter()
    await at_once([functools.partial(change, name) for name in slices])
    sent = time.perf_counter() - began
    await names.until(lambda seen: arrived <= seen.came.keys(), seconds=LONG_SECONDS)
    took = max(names.came[name] for name in arrived) - began
    await requests.quiet(within=LONG_SECONDS)
    counted = requests.count()
    return [
        one(f"{count} slices change at once: time until the last has arrived", "s", took),
        one("The part of this time for the changes in the provider", "s", sent),
        one("Requests for each of these changes", "requests", sum(counted.values()) / count, most=3.0),
    ]


async def _more(world: Fleet, service: str) -> None:
    """The other slices of a service."""
    for letter in LETTERS[1:]:
        manifest = endpointslice(service, 0)
        manifest["metadata"]["name"] = f"{service}-{letter}"
        await world.member(PROVIDER).create(manifest, namespace=SPACE)


async def _one(context: Context, world: Fleet, marks: Marks, count: int) -> list[Measurement]:
    context.tell(f"one slice that changes {count} times")
    service = "wide-0000"
    requests = world.requests()
    await requests.quiet()
    requests.restart()
    last = marks.expect(f'"{mark(count)}"'.encode())
    began = time.perf_counter()
    for number in range(1, count + 1):
        await world.change(service, number)
    answered = time.perf_counter()
    arrived = await last
    await requests.quiet()
    await _check(world, f"{PROVIDER}-{service}-a", count)
    counted = requests.count()
    return [
        one(
            f"Requests on the control plane for each of {count} changes of one slice",
            "requests",
            on(counted, HOST) / count,
            most=1.0,
        ),
        one("From the answer to the last of them to its arrival", "ms", 1000 * (arrived - answered)),
        one("The time to make these changes", "s", answered - began),
    ]


async def _check(world: Fleet, name: str, number: int) -> None:
    """Raise BedError unless the consumer's slice has the endpoints of the last change."""
    found = await world.member(CONSUMER).get(SLICES, name, namespace=SPACE)
    wanted = [each["addresses"] for each in endpoints(number)]
    if [each["addresses"] for each in found["endpoints"]] != wanted:
        raise BedError(f"the consumer's slice is not what was written last: {found['endpoints']}")


SCENARIO = Scenario(
    name="burst",
    title="Concurrent changes of slices",
    about=(
        "Many slices that change at once, and one slice that changes faster than its changes can be delivered: the "
        "time until all have arrived, and the number of requests."
    ),
    run=run,
)
