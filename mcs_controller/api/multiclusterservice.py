"""MultiClusterService (contract 1.1)."""

from __future__ import annotations

import msgspec

from informers.meta import Condition, ObjectMeta
from mcs_controller.api.common import without_server_state


class ListedPort(msgspec.Struct, frozen=True):
    """An entry of `spec.ports`: a port of the Service, by its name, its number, or both."""

    port: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.port})" if self.name else str(self.port)


class MultiClusterService(msgspec.Struct, frozen=True):
    """networking.karmada.io/v1alpha1 MultiClusterService.

    Attributes:
        types: exposure types, as written.
        providers: names in `spec.providerClusters`; None if the list is empty or absent, which means every cluster.
        consumers: the same for `spec.consumerClusters`.
        ports: `spec.ports`; empty means every port.
        conditions: `status.conditions`.
        raw: the object as JSON, without status and managedFields.
    """

    metadata: ObjectMeta
    types: tuple[str, ...]
    providers: frozenset[str] | None
    consumers: frozenset[str] | None
    ports: tuple[ListedPort, ...]
    conditions: tuple[Condition, ...]
    raw: bytes

    @property
    def is_cross_cluster(self) -> bool:
        """Whether this project's controllers act on it."""
        return "CrossCluster" in self.types


class _ClusterName(msgspec.Struct):
    name: str


class _Spec(msgspec.Struct, rename="camel"):
    types: tuple[str, ...] = ()
    ports: tuple[ListedPort, ...] | None = None
    provider_clusters: list[_ClusterName] | None = None
    consumer_clusters: list[_ClusterName] | None = None


class _Status(msgspec.Struct):
    conditions: tuple[Condition, ...] | None = None


class _Wire(msgspec.Struct):
    metadata: ObjectMeta
    spec: _Spec
    status: _Status | None = None


_wire = msgspec.json.Decoder(_Wire)


def _names(clusters: list[_ClusterName] | None) -> frozenset[str] | None:
    return frozenset(cluster.name for cluster in clusters) if clusters else None


def decode_multiclusterservice(raw: bytes | msgspec.Raw) -> MultiClusterService:
    """Decode a MultiClusterService."""
    wire = _wire.decode(raw)
    return MultiClusterService(
        metadata=wire.metadata,
        types=wire.spec.types,
        providers=_names(wire.spec.provider_clusters),
        consumers=_names(wire.spec.consumer_clusters),
        ports=wire.spec.ports or (),
        conditions=(wire.status.conditions if wire.status else None) or (),
        raw=without_server_state(raw),
    )
