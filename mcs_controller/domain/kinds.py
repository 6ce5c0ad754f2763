"""Kinds that are not known beforehand, and where an API server says that it serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from informers.discovery import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEEDED_VERBS: Final = frozenset({"get", "list", "watch", "patch"})
"""Without these an object of the kind cannot be followed and changed: TokenReviews and the like."""


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

    def __str__(self) -> str:
        return f"{self.api_version} {self.kind}"


class APIResource(NamedTuple):
    """Where a kind's objects are: the name in URLs, and whether they live in namespaces."""

    plural: str
    namespaced: bool


class _Resource(msgspec.Struct):
    name: str
    kind: str = ""
    namespaced: bool = False
    verbs: list[str] = []


class _Resources(msgspec.Struct):
    resources: list[_Resource] = []


_resources = msgspec.json.Decoder(_Resources)


def discovery_path(api_version: str) -> str:
    """The document in which an API server lists the kinds of a group version."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def parse_served(body: bytes) -> Mapping[str, APIResource]:
    """What an APIResourceList says, by kind; kinds that cannot be listed, watched and patched are left out.

    Raises:
        Malformed: the document is not such a list.
    """
    try:
        listed = _resources.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error
    found: dict[str, APIResource] = {}
    for one in listed.resources:
        if "/" not in one.name and one.kind and set(one.verbs) >= _NEEDED_VERBS:
            found.setdefault(one.kind, APIResource(one.name, one.namespaced))
    return found
