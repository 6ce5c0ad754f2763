"""Small objects of the kinds that the rules speak of: as wire JSON, and decoded as the caches hold them.

    content = mcs("web", providers=["m1"])          # a dict, as the API server would send it
    decoded = decode(content)                       # the typed object, through the production decoder
    work_json = collected_work("m1", slice_("web-1"))

Every builder takes only what tests vary; `metadata=` merges anything else into the metadata.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from mcs_controller.api import resources
from mcs_controller.api.cluster import Cluster
from mcs_controller.api.core import EndpointSlice, Service
from mcs_controller.api.multiclusterservice import MultiClusterService
from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name

Json = dict[str, Any]

DELETED_AT = "2026-01-02T00:00:00Z"

_DECODERS = {
    "Cluster": resources.CLUSTERS.decode,
    "EndpointSlice": resources.ENDPOINTSLICES.decode,
    "MultiClusterService": resources.MULTICLUSTERSERVICES.decode,
    "ResourceBinding": resources.RESOURCEBINDINGS.decode,
    "Service": resources.SERVICES.decode,
    "ServiceExport": resources.SERVICEEXPORTS.decode,
    "ServiceImport": resources.SERVICEIMPORTS.decode,
    "Work": resources.WORKS.decode,
}


def decode(content: Mapping[str, Any]) -> Any:
    """The typed object that a cache holds for this JSON."""
    return cast("Any", _DECODERS[content["kind"]])(msgspec.json.encode(content))


def ids(prefix: str = "id") -> Callable[[], str]:
    """A maker of permanent ids: id-1, id-2, ..."""
    made = 0

    def new_id() -> str:
        nonlocal made
        made += 1
        return f"{prefix}-{made}"

    return new_id


def _metadata(name: str, namespace: str, extra: Mapping[str, Any] | None, **fields: Any) -> Json:
    metadata: Json = {"name": name, "uid": f"uid-{namespace}-{name}", "resourceVersion": "7"}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= {key: value for key, value in fields.items() if value}
    return metadata | dict(extra or {})


_GOLDEN = Path(__file__).parents[1] / "golden"
_SERVER_ADDS = ("creationTimestamp", "generation", "resourceVersion", "uid", "managedFields")


def golden(name: str) -> Json:
    """What Karmada wrote (tests/golden/README.md): `golden("host-service")`."""
    return cast("Json", msgspec.json.decode((_GOLDEN / f"{name}.json").read_bytes()))


def golden_work(cluster: str, kind: str) -> Json:
    """The Work in a cluster's execution namespace that carries an object of that kind."""
    found = [
        one
        for one in golden(f"host-works-karmada-es-{cluster}")["items"]
        if one["spec"]["workload"]["manifests"][0]["kind"] == kind
    ]
    assert len(found) == 1
    return cast("Json", found[0])


def as_written(content: Mapping[str, Any]) -> Json:
    """An object without what the server and other controllers add to it: as its writer sent it."""
    metadata = {key: value for key, value in content["metadata"].items() if key not in _SERVER_ADDS}
    return {key: value for key, value in content.items() if key != "status"} | {"metadata": metadata}


# --- control plane ----------------------------------------------------------------------------------------------------


def cluster(
    name: str,
    *,
    ready: str | None = "True",
    apis: Mapping[str, Sequence[str]] | None = None,
    complete: str | None = "True",
    mode: str = "Push",
    metadata: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> Json:
    """A Cluster; ready and serving EndpointSlices unless told otherwise. None leaves a condition out."""
    conditions: list[Json] = []
    if ready is not None:
        conditions.append(condition("Ready", ready, "ClusterReady"))
    if complete is not None:
        conditions.append(condition("CompleteAPIEnablements", complete, "Complete"))
    served = {wk.SLICE_API_VERSION: [wk.SLICE_KIND], "v1": ["Service"]} if apis is None else apis
    return {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": _metadata(name, "", metadata),
        "spec": {"syncMode": mode, "apiEndpoint": f"https://{name}:6443", **(spec or {})},
        "status": {
            "conditions": conditions,
            "apiEnablements": [
                {"groupVersion": version, "resources": [{"kind": kind, "name": f"{kind.lower()}s"} for kind in kinds]}
                for version, kinds in served.items()
            ],
        },
    }


def condition(kind: str, status: str = "True", reason: str = "Because", message: str = "") -> Json:
    """A metav1.Condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2025-01-01T00:00:00Z",
    }


def mcs(
    name: str = "web",
    namespace: str = "default",
    *,
    providers: Iterable[str] | None = None,
    consumers: Iterable[str] | None = None,
    types: Sequence[str] = ("CrossCluster",),
    permanent_id: str = "mcs-id",
    adopted: bool = True,
    deleting: bool = False,
    conditions: Sequence[Mapping[str, Any]] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Json:
    """A MultiClusterService, with id and finalizer unless told otherwise. None leaves a cluster list out."""
    spec: Json = {"types": list(types)}
    if providers is not None:
        spec["providerClusters"] = [{"name": one} for one in providers]
    if consumers is not None:
        spec["consumerClusters"] = [{"name": one} for one in consumers]
    content: Json = {
        "apiVersion": wk.MCS_API_VERSION,
        "kind": wk.MCS_KIND,
        "metadata": _metadata(
            name,
            namespace,
            metadata,
            labels={wk.MCS_PERMANENT_ID: permanent_id} if permanent_id else {},
            finalizers=[wk.MCS_FINALIZER] if adopted else [],
            deletionTimestamp=DELETED_AT if deleting else "",
            generation=1,
        ),
        "spec": spec,
    }
    if conditions:
        content["status"] = {"conditions": [dict(one) for one in conditions]}
    return content


def service(
    name: str = "web",
    namespace: str = "default",
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Json:
    """A Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(
            name, namespace, metadata, labels=dict(labels or {}), annotations=dict(annotations or {})
        ),
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": name}, **spec},
    }


def binding(
    name: str = "web-service",
    namespace: str = "default",
    *,
    placed: Sequence[str] = (),
    resource: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (wk.BINDING_FINALIZER,),
    owners: Sequence[Mapping[str, Any]] = (),
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Json:
    """A ResourceBinding of the Service that its name says."""
    about = {"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": name.removesuffix("-service")}
    return {
        "apiVersion": wk.BINDING_API_VERSION,
        "kind": wk.BINDING_KIND,
        "metadata": _metadata(
            name,
            namespace,
            metadata,
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            finalizers=list(finalizers),
            ownerReferences=[dict(one) for one in owners],
        ),
        "spec": {
            "resource": dict(resource or about),
            "placement": {"clusterAffinity": {"clusterNames": list(placed)}},
            "conflictResolution": "Overwrite",
            **spec,
        },
    }


# --- slices -----------------------------------------------------------------------------------------------------------


def endpoint(address: str) -> Json:
    """One endpoint of a slice."""
    return {"addresses": [address], "conditions": {"ready": True}}


def slice_(
    name: str = "web-1",
    namespace: str = "default",
    *,
    service: str | None = "web",
    addresses: Sequence[str] = ("10.0.0.1",),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Json:
    """An EndpointSlice as a member serves it; `service=None` leaves the service-name label out."""
    own = {wk.SERVICE_NAME: service} if service is not None else {}
    return {
        "apiVersion": wk.SLICE_API_VERSION,
        "kind": wk.SLICE_KIND,
        "metadata": _metadata(
            name, namespace, metadata, labels=own | dict(labels or {}), annotations=dict(annotations or {})
        ),
        "addressType": "IPv4",
        "endpoints": [endpoint(address) for address in addresses],
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        **fields,
    }


# --- Works ------------------------------------------------------------------------------------------------------------


def work(
    cluster: str,
    name: str,
    *manifests: Any,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    deleting: bool = False,
    suspended: bool | None = None,
    namespace: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> Json:
    """A Work in the execution namespace of a cluster (or in `namespace`); its manifests may be anything."""
    spec: Json = {"workload": {"manifests": list(manifests)}}
    if suspended is not None:
        spec["suspendDispatching"] = suspended
    return {
        "apiVersion": wk.WORK_API_VERSION,
        "kind": wk.WORK_KIND,
        "metadata": _metadata(
            name,
            namespace or execution_namespace(cluster),
            metadata,
            labels=dict(labels or {}),
            annotations=dict(annotations or {}),
            finalizers=list(finalizers),
            deletionTimestamp=DELETED_AT if deleting else "",
            generation=1,
        ),
        "spec": spec,
    }


def filed(service: str = "web", namespace: str = "default") -> dict[str, str]:
    """The two labels that file a Work under a MultiClusterService."""
    return {wk.MCS_NAMESPACE: namespace, wk.MCS_NAME: service}


def mcs_work(cluster: str, content: Mapping[str, Any] | None = None, **fields: Any) -> Json:
    """A Work that carries a MultiClusterService: "provide this from here"."""
    content = dict(content or mcs())
    meta = content["metadata"]
    labels = filed(meta["name"], meta["namespace"])
    permanent_id = (meta.get("labels") or {}).get(wk.MCS_PERMANENT_ID)
    if permanent_id:
        labels[wk.MCS_PERMANENT_ID] = permanent_id
    fields.setdefault("labels", labels)
    name = fields.pop("name", work_name(wk.MCS_KIND, meta["namespace"], meta["name"]))
    return work(cluster, name, content, suspended=True, **fields)


def collected_work(cluster: str, content: Mapping[str, Any] | None = None, **fields: Any) -> Json:
    """A Work that holds a provider's slice, as it is collected."""
    content = dict(content or slice_())
    meta = content["metadata"]
    fields.setdefault(
        "labels",
        filed(meta.get("labels", {}).get(wk.SERVICE_NAME, "web"), meta["namespace"])
        | {wk.COLLECTED_BY: wk.COLLECTED_BY_MCS},
    )
    fields.setdefault("finalizers", (wk.DISPATCH_FINALIZER,))
    name = fields.pop("name", work_name(wk.SLICE_KIND, meta["namespace"], meta["name"]))
    return work(cluster, name, content, suspended=True, **fields)


def dispatched_work(provider: str, consumer: str, content: Mapping[str, Any] | None = None, **fields: Any) -> Json:
    """A Work that brings a provider's slice to a consumer; `content` is the slice in the provider."""
    content = dict(content or slice_())
    meta = content["metadata"]
    copy = content | {"metadata": {"name": f"{provider}-{meta['name']}", "namespace": meta["namespace"]}}
    fields.setdefault("labels", filed(meta.get("labels", {}).get(wk.SERVICE_NAME, "web"), meta["namespace"]))
    fields.setdefault("annotations", {wk.PROVISION_CLUSTER: provider})
    fields.setdefault("finalizers", (wk.EXECUTION_FINALIZER,))
    name = fields.pop("name", work_name(wk.SLICE_KIND, meta["namespace"], meta["name"]))
    return work(consumer, name, copy, **fields)


# --- ServiceExport and ServiceImport ----------------------------------------------------------------------------------


def service_export(name: str = "web", namespace: str = "default", **extra: Any) -> Json:
    """A ServiceExport."""
    return {
        "apiVersion": wk.MULTICLUSTER_API_VERSION,
        "kind": wk.SERVICE_EXPORT_KIND,
        "metadata": _metadata(name, namespace, extra),
    }


def service_import(
    name: str = "web",
    namespace: str = "default",
    *,
    type: str = "ClusterSetIP",
    ports: Sequence[Mapping[str, Any]] = ({"name": "http", "port": 80, "protocol": "TCP"},),
    ips: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Json:
    """A ServiceImport."""
    spec: Json = {"type": type, "ports": [dict(port) for port in ports]}
    if ips:
        spec["ips"] = list(ips)
    return {
        "apiVersion": wk.MULTICLUSTER_API_VERSION,
        "kind": wk.SERVICE_IMPORT_KIND,
        "metadata": _metadata(name, namespace, metadata),
        "spec": spec,
    }


def export_work(
    cluster: str, content: Mapping[str, Any] | None = None, *, applied: str = "True", **fields: Any
) -> Json:
    """A Work that brings a ServiceExport to a member, and what execution says of it; "" for nothing yet."""
    content = dict(content or service_export())
    meta = content["metadata"]
    fields.setdefault("finalizers", (wk.EXECUTION_FINALIZER,))
    name = fields.pop("name", work_name(wk.SERVICE_EXPORT_KIND, meta["namespace"], meta["name"]))
    made = work(cluster, name, content, **fields)
    if applied:
        made["status"] = {"conditions": [condition(wk.APPLIED, applied)]}
    return made


def exported(service: str = "web", namespace: str = "default") -> dict[str, str]:
    """The two labels that file a Work under a ServiceExport."""
    return {wk.EXPORT_NAMESPACE: namespace, wk.EXPORT_NAME: service}


def exported_work(cluster: str, content: Mapping[str, Any] | None = None, **fields: Any) -> Json:
    """A Work that holds a provider's slice, as collected for a ServiceExport."""
    content = dict(content or slice_())
    meta = content["metadata"]
    fields.setdefault(
        "labels",
        exported(meta.get("labels", {}).get(wk.SERVICE_NAME, "web"), meta["namespace"])
        | {wk.COLLECTED_BY: wk.COLLECTED_BY_EXPORT, wk.WORK_PERMANENT_ID: "work-id"},
    )
    fields.setdefault("finalizers", (wk.IMPORT_FINALIZER,))
    return collected_work(cluster, content, **fields)


# --- the same, typed --------------------------------------------------------------------------------------------------


def a_cluster(name: str, **fields: Any) -> Cluster:
    """:func:`cluster`, decoded."""
    return cast("Cluster", decode(cluster(name, **fields)))


def an_mcs(name: str = "web", namespace: str = "default", **fields: Any) -> MultiClusterService:
    """:func:`mcs`, decoded."""
    return cast("MultiClusterService", decode(mcs(name, namespace, **fields)))


def a_service(name: str = "web", namespace: str = "default", **fields: Any) -> Service:
    """:func:`service`, decoded."""
    return cast("Service", decode(service(name, namespace, **fields)))


def a_slice(name: str = "web-1", namespace: str = "default", **fields: Any) -> EndpointSlice:
    """:func:`slice_`, decoded."""
    return cast("EndpointSlice", decode(slice_(name, namespace, **fields)))


def a_work(content: Mapping[str, Any]) -> Work:
    """A Work, decoded."""
    return cast("Work", decode(content))


def a_binding(**fields: Any) -> ResourceBinding:
    """:func:`binding`, decoded."""
    return cast("ResourceBinding", decode(binding(**fields)))
