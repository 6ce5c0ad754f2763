"""Where each kind lives on the API servers."""

from __future__ import annotations

from informers.resource import Resource, struct_decoder
from mcs_controller.api.cluster import Cluster, decode_cluster
from mcs_controller.api.core import (
    EndpointSlice,
    Namespace,
    Secret,
    Service,
    decode_endpointslice,
    decode_namespace,
    decode_service,
)
from mcs_controller.api.multicluster import ServiceExport, ServiceImport, decode_serviceimport
from mcs_controller.api.multiclusterservice import MultiClusterService, decode_multiclusterservice
from mcs_controller.api.policy import PropagationPolicy, decode_propagationpolicy
from mcs_controller.api.resourcebinding import ResourceBinding, decode_resourcebinding
from mcs_controller.api.work import Work, decode_work

MULTICLUSTERSERVICES: Resource[MultiClusterService] = Resource(
    group="networking.karmada.io",
    version="v1alpha1",
    plural="multiclusterservices",
    kind="MultiClusterService",
    decode=decode_multiclusterservice,
)
WORKS: Resource[Work] = Resource(
    group="work.karmada.io", version="v1alpha1", plural="works", kind="Work", decode=decode_work
)
RESOURCEBINDINGS: Resource[ResourceBinding] = Resource(
    group="work.karmada.io",
    version="v1alpha2",
    plural="resourcebindings",
    kind="ResourceBinding",
    decode=decode_resourcebinding,
)
PROPAGATIONPOLICIES: Resource[PropagationPolicy] = Resource(
    group="policy.karmada.io",
    version="v1alpha1",
    plural="propagationpolicies",
    kind="PropagationPolicy",
    decode=decode_propagationpolicy,
)
CLUSTERS: Resource[Cluster] = Resource(
    group="cluster.karmada.io",
    version="v1alpha1",
    plural="clusters",
    kind="Cluster",
    decode=decode_cluster,
    namespaced=False,
)
SERVICES: Resource[Service] = Resource(group="", version="v1", plural="services", kind="Service", decode=decode_service)
ENDPOINTSLICES: Resource[EndpointSlice] = Resource(
    group="discovery.k8s.io",
    version="v1",
    plural="endpointslices",
    kind="EndpointSlice",
    decode=decode_endpointslice,
)
NAMESPACES: Resource[Namespace] = Resource(
    group="", version="v1", plural="namespaces", kind="Namespace", decode=decode_namespace, namespaced=False
)
SECRETS: Resource[Secret] = Resource(
    group="", version="v1", plural="secrets", kind="Secret", decode=struct_decoder(Secret)
)
SERVICEEXPORTS: Resource[ServiceExport] = Resource(
    group="multicluster.x-k8s.io",
    version="v1alpha1",
    plural="serviceexports",
    kind="ServiceExport",
    decode=struct_decoder(ServiceExport),
)
SERVICEIMPORTS: Resource[ServiceImport] = Resource(
    group="multicluster.x-k8s.io",
    version="v1alpha1",
    plural="serviceimports",
    kind="ServiceImport",
    decode=decode_serviceimport,
)
