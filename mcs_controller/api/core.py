"""Core Kubernetes kinds: Service, EndpointSlice, Namespace, Secret."""

from __future__ import annotations

import msgspec

from informers.errors import DecodeError
from informers.meta import ObjectMeta
from mcs_controller.api.common import JsonObject, without_server_state
from mcs_controller.api.ownership import field_tree
from mcs_controller.api.shapes import ENDPOINTSLICE, NAMESPACE, SERVICE, check_shape, decode_value


class Service(msgspec.Struct, frozen=True):
    """core/v1 Service.

    Attributes:
        spec: the spec as JSON, for telling whether it changed.
        raw: the object as JSON, without status and managedFields, and without what the server allocated: node ports
            and IP families that nobody wrote are each server's own affair.
        ingress: `status.loadBalancer.ingress` as JSON.
    """

    metadata: ObjectMeta
    spec: bytes
    raw: bytes
    ingress: bytes = b"null"


class EndpointSlice(msgspec.Struct, frozen=True, gc=False):
    """discovery.k8s.io/v1 EndpointSlice, without its owners and its age: of thousands in a cache, nobody asks for them.

    `endpoints` and `ports` stay JSON: of most slices they are never looked into, and fields of later Kubernetes
    versions travel along. They are checked when they are decoded, by `manifest`.
    """

    metadata: ObjectMeta
    address_type: str
    endpoints: bytes
    ports: bytes

    def manifest(self) -> JsonObject:
        """The slice as it may be written elsewhere: no status, and of the metadata only what a user could have set.

        Raises:
            DecodeError: the endpoints or ports are not of the shape that a slice has.
        """
        meta = self.metadata
        metadata: JsonObject = {"name": meta.name, "namespace": meta.namespace}
        if meta.generate_name:
            metadata["generateName"] = meta.generate_name
        if meta.labels:
            metadata["labels"] = dict(meta.labels)
        if meta.annotations:
            metadata["annotations"] = dict(meta.annotations)
        content: JsonObject = {
            "apiVersion": ENDPOINTSLICE.api_version,
            "kind": ENDPOINTSLICE.kind,
            "metadata": metadata,
            "addressType": self.address_type,
        }
        try:
            content |= {"endpoints": decode_value(self.endpoints), "ports": decode_value(self.ports)}
            check_shape(content, ENDPOINTSLICE)
        except msgspec.DecodeError as error:
            raise DecodeError(f"EndpointSlice {meta.namespace}/{meta.name}: {error}") from error
        return content


class Namespace(msgspec.Struct, frozen=True):
    """core/v1 Namespace; `raw` is the object as JSON, without status and managedFields."""

    metadata: ObjectMeta
    raw: bytes


class Secret(msgspec.Struct, frozen=True):
    """core/v1 Secret; the values of `data` are base64. Never put one into a store or a log line."""

    metadata: ObjectMeta
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"


class _LoadBalancer(msgspec.Struct):
    ingress: msgspec.Raw = msgspec.Raw(b"null")


class _ServiceStatus(msgspec.Struct, rename="camel"):
    load_balancer: _LoadBalancer = msgspec.field(default_factory=_LoadBalancer)


class _WireService(msgspec.Struct):
    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: _ServiceStatus = msgspec.field(default_factory=_ServiceStatus)


class _WireSlice(msgspec.Struct, rename="camel"):
    metadata: ObjectMeta
    address_type: str
    endpoints: msgspec.Raw = msgspec.Raw(b"null")
    ports: msgspec.Raw = msgspec.Raw(b"null")


class _WireNamespace(msgspec.Struct):
    metadata: ObjectMeta


_service = msgspec.json.Decoder(_WireService)
_slice = msgspec.json.Decoder(_WireSlice)
_namespace = msgspec.json.Decoder(_WireNamespace)


ALLOCATED = ("ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")
"""Fields of a Service's spec that its server fills in if nobody does. Node ports, in the list of ports, are another."""


def _without_allocations(raw: bytes | msgspec.Raw) -> bytes:
    """The Service without what no field manager has ever named: the server put it there (KEP-555)."""
    text = without_server_state(raw, SERVICE)
    content: JsonObject = msgspec.json.decode(text)
    named, spec = field_tree(raw, ()).get("f:spec"), content.get("spec")
    if not named or not spec:
        return text  # somebody wiped the record off, so that nobody can tell
    for key in ALLOCATED:
        if f"f:{key}" not in named:
            spec.pop(key, None)
    ports = named.get("f:ports") or {}
    for port in spec.get("ports") or ():
        key = msgspec.json.encode({"port": port["port"], "protocol": port.get("protocol", "TCP")}).decode()
        if "f:nodePort" not in ports.get(f"k:{key}", {}):
            port.pop("nodePort", None)
    return msgspec.json.encode(content)


def decode_service(raw: bytes | msgspec.Raw) -> Service:
    """Decode a Service."""
    text = _without_allocations(raw)
    wire = _service.decode(raw)
    return Service(
        metadata=wire.metadata,
        spec=bytes(wire.spec),
        raw=text,
        ingress=bytes(wire.status.load_balancer.ingress),
    )


def decode_endpointslice(raw: bytes | msgspec.Raw) -> EndpointSlice:
    """Decode an EndpointSlice."""
    wire = _slice.decode(raw)
    # Nobody else has seen this metadata yet, so it may be changed.
    msgspec.structs.force_setattr(wire.metadata, "owner_references", ())
    msgspec.structs.force_setattr(wire.metadata, "creation_timestamp", None)
    return EndpointSlice(
        metadata=wire.metadata,
        address_type=wire.address_type,
        endpoints=bytes(wire.endpoints),
        ports=bytes(wire.ports),
    )


def decode_namespace(raw: bytes | msgspec.Raw) -> Namespace:
    """Decode a Namespace."""
    return Namespace(metadata=_namespace.decode(raw).metadata, raw=without_server_state(raw, NAMESPACE))
