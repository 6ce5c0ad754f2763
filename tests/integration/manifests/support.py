"""What the tests of the manifests share, apart from fixtures."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from testbed.api import Api, Object, resource_path
from tests.support.admission_rules import RESOURCE

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane

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


class Refused(Exception):
    """A write that was refused, with all that the server said.

    Attributes:
        status: HTTP status.
        message: the whole answer in one text.
        causes: (field path, message) of each single one.
    """

    def __init__(self, status: int, message: str, causes: list[tuple[str, str]]) -> None:
        super().__init__(f"{status} {message} {causes}")
        self.status = status
        self.message = message
        self.causes = causes


async def send(
    plane: ControlPlane,
    method: str,
    manifest: Object,
    *,
    name: str = "",
    subresource: str = "",
    dry_run: bool = False,
) -> Object:
    """A write of a MultiClusterService, strictly validated; raises Refused."""
    named = "" if method == "POST" else name or manifest["metadata"]["name"]
    path = resource_path(RESOURCE, named, namespace="default", subresource=subresource)
    query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=plane.access.ssl_context())) as session,
        session.request(method, plane.access.server + path, params=query, json=manifest) as response,
    ):
        answer: Object = await response.json()
        if response.status >= 300:
            causes = answer.get("details", {}).get("causes", [])
            told = [(cause.get("field", ""), cause["message"]) for cause in causes]
            raise Refused(response.status, answer["message"], told)
        return answer


def without_rules(definition: Object) -> Object:
    """A definition as Karmada's are: nothing but types. The limits go too, which are there for the rules' sake."""
    result = copy.deepcopy(definition)
    for version in result["spec"]["versions"]:
        _strip(version["schema"])
    return result


def _strip(node: Any) -> None:
    if isinstance(node, dict):
        for key in ("x-kubernetes-validations", "maxItems", "maxLength"):
            # Not a field that is called so.
            if not isinstance(node.get(key), dict):
                node.pop(key, None)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _strip(child)
