"""Locks by key: for writes that start before the reconcile that they belong to, and for objects with several writers.

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
    """A lock for each request, held by its reconcile or by a write that started before it. Never by both.

    Whoever comes second goes without. Nothing is lost by that: a reconcile that was turned away is asked for again, and
    who did not write ahead has the ordinary way. Not thread-safe.
    """

    def __init__(self, enqueue: Callable[[R], None]) -> None:
        """A reconcile that is due after a turn is asked for with `enqueue`."""
        self._taken: set[R] = set()
        self._turned_away: set[R] = set()
        self._enqueue = enqueue

    @contextmanager
    def hold_or_requeue(self, request: R) -> Iterator[bool]:
        """Hold it for a reconcile. False if an early write holds it: then return, another reconcile follows."""
        if request in self._taken:
            self._turned_away.add(request)
            yield False
            return
        with self._turn(request):
            yield True

    @contextmanager
    def try_hold(self, request: R) -> Iterator[bool]:
        """Hold it for an early write. False if a reconcile holds it. One follows in any case."""
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
    """A mutex per key: reconciles that read, plan and write for one request run one after the other, in order.

    To be held no longer than that, and never while waiting for another request's. Not thread-safe.
    """

    def __init__(self) -> None:
        # A lock lasts as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[R, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, request: R) -> AsyncIterator[None]:
        """Wait for the lock of the request, and hold it until the block ends."""
        lock = self._locks.setdefault(request, asyncio.Lock())
        async with lock:
            yield
