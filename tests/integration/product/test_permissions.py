"""The rights that the manifests give: enough for a whole life of a fleet, and none that is never used.

Here on a stand-alone control plane; beside Karmada in `test_permissions_beside`. API servers do not stream lists here,
so `list` is needed wherever `watch` is; and what Kubernetes lets everybody ask is for our roles to allow.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import pytest_asyncio

from testbed import Bed, ControllerProcess, karmada, wait_for
from testbed.karmada import CONTROLLER_USER, MANIFESTS, load
from tests.integration.product.conftest import IMPATIENT
from tests.support.agents import RIGHTS, agents_user, for_cluster, install_agent
from tests.support.fleet import (
    BINDINGS,
    CONFIGMAPS,
    DEPLOYMENTS,
    EXPORTS,
    IMPORTS,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    POLICIES,
    SERVICES,
    SLICES,
    STATEFULSETS,
    WORKS,
    Space,
    addresses_of,
    condition_of,
    configmap,
    deployment,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    propagationpolicy,
    serve_exports,
    service,
    serviceexport,
    serviceimport,
    statefulset,
)
from tests.support.rights import Right, differences, grant_paths_to_nobody_else, granted, strict_flags, used
from tests.support.traffic import Refusals, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from testbed import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = TypeVar("T")

OLDER_THAN_READYZ = Right("", "/healthz", "get")
"""Excused: asked only of members whose Kubernetes is older than 1.16 and answers 404 to `/readyz`."""

CONSUMERS = ("member2", "member3")


@pytest_asyncio.fixture(loop_scope="session")
async def bed(binaries: dict[str, Path], tmp_path: Path) -> AsyncIterator[Bed]:
    """member1 and member2 are Push clusters; member3 is a Pull cluster, and nobody but its agent can talk to it."""
    names = ("member1", "member2", "member3")
    async with Bed(members=names, audit=True, apiserver_flags=strict_flags(tmp_path)) as made:
        await grant_paths_to_nobody_else(made)
        await karmada.install(made)
        for name in ("member1", "member2"):
            await karmada.join(made, name)
        await karmada.controller_kubeconfig(made)
        body = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "member3"}}
        await made.host.api.create(body | {"spec": {"syncMode": "Pull"}})
        await serve_exports(made)
        yield made


@dataclass
class Life:
    """What happens in a fleet, and who makes it happen: the controller in member2, the agent in member3."""

    space: Space
    controller: ControllerProcess
    agent: ControllerProcess

    async def in_consumers(self, describe: str, read: Callable[[Api], Awaitable[T]], expected: T) -> None:
        """Wait until both show it."""
        for cluster in CONSUMERS:
            member = self.space.member(cluster)

            async def probe(member: Api = member) -> T:
                return await read(member)

            await eventually(f"{describe} in {cluster}", probe, expected)

    async def dispatched_are(self, expected: dict[str, list[str]]) -> None:
        for cluster in CONSUMERS:
            others = {name: to for name, to in expected.items() if not name.startswith(cluster)}
            await self.space.dispatched_are(cluster, others)

    async def stop(self) -> None:
        """Wait until nobody has anything to do, and end them: only then their watches are in the log."""
        await idle(self.controller)
        await idle(self.agent)
        assert await self.agent.terminate() == 0
        assert await self.controller.terminate() == 0

    async def service(self) -> None:
        """A service is made, changed, broken and mended."""
        space = self.space
        namespace = space.namespace
        await space.create(service("web"), multiclusterservice("web", ["member1", "member3"], CONSUMERS))
        copies = {"member1-web-a": ["192.0.2.1"], "member3-web-b": ["192.0.2.3"]}
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await space.create_in("member3", endpointslice("web-b", "web", ["192.0.2.3"]))
        await self.dispatched_are(copies)
        await space.succeeded("web", diagnosed=False)
        for cluster, name, address in (("member1", "web-a", "192.0.2.2"), ("member3", "web-b", "192.0.2.4")):
            await space.set_addresses(cluster, name, [address])
            copies[f"{cluster}-{name}"] = [address]
        await self.dispatched_are(copies)
        await space.member("member3").delete(SLICES, "web-b", namespace=namespace)
        del copies["member3-web-b"]
        await self.dispatched_are(copies)
        ports = {"spec": {"ports": [{"name": "http", "port": 81}]}}
        await space.host.patch(SERVICES, "web", ports, namespace=namespace)

        async def port(member: Api) -> int:
            found = await member.get(SERVICES, "web", namespace=namespace)
            return int(found["spec"]["ports"][0]["port"])

        await self.in_consumers("the Service's new port", port, 81)
        await space.host.patch(NAMESPACES, namespace, {"metadata": {"labels": {"team": "a"}}})

        async def team(member: Api) -> str:
            return team_of(await member.get(NAMESPACES, namespace))

        await self.in_consumers("the namespace's new label", team, "a")
        await space.host.delete(SERVICES, "web", namespace=namespace)
        for cluster in CONSUMERS:
            await gone(space.member(cluster), SERVICES, "web", namespace)
        await space.create(service("web"))
        await space.succeeded("web", diagnosed=False)

    async def load_balancers(self) -> None:
        """A Service's addresses come back from the members, each time that they change."""
        space, namespace = self.space, self.space.namespace
        await space.host.patch(SERVICES, "web", {"spec": {"type": "LoadBalancer"}}, namespace=namespace)
        for address in ("198.51.100.7", "198.51.100.8"):
            for cluster in CONSUMERS:

                async def given(cluster: str = cluster, address: str = address) -> bool:
                    body = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
                    member = space.member(cluster)
                    await member.patch(SERVICES, "web", body, namespace=namespace, subresource="status")
                    return True

                # Refused until the Service is of that type there, too.
                await wait_for(f"the address in {cluster}", given, PATIENCE_SECONDS)

            async def addresses() -> set[str]:
                found = await space.host.get(SERVICES, "web", namespace=namespace)
                return {each["ip"] for each in found["status"]["loadBalancer"].get("ingress", ())}

            await eventually("the address in the control plane", addresses, {address})

    async def exports(self) -> None:
        """A service exported by member1, changed, and given up; and the derived Service of a ServiceImport."""
        space = self.space
        policy = propagationpolicy("shop", ["member1"], service("shop"), serviceexport("shop"))
        await space.create(service("shop"), serviceexport("shop"), policy)
        await space.create_in("member1", endpointslice("shop-a", "shop", ["192.0.2.10"]))

        async def imported() -> list[list[str]]:
            selector = "kubernetes.io/service-name=derived-shop"
            found = await space.host.list(SLICES, namespace=space.namespace, label_selector=selector)
            return [addresses_of(each) for each in found]

        await eventually("the imported slice", imported, [["192.0.2.10"]])
        await space.set_addresses("member1", "shop-a", ["192.0.2.11"])
        await eventually("the imported slice, changed", imported, [["192.0.2.11"]])
        await space.host.delete(EXPORTS, "shop", namespace=space.namespace)
        nothing: list[list[str]] = []
        await eventually("no imported slice", imported, nothing)

        async def port() -> int:
            found = await space.host.find(SERVICES, "derived-shop", namespace=space.namespace)
            return int(found["spec"]["ports"][0]["port"]) if found is not None else 0

        # Karmada's names no owner, so garbage collection leaves it alone.
        await space.create(service("derived-shop"), serviceimport("shop", port=81))
        await eventually("the derived Service, taken over", port, 81)
        await space.host.delete(IMPORTS, "shop", namespace=space.namespace)
        await eventually("no derived Service", port, 0)
        await space.host.delete(POLICIES, "shop", namespace=space.namespace)

    async def workloads(self) -> None:
        """One object of every kind that policies may select: another in its way, then changed and deleted."""
        space, namespace = self.space, self.space.namespace
        kinds = {
            DEPLOYMENTS: deployment("app", 0),
            STATEFULSETS: statefulset("app", 0),
            CONFIGMAPS: configmap("app", a="1"),
            SERVICES: service("app"),
            SLICES: endpointslice("app", "app", ["192.0.2.12"]),
            EXPORTS: serviceexport("app"),
            IMPORTS: serviceimport("app"),
        }
        for cluster in CONSUMERS:
            await space.create_in(cluster, *kinds.values())
        await space.create(*kinds.values(), propagationpolicy("app", CONSUMERS, *kinds.values()))
        for resource, manifest in kinds.items():
            for cluster in CONSUMERS:

                async def refused(cluster: str = cluster, kind: str = manifest["kind"]) -> bool:
                    told = [condition_of(each, "Applied")[2] for each in await space.works(cluster, kind)]
                    return any("app exists in the cluster and is not managed" in message for message in told)

                await eventually(f"another's {resource} to be noticed in {cluster}", refused, True)
                await space.member(cluster).delete(resource, "app", namespace=namespace)
            body = {"metadata": {"labels": {"team": "a"}}}
            await space.host.patch(resource, "app", body, namespace=namespace)

            async def team(member: Api, resource: str = resource) -> str:
                return team_of(await member.find(resource, "app", namespace=namespace))

            await self.in_consumers(f"{resource} with its label", team, "a")
            await space.host.patch(resource, "app", {"metadata": {"labels": {"team": "b"}}}, namespace=namespace)
            await self.in_consumers(f"{resource} with its new label", team, "b")
        await space.host.delete(POLICIES, "app", namespace=namespace)
        await gone(space.host, POLICIES, "app", namespace)
        for resource in kinds:
            await space.host.delete(resource, "app", namespace=namespace)
            for cluster in CONSUMERS:
                await gone(space.member(cluster), resource, "app", namespace)

    async def end(self) -> None:
        """A cluster leaves, and then everything is deleted."""
        space, namespace = self.space, self.space.namespace
        await karmada.unjoin(space.bed, "member1")
        await self.dispatched_are({})
        await gone(space.host, NAMESPACES, "karmada-es-member1")
        await space.host.delete(MCS, "web", namespace=namespace)
        await gone(space.host, MCS, "web", namespace)
        # One after the other, as the namespace controller waits long for what it finds left.
        await space.host.delete(SERVICES, "web", namespace=namespace)
        await gone(space.host, BINDINGS, "web-service", namespace)
        await space.remove()

        async def leaving(member: Api) -> bool:
            found = await member.find(NAMESPACES, namespace)
            return found is None or "deletionTimestamp" in found["metadata"]

        await self.in_consumers("the namespace leaves", leaving, True)


def team_of(found: dict[str, Any] | None) -> str:
    return str(found["metadata"].get("labels", {}).get("team")) if found is not None else ""


async def vanish(space: Space) -> list[tuple[str, str]]:
    """Delete a namespace everywhere while nobody watches. Its Works wait to be let go, for a look at members."""
    works = []
    for cluster in CONSUMERS:
        names = [each["metadata"]["name"] for each in await space.host.list(WORKS, namespace=f"karmada-es-{cluster}")]
        works += [(f"karmada-es-{cluster}", name) for name in names if name.startswith(space.namespace)]
    assert len(works) == len(CONSUMERS)
    await space.remove()
    for namespace, name in works:
        await space.host.delete(WORKS, name, namespace=namespace)
    for cluster in CONSUMERS:
        await space.member(cluster).delete(NAMESPACES, space.namespace)
        await gone(space.member(cluster), NAMESPACES, space.namespace)
    await gone(space.host, NAMESPACES, space.namespace)
    return works


@pytest.mark.timeout(900)
async def test_a_whole_life_needs_every_right_that_is_granted_and_no_other(bed: Bed):
    controller = ControllerProcess(bed.root / "controller.kubeconfig", root=bed.root, extra_args=[*IMPATIENT, "--v=4"])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(controller.kill)
        await controller.start()
        agent = await install_agent(bed, "member3", *IMPATIENT, "--v=4")
        stack.push_async_callback(agent.kill)
        await agent.start()
        vanishing = await Space.make(bed)
        life = Life(await Space.make(bed), controller, agent)
        await life.service()
        await life.load_balancers()
        await life.exports()
        await life.workloads()
        await life.end()
        await life.stop()

        # Once more: they find their Leases, and what has gone meanwhile.
        works = await vanish(vanishing)
        await controller.start()
        await agent.start()
        for namespace, name in works:
            await gone(bed.host.api, WORKS, name, namespace)
        await life.stop()

    assert Refusals.ever(bed, agents_user("member3")).found() == []
    host, (member1, member2, member3) = bed.host, bed.members.values()
    controllers = {*granted([*load(MANIFESTS / "controller"), *load(MANIFESTS / "standalone")])}
    agents = {*granted(for_cluster("member3", RIGHTS.glob("*.yaml")))}
    members = {*granted(load(MANIFESTS / "member"))}

    async def unlike() -> dict[str, dict[str, list[Right]]]:
        return {
            "controller": differences(controllers, used(CONTROLLER_USER, host, of=controllers)),
            "agent": differences(agents, used(agents_user("member3"), host, of=agents)),
            "controller in members": differences(
                members, used(CONTROLLER_USER, member1, member2, of=members), [OLDER_THAN_READYZ]
            ),
            "agent in its member": differences(
                members, used(CONTROLLER_USER, member3, of=members), [OLDER_THAN_READYZ]
            ),
        }

    # A watch is in the log once its server has noticed that the client has gone.
    nothing: dict[str, list[Right]] = {}
    expected = dict.fromkeys(("controller", "agent", "controller in members", "agent in its member"), nothing)
    await eventually("every right to be used, and no other", unlike, expected)
