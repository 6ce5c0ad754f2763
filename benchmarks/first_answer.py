"""``python -m benchmarks.first_answer``: how long a new Pod of member1 takes to answer in member2, hop by hop.

Each round is the demo's chapter in which the Deployment is scaled up by one Pod, observed in the same way; in between
it is scaled down again. What comes out is kept: raw numbers in ``benchmarks/results``, and from nothing but these
its section of ``docs/performance.md``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import performance_page
from benchmarks.arithmetic import percentile
from benchmarks.first_answer_section import PARTS, RAW
from benchmarks.machine import this_machine
from benchmarks.measured import Results
from testbed.bed import required_components
from testbed.dataplane import missing_capabilities
from testbed.demo_changes import grown, shrunk
from testbed.demo_chapters import HOPS
from testbed.demo_setting import SETTING, apply_walkthrough
from testbed.demo_story import Chapter, Step, hops, tell
from testbed.demo_traffic import ASKING_INTERVAL_SECONDS, Asking, first_answer
from testbed.demo_walkthrough import provider_pods
from testbed.demo_world import World
from testbed.errors import BedError
from tools.components import ComponentError, resolve
from tools.progress import ProgressPrinter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbed.demo_story import Result

REPOSITORY = Path(__file__).resolve().parent.parent
STEP_SECONDS = 30.0
# Longer than kube-proxy waits between two writes of its rules: each round finds it idle.
QUIET_SECONDS = 2.0

APPLIED = Chapter(
    title="Before the controller",
    about="What a reader applies.",
    steps=(
        Step(
            title="The walkthrough's objects are applied",
            looking_at="the walkthrough's objects",
            expected="accepted",
            observe=apply_walkthrough,
        ),
    ),
)


class Silent:
    """A teller who listens."""

    def chapter(self, number: int, chapter: Chapter) -> None:
        """See the protocol."""

    def waiting(self, step: Step) -> None:
        """See the protocol."""

    def step(self, result: Result) -> None:
        """See the protocol."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True, help="How often to scale up.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What goes to stdout."
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=REPOSITORY,
    help="Where to write benchmarks/results/ and docs/; this checkout if nothing is said.",
)
@click.option("--page-only", is_flag=True, help="Measure nothing: make the page again from the kept results.")
def main(rounds: int, output: str, into: Path, page_only: bool) -> None:
    """Measure the time from a Pod's readiness in member1 to its first answer in member2 over the Service's name."""
    console = Console(stderr=True, highlight=False)
    if page_only:
        results = msgspec.json.decode((into / RAW).read_bytes(), type=Results)
    else:
        _prepare(console)
        try:
            results = asyncio.run(measure(rounds, lambda text: console.print(text, style="dim", markup=False)))
        except BedError as error:
            raise click.ClickException(str(error)) from error
        (into / RAW).parent.mkdir(parents=True, exist_ok=True)
        (into / RAW).write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    performance_page.write(into)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(results)).decode())
    else:
        show(results)


def _prepare(console: Console) -> None:
    if missing := missing_capabilities():
        raise click.ClickException("no data plane is possible here; what is missing: " + "; ".join(missing))
    try:
        with ProgressPrinter(console, found=False) as printer:
            resolve(required_components(dataplane=True), on_progress=printer)
    except ComponentError as error:
        raise click.ClickException(str(error)) from error


async def measure(rounds: int, on_progress: Callable[[str], None] = lambda _: None) -> Results:
    """Start everything, go through the rounds, and take everything down.

    Raises:
        BedError: a step was not observed.
    """
    machine = this_machine()
    up, down = grown(1, 2), shrunk(2, 1)
    down = dataclasses.replace(down, steps=down.steps[:-1])
    found: list[list[float]] = []
    async with World(controller_flags=(), timeout=STEP_SECONDS, dataplane=True, on_progress=on_progress) as world:
        await _go_through(world, [SETTING, APPLIED, HOPS, down])
        async with Asking(world) as asking:
            for number in range(1, rounds + 1):
                await asyncio.sleep(QUIET_SECONDS)
                answer = functools.partial(first_answer, asking=asking, but={*provider_pods(world), *asking.first})
                last = dataclasses.replace(up.steps[-1], observe=answer)
                way = hops(await _go_through(world, [dataclasses.replace(up, steps=(*up.steps[:-1], last))]))
                found.append([each.seconds for each in way])
                on_progress(f"round {number} of {rounds}: {1000 * way[-1].since:.0f} ms")
                await _go_through(world, [down])
            questions, unanswered = asking.count, asking.unanswered
    steps = [each for each in up.steps if each.hop]
    return Results(
        machine=machine,
        hops=[each.hop for each in steps],
        ours=[each.hop for each in steps if each.made_by],
        rounds=found,
        asking_interval=ASKING_INTERVAL_SECONDS,
        questions=questions,
        unanswered=unanswered,
    )


async def _go_through(world: World, chapters: Sequence[Chapter]) -> list[Result]:
    results = await tell(world, chapters, Silent())
    for each in results:
        if not each.ok:
            raise BedError(f"{each.chapter}: {each.title}: {each.observed}")
    return results


def show(results: Results) -> None:
    """The table on a console."""
    table = Table()
    table.add_column("hop")
    for name, _ in PARTS:
        table.add_column(name, justify="right")
    rows = [(name, results.each(index)) for index, name in enumerate(results.hops) if index]
    for name, values in (*rows, ("all of it", results.since(len(results.hops) - 1))):
        table.add_row(name, *(f"{1000 * percentile(values, part):.0f} ms" for _, part in PARTS))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
