"""Services made and deleted in numbers, each with all that belongs to it."""

from __future__ import annotations

import functools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.product.fleet import SPACE, Fleet, at_once
from benchmarks.product.objects import (
    CONSUMER,
    MCS,
    PROVIDER,
    SERVICES,
    SLICES,
    WORKS,
    arrived_name,
    endpointslice,
    multiclusterservice,
    service,
    slice_name,
)
from testbed import wait_for
from testbed.errors import NotYet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.product.stream import Names
    from testbed import ControllerProcess

LONG_SECONDS: Final = 600.0
"""For anything that ends by itself, however many services there are."""


@asynccontextmanager
async def running(world: Fleet, *flags: str) -> AsyncIterator[ControllerProcess]:
    """The controller for the block, which begins when it is at rest."""
    process = await world.start(*flags)
    await world.space()
    await world.requests().quiet()
    yield process
    await process.terminate()


async def make_services(world: Fleet, names: Sequence[str], *, headless: bool = False) -> None:
    """Make all that belongs to services, at once."""

    async def make(number: int, name: str) -> None:
        await world.member(PROVIDER).create(endpointslice(name, number), namespace=SPACE)
        await world.host.create(service(name, headless=headless), namespace=SPACE)
        await world.host.create(multiclusterservice(name), namespace=SPACE)

    await at_once([functools.partial(make, number, name) for number, name in enumerate(names)])


async def until_made(names: Names, wanted: Sequence[str]) -> float:
    """Wait until the slices of services are in the consumer; when the last one came."""
    arrived = {arrived_name(name) for name in wanted}
    await names.until(lambda seen: arrived <= seen.came.keys(), seconds=LONG_SECONDS)
    return max(names.came[name] for name in arrived)


async def until_deleted(names: Names, wanted: Sequence[str]) -> float:
    """Wait until the slices of services are gone from the consumer; when the last one went."""
    arrived = {arrived_name(name) for name in wanted}
    await names.until(lambda seen: arrived <= seen.went.keys(), seconds=LONG_SECONDS)
    return max(names.went[name] for name in arrived)


async def delete_services(world: Fleet, names: Sequence[str]) -> None:
    """Delete what :func:`make_services` made."""

    async def delete(name: str) -> None:
        await world.host.delete(MCS, name, namespace=SPACE)
        await world.host.delete(SERVICES, name, namespace=SPACE)
        await world.member(PROVIDER).delete(SLICES, slice_name(name), namespace=SPACE)

    await at_once([functools.partial(delete, name) for name in names])


async def no_works(world: Fleet) -> None:
    """Wait until no Work about anything of ours is left, so that names can be used again."""

    async def probe() -> bool:
        works = [each for member in (PROVIDER, CONSUMER) for each in await _works(world, member)]
        if works:
            raise NotYet(f"{len(works)} Works")
        return True

    await wait_for("all Works to be gone", probe, LONG_SECONDS, interval=0.5)


async def _works(world: Fleet, member: str) -> list[str]:
    found = await world.host.list(WORKS, namespace=f"karmada-es-{member}")
    manifests = [each["spec"]["workload"]["manifests"][0] for each in found]
    return [one["metadata"]["name"] for one in manifests if one["metadata"].get("namespace") == SPACE]
