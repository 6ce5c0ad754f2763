"""The events that handlers receive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from informers.meta import KubeObject, ObjectKey, key_of

T = TypeVar("T", bound=KubeObject)


class Event(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """One change of one object in a store, or the replay of its state.

    Of `old` and `new` at least one is there. An object that was deleted and created again in a gap of the watch appears
    as one update between two uids, as in client-go. A resync is an update with `old is new`.

    Attributes:
        old: the state before; None for an added object. For a deleted one its final state, unless `tombstone`.
        new: the state after; None for a deleted object.
        initial: part of the first list, or of the replay for a handler that came later: not news.
        tombstone: the deletion itself was missed and found by comparing with a list, so `old` is the last state that we
            know, which need not be the last one there was (client-go: DeletedFinalStateUnknown).
    """

    old: T | None = None
    new: T | None = None
    initial: bool = False
    tombstone: bool = False

    @property
    def kind(self) -> Literal["added", "updated", "deleted"]:
        """The kind of change, by which of `old` and `new` are there."""
        if self.old is None:
            return "added"
        return "deleted" if self.new is None else "updated"

    @property
    def object(self) -> T:
        """The newest state there is: `new`, or `old` of a deleted object."""
        obj = self.new if self.new is not None else self.old
        if obj is None:
            raise ValueError("an event without an object")
        return obj

    @property
    def key(self) -> ObjectKey:
        """The object's key in the store."""
        return key_of(self.object)


Handler: TypeAlias = Callable[[Event[T]], None]
"""Called in the same step of the event loop as the change of the store, after it. A plain function, no coroutine.

Must return at once (put a key in a queue), as nothing else in the process goes on meanwhile, and must not change the
objects. An exception is logged and counted, and the event is not told again.
"""

AsyncHandler: TypeAlias = Callable[[Event[T]], Awaitable[None]]
"""Called with one event at a time, some time after the change of the store. A coroutine function.

May take its time as long as it awaits. It must not change the objects. An exception is logged and counted, and the
event is not told again.
"""
