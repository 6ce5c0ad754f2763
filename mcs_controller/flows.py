"""Flows: whose work a request is, for queues and token buckets that are fair between them.

The widest part says who must not delay others: a member cluster, or a namespace, which is a tenant. Narrower parts keep
services of one member apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from informers.meta import ObjectKey
from mcs_controller.domain.collect import service_of_slice
from mcs_controller.domain.naming import NotAnExecutionNamespace, cluster_of_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.cache.store import Store
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work
    from mcs_controller.runtime.reconcile import ClusterRequest, Request
    from workqueue import Flow


class _Namespaced(Protocol):
    @property
    def namespace(self) -> str: ...


def by_namespace(request: _Namespaced) -> Flow:
    """Of the tenant."""
    return (("Namespace", request.namespace),)


def by_cluster(request: Request) -> Flow:
    """Of the member, for requests that name a Cluster."""
    return _member(request.name)


def by_member(request: ClusterRequest) -> Flow:
    """Of the member, and the namespace in it."""
    return (*_member(request.cluster), request.namespace)


def by_execution_namespace(request: Request) -> Flow:
    """Of the member, for requests that name a Work; one of no member is its namespace's."""
    try:
        return _member(cluster_of_namespace(request.namespace))
    except NotAnExecutionNamespace:
        return by_namespace(request)


def by_work(works: Store[Work]) -> Callable[[Request], Flow]:
    """Of the member, and the namespace of the object that the Work carries."""

    def flow(request: Request) -> Flow:
        work = works.get(ObjectKey(request.namespace, request.name))
        return (*by_execution_namespace(request), work.ref.namespace if work is not None and work.ref else "")

    return flow


def by_service(slices: Callable[[str], Store[EndpointSlice] | None]) -> Callable[[ClusterRequest], Flow]:
    """Of the provider, then of the namespace, then of the service that the slice belongs to as far as that is known."""

    def flow(request: ClusterRequest) -> Flow:
        store = slices(request.cluster)
        slice_ = store.get(ObjectKey(request.namespace, request.name)) if store is not None else None
        service = service_of_slice(slice_) if slice_ is not None else None
        return (*by_member(request), service[1] if service is not None else "")

    return flow


def _member(cluster: str) -> Flow:
    return (("Cluster", cluster),)
