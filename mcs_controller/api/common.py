"""Pieces that several kinds share."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.meta import ObjectMeta
from mcs_controller.api.ownership import FieldTree, field_tree
from mcs_controller.api.shapes import JsonObject as JsonObject
from mcs_controller.api.shapes import decode_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.resource import GroupVersionKind


def parse_time(text: str | None) -> datetime | None:
    """A time of the API, in UTC; None if there is none, or it is not one."""
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no white space: equal bytes if and only if equal JSON values."""
    return msgspec.json.encode(value, order="deterministic")


class _Typed(msgspec.Struct, frozen=True, rename="camel"):
    metadata: ObjectMeta


def without_server_state(raw: bytes | msgspec.Raw, kind: GroupVersionKind | None = None) -> bytes:
    """The object without `status` and `metadata.managedFields`: what may have to be copied elsewhere."""
    content = decode_object(raw, kind)
    content.pop("status", None)
    content["metadata"].pop("managedFields", None)
    return msgspec.json.encode(content)


class Unstructured(msgspec.Struct, frozen=True):
    """An object of any kind: typed metadata, and the whole content as plain dicts and lists (read only).

    Attributes:
        owned: who set which of its fields, as JSON, if it was decoded to be merged into.
    """

    metadata: ObjectMeta
    content: JsonObject
    owned: bytes = b"{}"

    @property
    def fields(self) -> FieldTree:
        """`owned`, decoded anew on every call."""
        return msgspec.json.decode(self.owned, type=FieldTree)


def decode_unstructured(raw: bytes | msgspec.Raw, kind: GroupVersionKind | None = None) -> Unstructured:
    """Decode any object, leaving out managedFields; of this kind, if one is given (see `decode_object`)."""
    content = decode_object(raw, kind)
    content["metadata"].pop("managedFields", None)
    return Unstructured(metadata=msgspec.convert(content, _Typed).metadata, content=content)


def decode_with_managers(raw: bytes | msgspec.Raw) -> Unstructured:
    """As `decode_unstructured`, with managedFields: for a look at one object, too large for a cache."""
    content = decode_object(raw)
    return Unstructured(metadata=msgspec.convert(content, _Typed).metadata, content=content)


OWN_MANAGERS: Final = ("mcs-controller-manager", "mcs-controller-agent")
"""Our field managers: what servers make of our user agents."""

_APPLIERS: Final = (*OWN_MANAGERS, "karmada-controller-manager", "karmada-agent")
"""Field managers that apply Works: ours, and Karmada's, whose place we take."""


def decode_applied(raw: bytes | msgspec.Raw, kind: GroupVersionKind | None = None) -> Unstructured:
    """As `decode_unstructured`, for objects that Works are merged into: they remember who set which field."""
    obj = decode_unstructured(raw, kind)
    return msgspec.structs.replace(obj, owned=msgspec.json.encode(field_tree(raw, _APPLIERS)))


@cache
def unstructured_decoder(
    kind: GroupVersionKind, *, applied: bool = False
) -> Callable[[bytes | msgspec.Raw], Unstructured]:
    """`decode_unstructured` or `decode_applied` for a Resource; the same one for the same arguments."""

    def decode(raw: bytes | msgspec.Raw) -> Unstructured:
        return decode_applied(raw, kind) if applied else decode_unstructured(raw, kind)

    return decode
