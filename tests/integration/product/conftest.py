"""The product as a user runs it: its installed binary on real API servers, with the rights that the manifests give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest_asyncio

from testbed import Bed, ControllerProcess, karmada
from tests.support.fleet import Space
from tests.support.traffic import Refusals

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Awaitable[ControllerProcess]]

# A member is looked at often, and believed at once if it is well: what a test waits for, it need not wait for long.
# A probe has no more time than there is between two of them, so on a busy machine some fail that mean nothing.
IMPATIENT = (
    "--cluster-status-update-frequency=1s",
    "--cluster-success-threshold=1s",
    "--cluster-failure-threshold=10s",
)
AT_ONCE = "--cluster-failure-threshold=1s"
"""For tests that stop members, and wait until that is noticed."""
# So that the events of many services do not take long to be written: what is tested is what they are.
UNLIMITED = ("--kube-api-qps=1000", "--kube-api-burst=1000", "--cluster-api-qps=1000", "--cluster-api-burst=1000")


async def equip(bed: Bed) -> Bed:
    """Make a bed a fleet: manifests applied, members joined, rights of the controller written to a kubeconfig."""
    await karmada.install(bed)
    await karmada.join_all(bed)
    await karmada.controller_kubeconfig(bed)
    return bed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fleet_bed(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """A fleet for all tests here that stop no plane. No controller runs yet."""
    async with Bed(audit=True) as bed:
        yield await equip(bed)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mortal_bed(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """A fleet whose planes may be stopped and whose members may leave; each test leaves them running and joined."""
    async with Bed(audit=True) as bed:
        yield await equip(bed)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def controller(fleet_bed: Bed) -> AsyncIterator[ControllerProcess]:
    """The controller, one for all tests of a module, which never asks for what it may not do."""
    refusals = Refusals.since_now(fleet_bed)
    kubeconfig = fleet_bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=fleet_bed.root, extra_args=[*IMPATIENT, "--v=4"]) as process:
        yield process
        assert process.pid is not None, f"the controller ended by itself:\n{process.tail()}"
        ended_with = await process.terminate()
        assert ended_with == 0, f"SIGTERM made it exit with {ended_with}:\n{process.tail()}"
    assert refusals.found() == []


@pytest_asyncio.fixture(loop_scope="session")
async def space(fleet_bed: Bed, controller: ControllerProcess) -> AsyncIterator[Space]:
    """A namespace of one's own, in the control plane and in all members."""
    made = await Space.make(fleet_bed)
    yield made
    await made.remove()


@pytest_asyncio.fixture(loop_scope="session")
async def run(fleet_bed: Bed) -> AsyncIterator[Run]:
    """See :func:`starting`. Not for tests that use `controller`."""
    refusals = Refusals.since_now(fleet_bed)
    async with starting(fleet_bed) as start:
        yield start
    assert refusals.found() == []


@asynccontextmanager
async def starting(fleet: Bed) -> AsyncIterator[Run]:
    """A function that starts a controller of the test's own: ``await start("name", *flags)``.

    It is killed at the end, if the test leaves it running.
    """
    async with AsyncExitStack() as stack:

        async def start(name: str, *flags: str, bed: Bed = fleet, ready: bool = True) -> ControllerProcess:
            process = ControllerProcess(
                bed.root / "controller.kubeconfig",
                root=bed.root,
                name=name,
                extra_args=[*IMPATIENT, "--v=4", *flags],
            )
            stack.push_async_callback(process.kill)
            await process.start(ready=ready)
            return process

        yield start
