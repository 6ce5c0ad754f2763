"""What the tests of the manifests share, apart from fixtures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testbed.api import Api, Object, resource_path

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
# For the control plane, in the order in which a person applies them.
FOLDERS = ("crds", "standalone", "controller")


async def create_strictly(api: Api, resource: str, manifest: Object, **query: str) -> Object:
    """POST with strict field validation: an unknown field is an error and not a silent loss."""
    path = resource_path(resource, namespace=manifest["metadata"].get("namespace"))
    return await api.raw("POST", path, body=manifest, query={"fieldValidation": "Strict", **query})


async def ensure_namespace(api: Api, name: str) -> None:
    """A namespace, there already or not."""
    if await api.find("v1/namespaces", name) is None:
        manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await api.create(manifest)
