"""The state of one run of the demo: test bed, controller, live copies of the objects, names that were learned."""

from __future__ import annotations

import shlex
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from testbed import karmada
from testbed.bed import Bed
from testbed.controller import BINARY, ControllerProcess
from testbed.errors import BedError, ProcessFailed
from testbed.walkthrough import CONSUMER, PROVIDER, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from testbed.api import Api
    from testbed.controlplane import ControlPlane


class World(Scene):
    """Everything that runs during a demo; stopped when its block ends. Enter and leave it in one task.

    Args:
        controller_flags: added to the controller's command line; a repeated flag replaces the demo's own.
        timeout: seconds for each step.
        dataplane: whether Pods answer.
        on_progress: called with short sentences about the test bed's start.

    Attributes:
        timeout: see above.
        dataplane: see above.
        controller: the one that was started last, if any.
    """

    def __init__(
        self,
        *,
        controller_flags: Sequence[str] = (),
        timeout: float,
        dataplane: bool = False,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.timeout = timeout
        self.dataplane = dataplane
        self.controller: ControllerProcess | None = None
        self._flags = list(controller_flags)
        self._on_progress = on_progress
        self._stack = AsyncExitStack()
        self._bed: Bed | None = None
        self._running = False  # whether the controller has become ready and was not told to stop

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    @property
    def up(self) -> bool:
        """Whether the test bed runs."""
        return self._bed is not None

    @property
    def bed(self) -> Bed:
        """The test bed; BedError if it does not run."""
        if self._bed is None:
            raise BedError("the test bed does not run")
        return self._bed

    @property
    def host(self) -> Api:
        """The control plane, as its administrator."""
        return self.bed.host.api

    def planes(self) -> list[ControlPlane]:
        """The control plane and the members."""
        return [self.bed.host, *self.bed.members.values()]

    async def start_bed(self) -> None:
        """Start the API servers, and the data plane if there is to be one."""
        bed = Bed(members=(PROVIDER, CONSUMER), audit=True, dataplane=self.dataplane, on_progress=self._on_progress)
        self._bed = await self._stack.enter_async_context(bed)

    async def install(self) -> None:
        """Apply the manifests and follow the objects."""
        await karmada.install(self.bed)
        await self._stack.enter_async_context(self.view)
        await self.follow(self.bed)

    async def start_controller(self, name: str, feature_gates: str) -> None:
        """Start the installed binary with the rights of its own ServiceAccount, and wait until it is ready.

        Raises:
            ProcessFailed: it ended, or did not become ready.
        """
        kubeconfig = await karmada.controller_kubeconfig(self.bed)
        self._running = False
        self.controller = ControllerProcess(
            kubeconfig, root=self.bed.root, name=name, feature_gates=feature_gates, extra_args=self._flags
        )
        try:
            await self._stack.enter_async_context(self.controller)
        finally:
            self._running = True

    async def stop_controller(self) -> int | None:
        """Send SIGTERM; the exit code."""
        assert self.controller is not None
        self._running = False
        return await self.controller.terminate()

    def command_line(self) -> str:
        """The controller's command line, as a person can type it."""
        assert self.controller is not None
        return shlex.join([BINARY, *self.controller.command[1:]])

    async def until(self, what: str, probe: Callable[[Self], str]) -> str:
        """Wait for a probe, as long as a step may take and the controller runs."""
        return await self.view.until(what, lambda: probe(self), self.timeout, check=self.check)

    def check(self) -> None:
        """Raise if the controller ended by itself.

        Raises:
            ProcessFailed: it did; the end of its log is among the findings.
        """
        if self._running and self.controller is not None and self.controller.returncode is not None:
            raise ProcessFailed(f"the controller ended by itself with exit code {self.controller.returncode}")
