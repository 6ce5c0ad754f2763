"""Charts as SVG text: nothing to install, and a diff shows what has changed."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks.texts import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 860
LEFT = 300
RIGHT = 110
TOP = 34
BAR = 14
GAP = 18
LEGEND = 20
LINE = 15
LETTERS = 42
TICKS = 5

# Readable on white and on black: forges show pictures on either.
_INK = "#6e7781"
_COLOURS = (
    "#4493f8",
    "#d29922",
    "#3fb950",
    "#db61a2",
    "#a371f7",
    "#f0883e",
    "#39c5cf",
    "#8b949e",
    "#e5534b",
    "#b3a125",
)


def bars(title: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float | None]]], *, unit: str) -> str:
    """Horizontal bars: a row for each name, in it a bar for each series.

    Args:
        title: above everything.
        names: of the rows.
        series: each with its name and a value for each row; None leaves its place empty.
        unit: of the values.
    """
    most = max((value for _, values in series for value in values if value is not None), default=0.0) or 1.0
    step = _round(most / TICKS)
    scale = (WIDTH - LEFT - RIGHT) / most
    legend, top = _legend([name for name, _ in series])
    rows: list[str] = []
    y = float(top)
    for row, name in enumerate(names):
        lines = textwrap.wrap(name, LETTERS) or [""]
        height = max(BAR * len(series), LINE * len(lines)) + GAP
        middle = y + height / 2
        for index, line in enumerate(lines):
            rows.append(_text(LEFT - 10, middle + 5 + LINE * (index - (len(lines) - 1) / 2), line, anchor="end"))
        for index, (_, values) in enumerate(series):
            value = values[row]
            if value is None:
                continue
            at, width = middle + BAR * (index - len(series) / 2), value * scale
            rows.append(_bar(LEFT, at, width, _colour(index)))
            rows.append(_text(LEFT + width + 6, at + BAR - 3, quantity(value, unit), size=11))
        y += height
    axis: list[str] = []
    tick = 0.0
    while tick <= most:
        x = LEFT + tick * scale
        axis.append(f'<path d="M{x:.1f} {top}V{y:.1f}" stroke="{_INK}" stroke-opacity="0.3"/>')
        axis.append(_text(x, y + 18, f"{tick:,.10g}", anchor="middle"))
        tick += step
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 34:.0f}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" font-family="sans-serif" font-size="13" fill="{_INK}">'
    )
    return "\n".join([head, _text(0, 18, title, weight="bold"), *legend, *axis, *rows, "</svg>"]) + "\n"


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """The names with their colours, in as many lines as needed, and where the rows begin."""
    parts: list[str] = []
    x, y = 0.0, TOP
    if len(names) == 1 and not names[0]:
        return parts, TOP
    for index, name in enumerate(names):
        width = 34 + 7.5 * len(name)
        if x and x + width > WIDTH:
            x, y = 0.0, y + LEGEND
        parts += [_bar(x, y, 12.0, _colour(index)), _text(x + 18, y + 11, name)]
        x += width
    return parts, y + LEGEND


def _round(value: float) -> float:
    """The next number above that is 1, 2 or 5 times a power of ten."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.0):.1f}" height="{BAR - 2}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}">'
        f"{escape(text)}</text>"
    )
