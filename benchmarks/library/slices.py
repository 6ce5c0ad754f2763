"""EndpointSlices as the endpointslice controller writes them, for all scenarios."""

from __future__ import annotations

import json
import random
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINTS = 10
NAMESPACES = 20
_NODES = 50
_ZONES = 3
_MANAGED_FIELDS: dict[str, Any] = {
    "f:addressType": {},
    "f:endpoints": {},
    "f:metadata": {
        "f:annotations": {".": {}, "f:endpoints.kubernetes.io/last-change-trigger-time": {}},
        "f:generateName": {},
        "f:labels": {
            ".": {},
            "f:app": {},
            "f:endpointslice.kubernetes.io/managed-by": {},
            "f:kubernetes.io/service-name": {},
        },
        "f:ownerReferences": {".": {}, 'k:{"uid":"<uid>"}': {}},
    },
    "f:ports": {},
}


def endpoint_slice(number: int, *, resource_version: int = 0) -> dict[str, Any]:
    """A slice with ten endpoints; each number has its own names, uids and addresses, and always the same.

    Args:
        number: which one.
        resource_version: above 0: as an API server shows it, with everything that only it sets.
    """
    rng = random.Random(number)
    service, namespace = f"checkout-{number}", f"team-{number % NAMESPACES}"
    service_uid = _uuid(rng)
    metadata: dict[str, Any] = {
        "name": f"{service}-{rng.randrange(36**5):05x}",
        "generateName": f"{service}-",
        "namespace": namespace,
        "labels": {
            "app": service,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": service,
        },
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-22T13:22:24Z"},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "name": service,
                "uid": service_uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if resource_version:
        fields = json.loads(json.dumps(_MANAGED_FIELDS).replace("<uid>", service_uid))
        metadata |= {
            "uid": _uuid(rng),
            "resourceVersion": str(resource_version),
            "generation": 3,
            "creationTimestamp": "2026-11-22T13:23:38Z",
            "managedFields": [
                {
                    "manager": "kube-controller-manager",
                    "operation": "Update",
                    "apiVersion": "discovery.k8s.io/v1",
                    "time": "2026-11-22T13:23:38Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": fields,
                }
            ],
        }
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [_endpoint(rng, namespace, service) for _ in range(ENDPOINTS)],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def write_events(path: Path, *, objects: int, events: int = 0) -> int:
    """Write watch events, one a line as an API server sends them, and return the size of one in bytes, on average.

    Args:
        path: of the file.
        objects: different ones.
        events: in all, the objects in turns; 0: one of each.
    """
    events = events or objects
    with path.open("w") as file:
        for number in range(events):
            content = endpoint_slice(number % objects, resource_version=1000 + number)
            event = {"type": "ADDED" if number < objects else "MODIFIED", "object": content}
            file.write(json.dumps(event, separators=(",", ":")) + "\n")
    return round(path.stat().st_size / events)


def _endpoint(rng: random.Random, namespace: str, service: str) -> dict[str, Any]:
    node = rng.randrange(_NODES)
    return {
        "addresses": [f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace,
            "name": f"{service}-7c5ddbdf54-{rng.randrange(36**4):05x}",
            "uid": _uuid(rng),
        },
        "nodeName": f"worker-{node}",
        "zone": f"zone-{node % _ZONES}",
    }


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
