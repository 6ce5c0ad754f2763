"""The walkthrough beside Karmada's components: what ours is to do arrives, changes, and goes, through what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbed import NotYet, wait_for
from testbed.walkthrough import DELETED, SHARED, following, observe, scaled, stayed
from tests.support.fake_karmada_quiet import no_failures
from tests.support.fleet import (
    BINDINGS,
    DEPLOYMENTS,
    EXPORTS,
    IMPORTS,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    SERVICES,
    SLICES,
    Space,
    addresses_of,
    condition_of,
    deployment,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
    serviceexport,
    serviceimport,
)
from tests.support.traffic import idle

if TYPE_CHECKING:
    from tests.integration.beside.conftest import Run
    from tests.support.fake_karmada import FakeKarmada
    from tests.support.fake_karmada_aggregated import AggregatedClusters

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]


async def test_walkthrough_arrives_changes_and_goes(
    run: Run, space: Space, fake_karmada: FakeKarmada, aggregated: AggregatedClusters
):
    process = await run("walkthrough")
    member1, member2 = space.member("member1"), space.member("member2")
    await space.create_in("member1", deployment("nginx", 2))
    await space.create(
        service("nginx", selector={"app": "nginx"}), multiclusterservice("nginx", ["member1"], ["member2"])
    )
    async with following(space.bed, space.namespace) as scene:
        await observe(scene, SHARED, PATIENCE_SECONDS)
        assert (await space.mcs("nginx"))["spec"]["range"] == {}
        assert aggregated.seen["streaming list"]
        assert aggregated.seen["watch"]
        # The Service that the copy belongs to was brought by the fake Karmada.
        brought = await member2.get(SERVICES, "nginx", namespace=space.namespace)
        assert brought["metadata"]["labels"]["karmada.io/managed"] == "true"

        async def applied() -> str:
            binding = await space.host.get(BINDINGS, "nginx-service", namespace=space.namespace)
            return condition_of(binding, "FullyApplied")[0]

        await eventually("the binding to be fully applied", applied, "True")
        await member1.patch(DEPLOYMENTS, "nginx", {"spec": {"replicas": 3}}, namespace=space.namespace)
        await observe(scene, scaled(3), PATIENCE_SECONDS)
        await space.host.delete(MCS, "nginx", namespace=space.namespace)
        await observe(scene, [*DELETED, stayed], PATIENCE_SECONDS)
    await no_failures(fake_karmada)
    assert await process.terminate() == 0


async def test_export_path_arrives_changes_and_goes(run: Run, space: Space, fake_karmada: FakeKarmada):
    process = await run("export")
    member1 = space.member("member1")
    await space.create(service("web"), serviceexport("web"))
    for resource in (SERVICES, EXPORTS):
        template = await space.host.get(resource, "web", namespace=space.namespace)
        await fake_karmada.policies.propagate(template, ["member1"], "4943a72a-e372-4c3e-bf4e-83659b3278a6", "web")

    async def exported() -> Object:
        found = await member1.find(EXPORTS, "web", namespace=space.namespace)
        if found is None:
            raise NotYet(f"{fake_karmada.failures()}")
        return found

    await wait_for("the ServiceExport in member1", exported, PATIENCE_SECONDS)
    await space.create(serviceimport("web"))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))

    async def imported() -> dict[str, list[str]]:
        selector = "kubernetes.io/service-name=derived-web"
        found = await space.host.list(SLICES, namespace=space.namespace, label_selector=selector)
        return {each["metadata"]["name"]: addresses_of(each) for each in found}

    async def derived() -> bool:
        return await space.host.find(SERVICES, "derived-web", namespace=space.namespace) is not None

    await eventually("the imported slice", imported, {"imported-member1-web-a": ["192.0.2.1"]})
    await eventually("the derived Service", derived, True)
    await space.set_addresses("member1", "web-a", ["192.0.2.2", "192.0.2.3"])
    await eventually("the imported slice", imported, {"imported-member1-web-a": ["192.0.2.2", "192.0.2.3"]})

    await space.host.delete(EXPORTS, "web", namespace=space.namespace)
    await space.host.delete(IMPORTS, "web", namespace=space.namespace)
    nothing: dict[str, list[str]] = {}
    await eventually("no imported slice", imported, nothing)
    await eventually("no derived Service", derived, False)
    no_names: list[str] = []
    await eventually("no collected Works", lambda: space.work_names("member1", "EndpointSlice"), no_names)
    assert await member1.find(SLICES, "web-a", namespace=space.namespace) is not None
    await no_failures(fake_karmada)
    assert await process.terminate() == 0


async def test_what_is_exported_from_a_namespace_that_comes_late_is_imported_as_soon_as_it_does(
    run: Run, space: Space, fake_karmada: FakeKarmada
):
    # Who only tried again later would come too late.
    process = await run("late", "--rate-limiter-base-delay=600s", "--rate-limiter-max-delay=600s")
    member1, late = space.member("member1"), f"{space.namespace}-late"
    await space.create(serviceexport("web"))
    template = await space.host.get(EXPORTS, "web", namespace=space.namespace)
    await fake_karmada.policies.propagate(template, ["member1"], "4943a72a-e372-4c3e-bf4e-83659b3278a6", "web")
    labels = {"namespace.karmada.io/skip-auto-propagation": "true"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": late, "labels": labels}}
    await member1.create(namespace)
    await member1.create(serviceexport("web"), namespace=late)
    await member1.create(endpointslice("web-a", "web", ["192.0.2.1"]), namespace=late)
    there = Space(space.bed, late)

    async def collected() -> int:
        return len(await there.work_names("member1", "EndpointSlice"))

    await eventually("the collected Work", collected, 1)
    await idle(process)
    await space.host.create(namespace)

    async def imported() -> dict[str, list[str]]:
        return {one["metadata"]["name"]: addresses_of(one) for one in await space.host.list(SLICES, namespace=late)}

    await eventually("the imported slice", imported, {"imported-member1-web-a": ["192.0.2.1"]})
    assert await process.terminate() == 0
    await there.remove()
    await member1.delete(NAMESPACES, late)
