"""Binding and execution on real API servers: what real defaulting, allocation and garbage collection make of the rules.

The controllers run with the rights that the manifests give, so a missing verb fails here.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import CreateWork, WorkIntent, plan_work
from testbed import Bed, karmada
from testbed.api import Object, wait_for
from testbed.audit import AuditEvent, AuditLog
from testbed.errors import NotYet
from tests.support.propagation import USER_AGENT, propagation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed.access import ClusterAccess

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"
WORKS = "work.karmada.io/v1alpha1/works"
BINDINGS = "work.karmada.io/v1alpha2/resourcebindings"
SERVICES = "v1/services"
SLICES = "discovery.k8s.io/v1/endpointslices"
SPACE = "karmada-es-m1"
QUIET_SECONDS = 1.5


class World:
    """A control plane with one ready member, and a namespace in both."""

    def __init__(self, bed: Bed, access: ClusterAccess, namespace: str) -> None:
        self.bed = bed
        self.access = access
        self.namespace = namespace
        self.host = bed.host.api
        self.member = bed.members["m1"].api

    def service(self, name: str = "web", **spec: Any) -> Object:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]} | spec}

    def slice(self, name: str = "m9-web-1", count: int = 2, **fields: Any) -> Object:
        addresses = [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(count)]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {wk.SERVICE_NAME: "web", wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        } | fields

    async def carry(self, name: str, manifest: Object, **fields: Any) -> None:
        """Create or replace the Work that carries the manifest."""
        fields = {"finalizers": (wk.EXECUTION_FINALIZER,)} | fields
        write = plan_work(WorkIntent(namespace=SPACE, name=name, manifest=manifest, **fields), None, lambda: name)
        assert isinstance(write, CreateWork)
        known = await self.host.find(WORKS, name, namespace=SPACE)
        if known is None:
            await self.host.create(write.body)
        else:
            await self.host.replace(known | {"spec": write.body["spec"]})

    async def applied(self, name: str, status: str = "True") -> str:
        """Wait until the Work's condition Applied is this; returns the message."""

        async def probe() -> str:
            work = await self.host.get(WORKS, name, namespace=SPACE)
            conditions = work.get("status", {}).get("conditions", ())
            found: Object = next((one for one in conditions if one["type"] == "Applied"), {})
            if found.get("status") != status:
                raise NotYet(f"conditions {conditions}")
            return str(found["message"])

        return await wait_for(f"Work {name} Applied={status}", probe, 30.0)

    async def until(self, resource: str, name: str, wanted: Any, *, api: Any = None) -> Object:
        """Wait until an object of the member (or of `api`) satisfies the predicate; None for absent."""
        api = api or self.member

        async def probe() -> tuple[Object | None]:
            found = await api.find(resource, name, namespace=self.namespace)
            if not wanted(found):
                raise NotYet(f"{resource} {name}: {found}")
            return (found,)

        return (await wait_for(f"{resource} {name}", probe, 30.0))[0] or {}

    async def writes_during_quiet(self, seconds: float = QUIET_SECONDS) -> list[AuditEvent]:
        """What the controllers write while nothing happens. Events come late by design, so they do not count."""
        marks = [AuditLog(plane.audit_log).mark() for plane in (self.bed.host, *self.bed.members.values())]
        await asyncio.sleep(seconds)
        return [
            event
            for mark in marks
            for event in mark.events()
            if event.is_write and event.resource != "events" and event.user_agent.startswith(USER_AGENT)
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(binaries: Any) -> AsyncIterator[Bed]:
    async with Bed(members=("m1",), audit=True) as bed:
        await karmada.install(bed)
        await karmada.join(bed, "m1")
        ready = {"type": "Ready", "status": "True", "reason": "ClusterReady", "message": "", "lastTransitionTime": None}
        ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        await bed.host.api.patch(CLUSTERS, "m1", {"status": {"conditions": [ready]}}, subresource="status")
        await bed.host.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
        yield bed


@pytest_asyncio.fixture(loop_scope="module")
async def world(fleet: Bed) -> AsyncIterator[World]:
    """Each test has namespaces of its own, and leaves no Work behind."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    for plane in (fleet.host, fleet.members["m1"]):
        await plane.api.create(manifest)
    yield World(fleet, await karmada.controller_access(fleet), namespace)
    for work in await fleet.host.api.list(WORKS):
        name = work["metadata"]["name"]
        await fleet.host.api.patch(WORKS, name, {"metadata": {"finalizers": None}}, namespace=SPACE)
        await fleet.host.api.delete(WORKS, name, namespace=SPACE, missing_ok=True)


SHAPES: dict[str, Object] = {
    "plain": {},
    "headless": {"clusterIP": "None", "selector": {"app": "a"}, "publishNotReadyAddresses": True},
    "affinity": {"sessionAffinity": "ClientIP", "selector": {"app": "a"}},
    "node-port": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    "balancer": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    "balancer-without-node-ports": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
    "external-name": {"type": "ExternalName", "externalName": "example.org"},
    "external-ips": {"externalIPs": ["192.0.2.1"]},
    "udp-and-named": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"}]},
    "dual-stack-if-possible": {"ipFamilyPolicy": "PreferDualStack"},
    "local-only": {"internalTrafficPolicy": "Local", "trafficDistribution": "PreferClose"},
}


async def test_services_of_every_shape_are_applied_once_and_for_all(world: World) -> None:
    async with propagation(world.access):
        for name, spec in SHAPES.items():
            await world.carry(f"work-{name}", world.service(name, **spec))
        for name in SHAPES:
            await world.applied(f"work-{name}")
        assert await world.writes_during_quiet() == []
    before = {one["metadata"]["name"]: one for one in await world.member.list(SERVICES, namespace=world.namespace)}
    assert set(before) == set(SHAPES)
    async with propagation(world.access):
        assert await world.writes_during_quiet(3.0) == []


async def test_a_service_may_take_any_shape_after_any_other(world: World) -> None:
    shapes = ("node-port", "balancer", "plain", "external-name", "affinity", "external-ips", "plain", "local-only")
    async with propagation(world.access):
        for shape in shapes:
            wanted = world.service("web", **(SHAPES[shape] | {"selector": {"step": shape}}))
            await world.carry("work", wanted)
            found = await world.until(
                SERVICES, "web", lambda one, shape=shape: one and one["spec"].get("selector") == {"step": shape}
            )
            await world.applied("work")
            assert found["spec"]["type"] == SHAPES[shape].get("type", "ClusterIP")
            assert await world.writes_during_quiet(0.5) == [], shape
            left = {"externalIPs", "trafficDistribution", "externalName", "sessionAffinityConfig"} & found[
                "spec"
            ].keys()
            assert left <= SHAPES[shape].keys() | ({"sessionAffinityConfig"} if shape == "affinity" else set())


async def test_slices_large_and_empty(world: World) -> None:
    async with propagation(world.access):
        for count in (1000, 3, 0):
            ports = {} if count else {"ports": None}
            await world.carry("work", world.slice(count=count) | ports)
            await world.until(SLICES, "m9-web-1", lambda one, n=count: one and len(one["endpoints"] or ()) == n)
            await world.applied("work")
            assert await world.writes_during_quiet(0.5) == []
    async with propagation(world.access):
        assert await world.writes_during_quiet() == []


async def test_drift_is_repaired(world: World) -> None:
    async with propagation(world.access):
        await world.carry("work", world.service(selector={"app": "a"}))
        await world.carry("slice", world.slice())
        await world.applied("work")
        await world.applied("slice")
        for patch in (
            {"spec": {"selector": {"app": "theirs"}, "externalIPs": ["192.0.2.1"]}},
            {"metadata": {"labels": None}},
            {"metadata": {"labels": {wk.MANAGED: None}, "annotations": {wk.MANAGED_LABELS: None}}},
        ):
            await world.member.patch(SERVICES, "web", patch, namespace=world.namespace)
            repaired = await world.until(
                SERVICES,
                "web",
                lambda one: (
                    one
                    and one["spec"]["selector"] == {"app": "a"}
                    and one["metadata"].get("labels", {}).get(wk.MANAGED) == "true"
                    and wk.MANAGED_LABELS in one["metadata"]["annotations"]
                ),
            )
            assert "externalIPs" not in repaired["spec"]
        await world.member.delete(SLICES, "m9-web-1", namespace=world.namespace)
        await world.until(SLICES, "m9-web-1", lambda one: one is not None)
        assert await world.writes_during_quiet(0.5) == []


async def test_native_slices_survive_the_works_that_hold_their_copies(world: World) -> None:
    async with propagation(world.access):
        await world.carry("service", world.service(selector={"app": "a"}))
        await world.applied("service")

        async def native() -> Object | None:
            found = await world.member.list(SLICES, namespace=world.namespace)
            return next((one for one in found if one["metadata"]["labels"].get(wk.MANAGED) == "true"), None)

        slice_ = await wait_for("native slice with its Service's labels", native, 30.0)
        name, uid = slice_["metadata"]["name"], slice_["metadata"]["uid"]
        await world.carry("copy", slice_, suspend_dispatching=True)
        await world.host.delete(WORKS, "copy", namespace=SPACE)

        async def gone() -> bool | None:
            return True if await world.host.find(WORKS, "copy", namespace=SPACE) is None else None

        await wait_for("collected Work is gone", gone, 30.0)
        left = await world.member.get(SLICES, name, namespace=world.namespace)
        assert (left["metadata"]["uid"], left["metadata"].get("deletionTimestamp")) == (uid, None)


async def test_opening_22_an_object_waits_for_its_namespace_and_follows_it_at_once(world: World) -> None:
    late = f"{world.namespace}-late"
    async with propagation(world.access):
        manifest = world.service()
        manifest["metadata"]["namespace"] = late
        await world.carry("work", manifest)
        assert f"namespace {late} does not exist in cluster m1" in await world.applied("work", "False")
        await asyncio.sleep(3.0)  # the back-off is longer than what follows may take
        began = asyncio.get_running_loop().time()
        await world.carry("namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": late}})
        await world.applied("work")
        assert asyncio.get_running_loop().time() - began < 2.0
        assert await world.writes_during_quiet(0.5) == []


async def test_deletion_and_what_is_preserved(world: World) -> None:
    async with propagation(world.access):
        await world.carry("gone", world.service("gone"))
        await world.carry("kept", world.service("kept"), preserve_resources_on_deletion=True)
        await world.member.create(world.service("theirs"))
        await world.carry("theirs", world.service("theirs", selector={"app": "a"}))
        await world.applied("gone")
        await world.applied("kept")
        assert "not managed by Karmada" in await world.applied("theirs", "False")
        for name in ("gone", "kept", "theirs"):
            await world.host.delete(WORKS, name, namespace=SPACE)

        async def cleaned() -> bool | None:
            return True if not await world.host.list(WORKS) else None

        await wait_for("Works are gone", cleaned, 30.0)
        left = {one["metadata"]["name"]: one for one in await world.member.list(SERVICES, namespace=world.namespace)}
        assert set(left) == {"kept", "theirs"}
        assert wk.MANAGED not in left["kept"]["metadata"].get("labels", {})
        assert "annotations" not in left["kept"]["metadata"]
        assert "selector" not in left["theirs"]["spec"]


async def test_a_binding_from_scheduling_to_deletion(world: World) -> None:
    name, namespace = "web-service", world.namespace
    service = await world.host.create(world.service(type="LoadBalancer", selector={"app": "a"}))

    async def fully_applied() -> Object:
        found = await world.host.get(BINDINGS, name, namespace=namespace)
        conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", ())}
        if conditions.get("FullyApplied") != "True":
            raise NotYet(str(found.get("status")))
        return found

    def has_address(one: Object | None) -> bool:
        return one is not None and one["status"]["loadBalancer"].get("ingress") == [
            {"ip": "192.0.2.9", "ipMode": "VIP"}
        ]

    async with propagation(world.access):
        resource = {"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": "web"}
        resource |= {name: service["metadata"][name] for name in ("uid", "resourceVersion")}
        spec = {"resource": resource, "conflictResolution": "Overwrite", "clusters": [{"name": "m1"}]}
        await world.host.create(
            {"apiVersion": "work.karmada.io/v1alpha2", "kind": "ResourceBinding",
             "metadata": {"name": name, "namespace": namespace}, "spec": spec}
        )  # fmt: skip
        await wait_for("FullyApplied", fully_applied, 30.0)
        ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}
        await world.member.patch(SERVICES, "web", ingress, namespace=namespace, subresource="status")
        await world.until(SERVICES, "web", has_address, api=world.host)
        assert await world.writes_during_quiet() == []
    async with propagation(world.access):
        assert await world.writes_during_quiet(3.0) == []
        await world.host.delete(BINDINGS, name, namespace=namespace)
        await world.until(BINDINGS, name, lambda one: one is None, api=world.host)
        await world.until(SERVICES, "web", lambda one: one is None)
