"""Objects that every cluster has of its own, and that no control plane may propagate over them.

`default/kubernetes` is the Service of a cluster's own API server: written over, or given another cluster's endpoints,
its Pods ask another API server half of the time. Whatever propagates by name asks here first: MultiClusterServices,
ServiceExports, ServiceImports and policies; and the execution controller, whoever made the Work.

A Service is reserved with its endpoints: an EndpointSlice of any name that is labelled as one of `default/kubernetes`
does the same harm as one of that name, and so do Endpoints, of which each cluster makes slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ANY: Final = "*"
"""Stands for any namespace."""


class ReservedObject(NamedTuple):
    """One object, or one in each namespace."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


BUILT_IN: Final = (
    ReservedObject("Service", "default", "kubernetes"),
    ReservedObject("EndpointSlice", "default", "kubernetes"),
    ReservedObject("Endpoints", "default", "kubernetes"),
    ReservedObject("Service", "kube-system", "kube-dns"),
    ReservedObject("ConfigMap", ANY, "kube-root-ca.crt"),
    ReservedObject("ConfigMap", "kube-system", "extension-apiserver-authentication"),
    ReservedObject("ConfigMap", "kube-system", "kube-apiserver-legacy-service-account-token-tracking"),
    ReservedObject("ConfigMap", "kube-public", "cluster-info"),
    ReservedObject("ServiceAccount", ANY, "default"),
)
"""What Kubernetes itself makes in every cluster. `--reserved-objects` adds to it."""


SYSTEM_NAMESPACES: Final = frozenset(
    {"kube-system", "kube-public", "kube-node-lease", wk.SYSTEM_NAMESPACE, wk.CLUSTER_NAMESPACE}
)
"""Besides the execution namespaces, and that of the controller's Lease."""


@dataclass(frozen=True, slots=True)
class ReservedObjects:
    """All that are reserved here.

    Attributes:
        objects: that every cluster has of its own.
        namespaces: of the control plane that take no slices from members.
    """

    objects: frozenset[ReservedObject] = frozenset(BUILT_IN)
    namespaces: frozenset[str] = SYSTEM_NAMESPACES

    @classmethod
    def parse(cls, items: Iterable[str], namespaces: Iterable[str] = ()) -> ReservedObjects:
        """The built-in ones and these, each ``Kind/namespace/name``; ``*`` as the namespace is any.

        Raises:
            ValueError: naming the item that is none.
        """
        found = set(BUILT_IN)
        for item in items:
            parts = item.split("/")
            if len(parts) != 3 or not all(parts):
                raise ValueError(f"{item!r} is not Kind/namespace/name, such as Service/kube-system/metrics-server")
            found.add(ReservedObject(*parts))
        return cls(frozenset(found), SYSTEM_NAMESPACES.union(namespaces))

    def problem(self, kind: str, namespace: str, name: str, labels: Mapping[str, str] | None = None) -> str | None:
        """Why an object is not propagated, for people; None if it may be. Of slices `labels` name the Service."""
        if self._includes(kind, namespace, name):
            return f"every cluster has a {kind} {namespace}/{name} of its own, which is neither replaced nor shared"
        service = {"Endpoints": name, wk.SLICE_KIND: (labels or {}).get(wk.SERVICE_NAME, "")}.get(kind, "")
        if service and self._includes(wk.SERVICE_KIND, namespace, service):
            return f"every cluster has a Service {namespace}/{service} of its own, which gets no endpoints of others"
        return None

    def _includes(self, kind: str, namespace: str, name: str) -> bool:
        return not self.objects.isdisjoint(ReservedObject(kind, one, name) for one in (namespace, ANY))

    def export_problem(self, namespace: str, name: str) -> str | None:
        """Why no member's slices of that Service are imported into the control plane; None if they may be.

        Whether it exports a Service is the member's to say; what is in these namespaces is not.
        """
        if namespace in self.namespaces or namespace.startswith(wk.EXECUTION_PREFIX):
            return f"namespace {namespace} of the control plane takes no EndpointSlices from members"
        return self.problem(wk.SERVICE_KIND, namespace, name)


RESERVED: Final = ReservedObjects()
"""The built-in ones."""
