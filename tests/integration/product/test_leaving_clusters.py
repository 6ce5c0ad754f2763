"""Clusters that are being deleted, and are held by somebody's finalizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbed import ControllerProcess, karmada
from tests.integration.product.conftest import starting
from tests.support.fleet import (
    CLUSTERS,
    EVENTS,
    NAMESPACES,
    Space,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)
from tests.support.traffic import Traffic, idle

if TYPE_CHECKING:
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHERS_FINALIZER = "example.com/hold"


async def verdicts(space: Space) -> dict[str, tuple[str, str]]:
    """Status of each condition of the service, and since when: that tells whether it was another one meanwhile."""
    conditions: list[dict[str, Any]] = (await space.mcs("web"))["status"]["conditions"]
    return {each["type"]: (each["status"], each["lastTransitionTime"]) for each in conditions}


async def test_opening_13_a_service_for_all_clusters_stays_well_while_one_leaves(mortal_bed: Bed):
    async with starting(mortal_bed) as start:
        process = await start("leaving")
        space = await Space.make(mortal_bed)
        await all_is_well_while_one_leaves(space, process)
        await karmada.join(mortal_bed, "member2")
        await space.remove()
        await gone(space.host, NAMESPACES, space.namespace)
        assert await process.terminate() == 0


async def all_is_well_while_one_leaves(space: Space, process: ControllerProcess) -> None:
    await space.create(service("web"), multiclusterservice("web"))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.create_in("member2", endpointslice("web-b", "web", ["192.0.2.2"]))
    await space.dispatched_are("member1", {"member2-web-b": ["192.0.2.2"]})
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    await space.succeeded("web")

    async def statuses() -> set[str]:
        return {status for status, _ in (await verdicts(space)).values()}

    await eventually("all conditions to be True", statuses, {"True"})
    await idle(process, Traffic(space.bed))
    before = await verdicts(space)
    assert {status for status, _ in before.values()} == {"True"}

    cluster = await space.host.get(CLUSTERS, "member2")
    held = {"metadata": {"finalizers": [*cluster["metadata"]["finalizers"], OTHERS_FINALIZER]}}
    await space.host.patch(CLUSTERS, "member2", held)
    await space.host.delete(CLUSTERS, "member2")
    # What it provided goes, though it is still there; and a change elsewhere has all be looked at again.
    await space.dispatched_are("member1", {})
    await space.set_addresses("member1", "web-a", ["192.0.2.3"])
    await idle(process)
    assert "deletionTimestamp" in (await space.host.get(CLUSTERS, "member2"))["metadata"]
    assert await verdicts(space) == before

    async def finalizers() -> list[str]:
        found = await space.host.get(CLUSTERS, "member2")
        return list(found["metadata"]["finalizers"])

    await eventually("only the other one's finalizer", finalizers, [OTHERS_FINALIZER])
    await space.host.patch(CLUSTERS, "member2", {"metadata": {"finalizers": None}})
    await idle(process)
    assert await verdicts(space) == before
    told = await space.host.list(EVENTS, namespace=space.namespace)
    about_it = [each for each in told if each["involvedObject"]["kind"] == "MultiClusterService"]
    assert about_it
    assert not [each["message"] for each in about_it if each["type"] == "Warning"]
