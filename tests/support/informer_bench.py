"""A SharedInformer in front of a scripted server, with time that stands still and one handler that writes things down.

async with running() as bench:
    bench.informer.add_handler(bench.handler)
    stream = await bench.synced(("a", 1))
    await bench.send(stream, "MODIFIED", "a", 11)
    assert bench.told == ["added a 1 initial", "updated a 11"]
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from informers.cache.event import Event
from informers.cache.informer import SharedInformer
from informers.errors import KubeError
from informers.metrics import InformerMetrics
from informers.resource import Resource
from tests.support.clock import FakeClock, settle
from tests.support.list_watch import ScriptedListWatch, Stream
from tests.support.mutation import MutationDetector
from tests.support.objects import CONFIG_MAPS, ConfigMap, bookmark_line, event_line, manifest


class CountingMetrics(InformerMetrics):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def event(self, resource: str, kind: str) -> None:
        self.seen.append((resource, kind))

    def listed(self, resource: str, objects: int) -> None:
        self.seen.append((resource, "listed", objects))

    def failed(self, resource: str, error: KubeError) -> None:
        self.seen.append((resource, "failed", error))

    def rejected(self, resource: str) -> None:
        self.seen.append((resource, "rejected"))

    def watching(self, resource: str) -> None:
        pass

    def missed(self, resource: str, objects: int) -> None:
        self.seen.append((resource, "missed", objects))

    def handler_failed(self, resource: str, handler: str) -> None:
        self.seen.append((resource, "handler failed", handler))


class Bench:
    """See the module."""

    def __init__(
        self,
        *,
        resource: Resource[ConfigMap] = CONFIG_MAPS,
        server: ScriptedListWatch | None = None,
        **options: Any,
    ) -> None:
        self.server = server or ScriptedListWatch()
        self.clock = FakeClock()
        self.metrics = CountingMetrics()
        self.informer: SharedInformer[ConfigMap] = SharedInformer(
            self.server, resource, clock=self.clock, rng=random.Random(1), metrics=self.metrics, **options
        )
        self.told: list[str] = []
        self.detector = MutationDetector()

    def handler(self, event: Event[ConfigMap]) -> None:
        """Writes events down in short: `added a 5`."""
        flags = " initial" * event.initial + " tombstone" * event.tombstone
        self.told.append(f"{event.kind} {event.key.name} {event.object.metadata.resource_version}{flags}")
        self.detector.remember(event.object)

    async def synced(self, *objects: tuple[str, int]) -> Stream:
        """Answer the first request: a streaming list as of 10, which goes on as a watch."""
        await settle()
        lines = [event_line("ADDED", manifest(name, version)) for name, version in objects]
        stream = self.server.pending.open(*lines, bookmark_line(10, initial_events_end=True))
        await settle()
        return stream

    async def send(self, stream: Stream, kind: str, name: str, version: int, *, uid: str = "") -> None:
        stream.send(event_line(kind, manifest(name, version, uid=uid)))
        await settle()

    async def relist(self, stream: Stream, version: int, *objects: dict[str, Any]) -> None:
        """Say that the watch is too old, and answer the list that follows."""
        stream.send(event_line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
        await self.clock.advance(1)
        lines = [event_line("ADDED", content) for content in objects]
        self.server.pending.open(*lines, bookmark_line(version, initial_events_end=True))
        await settle()


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Bench]:
    bench = Bench(**options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.informer.run())
        yield bench
        task.cancel()
    bench.detector.check()
