"""Rules about what users declared: the MultiClusterService, its Service, and policies beside them."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.objects import (
    age,
    apply_command,
    did_you_mean,
    has_labels,
    named,
    patch_command,
    pod_labels,
    release_command,
    reserved_problem,
    selects,
    texts,
    unchanged,
    unless_young,
    where,
)
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import (
    BINDINGS,
    DEPLOYMENTS,
    EVENTS,
    MULTICLUSTERSERVICES,
    NAMESPACES,
    PODS,
    POLICIES,
    SERVICES,
    STATEFULSETS,
    annotations_of,
    condition,
    dig,
    items,
    labels_of,
    mapping,
    text,
)
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.durations import parse_duration
from mcs_controller.domain.naming import binding_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object, World

_FIELDS = ("providerClusters", "consumerClusters")


@rule(
    "MCS030",
    "The Service has no MultiClusterService",
    Link.DECLARATION,
    Scope.WORLD,
    meaning="Nothing asks for this Service to be reachable from other clusters.",
    evidence="The MultiClusterServices of its namespace in the control plane.",
    fix="Create a MultiClusterService of the same name, or correct the name.",
)
def no_multiclusterservice(context: Context) -> Iterator[Finding]:
    """With the name that was probably meant."""
    world = context.world
    if world.service is None or world.mcs is not None:
        return
    others = [text(mcs, "metadata", "name") for mcs in world.host.list(MULTICLUSTERSERVICES, world.namespace)]
    meant = did_you_mean(world.name, others)
    manifest = {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": world.name, "namespace": world.namespace},
        "spec": {"types": ["CrossCluster"]},
    }
    yield context.found(
        ObjectRef(CONTROL_PLANE, "MultiClusterService", world.name, world.namespace),
        "there is no MultiClusterService of this name" + (f"; did you mean {meant}?" if meant else ""),
        evidence=f"MultiClusterServices in namespace {world.namespace}: {', '.join(sorted(others)) or 'none'}",
        fix=f"{world.mcsctl} doctor -n {world.namespace} {shlex.quote(meant)}"
        if meant
        else apply_command(world.kubectl(), manifest),
    )


@rule(
    "MCS031",
    "The control plane does not have the Service",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="A MultiClusterService propagates the Service of its name and namespace in the control plane. "
    "There is none.",
    evidence="The Services of that name in the control plane and in the members.",
    fix="Create the Service in the control plane, in the namespace of the MultiClusterService.",
)
def service_missing(context: Context) -> Iterator[Finding]:
    """It says where there is one."""
    world = context.world
    if world.template is not None:
        return
    elsewhere = [f"namespace {text(one, 'metadata', 'namespace')}" for one in world.host.list(SERVICES)]
    copies = [f"cluster {name}" for name in sorted(world.members) if _copy(context, name)]
    found = f"; it is in {', '.join(sorted(elsewhere) + copies)}" if elsewhere or copies else ""
    yield context.found(
        ObjectRef(CONTROL_PLANE, "Service", world.name, world.namespace),
        f"the control plane has no Service {world.namespace}/{world.name}{found}",
        evidence=f"GET services/{world.name}: 404",
        fix=apply_command(world.kubectl(), _template(context)),
    )


def _copy(context: Context, cluster: str) -> Object | None:
    """The Service in a member, if it can be seen."""
    snapshot = context.world.members.get(cluster)
    if snapshot is None or snapshot.why_unseen(SERVICES):
        return None
    return snapshot.get(SERVICES, context.world.name, context.world.namespace)


def _template(context: Context) -> Object:
    """The Service to create: like the one of a member, or of another namespace; else a guess."""
    world = context.world
    models = [copy for name in sorted(world.members) if (copy := _copy(context, name)) is not None]
    model = next(iter([*models, *world.host.list(SERVICES)]), None)
    ports = [
        {name: port[name] for name in ("name", "port", "targetPort", "protocol") if name in port}
        for port in items(model, "spec", "ports")
        if isinstance(port, dict)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": world.name, "namespace": world.namespace},
        "spec": {
            "selector": mapping(model, "spec", "selector") if model is not None else {"app": world.name},
            "ports": ports or [{"name": "http", "port": 80}],
        },
    }


@rule(
    "MCS033",
    "A provider or consumer is not registered",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="The MultiClusterService names a cluster that has no Cluster object: it gets, or gives, nothing.",
    evidence="spec.providerClusters and spec.consumerClusters against the Clusters of the control plane.",
    fix="Correct the name, or register the cluster.",
)
def cluster_not_registered(context: Context) -> Iterator[Finding]:
    """One finding for each field, with a patch that corrects all names in it that are like registered ones."""
    world = context.world
    known = world.clusters
    for field in _FIELDS:
        names = [text(one, "name") for one in items(world.mcs, "spec", field)]
        unknown = [name for name in names if name not in known]
        if not unknown:
            continue
        meant = {name: did_you_mean(name, known) for name in unknown}
        corrected = list(dict.fromkeys(meant.get(name) or name for name in names))
        patch = {"spec": {field: [{"name": name} for name in corrected]}}
        hints = "; ".join(f"did you mean {guess} for {name}?" for name, guess in meant.items() if guess)
        yield context.found(
            ObjectRef(CONTROL_PLANE, "MultiClusterService", world.name, world.namespace),
            f"spec.{field} names {', '.join(unknown)}: no such Cluster is registered{'; ' * bool(hints)}{hints}",
            evidence=f"registered: {', '.join(known) or 'none'}",
            fix=patch_command(world.kubectl(), MULTICLUSTERSERVICES, _the_mcs(world), patch)
            if all(meant.values())
            else join_command(world, next(name for name, guess in meant.items() if not guess)),
        )


def join_command(world: World, cluster: str) -> str:
    """A command that registers a cluster, if its context is called like it."""
    name = shlex.quote(cluster)
    return f"{world.mcsctl} join {name} --cluster-context {name}"


def _the_mcs(world: World) -> Object:
    """The MultiClusterService, which is there in rules about a service."""
    return world.mcs or {}


def _mcs_ref(world: World) -> ObjectRef:
    return ObjectRef(CONTROL_PLANE, wk.MCS_KIND, world.name, world.namespace)


def _service_ref(world: World) -> ObjectRef:
    return ObjectRef(CONTROL_PLANE, wk.SERVICE_KIND, world.name, world.namespace)


@rule(
    "MCS032",
    "The type of the MultiClusterService is not served",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="Only type CrossCluster brings endpoints to other clusters. LoadBalancer is left to external providers, "
    "and nothing is done for it here.",
    evidence="spec.types of the MultiClusterService.",
    fix="The types cannot be changed: make the MultiClusterService anew, with type CrossCluster.",
)
def type_not_served(context: Context) -> Iterator[Finding]:
    """The fix keeps the rest of the spec."""
    world, mcs = context.world, _the_mcs(context.world)
    if "CrossCluster" in items(mcs, "spec", "types"):
        return
    kept = {key: value for key, value in annotations_of(mcs).items() if not key.startswith("kubectl.kubernetes.io/")}
    manifest = {
        "apiVersion": wk.MCS_API_VERSION,
        "kind": wk.MCS_KIND,
        "metadata": {"name": world.name, "namespace": world.namespace, "annotations": kept},
        "spec": {**mapping(mcs, "spec"), "types": ["CrossCluster"]},
    }
    types = ", ".join(texts(mcs, "spec", "types")) or "none"
    yield context.found(
        _mcs_ref(world),
        f"nothing is done here for spec.types: {types}; CrossCluster is the type that is served",
        evidence=f"spec.types: {types}",
        fix=f"echo {shlex.quote(json.dumps(manifest))} | {world.kubectl()} replace --force -f -",
    )


@rule(
    "MCS034",
    "No cluster gets endpoints of another one",
    Link.DECLARATION,
    Scope.SERVICE,
    severity=Severity.INFO,
    meaning="Consumers and providers are the same single cluster: its Service has its own Pods, and nothing is sent. "
    "It is an error if the cluster of `--from` is no consumer.",
    evidence="spec.providerClusters and spec.consumerClusters, and the registered Clusters.",
    fix="Name the cluster where the Service is to be reached in spec.consumerClusters.",
)
def nothing_to_send(context: Context) -> Iterator[Finding]:
    """Not about fields that name no registered cluster: another rule is."""
    world = context.world
    everywhere = replace(world, from_cluster="").consumers
    fields = f"providers: {', '.join(world.providers)}; consumers: {', '.join(everywhere)}"
    if everywhere and not world.consumers:
        patch = {"spec": {"consumerClusters": [{"name": name} for name in sorted({*everywhere, world.from_cluster})]}}
        meant = did_you_mean(world.from_cluster, everywhere) if world.from_cluster not in world.clusters else ""
        command = f"{world.mcsctl} doctor -n {shlex.quote(world.namespace)} {shlex.quote(world.name)}"
        yield context.found(
            _mcs_ref(world),
            f"{world.from_cluster} is no consumer of it" + (f"; did you mean {meant}?" if meant else ""),
            evidence=fields,
            fix=patch_command(world.kubectl(), MULTICLUSTERSERVICES, _the_mcs(world), patch)
            if world.from_cluster in world.clusters
            else f"{command}{f' --from {shlex.quote(meant)}' if meant else ''}",
            severity=Severity.ERROR,
        )
    elif len(everywhere) == 1 and everywhere == world.providers:
        others = [name for name in world.clusters if name not in everywhere]
        patch = {"spec": {"consumerClusters": [{"name": name} for name in [*everywhere, *others]]}}
        yield context.found(
            _mcs_ref(world),
            f"{everywhere[0]} is the only provider and the only consumer: it uses its own Pods, and nothing is sent",
            evidence=fields,
            fix=patch_command(world.kubectl(), MULTICLUSTERSERVICES, _the_mcs(world), patch) if others else "",
        )


@rule(
    "MCS035",
    "spec.ports lists a port that the Service does not have",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="spec.ports of a MultiClusterService chooses among the ports of the Service, by name or number. A port "
    "that is not there is not exposed, and nothing is if none is there.",
    evidence="spec.ports of the MultiClusterService and of the Service in the control plane.",
    fix="List ports of the Service.",
)
def port_not_found(context: Context) -> Iterator[Finding]:
    """The fix takes the port of a like name, or the only one."""
    world = context.world
    if world.template is None:
        return
    there = {text(one, "name"): dig(one, "port") for one in items(world.template, "spec", "ports")}
    entries = items(world.mcs, "spec", "ports")
    missing = [one for one in entries if text(one, "name") not in there and dig(one, "port") not in there.values()]
    missing = [one for one in missing if not (text(one, "name") == "" and dig(one, "port") is None)]
    if not missing:
        return
    corrected = []
    for entry in entries:
        name = text(entry, "name")
        meant = did_you_mean(name, there) or (next(iter(there)) if len(there) == 1 else None)
        if entry not in missing:
            corrected.append(entry)
        elif meant is not None:
            corrected.append({"port": there[meant]} | ({"name": meant} if meant else {}))
    corrected = [one for number, one in enumerate(corrected) if one not in corrected[:number]]
    yield context.found(
        _mcs_ref(world),
        f"spec.ports lists {', '.join(map(_port, missing))}: the Service has no such port",
        evidence=f"ports of the Service: {', '.join(map(_port, items(world.template, 'spec', 'ports'))) or 'none'}",
        fix=patch_command(
            world.kubectl(), MULTICLUSTERSERVICES, _the_mcs(world), {"spec": {"ports": corrected or None}}
        ),
    )


def _port(port: object) -> str:
    name, number = text(port, "name"), dig(port, "port")
    return f"{name} ({number})" if name else str(number)


@rule(
    "MCS036",
    "The Service is of type ExternalName",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="A Service of type ExternalName is an alias in DNS: it has no endpoints, and none are brought to it.",
    evidence="spec.type of the Service in the control plane.",
    fix="Make it a Service of type ClusterIP.",
)
def external_name(context: Context) -> Iterator[Finding]:
    """In the control plane: the members' copies follow."""
    world = context.world
    if world.template is not None and text(world.template, "spec", "type") == "ExternalName":
        patch = {"spec": {"type": "ClusterIP", "externalName": None}}
        yield context.found(
            _service_ref(world),
            "a Service of type ExternalName has no endpoints that could be brought to other clusters",
            evidence=f"spec.externalName: {text(world.template, 'spec', 'externalName')}",
            fix=patch_command(world.kubectl(), SERVICES, world.template, patch),
        )


@rule(
    "MCS037",
    "The Service is one that every cluster has of its own",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="default/kubernetes, for one, leads to each cluster's own API server. It is never propagated.",
    evidence="The name of the MultiClusterService, and the list of reserved objects.",
    fix="Delete the MultiClusterService; give the Service another name if it is another one.",
)
def reserved(context: Context) -> Iterator[Finding]:
    """Rules about what the controllers would do for it say nothing."""
    world = context.world
    if problem := reserved_problem(world.namespace, world.name):
        yield context.found(
            _mcs_ref(world),
            problem,
            evidence=f"{world.namespace}/{world.name} is reserved",
            fix=f"{world.kubectl()} {where(_the_mcs(world))} delete {MULTICLUSTERSERVICES.group_resource} "
            f"{named(_the_mcs(world))}",
        )


@rule(
    "MCS038",
    "A PropagationPolicy selects the Service of a MultiClusterService",
    Link.DECLARATION,
    Scope.SERVICE,
    severity=Severity.WARNING,
    meaning="The MultiClusterService decides which clusters have its Service. A policy that selects it does nothing.",
    evidence="spec.resourceSelectors of the policies of the namespace.",
    fix="Take the Service out of the policy.",
)
def policy_on_the_service(context: Context) -> Iterator[Finding]:
    """A policy that means all Services of the namespace is no mistake: that it selects this one is only told."""
    world = context.world
    template = world.template
    for policy in world.host.list(POLICIES, world.namespace) if template is not None else ():
        selectors = items(policy, "spec", "resourceSelectors")
        chosen = [one for one in selectors if _selects(one, "v1", wk.SERVICE_KIND, template)]
        if not chosen:
            continue
        rest = [one for one in selectors if one not in chosen]
        by_name = any(text(one, "name") for one in chosen)
        delete = f"{world.kubectl()} {where(policy)} delete {POLICIES.group_resource} {named(policy)}"
        patch = {"spec": {"resourceSelectors": rest}}
        yield context.found(
            ObjectRef(CONTROL_PLANE, wk.POLICY_KIND, text(policy, "metadata", "name"), world.namespace),
            f"it selects Service {world.name}, which the MultiClusterService claims: the policy does nothing for it",
            evidence=f"spec.resourceSelectors: {json.dumps(chosen)}",
            fix=(patch_command(world.kubectl(), POLICIES, policy, patch) if rest else delete) if by_name else "",
            severity=Severity.WARNING if by_name else Severity.INFO,
        )


def _selects(selector: object, api_version: str, kind: str, obj: Object | None) -> bool:
    """Whether one of a policy's selectors selects an object; its labels do not count if it has a name."""
    if (text(selector, "apiVersion"), text(selector, "kind")) != (api_version, kind):
        return False
    if name := text(selector, "name"):
        return name == text(obj, "metadata", "name")
    return selects(dig(selector, "labelSelector"), labels_of(obj))


@rule(
    "MCS039",
    "The policy that selects the workload is refused",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="The stand-alone controller refuses a PropagationPolicy that asks for what it does not do, and does "
    "nothing for it. The Deployment or StatefulSet behind the Service gets to no cluster.",
    evidence="The event PolicyRefused about the policy, later than its last change, and the workloads whose Pods the "
    "Service selects.",
    fix="Take out of the policy what it is refused for.",
)
def policy_refused(context: Context) -> Iterator[Finding]:
    """A warning if the Service has Pods nevertheless."""
    world = context.world
    for policy, reason in refused_policies(world):
        patch = [{"op": "remove", "path": "/" + "/".join(path)} for path in _unsupported(reason)]
        alive = any(_pods(world, cluster) for cluster in world.providers)
        yield context.found(
            ObjectRef(CONTROL_PLANE, wk.POLICY_KIND, text(policy, "metadata", "name"), world.namespace),
            f"the policy is refused, so the workload behind Service {world.name} gets to no cluster",
            evidence=f"event {wk.EVENT_POLICY_REFUSED}: {reason}",
            fix=patch_command(world.kubectl(), POLICIES, policy, patch)
            if patch
            else f"{world.kubectl()} {where(policy)} get {POLICIES.group_resource} {named(policy)} -o yaml",
            severity=Severity.WARNING if alive else Severity.ERROR,
        )


def _unsupported(reason: str) -> list[list[str]]:
    """The fields that a policy is refused for, as far as the reason names them."""
    fields = re.findall(r"(spec(?:\.\w+|\[\d+\])+)[^;]* not supported", reason)
    return [re.findall(r"\w+", field) for field in dict.fromkeys(fields)]


def _has(obj: Any, path: Sequence[str]) -> bool:
    for part in path:
        listed = isinstance(obj, list | tuple) and part.isdigit() and int(part) < len(obj)
        obj = obj[int(part)] if listed else dig(obj, part)
    return obj is not None


def refused_policies(world: World) -> Iterator[tuple[Object, str]]:
    """The policies that select a workload behind the Service and are refused now, each with the reason."""
    wanted = mapping(world.template, "spec", "selector")
    workloads = [
        (kind, one)
        for kind in (DEPLOYMENTS, STATEFULSETS)
        for one in world.host.list(kind, world.namespace)
        if has_labels(pod_labels(one), wanted)
    ]
    for policy in world.host.list(POLICIES, world.namespace) if workloads else ():
        selectors = items(policy, "spec", "resourceSelectors")
        if not any(_selects(one, kind.api_version, kind.kind, obj) for one in selectors for kind, obj in workloads):
            continue
        for event in world.host.list(EVENTS, world.namespace):
            # Who refuses a policy writes nothing to it: a change after the event is another attempt.
            current = age(world, event, "lastTimestamp") <= unchanged(world, policy)
            # Of a change in the same second nobody can tell whether it was before; but what it took out is not there.
            fields = _unsupported(text(event, "message"))
            current &= not fields or any(_has(policy, field) for field in fields)
            about = text(event, "involvedObject", "uid") == text(policy, "metadata", "uid")
            if about and current and text(event, "reason") == wk.EVENT_POLICY_REFUSED:
                yield policy, text(event, "message")
                break


def _pods(world: World, cluster: str) -> bool:
    """Whether a provider has Pods of the Service; also if that cannot be seen."""
    snapshot = world.members.get(cluster)
    if snapshot is None or snapshot.why_unseen(PODS):
        return True
    wanted = mapping(world.template, "spec", "selector")
    return any(has_labels(labels_of(pod), wanted) for pod in snapshot.list(PODS, world.namespace))


@rule(
    "MCS040",
    "internalTrafficPolicy Local keeps requests on their node",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="With internalTrafficPolicy Local a request goes to endpoints on its own node only. Those of another "
    "cluster are on none of its nodes, so consumers never use them.",
    evidence="spec.internalTrafficPolicy of the Service in the control plane.",
    fix="Set it to Cluster.",
)
def local_traffic(context: Context) -> Iterator[Finding]:
    """Only if endpoints are sent at all."""
    world = context.world
    if text(world.template, "spec", "internalTrafficPolicy") == "Local" and any(world.pairs()):
        yield context.found(
            _service_ref(world),
            "with internalTrafficPolicy Local no consumer uses the endpoints of another cluster",
            evidence="spec.internalTrafficPolicy: Local",
            fix=patch_command(
                world.kubectl(), SERVICES, world.template or {}, {"spec": {"internalTrafficPolicy": "Cluster"}}
            ),
        )


@rule(
    "MCS041",
    "The MultiClusterService is being deleted, and a finalizer holds it",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="It was deleted and stays until each finalizer is removed by whoever set it. Its name is taken until then.",
    evidence="metadata.deletionTimestamp and metadata.finalizers of the MultiClusterService.",
    fix="Take a finalizer off whose owner is gone.",
    no_command="if the controller's own finalizer holds it: that goes with its Works, which the command shows.",
)
def deletion_held(context: Context) -> Iterator[Finding]:
    """In progress for the first minute."""
    world, mcs = context.world, _the_mcs(context.world)
    if not text(mcs, "metadata", "deletionTimestamp"):
        return
    finalizers = texts(mcs, "metadata", "finalizers")
    works = f"{world.kubectl()} get works.work.karmada.io -A -l {wk.MCS_NAMESPACE}={world.namespace},"
    seconds = age(world, mcs, "metadata", "deletionTimestamp")
    yield context.found(
        _mcs_ref(world),
        f"it is being deleted, and is held by {', '.join(finalizers) or 'nothing'}",
        evidence=f"metadata.deletionTimestamp: {text(mcs, 'metadata', 'deletionTimestamp')}",
        fix=release_command(world.kubectl(), MULTICLUSTERSERVICES, mcs) or f"{works}{wk.MCS_NAME}={world.name}",
        severity=unless_young(seconds),
    )


@rule(
    "MCS042",
    "The namespace is kept out of the members",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="Its label namespace.karmada.io/skip-auto-propagation says that members do not get the namespace, and a "
    "member of the service does not have it. No Service can be there.",
    evidence="The label in the control plane, and the Namespace in each provider and consumer.",
    fix="Remove the label, or create the namespace in these members.",
)
def namespace_kept_out(context: Context) -> Iterator[Finding]:
    """About all members that lack it at once."""
    world = context.world
    namespace = world.host.get(NAMESPACES, world.namespace)
    if not skips_propagation(namespace):
        return
    seen = {name: one for name, one in world.members.items() if not one.why_unseen(NAMESPACES)}
    missing = sorted(name for name, one in seen.items() if one.get(NAMESPACES, world.namespace) is None)
    if missing:
        finding = context.found(
            ObjectRef(CONTROL_PLANE, wk.NAMESPACE_KIND, world.namespace),
            f"{', '.join(missing)} lack namespace {world.namespace}, which its label keeps out of the members",
            evidence=f"label {wk.SKIP_AUTO_PROPAGATION}: {labels_of(namespace).get(wk.SKIP_AUTO_PROPAGATION)}",
            fix=f"{world.kubectl()} label namespace {shlex.quote(world.namespace)} {wk.SKIP_AUTO_PROPAGATION}-",
        )
        yield replace(finding, clusters=frozenset(missing))
    for one in world.members.values():
        one.list(NAMESPACES)


def skips_propagation(namespace: Object | None) -> bool:
    """Whether its label keeps a namespace out of the members."""
    return labels_of(namespace).get(wk.SKIP_AUTO_PROPAGATION, "").lower() == wk.TRUE


@rule(
    "MCS043",
    "Dispatching is suspended",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="The ResourceBinding of the Service says that clusters keep what they have: changes do not get there.",
    evidence="spec.suspension of the ResourceBinding.",
    fix="Take the suspension off.",
)
def dispatching_suspended(context: Context) -> Iterator[Finding]:
    """Of all clusters, or of some."""
    world = context.world
    binding = _binding(world)
    named_there = texts(binding, "spec", "suspension", "dispatchingOnClusters", "clusterNames")
    wanted = {*world.providers, *world.consumers}
    suspended = wanted if dig(binding, "spec", "suspension", "dispatching") is True else wanted & set(named_there)
    if binding is not None and suspended:
        finding = context.found(
            ObjectRef(CONTROL_PLANE, wk.BINDING_KIND, binding_name(wk.SERVICE_KIND, world.name), world.namespace),
            f"dispatching to {', '.join(sorted(suspended))} is suspended: they keep what they have",
            evidence=f"spec.suspension: {json.dumps(dig(binding, 'spec', 'suspension'))}",
            fix=patch_command(world.kubectl(), BINDINGS, binding, _without(binding, "dispatching")),
        )
        yield replace(finding, clusters=frozenset(suspended))


def _binding(world: World) -> Object | None:
    return world.host.get(BINDINGS, binding_name(wk.SERVICE_KIND, world.name), world.namespace)


def _without(binding: Object, field: str) -> Object:
    """The merge patch that takes a suspension off and leaves others."""
    there = [name for name in mapping(binding, "spec", "suspension") if name.startswith(field)]
    return {"spec": {"suspension": dict.fromkeys(there)}}


@rule(
    "MCS044",
    "An annotation cannot be read",
    Link.DECLARATION,
    Scope.SERVICE,
    severity=Severity.WARNING,
    meaning="The annotation withdraw-not-ready-after of a MultiClusterService is no duration. The default of the "
    "controller applies.",
    evidence="The annotation.",
    fix="Write a duration such as 5m, or 0 for never.",
)
def annotation_unreadable(context: Context) -> Iterator[Finding]:
    """As the controller reads it."""
    world, mcs = context.world, _the_mcs(context.world)
    written = annotations_of(mcs).get(wk.WITHDRAW_AFTER)
    try:
        parse_duration(written if written is not None else "0")
    except ValueError as error:
        patch = {"metadata": {"annotations": {wk.WITHDRAW_AFTER: None}}}
        yield context.found(
            _mcs_ref(world),
            f"annotation {wk.WITHDRAW_AFTER} is ignored: {error}",
            evidence=f"{wk.WITHDRAW_AFTER}: {written}",
            fix=patch_command(world.kubectl(), MULTICLUSTERSERVICES, mcs, patch),
        )


@rule(
    "MCS045",
    "The namespace is being deleted",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="The namespace is terminating: what is in it goes, and nothing can be created there. If it stays so, "
    "something in it has a finalizer that nobody removes, or an aggregated API does not answer.",
    evidence="metadata.deletionTimestamp and the conditions of the Namespace in the control plane.",
    fix="See which objects are left, and mend or remove what holds them.",
    no_command="because a deletion cannot be taken back. When it ends depends on finalizers of any kind of object, and "
    "what they guard is not known here.",
)
def namespace_terminating(context: Context) -> Iterator[Finding]:
    """In progress for the first minute."""
    world = context.world
    namespace = world.host.get(NAMESPACES, world.namespace)
    if not text(namespace, "metadata", "deletionTimestamp"):
        return
    said = [text(one, "message") for one in items(namespace, "status", "conditions") if text(one, "status") == "True"]
    kubectl, quoted = world.kubectl(), shlex.quote(world.namespace)
    yield context.found(
        ObjectRef(CONTROL_PLANE, wk.NAMESPACE_KIND, world.namespace),
        f"namespace {world.namespace} is being deleted",
        evidence="; ".join(said) or f"deleted at {text(namespace, 'metadata', 'deletionTimestamp')}",
        fix=f"{kubectl} -n {quoted} get --ignore-not-found "
        f'"$({kubectl} api-resources --verbs=list --namespaced -o name | paste -sd, -)"',
        severity=unless_young(age(world, namespace, "metadata", "deletionTimestamp")),
    )


@rule(
    "MCS046",
    "The Service is not scheduled to a cluster",
    Link.DECLARATION,
    Scope.SERVICE,
    symptom=True,
    meaning="The ResourceBinding of the Service does not name a provider or consumer among its clusters, so it gets "
    "no Service. It is the scheduler that names them.",
    evidence="spec.clusters and the condition Scheduled of the ResourceBinding.",
    fix="Mend what the condition says; take a suspension of scheduling off.",
)
def not_scheduled(context: Context) -> Iterator[Finding]:
    """One finding for each cluster: each may have another cause before it."""
    world = context.world
    name = binding_name(wk.SERVICE_KIND, world.name)
    binding = _binding(world)
    if world.template is None or text(world.mcs, "metadata", "deletionTimestamp"):
        return
    required = [text(one, "name") for other in items(binding, "spec", "requiredBy") for one in items(other, "clusters")]
    scheduled = {*(text(one, "name") for one in items(binding, "spec", "clusters")), *required}
    suspended = dig(binding, "spec", "suspension", "scheduling") is True
    quiet = (
        min(unchanged(world, binding), age(world, world.mcs)) if binding is not None else unchanged(world, world.mcs)
    )
    state = condition(binding, wk.SCHEDULED)
    for cluster in sorted({*world.providers, *world.consumers} - scheduled):
        finding = context.found(
            ObjectRef(CONTROL_PLANE, wk.BINDING_KIND, name, world.namespace),
            f"the Service is not scheduled to {cluster}"
            + ("" if binding is not None else ": there is no ResourceBinding")
            + (": scheduling is suspended" if suspended else ""),
            evidence=f"spec.clusters: {', '.join(sorted(scheduled)) or 'none'}; "
            f"condition {wk.SCHEDULED}: {text(state, 'status') or 'none'} {text(state, 'message')}".rstrip(),
            fix=patch_command(world.kubectl(), BINDINGS, binding, _without(binding, "scheduling"))
            if suspended and binding is not None
            else f"{world.kubectl()} -n {shlex.quote(world.namespace)} describe {BINDINGS.group_resource} {name}",
            severity=Severity.ERROR if suspended else unless_young(quiet),
        )
        yield replace(finding, clusters=frozenset({cluster}))
