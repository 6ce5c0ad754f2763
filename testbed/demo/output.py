"""Shows the demo to people: coloured on a terminal, plain lines elsewhere; and as JSON."""

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

    from testbed.demo.chapters import Chapter
    from testbed.demo.story import Hop, Result
    from testbed.walkthrough import Step

PLAIN_WIDTH = 140


def make_console(*, stderr: bool) -> Console:
    """A console that does not cut or fold lines where there is no terminal."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)
    return console


class Narrator:
    """Writes the demo to a console; a :class:`testbed.demo.story.Listener`.

    Use as a context manager, so that the live line is removed in the end.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet()

    def title(self, no_dataplane: Sequence[str]) -> None:
        """The first lines; with the reasons why there is no data plane, if there is none."""
        self._line("The official walkthrough, on real API servers", "bold")
        self._line(
            "A Service whose Pods run in member1 gets its endpoints in member2, and keeps them up to date.", "dim"
        )
        if no_dataplane:
            self._line("Only the control planes are shown. There is no data plane, so no Pod answers:", "yellow")
        for each in no_dataplane:
            self.progress(each, "yellow")

    def progress(self, text: str, style: str = "dim") -> None:
        """A line that belongs to no step."""
        self._line(f"    · {text}", style)

    def chapter(self, number: int, chapter: Chapter) -> None:
        """A heading, a sentence, and the commands."""
        self._line("")
        self._line(f"{number}. {chapter.title}", "bold cyan")
        self._line(f"   {chapter.about}", "dim")
        for command in chapter.commands:
            self._line(f"   $ {command}", "magenta")

    def waiting(self, step: Step) -> None:
        """The live line."""
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status("")
                self._status.start()
            self._status.update(Text(f"waiting for: {step.title}", "dim"))

    def step(self, result: Result) -> None:
        """The result, and the findings if it failed."""
        mark, style = ("✓", "green") if result.ok else ("✗", "bold red")
        times = f"{result.seconds:.2f} s"
        if result.after:
            times = f"at {result.at:.2f} s, {times} after: {result.after}"
        line = Text.assemble("  ", (mark, style), " ", (result.title, "bold"), "  ", (times, "dim"))
        self._console.print(line, soft_wrap=True)
        self._field("looking at", result.looking_at, "")
        if result.expected != result.observed:
            self._field("expected", result.expected, "")
        self._field("observed", result.observed, style)
        if result.findings:
            self._quiet()
            self._line(f"    possible explanations: {result.looking_at}", "bold")
        for finding in result.findings:
            self._line(f"      {finding.about}:", "yellow")
            for text in finding.lines:
                self._line(f"        {text}")

    def closing(self, results: Sequence[Result], seconds: float) -> None:
        """The tables, and a one-line summary."""
        self._quiet()
        rows: list[Sequence[Text | str]] = []
        for chapter, steps in itertools.groupby(results, key=lambda each: each.chapter):
            rows.append(("", Text(chapter, "bold cyan"), "", ""))
            told = list(steps)
            for each in told:
                if each.reached:
                    mark = Text("✓", "green") if each.ok else Text("✗", "bold red")
                    rows.append((mark, Text(each.title), Text(each.looking_at, "dim"), f"{each.seconds:.2f} s"))
            if skipped := sum(not each.reached for each in told):
                rows.append((Text("-", "dim"), Text(f"{skipped} not reached", "dim"), "", ""))
        self._line("")
        self._table(("", "step", "object", "took"), rows)
        self._hops(hops(results))
        failed = [each for each in results if not each.ok and each.reached]
        if failed:
            reached = sum(each.reached for each in results)
            self._line(f"✗ Not as expected: {failed[0].title}: {failed[0].looking_at}", "bold red")
            self._line(f"  {failed[0].observed.partition(chr(10))[0]}", "red")
            self._line(f"  {reached} of {len(results)} steps in {seconds:.1f} s, {len(failed)} of them failed")
        else:
            self._line(f"✓ All {len(results)} steps were observed on the API servers, in {seconds:.1f} s", "bold green")

    def _hops(self, way: Sequence[Hop]) -> None:
        if len(way) < 2:
            return
        self._line(f"From `{way[0].name}` to `{way[-1].name}`", "bold cyan")
        self._table(
            ("hop", "object", "took", "since the Pod was ready"),
            [
                (
                    each.name,
                    Text(each.looking_at, "dim"),
                    f"{1000 * each.seconds:.0f} ms",
                    f"{1000 * each.since:.0f} ms",
                )
                for each in way
            ],
        )
        self._line("kube-proxy writes its rules once a second at most: its hop may be a wait for that second.", "dim")
        self._line("")

    def holding(self, kubeconfigs: Sequence[str], path: Sequence[str], command: str, inside: str, state: str) -> None:
        """How to use a test bed that is kept.

        Args:
            kubeconfigs: of the API servers.
            path: directories with useful executables.
            command: of the controller; empty if it was never started.
            inside: a command that runs curl in a Pod; empty if Pods do not answer.
            state: of the controller, such as "runs".
        """
        self._quiet()
        self._line("")
        self._line("Everything stays up until Ctrl-C. In another terminal:", "bold")
        self._line(f"  export KUBECONFIG={shlex.quote(':'.join(kubeconfigs))}")
        self._line(f"  export PATH={shlex.quote(':'.join(path))}:$PATH")
        self._line("  kubectl --context karmada get works -A")
        if inside:
            self._line("The answer that a Pod of member2 gets:")
            self._line(f"  {inside}")
        if command:
            self._line(f"The controller {state}. It was started with the command below, which also starts another one:")
            self._line(f"  {command}")

    def stopping(self, why: str) -> None:
        """Everything is being stopped."""
        self._quiet()
        self._line(f"{why}: stopping everything", "dim")

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[Text | str]]) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in columns:
            times = name.startswith(("took", "since"))
            table.add_column(name, overflow="fold", no_wrap=times, justify="right" if times else "left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)
        self._line("")

    def _field(self, name: str, value: str, style: str) -> None:
        first, *rest = value.splitlines() or [""]
        self._console.print(Text.assemble("      ", (f"{name:<11}", "dim"), (first, style)), soft_wrap=True)
        for line in rest:
            self._line(f"{' ' * 17}{line}", style)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def document(results: Sequence[Result], seconds: float, no_dataplane: Sequence[str]) -> dict[str, Any]:
    """The demo as one JSON document."""
    return {
        "ok": all(each.ok for each in results),
        "seconds": round(seconds, 3),
        "dataplane": {"used": not no_dataplane, "why_not": list(no_dataplane)},
        "hops": [msgspec.to_builtins(each) for each in hops(results)],
        "steps": [msgspec.to_builtins(each) for each in results],
    }
