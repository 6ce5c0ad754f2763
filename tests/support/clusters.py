"""Clusters, namespaces and bindings for the tests of the stand-alone controllers, and members that answer probes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from informers.client.transport import RawResponse
from informers.errors import KubeError, TransportError
from informers.meta import KubeObject
from informers.resource import Resource
from mcs_controller.api.cluster import Cluster
from mcs_controller.api.core import Namespace
from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.resources import CLUSTERS, NAMESPACES, RESOURCEBINDINGS
from tests.support.memory import MemoryApi
from tests.support.object_store import Json

T = TypeVar("T", bound=KubeObject)

FINALIZER = "karmada.io/cluster-controller"
GOLDEN = Path(__file__).parents[1] / "golden"
SERVICES_API = {"v1": {"services": "Service"}}

CA = """\
-----BEGIN CERTIFICATE-----
MIIBIzCByqADAgECAgEBMAoGCCqGSM49BAMCMBAxDjAMBgNVBAMMBWZpcnN0MCAX
DTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAQMQ4wDAYDVQQDDAVmaXJz
dDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCHkkxULJy6su5bDmN0ep2EmSE3h
eHQ1hjHIOrt/BZEHf9sfpD5KZMB2Tah/K1DwbUuCwgSH4GBRiPWG097qXI6jEzAR
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhANpPcp6mXmO/kdJI
DlyabZHQ5pjU+b1tXkkUPoliPXsAAiBxYAcuGLbRmEXKPtbpXU0Qvl/ZfyBzDTLQ
5Ao+uvsbZQ==
-----END CERTIFICATE-----"""

OTHER_CA = """\
-----BEGIN CERTIFICATE-----
MIIBJjCBzKADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBnNlY29uZDAg
Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowETEPMA0GA1UEAwwGc2Vj
b25kMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzVE+OC13uptURcbUs0y8SqL2
nBkW6zgFz/x2OjKDoFzhGnzOGx4iSGjx/v9zmMpnyrLhEaFzr9RNuraEJ7/KoaMT
MBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEApGjvQEip5EXf
SeKz5Tn2QM8ZVQkFtNqsPi0GoR3TvcwCIQDNdiQdOWHw5rdnVFwf/e7FNoPHghLN
vZZTGZEnUVfEOw==
-----END CERTIFICATE-----"""
"""Two self-signed authorities, valid until 2120, whose keys nobody has."""


def golden(name: str) -> list[Json]:
    """The objects in a golden file."""
    content: Json = json.loads((GOLDEN / name).read_text())
    items: list[Json] = content.get("items", [content])
    return items


def condition(kind: str, status: str, reason: str = "Because", message: str = "") -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def cluster_json(
    name: str = "m1",
    *,
    ready: str | None = "True",
    complete: str | None = "True",
    apis: Mapping[str, Mapping[str, str]] = SERVICES_API,
    finalizers: tuple[str, ...] = (FINALIZER,),
    deleting: bool = False,
    labels: Mapping[str, str] | None = None,
    uid: str = "",
    **spec: Any,
) -> Json:
    """A Cluster as the API server has it; `spec` as on the wire."""
    conditions = [condition("Ready", ready)] if ready else []
    conditions += [condition("CompleteAPIEnablements", complete)] if complete else []
    metadata: Json = {
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": "7",
        "labels": dict(labels or {}),
        "finalizers": list(finalizers),
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    return {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": metadata,
        "spec": {
            "syncMode": "Push",
            "apiEndpoint": f"https://{name}.example:6443",
            "secretRef": {"namespace": "karmada-cluster", "name": name},
        }
        | spec,
        "status": {
            "conditions": conditions,
            "apiEnablements": [
                {
                    "groupVersion": version,
                    "resources": [{"name": plural, "kind": kind} for plural, kind in resources.items()],
                }
                for version, resources in apis.items()
            ],
        },
    }


def cluster(name: str = "m1", **fields: Any) -> Cluster:
    return CLUSTERS.decode(msgspec.json.encode(cluster_json(name, **fields)))


def namespace_json(name: str, *, labels: Mapping[str, str] | None = None, deleting: bool = False) -> Json:
    metadata: Json = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "3",
        "labels": {"kubernetes.io/metadata.name": name, **(labels or {})},
    }
    if deleting:
        metadata |= {"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["test/held"]}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata,
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Terminating" if deleting else "Active"},
    }


def namespace(name: str, **fields: Any) -> Namespace:
    return NAMESPACES.decode(msgspec.json.encode(namespace_json(name, **fields)))


def binding_json(
    *names: str,
    clusters: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    status: Json | None = None,
    placement: Json | None = None,
    generation: int = 1,
    **spec: Any,
) -> Json:
    """A ResourceBinding of Service default/nginx, to be placed on the clusters of these names."""
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {
            "name": "nginx-service",
            "namespace": "default",
            "uid": "uid-nginx-service",
            "resourceVersion": "9",
            "generation": generation,
            "labels": {"binding.karmada.io/managed-by": "MultiClusterService"} if labels is None else dict(labels),
            "annotations": dict(annotations or {}),
        },
        "spec": {
            "resource": {"apiVersion": "v1", "kind": "Service", "namespace": "default", "name": "nginx", "uid": "u-s"},
            "placement": {"clusterAffinity": {"clusterNames": list(names)}} if placement is None else placement,
            "clusters": [{"name": name} for name in clusters],
        }
        | spec,
        "status": status or {},
    }


def binding(*names: str, **fields: Any) -> ResourceBinding:
    return RESOURCEBINDINGS.decode(msgspec.json.encode(binding_json(*names, **fields)))


class ControlPlaneApi(MemoryApi):
    """A MemoryApi that lets namespaces go as slowly as a real one does.

    A deleted namespace stays until its metadata.finalizers are edited away. The answer to the deletion does not show
    them, because on a real server it is spec.finalizers that holds it.
    """

    async def delete(self, resource: Resource[T], name: str, namespace: str = "", **options: Any) -> T | None:
        if resource.plural != "namespaces" or self.find("Namespace", "", name) is None:
            return await super().delete(resource, name, namespace, **options)
        self.edit("Namespace", "", name, {"metadata": {"finalizers": ["spec.finalizers"]}})
        left: Any = await super().delete(resource, name, namespace, **options)
        return cast("T", msgspec.structs.replace(left, metadata=msgspec.structs.replace(left.metadata, finalizers=())))


@dataclass
class FakeMember:
    """A member's API server for probes: answers by path, what was asked, and which media types were accepted.

    An answer is (status, body) or an error, or a list of those, one for each request. Paths without one are 404.
    """

    answers: dict[str, tuple[int, Any] | KubeError | list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)

    async def raw(self, method: str, path: str, *, accept: str = "", timeout: float | None = None) -> RawResponse:
        self.asked.append(path)
        self.accepted[path] = accept
        answer = self.answers.get(path, (404, b"no such path"))
        if isinstance(answer, KubeError):
            raise answer
        if isinstance(answer, list):
            answer = answer.pop(0)
        status, body = answer
        return RawResponse(status, body if isinstance(body, bytes) else json.dumps(body).encode())

    @classmethod
    def healthy(cls) -> FakeMember:
        """A member with Services and EndpointSlices, aggregated discovery and a version."""
        return cls(
            {
                "/readyz": (200, b"ok"),
                "/version": (200, {"gitVersion": "v1.36.1"}),
                "/api": (200, aggregated({"v1": {"services": "Service"}})),
                "/apis": (200, aggregated({"discovery.k8s.io/v1": {"endpointslices": "EndpointSlice"}})),
            }
        )

    def down(self) -> None:
        """Nothing answers any more."""
        self.answers = dict.fromkeys(("/readyz", "/version", "/api", "/apis"), TransportError("connection refused"))


def aggregated(apis: Mapping[str, Mapping[str, str]], *, stale: tuple[str, ...] = ()) -> Json:
    """An APIGroupDiscoveryList."""
    groups: dict[str, list[Json]] = {}
    for group_version, resources in apis.items():
        group, _, version = group_version.rpartition("/")
        groups.setdefault(group, []).append(
            {
                "version": version,
                "freshness": "Stale" if group_version in stale else "Current",
                "resources": [
                    {
                        "resource": plural,
                        "responseKind": {"group": group, "version": version, "kind": kind},
                        "scope": "Namespaced",
                        "verbs": ["get"],
                        "subresources": [{"subresource": "status", "verbs": ["get"]}],
                    }
                    for plural, kind in resources.items()
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {"metadata": {"name": group} if group else {}, "versions": versions} for group, versions in groups.items()
        ],
    }


def encoded(text: str) -> str:
    """As in the `data` of a Secret."""
    return base64.b64encode(text.encode()).decode()


def secret_json(name: str) -> Json:
    """A cluster's Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "karmada-cluster"},
        "data": {"token": encoded(f"token-of-{name}"), "caBundle": encoded(CA)},
    }
