"""A consumer that has a provider's endpoints is not given older ones again, whatever the control plane says."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.domain import well_known as wk
from tests.support.fleet_model import Fleet
from tests.support.fleet_model_flows import FLOWS, NAMES, at_rest
from tests.support.fleet_model_oracle import complaints
from tests.support.fleet_model_process import STANDALONE

if TYPE_CHECKING:
    from tests.support.object_store import Change

PROVIDER, CONSUMER, SLICE = "a", "m", "e"
OLD, NEW, LATER = ["10.0.0.1", "10.0.0.2"], ["10.9.9.9"], ["10.9.9.10"]

_begin: list[Any] = []


async def resting(seed: int | None) -> Fleet:
    """The service api: one slice of a, consumed by m."""
    fleet = Fleet(*NAMES, rng=random.Random(seed) if seed is not None else None, kinds=STANDALONE)
    if not _begin:
        _begin.append(await at_rest(FLOWS["a service is created"], STANDALONE))
    fleet.restore(_begin[0])
    fleet.start()
    assert await fleet.rest() == []
    return fleet


def provide(fleet: Fleet, addresses: list[str], name: str = SLICE) -> None:
    endpoints = {"endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in addresses]}
    fleet.members[PROVIDER].change_theirs(wk.SLICE_KIND, "shop", name, endpoints)


def told(fleet: Fleet) -> list[list[str]]:
    """What the consumer's copy holds from now on, each time it changes; empty when it is not there."""
    seen: list[list[str]] = []

    def note(change: Change) -> None:
        if change.key[0] == "endpointslices" and change.key[1].name == f"{PROVIDER}-{SLICE}":
            seen.append([one for each in (change.new or {}).get("endpoints") or () for one in each["addresses"]])

    fleet.members[CONSUMER].store.watchers.append(note)
    return seen


def restore_control_plane(fleet: Fleet, backup: Any) -> None:
    """From the backup: all objects and versions go back, watches break."""
    for informer in fleet.host.informers:
        informer.cut()
    fleet.host.restore(backup)
    fleet.host.forget_connection()


@pytest.mark.parametrize("seed", [None, *range(4)])
@pytest.mark.parametrize("restarts", [False, True], ids=["it runs on", "another begins"])
async def test_a_control_plane_that_goes_back_brings_no_older_endpoints(seed: int | None, restarts: bool):
    fleet = await resting(seed)
    backup = fleet.host.snapshot()
    provide(fleet, NEW)
    assert await fleet.rest() == []
    seen = told(fleet)
    restore_control_plane(fleet, backup)
    if restarts:
        await fleet.crash()
    assert await fleet.rest() == []
    assert seen == []
    provide(fleet, LATER)
    assert await fleet.rest() == []
    assert (seen, complaints(fleet)) == ([LATER], [])
    await fleet.stop()


@pytest.mark.parametrize("seed", [None, *range(4)])
@pytest.mark.parametrize("fault", ["unsent", "500", "409", "lost"])
async def test_a_work_whose_write_fails_takes_nothing_back_from_its_member(fault: str, seed: int | None):
    fleet = await resting(seed)
    seen = told(fleet)
    fleet.host.spoil(fault, "patch", 4)
    provide(fleet, NEW)
    assert await fleet.rest() == []
    assert (seen, complaints(fleet)) == ([NEW], [])
    await fleet.stop()


async def test_a_provider_that_does_not_come_back_keeps_nothing_from_a_consumer_for_long():
    fleet = await resting(None)
    fleet.members[PROVIDER].go_down()
    await fleet.crash()
    copy = fleet.members[CONSUMER].find(wk.SLICE_KIND, "shop", f"{PROVIDER}-{SLICE}")
    assert copy is not None
    fleet.members[CONSUMER].remove(wk.SLICE_KIND, "shop", f"{PROVIDER}-{SLICE}")
    seen = told(fleet)
    await fleet.rest()
    assert seen == [OLD], "what the control plane knows"
    await fleet.stop()
