"""Plain JSON objects of one API server, for the verbs that change something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from informers.errors import NotFound
from informers.resource import Resource
from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.diagnosis.world import Kind, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from informers.client.client import ApiClient
    from mcs_controller.diagnosis.world import Object

FIELD_MANAGER: Final = "mcsctl"


def resource_of(kind: Kind) -> Resource[Unstructured]:
    """Where the objects of a kind are, as the client wants it."""
    group, _, version = kind.api_version.rpartition("/")
    return Resource(
        group=group,
        version=version,
        plural=kind.plural,
        kind=kind.kind,
        decode=decode_unstructured,
        namespaced=kind.namespaced,
    )


def kind_of(manifest: Object) -> Kind:
    """The kind of a manifest of our own: their plurals are regular, and those in namespaces name theirs."""
    kind = text(manifest, "kind")
    namespaced = bool(text(manifest, "metadata", "namespace"))
    plural = re.sub("ys$", "ies", re.sub("sss$", "sses", f"{kind.lower()}s"))
    return Kind(text(manifest, "apiVersion"), plural, kind, namespaced)


async def apply(client: ApiClient, manifest: Object, *, force: bool = True, dry_run: bool = False) -> Object:
    """Server-side apply a manifest of our own. The object that came of it.

    Args:
        client: of the API server.
        manifest: the object.
        force: whether fields that others own are taken over; a Conflict names them otherwise.
        dry_run: whether the server only says what would come of it.
    """
    namespace, name = text(manifest, "metadata", "namespace"), text(manifest, "metadata", "name")
    kind = resource_of(kind_of(manifest))
    applied = await client.apply(
        kind, name, manifest, namespace, field_manager=FIELD_MANAGER, force=force, dry_run=dry_run
    )
    return applied.content


async def find(client: ApiClient, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
    """An object, if it is there."""
    try:
        return (await client.get(resource_of(kind), name, namespace)).content
    except NotFound:
        return None


async def list_all(client: ApiClient, kind: Kind, namespace: str = "") -> Sequence[dict[str, Any]]:
    """All objects of a kind, of one namespace or of all."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = await client.list(resource_of(kind), namespace, continue_token=token)
        found.extend(one.content for one in page.items)
        if not (token := page.continue_token):
            return found


async def delete(client: ApiClient, kind: Kind, name: str, namespace: str = "") -> bool:
    """Begin to delete an object; whether there was one."""
    try:
        await client.delete(resource_of(kind), name, namespace)
    except NotFound:
        return False
    return True
