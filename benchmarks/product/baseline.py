"""``python -m benchmarks.product.baseline PLAN``: the minimal program that copies a slice from one cluster to another.

A bare script for comparison: three watches, three writes, and nothing else. No queue, no cache, no rules, no repair.

===========  =========================================================================================================
chained      a slice changes → patch a first Work; that changes → patch a second; that changes → patch the other slice
overlapped   a slice changes → patch both Works and the other slice at the same time
===========  =========================================================================================================

The objects have the same kinds and sizes as the controller's own, the writes are merge patches that name a
resourceVersion, as the controller's are, and the credentials are the controller's.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Server(msgspec.Struct, kw_only=True, frozen=True):
    """Address and credentials of a server."""

    url: str
    ca: str
    token: str


class Place(msgspec.Struct, kw_only=True, frozen=True):
    """One object: the server's key in the plan, the path of its collection, its name."""

    server: str
    collection: str
    name: str


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """The parameters of the program.

    Attributes:
        overlapped: see the module.
        servers: by name.
        places: the slice that changes, the two Works and the slice that follows.
        ready: a file to make once all watches run.
    """

    overlapped: bool
    servers: dict[str, Server]
    places: list[Place]
    ready: str


class End:
    """One object that is watched, or patched, or both."""

    def __init__(self, session: aiohttp.ClientSession, url: str, place: Place) -> None:
        self._session = session
        self._collection = url + place.collection
        self._url = f"{self._collection}/{place.name}"
        self._selector = f"metadata.name={place.name}"
        self._version = ""
        self._manifest: Object = {}
        # The event of a write may come before its answer, which has the version that the next write needs.
        self._writing = asyncio.Lock()

    async def read(self) -> str:
        """Read the object; its resourceVersion. With a list of one object, as the controller has no right to get."""
        async with self._session.get(self._collection, params={"fieldSelector": self._selector}) as response:
            response.raise_for_status()
            listed = msgspec.json.decode(await response.read())
        [observed] = listed["items"]
        self._version = observed["metadata"]["resourceVersion"]
        if listed["kind"] == "WorkList":
            self._manifest = observed["spec"]["workload"]["manifests"][0]
        return self._version

    async def watch(self, started: Callable[[], None], changed: Callable[[Object], None]) -> None:
        """Call ``changed`` with each new state."""
        version = await self.read()
        query = {"watch": "true", "resourceVersion": version, "fieldSelector": self._selector, "timeoutSeconds": "7200"}
        async with self._session.get(self._collection, params=query) as response:
            response.raise_for_status()
            started()
            pending = b""
            async for chunk in response.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    changed(msgspec.json.decode(line)["object"])

    async def patch(self, endpoints: list[Object]) -> None:
        """Patch the endpoints."""
        async with self._writing:
            body: Object = {"metadata": {"resourceVersion": self._version}}
            if self._manifest:
                manifest = self._manifest | {"endpoints": endpoints}
                body["spec"] = {"suspendDispatching": None, "preserveResourcesOnDeletion": None}
                body["spec"]["workload"] = {"manifests": [manifest]}
            else:
                body["endpoints"] = endpoints
            async with self._session.patch(self._url, data=msgspec.json.encode(body), headers=MERGE_PATCH) as response:
                answer = await response.read()
                response.raise_for_status()
            self._version = msgspec.json.decode(answer)["metadata"]["resourceVersion"]


def endpoints_of(observed: Object) -> list[Object]:
    """The endpoints of a slice, or of the slice in a Work."""
    if observed["kind"] == "Work":
        observed = observed["spec"]["workload"]["manifests"][0]
    found: list[Object] = observed["endpoints"]
    return found


async def follow(plan: Plan) -> None:
    """Copy changes until killed.

    Raises:
        aiohttp.ClientError: any request failed; nothing is tried again.
    """
    sessions = {name: _session(server) for name, server in plan.servers.items()}
    try:
        ends = [End(sessions[place.server], plan.servers[place.server].url, place) for place in plan.places]
        source, *targets = ends
        watched = 1 if plan.overlapped else len(targets)
        to_start = [*range(watched)]

        def started() -> None:
            to_start.pop()
            if not to_start:
                Path(plan.ready).touch()

        async with asyncio.TaskGroup() as tasks:

            def write(to: End, observed: Object) -> None:
                tasks.create_task(to.patch(endpoints_of(observed)))

            def fan_out(observed: Object) -> None:
                for target in targets:
                    write(target, observed)

            def hand_on(to: End) -> Callable[[Object], None]:
                return lambda observed: write(to, observed)

            if plan.overlapped:
                for target in targets:
                    await target.read()
                tasks.create_task(source.watch(started, fan_out))
            else:
                await targets[-1].read()
                for before, after in zip(ends, targets, strict=False):
                    tasks.create_task(before.watch(started, hand_on(after)))
    finally:
        for session in sessions.values():
            await session.close()


def _session(server: Server) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=server.ca)),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        headers={"Authorization": f"Bearer {server.token}", "Accept": "application/json"},
    )


if __name__ == "__main__":
    wanted = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    asyncio.run(follow(wanted))
