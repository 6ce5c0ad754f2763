"""The bytes of list and watch answers, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

import msgspec

from informers.client.nesting import CUT
from informers.errors import UNDECODABLE, DecodeError
from informers.memory import READER, held
from informers.meta import KubeObject, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from informers.resource import Resource

T = TypeVar("T", bound=KubeObject)

_MAX_NAME: Final = 512
"""Characters of a foreign name that an error keeps; API servers allow half of them."""

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""Annotation of the bookmark that ends the initial events of a streaming list (KEP-3157)."""


class TooDeep(DecodeError):
    """JSON that is nested too deep. What :func:`informers.client.nesting.cut` leaves of it can be decoded."""

    def __init__(self) -> None:
        super().__init__("nested too deep")


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object that the server sent and we cannot read.

    Attributes:
        key: which one, or None if not even its metadata can be read.
        error: what is wrong.
    """

    key: ObjectKey | None
    error: DecodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Generic[T]):
    """One answer to a list request.

    Attributes:
        items: the objects that could be decoded, in the server's order (by key).
        resource_version: of the collection, the same on all pages of one list.
        continue_token: asks for the next page; empty on the last one.
        rejected: the objects that could not be decoded. They exist; they are not deleted.
        sizes: bytes that each of `items` takes, if somebody accounts for them: see :mod:`informers.memory`.
    """

    items: list[T]
    resource_version: str
    continue_token: str = ""
    rejected: list[Rejected] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class Versions(NamedTuple):
    """One state of a collection, without its objects.

    Attributes:
        resource_version: of the collection.
        objects: the resource version of each object.
    """

    resource_version: str
    objects: Mapping[ObjectKey, str]


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None  # Go encodes an empty slice as null


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class Identity(msgspec.Struct, rename="camel"):
    """The identity of an object, read where the object cannot be decoded otherwise."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""

    @property
    def key(self) -> ObjectKey:
        """The object's key in a store."""
        return ObjectKey(self.namespace, self.name)


class _Identified(msgspec.Struct):
    metadata: Identity


class _BookmarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] = {}


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMeta


class _Kind(msgspec.Struct):
    kind: str = ""


_decode_list = msgspec.json.Decoder(_List).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_identified = msgspec.json.Decoder(_Identified).decode
_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode


def decode_page(resource: Resource[T], body: bytes, *, was_cut: bool = False) -> ListPage[T]:
    """The page in a list answer; one bad item costs that item only.

    The page's buffer is free again as soon as this returns: decoders copy what they keep.

    Args:
        resource: what the items are.
        body: of the answer.
        was_cut: it is what is left of an answer that was nested too deep.

    Raises:
        CacheFull: whoever reads it has no room for it.
        TooDeep: it has to be cut.
        DecodeError: the envelope is not a list.
    """
    reader = READER.get()
    if reader is None:
        return _decode_page(resource, body, None, was_cut)
    with reader.held() as charge:
        charge(len(body) + resource.size(body))
        return _decode_page(resource, body, [], was_cut)


def _decode_page(resource: Resource[T], body: bytes, sizes: list[int] | None, was_cut: bool) -> ListPage[T]:
    try:
        page = _decode_list(body)
    except RecursionError:
        raise TooDeep from None
    except UNDECODABLE as error:
        raise DecodeError(f"list of {resource}: {error}") from error
    items: list[T] = []
    rejected: list[Rejected] = []
    decode = resource.decode
    for raw in page.items or ():
        if was_cut and CUT in bytes(raw):
            rejected.append(reject(resource, raw, TooDeep()))
            continue
        try:
            items.append(decode(raw))
        except UNDECODABLE as error:
            rejected.append(reject(resource, raw, error))
            continue
        if sizes is not None:
            sizes.append(resource.size(bytes(raw)))
    return ListPage(
        items=items,
        resource_version=page.metadata.resource_version,
        continue_token=page.metadata.continue_ or "",
        rejected=rejected,
        sizes=sizes or [],
    )


def decode_versions(resource: Resource[T], body: bytes) -> tuple[Versions, str]:
    """One page of the same answer, and its continue token. Objects whose metadata cannot be read are left out.

    Raises:
        CacheFull: whoever reads it has no room for it.
        DecodeError: the envelope is not a list.
    """
    with held() as charge:
        charge(len(body))
        try:
            page = _decode_list(body)
        except UNDECODABLE as error:
            raise DecodeError(f"list of {resource}: {error}") from error
        found = [one for one in map(decode_identity, page.items or ()) if one is not None]
    objects = {one.key: one.resource_version for one in found}
    return Versions(page.metadata.resource_version, objects), page.metadata.continue_ or ""


def decode_event(line: bytes) -> tuple[str, msgspec.Raw]:
    """Type and object of one line of a watch.

    Raises:
        TooDeep: it has to be cut.
        DecodeError: the line is not a watch event.
    """
    try:
        event = _decode_event(line)
    except RecursionError:
        raise TooDeep from None
    except UNDECODABLE as error:
        raise DecodeError(f"watch event of {len(line)} bytes: {error}") from error
    return event.type, event.object


def decode_bookmark(raw: bytes | msgspec.Raw) -> tuple[str, bool]:
    """The resourceVersion of a BOOKMARK event, and whether it ends the initial events of a streaming list.

    Raises:
        DecodeError: it is not a bookmark.
    """
    try:
        metadata = _decode_bookmark(raw).metadata
    except UNDECODABLE as error:
        raise DecodeError(f"bookmark: {error}") from error
    return metadata.resource_version, metadata.annotations.get(INITIAL_EVENTS_END) == "true"


def decode_identity(raw: bytes | msgspec.Raw) -> Identity | None:
    """Which object it is, or None if even that cannot be read."""
    try:
        return _decode_identified(raw).metadata
    except UNDECODABLE:
        return None


def decode_kind(body: bytes) -> str:
    """The `kind` of an answer, or "" if it has none."""
    try:
        return _decode_kind(body).kind
    except UNDECODABLE:
        return ""


def reject(resource: Resource[T], raw: bytes | msgspec.Raw, error: Exception) -> Rejected:
    """Describe an object that `resource.decode` refused."""
    identity = decode_identity(raw)
    name = "an object without readable metadata" if identity is None else str(identity.key)[:_MAX_NAME]
    described = DecodeError(f"{resource} {name}: {error}")
    described.__cause__ = error
    return Rejected(None if identity is None else identity.key, described)


class LineSplitter:
    """Cuts a byte stream into lines. Half a line waits for the next chunk; at the end of the stream it is lost."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._rest = bytearray()  # of the line under way: grows in place, so a long line costs linear time and no more

    @property
    def pending(self) -> int:
        """Bytes of the line under way."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines completed by `chunk`, without their newlines and without empty ones.

        Raises:
            DecodeError: a line is longer than allowed. The stream is of no use any more.
        """
        lines = chunk.split(b"\n")
        last = lines.pop()
        if lines and self._rest:
            self._rest += lines[0]
            lines[0] = bytes(self._rest)
            self._rest = bytearray()
        self._rest += last
        if len(self._rest) > self._max or any(len(line) > self._max for line in lines):
            raise DecodeError(f"watch event of more than {self._max} bytes")
        return [line for line in lines if line]
