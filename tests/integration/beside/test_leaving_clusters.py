"""A Cluster leaves beside Karmada, whose execution deletes in the member whatever a Work names that goes."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from testbed import Bed, ControllerProcess, karmada
from tests.integration.beside.conftest import make_karmadas, starting
from tests.integration.beside.test_providers import POLICY, collected_are, native_slice
from tests.support.fake_karmada import FakeKarmada
from tests.support.fake_karmada_aggregated import AggregatedClusters
from tests.support.fake_karmada_history import History
from tests.support.fleet import (
    BINDINGS,
    EXPORTS,
    NAMESPACES,
    SERVICES,
    WORKS,
    Space,
    deployment,
    eventually,
    gone,
    multiclusterservice,
    service,
    serviceexport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def preserved(space: Space, *services: str) -> None:
    """Have these Services stay in their members when their Works go, with the label that their slices get of them."""
    for name in services:
        body = {"spec": {"preserveResourcesOnDeletion": True}}

        async def bound(name: str = name) -> bool:
            return await space.host.find(BINDINGS, f"{name}-service", namespace=space.namespace) is not None

        await eventually(f"the binding of {name}", bound, True)
        await space.host.patch(BINDINGS, f"{name}-service", body, namespace=space.namespace)

        async def kept(name: str = name) -> bool:
            works = await space.works("member1", "Service")
            own = [one for one in works if one["spec"]["workload"]["manifests"][0]["metadata"]["name"] == name]
            return bool(own) and all(one["spec"].get("preserveResourcesOnDeletion", False) for one in own)

        await eventually(f"the Work of {name}", kept, True)


class Collected(NamedTuple):
    """A fleet where ours collects slices of member1, whose namespace and Services are the member's own to keep.

    Attributes:
        bed: Karmada's, with its components at work.
        space: the namespace.
        ours: the controller.
        web: the native slice of Service "web", which has a MultiClusterService and two Pods.
        shown: the native slice of Service "shown", which is exported and has one Pod.
    """

    bed: Bed
    space: Space
    ours: ControllerProcess
    web: str
    shown: str


@asynccontextmanager
async def collecting(name: str, *, dataplane: bool = False) -> AsyncIterator[Collected]:
    """Such a fleet; `name` is the controller's."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bed = await enter(Bed(members=("member1", "member2"), audit=True, dataplane=dataplane))
        await make_karmadas(bed)
        fake_karmada = await enter(FakeKarmada(bed))
        await fake_karmada.webhook.convert_bindings()
        proxy = await enter(AggregatedClusters(await karmada.controller_access(bed)))
        run = await enter(starting(bed, proxy.kubeconfig(bed.root / "aggregated.kubeconfig")))
        # The namespace is the member's own, not one that Karmada has brought and takes along.
        space = Space(bed, "kept")
        for plane in (*bed.members.values(), bed.host):
            await plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace}})
        await space.create_in("member1", deployment("web", 2), deployment("shown", 1))
        await space.create(
            service("web", selector={"app": "web"}),
            service("shown", selector={"app": "shown"}),
            multiclusterservice("web", ["member1"], ["member1", "member2"]),
            serviceexport("shown"),
        )
        for resource in (SERVICES, EXPORTS):
            await fake_karmada.policies.propagate(
                await space.host.get(resource, "shown", namespace=space.namespace), ["member1"], POLICY, "exports"
            )
        ours = await run(name)
        await preserved(space, "web", "shown")
        web, shown = await native_slice(space, "web"), await native_slice(space, "shown")
        await collected_are(space, web, shown)
        await space.ready_addresses("member1", 2, "web")
        await space.ready_addresses("member1", 1, "shown")
        yield Collected(bed, space, ours, web, shown)


async def test_a_member_keeps_its_own_slices_when_its_cluster_leaves(binaries: dict[str, Path]):
    async with collecting("leaving") as (bed, space, ours, web, shown), History(bed) as history:
        host, namespace = space.host, space.namespace
        await space.dispatched_name("member2")
        began = len(history.log)

        await karmada.unjoin(bed, "member1")
        await space.dispatched_are("member2", {})

        async def works() -> int:
            return len(await host.list(WORKS, namespace="karmada-es-member1"))

        await eventually("the Works of member1", works, 0)
        await gone(host, NAMESPACES, "karmada-es-member1")
        ended = {one.name for one in history.ended if (one.plane, one.namespace) == ("member1", namespace)}
        assert not ended & {"web", "shown", web, shown}
        assert history.fewest("member1", f"{namespace}/web", began) == 2
        assert history.fewest("member1", f"{namespace}/shown", began) == 1
        assert await ours.terminate() == 0
