"""``python -m testbed.demo``: the walkthrough on real API servers, shown step by step.

The walkthrough's steps are in :mod:`testbed.walkthrough`; ``chapters`` and ``traffic`` add the demo's own.
``story`` goes through them in a ``world``, ``output`` shows them, ``diagnosis`` explains what is missing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from testbed.bed import required_components
from testbed.dataplane import install_programs, missing_capabilities
from testbed.demo.chapters import chapters
from testbed.demo.output import Narrator, document, make_console
from testbed.demo.story import tell
from testbed.demo.world import World
from testbed.walkthrough import CURL
from tools.components import ComponentError, resolve
from tools.progress import ProgressPrinter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.demo.story import Result

STEP_SECONDS = 30.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of stdout; with json the narration goes to stderr.",
)
@click.option("--keep", is_flag=True, help="In the end, whatever the result, leave everything up until Ctrl-C.")
@click.option(
    "--controller-flag",
    "controller_flags",
    multiple=True,
    metavar="FLAG",
    help="Add a flag to the controller, such as --controller-flag=--v=4. May be repeated; overrides the demo's flags.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=STEP_SECONDS,
    show_default=True,
    help="Seconds after which a step has failed.",
)
@click.option(
    "--no-dataplane",
    is_flag=True,
    help="Show the control planes only, even where Pods can answer (with root and nftables).",
)
@click.option("--no-install", is_flag=True, help="Install no Debian packages, even as root where some are missing.")
def main(
    output: str, keep: bool, controller_flags: tuple[str, ...], timeout: float, no_dataplane: bool, no_install: bool
) -> None:
    """Watch the walkthrough: a control plane, member1, member2, and the controller as a user starts it.

    Where the machine allows a data plane, Pods answer, and the answers to a client in member2 are shown, too. As root,
    on Debian and the like, the packages that it needs are installed if they are missing (nftables, iproute2, curl).

    Exit code 0 if every step was observed on the API servers, 1 if one was not; nothing is left behind.
    """
    console = make_console(stderr=output == "json")
    if not (no_dataplane or no_install):
        install_programs(console.print)
    missing = ["--no-dataplane was given"] if no_dataplane else missing_capabilities()
    try:
        with ProgressPrinter(console, found=False) as printer:
            wanted = [*required_components(dataplane=not missing), *(["kubectl"] if keep else [])]
            binaries = resolve(wanted, on_progress=printer)
    except ComponentError as error:
        raise click.ClickException(str(error)) from error
    with Narrator(console) as narrator:
        path = [str(binaries["kubectl"].parent), str(Path(sys.executable).parent)] if keep else []
        world = World(
            controller_flags=controller_flags,
            timeout=timeout,
            dataplane=not missing,
            on_progress=narrator.progress,
        )
        demo = Demo(narrator, world, keep=path)
        narrator.title(missing)
        try:
            asyncio.run(demo.run())
        except asyncio.CancelledError:
            sys.exit(128 + demo.stopped_by if demo.stopped_by else 1)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(document(demo.results, demo.seconds, missing))).decode())
    sys.exit(0 if demo.results and all(each.ok for each in demo.results) else 1)


class Demo:
    """One run of the demo.

    Args:
        narrator: shows it.
        world: not entered yet.
        keep: not empty: leave everything up in the end; directories of executables that are useful then.

    Attributes:
        results: of the steps, when the run is over.
        seconds: its duration, without stopping everything.
        stopped_by: number of the signal that ended it early, or 0.
    """

    def __init__(self, narrator: Narrator, world: World, *, keep: Sequence[str]) -> None:
        self.results: list[Result] = []
        self.seconds = 0.0
        self.stopped_by = 0
        self._narrator = narrator
        self._world = world
        self._keep = keep
        self._held: asyncio.Event | None = None

    async def run(self) -> None:
        """Run from beginning to end; nothing is left afterwards, also after a signal."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._stop, signum, task)
        began = time.monotonic()
        async with self._world as world:
            self.results = await tell(world, chapters(dataplane=world.dataplane), self._narrator)
            self.seconds = time.monotonic() - began
            self._narrator.closing(self.results, self.seconds)
            if self._keep and world.up:
                self._held = asyncio.Event()
                self._hold(world)
                await self._held.wait()

    def _hold(self, world: World) -> None:
        controller = world.controller
        self._narrator.holding(
            [str(plane.access.kubeconfig) for plane in world.planes()],
            self._keep,
            world.command_line() if controller is not None else "",
            CURL if world.dataplane else "",
            "runs" if controller is not None and controller.returncode is None else "does not run",
        )

    def _stop(self, signum: signal.Signals, task: asyncio.Task[None]) -> None:
        """End the demo at the first signal; ignore further ones while everything is being stopped."""
        if self._held is not None:
            self._held.set()
        elif not self.stopped_by:
            self.stopped_by = signum
            self._narrator.stopping(signum.name)
            task.cancel()


if __name__ == "__main__":
    main()
