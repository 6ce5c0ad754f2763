"""`mcsctl get`: services with providers, consumers, endpoints of each route, and what is skipped."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from mcs_controller.diagnosis import world as w
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.chain import NOT_SELECTED, age, rows
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY, EXIT_UNSEEN
from mcs_controller.mcsctl.observe import Reader
from mcs_controller.mcsctl.render import dump
from mcs_controller.mcsctl.together import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table

    from mcs_controller.mcsctl.chain import Route, ServiceRow

_INTERVAL_SECONDS: Final = 2.0

_MAX_WORKS: Final = 100_000
"""Of all services together: one of them has as many as slices in all providers times consumers."""

_MAX_ROUTES: Final = 4
"""That the narrow table names for each service."""


@click.command("get")
@click.argument("service", required=False, shell_complete=completion.services)
@click.option(
    "-n",
    "--namespace",
    default="default",
    show_default=True,
    shell_complete=completion.namespaces,
    help="Of the services.",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Services of all namespaces.")
@click.option("-o", "--output", type=click.Choice(("text", "wide", "json", "yaml")), default="text", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Show it anew every two seconds, until Ctrl-C.")
@click.pass_obj
def command(
    options: dict[str, Any], service: str | None, namespace: str, all_namespaces: bool, output: str, watch: bool
) -> int:
    r"""List services with providers, consumers, ready and all endpoints of each route, and what is skipped and why.

    It asks the control plane alone, and changes nothing. With `-o wide` each route from a provider to a consumer is a
    row: endpoints that the provider offers and the consumer has, when they were last collected and dispatched, and
    what stands between.

    \b
    Examples:
      mcsctl get -A
      mcsctl get nginx -n shop -o wide
      mcsctl get -w
    """
    if watch and output in ("json", "yaml"):
        raise click.UsageError("--watch shows text")
    where = "" if all_namespaces else namespace
    return asyncio.run(_get(AccessOptions(**options), where, service or "", output, watch))


async def observe_services(access: Access, namespace: str = "", name: str = "") -> w.World:
    """The control plane's part of services, in a few lists for however many there are.

    Args:
        access: how to reach the control plane.
        namespace: of the services; empty means all.
        name: of the one service to look at; empty means all.
    """
    plane = await access.host()
    host = w.Snapshot(kubectl=plane.kubectl)
    reader = Reader(plane.client, host)
    labels = ",".join(
        f"{label}={value}" if value else label for label, value in ((wk.MCS_NAME, name), (wk.MCS_NAMESPACE, namespace))
    )
    await all_of(
        reader.list(w.CLUSTERS),
        reader.list(
            w.MULTICLUSTERSERVICES, namespace, fields=f"metadata.name={name}" if name else "", at_most=_MAX_WORKS
        ),
        reader.list(w.WORKS, labels=labels, at_most=_MAX_WORKS),
    )
    return w.World(now=datetime.now(UTC), host=host)


async def _get(options: AccessOptions, namespace: str, name: str, output: str, watch: bool) -> int:
    async with Access(options) as access:
        if watch:
            await _watch(access, namespace, name, output)
            return EXIT_HEALTHY
        world = await observe_services(access, namespace, name)
    found = list(rows(world, namespace, name))
    if output in ("json", "yaml"):
        dump({"services": [one.as_json() for one in found]}, output)
    elif found:
        from mcs_controller.mcsctl.tables import console

        screen = console()
        screen.print(_table(found, world.now, output, screen))
    if reason := world.host.why_unseen(w.WORKS):
        click.echo(f"Endpoints are not known: {reason}", err=True)
        return EXIT_UNSEEN
    if not found:
        what = f"MultiClusterService {name}" if name else "MultiClusterServices"
        click.echo(f"No {what} in {f'namespace {namespace}' if namespace else 'any namespace'}", err=True)
    return EXIT_BROKEN if name and not found else EXIT_HEALTHY


async def _watch(access: Access, namespace: str, name: str, output: str) -> None:
    from rich.live import Live

    from mcs_controller.mcsctl.tables import cell, console

    screen = console()
    with ExitStack() as stack:
        show: Callable[[RenderableType], object] = screen.print
        if screen.is_terminal:
            live = Live(console=screen, auto_refresh=False, screen=True, vertical_overflow="crop")
            show = partial(stack.enter_context(live).update, refresh=True)
        while True:
            world = await observe_services(access, namespace, name)
            try:
                show(_table(list(rows(world, namespace, name)), world.now, output, screen))
            except w.Unseen as unseen:
                show(cell(unseen))
            await asyncio.sleep(_INTERVAL_SECONDS)


def _table(found: Sequence[ServiceRow], now: datetime, output: str, screen: Console) -> Table:
    return _wide(found, now) if output == "wide" else _narrow(found, now, terminal=screen.is_terminal)


def _narrow(found: Sequence[ServiceRow], now: datetime, *, terminal: bool) -> Table:
    from mcs_controller.mcsctl.tables import cell, lines, table

    made = table("NAMESPACE", "NAME", "PROVIDERS", "CONSUMERS", "ENDPOINTS", "CHANGED", "SKIPPED OR FAILING")
    for row in found:
        routes = sorted(row.routes or (), key=lambda one: (one.is_fine, one.state == NOT_SELECTED))
        texts = [
            cell(f"{one.provider} → {one.consumer} {one.delivered}{f' ({one.tier})' if one.tier else ''}", _style(one))
            for one in routes[:_MAX_ROUTES]
        ]
        if more := len(routes) - _MAX_ROUTES:
            texts += [cell(f"{more} more (-o wide)")] * (more > 0)
        made.add_row(
            cell(row.namespace),
            cell(row.name),
            cell(_names(row.providers)),
            cell(_names(row.consumers)),
            lines(texts, terminal=terminal) if row.routes is not None else cell("?"),
            cell(age(row.changed, now)),
            cell("; ".join([*row.notes, *_reasons(routes)])),
        )
    return made


def _wide(found: Sequence[ServiceRow], now: datetime) -> Table:
    from mcs_controller.mcsctl.tables import cell, table

    columns = "OFFERED", "DELIVERED", "COLLECTED", "DISPATCHED", "TIER", "STATE", "NOTES"
    made = table("NAMESPACE", "NAME", "PROVIDER", "CONSUMER", *columns)
    for row in found:
        notes = "; ".join(row.notes)
        for one in row.routes or ():
            last = (age(one.collected, now), age(one.dispatched, now), one.tier or "-")
            values = (row.namespace, row.name, one.provider, one.consumer, one.offered, one.delivered, *last)
            made.add_row(*map(cell, values), cell(one.state, _style(one)), cell(notes))
        if not row.routes:
            unknown = "-" if row.routes is not None else "?"
            made.add_row(cell(row.namespace), cell(row.name), *[cell(unknown)] * 8, cell(notes))
    return made


def _reasons(routes: Sequence[Route]) -> Sequence[str]:
    """What stands between, each once."""
    return list(dict.fromkeys(one.state for one in routes if not one.is_fine))


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _MAX_ROUTES else f"{len(names)} clusters"


def _style(route: Route) -> str:
    if not route.is_fine:
        return "red"
    if route.state == NOT_SELECTED:
        return "dim"
    return "green" if route.delivered.ready else "yellow"
