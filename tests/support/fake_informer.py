"""An informer without an API server: what it holds and tells is for the test to say."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from informers.cache.event import Event, Handler
from informers.errors import KubeError
from informers.meta import KubeObject, ObjectMeta
from informers.resource import PartialObject, Resource
from tests.support.objects import CONFIG_MAPS

T = TypeVar("T", bound=KubeObject)


def an_object(name: str, namespace: str = "default", resource_version: str = "1") -> PartialObject:
    return PartialObject(ObjectMeta(name=name, namespace=namespace, resource_version=resource_version))


class FakeInformer(Generic[T]):
    """A `SharedInformer` to controllers and managers. Tells what the test emits; replays its objects to new handlers.

    Attributes:
        last_confirmed_monotonic: None, so that it never is too old, unless a test says something else; as
            `made_monotonic`.
        wakes: how often it was told not to wait for its next try.
    """

    def __init__(self, *objects: T, resource: Resource[Any] = CONFIG_MAPS, synced: bool = True) -> None:
        self.resource = resource
        self.handlers: list[Handler[T]] = []
        self.last_error: KubeError | None = None
        self.last_confirmed_monotonic: float | None = None
        self.made_monotonic = math.inf
        self.synced = asyncio.Event()
        self.dropped = asyncio.Event()
        self.wakes = 0
        self._objects = objects
        self._listener: Callable[[KubeError | None], None] | None = None
        if synced:
            self.synced.set()

    def add_handler(self, handler: Handler[T], *, name: str = "") -> FakeRegistration[T]:
        self.handlers.append(handler)
        for obj in self._contents():
            handler(Event(new=obj, initial=True))
        return FakeRegistration(self.handlers, handler)

    def _contents(self) -> Iterable[T]:
        return self._objects

    def emit(self, *events: Event[T]) -> None:
        """Tell all handlers."""
        for event in events:
            for handler in tuple(self.handlers):
                handler(event)

    @property
    def has_synced(self) -> bool:
        return self.synced.is_set()

    async def wait_dropped(self) -> None:
        await self.dropped.wait()
        self.dropped.clear()

    async def wait_synced(self) -> None:
        await self.synced.wait()

    def sync(self) -> None:
        """The first list is complete."""
        self.last_error = None
        self.synced.set()

    def on_failure(self, listener: Callable[[KubeError | None], None]) -> None:
        self._listener = listener

    def fail(self, error: KubeError | None) -> None:
        """The server answers a list or a watch with this; or it works again."""
        self.last_error = error
        if self._listener is not None:
            self._listener(error)

    def retry_now(self) -> None:
        self.wakes += 1


class FakeRegistration(Generic[T]):
    """A handler's place in a `FakeInformer`."""

    def __init__(self, handlers: list[Handler[T]], handler: Handler[T]) -> None:
        self._handlers, self._handler = handlers, handler

    def remove(self) -> None:
        self._handlers.remove(self._handler)


class FakeSource(FakeInformer[PartialObject]):
    """Of any kind."""

    def add(self, name: str) -> None:
        """An object comes."""
        self.emit(Event(new=an_object(name)))
