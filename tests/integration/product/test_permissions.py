"""The rights that the manifests give: enough for a whole life of a fleet, and none that is never used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from testbed import AuditLog, karmada, wait_for
from testbed.karmada import CONTROLLER_USER, MANIFESTS, load
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
    Space,
    addresses_of,
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
from tests.support.traffic import Refusals, idle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from testbed import Bed
    from testbed.controlplane import ControlPlane
    from tests.integration.product.conftest import Run

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Right(NamedTuple):
    """One verb on one resource (with its subresource, if any)."""

    group: str
    resource: str
    verb: str


def granted(directories: Iterable[Path]) -> Iterator[Right]:
    """What the roles of the controller allow; rights of people are other roles."""
    for directory in directories:
        for each in load(directory):
            ours = each["metadata"]["name"].startswith("mcs-controller-manager")
            if each["kind"] in ("Role", "ClusterRole") and ours:
                for rule in each["rules"]:
                    for group in rule.get("apiGroups", ()):
                        for resource in rule.get("resources", ()):
                            for verb in rule["verbs"]:
                                yield Right(group, resource, verb)


def used(plane: ControlPlane) -> set[Right]:
    """What the controller asked for and got, since the plane was started."""
    result = set()
    for event in AuditLog(plane.audit_log).start().events():
        if event.user == CONTROLLER_USER and event.resource:
            resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
            result.add(Right(event.api_group, resource, event.verb))
    return result


async def whole_life(bed: Bed, run: Run) -> None:
    """A service made, changed, broken, mended and deleted; a namespace relabelled; a cluster that leaves."""
    process = await run("life", bed=bed)
    space = await Space.make(bed)
    namespace = space.namespace
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    await space.succeeded("web")

    await space.set_addresses("member1", "web-a", ["192.0.2.2"])
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})
    ports = {"spec": {"ports": [{"name": "http", "port": 81}]}}
    await space.host.patch(SERVICES, "web", ports, namespace=namespace)

    async def port() -> int:
        found = await space.member("member2").get(SERVICES, "web", namespace=namespace)
        return int(found["spec"]["ports"][0]["port"])

    await eventually("the Service's new port in member2", port, 81)
    await space.host.patch(NAMESPACES, namespace, {"metadata": {"labels": {"team": "a"}}})

    async def team() -> str:
        found = await space.member("member2").get(NAMESPACES, namespace)
        return str(found["metadata"]["labels"].get("team"))

    await eventually("the namespace's new label in member2", team, "a")
    await space.host.delete(SERVICES, "web", namespace=namespace)
    await gone(space.member("member2"), SERVICES, "web", namespace)
    await space.create(service("web"))
    await space.succeeded("web")

    # Its load balancers' addresses come back from the members.
    await space.host.patch(SERVICES, "web", {"spec": {"type": "LoadBalancer"}}, namespace=namespace)

    async def address_given() -> bool:
        body = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}}
        member = space.member("member2")
        await member.patch(SERVICES, "web", body, namespace=namespace, subresource="status")
        return True

    async def addresses() -> list[str]:
        found = await space.host.get(SERVICES, "web", namespace=namespace)
        return [each["ip"] for each in found["status"]["loadBalancer"].get("ingress", ())]

    # Refused until the Service is of that type there, too.
    await wait_for("the address in member2", address_given, PATIENCE_SECONDS)
    await eventually("the address in the control plane", addresses, ["198.51.100.7"])

    await serve_exports(bed)
    await exports(space)
    await workloads(space)

    # A cluster leaves: what it provided goes from the others, and its execution namespace with it.
    await karmada.unjoin(bed, "member1")
    await space.dispatched_are("member2", {})
    await gone(space.host, NAMESPACES, "karmada-es-member1")

    await space.host.delete(MCS, "web", namespace=namespace)
    await gone(space.host, MCS, "web", namespace)
    # One after the other, as the namespace controller waits long for what it finds left.
    await space.host.delete(SERVICES, "web", namespace=namespace)
    await gone(space.host, BINDINGS, "web-service", namespace)
    await space.remove()

    async def leaving() -> bool:
        found = await space.member("member2").find(NAMESPACES, namespace)
        return found is None or "deletionTimestamp" in found["metadata"]

    await eventually("the namespace in member2 to leave", leaving, True)
    await idle(process)
    assert await process.terminate() == 0

    # A second one, which finds the lease of the first.
    process = await run("after-life", bed=bed)
    await idle(process)
    assert await process.terminate() == 0  # which ends its watches: only then they are in the log


async def exports(space: Space) -> None:
    """A service exported by member1, changed, and given up; and the derived Service of a ServiceImport."""
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

    await space.create(serviceimport("shop"))
    await eventually("the derived Service", port, 80)
    ports = serviceimport("shop", port=81)["spec"]["ports"]
    await space.host.patch(IMPORTS, "shop", {"spec": {"ports": ports}}, namespace=space.namespace)
    await eventually("the derived Service, changed", port, 81)
    await space.host.delete(IMPORTS, "shop", namespace=space.namespace)
    await eventually("no derived Service", port, 0)
    await space.host.delete(POLICIES, "shop", namespace=space.namespace)


async def workloads(space: Space) -> None:
    """One object of every kind that policies may select: brought to a member, changed, and deleted."""
    kinds = {
        DEPLOYMENTS: deployment("app", 0),
        STATEFULSETS: statefulset("app", 0),
        CONFIGMAPS: configmap("app", a="1"),
        SERVICES: service("app"),
        SLICES: endpointslice("app", "app", ["192.0.2.12"]),
        EXPORTS: serviceexport("app"),
        IMPORTS: serviceimport("app"),
    }
    await space.create(*kinds.values(), propagationpolicy("app", ["member2"], *kinds.values()))
    for resource in kinds:

        async def there(resource: str = resource) -> bool:
            return await space.member("member2").find(resource, "app", namespace=space.namespace) is not None

        await eventually(f"{resource} in member2", there, True)
        body = {"metadata": {"labels": {"team": "a"}}}
        await space.host.patch(resource, "app", body, namespace=space.namespace)

        async def team(resource: str = resource) -> str:
            found = await space.member("member2").get(resource, "app", namespace=space.namespace)
            return str(found["metadata"]["labels"].get("team"))

        await eventually(f"the new label of {resource} in member2", team, "a")
    await space.host.delete(POLICIES, "app", namespace=space.namespace)
    await gone(space.host, POLICIES, "app", space.namespace)
    for resource in kinds:
        await space.host.delete(resource, "app", namespace=space.namespace)
        await gone(space.member("member2"), resource, "app", space.namespace)


async def test_a_whole_life_needs_every_right_that_is_granted_and_no_other(new_fleet, run):
    bed = await new_fleet()
    await whole_life(bed, run)

    assert Refusals.ever(bed).found() == []
    host = set(granted([MANIFESTS / "controller", MANIFESTS / "standalone"]))
    member = set(granted([MANIFESTS / "member"]))
    used_on_host, used_in_members = used(bed.host), used(bed.members["member1"]) | used(bed.members["member2"])
    assert used_on_host - host == set()
    assert used_in_members - member == set()
    assert host - used_on_host - listed_by_older_servers(used_on_host) - LEFT_TO_THE_GARBAGE_COLLECTOR == set()
    excused = listed_by_older_servers(used_in_members) | read_once_more(used_in_members)
    assert member - used_in_members - excused == set()


# The kinds of rights that are needed and that this life does not show, or not always.

LEFT_TO_THE_GARBAGE_COLLECTOR = {Right("", "services", "delete")}
"""Of a derived Service, which its ServiceImport owns: who comes first deletes it."""


def listed_by_older_servers(needed: set[Right]) -> set[Right]:
    """`list` of what is watched: for servers that do not stream lists, such as that of Karmada's Clusters."""
    return {right._replace(verb="list") for right in needed if right.verb == "watch"}


def read_once_more(needed: set[Right]) -> set[Right]:
    """`get` of what is applied in members: for an object that is to go and that the cache does not have yet."""
    return {right._replace(verb="get") for right in needed if right.verb == "create"}
