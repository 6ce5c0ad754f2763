"""From 0.1.0 to this version and back, with two replicas, while a client asks: nothing is lost, little is written.

tests/upgrade has what else may be changed under traffic.
"""

from __future__ import annotations

from collections import Counter

import pytest

from testbed import Bed, karmada
from tests.support.traffic import Asked, Refusals
from tests.support.upgrading import CONSUMER, PROVIDER, REQUESTS, definitions, fleet, previous, rights

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

NEW = Counter(
    {
        # The condition EndpointsAvailable of each MultiClusterService.
        Asked("karmada", "patch", "multiclusterservices/status"): 2,
        Asked("karmada", "create", "events"): 2,
        # Which control plane a member belongs to (docs/member-ownership.md).
        Asked(PROVIDER, "create", "configmaps"): 1,
        Asked(CONSUMER, "create", "configmaps"): 1,
    }
)
"""What this version writes beyond 0.1.0 for two services and two members."""


async def test_an_upgrade_from_0_1_0_and_the_way_back_lose_no_request(dataplane_bed: Bed):
    release = previous()
    async with fleet(dataplane_bed, release) as made, made.loop() as loop:
        copies = await made.copies()
        async with made.writes() as writes:
            await karmada.apply_all(dataplane_bed.host.api, definitions(karmada.MANIFESTS))
            await karmada.apply_all(dataplane_bed.host.api, rights(karmada.MANIFESTS))
            for member in dataplane_bed.members.values():
                await karmada.apply_all(member.api, karmada.load(karmada.MANIFESTS / "member"))
        assert not writes, made.told
        refusals = Refusals.since_now(dataplane_bed)

        async with made.writes() as writes:
            await made.replicas.roll("new", leader_first=False)
        assert writes == NEW, made.told
        await made.change_arrives()
        await made.space.succeeded("web")

        async with made.writes() as writes:
            await made.replicas.roll("old", [str(release.binary)], leader_first=True)
        assert not writes, made.told
        await made.change_arrives()
        await loop.goes_on(REQUESTS)
        assert loop.tally.lost == 0, f"{loop.told()} {loop.tally.errors}"
        assert await made.copies() == copies, "none was made anew"
        assert refusals.found() == []
    print(loop.told())
