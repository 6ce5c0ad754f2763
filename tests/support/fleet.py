"""A running fleet as its users see it: what they apply, and what becomes of it. Plain dicts, no code of the product."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from testbed import Api, Bed, NotYet, wait_for
from testbed.karmada import MANIFESTS, apply_all, load
from tests.support.no_findings import no_findings

Object = dict[str, Any]
T = TypeVar("T")

MCS = "networking.karmada.io/v1alpha1/multiclusterservices"
WORKS = "work.karmada.io/v1alpha1/works"
BINDINGS = "work.karmada.io/v1alpha2/resourcebindings"
CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"
SERVICES = "v1/services"
NAMESPACES = "v1/namespaces"
EVENTS = "v1/events"
SECRETS = "v1/secrets"
LEASES = "coordination.k8s.io/v1/leases"
SLICES = "discovery.k8s.io/v1/endpointslices"
CRDS = "apiextensions.k8s.io/v1/customresourcedefinitions"
DEPLOYMENTS = "apps/v1/deployments"
STATEFULSETS = "apps/v1/statefulsets"
CONFIGMAPS = "v1/configmaps"
POLICIES = "policy.karmada.io/v1alpha1/propagationpolicies"
EXPORTS = "multicluster.x-k8s.io/v1alpha1/serviceexports"
IMPORTS = "multicluster.x-k8s.io/v1alpha1/serviceimports"

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
DISPATCHER = "endpointslice-dispatch-controller.karmada.io"
PREFIX = "test-"
PATIENCE_SECONDS = 60.0
"""For anything that a healthy fleet does by itself; far more than it takes, as the machine may be busy."""


async def eventually(
    describe: str,
    read: Callable[[], Awaitable[T]],
    expected: T,
    *,
    timeout: float = PATIENCE_SECONDS,
    interval: float | None = None,
) -> T:
    """Wait until what is read equals what is expected; see :func:`testbed.wait_for`."""

    async def probe() -> T:
        seen = await read()
        if seen != expected:
            raise NotYet(f"{seen!r}, not {expected!r}")
        return seen

    return await wait_for(describe, probe, timeout, interval=interval)


async def at_rest(bed: Bed, *, but: Space) -> None:
    """Wait until nothing of earlier tests is left: their namespaces, on any plane, and the Works about them.

    A test that failed leaves its namespace, which must not make others fail: it is deleted here.
    """
    no_names: list[str] = []

    async def left(api: Api) -> list[str]:
        found = await api.list(NAMESPACES)
        names = [each["metadata"]["name"] for each in found]
        return [name for name in names if name.startswith(PREFIX) and name != but.namespace]

    for name in await left(bed.host.api):
        await Space(bed, name).remove()
    for plane in [bed.host, *bed.members.values()]:
        await eventually(f"no namespaces of earlier tests in {plane.name}", partial(left, plane.api), no_names)

    async def works() -> list[str]:
        names = [each["metadata"]["name"] for each in await bed.host.api.list(WORKS)]
        return [name for name in names if not name.startswith(but.namespace)]

    await eventually("no Works of earlier tests", works, no_names)


async def gone(api: Api, resource: str, name: str, namespace: str | None = None) -> None:
    """Wait until an object is no longer there."""

    async def probe() -> bool:
        left = await api.find(resource, name, namespace=namespace)
        if left is not None:
            raise NotYet(f"finalizers {left['metadata'].get('finalizers')}, status {left.get('status')}")
        return True

    await wait_for(f"{resource} {name} to be gone", probe, PATIENCE_SECONDS)


def service(name: str, *, selector: Mapping[str, str] | None = None) -> Object:
    """Without a selector nobody but the test makes endpoints for it."""
    spec: Object = {"ports": [{"name": "http", "port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": spec | ({"selector": dict(selector)} if selector else {}),
    }


def multiclusterservice(
    name: str, providers: Iterable[str] = (), consumers: Iterable[str] = (), *, types: Sequence[str] = ("CrossCluster",)
) -> Object:
    """Empty lists mean every cluster."""
    spec: Object = {"types": list(types)}
    if names := [{"name": each} for each in providers]:
        spec["providerClusters"] = names
    if names := [{"name": each} for each in consumers]:
        spec["consumerClusters"] = names
    return {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": name},
        "spec": spec,
    }


def serviceexport(name: str) -> Object:
    """Needs the definitions of manifests/crds in the members, see :func:`serve_exports`."""
    return {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceExport", "metadata": {"name": name}}


def serviceimport(name: str, *, port: int = 80, **spec: Any) -> Object:
    """Of type ClusterSetIP, with one port."""
    return {
        "apiVersion": "multicluster.x-k8s.io/v1alpha1",
        "kind": "ServiceImport",
        "metadata": {"name": name},
        "spec": {"type": "ClusterSetIP", "ports": [{"name": "http", "port": port, "protocol": "TCP"}], **spec},
    }


async def serve_exports(bed: Bed) -> None:
    """Give every member the kinds ServiceExport and ServiceImport."""
    crds = [each for each in load(MANIFESTS / "crds") if each["spec"]["group"] == "multicluster.x-k8s.io"]
    for member in bed.members.values():
        await apply_all(member.api, crds)


def propagationpolicy(name: str, clusters: Sequence[str], *selected: Object, **spec: Any) -> Object:
    """Brings these objects, or, with selectors instead of objects, what they select, to the clusters."""
    selectors = [
        {"apiVersion": one["apiVersion"], "kind": one["kind"], "name": one["metadata"]["name"]}
        if "metadata" in one
        else one
        for one in selected
    ]
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {"name": name},
        "spec": {
            "resourceSelectors": selectors,
            "placement": {"clusterAffinity": {"clusterNames": list(clusters)}},
            **spec,
        },
    }


def endpointslice(name: str, service_name: str, addresses: Sequence[str]) -> Object:
    """A slice as a person makes it by hand: no controller of Kubernetes touches it."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service_name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }


def deployment(name: str, replicas: int) -> Object:
    """Pods that a Service with the selector `app=<name>` finds."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}},
        },
    }


def statefulset(name: str, replicas: int) -> Object:
    """As :func:`deployment`."""
    made = deployment(name, replicas)
    return made | {"kind": "StatefulSet", "spec": made["spec"] | {"serviceName": name}}


def configmap(name: str, **data: str) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def addresses_of(slice_: Object) -> list[str]:
    """All addresses of a slice, sorted."""
    return sorted(address for endpoint in slice_["endpoints"] or () for address in endpoint["addresses"])


def condition_of(obj: Object, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition; empty strings if it is not there."""
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition["type"] == kind:
            return condition["status"], condition["reason"], condition["message"]
    return "", "", ""


@dataclass(frozen=True)
class Space:
    """One namespace of a fleet, and the API servers to look at it from."""

    bed: Bed
    namespace: str

    @property
    def host(self) -> Api:
        return self.bed.host.api

    def member(self, name: str) -> Api:
        return self.bed.members[name].api

    @classmethod
    async def make(cls, bed: Bed, *, in_members: bool = True) -> Space:
        """A new namespace in the control plane; in the members it is the controller that makes it."""
        space = cls(bed, f"{PREFIX}{uuid.uuid4().hex[:8]}")
        await space.host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace}})
        if in_members:
            await space.exists_in_members()
        return space

    async def exists_in_members(self) -> None:
        """Wait until the controller has brought the namespace into every member."""
        for member in self.bed.members.values():

            async def found(api: Api = member.api) -> Object | None:
                return await api.find(NAMESPACES, self.namespace)

            await wait_for(f"namespace {self.namespace} in {member.name}", found, PATIENCE_SECONDS)

    async def remove(self) -> None:
        """Take the namespace away, without waiting: Kubernetes' namespace controller takes its time."""
        await self.host.delete(NAMESPACES, self.namespace, missing_ok=True)

    # --- what people do ------------------------------------------------------------------------------------------

    async def create(self, *manifests: Object) -> None:
        """Create objects in the control plane."""
        for manifest in manifests:
            await self.host.create(manifest, namespace=self.namespace)

    async def create_in(self, cluster: str, *manifests: Object) -> None:
        """Create objects in a member."""
        for manifest in manifests:
            await self.member(cluster).create(manifest, namespace=self.namespace)

    async def set_addresses(self, cluster: str, name: str, addresses: Sequence[str]) -> None:
        """Give a slice in a member other endpoints."""
        body = {"endpoints": endpointslice(name, "", addresses)["endpoints"]}
        await self.member(cluster).patch(SLICES, name, body, namespace=self.namespace)

    async def patch_mcs(self, name: str, spec: Object) -> None:
        """Merge into the spec of a MultiClusterService."""
        await self.host.patch(MCS, name, {"spec": spec}, namespace=self.namespace)

    # --- what they see -------------------------------------------------------------------------------------------

    async def mcs(self, name: str) -> Object:
        return await self.host.get(MCS, name, namespace=self.namespace)

    async def condition(self, name: str, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition of a MultiClusterService."""
        return condition_of(await self.mcs(name), kind)

    async def dispatched(self, cluster: str, service_name: str = "") -> dict[str, list[str]]:
        """The copies that a consumer has, each with its addresses."""
        selector = f"endpointslice.kubernetes.io/managed-by={DISPATCHER}"
        if service_name:
            selector += f",kubernetes.io/service-name={service_name}"
        found = await self.member(cluster).list(SLICES, namespace=self.namespace, label_selector=selector)
        return {each["metadata"]["name"]: addresses_of(each) for each in found}

    async def dispatched_name(self, cluster: str) -> str:
        """Wait until the consumer has one copy; its name."""

        async def probe() -> str:
            found = await self.dispatched(cluster)
            if len(found) != 1:
                raise NotYet(f"{found}")
            return next(iter(found))

        return await wait_for(f"a dispatched slice in {cluster} ({self.namespace})", probe, PATIENCE_SECONDS)

    async def dispatched_are(self, cluster: str, expected: Mapping[str, Sequence[str]], service_name: str = "") -> None:
        """Wait until a consumer has exactly these copies, with these addresses."""
        wanted = {name: sorted(addresses) for name, addresses in expected.items()}
        what = f"the dispatched slices in {cluster} ({self.namespace})"
        await eventually(what, lambda: self.dispatched(cluster, service_name), wanted)

    async def ready_addresses(self, cluster: str, count: int, service_name: str) -> list[str]:
        """Wait until the cluster's own slices of a Service name so many ready addresses, and return them."""

        async def probe() -> list[str]:
            slices = await self.member(cluster).list(
                SLICES, namespace=self.namespace, label_selector=f"kubernetes.io/service-name={service_name}"
            )
            own = [each for each in slices if each["metadata"]["labels"].get(MANAGED_BY) != DISPATCHER]
            endpoints = [endpoint for each in own for endpoint in each["endpoints"] or ()]
            ready = sorted(one["addresses"][0] for one in endpoints if one["conditions"]["ready"])
            if not own or len(ready) != count or len(endpoints) != count:
                raise NotYet(f"{len(own)} slices with endpoints {endpoints}")
            return ready

        return await wait_for(f"{count} ready endpoints of {service_name} in {cluster}", probe, PATIENCE_SECONDS)

    async def works(self, cluster: str, kind: str = "") -> list[Object]:
        """Works of a cluster about objects in this namespace, by name; of one kind of manifest or of all."""
        found = []
        for work in await self.host.list(WORKS, namespace=f"karmada-es-{cluster}"):
            for manifest in work["spec"]["workload"]["manifests"]:
                about = manifest.get("metadata", {}).get("namespace") == self.namespace
                if about and (not kind or manifest.get("kind") == kind):
                    found.append(work)
        return sorted(found, key=lambda work: work["metadata"]["name"])

    async def work_names(self, cluster: str, kind: str = "") -> list[str]:
        """Names of :meth:`works`."""
        return [work["metadata"]["name"] for work in await self.works(cluster, kind)]

    async def events(self, kind: str, name: str) -> set[tuple[str, str, str]]:
        """Type, reason and message of all events about an object."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = await self.host.list(EVENTS, namespace=self.namespace, field_selector=selector)
        return {(each["type"], each["reason"], each["message"]) for each in found}

    async def event_reasons(self, kind: str, name: str) -> set[tuple[str, str]]:
        """Type and reason of all events about an object."""
        return {(type_, reason) for type_, reason, _ in await self.events(kind, name)}

    async def succeeded(self, name: str, *, but: Collection[str] = (), diagnosed: bool = True) -> None:
        """Wait until a MultiClusterService says that all is well, and a diagnosis finds nothing, apart from codes.

        Not `diagnosed`, where it is counted who asks an API server for what.
        """
        for kind, reason in (
            ("ServiceApplied", "ServiceAppliedSucceed"),
            ("EndpointSliceDispatched", "EndpointSliceDispatchedSucceed"),
        ):

            async def probe(kind: str = kind) -> tuple[str, str]:
                return (await self.condition(name, kind))[:2]

            await eventually(f"condition {kind} of {self.namespace}/{name}", probe, ("True", reason))
        if diagnosed:
            await no_findings(self.bed, self.namespace, name, PATIENCE_SECONDS, but=but)
