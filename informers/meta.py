"""The part of metav1 that every object shares, decoded once for all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """metav1.OwnerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """metav1.ObjectMeta without managedFields, which nobody here reads and which is most of an object's size.

    The garbage collector does not look at it, as JSON has no cycles: its passes over a large cache are a third shorter.
    The dicts and tuples belong to the cache: read only. Times are RFC 3339 as the server wrote them; `resource_version`
    may be compared by :func:`parse_resource_version` within one kind of one server.
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    generate_name: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


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


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((one for one in conditions if one.type == kind), None)


_MAX_DIGITS: Final = 100  # Python refuses to convert thousands of them


def parse_resource_version(text: str) -> int | None:
    """The version as a number, or None if it is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


class ObjectKey(NamedTuple):
    """Identity of an object of one kind in one cluster. `namespace` is empty for cluster-scoped kinds.

    Ordered by namespace, then name, as API servers list. The text is that of client-go's MetaNamespaceKeyFunc.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class KubeObject(Protocol):
    """Anything with metadata: what stores and informers hold."""

    @property
    def metadata(self) -> ObjectMeta:
        """The object's metadata."""
        ...


def key_of(obj: KubeObject) -> ObjectKey:
    """The object's key in a store."""
    return ObjectKey(obj.metadata.namespace, obj.metadata.name)
