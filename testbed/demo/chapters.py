"""The chapters of the demo: the test bed, the controller without its feature gate, and the walkthrough itself."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from testbed import karmada
from testbed.audit import AuditLog
from testbed.demo import traffic
from testbed.karmada import CONTROLLER_USER, SYSTEM_NAMESPACE
from testbed.walkthrough import (
    APPLY,
    CLIENT,
    CLUSTERS,
    CONSUMER,
    DELETE,
    DELETED,
    DEPLOYMENTS,
    HOST,
    LEASE,
    LEASES,
    MULTICLUSTERSERVICES,
    NAME,
    NAMESPACE,
    NAMESPACES,
    PROVIDER,
    RESOURCEBINDINGS,
    SCALE,
    SERVICES,
    SHARED,
    SLICES,
    WORKS,
    Scene,
    Step,
    condition_texts,
    held,
    is_ready,
    labels_of,
    listing,
    manifests,
    pods_ready,
    require,
    scaled,
    stayed,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbed.api import Object
    from testbed.audit import AuditEvent
    from testbed.demo.world import World

GATE = "MultiClusterService"
LATER_NAMESPACE = "made-after-the-walkthrough"
PROCESS = "process mcs-controller-manager"
LEASE_NAME = f"Lease {SYSTEM_NAMESPACE}/{LEASE} on {HOST}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Steps that belong together.

    Attributes:
        title: a few words.
        about: one sentence.
        steps: in the order in which one follows from the other.
        together: all steps are observed at the same time, so that each is noticed when it happens; otherwise in turn.
        commands: what a person would type.
    """

    title: str
    about: str
    steps: tuple[Step, ...]
    together: bool = False
    commands: tuple[str, ...] = ()


def chapters(*, dataplane: bool) -> list[Chapter]:
    """All chapters, without the steps that this machine cannot show."""
    return [
        replace(each, steps=tuple(step for step in each.steps if dataplane or not step.dataplane)) for each in CHAPTERS
    ]


# --- the test bed and the controller ---------------------------------------------------------------------------------


@step("API servers answer", f"{HOST}, {PROVIDER}, {CONSUMER}", "each is ready and has its kube-controller-manager")
async def bed_up(world: World) -> str:
    """Start the API servers."""
    await world.start_bed()
    version = (await world.host.raw("GET", "/version"))["gitVersion"]
    running = sum(process.running for process in world.bed.processes())
    names = listing([plane.name for plane in world.planes()])
    return f"{names}: Kubernetes {version}, {running} processes, TLS and RBAC on"


@step("Manifests are applied", f"manifests/ on {HOST}", "the new kinds are served")
async def installed(world: World) -> str:
    """Apply the manifests."""
    await world.install()
    return "served: multiclusterservices, propagationpolicies, works, resourcebindings, clusters"


@step("Members are registered", f"Clusters {PROVIDER} and {CONSUMER} on {HOST}", "each has a Secret with token and CA")
async def joined(world: World) -> str:
    """Register the members."""
    await karmada.join_all(world.bed)
    clusters = await world.host.list(CLUSTERS)
    require(len(clusters) == 2, f"{len(clusters)} Clusters")
    return listing([f"{each['metadata']['name']} at {each['spec']['apiEndpoint']}" for each in clusters])


def started(name: str, gates: str) -> Step:
    """Start the controller; its command line is shown."""

    async def observe(world: World) -> str:
        await world.start_controller(name, gates)
        return f"/healthz and /readyz answer ok; {world.command_line()}"

    return Step("started", "The controller starts", PROCESS, "it is ready", observe)


@step("It leads", LEASE_NAME, "held by the controller")
def leads(scene: Scene) -> str:
    """The holder of the Lease."""
    holder = scene.get(HOST, LEASES, LEASE, SYSTEM_NAMESPACE)["spec"].get("holderIdentity")
    require(bool(holder), "it has no holder")
    return f"held by {holder}"


@step("The controller stops on SIGTERM", f"{PROCESS}, {LEASE_NAME}", "exit code 0, the Lease released")
async def stopped(world: World) -> str:
    """End the controller as Kubernetes would."""
    began = time.monotonic()
    code = await world.stop_controller()
    took = time.monotonic() - began
    lease = await world.host.get(LEASES, LEASE, namespace=SYSTEM_NAMESPACE)
    holder = lease["spec"].get("holderIdentity")
    state = f"exit code {code} after {took:.1f} s; {LEASE_NAME} is held by {holder or 'nobody'}"
    require(code == 0 and not holder, state)
    return state


# --- without the feature gate ----------------------------------------------------------------------------------------


@step(
    "The walkthrough's objects are applied",
    f"Deployments, PropagationPolicies, Service and MultiClusterService in {NAMESPACE} on {HOST}",
    "accepted",
)
async def applied(world: World) -> str:
    """Apply the objects that a reader applies."""
    objects = [await world.host.apply(each) for each in manifests()]
    world.seen |= {each["kind"]: each for each in objects if each["metadata"]["name"] == NAME}
    return f"{len(objects)} objects"


@step(
    "The members become ready",
    f"Clusters {PROVIDER} and {CONSUMER} on {HOST}",
    "Ready=True, and an execution namespace for each",
    "cluster-status-controller",
)
def members_ready(scene: Scene) -> str:
    """The condition Ready of both Clusters."""
    told = []
    for name in (PROVIDER, CONSUMER):
        cluster = scene.get(HOST, CLUSTERS, name, "")
        require(is_ready(cluster), f"{name}: {listing(condition_texts(cluster))}")
        scene.get(HOST, NAMESPACES, f"karmada-es-{name}", "")
        told.append(f"{name} Ready=True ({cluster['status'].get('kubernetesVersion', '')})")
    return listing(told)


@step(
    "The Deployments run where their policies say",
    f"Deployments {NAME} and {CLIENT} in {PROVIDER} and {CONSUMER}",
    f"{NAME} in {PROVIDER} with 2 Pods, {CLIENT} in {CONSUMER}: policies do not need the gate",
    "propagation-policy-controller",
)
def propagated(scene: Scene) -> str:
    """Each Deployment is in one member."""
    for member, name in ((PROVIDER, NAME), (CONSUMER, CLIENT)):
        there = [each["metadata"]["name"] for each in scene.view.all(member, DEPLOYMENTS, NAMESPACE)]
        require(there == [name], f"{member} has Deployments: {listing(there)}")
    return f"{NAME} in {PROVIDER}, {CLIENT} in {CONSUMER}; Pods {pods_ready(2)(scene)}"


@step(
    "A later namespace reaches both members",
    f"Namespace {LATER_NAMESPACE} in {PROVIDER} and {CONSUMER}",
    "exists",
    "namespace-sync-controller",
)
async def later_namespace(world: World) -> str:
    """A change after everything else: the controller works, and has seen what came before."""
    await world.host.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LATER_NAMESPACE}})

    def synced(scene: Scene) -> str:
        for member in (PROVIDER, CONSUMER):
            scene.get(member, NAMESPACES, LATER_NAMESPACE, "")
        return f"it is in {PROVIDER} and {CONSUMER}: the controller works, and has seen everything before it"

    return await world.until(f"namespace {LATER_NAMESPACE} in both members", synced)


@step(
    "Nothing was written for the MultiClusterService",
    f"all objects of {NAMESPACE}/{NAME} on {HOST}, {PROVIDER}, {CONSUMER}, and the audit logs",
    "no change of MultiClusterService or Service; no other object, and no request that would have written one",
)
async def nothing_written(world: World) -> str:
    """All traces that the feature can leave: on objects, as objects, and in the audit logs."""
    api = world.host
    mcs = await api.get(MULTICLUSTERSERVICES, NAME, namespace=NAMESPACE)
    service = await api.get(SERVICES, NAME, namespace=NAMESPACE)
    works = [*await api.list(WORKS)]
    bindings = await api.list(RESOURCEBINDINGS)
    selector = f"involvedObject.kind=MultiClusterService,involvedObject.name={NAME}"
    found: dict[str, Sequence[str]] = {
        "finalizers": mcs["metadata"].get("finalizers") or (),
        "conditions": condition_texts(mcs),
        "claim labels": [key for key in labels_of(service) if "karmada.io" in key],
        "changes of the MultiClusterService": _changes(world.seen["MultiClusterService"], mcs),
        "changes of the Service": _changes(world.seen["Service"], service),
        "ResourceBindings": _names(each for each in bindings if each["spec"]["resource"]["kind"] != "Deployment"),
        "Works": _names(work for work in works if held(work).get("kind") not in {"Namespace", "Deployment"}),
        "events": [each["reason"] for each in await api.list("v1/events", field_selector=selector)],
    }
    for member in world.bed.members.values():
        for resource in (SERVICES, SLICES):
            objects = await member.api.list(resource, namespace=NAMESPACE)
            found[f"{resource} in {member.name}"] = [name for name in _names(objects) if NAME in name]
    writes = [
        event
        for plane in world.planes()
        for event in AuditLog(plane.audit_log).start().events()
        if event.user == CONTROLLER_USER and event.is_write
    ]
    requests = Counter(f"{each.verb} {each.uri}" for each in _of_the_feature(writes, [*works, *bindings]))
    found["requests by the controller"] = [f"{count} x {request}" for request, count in requests.items()]
    left = [f"{what}: {listing(some)}" for what, some in found.items() if some]
    require(not left, "\n".join(["the controller wrote", *left]))
    return (
        "MultiClusterService and Service as they were applied, no ResourceBinding of the Service, no event; "
        f"{len(works)} Works, of Deployments and Namespaces only; {len(writes)} writes by the controller, "
        f"all to {listing(sorted({each.resource for each in writes}))}, none of them for the feature"
    )


def _of_the_feature(writes: list[AuditEvent], others: list[Object]) -> Iterable[AuditEvent]:
    """The writes that only the feature makes, successful or not; other controllers write these other objects."""
    known = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in others}
    return (
        each
        for each in writes
        if each.resource in {"multiclusterservices", "services", "endpointslices"}
        or (each.resource in {"works", "resourcebindings"} and (each.namespace, each.name) not in known)
    )


def _names(objects: Iterable[Object]) -> list[str]:
    return [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in objects]


def _changes(before: Object, after: Object) -> list[str]:
    old, new = before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]
    return [] if old == new else [f"resourceVersion {old} became {new}"]


# --- the walkthrough -------------------------------------------------------------------------------------------------


def _scale(replicas: int) -> Step:
    async def observe(world: World) -> str:
        body = {"spec": {"replicas": replicas}}
        answer = await world.host.patch(DEPLOYMENTS, NAME, body, namespace=NAMESPACE, subresource="scale")
        return f"replicas {answer['spec']['replicas']}"

    looking_at = f"Deployment {NAMESPACE}/{NAME} on {HOST}"
    return Step("scale", f"Deployment scaled to {replicas}", looking_at, "accepted", observe)


@step("MultiClusterService deleted", f"MultiClusterService {NAMESPACE}/{NAME} on {HOST}", "accepted")
async def deleted(world: World) -> str:
    """Delete the MultiClusterService."""
    await world.host.delete(MULTICLUSTERSERVICES, NAME, namespace=NAMESPACE)
    return "accepted"


def _followed(replicas: int, about: str, steps: Iterable[Step]) -> Chapter:
    """A change of the number of Pods."""
    return Chapter(
        title=f"Scaled to {replicas}, and the consumer follows",
        about=about,
        commands=(f"{SCALE}{replicas}",),
        together=True,
        steps=(_scale(replicas), *steps),
    )


CHAPTERS = (
    Chapter(
        title="A control plane and two members",
        about="Real etcd, kube-apiservers and kube-controller-managers; the Pods' programs are simulated.",
        steps=(
            bed_up,
            Step(
                "nodes",
                "Pods can reach each other",
                f"nodes of {PROVIDER} and {CONSUMER}",
                "each is a network namespace with kube-proxy and CoreDNS; the Pod networks are connected",
                traffic.nodes,
                dataplane=True,
            ),
            installed,
            joined,
        ),
    ),
    Chapter(
        title="Without the feature gate nothing is written",
        about=f"The controller runs as a user starts it; its feature gate {GATE} is off by default.",
        commands=(APPLY, f"kubectl --context {HOST} create namespace {LATER_NAMESPACE}"),
        steps=(
            started("controller-gate-off", ""),
            leads,
            applied,
            members_ready,
            propagated,
            later_namespace,
            nothing_written,
            traffic.unknown,
            stopped,
        ),
    ),
    Chapter(
        title="With the gate, the Service of member1 gets to member2",
        about="The controller is started again, with one more flag. Times count from its start.",
        together=True,
        steps=(started("controller", f"{GATE}=true"), leads, *SHARED, traffic.proxied, traffic.answered),
    ),
    _followed(
        3,
        "One write of each Work on the control plane, one write of the slice in the consumer.",
        (*scaled(3), *traffic.measured(3)),
    ),
    _followed(
        1,
        "Pods that stop are removed at once, whether they still answer for a while or not.",
        (*(replace(each, hop="") for each in scaled(1)), *traffic.fewer(1)),
    ),
    Chapter(
        title="The MultiClusterService is deleted",
        about="The objects made for it go; the Service stays in the members, because of its ResourceBinding.",
        commands=(DELETE,),
        together=True,
        steps=(deleted, *DELETED, traffic.no_endpoints),
    ),
    Chapter(
        title="What stays, and the end",
        about="The objects that do not belong to the MultiClusterService are as they were.",
        steps=(stayed, stopped),
    ),
)
