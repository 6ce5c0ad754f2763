"""The process is killed at every point between two writes, and the next one completes what was begun.

Each flow begins with a fleet at rest and one change. Whenever writes are on their way, the process is killed with every
subset of them having arrived (so in every order, and before and after each single one took effect). Points that leave
the same objects behind are one state: a new process has nothing else to go by. From each state a process begins, and
comes to rest as the oracle says; another one then writes nothing.

Where there are two processes, the first one is killed. What the other one has on its way then has not arrived yet.
docs/crash-points.md has the numbers.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from tests.model.conftest import WHOLE, WIRINGS, WRITE
from tests.support.fleet_model import Fleet
from tests.support.fleet_model_flows import FLOWS, NAMES, at_rest
from tests.support.fleet_model_oracle import complaints
from tests.support.fleet_model_process import AGENT, BESIDE, STANDALONE
from tests.support.fleet_model_report import PAGE, Found, page, said
from tests.support.scale import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fleet_model_process import Kind
    from tests.support.fleet_model_server import Parked

pytestmark = pytest.mark.timeout(7200 if LONG else 900)
"""Seconds. The largest flow takes three minutes on a busy machine."""

_WHOLE = WHOLE[LONG]
_EVERY = 1 if LONG or WRITE else 4
"""Of the worlds that are left behind, another process begins from one in so many. `make test-long` takes each."""
KINDS = dict(zip(WIRINGS, (STANDALONE, BESIDE, AGENT), strict=True))


def subsets(parked: list[Parked]) -> Iterator[tuple[Parked, ...]]:
    sizes = range(len(parked) + 1)
    for size in sizes if len(parked) <= _WHOLE else sorted({0, 1, len(parked) - 1, len(parked)}):
        yield from combinations(parked, size)
    if len(parked) > _WHOLE:
        yield from (tuple(parked[:size]) for size in range(2, len(parked) - 1))


async def crash_points(
    begin: Any, change: Callable[[Fleet], object], kinds: tuple[Kind, ...]
) -> tuple[int, int, dict[str, Any]]:
    """(writes, points, what the servers have at each of them)."""
    fleet = Fleet(*NAMES, kinds=kinds)
    fleet.restore(begin)
    fleet.start()
    assert await fleet.rest() == []
    assert fleet.wire.writes == []
    change(fleet)
    states: dict[str, Any] = {}
    points = 0

    async def kill() -> None:
        nonlocal points
        mine = [one for one in fleet.wire.parked if one.process == fleet.processes[0].number]
        for arriving in subsets([one for one in mine if one.do is not None]) if mine else ():
            points += 1
            snapshot, state = await fleet.after(arriving)
            states.setdefault(state, ([str(one) for one in arriving], snapshot))

    for _ in range(40):
        done = False
        while not done:
            if fleet.all_wait:  # as much as can be at once is on its way
                await kill()
            done = await fleet.drive(1)
        if not await fleet.later():
            break
    writes = len(fleet.wire.writes)
    assert fleet.wire.own_conflicts == []
    await fleet.stop()
    return writes, points, states


async def stuck(fleet: Fleet) -> list[str]:
    """What still fails when nothing else happens any more, apart from what waits for a cluster to become well."""
    return [one for one in await fleet.rest() if not re.search(r"cluster \S+ is not ready", one)]


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("flow", FLOWS)
async def test_killed_anywhere_the_next_process_completes_it(flow: str, wiring: str, tell: Callable[..., None]):
    kinds = KINDS[wiring]
    begin = await at_rest(FLOWS[flow], kinds)
    writes, points, states = await crash_points(begin, FLOWS[flow].change, kinds)
    ends: set[Any] = set()
    for arrived, snapshot in list(states.values())[::_EVERY]:
        fleet = Fleet(*NAMES, kinds=kinds)
        fleet.restore(snapshot)
        fleet.start()
        where = f"killed after {arrived}"
        assert await stuck(fleet) == [], where
        assert complaints(fleet) == [], where
        assert fleet.wire.own_conflicts == [], where
        if fleet.state() not in ends:
            ends.add(fleet.state())
            fleet.wire.writes.clear()
            await fleet.crash()
            assert await stuck(fleet) == [], where
            assert fleet.wire.writes == [], f"a second restart, {where}"
        await fleet.stop()
    tell(flow, wiring, Found(writes, points, len(states)))


@pytest.mark.skipif(WRITE, reason="the page is being written")
def test_the_page_has_a_row_for_each_change_and_its_sums_are_right():
    there = said(PAGE.read_text(), WIRINGS)
    assert set(there) == {(flow, wiring) for flow in FLOWS for wiring in WIRINGS}
    assert page(there, WIRINGS, whole=WHOLE[False], long=WHOLE[True]) == PAGE.read_text()
