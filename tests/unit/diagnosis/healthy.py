"""Worlds to diagnose: a healthy one, and how a test changes one thing in it.

Service `shop/web` has Pods in member1, and is consumed in member2. All objects are an hour old.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Link
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.domain.naming import work_name

if TYPE_CHECKING:
    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.verdict import Diagnosis

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, YOUNG = "2026-01-01T11:59:44Z", "2026-01-01T11:59:46Z"  # 16 and 14 seconds ago
NAMESPACE, NAME = "shop", "web"
SLICE, COPY = "web-abc12", "member1-web-abc12"
PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}]
KINDS = (w.MULTICLUSTERSERVICES, w.CLUSTERS, w.WORKS, w.BINDINGS, w.POLICIES, w.SERVICEEXPORTS)

Object = dict[str, Any]


def obj(
    name: str, namespace: str = "", /, labels: Object | None = None, marks: Object | None = None, **rest: Any
) -> Object:
    """An object with metadata that the API server would write; `marks` are its annotations."""
    metadata = {"name": name, "creationTimestamp": OLD, "labels": labels or {}, "annotations": marks or {}}
    return {"metadata": metadata | ({"namespace": namespace} if namespace else {}), **rest}


def conditions(**status: str) -> Object:
    """A status with conditions; a value may go on with a colon and a message."""
    found = []
    for kind, value in status.items():
        is_true, _, message = value.partition(":")
        found.append({"type": kind, "status": is_true, "reason": "R", "message": message, "lastTransitionTime": OLD})
    return {"conditions": found}


def slice_(name: str, *addresses: str, ready: bool = True, labels: Object | None = None, **about: Any) -> Object:
    """An EndpointSlice of the Service."""
    endpoints = [{"addresses": [one], "conditions": {"ready": ready}} for one in addresses]
    labels = {"kubernetes.io/service-name": NAME} | (labels or {})
    return obj(name, NAMESPACE, labels=labels, addressType="IPv4", endpoints=endpoints, ports=PORTS, **about)


def copy(name: str, provider: str, *addresses: str, **about: Any) -> Object:
    """An EndpointSlice that was dispatched."""
    labels = {"endpointslice.kubernetes.io/managed-by": "endpointslice-dispatch-controller.karmada.io"}
    return slice_(
        name, *addresses, labels=labels, marks={"endpointslice.karmada.io/provision-cluster": provider}, **about
    )


def work(cluster: str, kind: str, manifest: Object, name: str = "", **about: Any) -> Object:
    """The Work that holds an object for, or of, a cluster."""
    meta = manifest["metadata"]
    name = name or work_name(kind, meta.get("namespace", ""), meta["name"])
    labels = {"multiclusterservice.karmada.io/name": NAME, "multiclusterservice.karmada.io/namespace": NAMESPACE}
    spec = {"workload": {"manifests": [manifest | {"kind": kind}]}, **about.pop("spec", {})}
    return obj(name, f"karmada-es-{cluster}", labels=labels, spec=spec, **about)


def dispatched(cluster: str, provider: str, manifest: Object, **about: Any) -> Object:
    """The Work that brings a provider's slice to a cluster."""
    marks = {"endpointslice.karmada.io/provision-cluster": provider}
    origin = manifest["metadata"]["name"].removeprefix(f"{provider}-")
    status = about.pop("status", conditions(Applied="True"))
    name = work_name("EndpointSlice", NAMESPACE, origin)
    return work(cluster, "EndpointSlice", manifest, name, marks=marks, status=status, **about)


def service() -> Object:
    return obj(NAME, NAMESPACE, spec={"selector": {"app": NAME}, "ports": deepcopy(PORTS)})


def node(name: str, cidr: str, ready: str = "True") -> Object:
    return obj(name, spec={"podCIDRs": [cidr]}, status=conditions(Ready=ready))


def member(name: str, network: str) -> w.Snapshot:
    """A cluster with one node, kube-proxy, DNS, the namespace and the Service."""
    made = w.Snapshot(name=name, kubectl=f"kubectl --context {name}", version="v1.37.2", login=w.Login())
    made.add(w.NODES, [node(f"{name}-node", f"{network}.0.0/16")])
    status = {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 1}
    made.add(w.DAEMONSETS, [obj("kube-proxy", "kube-system", status=status)])
    made.add(w.SERVICES, [service(), obj("kube-dns", "kube-system", spec={"clusterIP": f"{network}.255.10"})])
    dns = slice_("kube-dns-x", f"{network}.0.2", labels={"kubernetes.io/service-name": "kube-dns"})
    dns["metadata"]["namespace"] = "kube-system"
    made.add(w.SLICES, [dns])
    made.add(w.NAMESPACES, [obj(NAMESPACE)])
    for kind in (w.SERVICECIDRS, w.NETWORKPOLICIES, w.QUOTAS, w.WEBHOOKS, w.DEPLOYMENTS, w.STATEFULSETS, w.EVENTS):
        made.add(kind, [])
    addresses = {"podIP": f"{network}.0.5", "conditions": [{"type": "Ready", "status": "True"}]}
    made.add(w.PODS, [obj(f"{NAME}-1", NAMESPACE, labels={"app": NAME}, status=addresses)])
    return made


def healthy() -> w.World:
    """Everything is well."""
    host = w.Snapshot(kubectl="kubectl --context karmada", version="v1.37.2", denied=())
    ready = conditions(Ready="True", CompleteAPIEnablements="True")
    for name in ("member1", "member2"):
        ref = {"namespace": "karmada-cluster", "name": name}
        access = {"syncMode": "Push", "apiEndpoint": f"https://{name}:6443", "secretRef": ref}
        host.add(w.CLUSTERS, [obj(name, spec=access, status=ready)])
        host.add(w.SECRETS, [obj(name, "karmada-cluster", data={"token": "", "caBundle": ""})])
    held = {"holderIdentity": "pod_1", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T11:59:58Z"}
    host.add(w.LEASES, [obj("mcs-controller-manager", "karmada-system", spec=held)])
    spec = {
        "types": ["CrossCluster"],
        "providerClusters": [{"name": "member1"}],
        "consumerClusters": [{"name": "member2"}],
    }
    well = conditions(ServiceApplied="True", EndpointSliceDispatched="True", EndpointsAvailable="True")
    served = obj(NAME, NAMESPACE, spec=spec, status=well)
    served["metadata"]["finalizers"] = ["karmada.io/multiclusterservice-controller"]
    host.add(w.MULTICLUSTERSERVICES, [served])
    host.add(w.SERVICES, [service()])
    host.add(w.NAMESPACES, [obj(name) for name in (NAMESPACE, "karmada-es-member1", "karmada-es-member2")])
    for kind in (w.LEASES, w.DEPLOYMENTS, w.CRDS, w.POLICIES, w.WORKS):
        host.add(kind, [])
    scheduled = {"clusters": [{"name": name} for name in ("member1", "member2")]}
    host.add(w.BINDINGS, [obj(f"{NAME}-service", NAMESPACE, spec=scheduled, status=conditions(Scheduled="True"))])
    own, sent = slice_(SLICE, "10.1.0.5"), copy(COPY, "member1", "10.1.0.5")
    member1, member2 = member("member1", "10.1"), member("member2", "10.2")
    member1.add(w.SLICES, [own])
    member2.add(w.SLICES, [sent])
    host.add(
        w.WORKS,
        [
            work("member1", "EndpointSlice", own, spec={"suspendDispatching": True}),
            dispatched("member2", "member1", sent),
            *(work(name, "Service", service(), status=conditions(Applied="True")) for name in ("member1", "member2")),
        ],
    )
    kinds = {kind.group_resource: frozenset({kind.api_version.rpartition("/")[2]}) for kind in KINDS}
    return w.World(
        now=NOW,
        host=host,
        members={"member1": member1, "member2": member2},
        service=(NAMESPACE, NAME),
        kinds=kinds,
    )


def remove(snapshot: w.Snapshot, kind: w.Kind, name: str, namespace: str = NAMESPACE) -> None:
    """Take an object away."""
    del snapshot._objects[kind][(namespace, name)]


def chain(world: w.World) -> Diagnosis:
    """The diagnosis of the links from delivery on; what comes before them has tests of its own."""
    return diagnose(world, [rule for rule in RULES.values() if rule.link >= Link.DELIVERY])


def found(world: w.World, code: str) -> list[Finding]:
    """What one rule finds."""
    return list(diagnose(world, [RULES[code]]).findings)


def one(world: w.World, code: str) -> Finding:
    """The only finding of one rule."""
    findings = found(world, code)
    assert [each.code for each in findings] == [code]
    return findings[0]
