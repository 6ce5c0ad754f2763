"""Queue operations: ours, and an `asyncio.Queue` with the event loop's timers, as far as these go.

The same operations in Go are in ``benchmarks/go/workqueue.go``.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from benchmarks.library.competitors.common import arguments, per_second, processor_seconds, run, say
from workqueue import ItemExponentialFailureRateLimiter, Queue, RateLimitingQueue, RealClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

DUPLICATES = 1000
"""Keys that are added again and again while nobody gets."""

FIRST_DELAY_SECONDS = 0.001
"""Of a rate limited key."""


class _Plain:
    """An `asyncio.Queue` with the names of ours."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self.add = self._queue.put_nowait
        self.get = self._queue.get

    def done(self, key: str) -> None:
        self._queue.task_done()

    def forget(self, key: str) -> None:
        pass

    def add_after(self, key: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._queue.put_nowait, key)

    def add_rate_limited(self, key: str) -> None:
        self.add_after(key, FIRST_DELAY_SECONDS)


def _queue(who: str) -> Queue[str] | _Plain:
    return Queue(clock=RealClock()) if who == "ours" else _Plain()


def _rate_limiting(who: str) -> RateLimitingQueue[str] | _Plain:
    if who != "ours":
        return _Plain()
    limiter: ItemExponentialFailureRateLimiter[str] = ItemExponentialFailureRateLimiter(FIRST_DELAY_SECONDS, 1.0)
    return RateLimitingQueue(clock=RealClock(), rate_limiter=limiter)


async def add_get_done(who: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
    """Add all, then take one after the other."""
    queue = _queue(who)
    began = processor_seconds()
    for key in keys:
        queue.add(key)
    for _ in keys:
        queue.done(await queue.get())
    return per_second(len(keys), began)


async def duplicates(who: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
    """Add items that are already waiting."""
    queue = _queue(who)
    began = processor_seconds()
    for number in range(len(keys)):
        queue.add(keys[number % DUPLICATES])
    return per_second(len(keys), began)


async def rate_limited(who: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
    """Add all rate-limited for the first time, then take one after the other."""
    queue = _rate_limiting(who)
    async with _Timer(queue):
        began = processor_seconds()
        for key in keys:
            queue.add_rate_limited(key)
        for _ in keys:
            key = await queue.get()
            queue.forget(key)
            queue.done(key)
        return per_second(len(keys), began)


async def handover(who: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
    """The time from adding to an empty queue until a waiting worker has the item, in microseconds."""
    queue = _queue(who)
    taken: asyncio.Queue[float] = asyncio.Queue()

    async def work() -> None:
        for _ in keys:
            key = await queue.get()
            now = time.perf_counter()
            queue.done(key)
            taken.put_nowait(now)

    found = []
    worker = asyncio.create_task(work())
    for key in keys:
        await asyncio.sleep(0.00005)  # the worker waits again
        began = time.perf_counter()
        queue.add(key)
        found.append(1e6 * (await taken.get() - began))
    await worker
    return {"samples": found}


async def delay(who: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
    """The lateness of items whose delays are spread over this number of seconds, in milliseconds."""
    queue = _rate_limiting(who)
    async with _Timer(queue):
        due = {}
        for number, key in enumerate(keys, 1):
            after = number * seconds / len(keys)
            due[key] = time.perf_counter() + after
            queue.add_after(key, after)
        found = []
        for _ in keys:
            key = await queue.get()
            found.append(1e3 * (time.perf_counter() - due[key]))
            queue.done(key)
        return {"samples": found}


class _Timer:
    """Runs the task of our delaying queue."""

    def __init__(self, queue: RateLimitingQueue[str] | _Plain) -> None:
        self._queue = queue
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        if isinstance(self._queue, RateLimitingQueue):
            self._task = asyncio.create_task(self._queue.run())
            await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


OPERATIONS: dict[str, Callable[[str, Sequence[str], float], Awaitable[dict[str, Any]]]] = {
    each.__name__: each for each in (add_get_done, duplicates, rate_limited, handover, delay)
}


async def main() -> None:
    """Run one operation."""
    who, parameters = arguments()
    keys = [f"default/service-{number}" for number in range(parameters["count"])]
    say(await OPERATIONS[parameters["operation"]](who, keys, parameters.get("seconds", 0.0)))


if __name__ == "__main__":
    run(main())
