"""Where a kind lives on an API server, and how its bytes become an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import msgspec

from informers.memory import text_size
from informers.meta import KubeObject, ObjectMeta

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T", bound=KubeObject)
S = TypeVar("S", bound=KubeObject)


class GroupVersionKind(NamedTuple):
    """A kind as objects and references name it."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """The API group; empty for core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    @property
    def root(self) -> str:
        """URL path below which its group version is served, and at which the server lists the kinds of that."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    def __str__(self) -> str:
        return f"{self.api_version} {self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Generic[T]):
    """One kind of one API version.

    Attributes:
        group: API group; "" for core.
        version: API version within the group.
        plural: the name in URLs, lower case.
        kind: the name in objects.
        namespaced: whether objects live in namespaces.
        decode: makes an object of its JSON. Must copy whatever it keeps (the buffer holds a whole page), must not keep
            managedFields, and raises msgspec.DecodeError (or ValidationError) for an object it cannot read.
        size: bytes that a decoded object takes at most, without its metadata, by its JSON. For decoders that keep
            most of it as it is; see :func:`informers.memory.parsed_size` for others.
    """

    group: str
    version: str
    plural: str
    kind: str
    decode: Callable[[bytes | msgspec.Raw], T]
    namespaced: bool = True
    size: Callable[[bytes], int] = text_size

    @property
    def api_version(self) -> str:
        """`group/version`, or the bare version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection (of all namespaces if `namespace` is empty), an object, or a subresource."""
        root = GroupVersionKind(self.api_version, self.kind).root
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}" if self.group else f"{self.plural}.{self.version}"


def struct_decoder(kind: type[S]) -> Callable[[bytes | msgspec.Raw], S]:
    """A decoder for a msgspec Struct with a `metadata` field that holds no `msgspec.Raw`."""
    return msgspec.json.Decoder(kind).decode


class PartialObject(msgspec.Struct, frozen=True):
    """Any object, of which only the metadata matters (metav1.PartialObjectMetadata)."""

    metadata: ObjectMeta
