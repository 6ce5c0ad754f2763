"""Manifests of the benchmarks, as plain dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Object = dict[str, Any]

MCS = "networking.karmada.io/v1alpha1/multiclusterservices"
WORKS = "work.karmada.io/v1alpha1/works"
BINDINGS = "work.karmada.io/v1alpha2/resourcebindings"
CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"
SERVICES = "v1/services"
NAMESPACES = "v1/namespaces"
SLICES = "discovery.k8s.io/v1/endpointslices"

PROVIDER = "member1"
CONSUMER = "member2"
ENDPOINTS = 10


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(name: str, *, headless: bool = False) -> Object:
    """A Service without a selector: only the benchmark makes its endpoints. A headless one has no address to copy."""
    spec: Object = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": spec | ({"clusterIP": "None"} if headless else {}),
    }


def multiclusterservice(
    name: str, providers: Sequence[str] = (PROVIDER,), consumers: Sequence[str] = (CONSUMER,)
) -> Object:
    """From providers to consumers."""
    return {
        "apiVersion": "networking.karmada.io/v1alpha1",
        "kind": "MultiClusterService",
        "metadata": {"name": name},
        "spec": {
            "types": ["CrossCluster"],
            "providerClusters": [{"name": each} for each in providers],
            "consumerClusters": [{"name": each} for each in consumers],
        },
    }


def mark(number: int) -> str:
    """The address that identifies a change; it is searched, as bytes, in watch events."""
    return f"10.{200 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def endpoints(number: int) -> list[Object]:
    """Ten endpoints as the endpoint slice controller writes them; the first has the address :func:`mark`."""
    return [
        {
            "addresses": [mark(number) if index == 0 else f"10.20.0.{index}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"m1-node-{index % 3}",
            "targetRef": {
                "kind": "Pod",
                "name": f"web-7d4b9c6f5-{index:05d}",
                "namespace": "bench",
                "uid": f"3eae800f-1977-4616-994d-af59ded3b9{index:02d}",
            },
            "zone": f"zone-{index % 3}",
        }
        for index in range(ENDPOINTS)
    ]


def slice_name(service_name: str) -> str:
    """The name of a service's only slice in the provider."""
    return f"{service_name}-a"


def arrived_name(service_name: str) -> str:
    """The name of that slice in the consumer."""
    return f"{PROVIDER}-{slice_name(service_name)}"


def endpointslice(service_name: str, number: int) -> Object:
    """The slice of a service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": slice_name(service_name), "labels": {"kubernetes.io/service-name": service_name}},
        "addressType": "IPv4",
        "endpoints": endpoints(number),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
