"""One live change while there is much else to do, and the request limit is used up."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Final

from benchmarks.product.fleet import SPACE, Fleet, fleet, offer, ours
from benchmarks.product.objects import CONSUMER, SLICES, mark
from benchmarks.product.services import make_services
from benchmarks.product.stream import Marks, Names, observing
from benchmarks.scenario import OURS, Context, Measurement, Outcome, Scenario, Target
from testbed.errors import BedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WEB: Final = "web"
PAUSE_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 30.0
"""A change that takes longer counts as so long; the next one overtakes it."""

MOST_MILLISECONDS: Final = 500.0


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    services, changes = (30, 6) if context.quick else (500, 60)
    names, marks = Names(), Marks()
    numbers = itertools.count(1)

    def seen(moment: float, line: bytes) -> None:
        names(moment, line)
        marks(moment, line)

    async with (
        fleet(context) as world,
        observing(world.bed.members[CONSUMER].access, SLICES, SPACE, seen),
    ):
        controller = await world.start()
        await offer(world, WEB)
        context.tell("changes while nothing else happens")
        idle = await _changes(world, marks, numbers, changes, lambda: True)
        names.restart()
        context.tell(f"changes while {services} services are made")
        await make_services(world, [f"bulk-{number:04d}" for number in range(services)])

        def busy() -> bool:
            return len(names.came) < services

        await _past_the_burst(names)
        bulk = await _changes(world, marks, numbers, changes, busy)
        there = len(names.came)
        await controller.terminate()
        context.tell("changes after a restart, with the rest of the services still to be made")
        await controller.start()
        restart = await _changes(world, marks, numbers, changes, busy)
        await controller.kill()
    if not bulk:
        raise BedError("all services were made before anything could be changed")
    return Outcome(
        contestants=[ours("with the default request limits, 40/60")],
        measurements=[
            Measurement(
                name=name,
                title=f"One change of another service, {when}",
                unit="ms",
                better="lower",
                rounds={OURS: [found]},
                parts=[0.5, 0.9, 1.0],
                targets=[Target(part=0.9, at_most=MOST_MILLISECONDS)] if name != "idle" else [],
                chart="one change while much happens",
            )
            for name, when, found in (
                ("idle", "while nothing else happens", idle),
                ("bulk", f"while {services} services are being made", bulk),
                ("restart", "after a restart in the middle of that", restart),
            )
            if found
        ],
        conditions=[
            f"Changes follow one another after {1000 * PAUSE_SECONDS:.0f} ms. Those among the services made begin "
            f"after the first of these has arrived; {there} of {services} were there at the last of these changes.",
            f"A change that has not come to the consumer after {LONGEST_SECONDS:g} s counts as so long.",
        ],
    )


async def _past_the_burst(names: Names) -> None:
    """Wait until the limit's burst is used up: some of the services are there by then."""
    await names.until(lambda seen: bool(seen.came), seconds=LONGEST_SECONDS)


async def _changes(
    world: Fleet, marks: Marks, numbers: Iterator[int], count: int, go_on: Callable[[], bool]
) -> list[float]:
    """Milliseconds that each change took; fewer than ``count`` if there is no reason to go on."""
    found: list[float] = []
    while len(found) < count and go_on():
        number = next(numbers)
        arrived = marks.expect(f'"{mark(number)}"'.encode())
        began = time.perf_counter()
        await world.change(WEB, number)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                took = await arrived - began
        except TimeoutError:
            took = LONGEST_SECONDS
        found.append(1000 * took)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


SCENARIO = Scenario(
    name="live_changes",
    title="A change among much else",
    about=(
        "How long one changed endpoint takes while many services are being made and the request limits are used up, "
        "and after a restart in the middle of that."
    ),
    run=run,
    uvloop=True,
)
