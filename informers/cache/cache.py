"""A write-through cache: merges watch events and the answers to our own writes, in any order of arrival.

A watch tells us of our own write some milliseconds after the write was answered. A reconciler that runs in between
would act on the state before its own write: do it twice, or run into a conflict with itself. So the answer is put into
the store at once, and from then on the store is *ahead* of the watch for that object, until the watch has caught up.
Events and lists that are older than what we have seen with our own eyes are not allowed to undo it. (client-go's
MutationCache has the same purpose, as a layer over a cache.)

Two facts carry the rules:

- Resource versions of one kind grow with every write (KEP-5504, Kubernetes 1.35, says so officially; with etcd it has
  always been so). They are compared as integers if both are integers, and for equality otherwise.
- A uid is never used again: an object whose deletion was answered cannot come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from informers.cache.event import Event
from informers.cache.store import Indexers, StoreWriter
from informers.meta import KubeObject, ObjectKey, key_of, parse_resource_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from informers.client.wire import Identity

T = TypeVar("T", bound=KubeObject)

MAX_REMEMBERED: Final = 4096
"""Deletions of our own, and as many other writes, that the watch has yet to confirm. Without bookmarks it never tells
of those that take an object out of the selection. A forgotten one costs a moment in which the store shows what was.
"""


class Cache(Generic[T]):
    """A store fed by two sources: the server's lists and watches, and our own writes.

    Each method returns the events that follow from it, the store being up to date already. Not thread-safe.
    """

    def __init__(self, indexers: Indexers[T] | None = None) -> None:
        self.writer: StoreWriter[T] = StoreWriter(indexers)
        self.store = self.writer.store
        self._seen: int | None = None  # the server has told us everything up to this resource version
        self._pending_writes: dict[ObjectKey, int] = {}  # by our own writes: versions that the watch has yet to reach
        self._listed = False
        self._deleted: dict[str, ObjectKey] = {}  # uids deleted by ourselves, whose DELETED event has yet to come
        self._removed: set[str] = set()  # those of them that were in the store

    def replace(self, objects: Iterable[T], resource_version: str, keep: Collection[ObjectKey] = ()) -> list[Event[T]]:
        """Make the store equal to a list: one swap, during which nobody else runs.

        Objects of unchanged uid and resource version give no event. What is missing from the list gives a tombstone,
        except keys in `keep` (the list has them, but they could not be read: they stay as they were) and objects of our
        own that are newer than the list. The events of the first list are `initial`.

        A list with a lower version than we have seen means that the server lost history: it was restored from a backup.
        Then the list counts and nothing else.
        """
        version = parse_resource_version(resource_version)
        if version is None or (self._seen is not None and version < self._seen):
            self._pending_writes.clear()
            self._deleted.clear()
            self._removed.clear()
        else:
            self._pending_writes = {key: own for key, own in self._pending_writes.items() if own > version}
        self._seen = version
        initial, self._listed = not self._listed, True

        listed = {key_of(obj): obj for obj in objects}
        if self._removed:
            self._removed &= {obj.metadata.uid for obj in listed.values()}  # a list tells of deletions as well
        gone = sorted(self.store.keys() - listed.keys() - self._pending_writes.keys() - set(keep))
        events: list[Event[T]] = [Event(old=self.writer.remove(key), tombstone=True) for key in gone]
        for key, obj in listed.items():
            if key not in self._pending_writes and obj.metadata.uid not in self._deleted:
                events += self._put(obj, initial=initial)
        return events

    def clear(self) -> None:
        """Know nothing any more, which is no event."""
        self._seen = None
        self._pending_writes.clear()
        self._deleted.clear()
        self._removed.clear()
        self.writer.clear()

    def put(self, obj: T) -> list[Event[T]]:
        """An ADDED or MODIFIED event of the watch."""
        version = self._advance(obj.metadata.resource_version)
        if self._is_behind(key_of(obj), version) or obj.metadata.uid in self._deleted:
            return []
        return self._put(obj)

    def remove(self, identity: Identity, final: T | None) -> list[Event[T]]:
        """A DELETED event of the watch. `final` is the object as it was at the end, if it can be read."""
        self._forget_deleted(identity.uid)
        version = self._advance(identity.resource_version)
        if self._is_behind(identity.key, version) or self._is_repeated(identity, version):
            return []
        old = self.writer.remove(identity.key)
        return [] if old is None else [Event(old=final if final is not None else old)]

    def skip(self, identity: Identity) -> None:
        """An event of the watch whose object cannot be read: the store keeps the state before it."""
        self._is_behind(identity.key, self._advance(identity.resource_version))

    def advance(self, resource_version: str) -> None:
        """Record a bookmark: all events up to this version have arrived."""
        version = self._advance(resource_version)
        if version is not None and self._pending_writes:
            # What is in the store by our own write alone should have been told before: see `unconfirmed`.
            self._pending_writes = {
                key: own for key, own in self._pending_writes.items() if own > version or self._holds(key, own)
            }

    def unconfirmed(self) -> dict[ObjectKey, int | str]:
        """What is in the store, or is not, by our own writes alone: by key the version, or the uid that was deleted."""
        written = {key: own for key, own in self._pending_writes.items() if self._holds(key, own)}
        return {self._deleted[uid]: uid for uid in self._removed} | written

    def doubt(self, keys: Iterable[ObjectKey]) -> None:
        """Let the next list decide about these, whatever our own writes of them were answered."""
        doubted = set(keys)
        for key in doubted:
            self._pending_writes.pop(key, None)
        for uid in [uid for uid in self._removed if self._deleted[uid] in doubted]:
            self._forget_deleted(uid)

    def observe(self, obj: T, *, selected: bool = True) -> list[Event[T]]:
        """The answer to a write of our own. With `selected` false, the write took the object out of this collection.

        Ignored if the watch has passed it (then the store knows as much or more, a deletion for example), if the store
        holds a newer state, if the object is known to be deleted, or if its version is not a number.
        """
        version = parse_resource_version(obj.metadata.resource_version)
        if version is None or obj.metadata.uid in self._deleted:
            return []
        key = key_of(obj)
        if (self._seen is not None and version <= self._seen) or version <= self._pending_writes.get(key, 0):
            return []
        self._remember(key, version)
        if selected:
            return self._put(obj)
        old = self.writer.remove(key)
        return [] if old is None else [Event(old=obj)]

    def observe_deleted(self, key: ObjectKey, uid: str) -> list[Event[T]]:
        """The answer to a delete of our own, of the object with this uid."""
        if not uid:
            return []  # without the uid it may have been another object than the cached one: the watch will tell
        self._deleted[uid] = key
        if len(self._deleted) > MAX_REMEMBERED:
            self._forget_deleted(next(iter(self._deleted)))
        cached = self.store.get(key)
        if cached is None or cached.metadata.uid != uid:
            return []
        self._removed.add(uid)
        self.writer.remove(key)  # still ahead, if it was: an earlier object of this name may yet be in the watch
        return [Event(old=cached)]

    def _remember(self, key: ObjectKey, version: int) -> None:
        """Record a pending write of ours; drop the oldest ones that are confirmed or too many."""
        self._pending_writes.pop(key, None)  # the latest is the last
        self._pending_writes[key] = version
        while True:
            oldest, own = next(iter(self._pending_writes.items()))
            if len(self._pending_writes) <= MAX_REMEMBERED and (self._seen is None or own > self._seen):
                break  # at the latest at our own, which is news
            del self._pending_writes[oldest]

    def _forget_deleted(self, uid: str) -> None:
        self._deleted.pop(uid, None)
        self._removed.discard(uid)

    def _holds(self, key: ObjectKey, version: int) -> bool:
        stored = self.store.get(key)
        return stored is not None and parse_resource_version(stored.metadata.resource_version) == version

    def _put(self, obj: T, *, initial: bool = False) -> list[Event[T]]:
        old = self.store.get(key_of(obj))
        if old is not None and _same(old, obj):
            return []
        self.writer.put(obj)
        return [Event(old=old, new=obj, initial=initial)]

    def _advance(self, resource_version: str) -> int | None:
        version = parse_resource_version(resource_version)
        if version is not None and (self._seen is None or version > self._seen):
            self._seen = version
        return version

    def _is_behind(self, key: ObjectKey, version: int | None) -> bool:
        """Whether an event of the watch is older than what we wrote ourselves. Ends being ahead if it is not."""
        if not self._pending_writes:
            return False
        own = self._pending_writes.get(key)
        if own is None:
            return False
        if version is not None and version < own:
            return True
        del self._pending_writes[key]
        return False

    def _is_repeated(self, identity: Identity, version: int | None) -> bool:
        """Whether a deletion is older than what is stored.

        It is of an earlier object of the name then, or of an earlier time at which the object left the selection.
        """
        stored = self.store.get(identity.key)
        if stored is None or version is None:
            return False
        own = parse_resource_version(stored.metadata.resource_version)
        return own is not None and own > version


def _same(old: KubeObject, new: KubeObject) -> bool:
    """Whether both are the same state. Objects without a version are never taken to be."""
    version = new.metadata.resource_version
    return bool(version) and old.metadata.resource_version == version and old.metadata.uid == new.metadata.uid
