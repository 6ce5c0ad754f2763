"""By what the reconcilers look objects up, so that none of them ever walks through everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.tiers import is_drained
from mcs_controller.domain.works import Role, cluster_of, origin_of, role_of, service_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work

BY_SERVICE = "service"
"""Works by the (namespace, name) of the MultiClusterService they are filed under, or carry; slices by their Service's.

Never by permanent id: it changes when a client drops it, and is copied along with an object's other labels.
"""

BY_ORIGIN = "origin"
"""Works that are copies of a slice, by (role, the provider's slice)."""

BY_TARGET = "target"
"""Dispatched Works by what they make in the consumer, `Target`: two of one target overwrite each other's slice."""

BY_PROVIDER = "provider"
"""Works that carry a MultiClusterService, or a collected slice, by (role, cluster)."""

BY_CLUSTER = "cluster"
"""MultiClusterServices by the names of their clusters; those with an empty list under `EVERY_CLUSTER` too."""

EVERY_CLUSTER = "*"

BY_NAMESPACE = "namespace"
"""MultiClusterServices by their namespaces."""

BY_DRAIN = "drain"
"""Clusters that are drained for all services, under True."""


def _work_service(work: Work) -> Iterable[Hashable]:
    service = service_of(work)
    found = {service} if service is not None else set()
    if work.ref is not None and role_of(work) is Role.SERVICE:
        found.add(ObjectKey(work.ref.namespace, work.ref.name))
    return found


def _work_origin(work: Work) -> Iterable[Hashable]:
    origin = origin_of(work)
    return ((role_of(work), origin),) if origin is not None else ()


def _work_target(work: Work) -> Iterable[Hashable]:
    target = target_of(work)
    return (target,) if target is not None else ()


def _work_provider(work: Work) -> Iterable[Hashable]:
    role, cluster = role_of(work), cluster_of(work)
    return ((role, cluster),) if cluster is not None and role in (Role.SERVICE, Role.COLLECTED) else ()


def _service_clusters(mcs: MultiClusterService) -> Iterable[Hashable]:
    named = (mcs.providers or frozenset()) | (mcs.consumers or frozenset())
    return (*named, EVERY_CLUSTER) if mcs.providers is None or mcs.consumers is None else named


def _service_namespace(mcs: MultiClusterService) -> Iterable[Hashable]:
    return (mcs.metadata.namespace,)


def _drained(cluster: Cluster) -> Iterable[Hashable]:
    return (True,) if is_drained(cluster) else ()


def _slice_service(slice_: EndpointSlice) -> Iterable[Hashable]:
    name = slice_.metadata.labels.get(wk.SERVICE_NAME)
    return ((slice_.metadata.namespace, name),) if name else ()


WORK_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {
    BY_SERVICE: _work_service,
    BY_ORIGIN: _work_origin,
    BY_TARGET: _work_target,
    BY_PROVIDER: _work_provider,
}
SERVICE_INDEXES: Mapping[str, Callable[[MultiClusterService], Iterable[Hashable]]] = {
    BY_CLUSTER: _service_clusters,
    BY_NAMESPACE: _service_namespace,
}
CLUSTER_INDEXES: Mapping[str, Callable[[Cluster], Iterable[Hashable]]] = {BY_DRAIN: _drained}
SLICE_INDEXES: Mapping[str, Callable[[EndpointSlice], Iterable[Hashable]]] = {BY_SERVICE: _slice_service}
