"""The status page of a leader and of a standby, on real API servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mcs_controller.features import MULTI_CLUSTER_SERVICE
from testbed.ports import free_ports
from tests.integration.product.test_availability import FINE, asked, says
from tests.support.fleet import Space, endpointslice, eventually
from tests.support.html_page import read_html

if TYPE_CHECKING:
    from testbed import Bed
    from tests.integration.product.conftest import Run

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def page(port: int, **query: str) -> dict[str, Any]:
    """The page as JSON."""
    address = f"http://127.0.0.1:{port}/"
    async with aiohttp.ClientSession() as session, session.get(address, params={"output": "json", **query}) as response:
        found: dict[str, Any] = await response.json()
        return found


async def test_leader_and_standby_show_services_clusters_and_caches(fleet_bed: Bed, run: Run):
    ports = free_ports(2)
    for name, port in zip(("page-1", "page-2"), ports, strict=True):
        await run(name, f"--status-page-bind-address=127.0.0.1:{port}")
    space = await Space.make(fleet_bed)
    await asked(space)
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1", "192.0.2.2"]))
    await says(space, "EndpointsAvailable", FINE)

    async def first_leads() -> bool:
        return bool((await page(ports[0]))["process"]["leads"])

    leader, standby = ports if await first_leads() else reversed(ports)

    async def pairs(port: int) -> list[dict[str, Any]]:
        (found,) = (await page(port, namespace=space.namespace))["services"]["shown"]
        return list(found["pairs"]["shown"])

    delivered = {"provider": "member1", "consumer": "member2", "wanted": 2, "ready": 2, "delivered": 2}
    await eventually("what is delivered", lambda: pairs(leader), [delivered])
    await eventually("the same in a standby", lambda: pairs(standby), [delivered])

    found = await page(leader)
    states = {one["name"]: (one["state"], one["connected"]) for one in found["clusters"]["shown"]}
    assert {"member1", "member2"} <= states.keys()
    assert set(states.values()) == {("ready", True)}
    caches = {(one["cluster"], one["resource"].partition(".")[0]): one for one in found["caches"]["shown"]}
    assert caches["member1", "endpointslices"]["objects"] >= 1
    assert {one["cluster"] for one in found["caches"]["shown"]} >= {"", "member1", "member2"}
    assert {"name": MULTI_CLUSTER_SERVICE, "enabled": True} in found["process"]["gates"]

    waiting = await page(standby)
    assert waiting["process"]["leads"] is False
    assert waiting["process"]["leader"] == found["process"]["identity"]
    assert {one["connected"] for one in waiting["clusters"]["shown"]} == {False}

    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{leader}/") as response:
        assert f"{space.namespace}/web ✓Ready" in read_html(await response.text()).text
    await space.remove()
