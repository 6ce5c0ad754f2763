"""Rules about traffic: kube-proxy, DNS, nodes and NetworkPolicies of a consumer, and what a probe from a Pod showed."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any, Final

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.chain import all_endpoints, by_age, is_about, is_young, kubectl, own_slices
from mcs_controller.diagnosis.rules.objects import apply_command
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import (
    DAEMONSETS,
    DEPLOYMENTS,
    NETWORKPOLICIES,
    NODES,
    SERVICES,
    SLICES,
    Unseen,
    condition,
    dig,
    items,
    mapping,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object, ProbeResult

_KUBE_SYSTEM: Final = "kube-system"
_DNS: Final = "kube-dns"
_DNS_PODS: Final = ("describe", "pods", "-l", "k8s-app=kube-dns")


def _number(obj: Any, *path: str) -> int:
    found = dig(obj, *path)
    return found if isinstance(found, int) else 0


def _restart_proxy(context: Context) -> str:
    """A command that restarts kube-proxy; where something else does its work, one that shows what may."""
    snapshot = context.world.snapshot(context.cluster)
    unknown = snapshot.why_unseen(DAEMONSETS) or snapshot.get(DAEMONSETS, "kube-proxy", _KUBE_SYSTEM) is None
    words = ("get", "daemonsets", "-o", "wide") if unknown else ("rollout", "restart", "daemonset", "kube-proxy")
    return kubectl(context.world, context.cluster, "-n", _KUBE_SYSTEM, *words)


@rule(
    "MCS080",
    "kube-proxy is not ready in a consumer",
    Link.TRAFFIC,
    Scope.CONSUMER,
    meaning="Nodes without kube-proxy keep the rules that they had: new endpoints are not used, and old ones are.",
    evidence="status of DaemonSet kube-system/kube-proxy.",
    fix="Restart it. If its Pods do not become ready then, `kubectl describe` says why.",
)
def proxy_not_ready(context: Context) -> Iterator[Finding]:
    """An error if it is ready nowhere; a warning if it is not on some nodes."""
    daemons = context.world.snapshot(context.cluster).get(DAEMONSETS, "kube-proxy", _KUBE_SYSTEM)
    wanted, ready = (_number(daemons, "status", field) for field in ("desiredNumberScheduled", "numberReady"))
    if ready >= wanted:
        return
    rolling = _number(daemons, "status", "updatedNumberScheduled") < wanted
    partial = Severity.IN_PROGRESS if rolling else Severity.WARNING
    yield context.found(
        ObjectRef(context.cluster, "DaemonSet", "kube-proxy", _KUBE_SYSTEM),
        f"kube-proxy is ready on {ready} of {wanted} nodes of {context.cluster}",
        evidence=f"status.numberReady {ready}, status.desiredNumberScheduled {wanted}",
        fix=_restart_proxy(context),
        severity=partial if ready else Severity.ERROR,
    )


@rule(
    "MCS081",
    "The DNS of a consumer has no ready endpoint",
    Link.TRAFFIC,
    Scope.CONSUMER,
    meaning="No name is resolved in the consumer.",
    evidence="Service kube-system/kube-dns and its EndpointSlices.",
    fix="Start CoreDNS again, or see why its Pods are not ready.",
)
def dns_not_ready(context: Context) -> Iterator[Finding]:
    """Where there is no such Service, somebody else does it, which cannot be judged."""
    world, cluster = context.world, context.cluster
    snapshot = world.snapshot(cluster)
    ref = ObjectRef(cluster, "Service", _DNS, _KUBE_SYSTEM)
    if snapshot.get(SERVICES, _DNS, _KUBE_SYSTEM) is None:
        yield context.found(
            ref,
            f"whether names are resolved in {cluster} is not known: it has no Service {_DNS}",
            evidence=f"GET services/{_DNS}: 404; mcsctl doctor --probe tries it",
            severity=Severity.INFO,
        )
        return
    slices = [one for one in snapshot.list(SLICES, _KUBE_SYSTEM) if is_about(one, _DNS)]
    endpoints = all_endpoints(slices, cluster)
    if any(endpoints.values()):
        return
    stopped = next((one for one in _dns_servers(context) if dig(one, "spec", "replicas") == 0), None)
    words = ("scale", "deployment", text(stopped, "metadata", "name"), "--replicas=2") if stopped else _DNS_PODS
    yield context.found(
        ref,
        f"no endpoint of {_DNS} is ready in {cluster}",
        evidence=f"{len(endpoints)} endpoints, none ready" + ("; its Deployment has 0 replicas" if stopped else ""),
        fix=kubectl(world, cluster, "-n", _KUBE_SYSTEM, *words),
        severity=by_age(world, *slices),
    )


def _dns_servers(context: Context) -> Sequence[Object]:
    """The Deployments of CoreDNS in a consumer, or of what has its label, as far as they were read."""
    snapshot = context.world.snapshot(context.cluster)
    return () if snapshot.why_unseen(DEPLOYMENTS, _KUBE_SYSTEM) else snapshot.list(DEPLOYMENTS, _KUBE_SYSTEM)


@rule(
    "MCS082",
    "A consumer has no kube-proxy",
    Link.TRAFFIC,
    Scope.CONSUMER,
    severity=Severity.INFO,
    meaning="Something else routes the traffic of Services, mostly the network plugin. It is not looked at here.",
    evidence="The DaemonSets of kube-system.",
    fix="Nothing. mcsctl doctor --probe tries whether it works.",
    no_command="because nothing is wrong.",
)
def proxy_replaced(context: Context) -> Iterator[Finding]:
    """Named with the DaemonSets that may do it."""
    snapshot = context.world.snapshot(context.cluster)
    if snapshot.get(DAEMONSETS, "kube-proxy", _KUBE_SYSTEM) is None:
        names = sorted(text(one, "metadata", "name") for one in snapshot.list(DAEMONSETS, _KUBE_SYSTEM))
        yield context.found(
            ObjectRef(context.cluster, "DaemonSet", "kube-proxy", _KUBE_SYSTEM),
            f"{context.cluster} has no DaemonSet kube-proxy; whatever replaces it is not looked at",
            evidence=f"DaemonSets of {_KUBE_SYSTEM}: {', '.join(names[:10]) or 'none'}",
        )


@rule(
    "MCS083",
    "A NetworkPolicy of a consumer denies the way to the endpoints",
    Link.TRAFFIC,
    Scope.CONSUMER,
    meaning="A NetworkPolicy selects all Pods of the namespace in the consumer, and no policy lets any of them reach "
    "the endpoints.",
    evidence="The NetworkPolicies of the namespace with policyTypes Egress, against the addresses of the endpoints.",
    fix="Allow egress to the Pods of the providers, and to DNS.",
)
def egress_denied(context: Context) -> Iterator[Finding]:
    """Policies for some Pods do no harm to others, and what allows some of them is meant so."""
    world, consumer = context.world, context.cluster
    policies = [
        one
        for one in world.snapshot(consumer).list(NETWORKPOLICIES, world.namespace)
        if "Egress" in items(one, "spec", "policyTypes") or "egress" in mapping(one, "spec")
    ]
    denying = [one for one in policies if not mapping(one, "spec", "podSelector")]
    if not denying:
        return
    targets = sorted(
        address
        for provider in world.providers
        if provider != consumer
        for address in all_endpoints(own_slices(world, provider), provider)
    )
    rules = [each for one in policies for each in items(one, "spec", "egress")]
    if not targets or any(_allows(each, target) for each in rules for target in targets):
        return
    name = text(denying[0], "metadata", "name")
    yield context.found(
        ObjectRef(consumer, "NetworkPolicy", name, world.namespace),
        f"NetworkPolicy {name} denies Pods of {consumer} the way to the endpoints of {world.name}",
        evidence=f"no egress rule of namespace {world.namespace} allows {', '.join(targets[:5])}",
        fix=apply_command(world.kubectl(consumer), _permission(context, targets)),
    )


@rule(
    "MCS084",
    "The endpoints have no address of a family that the Service of a consumer has",
    Link.TRAFFIC,
    Scope.CONSUMER,
    meaning="kube-proxy sends what comes to an IPv4 address of a Service to IPv4 endpoints alone, and IPv6 to IPv6. No "
    "ready endpoint of the providers has an address of the families that the Service has in the consumer.",
    evidence="addressType of the slices that were brought to the consumer, and spec.ipFamilies of its Service.",
    fix="Give the Service both families, where the clusters have both. Else offer the Pods in the other family, too.",
    no_command="where a cluster has one family alone: it is chosen when the cluster is made.",
)
def family_mismatch(context: Context) -> Iterator[Finding]:
    """Not of headless Services: their names resolve to addresses of any family."""
    world, consumer = context.world, context.cluster
    service = world.snapshot(consumer).get(SERVICES, world.name, world.namespace)
    families = [one for one in items(service, "spec", "ipFamilies") if isinstance(one, str)]
    if not families or text(service, "spec", "clusterIP") == "None":
        return
    ready = {
        text(one, "addressType")
        for one in world.snapshot(consumer).list(SLICES, world.namespace)
        if is_about(one, world.name) and any(all_endpoints([one], consumer).values())
    }
    if ready and not ready & set(families):
        policy = json.dumps({"spec": {"ipFamilyPolicy": "PreferDualStack"}})
        yield context.found(
            ObjectRef(consumer, "Service", world.name, world.namespace),
            f"endpoints of {world.name} have {', '.join(sorted(ready))} addresses, its Service in {consumer} has "
            f"{', '.join(sorted(families))}",
            evidence=f"addressType of slices with ready endpoints: {', '.join(sorted(ready))}; "
            f"spec.ipFamilies: {', '.join(families)}",
            fix=kubectl(
                world,
                CONTROL_PLANE,
                "-n",
                world.namespace,
                "patch",
                "service",
                world.name,
                "--type=merge",
                "-p",
                policy,
            ),
        )


def _allows(egress: Object, address: str) -> bool:
    """Whether an egress rule reaches an address of another cluster, by any port: which of them is left open."""
    to = items(egress, "to")
    return not to or any(_contains(mapping(one, "ipBlock"), address) for one in to)


def _contains(block: Object, address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
        excepted = (ipaddress.ip_network(one, strict=False) for one in items(block, "except"))
        return parsed in ipaddress.ip_network(text(block, "cidr"), strict=False) and not any(
            parsed in one for one in excepted
        )
    except ValueError:
        return False


def _permission(context: Context, targets: Sequence[str]) -> dict[str, Any]:
    """A policy that allows egress to the Pods of the providers and to DNS."""
    world = context.world
    blocks = {
        cidr
        for provider in world.providers
        if provider != context.cluster and not world.snapshot(provider).why_unseen(NODES)
        for node in world.snapshot(provider).list(NODES)
        for cidr in items(node, "spec", "podCIDRs")
        if isinstance(cidr, str)
    } or {f"{address}/{128 if ':' in address else 32}" for address in targets}
    dns = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"allow-{world.name}-of-other-clusters", "namespace": world.namespace},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": one}} for one in sorted(blocks)]}, {"ports": dns}],
        },
    }


@rule(
    "MCS085",
    "Nodes of a member are not ready",
    Link.TRAFFIC,
    Scope.MEMBER,
    meaning="Pods on these nodes may neither ask nor answer.",
    evidence="Condition Ready of the Nodes.",
    fix="See the conditions of the node.",
    no_command="because it is the kubelet that makes a node ready, on a machine that no API server commands.",
)
def nodes_not_ready(context: Context) -> Iterator[Finding]:
    """An error if none is ready; new ones take a moment."""
    world, cluster = context.world, context.cluster
    nodes = world.snapshot(cluster).list(NODES)
    down = [
        one
        for one in nodes
        if text(condition(one, "Ready"), "status") != "True"
        and not is_young(world, text(one, "metadata", "creationTimestamp"))
    ]
    if down:
        name = text(down[0], "metadata", "name")
        yield context.found(
            ObjectRef(cluster, "Node", name),
            f"{len(down)} of {len(nodes)} nodes of {cluster} are not ready",
            evidence=f"{name}: {text(condition(down[0], 'Ready'), 'message') or 'no condition Ready'}",
            fix=kubectl(world, cluster, "describe", "node", name),
            severity=Severity.ERROR if len(down) == len(nodes) else Severity.WARNING,
        )


# --- what a probe from a Pod showed --------------------------------------------------------------------------------


def _probes(context: Context, step: str) -> Sequence[ProbeResult]:
    """What was tried of one step; nothing without `--probe`. Raises Unseen if it was asked for and did not work."""
    snapshot = context.world.snapshot(context.cluster)
    if snapshot.probe_error:
        raise Unseen(f"no probe in {snapshot.name}: {snapshot.probe_error}")
    return [one for one in snapshot.probes or () if one.step == step]


def _told(results: Iterable[ProbeResult]) -> str:
    return "; ".join(f"{one.target}: {'answers' if one.ok else one.error}" for one in list(results)[:5])


def _endpoints_fail(context: Context) -> Sequence[ProbeResult]:
    """The endpoints that were tried, if none of them answers."""
    tried = _probes(context, "endpoint")
    return () if any(one.ok for one in tried) else tried


def _is_proxy(context: Context) -> bool:
    """Whether all endpoints answer, and the Service does not."""
    service, endpoints = _probes(context, "service"), _probes(context, "endpoint")
    failed = bool(service) and not any(one.ok for one in service)
    return failed and bool(endpoints) and all(one.ok for one in endpoints)


@rule(
    "MCS090",
    "The name of the Service is not resolved",
    Link.TRAFFIC,
    Scope.CONSUMER,
    symptom=True,
    meaning="A Pod of the consumer gets no address for the name. (`--probe`)",
    evidence="The name, resolved in a Pod of the consumer.",
    fix="Restart CoreDNS. If that does not help, see whether a NetworkPolicy denies DNS.",
    no_command="if something else than a Deployment with the label k8s-app=kube-dns resolves names: the command shows "
    "its Pods.",
)
def name_not_resolved(context: Context) -> Iterator[Finding]:
    """Not if no Service answers at all: then DNS is only the first one to be noticed."""
    failed = [one for one in _probes(context, "dns") if not one.ok]
    if failed and not (_is_proxy(context) and failed[0].error != "no such name"):
        servers = _dns_servers(context)
        words = ("rollout", "restart", "deployment", text(servers[0], "metadata", "name")) if servers else _DNS_PODS
        yield context.found(
            ObjectRef(context.cluster, "Service", _DNS, _KUBE_SYSTEM),
            f"{failed[0].target} is not resolved in {context.cluster}: {failed[0].error}",
            evidence=_told(failed),
            fix=kubectl(context.world, context.cluster, "-n", _KUBE_SYSTEM, *words),
        )


@rule(
    "MCS091",
    "The Service does not answer, and its endpoints do",
    Link.TRAFFIC,
    Scope.CONSUMER,
    symptom=True,
    meaning="The rules by which the nodes of the consumer route the Service are missing or old: kube-proxy, or what "
    "replaces it, does not work. (`--probe`)",
    evidence="Connections from a Pod of the consumer to the Service and to each endpoint.",
    fix="Restart kube-proxy, and see its log. Where something else does its work, the command shows what.",
)
def service_not_routed(context: Context) -> Iterator[Finding]:
    """Only if every endpoint answers: else it may be chance which one was met."""
    world = context.world
    if _is_proxy(context):
        yield context.found(
            ObjectRef(context.cluster, "Service", world.name, world.namespace),
            f"Service {world.name} does not answer in {context.cluster}, and its endpoints do: see kube-proxy",
            evidence=_told([*_probes(context, "service"), *_probes(context, "endpoint")]),
            fix=_restart_proxy(context),
        )


@rule(
    "MCS092",
    "No endpoint can be reached",
    Link.TRAFFIC,
    Scope.CONSUMER,
    symptom=True,
    meaning="Connections from a Pod of the consumer to the endpoints time out: the Pod networks of the clusters are "
    "not connected, their ranges overlap, or a NetworkPolicy or firewall drops them. (`--probe`)",
    evidence="Connections from a Pod of the consumer to each endpoint.",
    fix="Connect the Pod networks; allow the Pod ranges of the consumer in firewalls, and in the NetworkPolicies that "
    "the command shows.",
    no_command="because routes, tunnels and firewalls between clusters are not made by their API servers. A "
    "NetworkPolicy of the provider that denies other clusters is [MCS056](#mcs056), one of the consumer "
    "[MCS083](#mcs083), and these are mended by their commands.",
)
def endpoints_unreachable(context: Context) -> Iterator[Finding]:
    """Time-outs, and what routers say."""
    world, tried = context.world, _endpoints_fail(context)
    if tried and not all(one.error == "refused" for one in tried):
        yield context.found(
            ObjectRef(context.cluster, "Service", world.name, world.namespace),
            f"no endpoint of {world.name} can be reached from {context.cluster}: their Pod networks are not connected, "
            "or a policy or firewall is in the way",
            evidence=_told(tried),
            fix=_in_provider(context, "describe", "networkpolicies"),
        )


def _in_provider(context: Context, *words: str) -> str:
    """A command that shows something of the namespace in a provider that is another cluster, if there is one."""
    world = context.world
    provider = next((one for one in world.providers if one != context.cluster), context.cluster)
    return kubectl(world, provider, "-n", world.namespace, *words)


@rule(
    "MCS093",
    "The endpoints refuse connections",
    Link.TRAFFIC,
    Scope.CONSUMER,
    symptom=True,
    meaning="The network works, and nothing listens on this port of the Pods: mostly targetPort is wrong. (`--probe`)",
    evidence="Connections from a Pod of the consumer to each endpoint.",
    fix="Correct targetPort of the Service in the control plane: the command shows the ports and probes of the Pods.",
    no_command="because only the program in the Pods knows on which port it listens. Where they declare a port, and it "
    "is another one, it is [MCS055](#mcs055), which is mended by its command.",
)
def endpoints_refuse(context: Context) -> Iterator[Finding]:
    """Of all endpoints."""
    world, tried = context.world, _endpoints_fail(context)
    selector = ",".join(f"{key}={value}" for key, value in mapping(world.template, "spec", "selector").items())
    if tried and all(one.error == "refused" for one in tried):
        yield context.found(
            ObjectRef(context.cluster, "Service", world.name, world.namespace),
            f"the endpoints of {world.name} refuse connections: see targetPort",
            evidence=_told(tried),
            fix=_in_provider(context, "describe", "pods", *(("-l", selector) if selector else ())),
        )


@rule(
    "MCS094",
    "Some endpoints answer and some do not",
    Link.TRAFFIC,
    Scope.CONSUMER,
    symptom=True,
    meaning="A part of the requests fails. (`--probe`)",
    evidence="Connections from a Pod of the consumer to each endpoint.",
    fix="See the Pods and the network of those that do not answer.",
    no_command="because from the consumer nobody can tell whether the Pod, its node or the way there is at fault. The "
    "command shows on which nodes they are.",
)
def some_endpoints_fail(context: Context) -> Iterator[Finding]:
    """With the clusters of those that do not."""
    world, tried = context.world, _probes(context, "endpoint")
    failed = [one for one in tried if not one.ok]
    if failed and len(failed) < len(tried):
        hosts = {one.target.rpartition(":")[0].strip("[]") for one in failed}
        where = [name for name in world.providers if hosts & set(all_endpoints(own_slices(world, name), name))]
        yield context.found(
            ObjectRef(context.cluster, "Service", world.name, world.namespace),
            f"{len(failed)} of {len(tried)} endpoints of {world.name} do not answer in {context.cluster}",
            evidence=f"of {', '.join(where) or 'no provider'}: {_told(failed)}",
            fix=kubectl(
                world, where[0] if where else context.cluster, "-n", world.namespace, "get", "pods", "-o", "wide"
            ),
        )
