"""The process is killed at every point between two writes, and the next one completes what was begun.

Each flow begins with a fleet at rest and one change. Whenever writes are on their way, the process is killed with every
subset of them having arrived (so in every order, and before and after each single one took effect). Points that leave
the same objects behind are one state: a new process has nothing else to go by. From each state a process begins, and
comes to rest as the oracle says; another one then writes nothing.
"""

from __future__ import annotations

import os
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.domain import well_known as wk
from tests.support.builders import export_work, mcs, service, service_export
from tests.support.fleet_model import Fleet, fresh, marked, namespace
from tests.support.fleet_model_foreign import own, strew
from tests.support.fleet_model_oracle import complaints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fleet_model_server import Parked

NAMES = ("a", "a-b", "m")
_WHOLE = 6 if os.environ.get("MODEL_LONG") else 3
"""Of so many writes on their way at once, every subset; of more, those with few or almost all, and the first ones."""


def beginning(fleet: Fleet) -> None:
    """Two services, two providers whose slices ask for one name, two consumers."""
    shop = fleet.host
    shop.seed(fresh(marked(service("web", "shop"), finalizer=True)))
    shop.seed(fresh(marked(service("api", "shop"), finalizer=True)))
    ask(fleet, "api", ["a"], ["m"])
    for provider, name, of in (("a", "b-c", "web"), ("a", "d", "web"), ("a", "e", "api"), ("a-b", "c", "web")):
        fleet.members[provider].add_theirs(own(provider, name, "shop", of, ["10.0.0.1", "10.0.0.2"]))


def ask(fleet: Fleet, name: str, providers: list[str], consumers: list[str]) -> None:
    """Somebody makes a MultiClusterService."""
    made = mcs(name, "shop", providers=providers, consumers=consumers, adopted=False, permanent_id="")
    fleet.host.seed(fresh(marked(made, finalizer=True)))


def web(fleet: Fleet) -> None:
    ask(fleet, "web", ["a", "a-b"], ["a", "m"])


def lists(field: str, *names: str) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        fleet.host.edit(wk.MCS_KIND, "shop", "web", {"spec": {field: [{"name": name} for name in names]}})

    return change


def slice_changes(patch: dict[str, Any]) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        fleet.members["a"].change_theirs(wk.SLICE_KIND, "shop", "b-c", patch)

    return change


def export(fleet: Fleet) -> None:
    """Somebody brings a ServiceExport of the same Service to a provider."""
    fleet.host.seed(fresh(export_work("a", service_export("web", "shop"), applied="")))


def web_and_export(fleet: Fleet) -> None:
    web(fleet)
    export(fleet)


NOTHING: Callable[[Fleet], None] = lambda _: None  # noqa: E731
FLOWS: dict[str, tuple[Callable[[Fleet], None], Callable[[Fleet], None], int]] = {
    "a service is created": (NOTHING, web, 500),
    "endpoints change": (web, slice_changes({"endpoints": [{"addresses": ["10.9.9.9"]}]}), 12),
    "a slice moves to another service": (web, slice_changes({"metadata": {"labels": {wk.SERVICE_NAME: "api"}}}), 12),
    "a slice is created": (
        web,
        lambda fleet: fleet.members["a-b"].add_theirs(own("a-b", "new", "shop", "web", ["10.0.0.9"])),
        40,
    ),
    "a slice is deleted": (web, lambda fleet: fleet.members["a"].remove_theirs(wk.SLICE_KIND, "shop", "b-c"), 12),
    "a provider is taken off": (web, lists("providerClusters", "a-b"), 50),
    "a consumer is taken off": (web, lists("consumerClusters", "m"), 15),
    "lists are turned round": (web, lists("consumerClusters", "a-b"), 300),
    "a service is deleted": (web, lambda fleet: fleet.host.remove(wk.MCS_KIND, "shop", "web"), 300),
    "the Service is deleted": (web, lambda fleet: fleet.host.remove("Service", "shop", "web"), 50),
    "a cluster is removed": (web, lambda fleet: fleet.host.remove("Cluster", "", "m"), 200),
    "a service is exported too": (web, export, 20),
    "an exported service is created": (export, web, 500),
    "an exported service is deleted": (
        web_and_export,
        lambda fleet: fleet.host.remove(wk.MCS_KIND, "shop", "web"),
        300,
    ),
}

_served = {
    "/apis/multicluster.x-k8s.io/v1alpha1": [{"name": "serviceexports", "kind": "ServiceExport", "namespaced": True}]
}


def a_fleet() -> Fleet:
    fleet = Fleet(*NAMES)
    for member in fleet.members.values():
        member.served = _served
    return fleet


async def at_rest(prepare: Callable[[Fleet], None]) -> Any:
    """The servers of a fleet that has been prepared and come to rest."""
    fleet = a_fleet()
    for name in ("default", "shop"):
        fleet.host.seed(marked(namespace(name)))
    for name in NAMES:
        fleet.register(name)
        fleet.members[name].seed(namespace("default"))
    fleet.start()
    assert await fleet.rest() == []
    strew(fleet)
    beginning(fleet)
    prepare(fleet)
    assert await fleet.rest() == []
    for server in fleet.servers:
        server.accept()
    assert complaints(fleet) == []
    await fleet.stop()
    return fleet.snapshot()


def subsets(parked: list[Parked]) -> Iterator[tuple[Parked, ...]]:
    sizes = range(len(parked) + 1)
    for size in sizes if len(parked) <= _WHOLE else sorted({0, 1, len(parked) - 1, len(parked)}):
        yield from combinations(parked, size)
    if len(parked) > _WHOLE:
        yield from (tuple(parked[:size]) for size in range(2, len(parked) - 1))


async def crash_points(begin: Any, change: Callable[[Fleet], None]) -> tuple[int, int, dict[str, Any]]:
    """(writes, points, what the servers have at each of them)."""
    fleet = a_fleet()
    fleet.restore(begin)
    fleet.start()
    assert await fleet.rest() == []
    assert fleet.wire.writes == []
    change(fleet)
    states: dict[str, Any] = {}
    points = 0

    async def kill() -> None:
        nonlocal points
        for arriving in subsets([one for one in fleet.wire.parked if one.do is not None]):
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


@pytest.mark.parametrize("flow", FLOWS)
async def test_killed_anywhere_the_next_process_completes_it(flow: str, tell: Callable[[str], None]):
    prepare, change, at_least = FLOWS[flow]
    begin = await at_rest(prepare)
    writes, points, states = await crash_points(begin, change)
    ends: set[Any] = set()
    for arrived, snapshot in states.values():
        fleet = a_fleet()
        fleet.restore(snapshot)
        fleet.start()
        where = f"killed after {arrived}"
        assert await fleet.rest() == [], where
        assert complaints(fleet) == [], where
        assert fleet.wire.own_conflicts == [], where
        if fleet.state() not in ends:
            ends.add(fleet.state())
            fleet.wire.writes.clear()
            await fleet.crash()
            assert await fleet.rest() == [], where
            assert fleet.wire.writes == [], f"a second restart, {where}"
        await fleet.stop()
    tell(f"{flow}: {writes} writes, {points} points, {len(states)} states, {len(ends)} ends")
    assert points >= at_least
