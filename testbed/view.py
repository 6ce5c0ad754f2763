"""Live copies of collections of several API servers, kept by watches, so that changes are noticed at once.

::

    async with View() as view:
        await view.follow(bed.host, "v1/services")
        found = await view.until("Service nginx", lambda: view.find("karmada", "v1/services", "default", "nginx"), 30.0)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Self, TypeVar

import aiohttp

from testbed.errors import ApiStatusError, NotYet, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from testbed.api import Object
    from testbed.controlplane import ControlPlane

T = TypeVar("T")

RETRY_SECONDS = 0.2
CHECK_SECONDS = 0.5


class View:
    """The latest known objects. Enter and leave it in one task: it owns a TaskGroup."""

    def __init__(self) -> None:
        self._collections: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self._changed = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.cancel()
        await self._group.__aexit__(kind, error, traceback)

    async def follow(self, plane: ControlPlane, resource: str) -> None:
        """Follow a collection over all namespaces. The copy is complete when this returns.

        Raises:
            ApiStatusError: the server does not serve the resource.
        """
        version = await self._fill(plane, resource)
        self._watches.append(self._group.create_task(self._watch(plane, resource, version)))

    def all(self, plane: str, resource: str, namespace: str | None = None) -> list[Object]:
        """The objects of a collection, of one namespace or all, sorted by namespace and name."""
        objects = self._collections[plane, resource]
        return [objects[key] for key in sorted(objects) if namespace in (None, key[0])]

    def find(self, plane: str, resource: str, namespace: str, name: str) -> Object | None:
        """One object, or None; the namespace of a cluster-scoped object is empty."""
        return self._collections[plane, resource].get((namespace, name))

    async def until(
        self, what: str, probe: Callable[[], T | None], timeout: float, *, check: Callable[[], None] = lambda: None
    ) -> T:
        """Call ``probe`` now and after every change, until it returns something.

        Args:
            what: the end of the sentence "timed out waiting for ...".
            probe: returns None, or raises :class:`NotYet` with what it saw instead, as long as the wait goes on.
            timeout: seconds.
            check: raises if waiting is pointless; called after each change, and every half second.

        Raises:
            WaitTimeout: with what the probe last saw.
        """
        deadline = time.monotonic() + timeout
        while True:
            changed = self._changed
            try:
                if (result := probe()) is not None:
                    return result
                seen = "nothing of the kind"
            except NotYet as reason:
                seen = str(reason)
            check()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise WaitTimeout(f"timed out after {timeout:g} s waiting for {what}; last seen: {seen}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(remaining, CHECK_SECONDS)):
                    await changed.wait()

    async def _fill(self, plane: ControlPlane, resource: str) -> str:
        listed = await plane.api.list_raw(resource)
        self._collections[plane.name, resource] = {_key(item): item for item in listed["items"] or ()}
        self._wake()
        version: str = listed["metadata"]["resourceVersion"]
        return version

    async def _watch(self, plane: ControlPlane, resource: str, version: str) -> None:
        """Watch until cancelled; after any failure, list and watch again."""
        while True:
            try:
                while True:
                    async for event in plane.api.watch(resource, resource_version=version):
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            self._take(plane.name, resource, event)
            except (ApiStatusError, aiohttp.ClientError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(ApiStatusError, aiohttp.ClientError, OSError):
                version = await self._fill(plane, resource)

    def _take(self, plane: str, resource: str, event: Object) -> None:
        objects = self._collections[plane, resource]
        if event["type"] == "DELETED":
            objects.pop(_key(event["object"]), None)
        else:
            objects[_key(event["object"])] = event["object"]
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
