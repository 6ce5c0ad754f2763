"""ResourceBinding: which clusters get a resource (contract 1.3, the part that this project reads)."""

from __future__ import annotations

from typing import Any

import msgspec

from informers.meta import Condition, ObjectMeta
from mcs_controller.api.shapes import check_nesting


class ObjectReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`spec.resource`: the template that a binding speaks of."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class TargetCluster(msgspec.Struct, frozen=True):
    """One of `spec.clusters`, as the scheduler chose it."""

    name: str


class RequiredBy(msgspec.Struct, frozen=True):
    """One of `spec.requiredBy`: another binding that wants this resource along."""

    clusters: tuple[TargetCluster, ...] = ()


class EvictionTask(msgspec.Struct, frozen=True, rename="camel"):
    """One of `spec.gracefulEvictionTasks`."""

    from_cluster: str
    purge_mode: str = ""


class DispatchingOnClusters(msgspec.Struct, frozen=True, rename="camel"):
    """`spec.suspension.dispatchingOnClusters`."""

    cluster_names: tuple[str, ...] = ()


class Suspension(msgspec.Struct, frozen=True, rename="camel"):
    """`spec.suspension`."""

    dispatching: bool | None = None
    dispatching_on_clusters: DispatchingOnClusters | None = None
    scheduling: bool | None = None


class BindingSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`spec`; `placement` as plain dicts, because whole placements are compared."""

    resource: ObjectReference = ObjectReference()
    placement: dict[str, Any] | None = None
    conflict_resolution: str = ""
    clusters: tuple[TargetCluster, ...] = ()
    suspension: Suspension | None = None
    preserve_resources_on_deletion: bool | None = None
    graceful_eviction_tasks: tuple[EvictionTask, ...] = ()
    required_by: tuple[RequiredBy, ...] = ()
    scheduler_name: str = ""


class BindingStatus(msgspec.Struct, frozen=True, rename="camel"):
    """`status`; `aggregated_status` as plain dicts, because whole lists are compared."""

    scheduler_observed_generation: int = 0
    last_scheduled_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    aggregated_status: list[dict[str, Any]] = []


class ResourceBinding(msgspec.Struct, frozen=True):
    """work.karmada.io/v1alpha2 ResourceBinding."""

    metadata: ObjectMeta
    spec: BindingSpec
    status: BindingStatus = BindingStatus()

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """`spec.placement.clusterAffinity.clusterNames`."""
        affinity = (self.spec.placement or {}).get("clusterAffinity") or {}
        return tuple(affinity.get("clusterNames") or ())


class _Affinity(msgspec.Struct, rename="camel"):
    cluster_names: list[str] | None = None


class _Placement(msgspec.Struct, rename="camel"):
    cluster_affinity: _Affinity | None = None


_binding = msgspec.json.Decoder(ResourceBinding)


def decode_resourcebinding(raw: bytes | msgspec.Raw) -> ResourceBinding:
    """Decode a ResourceBinding."""
    binding = _binding.decode(raw)
    msgspec.convert(binding.spec.placement, _Placement | None)
    check_nesting(raw, [binding.spec.placement, binding.status.aggregated_status])
    return binding
