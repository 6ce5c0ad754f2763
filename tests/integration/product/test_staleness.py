"""A provider of which nothing can be heard any more is named, although its API server answers and its watch is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcs_controller.domain.availability import STALE_SECONDS
from testbed import ControllerProcess
from tests.integration.product.conftest import IMPATIENT
from tests.integration.product.test_availability import FINE, asked, available, says
from tests.support.fleet import Space, endpointslice, eventually
from tests.support.traffic import samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROLES = "rbac.authorization.k8s.io/v1/clusterroles"
RIGHTS = ("mcs-controller-manager-member", "mcs-controller-manager-member-standalone")
STALE = "member2: endpoints of member1 may have changed, the cluster has not answered for more than 14 s."


@pytest.fixture
async def controller(fleet_bed: Bed) -> AsyncIterator[ControllerProcess]:
    """One that is refused something."""
    kubeconfig = fleet_bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=fleet_bed.root, extra_args=[*IMPATIENT, "--v=4"]) as process:
        yield process


async def age(controller: ControllerProcess) -> float:
    """Of the slices of member1: of the older of two lists, one for collection and one for what is applied there."""
    (found,) = [
        value
        for _, labels, value in await samples(controller, ("informer_unconfirmed_seconds",))
        if labels["cluster"] == "member1" and labels["resource"].startswith("endpointslices.")
    ]
    return found


async def test_rights_that_are_taken_away_make_endpoints_stale_until_they_are_back(
    fleet_bed: Bed, space: Space, controller: ControllerProcess
):
    await asked(space)
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await says(space, "EndpointsAvailable", FINE)
    member = fleet_bed.members["member1"].api
    roles = [await member.get(ROLES, name) for name in RIGHTS]
    try:
        for role in roles:
            rules = [rule for rule in role["rules"] if rule.get("resources") != ["endpointslices"]]
            await member.patch(ROLES, role["metadata"]["name"], {"rules": rules})
        await available(space, "Stale", STALE)
        assert await age(controller) > STALE_SECONDS
        assert await space.dispatched("member2") == {"member1-web-a": ["192.0.2.1"]}, "they stay"
    finally:
        for role in roles:
            await member.patch(ROLES, role["metadata"]["name"], {"rules": role["rules"]})
    await says(space, "EndpointsAvailable", FINE)

    async def is_stale() -> bool:
        return await age(controller) > STALE_SECONDS

    await eventually("the age of the oldest list", is_stale, False)
