"""A client inside of the provider asks its own Service while all ends for which its slices were collected.

Beside an execution that deletes by label: without the slice of its own, every request would be refused for a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.world import Loop, World
from tests.integration.beside.test_leaving_clusters import collecting
from tests.integration.beside.test_providers import collected_are
from tests.support.fleet import (
    EXPORTS,
    MCS,
    eventually,
    gone,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUESTS = 200
"""Asked on after each change: more than two seconds, in which a slice that went would have come back."""


async def test_no_request_of_a_client_in_the_provider_is_lost_when_collection_ends(dataplane: dict[str, Path]):
    async with collecting("loop", dataplane=True) as (bed, space, ours, web, shown):
        host, namespace = space.host, space.namespace
        world = World(bed, ours)
        await world.make_clients()
        urls = [f"http://{name}.{namespace}.svc.cluster.local.:80" for name in ("web", "shown")]

        async def lost() -> int:
            return sum([(await world.sample("member1", url)).lost for url in urls])

        await eventually("kube-proxy's rules for both Services", lost, 0)
        loops = [Loop(bed.root, "member1", url) for url in urls]
        async with loops[0], loops[1]:

            async def all_answered(what: str) -> None:
                for loop in loops:
                    await loop.goes_on(REQUESTS)
                    assert loop.tally.lost == 0, f"{what}: {loop.told()} {loop.tally.errors}"

            await all_answered("before anything changes")
            await space.patch_mcs("web", {"providerClusters": [{"name": "member2"}]})
            await collected_are(space, shown)
            await all_answered("a provider is taken off")
            await space.patch_mcs("web", {"providerClusters": [{"name": "member1"}]})
            await collected_are(space, web, shown)
            await host.delete(MCS, "web", namespace=namespace)
            await gone(host, MCS, "web", namespace)
            await collected_are(space, shown)
            await all_answered("the service is deleted")
            await space.member("member1").delete(EXPORTS, "shown", namespace=namespace)
            await collected_are(space)
            await all_answered("the export is withdrawn")
        assert await ours.terminate() == 0
