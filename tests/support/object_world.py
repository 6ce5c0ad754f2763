"""The objects of an API server with their history, as etcd keeps them: what a faithful server answers from.

One version grows with every write. The past is kept until it is compacted. A backup can be restored, and then the
version goes back.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.support.objects import event_line

Json = dict[str, Any]


class Place(NamedTuple):
    """Where an object is."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Change:
    """One write. Neither `old` nor `new` may be changed."""

    version: int
    place: Place
    old: Json | None
    new: Json | None


@dataclass(frozen=True)
class Selection:
    """A collection: what a list or watch request asks for. Empty means all."""

    plural: str
    namespace: str = ""
    label: str = ""
    name: str = ""

    def holds(self, place: Place, obj: Json | None) -> bool:
        if obj is None or place.plural != self.plural:
            return False
        key, _, value = self.label.partition("=")
        return (
            self.namespace in ("", place.namespace)
            and self.name in ("", place.name)
            and (not key or obj["metadata"]["labels"].get(key) == value)
        )

    def line(self, change: Change) -> bytes | None:
        """The watch event for it, as kube-apiserver words it."""
        before, after = self.holds(change.place, change.old), self.holds(change.place, change.new)
        if after:
            return event_line("MODIFIED" if before else "ADDED", change.new)
        if not before:
            return None
        assert change.old is not None  # its last state in the selection, with the version at which it left
        metadata = change.old["metadata"] | {"resourceVersion": str(change.version)}
        return event_line("DELETED", change.old | {"metadata": metadata})


@dataclass(frozen=True)
class State:
    """A state that an object really had."""

    place: Place
    uid: str
    version: int


@dataclass(frozen=True)
class _Backup:
    version: int
    objects: dict[Place, Json]


class ObjectWorld:
    """Everything there is. Each state of each object carries a number of its own in `data.n`."""

    def __init__(self) -> None:
        self.version = 1000
        self.compacted = 1000
        self.objects: dict[Place, Json] = {}
        self.history: list[Change] = []
        self.states: dict[str, State] = {}
        self.deleted: dict[Place, int] = {}
        self._watchers: set[asyncio.Queue[Change]] = set()

    def create(self, place: Place, labels: dict[str, str]) -> Json | None:
        """The new object, or None if the name is taken."""
        return None if place in self.objects else self._write(place, f"uid-{len(self.states)}", labels)

    def change(self, place: Place, labels: dict[str, str | None] | None = None) -> Json | None:
        """Change data, and merge the labels. The object, or None if there is none."""
        old = self.objects.get(place)
        if old is None:
            return None
        merged = old["metadata"]["labels"] | (labels or {})
        return self._write(place, old["metadata"]["uid"], {k: v for k, v in merged.items() if v is not None})

    def delete(self, place: Place) -> Json | None:
        """The deleted object, or None if there was none."""
        old = self.objects.pop(place, None)
        if old is not None:
            self.version += 1
            self.deleted[place] = self.version
            self._happened(Change(self.version, place, old, None))
        return old

    def compact(self) -> None:
        """Forget the past."""
        self.compacted = self.version
        self.history.clear()

    def backup(self) -> _Backup:
        return _Backup(self.version, copy.copy(self.objects))

    def restore(self, backup: _Backup) -> None:
        """As etcd does it without --bump-revision: versions begin again from there, and name other states then."""
        self.version, self.objects = backup.version, copy.copy(backup.objects)
        self.deleted.clear()
        self.compact()

    def items(self, selection: Selection) -> list[Json]:
        """In the order of an API server."""
        return [obj for place, obj in sorted(self.objects.items()) if selection.holds(place, obj)]

    def after(self, version: int) -> list[Change]:
        """What happened since, in order."""
        # Versions of the history are consecutive.
        return self.history[max(0, version - self.compacted) :]

    def subscribe(self) -> asyncio.Queue[Change]:
        """Gets every change from now on, also those that are compacted away before they are read."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._watchers.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Change]) -> None:
        self._watchers.discard(queue)

    def _write(self, place: Place, uid: str, labels: dict[str, str]) -> Json:
        self.version += 1
        number = str(len(self.states))
        obj = {
            "metadata": {
                "name": place.name,
                "namespace": place.namespace,
                "uid": uid,
                "resourceVersion": str(self.version),
                "labels": labels,
            },
            "data": {"n": number},
        }
        self.states[number] = State(place, uid, self.version)
        old = self.objects.get(place)
        self.objects[place] = obj
        self._happened(Change(self.version, place, old, obj))
        return obj

    def _happened(self, change: Change) -> None:
        self.history.append(change)
        for queue in self._watchers:
            queue.put_nowait(change)
