"""A member that has as many Works as one may have: its further slices wait, and nobody else notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcs_controller.domain import well_known as wk
from tests.support.fleet import EVENTS, SLICES, Space, at_rest, endpointslice, eventually, multiclusterservice, service

if TYPE_CHECKING:
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMES = ("web-a", "web-b", "web-c")
FULL = "member1: it has the 4 Works that one member may have (--member-max-works)"
WAITS = ("False", "EndpointSliceDispatchedFailed", f"{FULL}, so no further ones are made for its slices")


async def copies(space: Space) -> int:
    return len(await space.dispatched("member2", "web"))


async def told(bed: Bed) -> int:
    """How often the Cluster was told of."""
    found = await bed.host.api.list(EVENTS, field_selector=f"reason={wk.EVENT_MEMBER_WORKS_LIMIT}")
    return sum(one["count"] for one in found if one["involvedObject"]["name"] == "member1")


async def test_further_slices_of_a_member_at_its_limit_wait_until_there_is_room(fleet_bed, run):
    await run("limited", "--member-max-works=4")
    space = await Space.make(fleet_bed)
    await at_rest(fleet_bed, but=space)
    before = await told(fleet_bed)
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", *(endpointslice(one, "web", ["192.0.2.1"]) for one in NAMES))
    await eventually("the condition", lambda: space.condition("web", "EndpointSliceDispatched"), WAITS)
    await eventually("two copies", lambda: copies(space), 2)
    assert await told(fleet_bed) == before + 1

    # Others go on, and so does what is there.
    await space.create(service("other"), multiclusterservice("other", ["member2"], ["member1"]))
    await space.create_in("member2", endpointslice("other-a", "other", ["192.0.2.9"]))
    await space.dispatched_are("member1", {"member2-other-a": ["192.0.2.9"]})
    first = min(await space.dispatched("member2", "web")).removeprefix("member1-")
    await space.set_addresses("member1", first, ["192.0.2.7"])

    async def addresses() -> list[str]:
        return (await space.dispatched("member2", "web")).get(f"member1-{first}", [])

    await eventually("its new address", addresses, ["192.0.2.7"])

    # With the end of one, the one that waits arrives.
    await space.member("member1").delete(SLICES, first, namespace=space.namespace)
    expected = {f"member1-{one}": ["192.0.2.1"] for one in NAMES if one != first}
    await space.dispatched_are("member2", expected, "web")
    await space.succeeded("web")
    assert await told(fleet_bed) == before + 1
    await space.remove()
