"""``python -m testbed.demo``: the official walkthrough on real API servers, told step by step.

::

    demo             the command line: options, signals, exit code
    chapters         what is told, as data: add a step or a chapter here
    setting          its first chapters: the bed, and the controller without its gate
    changes          its last ones: Pods come and go, and the sharing ends
    walkthrough      what there is to see and to do in the others
    traffic          the same for what a client gets, where there is a data plane
    story            chapters and steps, and how they are gone through
    world            what is played with: bed, controller, view
    view             live copies of collections, by watches
    rules            what kube-proxy told the kernel, as it happens
    asker            the client that asks all the time (lines: how it is listened to)
    diagnosis        why something is not there
    output           how it is told
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from testbed.bed import required_components
from testbed.dataplane import missing_capabilities
from testbed.demo.chapters import WALKTHROUGH
from testbed.demo.output import Narrator, document, make_console
from testbed.demo.story import tell, without_traffic
from testbed.demo.traffic import by_hand
from testbed.demo.world import World
from testbed.errors import BedError
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
    help="What goes to stdout; with json the narration goes to stderr.",
)
@click.option("--keep", is_flag=True, help="In the end, whatever the result, leave everything up until Ctrl-C.")
@click.option(
    "--controller-flag",
    "controller_flags",
    multiple=True,
    metavar="FLAG",
    help="Add a flag of the controller's, such as --controller-flag=--v=4. May be repeated; wins over the demo's own.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=STEP_SECONDS,
    show_default=True,
    help="Seconds that a step may take before it counts as failed.",
)
@click.option(
    "--no-dataplane",
    is_flag=True,
    help="Show the control planes only, even where Pods could really answer (that takes root and nftables).",
)
def main(output: str, keep: bool, controller_flags: tuple[str, ...], timeout: float, no_dataplane: bool) -> None:
    """Watch the walkthrough work: a control plane, member1, member2, and the controller as a user starts it.

    Where the machine can carry it, Pods answer: what a client in member2 gets is shown, too.

    Exit code 0 if every step was observed on the API servers, 1 if one was not; nothing is left behind.
    """
    console = make_console(stderr=output == "json")
    missing = ["--no-dataplane was given"] if no_dataplane else missing_capabilities()
    try:
        with ProgressPrinter(console, found=False) as printer:
            wanted = [*required_components(dataplane=not missing), *(["kubectl"] if keep else [])]
            binaries = resolve(wanted, on_progress=printer)
    except ComponentError as error:
        raise click.ClickException(str(error)) from error
    with Narrator(console) as narrator:
        path = [str(binaries["kubectl"].parent), str(Path(sys.executable).parent)] if keep else []
        demo = Demo(narrator, keep=path, controller_flags=controller_flags, timeout=timeout, no_traffic=missing)
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
        narrator: is told everything.
        keep: not empty: leave everything up in the end; directories of what is useful then.
        controller_flags: see the command's help.
        timeout: see there.
        no_traffic: why there is no data plane; empty: there is one.

    Attributes:
        results: of the steps, when it is over.
        seconds: that it took, without stopping everything.
        stopped_by: number of the signal that ended it early, or 0.
    """

    def __init__(
        self,
        narrator: Narrator,
        *,
        keep: Sequence[str],
        controller_flags: Sequence[str],
        timeout: float,
        no_traffic: Sequence[str] = (),
    ) -> None:
        self.results: list[Result] = []
        self.seconds = 0.0
        self.stopped_by = 0
        self._narrator = narrator
        self._keep = keep
        self._controller_flags = controller_flags
        self._timeout = timeout
        self._no_traffic = no_traffic
        self._held: asyncio.Event | None = None

    async def run(self) -> None:
        """Tell it from beginning to end; nothing is left afterwards, also if a signal comes."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._stop, signum, task)
        began = time.monotonic()
        self._narrator.title(self._no_traffic)
        chapters = without_traffic(WALKTHROUGH) if self._no_traffic else WALKTHROUGH
        async with World(
            controller_flags=self._controller_flags,
            timeout=self._timeout,
            dataplane=not self._no_traffic,
            on_progress=self._narrator.progress,
        ) as world:
            self.results = await tell(world, chapters, self._narrator)
            self.seconds = time.monotonic() - began
            self._narrator.closing(self.results, self.seconds)
            if self._keep and world.up:
                self._held = asyncio.Event()
                planes = (world.bed.host, *world.bed.members.values())
                self._narrator.holding(
                    [str(plane.access.kubeconfig) for plane in planes],
                    self._keep,
                    world.command_line() if world.started else "",
                    running=world.started and world.controller.returncode is None,
                    inside=self._inside(world),
                )
                await self._held.wait()

    def _inside(self, world: World) -> str:
        """How to ask from the client's Pod; empty if there is none."""
        with contextlib.suppress(BedError):
            return by_hand(world) if world.dataplane else ""
        return ""

    def _stop(self, signum: signal.Signals, task: asyncio.Task[None]) -> None:
        """The first signal ends the demo; what comes while everything is being stopped changes nothing."""
        if self._held is not None:
            self._held.set()
        elif not self.stopped_by:
            self.stopped_by = signum
            self._narrator.stopping(signum.name)
            task.cancel()


if __name__ == "__main__":
    main()
