"""Worlds of one service, built from objects: healthy unless a test adds what breaks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.verdict import diagnose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.world import Kind, Object, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE, NAME = "shop", "web"
OLD = "2025-12-01T00:00:00Z"


def ago(seconds: float) -> str:
    """A time of the API, so long before `NOW`."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name: str = NAME, **fields: Any) -> dict[str, Any]:
    """Metadata of an old object of the service's namespace."""
    return {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "creationTimestamp": OLD} | fields


def thing(name: str = NAME, *, labels: Mapping[str, str] | None = None, **content: Any) -> dict[str, Any]:
    """An object; `metadata` in the content is merged."""
    given = content.pop("metadata", {})
    return {"metadata": meta(name, **({"labels": dict(labels)} if labels else {}), **given), **content}


def named(name: str, **fields: Any) -> dict[str, Any]:
    """A cluster-scoped object."""
    return {"metadata": {"name": name, "creationTimestamp": OLD} | fields.pop("metadata", {}), **fields}


def mcs(providers: Sequence[str] = (), consumers: Sequence[str] = (), **spec: Any) -> dict[str, Any]:
    """The MultiClusterService; empty lists mean every cluster."""
    fields: dict[str, Any] = {"types": ["CrossCluster"]}
    fields |= {"providerClusters": [{"name": one} for one in providers]} if providers else {}
    fields |= {"consumerClusters": [{"name": one} for one in consumers]} if consumers else {}
    return thing(spec=fields | spec)


def service(**spec: Any) -> dict[str, Any]:
    """The Service, in the control plane or a member."""
    return thing(spec={"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80}]} | spec)


def binding(clusters: Sequence[str], **spec: Any) -> dict[str, Any]:
    """Its ResourceBinding, scheduled to clusters."""
    return thing(f"{NAME}-service", spec={"clusters": [{"name": one} for one in clusters]} | spec)


def pod(name: str = f"{NAME}-1", *, ready: bool = True, address: str = "10.1.0.5", **content: Any) -> dict[str, Any]:
    """A Pod of the service that has been as it is for long."""
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": OLD}]
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
    return thing(
        name,
        labels=content.pop("labels", {"app": NAME}),
        spec={"containers": content.pop("containers", [{"name": "web"}])},
        status=status | content.pop("status", {}),
        **content,
    )


def endpointslice(addresses: Sequence[str] = ("10.1.0.5",), **content: Any) -> dict[str, Any]:
    """A slice of the service, of a provider's own."""
    labels = content.pop("labels", {"kubernetes.io/service-name": NAME})
    return thing(
        f"{NAME}-abc",
        labels=labels,
        addressType="IPv4",
        endpoints=[{"addresses": [one], "conditions": {"ready": True}} for one in addresses],
        ports=content.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}]),
        **content,
    )


def world(
    clusters: Sequence[str] = ("member1", "member2"),
    *,
    host: Mapping[Kind, Sequence[Object]] | None = None,
    members: Mapping[str, Mapping[Kind, Sequence[Object]]] | None = None,
    **about: Any,
) -> World:
    """Service shop/web from member1 to member2, which works; what is given replaces what there is of a kind."""
    planes: dict[str, dict[Kind, Sequence[Object]]] = {
        name: {
            w.NAMESPACES: [named(NAMESPACE)],
            w.SERVICES: [service()],
            w.SLICES: [endpointslice()] if name == "member1" else [],
            w.PODS: [pod()] if name == "member1" else [],
            w.NODES: [named("node", spec={"podCIDRs": [f"10.{number}.0.0/16"]})],
        }
        for number, name in enumerate(clusters, 1)
    }
    plane: dict[Kind, Sequence[Object]] = {
        w.CLUSTERS: [named(one) for one in clusters],
        w.MULTICLUSTERSERVICES: [mcs(["member1"], ["member2"])],
        w.SERVICES: [service()],
        w.NAMESPACES: [named(NAMESPACE)],
        w.BINDINGS: [binding(clusters)],
    }
    every = (w.NETWORKPOLICIES, w.QUOTAS, w.DEPLOYMENTS, w.STATEFULSETS, w.DAEMONSETS, w.EVENTS, w.POLICIES)
    snapshot = _snapshot("", dict.fromkeys(every, ()) | plane | dict(host or {}))
    observed = {
        name: _snapshot(name, dict.fromkeys(every, ()) | found | dict((members or {}).get(name, {})))
        for name, found in planes.items()
    }
    return w.World(now=NOW, host=snapshot, members=observed, service=(NAMESPACE, NAME), **about)


def _snapshot(name: str, objects: Mapping[Kind, Sequence[Object]]) -> w.Snapshot:
    snapshot = w.Snapshot(name=name, kubectl=f"kubectl --context {name or 'karmada'}")
    for kind, found in objects.items():
        snapshot.add(kind, found)
    return snapshot


def found(code: str, observed: World) -> list[Finding]:
    """What one rule finds."""
    return list(diagnose(observed, [RULES[code]]).findings)


def the(code: str, observed: World) -> Finding:
    """The one thing that a rule finds."""
    (finding,) = found(code, observed)
    return finding
