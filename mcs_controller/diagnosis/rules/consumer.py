"""Rules about the consumers: the Service and the EndpointSlices that their Pods use."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.chain import (
    all_endpoints,
    by_age,
    copied_slices,
    dispatched_work,
    endpoints_of,
    is_about,
    kubectl,
    manifest_of,
    offered,
    own_slices,
    works_in,
)
from mcs_controller.diagnosis.rules.delivery import NOT_DONE, member_object, refusals
from mcs_controller.diagnosis.rules.leases import restart
from mcs_controller.diagnosis.rules.objects import patch_command
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import (
    CLUSTERS,
    MULTICLUSTERSERVICES,
    NAMESPACES,
    NODES,
    SERVICES,
    SLICES,
    annotations_of,
    condition,
    dig,
    items,
    labels_of,
    text,
)
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object, World

_ZONE: Final = "topology.kubernetes.io/zone"
_HOSTNAME: Final = "kubernetes.io/hostname"


@rule(
    "MCS070",
    "The namespace is missing in a consumer",
    Link.CONSUMER,
    Scope.CONSUMER,
    meaning="A Service and its EndpointSlices need their namespace. It is not propagated to the consumer: it is "
    "excluded (label namespace.karmada.io/skip-auto-propagation, flag --skipped-propagating-namespaces), or was "
    "deleted in the member.",
    evidence="The namespace in the consumer, and its labels in the control plane.",
    fix="Create the namespace in the consumer. One that is being deleted is made anew when it is gone.",
    no_command="while the namespace is being deleted: a deletion cannot be taken back, and the command shows what it "
    "waits for.",
)
def namespace_missing(context: Context) -> Iterator[Finding]:
    """Or it is being deleted, until all that is in it is gone. A label that excludes it has a rule of its own."""
    world, consumer = context.world, context.cluster
    ref = ObjectRef(consumer, wk.NAMESPACE_KIND, world.namespace)
    there = world.snapshot(consumer).get(NAMESPACES, world.namespace)
    ours = world.host.get(NAMESPACES, world.namespace)
    if there is None:
        skipped = labels_of(ours).get(wk.SKIP_AUTO_PROPAGATION, "").lower() == wk.TRUE
        label = f"; in the control plane it has the label {wk.SKIP_AUTO_PROPAGATION}" if skipped else ""
        found = context.found(
            ref,
            f"{consumer} has no namespace {world.namespace}",
            evidence=f"GET namespaces/{world.namespace}: 404{label}",
            fix=kubectl(world, consumer, "create", "namespace", world.namespace),
            severity=by_age(world, ours),
        )
        yield replace(found, symptom=skipped)
    elif text(there, "metadata", "deletionTimestamp"):
        words = [text(one, "message") for one in items(there, "status", "conditions") if text(one, "status") == "True"]
        yield context.found(
            ref,
            f"namespace {world.namespace} of {consumer} is being deleted",
            evidence="; ".join(words) or f"deleted at {text(there, 'metadata', 'deletionTimestamp')}",
            fix=kubectl(world, consumer, "describe", "namespace", world.namespace),
            severity=by_age(world, there),
        )


@rule(
    "MCS071",
    "The Service is missing in a consumer",
    Link.CONSUMER,
    Scope.CONSUMER,
    symptom=True,
    meaning="Without the Service the consumer has neither a name nor an address for it.",
    evidence="The Service in the consumer.",
    fix=NOT_DONE,
)
def service_missing(context: Context) -> Iterator[Finding]:
    """It is put there by a Work."""
    world, consumer = context.world, context.cluster
    if world.snapshot(consumer).get(SERVICES, world.name, world.namespace) is None:
        yield context.found(
            ObjectRef(consumer, wk.SERVICE_KIND, world.name, world.namespace),
            f"{consumer} has no Service {world.name}",
            evidence=f"GET services/{world.name}: 404",
            fix=restart(world, consumer, executes=True),
            severity=by_age(world, world.mcs, world.template),
        )


@rule(
    "MCS072",
    "Endpoints of a provider are missing in a consumer",
    Link.CONSUMER,
    Scope.PAIR,
    symptom=True,
    meaning="The consumer's EndpointSlices do not have the endpoints that the provider has.",
    evidence="The EndpointSlices of the Service in both clusters.",
    fix=NOT_DONE,
)
def endpoints_missing(context: Context) -> Iterator[Finding]:
    """It compares addresses, not objects."""
    world, provider, consumer = context.world, context.provider, context.cluster
    own, there = own_slices(world, provider), copied_slices(world, provider, consumer)
    wanted: set[str] = set()
    for one in own:
        work = dispatched_work(world, provider, consumer, one)
        wanted |= endpoints_of(one if offered(work) == wk.OFFERED_WHOLE else manifest_of(work or {}), provider).keys()
    if missing := wanted - all_endpoints(there, provider).keys():
        yield context.found(
            ObjectRef(consumer, wk.SLICE_KIND, "", world.namespace),
            f"{len(missing)} addresses of {provider} are not in {consumer}",
            evidence=f"missing: {', '.join(sorted(missing)[:5])}",
            fix=restart(world, consumer, executes=True),
            severity=by_age(world, world.mcs, *own, *there),
        )


@rule(
    "MCS073",
    "An object of somebody else is in the way in a member",
    Link.CONSUMER,
    Scope.MEMBER,
    meaning="The member has a Service or an EndpointSlice of that name which was not made here. It is not overwritten.",
    evidence="Condition Applied of the Work, which says whose the object is.",
    fix="Delete the object, or allow it to be overwritten; see docs/member-ownership.md for a member of another "
    "control plane.",
)
def foreign_object(context: Context) -> Iterator[Finding]:
    """Whoever owns a member has a rule of its own: here it is a consequence."""
    world, cluster = context.world, context.cluster
    for work, _, words in refusals(world, cluster, context.rule.code):
        ref = member_object(cluster, work)
        owner = re.search(r"control plane ([0-9a-f-]{36})", _owned_by(world, cluster))
        is_elsewhere = "another control plane" in words
        if is_elsewhere and owner:
            fix = kubectl(world, CONTROL_PLANE, "annotate", "cluster", cluster, f"{wk.TAKE_OVER}={owner[1]}")
        elif ref.kind == wk.SERVICE_KIND and not is_elsewhere and "another Work already" not in words:
            mark = f"{wk.CONFLICT_RESOLUTION}={wk.CONFLICT_OVERWRITE}"
            annotate = ("-n", world.namespace, "annotate", "--overwrite", "service", world.name, mark)
            fix = kubectl(world, CONTROL_PLANE, *annotate)
        else:
            fix = kubectl(world, cluster, "-n", ref.namespace, "delete", ref.kind.lower(), ref.name)
        found = context.found(
            ref, f"{ref.kind} {ref.name} of {cluster} belongs to somebody else", evidence=words, fix=fix
        )
        yield replace(found, symptom=is_elsewhere)
        return


def _owned_by(world: World, cluster: str) -> str:
    return text(condition(world.host.get(CLUSTERS, cluster), wk.MEMBER_OWNED), "message")


@rule(
    "MCS074",
    "The Service of a consumer differs from the control plane's",
    Link.CONSUMER,
    Scope.CONSUMER,
    symptom=True,
    meaning="Somebody has changed ports or type in the consumer, and it is not changed back; or a change of the "
    "control plane's Service has not arrived.",
    evidence="spec.type and spec.ports of both.",
    fix=f"Change the Service in the control plane, never in a member. {NOT_DONE}",
)
def service_differs(context: Context) -> Iterator[Finding]:
    """Fields that members set by themselves are not compared."""
    world, consumer = context.world, context.cluster
    there = world.snapshot(consumer).get(SERVICES, world.name, world.namespace)
    template = world.template
    if there is None or template is None:
        return
    wanted, found = _shape(template), _shape(there)
    if wanted != found:
        yield context.found(
            ObjectRef(consumer, wk.SERVICE_KIND, world.name, world.namespace),
            f"Service {world.name} of {consumer} has other ports, or another type, than in the control plane",
            evidence=f"spec of the control plane: {wanted}; of {consumer}: {found}",
            fix=restart(world, consumer, executes=True),
            severity=by_age(world, template, there),
        )


def _shape(service: Object) -> tuple[str, list[tuple[Any, ...]]]:
    """Type and ports, with the defaults of Kubernetes."""
    ports = [
        (
            text(one, "name"),
            dig(one, "port"),
            text(one, "protocol") or "TCP",
            dig(one, "targetPort") or dig(one, "port"),
        )
        for one in items(service, "spec", "ports")
    ]
    return text(service, "spec", "type") or "ClusterIP", sorted(ports, key=str)


@rule(
    "MCS075",
    "Topology hints name no zone or node of a consumer",
    Link.CONSUMER,
    Scope.CONSUMER,
    severity=Severity.INFO,
    meaning="trafficDistribution or topology hints of the provider prefer places that the consumer does not have. "
    "kube-proxy then uses all endpoints.",
    evidence="hints.forZones and hints.forNodes of the EndpointSlices against the labels of the consumer's nodes.",
    fix="Nothing, or leave out trafficDistribution; --strip-topology leaves the hints out.",
    no_command="because nothing is wrong.",
)
def hints_elsewhere(context: Context) -> Iterator[Finding]:
    """Nodes are looked at only if there are hints."""
    world, consumer = context.world, context.cluster
    hinted = {
        text(hint, "name")
        for one in world.snapshot(consumer).list(SLICES, world.namespace)
        if is_about(one, world.name) and wk.PROVISION_CLUSTER in annotations_of(one)
        for endpoint in items(one, "endpoints")
        for field in ("forZones", "forNodes")
        for hint in items(endpoint, "hints", field)
    }
    if not hinted:
        return
    places = {
        labels_of(one).get(label, "") for one in world.snapshot(consumer).list(NODES) for label in (_ZONE, _HOSTNAME)
    }
    if not hinted & places:
        yield context.found(
            ObjectRef(consumer, wk.SLICE_KIND, "", world.namespace),
            f"topology hints of {world.name} are ignored in {consumer}: it has no such zone or node",
            evidence=f"hints: {', '.join(sorted(hinted)[:5])}",
        )


@rule(
    "MCS076",
    "No endpoint is ready in a consumer, although some are in the provider",
    Link.CONSUMER,
    Scope.PAIR,
    symptom=True,
    meaning="The consumer's EndpointSlices have the addresses, and an older state of them.",
    evidence="conditions.ready of the endpoints in both clusters.",
    fix=NOT_DONE,
)
def none_ready(context: Context) -> Iterator[Finding]:
    """Of a provider whose addresses are there."""
    world, provider, consumer = context.world, context.provider, context.cluster
    own, copies = own_slices(world, provider), copied_slices(world, provider, consumer)
    here, there = all_endpoints(own, provider), all_endpoints(copies, provider)
    ready = sorted(address for address, is_ready in here.items() if is_ready)
    if ready and there and not any(there.values()):
        yield context.found(
            ObjectRef(consumer, wk.SLICE_KIND, "", world.namespace),
            f"no endpoint of {provider} is ready in {consumer}",
            evidence=f"ready in {provider}: {', '.join(ready[:5])}",
            fix=restart(world, consumer, executes=True),
            severity=by_age(world, world.mcs, *own, *copies),
        )


@rule(
    "MCS077",
    "A consumer has endpoints of its own",
    Link.CONSUMER,
    Scope.CONSUMER,
    severity=Severity.WARNING,
    meaning="The consumer is no provider, and has Pods or EndpointSlices of its own for the Service: requests go to "
    "these, too.",
    evidence="EndpointSlices of the Service in the consumer that are no copies.",
    fix="Make the consumer a provider, too, or remove these endpoints. If it is the only consumer, the command makes "
    "it a provider: nobody gets other endpoints by that.",
    no_command="if there are other consumers: whether they are to get these endpoints is for people to say. The "
    "command shows them.",
)
def mixed_endpoints(context: Context) -> Iterator[Finding]:
    """Kubernetes itself makes an empty slice for a selector that matches nothing."""
    world, consumer = context.world, context.cluster
    if consumer in world.providers or any(wk.OFFERED in annotations_of(one) for one in works_in(world, consumer)):
        return  # with tiers they are meant to answer
    provide = {"op": "add", "path": "/spec/providerClusters/-", "value": {"name": consumer}}
    for one in own_slices(world, consumer):
        if addresses := all_endpoints([one], consumer):
            name, manager = text(one, "metadata", "name"), labels_of(one).get(wk.SLICE_MANAGED_BY, "nobody")
            yield context.found(
                ObjectRef(consumer, wk.SLICE_KIND, name, world.namespace),
                f"{consumer} answers {world.name} by endpoints of its own, too, and is no provider",
                evidence=f"{', '.join(sorted(addresses)[:5])}, managed by {manager}",
                fix=patch_command(world.kubectl(), MULTICLUSTERSERVICES, world.mcs or {}, [provide])
                if {*world.consumers} == {consumer} and not world.from_cluster
                else kubectl(world, consumer, "-n", world.namespace, "get", "endpointslice", name, "-o", "yaml"),
            )
            return
