"""Creation of many services with all their objects."""

from __future__ import annotations

import functools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.product.fleet import SPACE, Fleet, at_once
from benchmarks.product.objects import PROVIDER, arrived_name, endpointslice, multiclusterservice, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.product.stream import Names
    from testbed import ControllerProcess

LONG_SECONDS: Final = 600.0
"""For anything that ends by itself, however many services there are."""


@asynccontextmanager
async def running(world: Fleet, *flags: str) -> AsyncIterator[ControllerProcess]:
    """The controller for the block, which begins when the controller is idle."""
    process = await world.start(*flags)
    await world.space()
    await world.requests().quiet()
    yield process
    await process.terminate()


async def make_services(world: Fleet, names: Sequence[str], *, headless: bool = False) -> None:
    """Create the objects of services, concurrently."""

    async def make(number: int, name: str) -> None:
        await world.member(PROVIDER).create(endpointslice(name, number), namespace=SPACE)
        await world.host.create(service(name, headless=headless), namespace=SPACE)
        await world.host.create(multiclusterservice(name), namespace=SPACE)

    await at_once([functools.partial(make, number, name) for number, name in enumerate(names)])


async def until_made(names: Names, wanted: Sequence[str]) -> float:
    """Wait until the slices of services are in the consumer; the time of the last one."""
    arrived = {arrived_name(name) for name in wanted}
    await names.until(lambda seen: arrived <= seen.came.keys(), seconds=LONG_SECONDS)
    return max(names.came[name] for name in arrived)
