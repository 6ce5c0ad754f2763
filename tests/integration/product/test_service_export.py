"""A service exported by one member and imported by another (contract 3.4 to 3.6, cases 90 and 91), by real API servers.

Policies bring the ServiceExport to the provider, and the ServiceImport with what is derived from it to the consumer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from testbed import wait_for
from tests.support.fleet import (
    DEPLOYMENTS,
    EVENTS,
    EXPORTS,
    IMPORTS,
    MCS,
    PATIENCE_SECONDS,
    POLICIES,
    SERVICES,
    SLICES,
    Space,
    addresses_of,
    at_rest,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    propagationpolicy,
    serve_exports,
    service,
    serviceexport,
    serviceimport,
)
from tests.support.traffic import Traffic, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Api, Bed, ControllerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]
EXAMPLE = Path(__file__).parents[3] / "examples" / "03-service-export"


def imports_policy(name: str, cluster: str) -> Object:
    """Brings a ServiceImport to a cluster, and what is derived from it."""
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "labelSelector": {"matchLabels": {"kubernetes.io/service-name": f"derived-{name}"}},
    }
    derived = {"apiVersion": "v1", "kind": "Service", "name": f"derived-{name}"}
    return propagationpolicy(f"{name}-import", [cluster], serviceimport(name), derived, slices)


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def kinds(fleet_bed: Bed) -> None:
    """The two kinds in every member."""
    await serve_exports(fleet_bed)


@pytest_asyncio.fixture(loop_scope="session")
async def exported(space: Space) -> AsyncIterator[Space]:
    """Service web of member1 is exported there and imported into member2."""
    await at_rest(space.bed, but=space)
    policy = propagationpolicy("web-export", ["member1"], service("web"), serviceexport("web"))
    await space.create(service("web"), serviceexport("web"), policy)
    await space.create(serviceimport("web"), imports_policy("web", "member2"))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await imported_are(space.host, space, {"imported-member1-web-a": ["192.0.2.1"]})
    await imported_are(space.member("member2"), space, {"imported-member1-web-a": ["192.0.2.1"]})
    yield space


async def imported_are(api: Api, space: Space, expected: dict[str, list[str]]) -> None:
    """Wait until a server has exactly these slices of the derived Service."""

    async def read() -> dict[str, list[str]]:
        found = await api.list(
            SLICES, namespace=space.namespace, label_selector="kubernetes.io/service-name=derived-web"
        )
        return {each["metadata"]["name"]: addresses_of(each) for each in found}

    await eventually(f"the imported slices in {api} ({space.namespace})", read, expected)


async def found_in(space: Space, cluster: str, resource: str, name: str) -> Object:
    """Wait until a member has an object: each comes by a Work of its own."""

    async def probe() -> Object | None:
        return await space.member(cluster).find(resource, name, namespace=space.namespace)

    return await wait_for(f"{resource} {name} in {cluster}", probe, PATIENCE_SECONDS)


async def collected(space: Space) -> list[tuple[str, set[str]]]:
    """Slice and marks of each collected Work of member1."""
    works = await space.works("member1", "EndpointSlice")
    return [
        (
            work["spec"]["workload"]["manifests"][0]["metadata"]["name"],
            set(work["metadata"]["labels"]["endpointslice.karmada.io/managed-by"].split(".")),
        )
        for work in works
        if "endpointslice.karmada.io/managed-by" in work["metadata"].get("labels", {})
    ]


async def test_case_90_what_is_exported_in_one_member_is_imported_in_another(exported: Space):
    assert await collected(exported) == [("web-a", {"ServiceExport"})]
    there = await found_in(exported, "member2", SERVICES, "derived-web")
    assert there["spec"]["clusterIP"]
    assert [(port["name"], port["port"]) for port in there["spec"]["ports"]] == [("http", 80)]
    assert await found_in(exported, "member2", IMPORTS, "web")

    async def told() -> bool:
        return ("Normal", "SyncDerivedServiceSucceed") in await exported.event_reasons("ServiceImport", "web")

    await eventually("the event about the derived Service", told, True)
    assert await exported.dispatched("member2") == {}


async def test_a_service_that_every_cluster_has_of_its_own_is_not_exported(
    fleet_bed: Bed, controller: ControllerProcess
):
    space = Space(fleet_bed, "default")
    await at_rest(fleet_bed, but=space)
    policy = propagationpolicy("kubernetes-export", ["member1"], serviceexport("kubernetes"))
    await space.create(serviceexport("kubernetes"), policy)
    member1 = space.member("member1")
    try:

        async def there() -> bool:
            return await member1.find(EXPORTS, "kubernetes", namespace="default") is not None

        await eventually("the ServiceExport in member1", there, True)

        async def told() -> set[str]:
            found = await space.host.list(EVENTS, namespace="karmada-es-member1")
            return {one["message"] for one in found if one["reason"] == "ReservedObject"}

        said = (
            "ServiceExport default/kubernetes has no effect: "
            "every cluster has a Service default/kubernetes of its own, which is neither replaced nor shared"
        )
        await eventually("the events", told, {said})
        assert await space.works("member1", "EndpointSlice") == []
    finally:
        await space.host.delete(POLICIES, "kubernetes-export", namespace="default")
        await space.host.delete(EXPORTS, "kubernetes", namespace="default")
        await gone(member1, EXPORTS, "kubernetes", "default")


async def test_case_91_changes_arrive_and_what_goes_goes(exported: Space):
    space, member1, member2 = exported, exported.member("member1"), exported.member("member2")
    await space.set_addresses("member1", "web-a", ["192.0.2.1", "192.0.2.2"])
    await space.create_in("member1", endpointslice("web-b", "web", ["192.0.2.3"]))
    both = {"imported-member1-web-a": ["192.0.2.1", "192.0.2.2"], "imported-member1-web-b": ["192.0.2.3"]}
    await imported_are(member2, space, both)
    await member1.delete(SLICES, "web-a", namespace=space.namespace)
    del both["imported-member1-web-a"]
    await imported_are(space.host, space, both)
    await imported_are(member2, space, both)

    # Backwards: first the import, then the export.
    await space.host.delete(IMPORTS, "web", namespace=space.namespace)
    for api in (space.host, member2):

        async def derived(api: Api = api) -> bool:
            return await api.find(SERVICES, "derived-web", namespace=space.namespace) is not None

        await eventually(f"the derived Service in {api}", derived, False)
    await imported_are(space.host, space, both)
    await space.host.delete(EXPORTS, "web", namespace=space.namespace)
    await imported_are(space.host, space, {})
    await imported_are(member2, space, {})
    nothing: list[tuple[str, set[str]]] = []
    await eventually("no collected Work", lambda: collected(space), nothing)
    assert await member1.find(SLICES, "web-b", namespace=space.namespace) is not None
    assert await space.host.find(POLICIES, "web-import", namespace=space.namespace) is not None


async def test_opening_19_a_service_that_is_exported_and_a_multiclusterservice_has_each_endpoint_once(exported: Space):
    space = exported
    both = {"MultiClusterService", "ServiceExport"}
    await space.create(multiclusterservice("web", ["member1"], ["member2"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    await eventually("the marks", lambda: collected(space), [("web-a", both)])
    await space.set_addresses("member1", "web-a", ["192.0.2.9"])
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.9"]})
    await imported_are(space.member("member2"), space, {"imported-member1-web-a": ["192.0.2.9"]})

    await space.host.delete(EXPORTS, "web", namespace=space.namespace)
    await imported_are(space.host, space, {})
    await eventually("the marks", lambda: collected(space), [("web-a", {"MultiClusterService"})])
    assert await space.dispatched("member2") == {"member1-web-a": ["192.0.2.9"]}

    await space.create(serviceexport("web"))
    await imported_are(space.host, space, {"imported-member1-web-a": ["192.0.2.9"]})
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await space.dispatched_are("member2", {})
    await eventually("the marks", lambda: collected(space), [("web-a", {"ServiceExport"})])
    await imported_are(space.host, space, {"imported-member1-web-a": ["192.0.2.9"]})


async def test_an_address_that_the_api_server_refuses_is_told(space: Space):
    """Kubernetes 1.29 and later keep an ingress only for Services of type LoadBalancer."""
    await space.create(serviceimport("vip", ips=["192.0.2.200"]))

    async def told() -> bool:
        return ("Warning", "SyncDerivedServiceFailed") in await space.event_reasons("ServiceImport", "vip")

    await eventually("the event", told, True)
    assert await space.host.get(SERVICES, "derived-vip", namespace=space.namespace)


async def test_the_example_works_as_its_readme_says(space: Space):
    host, member2 = space.host, space.member("member2")
    files = ("deployment", "serviceexport", "serviceimport", "propagationpolicy")
    objects = [each for file in files for each in yaml.safe_load_all((EXAMPLE / f"{file}.yaml").read_text())]
    assert {f"{file}.yaml" for file in files} == {file.name for file in EXAMPLE.glob("*.yaml")}
    for each in objects:
        await host.create(each)

    async def endpoints() -> int:
        found = await member2.list(
            SLICES, namespace="default", label_selector="kubernetes.io/service-name=derived-serve"
        )
        return sum(len(each["endpoints"] or ()) for each in found)

    await eventually("the endpoint in member2", endpoints, 1)
    assert await member2.find(SERVICES, "serve", namespace="default") is None
    assert await found_in(Space(space.bed, "default"), "member2", SERVICES, "derived-serve")
    await host.patch(DEPLOYMENTS, "serve", {"spec": {"replicas": 2}}, namespace="default")
    await eventually("both endpoints in member2", endpoints, 2)
    await host.delete(EXPORTS, "serve", namespace="default")
    await eventually("no endpoints in member2", endpoints, 0)
    resources = {
        "Deployment": DEPLOYMENTS,
        "Service": SERVICES,
        "ServiceImport": IMPORTS,
        "PropagationPolicy": POLICIES,
    }
    for each in objects:
        if each["kind"] in resources:
            await host.delete(resources[each["kind"]], each["metadata"]["name"], namespace="default")
    await gone(member2, SERVICES, "derived-serve", "default")


async def test_openings_06_and_20_a_restart_follows_at_once_and_writes_nothing(exported: Space, controller: Any):
    space = exported
    await idle(controller, Traffic(space.bed))
    assert await controller.terminate() == 0
    traffic = Traffic(space.bed)
    await controller.start()
    await idle(controller, traffic)
    assert traffic.writes() == {}, traffic.told()
    # No Work is touched, and all the same a change in the member is followed.
    await space.set_addresses("member1", "web-a", ["192.0.2.7"])
    await imported_are(space.member("member2"), space, {"imported-member1-web-a": ["192.0.2.7"]})
