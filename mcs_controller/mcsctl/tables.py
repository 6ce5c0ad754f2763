"""Tables for people: colours and the width of the terminal on one, plain and complete lines anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcs_controller.mcsctl.render import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDLESS: Final = 100_000
"""Columns of what is no terminal: nothing is wrapped or cut off there."""


def console() -> Console:
    """The standard output."""
    made = Console(highlight=False, markup=False, emoji=False)
    return made if made.is_terminal else Console(highlight=False, markup=False, emoji=False, width=_ENDLESS)


def table(*columns: str) -> Table:
    """A table like kubectl's; cells are wrapped at the edge of a terminal, and never cut off."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for each in columns:
        made.add_column(each, overflow="fold")
    return made


def cell(text: object, style: str = "") -> Text:
    """Text of others, without what a terminal or rich would take for commands."""
    return Text(printable(str(text)), style=style)


def lines(texts: Iterable[Text], *, terminal: bool) -> Text:
    """Several texts in one cell: below each other on a terminal, else in one line."""
    return Text("\n" if terminal else ", ").join(texts)
