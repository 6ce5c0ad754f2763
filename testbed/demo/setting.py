"""The chapters around the walkthrough: the bed, the controller without its feature gate, and the end."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from testbed import karmada
from testbed.audit import AuditLog
from testbed.demo.story import Chapter, Step
from testbed.demo.traffic import COMMAND, asked_before, nodes
from testbed.demo.walkthrough import provider_pods
from testbed.demo.world import (
    CLIENT,
    CLUSTERS,
    CONSUMER,
    DEPLOYMENTS,
    EXAMPLE,
    HOST,
    LEASE,
    LEASES,
    MULTICLUSTERSERVICES,
    NAME,
    NAMESPACE,
    NAMESPACES,
    PROVIDER,
    RESOURCEBINDINGS,
    SERVICES,
    SLICES,
    WORKS,
    World,
    annotations_of,
    condition_texts,
    conditions,
    held,
    labels_of,
    listing,
    manifests,
    must,
    require,
    seen,
)
from testbed.karmada import CONTROLLER_USER, SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from testbed.api import Object
    from testbed.audit import AuditEvent
    from testbed.controlplane import ControlPlane

GATE = "MultiClusterService"
LATER_NAMESPACE = "made-after-the-walkthrough"

_KINDS = "multiclusterservices, propagationpolicies, works, resourcebindings, clusters"
_THEIRS = frozenset({"multiclusterservices", "services", "endpointslices"})
_OTHERS = frozenset({"Namespace", "Deployment"})
LEASE_NAME = f"{SYSTEM_NAMESPACE}/{LEASE}"


async def _bed_up(world: World) -> str:
    await world.start_bed()
    planes = [world.bed.host, *world.bed.members.values()]
    version = (await world.host.raw("GET", "/version"))["gitVersion"]
    running = sum(process.running for process in world.bed.processes())
    return f"{listing([plane.name for plane in planes])}: Kubernetes {version}, {running} processes, TLS and RBAC on"


async def _installed(world: World) -> str:
    await karmada.install(world.bed)
    await world.follow()
    return f"served: {_KINDS}"


async def _joined(world: World) -> str:
    await karmada.join_all(world.bed)
    clusters = await world.host.list(CLUSTERS)
    require(len(clusters) == 2, f"{len(clusters)} Clusters")
    return listing([f"{each['metadata']['name']} at {each['spec']['apiEndpoint']}" for each in clusters])


def start(name: str, gates: str) -> Callable[[World], Awaitable[str]]:
    """Start the controller; what is seen is its command line."""

    async def observe(world: World) -> str:
        await world.start_controller(name, feature_gates=gates)
        return f"/healthz and /readyz say yes; {world.command_line()}"

    return observe


def leads(world: World) -> str:
    """Who holds the Lease."""
    lease = must(world.view.find(HOST, LEASES, SYSTEM_NAMESPACE, LEASE), f"Lease {LEASE_NAME}")
    holder = lease["spec"].get("holderIdentity")
    require(bool(holder), "held by nobody")
    return f"held by {holder}"


async def stop(world: World) -> str:
    """End the controller as Kubernetes would."""
    began = time.monotonic()
    code = await world.stop_controller()
    took = time.monotonic() - began
    lease = must(await world.host.find(LEASES, LEASE, namespace=SYSTEM_NAMESPACE), f"Lease {LEASE_NAME}")
    holder = lease["spec"].get("holderIdentity")
    state = f"exit code {code} after {took:.1f} s; Lease {LEASE_NAME} is held by {holder or 'nobody'}"
    require(code == 0 and not holder, state)
    return state


def _clusters_ready(world: World) -> str:
    names = []
    for name in (PROVIDER, CONSUMER):
        cluster = must(world.view.find(HOST, CLUSTERS, "", name), f"Cluster {name}")
        require(
            conditions(cluster).get("Ready", {}).get("status") == "True",
            f"{name}: {listing(condition_texts(cluster))}",
        )
        must(world.view.find(HOST, NAMESPACES, "", f"karmada-es-{name}"), f"namespace karmada-es-{name}")
        names.append(f"{name} Ready=True ({cluster['status'].get('kubernetesVersion', '')})")
    return listing(names)


async def apply_walkthrough(world: World) -> str:
    """Apply the objects that a reader applies."""
    applied = {(each["kind"], each["metadata"]["name"]): await world.host.apply(each) for each in manifests()}
    service, mcs = applied["Service", NAME], applied["MultiClusterService", NAME]
    world.seen |= {"service": service, "mcs": mcs}
    return f"{len(applied)} objects; resourceVersion {_version(service)} of the Service, {_version(mcs)} of the other"


def _propagated(world: World) -> str:
    """Deployments are where their policies say, and only there."""
    wanted = {PROVIDER: [NAME], CONSUMER: [CLIENT]}
    for member, names in wanted.items():
        there = [each["metadata"]["name"] for each in world.view.all(member, DEPLOYMENTS, NAMESPACE)]
        require(there == names, f"{member} has Deployments: {listing(there)}")
    pods = provider_pods(world)
    require(len(pods) == 2, f"{len(pods)} ready Pods in {PROVIDER}")
    return f"{NAME} in {PROVIDER}, with {len(pods)} Pods; {CLIENT} in {CONSUMER}"


async def _later_namespace(world: World) -> str:
    await world.host.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LATER_NAMESPACE}})

    def synced(world: World) -> str:
        for member in (PROVIDER, CONSUMER):
            must(world.view.find(member, NAMESPACES, "", LATER_NAMESPACE), f"namespace {LATER_NAMESPACE} in {member}")
        return f"it is in {PROVIDER} and {CONSUMER}: the controller has seen what came before it, and works"

    return await seen(f"namespace {LATER_NAMESPACE} in both members", synced)(world)


async def _nothing_written(world: World) -> str:
    """Everything the feature could have left behind: on the objects, beside them, and in the audit logs."""
    api = world.host
    mcs = must(await api.find(MULTICLUSTERSERVICES, NAME, namespace=NAMESPACE), "MultiClusterService")
    service = must(await api.find(SERVICES, NAME, namespace=NAMESPACE), "Service")
    works, bindings = await api.list(WORKS), await api.list(RESOURCEBINDINGS)
    selector = f"involvedObject.kind=MultiClusterService,involvedObject.name={NAME}"
    found = {
        "finalizers": list(mcs["metadata"].get("finalizers") or ()),
        "conditions": condition_texts(mcs),
        "changes of the MultiClusterService": _changes(world.seen["mcs"], mcs),
        "claim labels": [key for key in labels_of(service) if "karmada.io" in key],
        "claim annotations": [key for key in annotations_of(service) if "karmada.io" in key],
        "changes of the Service": _changes(world.seen["service"], service),
        "ResourceBindings": _names(each for each in bindings if each["spec"]["resource"]["kind"] != "Deployment"),
        "Works": _names(work for work in works if held(work).get("kind") not in _OTHERS),
        "events": [each["reason"] for each in await api.list("v1/events", field_selector=selector)],
    }
    for member in (PROVIDER, CONSUMER):
        for resource in (SERVICES, SLICES):
            objects = await world.member(member).list(resource, namespace=NAMESPACE)
            found[f"{resource.rpartition('/')[2]} in {member}"] = [name for name in _names(objects) if NAME in name]
    writes = [each for plane in (world.bed.host, *world.bed.members.values()) for each in _writes(plane)]
    requests = Counter(f"{each.verb} {each.uri}" for each in _of_the_feature(writes, [*works, *bindings]))
    found["requests by the controller"] = [f"{count} x {request}" for request, count in requests.items()]
    left = [f"{what}: {listing(some)}" for what, some in found.items() if some]
    kinds = sorted({f"{held(work)['kind']}s" for work in works})
    require(not left, "\n".join(["it left something behind", *left]))
    return (
        "MultiClusterService and Service as they were applied; no ResourceBinding of the Service, no event; "
        f"{len(works)} Works, of {' and '.join(kinds)} only; "
        f"audit logs: {len(writes)} writes by the controller, "
        f"all to {listing(sorted({each.resource for each in writes}))}, none of them for the feature"
    )


def _writes(plane: ControlPlane) -> Iterator[AuditEvent]:
    return (
        each for each in AuditLog(plane.audit_log).start().events() if each.user == CONTROLLER_USER and each.is_write
    )


def _of_the_feature(writes: list[AuditEvent], others: list[Object]) -> list[AuditEvent]:
    """Those writes that only the feature makes, whether they succeeded or not.

    The Works and ResourceBindings that there are, are others': of Namespaces and Deployments.
    """
    known = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in others}
    return [
        each
        for each in writes
        if each.resource in _THEIRS
        or (each.resource in ("works", "resourcebindings") and (each.namespace, each.name) not in known)
    ]


def _names(objects: Iterable[Object]) -> list[str]:
    return [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in objects]


def _changes(before: Object, after: Object) -> list[str]:
    return (
        [] if _version(before) == _version(after) else [f"resourceVersion {_version(before)} is {_version(after)} now"]
    )


def _version(of: Object) -> str:
    version: str = of["metadata"]["resourceVersion"]
    return version


SETTING = Chapter(
    title="A control plane and two members",
    about="Real etcd, kube-apiservers and kube-controller-managers; what would run in the Pods is played.",
    steps=(
        Step(
            title="API servers answer",
            looking_at=f"{HOST}, {PROVIDER}, {CONSUMER}",
            expected="each is ready and has its kube-controller-manager",
            observe=_bed_up,
        ),
        Step(
            title="Pods can reach each other",
            looking_at=f"nodes of {PROVIDER} and {CONSUMER}",
            expected="each is a network namespace with kube-proxy and CoreDNS; routes between the ranges of their Pods",
            observe=nodes,
            traffic=True,
        ),
        Step(
            title="Manifests are applied",
            looking_at=f"manifests/ on {HOST}",
            expected="the new kinds are served",
            observe=_installed,
        ),
        Step(
            title="Members are registered",
            looking_at=f"Clusters {PROVIDER} and {CONSUMER} on {HOST}",
            expected="both Clusters, each with a Secret that holds a token and a CA",
            observe=_joined,
        ),
    ),
)

GATE_OFF = Chapter(
    title="Without the feature gate nothing is written",
    about=f"The controller runs as a user would start it; its gate {GATE} is off by default.",
    commands=(
        f"kubectl --context {HOST} apply -f {EXAMPLE}/",
        f"kubectl --context {HOST} create namespace {LATER_NAMESPACE}",
    ),
    steps=(
        Step(
            title="The controller starts",
            looking_at="process mcs-controller-manager",
            expected="its probes say that it is ready",
            observe=start("controller-gate-off", ""),
        ),
        Step(
            title="It leads",
            looking_at=f"Lease {LEASE_NAME} on {HOST}",
            expected="held by the controller",
            observe=seen("the Lease to be held", leads),
        ),
        Step(
            title="The walkthrough's objects are applied",
            looking_at=f"Deployments {NAME} and {CLIENT} with a PropagationPolicy each, Service and "
            f"MultiClusterService {NAME}, in {NAMESPACE} on {HOST}",
            expected="accepted",
            observe=apply_walkthrough,
        ),
        Step(
            title="The members become ready",
            looking_at=f"Clusters {PROVIDER} and {CONSUMER} on {HOST}",
            expected="Ready=True, and an execution namespace for each",
            observe=seen("both Clusters to be ready", _clusters_ready),
            made_by="cluster-status-controller",
        ),
        Step(
            title="The Deployments run where their policies say",
            looking_at=f"Deployments {NAME} and {CLIENT} in {PROVIDER} and {CONSUMER}",
            expected=f"{NAME} in {PROVIDER} with 2 Pods, {CLIENT} in {CONSUMER}: policies do not need the gate",
            observe=seen("the Deployments", _propagated),
            made_by="propagation-policy-controller",
        ),
        Step(
            title="A namespace made after all this reaches both members",
            looking_at=f"Namespace {LATER_NAMESPACE} in {PROVIDER} and {CONSUMER}",
            expected="there",
            observe=_later_namespace,
            made_by="namespace-sync-controller",
        ),
        Step(
            title="Nothing was written for the MultiClusterService",
            looking_at=f"everything about {NAMESPACE}/{NAME} on {HOST}, {PROVIDER}, {CONSUMER}, and their audit logs",
            expected="no finalizer, condition, claim, ResourceBinding, Work or event of it; no Service, no "
            "EndpointSlice; no request that would have written one",
            observe=_nothing_written,
        ),
        Step(
            title=COMMAND,
            looking_at=f"Pod {NAMESPACE}/{{client}} in {CONSUMER}",
            expected=f"no answer: {CONSUMER} has no such Service",
            observe=asked_before,
            traffic=True,
        ),
        Step(
            title="The controller stops on SIGTERM",
            looking_at=f"process mcs-controller-manager, Lease {LEASE_NAME} on {HOST}",
            expected="exit code 0, the Lease released",
            observe=stop,
        ),
    ),
)
