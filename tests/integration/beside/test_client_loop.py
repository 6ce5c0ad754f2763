"""A client inside of the provider asks its own Service while all ends for which its slices were collected.

Beside an execution that deletes by label: without the slice of its own, every request would be refused for a second.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from testbed import Bed, karmada
from tests.e2e.world import Loop, World
from tests.integration.beside.conftest import make_karmadas, starting
from tests.integration.beside.test_leaving_clusters import preserved
from tests.integration.beside.test_providers import POLICY, collected_are, native_slice
from tests.support.fake_karmada import FakeKarmada
from tests.support.fake_karmada_aggregated import AggregatedClusters
from tests.support.fleet import (
    EXPORTS,
    MCS,
    SERVICES,
    Space,
    deployment,
    gone,
    multiclusterservice,
    service,
    serviceexport,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUESTS = 200
"""Asked on after each change: more than two seconds, in which a slice that went would have come back."""


@pytest.mark.timeout(500)
async def test_no_request_of_a_client_in_the_provider_is_lost_when_collection_ends(dataplane: dict[str, Path]):
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bed = await enter(Bed(members=("member1", "member2"), audit=True, dataplane=True))
        await make_karmadas(bed)
        fake_karmada = await enter(FakeKarmada(bed))
        await fake_karmada.webhook.convert_bindings()
        proxy = await enter(AggregatedClusters(await karmada.controller_access(bed)))
        run = await enter(starting(bed, proxy.kubeconfig(bed.root / "aggregated.kubeconfig")))
        space = Space(bed, "kept")
        for plane in (*bed.members.values(), bed.host):
            await plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace}})
        host, namespace = space.host, space.namespace
        await space.create_in("member1", deployment("web", 2), deployment("shown", 1))
        await space.create(
            service("web", selector={"app": "web"}),
            service("shown", selector={"app": "shown"}),
            multiclusterservice("web", ["member1"], ["member1", "member2"]),
            serviceexport("shown"),
        )
        for resource in (SERVICES, EXPORTS):
            await fake_karmada.policies.propagate(
                await host.get(resource, "shown", namespace=namespace), ["member1"], POLICY, "exports"
            )
        ours = await run("loop")
        await preserved(space, "web", "shown")
        web, shown = await native_slice(space, "web"), await native_slice(space, "shown")
        await collected_are(space, web, shown)
        await space.ready_addresses("member1", 2, "web")
        await space.ready_addresses("member1", 1, "shown")
        await World(bed, ours).make_clients()
        loops = [
            Loop(bed.root, "member1", f"http://{name}.{namespace}.svc.cluster.local.:80") for name in ("web", "shown")
        ]
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
