"""The rights beside Karmada: manifests/controller alone, and in members manifests/member/rbac.yaml alone.

As `test_permissions`, with Karmada's components scripted, and none of ours that stand in for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed import Bed, ControllerProcess, karmada
from testbed.karmada import CONTROLLER_USER, load
from tests.integration.beside.conftest import CONTROLLERS, karmadas_manifests
from tests.support.agents import RIGHTS, agents_user, control_plane_kubeconfig, for_cluster, member_kubeconfig
from tests.support.fake_karmada import FakeKarmada
from tests.support.fleet import (
    CLUSTERS,
    EXPORTS,
    IMPORTS,
    MCS,
    SERVICES,
    SLICES,
    Space,
    addresses_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    serve_exports,
    service,
    serviceexport,
    serviceimport,
)
from tests.support.rights import Right, differences, grant_paths_to_nobody_else, granted, strict_flags, used
from tests.support.traffic import Refusals, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICY_ID = "5ce3a2cb-a12e-4fd5-a1ee-d6a0aef4c6a8"
PROVIDERS = ("member1", "member3")


@pytest_asyncio.fixture(loop_scope="session")
async def bed(binaries: dict[str, Path], tmp_path: Path) -> AsyncIterator[Bed]:
    """A fleet of Karmada's. member3 is a Pull cluster: Karmada's agent there is one of the scripted components."""
    names = ("member1", "member2", "member3")
    async with Bed(members=names, audit=True, apiserver_flags=strict_flags(tmp_path)) as made:
        await grant_paths_to_nobody_else(made)
        manifests = karmadas_manifests(made.root)
        await karmada.install(made, manifests=manifests, standalone=False)
        await karmada.join_all(made, manifests=manifests)
        body = {"spec": {"syncMode": "Pull", "secretRef": None, "apiEndpoint": None}}
        await made.host.api.patch(CLUSTERS, "member3", body)
        await serve_exports(made)
        yield made


async def services(space: Space) -> None:
    """A service is made, changed, broken and mended, and given up."""
    namespace = space.namespace
    await space.create(service("web"), multiclusterservice("web", PROVIDERS, ["member2"]))
    for cluster in PROVIDERS:
        await space.create_in(cluster, endpointslice(f"web-{cluster}", "web", ["192.0.2.1"]))
    copies = {f"{cluster}-web-{cluster}": ["192.0.2.1"] for cluster in PROVIDERS}
    await space.dispatched_are("member2", copies)
    await space.succeeded("web", diagnosed=False)
    for cluster in PROVIDERS:
        await space.set_addresses(cluster, f"web-{cluster}", ["192.0.2.2"])
        copies[f"{cluster}-web-{cluster}"] = ["192.0.2.2"]
    await space.dispatched_are("member2", copies)
    for cluster in PROVIDERS:
        await space.member(cluster).delete(SLICES, f"web-{cluster}", namespace=namespace)
    await space.dispatched_are("member2", {})
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}]})
    await gone(space.member("member2"), SERVICES, "web", namespace)
    await space.host.delete(SERVICES, "web", namespace=namespace)
    await gone(space.host, SERVICES, "web", namespace)
    await space.create(service("web"))
    await space.succeeded("web", diagnosed=False)
    await space.host.delete(MCS, "web", namespace=namespace)
    await gone(space.host, MCS, "web", namespace)


async def exports(space: Space, fake_karmada: FakeKarmada) -> None:
    """A service exported by member1 and member3, changed and given up; and the derived Service of a ServiceImport."""
    namespace = space.namespace
    await space.create(service("shop"), serviceexport("shop"))
    for resource in (SERVICES, EXPORTS):
        template = await space.host.get(resource, "shop", namespace=namespace)
        await fake_karmada.policies.propagate(template, PROVIDERS, POLICY_ID, "shop")
    for cluster in PROVIDERS:
        await space.create_in(cluster, endpointslice(f"shop-{cluster}", "shop", ["192.0.2.1"]))

    async def imported() -> dict[str, list[str]]:
        selector = "kubernetes.io/service-name=derived-shop"
        found = await space.host.list(SLICES, namespace=namespace, label_selector=selector)
        return {each["metadata"]["name"]: addresses_of(each) for each in found}

    def expected(address: str) -> dict[str, list[str]]:
        return {f"imported-{cluster}-shop-{cluster}": [address] for cluster in PROVIDERS}

    await eventually("the imported slices", imported, expected("192.0.2.1"))
    for cluster in PROVIDERS:
        await space.set_addresses(cluster, f"shop-{cluster}", ["192.0.2.2"])
    await eventually("the imported slices, changed", imported, expected("192.0.2.2"))
    await space.host.delete(EXPORTS, "shop", namespace=namespace)
    nothing: dict[str, list[str]] = {}
    await eventually("no imported slices", imported, nothing)

    # Of the second, Karmada has made the Service: it names no owner, so garbage collection leaves it alone.
    await space.create(service("derived-old"))
    for name in ("new", "old"):

        async def port(name: str = name) -> int:
            found = await space.host.find(SERVICES, f"derived-{name}", namespace=namespace)
            return int(found["spec"]["ports"][0]["port"]) if found is not None else 0

        await space.create(serviceimport(name, port=81))
        await eventually(f"the Service derived of {name}", port, 81)
        ports = serviceimport(name, port=82)["spec"]["ports"]
        await space.host.patch(IMPORTS, name, {"spec": {"ports": ports}}, namespace=namespace)
        await eventually(f"the Service derived of {name}, changed", port, 82)
        await space.host.delete(IMPORTS, name, namespace=namespace)
        await eventually(f"no Service derived of {name}", port, 0)

    # An address is written, which Kubernetes 1.29 and later refuse for want of another type of Service.
    await space.create(serviceimport("vip", ips=["198.51.100.7"]))

    async def told() -> bool:
        return ("Warning", "SyncDerivedServiceFailed") in await space.event_reasons("ServiceImport", "vip")

    await eventually("the event about the address", told, True)
    await space.host.delete(IMPORTS, "vip", namespace=namespace)
    await gone(space.host, SERVICES, "derived-vip", namespace)


@pytest.mark.timeout(900)
async def test_beside_karmada_every_right_of_the_controller_alone_is_used_and_no_other(bed: Bed):
    manifests = bed.root / "manifests"
    async with FakeKarmada(bed, pull=["member3"]) as fake_karmada:
        await fake_karmada.webhook.convert_bindings()
        controller = ControllerProcess(
            await karmada.controller_kubeconfig(bed), root=bed.root, controllers=CONTROLLERS, extra_args=["--v=4"]
        )
        control_plane = await control_plane_kubeconfig(bed, "member3", standalone=False)
        agent = ControllerProcess(
            await member_kubeconfig(bed, "member3", manifests=manifests),
            root=bed.root,
            name="agent",
            controllers=CONTROLLERS,
            extra_args=["--cluster-name=member3", f"--karmada-kubeconfig={control_plane}", "--v=4"],
        )
        async with controller, agent:
            space = await Space.make(bed)
            await services(space)
            await exports(space, fake_karmada)
            await idle(controller)
            await idle(agent)
        async with controller, agent:  # which find the Leases of the first
            await idle(controller)
            await idle(agent)

    assert Refusals.ever(bed, agents_user("member3")).found() == []
    host, (member1, member2, member3) = bed.host, bed.members.values()
    controllers = {*granted(load(manifests / "controller"))}
    agents = {*granted(for_cluster("member3", [RIGHTS / "rbac.yaml"]))}
    members = {*granted(load(manifests / "member"))}

    async def unlike() -> dict[str, dict[str, list[Right]]]:
        return {
            "controller": differences(controllers, used(CONTROLLER_USER, host, of=controllers)),
            "agent": differences(agents, used(agents_user("member3"), host, of=agents)),
            "controller in members": differences(members, used(CONTROLLER_USER, member1, member2, of=members)),
            "agent in its member": differences(members, used(CONTROLLER_USER, member3, of=members)),
        }

    # A watch is in the log once its server has noticed that the client has gone.
    nothing: dict[str, list[Right]] = {}
    expected = dict.fromkeys(("controller", "agent", "controller in members", "agent in its member"), nothing)
    await eventually("every right to be used, and no other", unlike, expected)
