"""`mcsctl graph`: which provider gives endpoints to which consumer, as a tree, as Mermaid or as SVG."""

from __future__ import annotations

import asyncio
from html import escape
from typing import TYPE_CHECKING, Any, Final

import click

from mcs_controller.diagnosis.world import Unseen
from mcs_controller.mcsctl import completion
from mcs_controller.mcsctl.access import Access, AccessOptions
from mcs_controller.mcsctl.chain import rows
from mcs_controller.mcsctl.get import observe_services
from mcs_controller.mcsctl.main import EXIT_BROKEN, EXIT_HEALTHY
from mcs_controller.mcsctl.render import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcs_controller.mcsctl.chain import Route, ServiceRow

_WIDTH: Final = 720
_LINE: Final = 28
"""Pixels, of the drawing and of one line in it."""


@click.command("graph")
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
@click.option(
    "--format",
    "form",
    type=click.Choice(("tree", "mermaid", "svg")),
    default="tree",
    show_default=True,
    help="To print.",
)
@click.pass_obj
def command(options: dict[str, Any], service: str | None, namespace: str, all_namespaces: bool, form: str) -> int:
    r"""Draw which provider gives endpoints to which consumer, with ready and all endpoints of each route.

    Routes on which something is wrong are red or dashed, and say what it is. It changes nothing.

    \b
    Examples:
      mcsctl graph nginx -n shop
      mcsctl graph -A --format mermaid
      mcsctl graph nginx --format svg > nginx.svg
    """
    where = "" if all_namespaces else namespace
    found = asyncio.run(_read(AccessOptions(**options), where, service or ""))
    if form == "tree":
        _tree(found)
    else:
        click.echo("\n".join((mermaid if form == "mermaid" else svg)(found)))
    return EXIT_BROKEN if service and not found else EXIT_HEALTHY


async def _read(options: AccessOptions, namespace: str, name: str) -> Sequence[ServiceRow]:
    async with Access(options) as access:
        found = list(rows(world := await observe_services(access, namespace, name), namespace, name))
    if any(row.routes is None for row in found):
        raise Unseen(f"the Works of the control plane: {world.host.why_unseen()}")
    return found


def mermaid(found: Sequence[ServiceRow]) -> Iterator[str]:
    """A flowchart for Markdown pages."""
    yield "flowchart LR"
    for number, row in enumerate(found):
        yield f'  subgraph s{number}["{_quoted(f"{row.namespace}/{row.name}")}"]'
        nodes = {("p", name): f"s{number}p{at}" for at, name in enumerate(row.providers)}
        nodes |= {("c", name): f"s{number}c{at}" for at, name in enumerate(row.consumers)}
        yield from (f'    {node}["{_quoted(name)}"]' for (_, name), node in nodes.items())
        for one in row.routes or ():
            arrow = "-->" if one.state == "ok" else "-.->"
            yield f'    {nodes["p", one.provider]} {arrow}|"{_quoted(_label(one))}"| {nodes["c", one.consumer]}'
        yield "  end"


def svg(found: Sequence[ServiceRow]) -> Iterator[str]:
    """A drawing without scripts and outer files: providers on the left, consumers on the right."""
    drawn: list[str] = []
    top = _LINE
    for row in found:
        drawn.append(_text(_WIDTH // 2, top, f"{row.namespace}/{row.name}", "middle", "bold"))
        heights = [
            {name: top + _LINE * (at + 1) for at, name in enumerate(names)} for names in (row.providers, row.consumers)
        ]
        left, right = 160, _WIDTH - 160
        drawn += [_text(left - 8, y, name, "end") for name, y in heights[0].items()]
        drawn += [_text(right + 8, y, name, "start") for name, y in heights[1].items()]
        for at, one in enumerate(row.routes or ()):
            y1, y2 = heights[0][one.provider] - 5, heights[1][one.consumer] - 5
            look = 'stroke="#2a7"' if one.state == "ok" else 'stroke="#c33" stroke-dasharray="6 4"'
            # A label beside the end of its own line, so that those of crossing lines do not cover each other.
            along = 0.25 + 0.5 * (at % 3) / 2
            label = _text(int(left + (right - left) * along), int(y1 + (y2 - y1) * along) - 4, _label(one), "middle")
            drawn += [f'<line x1="{left}" y1="{y1}" x2="{right}" y2="{y2}" {look}/>', label]
        top += _LINE * (max(map(len, heights)) + 2)
    size = f'width="{_WIDTH}" height="{top}" font-family="sans-serif" font-size="12"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    yield from drawn
    yield "</svg>"


def _tree(found: Sequence[ServiceRow]) -> None:
    from rich.tree import Tree

    from mcs_controller.mcsctl.tables import cell, console

    screen = console()
    for row in found:
        tree = Tree(cell(f"{row.namespace}/{row.name}", "bold"))
        for provider in row.providers:
            branch = tree.add(cell(provider))
            for one in row.routes or ():
                if one.provider == provider:
                    branch.add(cell(f"→ {one.consumer} {_label(one)}", "green" if one.state == "ok" else "red"))
        screen.print(tree)


def _label(route: Route) -> str:
    return str(route.delivered) if route.state == "ok" else f"{route.delivered} {route.state}"


def _quoted(text: str) -> str:
    """Text inside of quotes in Mermaid, which takes entities of HTML there, each begun by #."""
    return escape(printable(text)).replace("&#", "#").replace("&", "#")


def _text(x: int, y: int, text: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(printable(text))}</text>'
