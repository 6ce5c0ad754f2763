"""Start-up and the cost of one change, by the number of services."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.product.copies import FIRST, Copies
from benchmarks.product.cost import Usage, usage
from benchmarks.product.fleet import SPACE, Fleet, fleet, offer, one, ours
from benchmarks.product.objects import CONSUMER, SLICES, mark
from benchmarks.product.stream import Marks, observing, within
from benchmarks.scenario import Context, Measurement, Outcome, Scenario, Table
from testbed.errors import BedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed import ControllerProcess

SECONDS: Final = 30.0
QUIET_SECONDS: Final = 2.0
QUIET_SHARE: Final = 0.1
"""Of a core: a controller that uses less has nothing to do. Leases and probes take a few hundredths."""

PAUSE_SECONDS: Final = 0.02
MOST_GROWTH: Final = 1.5


@dataclass(frozen=True, slots=True)
class Start:
    """A start without pending changes.

    Attributes:
        seconds: until it was quiet.
        usage: of the process then.
        writes: that it made.
    """

    seconds: float
    usage: Usage
    writes: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change, on average.

    Attributes:
        requests: of the controller, on all planes.
        cpu_milliseconds: of the controller, beyond what it uses when nothing happens.
        milliseconds: until its arrival, of each.
        idle: CPU seconds a second when nothing happens.
    """

    requests: float
    cpu_milliseconds: float
    milliseconds: list[float]
    idle: float


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    sizes, changes = ((10, 200), 20) if context.quick else ((10, 100, 1000, 5000), 100)
    starts: dict[int, Start] = {}
    costs: dict[int, Change] = {}
    numbers = itertools.count(1)
    async with fleet(context) as world:
        controller = await world.start()
        await offer(world, FIRST, headless=True)
        await controller.terminate()
        copies = Copies(world, SPACE)
        await copies.read()
        for size in sizes:
            context.tell(f"copying until there are {size} services")
            await copies.grow(size)
            context.tell(f"start-up with {size} services")
            starts[size] = await _start(world, controller)
            context.tell(f"{changes} changes among {size} services")
            marks = Marks()
            async with observing(world.bed.members[CONSUMER].access, SLICES, SPACE, marks):
                costs[size] = await changes_cost(world, controller, marks, numbers, changes)
            await controller.terminate()
    return Outcome(
        competitors=[ours("with its default limits")],
        measurements=_measurements(starts, costs),
        tables=[_table(starts, costs)],
        conditions=[
            "A service has one slice of ten endpoints in the provider, five Works on the control plane, and one slice "
            "in the one consumer. One service was made and left to converge; the others are copies of all its objects, "
            "written to etcd while the API servers were down. The controller then finds nothing to write.",
            f"Start-up ends when the process has used less than {QUIET_SHARE:.0%} of a core for {QUIET_SECONDS:g} s, "
            "which are not counted; memory is the most that was resident until then.",
            f"{changes} changes of one service followed one another. The CPU that the process uses when nothing "
            "happens (leases, probes) is taken off.",
        ],
    )


async def _start(world: Fleet, controller: ControllerProcess) -> Start:
    requests = world.requests()
    began = time.perf_counter()
    await controller.start(timeout=10 * SECONDS)
    ended = await until_quiet(controller)
    used = usage(controller)
    return Start(ended - began, used, sum(count for each, count in requests.count().items() if each.is_write))


async def until_quiet(controller: ControllerProcess) -> float:
    """Wait until the process is idle; the time (``time.perf_counter``) since when.

    Raises:
        BedError: it never came to rest.
    """
    began = time.perf_counter()
    seen = [(began, usage(controller).cpu_seconds)]
    while time.perf_counter() - began < 10 * SECONDS:
        await asyncio.sleep(0.1)
        seen.append((time.perf_counter(), usage(controller).cpu_seconds))
        seen = [each for each in seen if each[0] >= seen[-1][0] - QUIET_SECONDS]
        (first, before), (last, after) = seen[0], seen[-1]
        if last - first >= 0.9 * QUIET_SECONDS and after - before <= QUIET_SHARE * (last - first):
            return first
    raise BedError(f"{controller.name} did not become idle")


async def changes_cost(
    world: Fleet, controller: ControllerProcess, marks: Marks, numbers: Iterator[int], count: int
) -> Change:
    """Change the first service this number of times, one change after the other; the average cost."""
    for _ in range(5):  # until connections and code are warm
        await _change(world, marks, next(numbers))
    await until_quiet(controller)
    began, before = time.perf_counter(), usage(controller).cpu_seconds
    await asyncio.sleep(QUIET_SECONDS)
    idle = (usage(controller).cpu_seconds - before) / (time.perf_counter() - began)
    requests = world.requests()
    began, before = time.perf_counter(), usage(controller).cpu_seconds
    found = []
    for _ in range(count):
        found.append(await _change(world, marks, next(numbers)))
        await asyncio.sleep(PAUSE_SECONDS)
    used = usage(controller).cpu_seconds - before - idle * (time.perf_counter() - began)
    await requests.quiet(1.0)
    return Change(sum(requests.count().values()) / count, 1000 * used / count, found, idle)


async def _change(world: Fleet, marks: Marks, number: int) -> float:
    arrived = marks.expect(f'"{mark(number)}"'.encode())
    began = time.perf_counter()
    await world.change(FIRST, number)
    return 1000 * (await within(SECONDS, arrived, f"change {number}") - began)


def _measurements(starts: dict[int, Start], costs: dict[int, Change]) -> list[Measurement]:
    few, many = costs[min(costs)], costs[max(costs)]
    compared = f"with {max(costs):,} services, compared with {min(costs)}"
    cpu = many.cpu_milliseconds / few.cpu_milliseconds
    writes = float(sum(each.writes for each in starts.values()))
    return [
        one("Writes of all these start-ups", "requests", writes, most=0.0),
        one(f"Requests for one change, {compared}", "×", many.requests / few.requests, most=MOST_GROWTH),
        one(f"CPU for one change, {compared}", "×", cpu, most=MOST_GROWTH),
    ]


def _table(starts: dict[int, Start], costs: dict[int, Change]) -> Table:
    return Table(
        title="Results by the number of services",
        columns=[
            "services",
            "start-up, s",
            "CPU of it, s",
            "peak memory, MiB",
            "requests for a change",
            "CPU for a change, ms",
            "arrival of a change, p50, ms",
        ],
        rows=[
            [
                size,
                *(
                    float(f"{each:.6g}")
                    for each in (
                        start.seconds,
                        start.usage.cpu_seconds,
                        start.usage.peak_mib,
                        costs[size].requests,
                        costs[size].cpu_milliseconds,
                        median(costs[size].milliseconds),
                    )
                ),
            ]
            for size, start in starts.items()
        ],
    )


SCENARIO = Scenario(
    name="services_growth",
    title="Growth of services",
    about=(
        "The writes, time and memory of a start without pending changes, and the cost of one change, by the number of "
        "services."
    ),
    run=run,
)
