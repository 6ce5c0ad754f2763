"""One real API server, filled with EndpointSlices, for the scenarios that follow it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.library.slices import NAMESPACES, endpoint_slice
from testbed import Bed
from testbed.api import resource_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.scenario import Context
    from testbed import Api, ControlPlane

ENDPOINTSLICES = "discovery.k8s.io/v1/endpointslices"
ANNOTATION = "benchmark.mcs-controller/sent"
WRITERS = 16


@asynccontextmanager
async def filled(context: Context, count: int) -> AsyncIterator[ControlPlane]:
    """An API server with so many slices, in twenty namespaces, and nothing else that works on it."""
    context.tell("starting etcd and an API server")
    async with Bed(members=(), controller_manager=False) as bed:
        api = bed.host.api
        for number in range(NAMESPACES):
            await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}})
        for start in range(0, count, 1000):
            context.tell(f"making {count:,} slices: {start:,}")
            await _each(api, range(start, min(start + 1000, count)), _create)
        yield bed.host


async def update_one_by_one(api: Api, numbers: Sequence[int], pause: float) -> None:
    """Change one slice after the other, with a pause in seconds after each."""
    for number in numbers:
        await _touch(api, number)
        await asyncio.sleep(pause)


async def update_at_once(api: Api, numbers: Sequence[int]) -> None:
    """Change slices as fast as the server takes it from a few writers."""
    await _each(api, numbers, _touch)


async def _each(api: Api, numbers: Sequence[int], write: Any) -> None:
    left = iter(numbers)

    async def worker() -> None:
        for number in left:
            await write(api, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(worker())


async def _create(api: Api, number: int) -> None:
    content = endpoint_slice(number)
    path = resource_path(ENDPOINTSLICES, namespace=content["metadata"]["namespace"])
    await api.raw("POST", path, body=content)


async def _touch(api: Api, number: int) -> None:
    metadata = endpoint_slice(number)["metadata"]
    patch = {"metadata": {"annotations": {ANNOTATION: str(time.time_ns())}}}
    await api.patch(ENDPOINTSLICES, metadata["name"], patch, namespace=metadata["namespace"])
