"""Compares what a cache holds with what its server has, above all while the watch between them says nothing.

A watch that says nothing is what a quiet collection looks like, and a dead connection, a proxy that drops what it
should pass on, an API server whose own cache is stuck, one that was restored from a backup, and a client whose rights
were taken away: API servers do not end a watch for that. A consistent list tells them apart. Of each object it has only
the resource version that is compared, so that it is cheap. A watch that tells of changes is compared as often, since it
may have lost one; less often if the collection is so large that reading it takes long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar, runtime_checkable

from informers.meta import KubeObject, parse_resource_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from informers.client.wire import Versions
    from informers.meta import ObjectKey
    from informers.resource import Resource

T = TypeVar("T", bound=KubeObject)

SILENT_SECONDS: Final = 7.0
"""A watch of which nothing is heard for so long is compared."""

BUSY_PAUSE: Final = 50
"""A watch that tells of changes is compared no sooner than after so many times what reading the versions took."""

BUSY_SECONDS: Final = 2.0
"""A watch of which something was heard for so short a time ago tells of changes."""

COMPARE_AGAIN_SECONDS: Final = 1.0
"""After a list that failed, while the watch is open."""

IN_FLIGHT_SECONDS: Final = 2.0
"""For the watch to tell of what the list already shows."""


@runtime_checkable
class VersionReader(Protocol):
    """A client that can read the resource versions of a collection, as ApiClient can."""

    async def list_versions(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        at_most: int,
    ) -> Versions:
        """See :meth:`informers.ApiClient.list_versions`."""
        ...


def differences(ours: Mapping[ObjectKey, str], server: Versions) -> dict[ObjectKey, str]:
    """Objects that the server has in another version than the cache, and that version; "" if it does not have them.

    Not those that the cache has in a version newer than the list: the answers to our own writes.
    """
    theirs = server.objects
    odd = {key for key, version in theirs.items() if ours.get(key) != version} | (ours.keys() - theirs.keys())
    return {key: theirs.get(key, "") for key in odd if not is_older(server.resource_version, than=ours.get(key, ""))}


def is_older(version: str, *, than: str) -> bool:
    """Whether the first resource version came before the second. False if they cannot be compared."""
    first, second = parse_resource_version(version), parse_resource_version(than)
    return first is not None and second is not None and first < second
