"""A control plane with one member on real API servers, for tests of binding and execution."""

import asyncio
from typing import Any

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import CreateWork, WorkIntent, plan_work
from testbed import Bed
from testbed.access import ClusterAccess
from testbed.api import Object, wait_for
from testbed.audit import AuditEvent, AuditLog
from testbed.errors import NotYet
from tests.support.standalone import USER_AGENT

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

    async def bind(self, service: Object) -> None:
        """A binding of a Service of the control plane, scheduled to the member."""
        meta = service["metadata"]
        resource = {"apiVersion": "v1", "kind": "Service", "namespace": self.namespace, "name": meta["name"]}
        resource |= {name: meta[name] for name in ("uid", "resourceVersion")}
        await self.host.create(
            {
                "apiVersion": "work.karmada.io/v1alpha2",
                "kind": "ResourceBinding",
                "metadata": {"name": f"{meta['name']}-service", "namespace": self.namespace},
                "spec": {"resource": resource, "conflictResolution": "Overwrite", "clusters": [{"name": "m1"}]},
            }
        )

    async def applied(self, name: str, status: str = "True") -> str:
        """Wait until the Work's condition Applied is this; returns the message."""

        async def probe() -> str:
            work = await self.host.get(WORKS, name, namespace=SPACE)
            conditions = work.get("status", {}).get("conditions", ())
            found: Object = next((one for one in conditions if one["type"] == "Applied"), {})
            if found.get("status") != status:
                raise NotYet(f"conditions {conditions}")
            return str(found["message"])

        return await wait_for(f"Work {name} Applied={status}", probe)

    async def until(self, resource: str, name: str, wanted: Any, *, api: Any = None) -> Object:
        """Wait until an object of the member (or of `api`) satisfies the predicate; None for absent."""
        api = api or self.member

        async def probe() -> tuple[Object | None]:
            found = await api.find(resource, name, namespace=self.namespace)
            if not wanted(found):
                raise NotYet(f"{resource} {name}: {found}")
            return (found,)

        return (await wait_for(f"{resource} {name}", probe))[0] or {}

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
