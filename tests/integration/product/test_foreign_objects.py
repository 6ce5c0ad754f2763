"""Nothing of another owner is ever changed or deleted where ours are the only controllers, in a whole life of a fleet.

Clusters join, services are consumed and exported, changed and deleted, and a cluster leaves. Objects of others are on
all planes, with names and labels like ours, and marks of others are on all that ours makes or writes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from testbed import ControllerProcess, karmada
from tests.integration.product.conftest import IMPATIENT
from tests.support.fake_karmada_foreign import OTHERS, UNTOUCHED, ForeignObjects, mark, marks_of
from tests.support.fleet import (
    BINDINGS,
    CLUSTERS,
    DISPATCHER,
    EXPORTS,
    IMPORTS,
    MANAGED_BY,
    MCS,
    POLICIES,
    SECRETS,
    SERVICES,
    SLICES,
    WORKS,
    Space,
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
from tests.support.traffic import Refusals, Traffic, idle

if TYPE_CHECKING:
    from testbed import Api, Bed
    from testbed.pytest_plugin import NewBed

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]
THEIRS = "theirs"
OWNERLESS = (*UNTOUCHED[:3], False)


@dataclass(frozen=True)
class Marked:
    """An object that ours makes or writes to, with marks of others."""

    api: Api
    resource: str
    name: str
    namespace: str = ""
    owned: bool = False

    async def found(self) -> Object | None:
        return await self.api.find(self.resource, self.name, namespace=self.namespace)

    async def is_intact(self) -> None:
        """It is there, with all marks; if it is going, nobody but the others keeps it."""
        there = await self.found()
        assert there is not None, self
        assert marks_of(there) == (UNTOUCHED if self.owned else OWNERLESS), self
        if "deletionTimestamp" in there["metadata"]:
            await self.is_held()

    async def is_held(self) -> None:
        """Wait until it is being deleted and nobody but the others keeps it."""

        async def finalizers() -> list[str]:
            metadata = (await self.api.get(self.resource, self.name, namespace=self.namespace))["metadata"]
            return metadata.get("finalizers", []) if "deletionTimestamp" in metadata else []

        await eventually(f"{self.resource} {self.name} to be held by others only", finalizers, [OTHERS])

    async def release(self) -> None:
        """The others let go of it."""
        there = await self.found()
        assert there is not None, self
        left = [one for one in there["metadata"].get("finalizers", ()) if one != OTHERS]
        await self.api.patch(self.resource, self.name, {"metadata": {"finalizers": left}}, namespace=self.namespace)
        if "deletionTimestamp" in there["metadata"]:
            await gone(self.api, self.resource, self.name, self.namespace)


def derived_policy(cluster: str) -> Object:
    """Brings the ServiceImport `shop`, and what is derived from it, to a cluster."""
    labels = {"kubernetes.io/service-name": "derived-shop"}
    slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "labelSelector": {"matchLabels": labels}}
    derived = {"apiVersion": "v1", "kind": "Service", "name": "derived-shop"}
    return propagationpolicy("shop-import", [cluster], serviceimport("shop"), derived, slices)


def plain(kind: str, name: str, namespace: str = "", **content: Any) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


async def create_before_anybody_joins(bed: Bed, foreign: ForeignObjects) -> None:
    """In places that have names like ours, and beside what a cluster is joined with."""
    host = bed.host.api
    secret = {"stringData": {"token": "theirs", "caBundle": "theirs"}}
    await host.apply(plain("Namespace", karmada.CLUSTER_NAMESPACE))
    await foreign.add("host", host, plain("Secret", "member1-foreign", karmada.CLUSTER_NAMESPACE, **secret))
    await foreign.add("host", host, plain("ConfigMap", "member1", karmada.CLUSTER_NAMESPACE))
    await foreign.add("host", host, plain("Namespace", "karmada-es-foreign"))
    for name, member in bed.members.items():
        for namespace in (THEIRS, "karmada-es-member1"):
            await foreign.add(name, member.api, plain("Namespace", namespace))
            await foreign.add(name, member.api, plain("Secret", "member1", namespace, **secret))
            own = service("web") | {"metadata": {"name": "web", "namespace": namespace}}
            own["metadata"]["labels"] = {"karmada.io/managed": "true"}
            await foreign.add(name, member.api, own)
            await foreign.add(name, member.api, lookalike("member1-web-a", namespace))


def lookalike(name: str, namespace: str) -> Object:
    """As ours would label a copy; but no Work has made it."""
    made = endpointslice(name, "web", ["198.51.100.9"])
    made["metadata"]["namespace"] = namespace
    made["metadata"]["labels"] |= {MANAGED_BY: DISPATCHER, "karmada.io/managed": "true"}
    return made


async def marked_in(space: Space) -> list[Marked]:
    """All that ours has made or written to by now."""
    host, namespace = space.host, space.namespace
    member1, member2 = space.member("member1"), space.member("member2")
    here = [
        Marked(host, resource, name, namespace, owned=True)
        for resource, name in (
            (MCS, "web"),
            (SERVICES, "web"),
            (SERVICES, "shop"),
            (SERVICES, "derived-shop"),
            (SLICES, "imported-member1-shop-a"),
            (EXPORTS, "shop"),
            (IMPORTS, "shop"),
            (POLICIES, "shop-export"),
            (POLICIES, "shop-import"),
        )
    ]
    bindings = await host.list(BINDINGS, namespace=namespace)
    here += [
        Marked(host, BINDINGS, one["metadata"]["name"], namespace, owned=True)
        for one in bindings
        if OTHERS not in one["metadata"].get("labels", {})
    ]
    works = [
        Marked(host, WORKS, one["metadata"]["name"], f"karmada-es-{member}")
        for member in space.bed.members
        for one in await space.works(member)
        if OTHERS not in one["metadata"].get("labels", {})
    ]
    there = [
        Marked(member1, SERVICES, "web", namespace),
        Marked(member1, SERVICES, "shop", namespace),
        Marked(member1, EXPORTS, "shop", namespace),
        Marked(member2, SERVICES, "web", namespace),
        Marked(member2, SERVICES, "derived-shop", namespace),
        Marked(member2, IMPORTS, "shop", namespace),
        Marked(member2, SLICES, "member1-web-a", namespace),
        Marked(member2, SLICES, "imported-member1-shop-a", namespace),
    ]
    return [*here, *works, *there]


async def states(objects: list[tuple[Api, str, str, str]]) -> list[str]:
    """Resource versions."""
    found = [await api.get(resource, name, namespace=namespace) for api, resource, name, namespace in objects]
    return [one["metadata"]["resourceVersion"] for one in found]


@pytest.mark.timeout(900)
async def test_a_whole_life_of_a_fleet_touches_nothing_of_others(new_bed: NewBed):
    bed = await new_bed(audit=True)
    await karmada.install(bed)
    await serve_exports(bed)
    refusals = Refusals.since_now(bed)
    early = ForeignObjects(bed, THEIRS)
    await create_before_anybody_joins(bed, early)
    kubeconfig = await karmada.controller_kubeconfig(bed)
    async with ControllerProcess(kubeconfig, root=bed.root, extra_args=[*IMPATIENT, "--v=4"]) as process:
        await karmada.join_all(bed)
        space = await Space.make(bed)
        assert await early.touched() == []
        host, namespace = space.host, space.namespace
        secrets = [(host, SECRETS, name, karmada.CLUSTER_NAMESPACE) for name in bed.members]
        joined_with = await states(secrets)

        # Whatever others do to a Cluster and to the namespaces is theirs.
        clusters = [Marked(host, CLUSTERS, name) for name in bed.members]
        for one in clusters:
            await mark(host, CLUSTERS, one.name, "", None)
        await eventually("member1 and member2 to be well", lambda: well(host), {"member1": "True", "member2": "True"})

        foreign = ForeignObjects(bed, namespace)
        await foreign.create_all("web")
        for name, member in bed.members.items():
            await foreign.add(name, member.api, lookalike("member1-web-x", namespace))
        # Its name is what a copy of member1's slice `web-c` will want to have.
        taken = endpointslice("member1-web-c", "foreign", ["198.51.100.10"])
        taken["metadata"]["namespace"] = namespace
        await foreign.add("member2", space.member("member2"), taken)
        await idle(process, Traffic(bed))
        # Whoever makes Works and ResourceBindings asks for a finalizer and a status of ours; once.
        addressed = ("host: Work karmada-es-", f"host: ResourceBinding {namespace}/web-configmap")
        assert [line for line in await foreign.touched() if not line.startswith(addressed)] == []
        await foreign.remember()

        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        policy = propagationpolicy("shop-export", ["member1"], service("shop"), serviceexport("shop"))
        await space.create(service("shop"), serviceexport("shop"), policy)
        await space.create(serviceimport("shop"), derived_policy("member2"))
        native = [endpointslice(f"{name}-a", name, ["192.0.2.1"]) for name in ("web", "shop")]
        await space.create_in("member1", *native, endpointslice("web-c", "web", ["192.0.2.3"]))
        await copies_are(space, ["192.0.2.1"])
        await idle(process, Traffic(bed))

        marked = await marked_in(space)
        for each in marked:
            await mark(each.api, each.resource, each.name, each.namespace, foreign.owner if each.owned else None)
        slices = [(space.member("member1"), SLICES, f"{name}-a", namespace) for name in ("web", "shop")]
        await idle(process, Traffic(bed))

        # Every reason to write there is.
        for name in ("web-a", "shop-a"):
            await space.set_addresses("member1", name, ["192.0.2.2"])
        provided = await states(slices)
        await copies_are(space, ["192.0.2.2"])
        body = {"metadata": {"labels": {"team": "a"}}, "spec": {"ports": [{"name": "http", "port": 81}]}}
        for name in ("web", "shop"):
            await host.patch(SERVICES, name, body, namespace=namespace)
        await host.patch(IMPORTS, "shop", {"metadata": {"labels": {"team": "a"}}}, namespace=namespace)
        await space.patch_mcs("web", {"consumerClusters": [{"name": "member2"}, {"name": "member1"}]})
        await idle(process, Traffic(bed))
        for each in [*marked, *clusters]:
            await each.is_intact()
        assert await early.touched() + await foreign.touched() == []

        # The end of the services: each object stays as long as others hold it.
        for resource, name in ((MCS, "web"), (IMPORTS, "shop"), (EXPORTS, "shop")):
            await host.delete(resource, name, namespace=namespace)
        for going in marked:
            if (going.resource, going.name) in ((MCS, "web"), (SLICES, "member1-web-a")):
                await going.is_held()
        await idle(process, Traffic(bed))
        for each in marked:
            await each.is_intact()
        assert await early.touched() + await foreign.touched() == []
        for each in marked:
            await each.release()
        await space.dispatched_are("member2", {"member1-web-x": ["198.51.100.9"]})
        await idle(process, Traffic(bed))
        assert await early.touched() + await foreign.touched() == []
        assert await states(slices) == provided

        # A cluster leaves, with its execution namespace.
        foreign.forget(plane="host", namespace="karmada-es-member2")
        foreign.forget(plane="member2", namespace=namespace)
        await host.delete(CLUSTERS, "member2")
        await clusters[1].is_held()
        await clusters[1].is_intact()
        await clusters[1].release()
        await idle(process, Traffic(bed))
        await clusters[0].is_intact()
        assert await early.touched() + await foreign.touched() == []
        assert await states(secrets) == joined_with
        assert await process.terminate() == 0
    assert refusals.found() == []


async def well(host: Api) -> dict[str, str]:
    return {
        one["metadata"]["name"]: each["status"]
        for one in await host.list(CLUSTERS)
        for each in one.get("status", {}).get("conditions") or ()
        if each["type"] == "Ready"
    }


async def copies_are(space: Space, addresses: list[str]) -> None:
    """Wait until member2 has what member1 provides."""
    copies = {"member1-web-a": addresses, "member1-web-x": ["198.51.100.9"]}
    await space.dispatched_are("member2", copies, "web")

    async def imported() -> list[str]:
        found = await space.member("member2").find(SLICES, "imported-member1-shop-a", namespace=space.namespace)
        return [one for each in found["endpoints"] for one in each["addresses"]] if found else []

    await eventually("the imported slice in member2", imported, addresses)
