"""Which kinds an API server serves, read from its discovery documents.

Two forms: aggregated (KEP-3352), where `/api` and `/apis` tell everything in one document each, and the older one with
a document for each group version. Subresources are left out of both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from informers.errors import UNDECODABLE
from informers.memory import text_size
from informers.meta import KubeObject
from informers.resource import GroupVersionKind, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T", bound=KubeObject)

AGGREGATED: Final = ",".join(
    (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/json",
    )
)
"""What to accept for `/api` and `/apis`; servers that know no aggregated form answer with the older one."""

MAX_GROUP_VERSIONS: Final = 1000
"""Of a server, in the older form: each is a request."""

_GROUP_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(/[A-Za-z0-9][A-Za-z0-9-]{0,62})?")
"""What may become part of a URL."""

_MAX_VERSION: Final = 128
"""Characters of the version that a server says it has."""

_NEEDED_VERBS: Final = frozenset({"get", "list", "watch", "patch"})
"""Without these an object of the kind cannot be followed and changed: TokenReviews and the like."""

Resources: TypeAlias = "Mapping[str, str]"
"""Kinds by resource name."""


class Malformed(ValueError):
    """A document is not what a discovery endpoint should answer."""


class APIResource(NamedTuple):
    """Where a kind's objects are: the name in URLs, and whether they live in namespaces."""

    plural: str
    namespaced: bool

    def resource(
        self,
        kind: GroupVersionKind,
        decode: Callable[[bytes | msgspec.Raw], T],
        *,
        size: Callable[[bytes], int] = text_size,
    ) -> Resource[T]:
        """The same for informers and clients. Equal for equal arguments."""
        return Resource(
            group=kind.group,
            version=kind.version,
            plural=self.plural,
            kind=kind.kind,
            decode=decode,
            namespaced=self.namespaced,
            size=size,
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovery documents of an API server.

    Attributes:
        apis: the resources of each group version that could be read.
        failed: group versions (or paths, where not even those are known) that could not.
    """

    apis: Mapping[str, Resources]
    failed: frozenset[str] = frozenset()

    def enablements(self) -> list[dict[str, Any]]:
        """`status.apiEnablements` of a Cluster: sorted by group version, and by resource name within."""
        return [
            {
                "groupVersion": group_version,
                "resources": [{"name": name, "kind": kind} for name, kind in sorted(resources.items())],
            }
            for group_version, resources in sorted(self.apis.items())
        ]

    def kinds(self) -> dict[str, frozenset[str]]:
        """Kinds by group version, as `Cluster.api_enablements` has them."""
        return {group_version: frozenset(resources.values()) for group_version, resources in self.apis.items()}

    def size(self) -> int:
        """Bytes of :meth:`enablements`, roughly."""
        names = [
            item for resources in self.apis.values() for pair in resources.items() for item in (*pair, "name", "kind")
        ]
        return sum(len(name) + 4 for name in (*names, *self.apis))

    def __or__(self, other: Discovery) -> Discovery:
        return Discovery({**self.apis, **other.apis}, self.failed | other.failed)


class _Kind(msgspec.Struct):
    kind: str = ""


class _Resource(msgspec.Struct, rename="camel"):
    resource: str
    response_kind: _Kind | None = None


class _Version(msgspec.Struct):
    version: str
    resources: list[_Resource] = []
    freshness: str = ""


class _GroupMeta(msgspec.Struct, frozen=True):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _GroupMeta = _GroupMeta()
    versions: list[_Version] = []


class _Aggregated(msgspec.Struct, tag_field="kind", tag="APIGroupDiscoveryList"):
    items: list[_Group] = []


class _LegacyVersions(msgspec.Struct, tag_field="kind", tag="APIVersions"):
    versions: list[str] = []


class _GroupVersion(msgspec.Struct, rename="camel"):
    group_version: str


class _LegacyGroup(msgspec.Struct):
    versions: list[_GroupVersion] = []


class _LegacyGroups(msgspec.Struct, tag_field="kind", tag="APIGroupList"):
    groups: list[_LegacyGroup] = []


class _LegacyResource(msgspec.Struct):
    name: str
    kind: str = ""
    namespaced: bool = False
    verbs: list[str] = []


class _LegacyResources(msgspec.Struct):
    kind: Literal["APIResourceList"]
    resources: list[_LegacyResource] = []


class _Info(msgspec.Struct, rename="camel"):
    git_version: str = ""


_root = msgspec.json.Decoder(_Aggregated | _LegacyVersions | _LegacyGroups)
_resources = msgspec.json.Decoder(_LegacyResources)
_info = msgspec.json.Decoder(_Info)


def parse_root(body: bytes) -> Discovery | list[str]:
    """What `/api` or `/apis` answered: everything, or the group versions to ask for one by one.

    Raises:
        Malformed: neither of the two.
    """
    try:
        root = _root.decode(body)
    except UNDECODABLE as error:
        raise Malformed(str(error)) from error
    if isinstance(root, _Aggregated):
        return _from_aggregated(root)
    if isinstance(root, _LegacyVersions):
        return _checked(root.versions)
    return _checked([version.group_version for group in root.groups for version in group.versions])


def _checked(group_versions: list[str]) -> list[str]:
    if len(group_versions) > MAX_GROUP_VERSIONS:
        raise Malformed(f"{len(group_versions)} group versions")
    if any(not _GROUP_VERSION.fullmatch(each) for each in group_versions):
        raise Malformed("a group version that is none")
    return list(dict.fromkeys(group_versions))


def _from_aggregated(root: _Aggregated) -> Discovery:
    apis: dict[str, Resources] = {}
    failed: set[str] = set()
    for group in root.items:
        for version in group.versions:
            name = f"{group.metadata.name}/{version.version}" if group.metadata.name else version.version
            if version.freshness == "Stale":
                # An extension server that does not answer: what is listed for it is from some earlier time.
                failed.add(name)
                continue
            apis[name] = {
                one.resource: one.response_kind.kind
                for one in version.resources
                if one.response_kind is not None and one.response_kind.kind
            }
    return Discovery(apis, frozenset(failed))


def parse_resources(body: bytes) -> Resources:
    """What `/api/v1` or `/apis/<group>/<version>` answered.

    Raises:
        Malformed: not a list of resources.
    """
    return {one.name: one.kind for one in _listed(body)}


def parse_served(body: bytes) -> Mapping[str, APIResource]:
    """The same by kind, without those that cannot be listed, watched and patched.

    Raises:
        Malformed: not a list of resources.
    """
    found: dict[str, APIResource] = {}
    for one in _listed(body):
        if one.kind and set(one.verbs) >= _NEEDED_VERBS:
            found.setdefault(one.kind, APIResource(one.name, one.namespaced))
    return found


def _listed(body: bytes) -> list[_LegacyResource]:
    try:
        listed = _resources.decode(body)
    except UNDECODABLE as error:
        raise Malformed(str(error)) from error
    return [one for one in listed.resources if "/" not in one.name]


def parse_version(body: bytes) -> str:
    """`gitVersion` of what `/version` answered.

    Raises:
        Malformed: not version information.
    """
    try:
        version = _info.decode(body).git_version
    except UNDECODABLE as error:
        raise Malformed(str(error)) from error
    if len(version) > _MAX_VERSION:
        raise Malformed(f"a version of {len(version)} characters")
    return version
