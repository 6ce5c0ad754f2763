"""Services made at once and deleted at once: how long, and how many requests for each."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.product.cost import on, rows
from benchmarks.product.fleet import HOST, RAISED, SPACE, Fleet, fleet, one, ours
from benchmarks.product.objects import CONSUMER, SLICES
from benchmarks.product.services import (
    LONG_SECONDS,
    delete_services,
    make_services,
    no_works,
    running,
    until_deleted,
    until_made,
)
from benchmarks.product.stream import Names, observing
from benchmarks.scenario import Context, Measurement, Outcome, Scenario, Table
from testbed import karmada

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.product.cost import Asked

MCS_USER: Final = karmada.CONTROLLER_USER
STANDALONE_USER: Final = "mcs-standalone"
MCS_CONTROLLERS: Final = "multiclusterservice,endpointsliceCollect,endpointsliceDispatch"
PARTS: Final = {MCS_USER: "MultiClusterService controllers", STANDALONE_USER: "stand-alone controllers"}

LIMITS: Final[dict[str, tuple[str, ...]]] = {"default limits (40/60)": (), "raised limits (2000/4000)": RAISED}
QUICK: Final[dict[str, tuple[int, ...]]] = {"raised limits (2000/4000)": (10, 30)}
FULL: Final[dict[str, tuple[int, ...]]] = {
    "default limits (40/60)": (50, 200),
    "raised limits (2000/4000)": (50, 200, 500),
}

MOST_REQUESTS: Final = 9.0
MOST_GROWTH: Final = 1.25
"""Time for each service of many, compared with few: 1 is linear, and a measured time is not exact."""


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    counts, split = (QUICK, 10) if context.quick else (FULL, 50)
    names = Names()
    measurements: list[Measurement] = []
    tables: list[Table] = []
    async with (
        fleet(context, controller_manager=True) as world,
        observing(world.bed.members[CONSUMER].access, SLICES, SPACE, names),
    ):
        for limits, sizes in counts.items():
            async with running(world, *LIMITS[limits]):
                found, conflicts = await _times(context, world, names, sizes, limits)
            measurements += found
            if conflicts:
                tables.append(_conflicts(f"one process, {limits}", conflicts, sum(sizes)))
        requests, asked = await _requests(context, world, names, split)
    return Outcome(
        contestants=[ours()],
        measurements=[*measurements, *requests],
        tables=[*tables, *asked],
        conditions=[
            "A service is a Service and a MultiClusterService on the control plane and a slice of ten endpoints in the "
            "one provider; there is one consumer. All are made by 64 requests at a time, and so deleted.",
            "Time runs from the first request until the last slice has come to, or gone from, the consumer.",
            "Requests are counted in audit logs. To tell those of the three MultiClusterService controllers from those "
            "that Karmada's controllers would make otherwise, they ran as two processes with a user each for that.",
        ],
    )


@dataclass(frozen=True, slots=True)
class Made:
    """Seconds that services took."""

    count: int
    made: float
    deleted: float


async def _times(
    context: Context, world: Fleet, names: Names, counts: Sequence[int], limits: str
) -> tuple[list[Measurement], Counter[Asked]]:
    found: list[Made] = []
    conflicts: Counter[Asked] = Counter()
    for count in counts:
        context.tell(f"{count} services made and deleted at once, {limits}")
        wanted = [f"made-{number:04d}" for number in range(count)]
        requests = world.requests()
        names.restart()
        began = time.perf_counter()
        await make_services(world, wanted)
        made = await until_made(names, wanted) - began
        await requests.quiet(within=LONG_SECONDS)
        began = time.perf_counter()
        await delete_services(world, wanted)
        deleted = await until_deleted(names, wanted) - began
        await no_works(world)
        await requests.quiet(within=LONG_SECONDS)
        conflicts.update(requests.conflicts())
        found.append(Made(count, made, deleted))
    key = limits.split()[0]
    measurements = []
    for what in ("made", "deleted"):
        for each in found:
            title = f"{each.count} services {what} at once, {limits}"
            seconds = getattr(each, what)
            measurements.append(one(f"{what}_{each.count}_{key}", title, "s", seconds))
        few, many = found[0], found[-1]
        title = f"Time for each of {many.count} services {what} at once, compared with each of {few.count}, {limits}"
        growth = (getattr(many, what) / many.count) / (getattr(few, what) / few.count)
        measurements.append(one(f"{what}_growth_{key}", title, "×", growth, most=MOST_GROWTH))
    title = f"Answers 409 while {' and '.join(map(str, counts))} services were made and deleted, {limits}"
    measurements.append(one(f"conflicts_{key}", title, "requests", float(conflicts.total()), most=0.0))
    return measurements, conflicts


async def _requests(context: Context, world: Fleet, names: Names, count: int) -> tuple[list[Measurement], list[Table]]:
    """Count what the MultiClusterService controllers ask, and what those ask that stand in for Karmada's."""
    context.tell(f"{count} services with the controller in two halves, to count the requests of each")
    halves = [
        world.controller(*RAISED, name="mcs-part", controllers=MCS_CONTROLLERS),
        world.controller(
            *RAISED,
            "--leader-elect-resource-name=mcs-standalone",
            name="standalone-part",
            controllers="standalone",
            kubeconfig=world.bed.host.make_client(STANDALONE_USER, ["system:masters"]).kubeconfig,
        ),
    ]
    for half in halves:
        await half.start()
    await world.ready()
    await world.space()
    requests = world.requests(MCS_USER, STANDALONE_USER)
    await requests.quiet()
    wanted = [f"split-{number:04d}" for number in range(count)]
    counted: dict[tuple[str, str], Counter[Asked]] = {}
    conflicts: Counter[Asked] = Counter()

    def take(what: str) -> None:
        for user in (MCS_USER, STANDALONE_USER):
            # In members both have one user, so only the control plane tells the halves apart.
            asked = requests.count(user)
            counted[what, user] = Counter({each: number for each, number in asked.items() if each.plane == HOST})
        conflicts.update(requests.conflicts())
        requests.restart()

    names.restart()
    requests.restart()
    await make_services(world, wanted)
    await until_made(names, wanted)
    await requests.quiet(within=LONG_SECONDS)
    take("made")
    await delete_services(world, wanted)
    await until_deleted(names, wanted)
    await no_works(world)
    await requests.quiet(within=LONG_SECONDS)
    take("deleted")
    for half in halves:
        await half.terminate()
    return _counted(counted, conflicts, count), _tables(counted, conflicts, count)


def _counted(
    counted: dict[tuple[str, str], Counter[Asked]], conflicts: Counter[Asked], count: int
) -> list[Measurement]:
    found = []
    for (what, user), asked in counted.items():
        part = "mcs" if user == MCS_USER else "standalone"
        most = MOST_REQUESTS if (what, user) == ("made", MCS_USER) else None
        title = f"Control plane requests of the {PARTS[user]} for one service {what}"
        found.append(one(f"requests_{what}_{part}", title, "requests", on(asked, HOST) / count, most=most))
        told = sum(number for each, number in asked.items() if each.resource == "events")
        title = f"Events among them, {PARTS[user]}, service {what}"
        found.append(one(f"events_{what}_{part}", title, "requests", told / count))
    title = (
        f"Answers 409 while {count} services were made and deleted by two processes, which get into each other's way"
    )
    found.append(one("conflicts_split", title, "requests", float(sum(conflicts.values()))))
    return found


def _tables(counted: dict[tuple[str, str], Counter[Asked]], conflicts: Counter[Asked], count: int) -> list[Table]:
    columns = ["API server", "verb", "resource", "requests", "for each service"]
    tables = [
        Table(
            title=f"Control plane requests of the {PARTS[user]} while {count} services were {what}",
            columns=columns,
            rows=rows(asked, per=count),
        )
        for (what, user), asked in counted.items()
    ]
    if conflicts:
        tables.append(_conflicts("two processes", conflicts, count))
    return tables


def _conflicts(whom: str, conflicts: Counter[Asked], count: int) -> Table:
    return Table(
        title=f"Answers 409, {whom}",
        columns=["API server", "verb", "resource", "answers", "for each service"],
        rows=rows(conflicts, per=count),
    )


SCENARIO = Scenario(
    name="many_services",
    title="Services made and deleted in numbers",
    about=(
        "Services that are made at once and deleted at once: how long until the consumer has the last one, whether "
        "that grows faster than their number, and how many requests each costs."
    ),
    run=run,
    uvloop=True,
)
