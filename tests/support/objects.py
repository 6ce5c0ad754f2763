"""ConfigMaps, as JSON and as this repository's informers see them, for tests that need just any kind."""

from typing import Any

import msgspec

from informers.meta import ObjectKey, ObjectMeta
from informers.resource import Resource, struct_decoder


class ConfigMap(msgspec.Struct, frozen=True, weakref=True):
    """core/v1 ConfigMap."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap", decode=struct_decoder(ConfigMap))


def manifest(
    name: str,
    version: int | str = "",
    *,
    namespace: str = "ns",
    uid: str = "",
    labels: dict[str, str] | None = None,
    data: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A ConfigMap as the API server writes it. Its uid is `uid-<name>` unless given."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": labels or {},
            "managedFields": [{"manager": "somebody", "fieldsV1": {"f:data": {}}}],
        },
        "data": data or {},
    }


def config_map(name: str, version: int | str = "", **fields: Any) -> ConfigMap:
    """The same, decoded."""
    return CONFIG_MAPS.decode(msgspec.json.encode(manifest(name, version, **fields)))


def event_line(kind: str, content: Any) -> bytes:
    """A line of a watch, without its newline."""
    return msgspec.json.encode({"type": kind, "object": content})


def bookmark_line(version: int | str, *, initial_events_end: bool = False) -> bytes:
    """A BOOKMARK event."""
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if initial_events_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event_line("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})


def status(code: int, reason: str, message: str = "") -> dict[str, Any]:
    """A metav1.Status that says no."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }


def key(name: str, namespace: str = "ns") -> ObjectKey:
    """The key of :func:`config_map`."""
    return ObjectKey(namespace, name)
