"""``python -m benchmarks``: run benchmarks, write their summaries, and generate the page."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks import performance_page, registry
from benchmarks.machine import this_machine
from benchmarks.result import as_text, summarized
from benchmarks.scenario import BenchmarkError, Context
from testbed.errors import BedError
from tools.components import ComponentError

if TYPE_CHECKING:
    from benchmarks.result import Result
    from benchmarks.scenario import Scenario

REPOSITORY = Path(__file__).resolve().parent.parent
QUICK = Path("build/bench-quick")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--quick", is_flag=True, help=f"Small sizes, for a first impression; results go to {QUICK}.")
@click.option("--page-only", is_flag=True, help="Do not measure; generate the page from the stored results.")
@click.option("--list", "list_them", is_flag=True, help="List the scenarios.")
def main(scenarios: tuple[str, ...], quick: bool, page_only: bool, list_them: bool) -> None:
    """Measure SCENARIOs, all if none is named, and compare with other libraries."""
    if list_them:
        for name in registry.names():
            click.echo(f"{name:16} {registry.load(name).title}")
        return
    if unknown := sorted(set(scenarios) - set(registry.names())):
        raise click.UsageError(f"unknown scenario: {', '.join(unknown)}; known: {', '.join(registry.names())}")
    root = REPOSITORY / QUICK if quick else REPOSITORY
    failed = []
    for name in () if page_only else scenarios or registry.names():
        try:
            result = measure(registry.load(name), quick=quick)
        except (BenchmarkError, BedError, ComponentError) as error:
            click.secho(f"{name}: {error}", fg="red", err=True)
            failed.append(name)
            continue
        path = root / performance_page.result_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_text(result))
        click.echo(performance_page.section(result) + "\n")
    performance_page.write(root)
    click.echo(f"results: {root / performance_page.RESULTS}, page: {root / performance_page.PAGE}", err=True)
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)}")


def measure(scenario: Scenario, *, quick: bool) -> Result:
    """Run one scenario.

    Raises:
        BenchmarkError: or an error of the test bed: it cannot be measured.
    """
    machine, began = this_machine(), time.monotonic()

    def tell(text: str) -> None:
        click.secho(f"{scenario.title}: {text} ({time.monotonic() - began:.0f} s)", dim=True, err=True)

    with tempfile.TemporaryDirectory(prefix="mcs-benchmark-") as scratch:
        outcome = asyncio.run(scenario.run(Context(quick=quick, tell=tell, scratch=Path(scratch))))
    return summarized(scenario, outcome, machine=machine, quick=quick, seconds=time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
