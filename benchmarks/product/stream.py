"""A cheap watch that records the arrival of bytes: the observer shares the machine with the observed processes."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import msgspec

from testbed.api import Api, resource_path
from testbed.errors import BedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from testbed.access import ClusterAccess

    Seen: TypeAlias = Callable[[float, bytes], None]
    """Called with the moment (``time.perf_counter``) and one watch event as it came."""


class _Meta(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    metadata: _Meta


class _Event(msgspec.Struct):
    type: str
    object: _Object


_DECODER = msgspec.json.Decoder(_Event)


def type_and_name(line: bytes) -> tuple[str, str]:
    """Type and name of a watch event; the rest is skipped."""
    event = _DECODER.decode(line)
    return event.type, event.object.metadata.name


class Marks:
    """Waits for events that hold certain bytes."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[float]] = {}

    def __call__(self, moment: float, line: bytes) -> None:
        """Hear of an event."""
        for mark in [each for each in self._waiting if each in line]:
            self._waiting.pop(mark).set_result(moment)

    def expect(self, mark: bytes) -> asyncio.Future[float]:
        """The time of the next event with these bytes. Cancel the future if it is not needed any more."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[mark] = future
        future.add_done_callback(lambda done: self._waiting.pop(mark, None) if done.cancelled() else None)
        return future


async def within(seconds: float, arrived: asyncio.Future[float], what: str) -> float:
    """The time from :meth:`Marks.expect`, with a timeout.

    Raises:
        BedError: it did not come in time; the text says what.
    """
    try:
        async with asyncio.timeout(seconds):
            return await arrived
    except TimeoutError:
        raise BedError(f"{what} did not arrive within {seconds:g} s") from None


class Names:
    """The times when objects of a collection were first seen or deleted since the last :meth:`restart`."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        self.went: dict[str, float] = {}
        self._mark = b""
        self._changed = asyncio.Event()

    def __call__(self, moment: float, line: bytes) -> None:
        """Hear of an event."""
        kind, name = type_and_name(line)
        if kind == "DELETED":
            self.went.setdefault(name, moment)
        elif self._mark in line:
            self.came.setdefault(name, moment)
        else:
            return
        self._changed.set()

    def restart(self, mark: bytes = b"") -> None:
        """Forget all events, and record later events only if they have these bytes."""
        self.came, self.went, self._mark = {}, {}, mark

    async def until(self, there: Callable[[Names], bool], *, seconds: float) -> None:
        """Wait until it is so.

        Raises:
            BedError: it was not so in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not there(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BedError(f"only {len(self.came)} came and {len(self.went)} went within {seconds:g} s") from None


@asynccontextmanager
async def observing(access: ClusterAccess, resource: str, namespace: str, seen: Seen) -> AsyncIterator[None]:
    """Watch a collection for as long as the block lasts, from its present state on.

    Raises:
        BedError: the watch ended before the block did. What waits for an event is cancelled then.
    """
    async with Api(access) as api:
        version = (await api.list_raw(resource, namespace=namespace))["metadata"]["resourceVersion"]
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
        connector = aiohttp.TCPConnector(ssl=access.ssl_context())
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
            session.get(
                access.server + resource_path(resource, namespace=namespace),
                params={"watch": "true", "resourceVersion": version, "timeoutSeconds": "7200"},
            ) as response,
        ):
            if response.status != 200:
                raise BedError(f"watching {resource}: {response.status} {await response.text()}")

            async def read() -> None:
                pending = b""
                async for chunk in response.content.iter_any():
                    moment = time.perf_counter()
                    *lines, pending = (pending + chunk).split(b"\n")
                    for line in lines:
                        seen(moment, line)
                raise BedError(f"the watch of {resource} in {namespace} has ended")

            try:
                async with asyncio.TaskGroup() as tasks:
                    reader = tasks.create_task(read())
                    try:
                        yield
                    finally:
                        reader.cancel()
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from failures  # the one that a person wants to read
