"""What an API server fills in where a manifest says nothing, for the kinds that this project makes itself.

Each function completes what is wanted and what is there, so that they differ only where the difference is meant.
Semantics: pkg/apis/{core,discovery}/v1/defaults.go and the Service registry of Kubernetes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcs_controller.api.common import JsonObject

_EMPTY: tuple[Any, ...] = (None, "", [], {})
_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


def _service(wanted: JsonObject, there: JsonObject) -> None:
    spec, observed = dict(wanted.get("spec") or {}), dict(there.get("spec") or {})
    if spec.get("type") != "ExternalName":
        # Allocated by the member and immutable there, whatever address the template has elsewhere.
        spec |= {key: observed[key] for key in ("clusterIP", "clusterIPs") if observed.get(key)}
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if observed.get(key):
                spec.setdefault(key, observed[key])
    if (observed.get("healthCheckNodePort") or 0) > 0:
        spec["healthCheckNodePort"] = observed["healthCheckNodePort"]
    if spec.get("type") in _NODE_PORT_TYPES:
        spec["ports"] = _with_node_ports(spec.get("ports") or [], observed.get("ports") or [])
    wanted["spec"] = _complete_service(spec)
    there["spec"] = _complete_service(observed)


def _with_node_ports(ports: list[JsonObject], observed: list[JsonObject]) -> list[JsonObject]:
    """The server keeps a node port that an update does not name, by the name of the port; so do we."""
    taken = {port.get("nodePort") for port in ports}
    known = {
        port.get("name", ""): node_port
        for port in observed
        if (node_port := port.get("nodePort")) and node_port not in taken
    }
    filled = []
    for port in ports:
        node_port = port.get("nodePort") or known.get(port.get("name", ""))
        filled.append(port | {"nodePort": node_port} if node_port else port)
    return filled


def _complete_service(spec: JsonObject) -> JsonObject:
    spec = {key: value for key, value in spec.items() if value not in _EMPTY}
    if spec.get("publishNotReadyAddresses") is False:
        del spec["publishNotReadyAddresses"]
    kind = spec.setdefault("type", "ClusterIP")
    if spec.setdefault("sessionAffinity", "None") == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    else:
        spec.pop("sessionAffinityConfig", None)
    if kind != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind in _NODE_PORT_TYPES or (kind == "ClusterIP" and spec.get("externalIPs")):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if "ports" in spec:
        spec["ports"] = [_complete_service_port(port) for port in spec["ports"]]
    return spec


def _complete_service_port(port: JsonObject) -> JsonObject:
    port = {key: value for key, value in port.items() if value not in (*_EMPTY, 0)}
    return {"protocol": "TCP", "targetPort": port.get("port")} | port


def _slice(wanted: JsonObject, there: JsonObject) -> None:
    for slice_ in (wanted, there):
        ports = [{"name": "", "protocol": "TCP"} | port for port in slice_.get("ports") or ()]
        for key, value in (("ports", ports), ("endpoints", slice_.get("endpoints"))):
            slice_.pop(key, None)
            if value:
                slice_[key] = value


def _namespace(wanted: JsonObject, there: JsonObject) -> None:
    # Its finalizers go through a subresource of their own, and "kubernetes" is put there by the server.
    for namespace in (wanted, there):
        spec = {key: value for key, value in (namespace.pop("spec", None) or {}).items() if key != "finalizers"}
        if spec:
            namespace["spec"] = spec


FILLED_IN: Mapping[tuple[str, str], Callable[[JsonObject, JsonObject], None]] = {
    ("v1", wk.SERVICE_KIND): _service,
    (wk.SLICE_API_VERSION, wk.SLICE_KIND): _slice,
    ("v1", wk.NAMESPACE_KIND): _namespace,
}
"""By (apiVersion, kind): completes what is wanted and what is there, both the caller's own copies."""
