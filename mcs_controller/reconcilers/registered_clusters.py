"""The Cluster cache, as the rules ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.meta import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster


class RegisteredClusters:
    """`domain.selection.Clusters` over a store. Nothing is copied, and all are walked through only if all are meant."""

    def __init__(self, store: Store[Cluster]) -> None:
        self._store = store

    def get(self, name: str, /) -> Cluster | None:
        """The Cluster of that name, or None."""
        return self._store.get(ObjectKey("", name))

    def values(self) -> Iterable[Cluster]:
        """All of them, unordered."""
        return self._store.values()
