"""Rules about the providers: the namespace, the Service, its Pods and the EndpointSlices that Kubernetes makes of them.

A member's Service is a copy of the control plane's: what is wrong with it is mended there. Pods and their workloads are
the member's own.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from difflib import SequenceMatcher
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

from mcs_controller.diagnosis.findings import Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.declaration import refused_policies, skips_propagation
from mcs_controller.diagnosis.rules.objects import (
    age,
    apply_command,
    has_labels,
    named,
    patch_command,
    pod_labels,
    reserved_problem,
    selects,
    shown,
    texts,
    unchanged,
    unless_young,
    where,
)
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import (
    DAEMONSETS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NETWORKPOLICIES,
    NODES,
    PODS,
    POLICIES,
    QUOTAS,
    SERVICES,
    SLICES,
    STATEFULSETS,
    condition,
    dig,
    items,
    labels_of,
    mapping,
    text,
)
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Kind, Object, World

_FATAL: Final = frozenset(
    {
        *("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    }
)
"""Reasons of waiting containers that time alone does not mend."""

_SERIAL: Final = ("pod-template-hash", "controller-revision-hash", "pod-template-generation")
"""Labels that controllers give Pods: no Service selects by them."""


# --- what a provider has -------------------------------------------------------------------------------------------


def _service(context: Context) -> Object | None:
    world = context.world
    return world.snapshot(context.cluster).get(SERVICES, world.name, world.namespace)


def _selector(context: Context) -> Mapping[str, Any]:
    return mapping(_service(context), "spec", "selector")


def _pods(context: Context) -> Sequence[Object]:
    """All Pods of the namespace that are not on their way out."""
    found = context.world.snapshot(context.cluster).list(PODS, context.world.namespace)
    ended = ("Succeeded", "Failed")
    return [
        one
        for one in found
        if not text(one, "metadata", "deletionTimestamp") and text(one, "status", "phase") not in ended
    ]


def _selected(context: Context) -> Sequence[Object]:
    """The Pods that the Service selects."""
    selector = _selector(context)
    return [pod for pod in _pods(context) if has_labels(labels_of(pod), selector)]


def _is_ready(pod: Object) -> bool:
    return text(condition(pod, "Ready"), "status") == "True"


def _workloads(world: World, cluster: str, selector: Mapping[str, Any]) -> Sequence[tuple[Kind, Object]]:
    """What makes Pods that a selector selects."""
    return [
        (kind, one)
        for kind in (DEPLOYMENTS, STATEFULSETS)
        for one in world.snapshot(cluster).list(kind, world.namespace)
        if has_labels(pod_labels(one), selector)
    ]


def own_slices(world: World, cluster: str) -> Sequence[Object]:
    """The slices of the Service that are no copies of another cluster's."""
    return [
        one
        for one in world.snapshot(cluster).list(SLICES, world.namespace)
        if labels_of(one).get(wk.SERVICE_NAME) == world.name
        and labels_of(one).get(wk.SLICE_MANAGED_BY) not in wk.SLICE_MANAGERS
    ]


def _addresses(world: World, cluster: str) -> frozenset[str]:
    return frozenset(
        address
        for one in own_slices(world, cluster)
        for endpoint in items(one, "endpoints")
        for address in texts(endpoint, "addresses")
    )


def _severity(context: Context) -> Severity:
    """How bad it is that this provider gives nothing: other providers may serve."""
    world = context.world
    others = [name for name in world.providers if name != context.cluster and name in world.members]
    serving = any(not world.members[name].why_unseen(SLICES) and _addresses(world, name) for name in others)
    if not serving:
        return Severity.ERROR
    return Severity.WARNING if items(world.mcs, "spec", "providerClusters") else Severity.INFO


def _ref(context: Context, kind: str = wk.SERVICE_KIND, name: str = "") -> ObjectRef:
    return ObjectRef(context.cluster, kind, name or context.world.name, context.world.namespace)


def _show(context: Context, *words: str) -> str:
    """A command that shows what only people can judge, in the provider's namespace."""
    return f"{context.world.kubectl(context.cluster)} {shlex.join(('-n', context.world.namespace, *words))}"


def _patch_service(context: Context, patch: Any) -> str:
    """In the control plane, as the member's copy follows."""
    world = context.world
    return patch_command(world.kubectl(), SERVICES, world.template or _service(context) or {}, patch)


def _lags(context: Context, *path: str) -> bool:
    """Whether the copy has not got a field from the control plane yet."""
    template = context.world.template
    return template is not None and dig(template, *path) != dig(_service(context), *path)


# --- rules ---------------------------------------------------------------------------------------------------------


@rule(
    "MCS050",
    "A provider does not have the namespace",
    Link.PROVIDER,
    Scope.PROVIDER,
    symptom=True,
    meaning="The namespace is not propagated, by a flag of the controller or as one of Kubernetes' own. Nothing of it "
    "can be in the provider.",
    evidence="The Namespace in the provider.",
    fix="Create the namespace there.",
)
def namespace_missing(context: Context) -> Iterator[Finding]:
    """One that its label keeps out has a code of its own."""
    world = context.world
    there = world.host.get(NAMESPACES, world.namespace)
    if world.snapshot(context.cluster).get(NAMESPACES, world.namespace) is None and not skips_propagation(there):
        yield context.found(
            ObjectRef(context.cluster, wk.NAMESPACE_KIND, world.namespace),
            f"{context.cluster} does not have namespace {world.namespace}",
            evidence=f"GET namespaces/{world.namespace}: 404",
            fix=f"{world.kubectl(context.cluster)} create namespace {shlex.quote(world.namespace)}",
            severity=unless_young(age(world, there)),
        )


@rule(
    "MCS051",
    "A provider does not have the Service",
    Link.PROVIDER,
    Scope.PROVIDER,
    symptom=True,
    meaning="The Service was not delivered to the provider, so Kubernetes makes no EndpointSlices there.",
    evidence="The Service in the provider.",
    fix="See the Work that carries it.",
    no_command="by itself: it is a consequence of what is found before it in the chain, whose fix mends it.",
)
def service_missing(context: Context) -> Iterator[Finding]:
    """Not without the namespace."""
    world = context.world
    namespace = world.snapshot(context.cluster).get(NAMESPACES, world.namespace)
    if namespace is not None and _service(context) is None and world.template is not None:
        yield context.found(
            _ref(context),
            f"{context.cluster} does not have Service {world.namespace}/{world.name}",
            evidence=f"GET services/{world.name}: 404",
            fix=f"{world.kubectl()} -n {execution_namespace(context.cluster)} describe works.work.karmada.io "
            f"{work_name(wk.SERVICE_KIND, world.namespace, world.name)}",
            severity=unless_young(min(age(world, world.template), unchanged(world, world.mcs))),
        )


@rule(
    "MCS052",
    "The Service selects no Pods, and others have labels like those",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="The selector of the Service is satisfied by no Pod of the namespace, and Pods with similar labels are "
    "there: mostly the selector is mistyped.",
    evidence="spec.selector of the Service in the provider, and the labels of the Pods.",
    fix="Correct the selector of the Service in the control plane.",
)
def selector_misses(context: Context) -> Iterator[Finding]:
    """The fix takes the labels of the most similar Pod; it is not for a selector that suits another provider."""
    selector = _selector(context)
    if not selector or _selected(context) or _workloads(context.world, context.cluster, selector):
        return
    near = _nearest(selector, _pods(context))
    if near is None:
        return
    severity = _severity(context)
    corrected = {
        key: value for key, value in _corrected(selector, labels_of(near)).items() if selector.get(key) != value
    }
    wanted = shown({key: value for key, value in labels_of(near).items() if key not in _SERIAL})
    yield context.found(
        _ref(context),
        f"the selector {shown(selector)} matches no Pod; {text(near, 'metadata', 'name')} has {wanted}",
        evidence=f"{len(_pods(context))} Pods in namespace {context.world.namespace}, none of them selected",
        fix=_patch_service(context, {"spec": {"selector": corrected}})
        if severity is Severity.ERROR
        else _show(context, "get", "pods", "--show-labels"),
        severity=unless_young(unchanged(context.world, context.world.template), severity)
        if _lags(context, "spec", "selector")
        else severity,
    )


def _nearest(selector: Mapping[str, Any], pods: Iterable[Object]) -> Object | None:
    """The Pod whose labels are most like the selector, if any are like it."""
    scored = [(_likeness(selector, labels_of(pod)), text(pod, "metadata", "name"), pod) for pod in pods]
    best = max(scored, key=lambda one: one[:2], default=None)
    return best[2] if best is not None and best[0] >= 0.6 else None


def _likeness(selector: Mapping[str, Any], labels: Mapping[str, str]) -> float:
    def one(key: str, value: str) -> float:
        other = labels.get(key)
        if other is not None:
            return _ratio(value, other)
        return max((_ratio(key, name) for name, found in labels.items() if found == value), default=0.0)

    return sum(one(key, str(value)) for key, value in selector.items()) / len(selector)


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _corrected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> Mapping[str, str | None]:
    """The merge patch of a selector, for a Pod with these labels."""
    patch: dict[str, str | None] = {}
    for key, value in selector.items():
        renamed = next((name for name, found in labels.items() if found == value), "")
        if key in labels:
            patch[key] = labels[key]
        else:
            patch |= {key: None} | ({renamed: str(value)} if renamed else {})
    return patch


@rule(
    "MCS053",
    "A provider has no Pods of the Service",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="No Pod has the labels that the Service selects: the Deployment or StatefulSet is scaled to zero, was not "
    "brought to the provider, or does not exist.",
    evidence="The Pods, Deployments and StatefulSets of the namespace in the provider.",
    fix="Scale the workload up, or bring it to the provider.",
)
def no_pods(context: Context) -> Iterator[Finding]:
    """A warning if other providers serve, and no more than that is told if the service means every cluster."""
    world, selector, severity = context.world, _selector(context), _severity(context)
    if not selector or _selected(context):
        return
    workloads = _workloads(world, context.cluster, selector)
    kubectl = world.kubectl(context.cluster)
    for kind, one in workloads:
        what, wanted = f"{kind.kind.lower()}/{named(one)}", dig(one, "spec", "replicas")
        if wanted == 0:
            problem, fix = "is scaled to 0", f"{kubectl} {where(one)} scale {what} --replicas=1"
        elif _quota_message(context, kind, one):
            continue
        else:
            problem, fix = "has no Pods yet", f"{kubectl} {where(one)} describe {what}"
            severity = unless_young(unchanged(world, one), severity)
        yield context.found(
            _ref(context, kind.kind, text(one, "metadata", "name")),
            f"{kind.kind} {text(one, 'metadata', 'name')} in {context.cluster} {problem}",
            evidence=f"spec.replicas: {wanted}; no Pod has {shown(selector)}",
            fix=fix,
            severity=severity,
        )
    if not workloads and _nearest(selector, _pods(context)) is None:
        finding = context.found(
            _ref(context),
            f"{context.cluster} has no Pod, and no Deployment or StatefulSet, with {shown(selector)}",
            evidence=f"{len(_pods(context))} Pods in namespace {world.namespace}, none of them selected",
            fix=_policy_command(context, selector),
            severity=unless_young(age(world, world.mcs), severity),
        )
        yield replace(finding, symptom=bool([*refused_policies(world)]))


def _policy_command(context: Context, selector: Mapping[str, Any]) -> str:
    """A policy that brings the control plane's workload to the provider, if it has one that no policy selects."""
    world = context.world
    workload = next(iter(_workloads(world, "", selector)), None)
    if workload is None:
        return _show(context, "get", "deployments,statefulsets,pods", "--show-labels")
    kind, obj = workload
    name = text(obj, "metadata", "name")
    if wk.POLICY_PERMANENT_ID in labels_of(obj) or wk.CLUSTER_POLICY_PERMANENT_ID in labels_of(obj):
        return (
            f"{world.kubectl()} {where(obj)} describe resourcebindings.work.karmada.io {named(obj)}-{kind.kind.lower()}"
        )
    manifest = {
        "apiVersion": POLICIES.api_version,
        "kind": POLICIES.kind,
        "metadata": {"name": f"{name}-{kind.kind.lower()}", "namespace": world.namespace},
        "spec": {
            "resourceSelectors": [{"apiVersion": kind.api_version, "kind": kind.kind, "name": name}],
            "placement": {"clusterAffinity": {"clusterNames": list(world.providers)}},
        },
    }
    return apply_command(world.kubectl(), manifest)


@rule(
    "MCS054",
    "The Pods in a provider are not ready",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="The Service selects Pods, and none of them is ready, so it has no endpoints that take requests.",
    evidence="The conditions and container states of the Pods.",
    fix="What the Pods say: an earlier revision of the Deployment if they cannot start, else see their description.",
)
def pods_not_ready(context: Context) -> Iterator[Finding]:
    """Pods that are younger than a minute are starting, unless a container says that it cannot."""
    world, pods = context.world, _selected(context)
    if not pods or any(map(_is_ready, pods)) or dig(_service(context), "spec", "publishNotReadyAddresses") is True:
        return
    reasons = {reason: text(pod, "metadata", "name") for pod in pods for reason in _reasons(pod)}
    fatal = sorted(_FATAL & {reason.partition(":")[0] for reason in reasons})
    severity = _severity(context)
    yield context.found(
        _ref(context, "Pod", text(pods[0], "metadata", "name")),
        f"none of {len(pods)} Pods in {context.cluster} is ready" + (f": {', '.join(fatal)}" if fatal else ""),
        evidence="; ".join(f"{name}: {reason}" for reason, name in sorted(reasons.items())[:5]) or "no reason is given",
        fix=_undo(context, fatal) or _describe(context, pods[0], fatal),
        severity=severity if fatal else unless_young(min(age(world, pod) for pod in pods), severity),
    )


def _reasons(pod: Object) -> Iterator[str]:
    """Why a Pod is not ready, as far as it says."""
    for field in ("initContainerStatuses", "containerStatuses"):
        for one in items(pod, "status", field):
            for state in ("waiting", "terminated"):
                if reason := text(one, "state", state, "reason"):
                    yield f"{reason}: {text(one, 'state', state, 'message')[:200]}".rstrip(": ")
    for one in items(pod, "status", "conditions"):
        if text(one, "status") == "False" and (reason := text(one, "reason")) and reason != "ContainersNotReady":
            yield f"{reason}: {text(one, 'message')[:200]}".rstrip(": ")


def _undo(context: Context, fatal: Sequence[str]) -> str:
    """Back to the Deployment's earlier revision, if there is one and this one cannot start."""
    for kind, one in _workloads(context.world, context.cluster, _selector(context)):
        revision = text(one, "metadata", "annotations", "deployment.kubernetes.io/revision")
        if fatal and kind is DEPLOYMENTS and revision not in ("", "1"):
            return f"{context.world.kubectl(context.cluster)} {where(one)} rollout undo deployment/{named(one)}"
    return ""


def _describe(context: Context, pod: Object, fatal: Sequence[str]) -> str:
    kubectl = context.world.kubectl(context.cluster)
    crashed = "CrashLoopBackOff" in fatal
    return f"{kubectl} {where(pod)} " + (f"logs --previous {named(pod)}" if crashed else f"describe pod {named(pod)}")


@rule(
    "MCS055",
    "The targetPort is no port of the Pods",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="The Service sends requests to a port that no container declares. A container that declares no ports "
    "could listen anywhere, and is not judged.",
    evidence="spec.ports of the Service, and the ports of the containers.",
    fix="Correct the targetPort of the Service in the control plane.",
)
def target_port_missing(context: Context) -> Iterator[Finding]:
    """By name or number; a port of another protocol has a code of its own.

    A number that is not declared may be listened to all the same: it is an error only if all ports of the Service are
    so.
    """
    mismatches = [*_mismatches(context)]
    every = len(mismatches) == len(items(_service(context), "spec", "ports"))
    for index, port, target, declared in mismatches:
        if any(dig(one, "containerPort") == target for one in declared):
            continue
        choice = _choice(port, declared)
        yield context.found(
            _ref(context),
            f"port {dig(port, 'port')} goes to targetPort {target}, which the Pods do not have",
            evidence=f"ports of the containers: {', '.join(map(_declared, declared)) or 'none'}",
            fix=_patch_service(context, [{"op": "add", "path": f"/spec/ports/{index}/targetPort", "value": choice}])
            if choice is not None
            else _show(context, "describe", "pods", "-l", shown(_selector(context))),
            severity=_port_severity(context) if every or isinstance(target, str) else Severity.INFO,
        )


@rule(
    "MCS058",
    "The protocol of a port does not match",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="The Service has a port with another protocol than the containers, or than EndpointSlices made by hand.",
    evidence="The protocols in spec.ports of the Service, in the containers and in the slices.",
    fix="Correct the protocol of the Service in the control plane, or that of the slice.",
)
def protocol_mismatch(context: Context) -> Iterator[Finding]:
    """Slices of a Service with a selector follow the Service."""
    world = context.world
    for index, port, target, declared in _mismatches(context):
        other = next((text(one, "protocol") or "TCP" for one in declared if dig(one, "containerPort") == target), "")
        if other:
            yield context.found(
                _ref(context),
                f"port {dig(port, 'port')} is {_protocol(port)}, and the Pods have {target}/{other}",
                evidence=f"ports of the containers: {', '.join(map(_declared, declared))}",
                fix=_patch_service(context, [{"op": "add", "path": f"/spec/ports/{index}/protocol", "value": other}]),
                severity=_port_severity(context),
            )
    service = _service(context)
    if service is None or _selector(context):
        return
    protocols = {text(port, "name"): _protocol(port) for port in items(service, "spec", "ports")}
    for one in own_slices(world, context.cluster):
        for index, port in enumerate(items(one, "ports")):
            wanted = protocols.get(text(port, "name"), _protocol(port))
            if wanted != _protocol(port):
                patch = [{"op": "add", "path": f"/ports/{index}/protocol", "value": wanted}]
                yield context.found(
                    _ref(context, wk.SLICE_KIND, text(one, "metadata", "name")),
                    f"port {text(port, 'name')!r} is {_protocol(port)}, and {wanted} in the Service",
                    evidence=f"slice: {_declared(port)}; Service: {wanted}",
                    fix=patch_command(world.kubectl(context.cluster), SLICES, one, patch),
                )


def _mismatches(context: Context) -> Iterator[tuple[int, Object, Any, Sequence[Object]]]:
    """(index, port, target, what is declared) for each port of the Service that no Pod declares."""
    pods = _selected(context)
    for index, port in enumerate(items(_service(context), "spec", "ports") if pods else ()):
        target = dig(port, "targetPort") or dig(port, "port")
        if not any(_may_have(pod, target, _protocol(port)) for pod in pods):
            yield index, port, target, [one for each in _containers(pods[0]) for one in items(each, "ports")]


def _containers(pod: Object) -> Sequence[Object]:
    """Containers that run as long as the Pod does."""
    sidecars = [one for one in items(pod, "spec", "initContainers") if text(one, "restartPolicy") == "Always"]
    return [*items(pod, "spec", "containers"), *sidecars]


def _may_have(pod: Object, target: Any, protocol: str) -> bool:
    field = "name" if isinstance(target, str) else "containerPort"
    declared = [items(one, "ports") for one in _containers(pod)]
    if field == "containerPort" and not (declared and all(declared)):
        return True
    ports = [port for each in declared for port in each]
    return any(dig(port, field) == target and _protocol(port) == protocol for port in ports)


def _protocol(port: object) -> str:
    return text(port, "protocol") or "TCP"


def _choice(port: Object, declared: Sequence[Object]) -> Any:
    """The declared port that was probably meant: of the same name or number, or the only one of the protocol."""
    same = [one for one in declared if _protocol(one) == _protocol(port)]
    for one in same:
        if text(one, "name") and text(one, "name") == text(port, "name"):
            return dig(one, "containerPort")
    numbers = [dig(one, "containerPort") for one in same]
    return dig(port, "port") if dig(port, "port") in numbers else next(iter(numbers), None)


def _declared(port: object) -> str:
    number = dig(port, "containerPort") or dig(port, "port")
    name = f"{text(port, 'name')} " if text(port, "name") else ""
    return f"{name}{number}/{_protocol(port)}"


def _port_severity(context: Context) -> Severity:
    lags = _lags(context, "spec", "ports")
    return unless_young(unchanged(context.world, context.world.template)) if lags else Severity.ERROR


@rule(
    "MCS056",
    "A NetworkPolicy keeps other clusters' Pods out",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="NetworkPolicies in the provider select the Pods of the Service, and no rule of them lets the Pods of a "
    "consumer in. Selectors of Pods and namespaces mean those of the own cluster.",
    evidence="spec.ingress of the NetworkPolicies, and spec.podCIDRs of the consumers' nodes.",
    fix="Add a NetworkPolicy that lets the consumers' Pod ranges in.",
)
def network_policy(context: Context) -> Iterator[Finding]:
    """A warning where a rule names addresses, or Cilium may join the clusters: then it is not certain."""
    world, pods = context.world, _selected(context)
    snapshot = world.snapshot(context.cluster)
    consumers = [name for name in world.consumers if name != context.cluster]
    policies = [
        one
        for one in snapshot.list(NETWORKPOLICIES, world.namespace)
        if pods and "Ingress" in (texts(one, "spec", "policyTypes") or ("Ingress",))
        if any(selects(dig(one, "spec", "podSelector"), labels_of(pod)) for pod in pods)
    ]
    rules = [one for policy in policies for one in items(policy, "spec", "ingress")]
    for consumer in consumers if policies else ():
        ranges = [*_ranges(world, consumer)]
        known = ", ".join(map(str, ranges))
        probed = world.members[consumer].probes if consumer in world.members else None
        answered = any(one.step == "endpoint" and one.ok for one in probed or ())
        if answered or any(_lets_in(context, one, ranges) for one in rules):
            continue
        certain = not any(dig(peer, "ipBlock") is not None for one in rules for peer in items(one, "from"))
        certain &= not any(text(one, "metadata", "name") == "cilium" for one in snapshot.list(DAEMONSETS))
        names = ", ".join(sorted(text(one, "metadata", "name") for one in policies))
        finding = context.found(
            _ref(context, NETWORKPOLICIES.kind, text(policies[0], "metadata", "name")),
            f"{names} in {context.cluster}: no rule lets the Pods of {consumer} in",
            evidence=f"{len(rules)} ingress rules; Pods of {consumer}: {known or 'range unknown'}",
            fix=apply_command(world.kubectl(context.cluster), _opening(context, pods[0], ranges, consumer))
            if ranges
            else f"{world.kubectl(consumer)} get pods -A -o wide",
            severity=Severity.ERROR if certain else Severity.WARNING,
        )
        yield replace(finding, clusters=frozenset({context.cluster, consumer}))


def _ranges(world: World, cluster: str) -> Iterator[IPv4Network | IPv6Network]:
    """The Pod ranges of a cluster's nodes, if they state them."""
    for node in world.snapshot(cluster).list(NODES):
        for one in texts(node, "spec", "podCIDRs") or [text(node, "spec", "podCIDR")]:
            try:
                yield ip_network(one, strict=False)
            except ValueError:
                continue


def _lets_in(context: Context, ingress: Object, ranges: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a rule lets in some of the addresses; one for other ports than the Service's lets nothing in."""
    targets = [dig(port, "targetPort") or dig(port, "port") for port in items(_service(context), "spec", "ports")]
    ports = items(ingress, "ports")
    if ports and not any(_covers(port, target) for port in ports for target in targets):
        return False
    peers = items(ingress, "from")
    return not peers or any(_overlaps(text(peer, "ipBlock", "cidr"), ranges) for peer in peers)


def _covers(port: object, target: Any) -> bool:
    first, last = dig(port, "port"), dig(port, "endPort")
    if isinstance(first, int) and isinstance(target, int):
        return first <= target <= (last if isinstance(last, int) else first)
    # A name and a number may well be the same port.
    return first is None or first == target or type(first) is not type(target)


def _overlaps(cidr: str, ranges: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        block = ip_network(cidr, strict=False)
    except ValueError:
        return False
    return not block.prefixlen or any(block.version == one.version and block.overlaps(one) for one in ranges)


def _opening(
    context: Context, pod: Object, ranges: Sequence[IPv4Network | IPv6Network], consumer: str
) -> Mapping[str, Any]:
    """A policy that lets the ranges reach the Pods."""
    own = {key: value for key, value in labels_of(pod).items() if key in _selector(context)}
    return {
        "apiVersion": NETWORKPOLICIES.api_version,
        "kind": NETWORKPOLICIES.kind,
        "metadata": {"name": f"{context.world.name}-from-{consumer}", "namespace": context.world.namespace},
        "spec": {
            "podSelector": {"matchLabels": own},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"ipBlock": {"cidr": str(one)}} for one in ranges]}],
        },
    }


@rule(
    "MCS057",
    "No EndpointSlice has the Pods",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="The Pods are ready, and no EndpointSlice of the provider has them: its kube-controller-manager does not "
    "work. Of a Service without selector nobody but its owner makes slices.",
    evidence="The ready Pods, and the EndpointSlices of the Service in the provider.",
    fix="Give the Service a selector or slices; or mend the kube-controller-manager.",
)
def no_slices(context: Context) -> Iterator[Finding]:
    """The fix of a Service without selector takes the label of Pods that has its name."""
    world, service = context.world, _service(context)
    known = _addresses(world, context.cluster)
    if service is None or known or text(service, "spec", "type") == "ExternalName":
        return
    ready = [pod for pod in _selected(context) if _is_ready(pod)]
    kubectl = world.kubectl(context.cluster)
    if ready:
        since = max(age(world, condition(pod, "Ready"), "lastTransitionTime") for pod in ready)
        yield context.found(
            _ref(context, wk.SLICE_KIND),
            f"{len(ready)} Pods in {context.cluster} are ready, and no EndpointSlice has them",
            evidence=f"EndpointSlices of the Service: {len(own_slices(world, context.cluster))}, without addresses",
            fix=f"{kubectl} -n kube-system get pods -l component=kube-controller-manager",
            severity=unless_young(min(since, unchanged(world, service))),
        )
    elif not _selector(context) and not reserved_problem(world.namespace, world.name):
        labels = [
            (key, value)
            for pod in _pods(context)
            for key, value in sorted(labels_of(pod).items())
            if value == world.name and key not in _SERIAL
        ]
        yield context.found(
            _ref(context),
            f"the Service has no selector, and no EndpointSlice in {context.cluster}",
            evidence=f"EndpointSlices of the Service: {len(own_slices(world, context.cluster))}, without addresses",
            fix=_patch_service(context, {"spec": {"selector": dict(labels[:1])}})
            if labels
            else _show(context, "get", "pods", "-o", "wide", "--show-labels"),
            severity=unless_young(unchanged(world, world.template), _severity(context)),
        )


@rule(
    "MCS059",
    "A ResourceQuota keeps Pods from being created",
    Link.PROVIDER,
    Scope.PROVIDER,
    meaning="The provider's API server refuses Pods of the workload, as the quota of the namespace is used up.",
    evidence="The condition ReplicaFailure of the Deployment, or the event FailedCreate of the StatefulSet.",
    fix="Raise the quota, or let the Pods ask for less.",
)
def quota(context: Context) -> Iterator[Finding]:
    """A warning if it has some Pods."""
    world = context.world
    for kind, one in _workloads(world, context.cluster, _selector(context)):
        message = _quota_message(context, kind, one)
        if message:
            yield context.found(
                _ref(context, kind.kind, text(one, "metadata", "name")),
                f"{kind.kind} {text(one, 'metadata', 'name')} in {context.cluster} gets no Pods: the quota is used up",
                evidence=message,
                fix=_raise_quota(context, one, message),
                severity=Severity.WARNING if _selected(context) else _severity(context),
            )


def _quota_message(context: Context, kind: Kind, workload: Object) -> str:
    """Why Pods of a workload are refused, if it is a quota and Pods are missing; empty if not."""
    failed = condition(workload, "ReplicaFailure")
    messages = [text(failed, "message")] if text(failed, "status") == "True" else []
    if kind is STATEFULSETS and _count(workload, "status") < _count(workload, "spec"):
        uid = text(workload, "metadata", "uid")
        events = context.world.snapshot(context.cluster).list(EVENTS, context.world.namespace)
        messages += [text(one, "message") for one in events if text(one, "involvedObject", "uid") == uid]
    return next((one for one in messages if "exceeded quota" in one), "")


def _count(workload: Object, part: str) -> int:
    """The replicas of its spec or status."""
    found = dig(workload, part, "replicas")
    return found if isinstance(found, int) else int(part == "spec")


def _raise_quota(context: Context, workload: Object, message: str) -> str:
    """For numbers of objects: to what is used and what is missing. Quantities of other units are for people."""
    found = re.search(r"exceeded quota: ([^,\s]+), requested: (\S+), used: (\S+), limited: (\S+)", message)
    world = context.world
    kubectl = world.kubectl(context.cluster)
    if found is None:
        return f"{kubectl} -n {shlex.quote(world.namespace)} describe {QUOTAS.plural}"
    name, requested, used, _ = found.groups()
    there = dict(pair.split("=", 1) for pair in used.split(",") if "=" in pair)
    asked = dict(pair.split("=", 1) for pair in requested.split(",") if "=" in pair)
    missing = _count(workload, "spec") - _count(workload, "status")
    obj = {"metadata": {"name": name, "namespace": world.namespace}}
    if not all(one.isdecimal() for one in [*there.values(), *asked.values()]):
        return f"{kubectl} {where(obj)} describe {QUOTAS.plural} {named(obj)}"
    hard = {key: str(int(there.get(key, 0)) + int(each) * max(1, missing)) for key, each in asked.items()}
    return patch_command(kubectl, QUOTAS, obj, {"spec": {"hard": hard}})
