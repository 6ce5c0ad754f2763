"""``python -m tools``: find or build the pinned components from a shell."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console

from tools.components import COMPONENTS, ComponentError, default_resolver, resolve
from tools.progress import ProgressPrinter


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The Kubernetes components of demo, tests and benchmarks.

    Looked for in $KUBEBUILDER_ASSETS, then in $XDG_CACHE_HOME (or ~/.cache)/mcs-controller/bin, and built from their
    pinned Go modules only if they are in neither (about a quarter of an hour for all of them on two cores, once; three
    minutes of that are the older kube-apiserver, which only tests need).
    """


@main.command(name="resolve")
@click.argument("names", nargs=-1)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Format of stdout (default: text).")
def resolve_command(names: tuple[str, ...], output: str) -> None:
    """Find NAMES (default: all components), build the missing ones, and print their paths.

    Progress goes to stderr, so that stdout can be piped.
    """
    try:
        with ProgressPrinter(Console(stderr=True)) as printer:
            paths = resolve(names or tuple(COMPONENTS), on_progress=printer)
    except ComponentError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps({name: str(path) for name, path in paths.items()}, indent=2))
    else:
        for path in paths.values():
            click.echo(path)


@main.command(name="list")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Format of stdout (default: text).")
def list_command(output: str) -> None:
    """List all components with their pinned versions and paths. Builds nothing."""
    resolver = default_resolver()
    rows = []
    try:
        for name, component in COMPONENTS.items():
            found = resolver.locate(name)
            rows.append(
                {
                    "name": name,
                    "version": component.version,
                    "source": found[1] if found else "missing",
                    "path": str(found[0] if found else resolver.cached_path(name)),
                }
            )
    except ComponentError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']:<26}{row['version']:<12}{row['source']:<10}{row['path']}")


if __name__ == "__main__":
    sys.exit(main())
