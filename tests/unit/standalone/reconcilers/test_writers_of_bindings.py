"""A ResourceBinding has four writers in a stand-alone process, and none is refused for another's sake.

And when the first of them gives it up, the others go on with it.
"""

import random

import pytest

from mcs_controller.domain import well_known as wk
from tests.support.builders import mcs, service
from tests.support.fleet_model import Fleet, fresh, marked, namespace

SERVICES = [f"web-{number}" for number in range(4)]


async def a_fleet(seed: int) -> Fleet:
    """All stand-alone controllers, over servers whose answers and events overtake one another."""
    rng = random.Random(seed)
    fleet = Fleet("m1", "m2", rng=rng)
    for name in ("default", "shop"):
        fleet.host.seed(marked(namespace(name)))
    for name in fleet.names:
        fleet.register(name)
        fleet.members[name].seed(namespace("default"))
    fleet.start()
    assert await fleet.rest() == []
    return fleet


@pytest.mark.parametrize("seed", range(12))
async def test_services_made_and_deleted_at_once_cause_no_conflict_in_their_bindings(seed: int) -> None:
    fleet = await a_fleet(seed)
    assert fleet.rng is not None
    for name in SERVICES:
        fleet.host.seed(fresh(marked(service(name, "shop"), finalizer=True)))
        made = mcs(name, "shop", providers=["m1"], consumers=["m2"], adopted=False, permanent_id="")
        fleet.host.seed(fresh(marked(made, finalizer=True)))
        await fleet.drive(fleet.rng.randrange(60))
    await fleet.drive(fleet.rng.randrange(400))
    for name in SERVICES:
        fleet.host.remove(wk.MCS_KIND, "shop", name)
        await fleet.drive(fleet.rng.randrange(20))
        fleet.host.remove("Service", "shop", name)
        await fleet.drive(fleet.rng.randrange(60))
    assert await fleet.rest() == []
    conflicts = [*fleet.wire.own_conflicts, *fleet.wire.overlaps]
    assert [one for one in conflicts if "resourcebindings" in one] == []
    assert not [one for one in fleet.host.all(wk.BINDING_KIND) if "deletionTimestamp" not in one["metadata"]]
    await fleet.stop()


async def test_a_service_that_stays_when_its_multiclusterservice_goes_is_followed_as_after_a_restart() -> None:
    fleet = await a_fleet(0)
    fleet.host.seed(fresh(marked(service("web", "shop"), finalizer=True)))
    made = mcs("web", "shop", providers=["m1"], consumers=["m2"], adopted=False, permanent_id="")
    fleet.host.seed(fresh(marked(made, finalizer=True)))
    assert await fleet.rest() == []
    fleet.host.remove(wk.MCS_KIND, "shop", "web")
    assert await fleet.rest() == []
    assert wk.CLAIMED_BY not in labels_in_members(fleet)
    fleet.host.edit("Service", "shop", "web", {"metadata": {"labels": {"new": "1"}}})
    assert await fleet.rest() == []
    assert "new" in labels_in_members(fleet)
    fleet.host.edit("Service", "shop", "web", {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}})
    fleet.wire.writes.clear()
    assert await fleet.rest() == []
    await fleet.stop()
    fleet.start()
    assert await fleet.rest() == []
    assert fleet.wire.writes == []
    await fleet.stop()


def labels_in_members(fleet: Fleet) -> set[str]:
    """What labels the Service has; all members say the same."""
    found = [member.find("Service", "shop", "web") for member in fleet.members.values()]
    first, second = [set(one["metadata"]["labels"]) for one in found if one is not None]
    assert first == second
    return first
