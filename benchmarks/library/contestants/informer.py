"""A shared informer of ours on a stream from memory: from bytes to the handler, store and two indexes between."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.library.contestants.common import arguments, per_second, processor_seconds, run, say
from benchmarks.library.contestants.indexes import INDEXERS
from informers import Event, ListPage, SharedInformer
from informers.wire import LineSplitter
from mcs_controller.api.resources import ENDPOINTSLICES
from workqueue import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from informers.transport import Lines

CHUNK_BYTES = 1 << 16
"""What is read at once, as from a socket."""

_EMPTY = (
    b'{"type":"BOOKMARK","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":'
    b'{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}'
)


class Stream:
    """An API server that has nothing at first, and then sends these bytes."""

    host = "memory"

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.began = 0.0

    async def list(self, *_: Any, **__: Any) -> ListPage[Any]:
        """Nothing: an empty collection."""
        return ListPage(items=[], resource_version="1")

    @asynccontextmanager
    async def watch(self, *_: Any, send_initial_events: bool = False, **__: Any) -> AsyncIterator[Lines]:
        """The end of the empty list, or the stream."""
        yield self._initial() if send_initial_events else self._events()

    async def _initial(self) -> Lines:
        yield [_EMPTY]
        async for lines in self._events():
            yield lines

    async def _events(self) -> Lines:
        splitter = LineSplitter(1 << 20)
        self.began = processor_seconds()
        for start in range(0, len(self._content), CHUNK_BYTES):
            yield splitter.feed(self._content[start : start + CHUNK_BYTES])
        await asyncio.Event().wait()  # nothing more comes


async def main(content: bytes, objects: int) -> None:
    """Feed all events, and say how many were handled a second."""
    total = content.count(b"\n")
    stream = Stream(content)
    informer = SharedInformer(stream, ENDPOINTSLICES, indexers=INDEXERS, clock=RealClock(), rng=random.Random())
    finished = asyncio.Event()
    handled = 0

    def handle(event: Event[Any]) -> None:
        nonlocal handled
        handled += 1
        if handled == total:
            say(per_second(total, stream.began))
            finished.set()

    informer.add_handler(handle)
    running = asyncio.create_task(informer.run())
    await finished.wait()
    if len(informer.store) != objects:
        raise SystemExit(f"{len(informer.store)} objects in the store instead of {objects}")
    running.cancel()
    await asyncio.wait([running])


if __name__ == "__main__":
    _, parameters = arguments()
    run(main(Path(parameters["events"]).read_bytes(), parameters["count"]))
