"""Writing ahead of a reconcile, without ever writing twice; and writing one after the other what several write.

A change of a slice ends in the consumer: the execution controller writes there what the dispatched Work says. But how
the Work will be is known as soon as its own write is planned (`domain.works.predict_result`), so both can be on their
way at once. A crash between the two, or one that fails, leaves a part of the plan done; the ordinary reconcile
compares, and completes it.

Two rules make that safe. What is written ahead in a member changes an object that is there and names its Work, and
nothing is deleted ahead: so whatever was written is found again. And while a write is ahead of what it follows from,
nobody reconciles that request, who would take the difference for a drift and undo it: `ReconcileMutex` is for that.

`KeyMutex` is for objects that several controllers of one process write, each its own part. Between a look into the
cache and the answer to the write that follows from it nobody else writes there, so none is refused for another's sake.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Iterator

R = TypeVar("R", bound="Hashable")


class ReconcileMutex(Generic[R]):
    """Whose turn it is to write for a request: its reconcile, or somebody who writes ahead of it. Never both.

    Whoever comes second goes without. Nothing is lost by that: a reconcile that was turned away is asked for again, and
    who did not write ahead has the ordinary way. Not thread-safe.
    """

    def __init__(self, enqueue: Callable[[R], None]) -> None:
        """A reconcile that is due after a turn is asked for with `enqueue`."""
        self._taken: set[R] = set()
        self._turned_away: set[R] = set()
        self._enqueue = enqueue

    @contextmanager
    def reconcile(self, request: R) -> Iterator[bool]:
        """The turn of a reconcile. False if somebody writes ahead: then return, another reconcile follows."""
        if request in self._taken:
            self._turned_away.add(request)
            yield False
            return
        with self._turn(request):
            yield True

    @contextmanager
    def ahead(self, request: R) -> Iterator[bool]:
        """The turn of somebody who writes ahead. False if a reconcile is under way. One follows in any case."""
        if request in self._taken:
            yield False
            return
        self._turned_away.add(request)
        with self._turn(request):
            yield True

    @contextmanager
    def _turn(self, request: R) -> Iterator[None]:
        self._taken.add(request)
        try:
            yield
        finally:
            self._taken.discard(request)
            if request in self._turned_away:
                self._turned_away.discard(request)
                self._enqueue(request)


class KeyMutex(Generic[R]):
    """Lets those who read, plan and write for a request do so one after the other, in the order in which they came.

    To be held no longer than that, and never while waiting for another request's. Not thread-safe.
    """

    def __init__(self) -> None:
        # A lock lasts as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[R, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def writing(self, request: R) -> AsyncIterator[None]:
        """Wait until nobody else writes for the request; then nobody does before the block ends."""
        lock = self._locks.setdefault(request, asyncio.Lock())
        async with lock:
            yield
