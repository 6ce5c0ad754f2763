"""How the demo is told to people: coloured on a terminal, plain lines elsewhere."""

from __future__ import annotations

import itertools
import os
import shlex
from typing import TYPE_CHECKING, Any, Self

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.demo.story import hops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.status import Status

    from testbed.demo.story import Chapter, Hop, Result, Step

PLAIN_WIDTH = 140


def make_console(*, stderr: bool) -> Console:
    """A console that does not cut or fold lines where nobody looks at a terminal."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)
    return console


class Narrator:
    """Tells a demo on a console; a :class:`testbed.demo.story.Teller`.

    Use as a context manager, so that the live line goes away in the end.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet()

    def title(self, no_traffic: Sequence[str]) -> None:
        """The first lines; among them why there is no data plane, if there is none."""
        self._line("The official walkthrough, on real API servers", "bold")
        self._line(
            "A Service whose Pods run in member1 gets its endpoints in member2, and keeps them up to date.", "dim"
        )
        if no_traffic:
            self._line("Only the control planes are shown: no Pod answers, for there is no data plane:", "yellow")
        for each in no_traffic:
            self._line(f"    · {each}", "yellow")

    def progress(self, text: str) -> None:
        """Something that is no step."""
        self._line(f"    · {text}", "dim")

    def chapter(self, number: int, chapter: Chapter) -> None:
        """See the protocol."""
        self._line("")
        self._line(f"{number}. {chapter.title}", "bold cyan")
        self._line(f"   {chapter.about}", "dim")
        for command in chapter.commands:
            self._line(f"   $ {command}", "magenta")

    def waiting(self, step: Step) -> None:
        """See the protocol."""
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status("")
                self._status.start()
            self._status.update(Text(f"waiting for: {step.title}", "dim"))

    def step(self, result: Result) -> None:
        """See the protocol."""
        mark, style = ("✓", "green") if result.ok else ("✗", "bold red")
        line = Text.assemble("  ", (mark, style), " ", (result.title, "bold"), "  ", (_times(result), "dim"))
        self._console.print(line, soft_wrap=True)
        self._field("looking at", result.looking_at, "")
        if result.expected != result.observed:
            self._field("expected", result.expected, "")
        self._field("observed", result.observed, style)
        if result.findings:
            self._quiet()
            self._line(f"    why, as far as can be known: {result.looking_at}", "bold")
        for finding in result.findings:
            self._line(f"      {finding.about}:", "yellow")
            for line_of in finding.lines:
                self._line(f"        {line_of}")

    def closing(self, results: Sequence[Result], seconds: float) -> None:
        """The table, and one line that says it all."""
        self._quiet()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("")
        table.add_column("step", overflow="fold")
        table.add_column("object", overflow="fold")
        table.add_column("hop", justify="right", no_wrap=True)
        for chapter, steps in itertools.groupby(results, key=lambda each: each.chapter):
            table.add_row("", Text(chapter, "bold cyan"), "", "")
            left_out = 0
            for each in steps:
                if not each.reached:
                    left_out += 1
                    continue
                mark = Text("✓", "green") if each.ok else Text("✗", "bold red")
                table.add_row(mark, Text(each.title), Text(each.looking_at, "dim"), f"{each.seconds:.2f} s")
            if left_out:
                table.add_row(Text("-", "dim"), Text(f"{left_out} not reached", "dim"), "", "")
        self._line("")
        self._console.print(table)
        self._line("")
        self._hops(hops(results))
        missing = [each for each in results if not each.ok and each.reached]
        if missing:
            reached = sum(each.reached for each in results)
            self._line(f"✗ Not as it should be: {missing[0].title}: {missing[0].looking_at}", "bold red")
            self._line(f"  {missing[0].observed.partition(chr(10))[0]}", "red")
            self._line(f"  {reached} of {len(results)} steps in {seconds:.1f} s, {len(missing)} of them failed")
        else:
            self._line(f"✓ All {len(results)} steps were observed on the API servers, in {seconds:.1f} s", "bold green")

    def _hops(self, way: Sequence[Hop]) -> None:
        """The table of hops."""
        if len(way) < 2:
            return
        self._line(f"From `{way[0].name}` to `{way[-1].name}`", "bold cyan")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in ("hop", "object"):
            table.add_column(name, overflow="fold")
        for name in ("took", "since the Pod was ready"):
            table.add_column(name, justify="right", no_wrap=True)
        for each in way:
            times = (f"{1000 * each.seconds:.0f} ms", f"{1000 * each.since:.0f} ms")
            table.add_row(Text(each.name), Text(each.looking_at, "dim"), *times)
        self._console.print(table)
        self._line(
            "kube-proxy writes its rules once a second at most, so its hop may be a wait for its next turn.", "dim"
        )
        self._line("")

    def holding(
        self, kubeconfigs: Sequence[str], path: Sequence[str], command: str, *, running: bool, inside: str = ""
    ) -> None:
        """How to use a bed that is kept.

        Args:
            kubeconfigs: of the planes.
            path: directories with the executables that are useful now.
            command: of the controller, or empty if it was never started.
            running: whether it runs.
            inside: a command that runs something inside of a Pod; empty if Pods do not answer.
        """
        self._quiet()
        self._line("")
        self._line("Everything stays up until Ctrl-C. In another terminal:", "bold")
        self._line(f"  export KUBECONFIG={shlex.quote(':'.join(kubeconfigs))}")
        self._line(f"  export PATH={shlex.quote(':'.join(path))}:$PATH")
        self._line("  kubectl --context karmada get works -A")
        if inside:
            self._line("What a Pod of member2 gets, asked from outside:")
            self._line(f"  {inside}")
        if command:
            self._line(
                "The controller was started like this; start it again, or a second one beside it, in the same way:"
            )
            self._line(f"  {command}")

    def stopping(self, why: str) -> None:
        """Everything is being stopped."""
        self._quiet()
        self._line(f"{why}: stopping everything", "dim")

    def _field(self, name: str, value: str, style: str) -> None:
        first, *rest = value.splitlines() or [""]
        self._console.print(Text.assemble("      ", (f"{name:<11}", "dim"), (first, style)), soft_wrap=True)
        for line in rest:
            self._line(f"{' ' * 17}{line}", style)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _quiet(self) -> None:
        if self._status is not None:
            status, self._status = self._status, None
            status.stop()


def document(results: Sequence[Result], seconds: float, no_traffic: Sequence[str]) -> dict[str, Any]:
    """The demo as one JSON document."""
    return {
        "ok": all(each.ok for each in results),
        "seconds": round(seconds, 3),
        "dataplane": {"used": not no_traffic, "why_not": list(no_traffic)},
        "hops": [msgspec.to_builtins(each) for each in hops(results)],
        "steps": [msgspec.to_builtins(each) for each in results],
    }


def _times(result: Result) -> str:
    if result.after:
        return f"at {result.at:.2f} s, {result.seconds:.2f} s after: {result.after}"
    return f"{result.seconds:.2f} s"
