"""Pieces that several kinds share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from informers.meta import ObjectMeta

JsonObject = dict[str, Any]
"""A decoded JSON object whose keys we do not know beforehand."""


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """metav1.Condition.

    Lists of conditions are written as a whole, so those of others have to come out as they went in: all five strings
    are required on the wire, `message` even when it is empty. A time of None is Go's zero time.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = ""
    observed_generation: int | msgspec.UnsetType = msgspec.UNSET


def find_condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)


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


def without_server_state(raw: bytes | msgspec.Raw) -> bytes:
    """The object without `status` and `metadata.managedFields`: what may have to be copied elsewhere."""
    content: JsonObject = msgspec.json.decode(raw)
    content.pop("status", None)
    metadata = content.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return msgspec.json.encode(content)


class Unstructured(msgspec.Struct, frozen=True):
    """An object of any kind: typed metadata, and the whole content as plain dicts and lists (read only)."""

    metadata: ObjectMeta
    content: JsonObject


def decode_unstructured(raw: bytes | msgspec.Raw) -> Unstructured:
    """Decode any object, leaving out managedFields."""
    typed = msgspec.json.decode(raw, type=_Typed)
    content: JsonObject = msgspec.json.decode(raw)
    content["metadata"].pop("managedFields", None)
    return Unstructured(metadata=typed.metadata, content=content)
