"""The process that runs a named bed: it owns every child, and the kernel ends them all when it ends.

Started by :func:`testbed.lifecycle.up`, detached from its terminal. SIGTERM ends it in order and removes the directory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Literal

from testbed import karmada
from testbed.bed import HOST_NAME, Bed
from testbed.controller import ControllerProcess
from testbed.identity import ProcessIdentity
from testbed.state import BedDirectory, BedState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Extent = Literal["controller", "fleet", "planes"]


async def supervise(
    directory: BedDirectory,
    members: Sequence[str],
    extent: Extent,
    *,
    dataplane: bool = False,
    versions: Mapping[str, str] | None = None,
) -> None:
    """Start a bed, write its state file, and run it until SIGTERM or SIGINT.

    Args:
        directory: where the bed lives.
        members: names of the members.
        extent: ``planes``: API servers only; ``fleet``: manifests applied and members joined too; ``controller``: our
            controller runs as well.
        dataplane: whether Pods shall answer.
        versions: as for :class:`~testbed.bed.Bed`.
    """
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    state = BedState(
        name=directory.name,
        phase="starting",
        supervisor=identity,
        members=list(members),
        dataplane=dataplane,
        versions=dict(versions or {}),
    )
    directory.write(state)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            body = tasks.create_task(_live(directory, state, extent, stop))

            async def cancel_a_start() -> None:
                await stop.wait()
                if state.phase == "starting":
                    body.cancel()

            canceller = tasks.create_task(cancel_a_start())
            body.add_done_callback(lambda _: canceller.cancel())
    except* Exception as failures:
        state.phase = "failed"
        first: BaseException = failures
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        state.message = f"{type(first).__name__}: {first}"
        if directory.root.exists():
            directory.write(state)
        raise


async def _live(directory: BedDirectory, state: BedState, extent: Extent, stop: asyncio.Event) -> None:
    began = time.monotonic()

    def tell(text: str) -> None:
        with directory.progress_log.open("a") as log:
            log.write(text + "\n")

    async with AsyncExitStack() as stack:
        bed = await stack.enter_async_context(
            Bed(
                members=state.members,
                root=directory.root,
                keep_on_failure=True,
                dataplane=state.dataplane,
                versions=state.versions,
                on_progress=tell,
            )
        )
        state.kubeconfigs = {plane.name: str(plane.access.kubeconfig) for plane in (bed.host, *bed.members.values())}
        if extent != "planes":
            await karmada.install(bed)
            await karmada.join_all(bed)
            state.kubeconfigs["controller"] = str(await karmada.controller_kubeconfig(bed))
            tell(f"manifests are applied, {len(bed.members)} members joined ({time.monotonic() - began:.1f} s)")
        if extent == "controller":
            controller = ControllerProcess(bed.root / "controller.kubeconfig", root=bed.root)
            await stack.enter_async_context(controller)
            tell(f"the controller is ready ({time.monotonic() - began:.1f} s)")
            state.controller = True
            if controller.pid is not None and (identity := ProcessIdentity.of(controller.pid)) is not None:
                state.processes["mcs-controller-manager"] = identity
        for process in bed.processes():
            if (identity := process.identity()) is not None:
                state.processes[process.name] = identity
        state.phase, state.seconds = "ready", round(time.monotonic() - began, 1)
        directory.write(state)
        await stop.wait()


def plane_names(state: BedState) -> list[str]:
    """The planes of a bed, the control plane first."""
    return [HOST_NAME, *state.members]
