"""Validation of an object's JSON shape, once, where it is decoded: the rules rely on it.

API servers enforce schemas for the kinds that they know. A hostile one does not, and none does for what a Work carries
or reports of a member. So an object of another shape counts as one that cannot be decoded, and no rule has to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.errors import UNDECODABLE
from informers.resource import GroupVersionKind

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonObject = dict[str, Any]
"""A decoded JSON object whose keys we do not know beforehand."""

MAX_NESTING: Final = 100
"""Levels of an object. The rules take up to three of Python's 1000 frames for each; known kinds have a dozen."""

SERVICE: Final = GroupVersionKind("v1", "Service")
ENDPOINTSLICE: Final = GroupVersionKind("discovery.k8s.io/v1", "EndpointSlice")
NAMESPACE: Final = GroupVersionKind("v1", "Namespace")
CONFIGMAP: Final = GroupVersionKind("v1", "ConfigMap")


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct, rename="camel"):
    metadata: _Meta
    api_version: str = ""
    kind: str = ""


class _ServicePort(msgspec.Struct, rename="camel"):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    node_port: int | None = None
    target_port: int | str | None = None


class _ServiceSpec(msgspec.Struct, rename="camel"):
    type: str = ""
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: list[str] | None = None
    internal_traffic_policy: str | None = None
    load_balancer_class: str | None = None
    selector: dict[str, str] | None = None
    ports: list[_ServicePort] | None = None


class Ingress(msgspec.Struct, rename="camel"):
    """One of `status.loadBalancer.ingress`."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str = ""
    ports: list[JsonObject] | None = None


class _LoadBalancer(msgspec.Struct):
    ingress: list[Ingress] | None = None


class _ServiceStatus(msgspec.Struct, rename="camel"):
    load_balancer: _LoadBalancer | None = None


class _Service(msgspec.Struct):
    spec: _ServiceSpec | None = None
    status: _ServiceStatus | None = None


class _Endpoint(msgspec.Struct, gc=False):
    """Only copied: all that matters is that it is an object. There may be a thousand of them."""


class _SlicePort(msgspec.Struct):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class _Slice(msgspec.Struct, rename="camel"):
    address_type: str = ""
    endpoints: list[_Endpoint] | None = None
    ports: list[_SlicePort] | None = None


class _Namespace(msgspec.Struct):
    spec: JsonObject | None = None


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] | None = None


_SHAPES: Final[Mapping[GroupVersionKind, type[msgspec.Struct]]] = {
    SERVICE: _Service,
    ENDPOINTSLICE: _Slice,
    NAMESPACE: _Namespace,
    CONFIGMAP: _ConfigMap,
}
"""As much of each kind as the rules look into."""


_CONTAINERS: Final = frozenset({dict, list})


def decode_value(raw: bytes | msgspec.Raw) -> Any:
    """Any JSON as plain dicts and lists. A `msgspec.Raw` may be what this refuses: it was only skipped.

    Raises:
        msgspec.DecodeError: it is not JSON in UTF-8, has numbers out of range, or is nested too deep.
    """
    try:
        value = msgspec.json.decode(raw)
    except UNDECODABLE as error:
        raise msgspec.DecodeError(str(error)) from error
    check_nesting(raw, value)
    return value


def check_nesting(raw: bytes | msgspec.Raw, value: Any) -> None:
    """Refuse JSON nested deeper than MAX_NESTING; `value` is the decoded JSON, or its part that is plain dicts.

    Raises:
        msgspec.ValidationError: it is.
    """
    text = bytes(raw)
    if text.count(b"{") + text.count(b"[") <= MAX_NESTING:
        return
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [
            one for node in level for one in (node.values() if type(node) is dict else node) if type(one) in _CONTAINERS
        ]
        if not level:
            return
    raise msgspec.ValidationError(f"nested deeper than {MAX_NESTING} levels")


def decode_object(raw: bytes | msgspec.Raw, kind: GroupVersionKind | None = None) -> JsonObject:
    """An object as plain dicts and lists, of the shape that its kind has.

    With a `kind` it is of that one, also if it does not say so: servers leave it out of a list's items.

    Raises:
        msgspec.DecodeError: it is not (msgspec.ValidationError included).
    """
    content: JsonObject = decode_value(raw)
    head = msgspec.convert(content, _Object)
    says = GroupVersionKind(head.api_version, head.kind)
    if kind is not None and says != kind:
        if any(says):
            raise msgspec.ValidationError(f"it is a {says}")
        content = {"apiVersion": kind.api_version, "kind": kind.kind} | content
    check_shape(content, kind or says)
    return content


def check_shape(content: JsonObject, kind: GroupVersionKind) -> None:
    """Refuse an object that has not the shape of its kind. Raises msgspec.ValidationError."""
    if (shape := _SHAPES.get(kind)) is not None:
        msgspec.convert(content, shape)
