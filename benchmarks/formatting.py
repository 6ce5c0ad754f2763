"""Numbers and tables as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def number(value: float) -> str:
    """About three digits: ``0.123``, ``1.23``, ``12.3``, ``123``, ``12,345``; whole numbers in full."""
    size = abs(value)
    if isinstance(value, int) or size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3g}"


def quantity(value: float, unit: str) -> str:
    """A number with its unit: ``12.3 ms``, ``55,800/s``."""
    if unit.startswith("1/"):
        return f"{number(value)}{unit[1:]}"
    return f"{number(value)} {unit}".rstrip()


def part_name(part: float) -> str:
    """The name of a percentile: ``p50``, ``p99.9``."""
    return f"p{100 * part:g}"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; columns after the first ``left`` are aligned to the right."""
    marks = [*("---" for _ in columns[:left]), *("---:" for _ in columns[left:])]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (columns, marks, *rows)
    )
