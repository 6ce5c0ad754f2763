"""An informer without an API server, for tests of what watches one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from informers.cache.event import Event
from informers.meta import ObjectMeta
from informers.resource import PartialObject

if TYPE_CHECKING:
    from collections.abc import Callable


def an_object(name: str, namespace: str = "default", resource_version: str = "1") -> PartialObject:
    return PartialObject(ObjectMeta(name=name, namespace=namespace, resource_version=resource_version))


class FakeSource:
    """Delivers what the test emits; replays what was there to handlers that come later, as a SharedInformer does."""

    def __init__(self, *objects: PartialObject, synced: bool = True) -> None:
        self.objects = list(objects)
        self.handlers: list[Callable[[Event[PartialObject]], None]] = []
        self._synced = asyncio.Event()
        if synced:
            self._synced.set()

    def add_handler(self, handler: Callable[[Event[PartialObject]], None], *, name: str = "") -> FakeRegistration:
        self.handlers.append(handler)
        for obj in self.objects:
            handler(Event(new=obj, initial=True))
        return FakeRegistration(self, handler)

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def sync(self) -> None:
        self._synced.set()

    def emit(self, event: Event[PartialObject]) -> None:
        for handler in self.handlers:
            handler(event)

    def add(self, name: str) -> None:
        self.emit(Event(new=an_object(name)))


class FakeRegistration:
    def __init__(self, source: FakeSource, handler: Callable[[Event[PartialObject]], None]) -> None:
        self._source, self._handler = source, handler

    def remove(self) -> None:
        self._source.handlers.remove(self._handler)
