"""Fail-over to another replica, after SIGTERM and after SIGKILL of the leader."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Final

from benchmarks.product.fleet import SPACE, fleet, offer, ours
from benchmarks.product.objects import CONSUMER, SLICES, mark
from benchmarks.product.stream import Marks, observing, within
from benchmarks.scenario import OURS, Context, Measurement, Outcome, Scenario, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.product.fleet import Fleet
    from testbed import ControllerProcess

WEB: Final = "web"
SECONDS: Final = 60.0

# Flags' defaults: a standby looks every 1.6 to 1.8 s, and when what it saw runs out, 15 s after it saw that.
MOST_AFTER_TERM: Final = 3.0
MOST_AFTER_KILL: Final = 17.5

FAST: Final = (
    "--leader-elect-lease-duration=4s",
    "--leader-elect-renew-deadline=3s",
    "--leader-elect-retry-period=500ms",
)
"""The fast lease profile of docs/leader-election.md."""
MOST_AFTER_KILL_IF_FAST: Final = 6.0

KILLED_IF_FAST: Final = "SIGKILL (fast lease profile)"


async def run(context: Context) -> Outcome:
    """See :data:`SCENARIO`."""
    politely, suddenly = (1, 1) if context.quick else (10, 5)
    marks = Marks()
    numbers = itertools.count(1)
    found: dict[str, list[list[float]]] = {"SIGTERM": [], "SIGKILL": [], KILLED_IF_FAST: []}
    async with fleet(context) as world, observing(world.bed.members[CONSUMER].access, SLICES, SPACE, marks):
        offered = False
        for flags, ways in (
            ((), (("SIGTERM", politely), ("SIGKILL", suddenly))),
            (FAST, ((KILLED_IF_FAST, suddenly),)),
        ):
            leader, standby = (world.controller(*flags, name=f"replica-{number}") for number in (1, 2))
            await leader.start()
            await world.ready()
            if not offered:
                await offer(world, WEB)
                offered = True
            await standby.start()
            for how, rounds in ways:
                for number in range(rounds):
                    context.tell(f"{how}, round {number + 1} of {rounds}")
                    found[how].append([await _take_over(world, leader, marks, numbers, how)])
                    await leader.start()
                    leader, standby = standby, leader
                    await asyncio.sleep(1.0)  # neither just after a renewal, nor at the same moment of it each time
            await standby.terminate()
            await leader.terminate()
    return Outcome(
        competitors=[ours()],
        measurements=[
            Measurement(
                f"From {how} of the leader to the arrival of the first change of the new leader",
                "s",
                "lower",
                {OURS: found[how]},
                parts=[0.5, 1.0],
                targets=[Target(part=1.0, at_most=most)],
            )
            for how, most in (
                ("SIGTERM", MOST_AFTER_TERM),
                ("SIGKILL", MOST_AFTER_KILL),
                (KILLED_IF_FAST, MOST_AFTER_KILL_IF_FAST),
            )
        ],
        conditions=[
            "Two replicas with the default lease: 15 s long, renewed every 2 s; with the fast profile of "
            "docs/leader-election.md: 4 s long, renewed every 0.5 s. An endpoint is changed as soon as the "
            "leader has ended; the time includes its end, and the way of that change to the consumer."
        ],
    )


async def _take_over(world: Fleet, leader: ControllerProcess, marks: Marks, numbers: Iterator[int], how: str) -> float:
    """Seconds from the signal to the arrival of a change made after the leader's end."""
    began = time.perf_counter()
    await (leader.terminate() if how == "SIGTERM" else leader.kill())
    number = next(numbers)
    arrived = marks.expect(f'"{mark(number)}"'.encode())
    await world.change(WEB, number)
    return await within(SECONDS, arrived, f"a change after {how}") - began


SCENARIO = Scenario(
    name="failover",
    title="Fail-over",
    about="The time without a leader after SIGTERM and after SIGKILL of the leader.",
    run=run,
)
