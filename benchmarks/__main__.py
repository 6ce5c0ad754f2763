"""``python -m benchmarks``: measure, keep the raw numbers, and make the page from them."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import performance_page, registry
from benchmarks.machine import this_machine
from benchmarks.scenario import BenchmarkError, Context, Kept
from benchmarks.tables import TextTable, behind, found, measured, targets
from testbed.errors import BedError
from tools.components import ComponentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.scenario import Scenario

REPOSITORY = Path(__file__).resolve().parent.parent
QUICK = Path("build/bench-quick")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--quick", is_flag=True, help=f"Small sizes, for a first look; kept in {QUICK}.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What goes to stdout."
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where to write benchmarks/results/ and docs/; this checkout if nothing is said.",
)
@click.option("--page-only", is_flag=True, help="Measure nothing: make the page again from the kept results.")
@click.option("--list", "list_them", is_flag=True, help="Say which scenarios there are.")
def main(
    scenarios: tuple[str, ...], quick: bool, output: str, into: Path | None, page_only: bool, list_them: bool
) -> None:
    """Measure SCENARIOs, all if none is named, beside what others offer."""
    root = into or (REPOSITORY / QUICK if quick else REPOSITORY)
    console = Console(stderr=True, highlight=False)
    if unknown := sorted(set(scenarios) - set(registry.names())):
        raise click.UsageError(f"no such scenario: {', '.join(unknown)}; there are {', '.join(registry.names())}")
    if list_them:
        for name in registry.names():
            click.echo(f"{name:16} {registry.load(name).title}")
        return
    results, failed = [], []
    for name in () if page_only else scenarios or registry.names():
        try:
            kept = measure(registry.load(name), quick=quick, console=console)
        except (BenchmarkError, BedError, ComponentError) as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            failed.append(name)
            continue
        path = root / performance_page.result_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_kept(kept))
        results.append(kept)
        if output == "text":
            show(kept)
    performance_page.write(root)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(results)).decode())
    elif results:
        _summarize(results)
    console.print(f"kept in {root / performance_page.RESULTS}; the page is {root / performance_page.PAGE}")
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)}")


def measure(scenario: Scenario, *, quick: bool, console: Console) -> Kept:
    """Run one scenario.

    Raises:
        BenchmarkError: or an error of the test bed: it cannot be measured.
    """
    machine, began = this_machine(), time.monotonic()
    with (
        _progress(console, scenario.title) as tell,
        tempfile.TemporaryDirectory(prefix="mcs-benchmark-") as scratch,
        asyncio.Runner(loop_factory=uvloop.Loop if scenario.uvloop else None) as runner,
    ):
        outcome = runner.run(scenario.run(Context(quick=quick, tell=tell, scratch=Path(scratch))))
    return Kept(
        scenario=scenario.name,
        title=scenario.title,
        about=scenario.about,
        quick=quick,
        seconds=round(time.monotonic() - began, 1),
        machine=machine,
        outcome=outcome,
    )


def as_kept(kept: Kept) -> str:
    """As JSON that a diff can show: a line for everything but the samples of a round, which share one."""
    text = msgspec.json.format(msgspec.json.encode(kept), indent=1).decode()
    return re.sub(r"\[([-+.\deE,\s]+)\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


@contextmanager
def _progress(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """Shows what happens now: on a terminal as one line that changes, elsewhere as lines."""
    began = time.monotonic()

    def line(text: str) -> str:
        return f"{title}: {text} ({time.monotonic() - began:.0f} s)"

    if console.is_terminal:
        with console.status(title) as status:
            yield lambda text: status.update(line(text))
    else:
        yield lambda text: console.print(line(text), style="dim", markup=False)
    console.print(line("done"), markup=False)


def show(kept: Kept) -> None:
    """The tables of one scenario on the console."""
    console = _console()
    console.print(f"\n[bold]{kept.title}[/bold]")
    for measurement in kept.outcome.measurements:
        _print(
            console,
            f"{measurement.title} ({measurement.better} is better)",
            measured(measurement, kept.outcome.competitors),
        )
    for title, table in found(kept):
        _print(console, title, table)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _summarize(results: list[Kept]) -> None:
    console = _console()
    for title, table in (("Targets", targets(results)), ("Ahead of us in every round", behind(results))):
        if table.rows:
            _print(console, title, table)


def _print(console: Console, title: str, content: TextTable) -> None:
    table = Table(title=title, title_justify="left", title_style="")
    for index, column in enumerate(content.columns):
        table.add_column(column, justify="right" if index else "left")
    for row in content.rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
