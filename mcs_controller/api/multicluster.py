"""ServiceExport and ServiceImport of the sig-multicluster mcs-api (contract 1.5)."""

from __future__ import annotations

import msgspec

from informers.meta import ObjectMeta


class ServiceExport(msgspec.Struct, frozen=True):
    """multicluster.x-k8s.io/v1alpha1 ServiceExport: that it is there is all that it says."""

    metadata: ObjectMeta


class ImportedPort(msgspec.Struct, frozen=True, rename="camel"):
    """One port of a ServiceImport, or as much of a Service's port as a ServiceImport can say."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class ServiceImport(msgspec.Struct, frozen=True):
    """multicluster.x-k8s.io/v1alpha1 ServiceImport.

    Attributes:
        type: ClusterSetIP or Headless.
        ips: addresses of the service in the cluster set, at most one.
    """

    metadata: ObjectMeta
    type: str
    ports: tuple[ImportedPort, ...]
    ips: tuple[str, ...]


class _Spec(msgspec.Struct):
    type: str = ""
    ports: tuple[ImportedPort, ...] | None = None
    ips: tuple[str, ...] | None = None


class _Wire(msgspec.Struct):
    metadata: ObjectMeta
    spec: _Spec


_wire = msgspec.json.Decoder(_Wire)


def decode_serviceimport(raw: bytes | msgspec.Raw) -> ServiceImport:
    """Decode a ServiceImport."""
    wire = _wire.decode(raw)
    spec = wire.spec
    return ServiceImport(metadata=wire.metadata, type=spec.type, ports=spec.ports or (), ips=spec.ips or ())
