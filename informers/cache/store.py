"""Objects in memory, with indexes. Reading and writing are two types, so that only the owner of a store can change it.

After client-go's ThreadSafeStore, without locks: one event loop, and no method awaits. What may enter the store when
the server's events and our own writes disagree is decided in :mod:`informers.cache.cache`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from msgspec.structs import force_setattr

from informers.meta import KubeObject, ObjectKey, key_of

if TYPE_CHECKING:
    from collections.abc import KeysView, Set

    from informers.meta import ObjectMeta

T = TypeVar("T", bound=KubeObject)

_MAX_SHARED_STRINGS: Final = 1024

Indexers: TypeAlias = Mapping[str, Callable[[T], Iterable[Hashable]]]
"""By index name: the values under which an object is found. Pure, total and cheap: called at each change."""


class Store(Generic[T]):
    """Read access to the cached objects of one kind.

    Answers come from one state of the cache: nothing changes between two reads without an await in between. Objects are
    shared with every other reader; whoever changes one corrupts the cache (make a changed copy with
    `msgspec.structs.replace`). Not thread-safe.
    """

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, T] = {}
        self._indexers: dict[str, Callable[[T], Iterable[Hashable]]] = {}
        self._indexes: dict[str, _Index] = {}

    def get(self, key: ObjectKey) -> T | None:
        """The object, or None."""
        return self._objects.get(key)

    def by_index(self, index: str, value: Hashable) -> list[T]:
        """The objects that `index` files under `value`, ordered by key. Raises KeyError if there is no such index."""
        return [self._objects[key] for key in sorted(self._indexes[index].keys(value))]

    def index_keys(self, index: str, value: Hashable) -> Set[ObjectKey]:
        """The keys of :meth:`by_index`, unordered. Raises KeyError if there is no such index."""
        return frozenset(self._indexes[index].keys(value))

    def index_values(self, index: str) -> list[Hashable]:
        """Every value that at least one object is filed under, unordered. Raises KeyError if there is no such index."""
        return self._indexes[index].values()

    def values(self) -> list[T]:
        """All objects, unordered."""
        return list(self._objects.values())

    def keys(self) -> KeysView[ObjectKey]:
        """A live view of all keys, unordered."""
        return self._objects.keys()

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects


class _Index:
    """Keys by value. A value that one key has, as most have, costs no set (216 bytes)."""

    def __init__(self) -> None:
        self._keys: dict[Hashable, ObjectKey | set[ObjectKey]] = {}

    def keys(self, value: Hashable) -> Iterable[ObjectKey]:
        found = self._keys.get(value, ())
        return (found,) if isinstance(found, ObjectKey) else found

    def values(self) -> list[Hashable]:
        return list(self._keys)

    def add(self, value: Hashable, key: ObjectKey) -> None:
        found = self._keys.setdefault(value, key)
        if isinstance(found, set):
            found.add(key)
        elif found != key:
            self._keys[value] = {found, key}

    def discard(self, value: Hashable, key: ObjectKey) -> None:
        found = self._keys[value]
        if isinstance(found, set) and len(found) > 1:
            found.discard(key)
        else:
            del self._keys[value]  # or every value ever seen would stay


class StoreWriter(Generic[T]):
    """Write access. There is one per store, and :attr:`store` is what everybody else gets. Not thread-safe.

    An indexer that raises lets its error through and leaves the store as it was.
    """

    def __init__(self, indexers: Indexers[T] | None = None) -> None:
        self.store: Store[T] = Store()
        self._strings: dict[str, str] = {}
        self.add_indexers(indexers or {})

    def add_indexers(self, indexers: Indexers[T]) -> None:
        """Index by more, also what is stored already. The same function under the same name again is fine.

        Raises:
            ValueError: an index of that name with another function exists.
        """
        store = self.store
        for name, indexer in indexers.items():
            known = store._indexers.get(name)
            if known is indexer:
                continue
            if known is not None:
                raise ValueError(f"index {name!r} exists with another function")
            index = _Index()
            for key, obj in store._objects.items():
                for value in indexer(obj):
                    index.add(value, key)
            store._indexers[name] = indexer
            store._indexes[name] = index

    def put(self, obj: T) -> T | None:
        """Store an object and return the one it replaces. The object's labels become those of an equal one."""
        key = key_of(obj)
        old = self.store._objects.get(key)
        self._share_strings(obj.metadata, old.metadata if old is not None else None)
        self._index(key, old, obj)
        self.store._objects[key] = obj
        return old

    def remove(self, key: ObjectKey) -> T | None:
        """Remove an object and return it, or None if there was none. Indexers see it for the last time."""
        old = self.store._objects.get(key)
        if old is not None:
            self._index(key, old, None)
            del self.store._objects[key]
        return old

    def clear(self) -> None:
        """Remove all objects."""
        self.store._objects.clear()
        self._strings.clear()
        for name in self.store._indexes:
            self.store._indexes[name] = _Index()

    def _index(self, key: ObjectKey, old: T | None, new: T | None) -> None:
        for name, indexer in self.store._indexers.items():
            was = () if old is None else tuple(indexer(old))
            now = () if new is None else tuple(indexer(new))
            if was == now:  # as with most updates; the sets below cost more than all the rest
                continue
            before, after = frozenset(was), frozenset(now)
            index = self.store._indexes[name]
            for value in before - after:
                index.discard(value, key)
            for value in after - before:
                index.add(value, key)

    def _share_strings(self, meta: ObjectMeta, before: ObjectMeta | None) -> None:
        """Let objects share the strings that most of them have: namespaces, keys of labels, many of their values.

        The decoder makes new ones for each object, 300 bytes for an EndpointSlice. What comes after the first strings
        is not remembered any more: those that are in most objects are in the first ones too. Of an object that was
        there before, most is as it was, and shared already.
        """
        known = self._strings
        shared = known.setdefault if len(known) < _MAX_SHARED_STRINGS else known.get
        if before is None:
            force_setattr(meta, "namespace", shared(meta.namespace, meta.namespace))
        else:
            force_setattr(meta, "namespace", before.namespace)
        if before is not None and before.labels == meta.labels:
            force_setattr(meta, "labels", before.labels)
        elif meta.labels:
            labels = {shared(name, name): shared(value, value) for name, value in meta.labels.items()}
            force_setattr(meta, "labels", labels)
        if before is not None and before.annotations == meta.annotations:
            force_setattr(meta, "annotations", before.annotations)
        elif meta.annotations:
            force_setattr(meta, "annotations", {shared(name, name): value for name, value in meta.annotations.items()})
