"""Charts as SVG text: nothing to install, and a diff shows what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 820
LEFT = 280
RIGHT = 110
TOP = 56
ROW = 46
BAR = 14
TICKS = 5

# Readable on white and on black: forges show pictures on either.
_INK = "#6e7781"
_COLOURS = ("#4493f8", "#d29922")


def bars(title: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], *, unit: str) -> str:
    """Horizontal bars: a row for each name, in it a bar for each of at most two series.

    Args:
        title: above everything.
        names: of the rows.
        series: each with its name and a value for each row.
        unit: of the values.
    """
    most: float = max((value for _, values in series for value in values), default=0.0) or 1.0
    step = _round(most / TICKS)
    scale = (WIDTH - LEFT - RIGHT) / most
    bottom = TOP + ROW * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 34}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" font-family="sans-serif" font-size="13" fill="{_INK}">',
        _text(0, 18, title, weight="bold"),
    ]
    for index, (name, _) in enumerate(series):
        start = LEFT + 90 * index
        parts += [_bar(start, 32, 12.0, _COLOURS[index]), _text(start + 18, 43, name)]
    tick = 0.0
    while tick <= most:
        x = LEFT + tick * scale
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{_INK}" stroke-opacity="0.3"/>')
        parts.append(_text(x, bottom + 18, f"{tick:g} {unit}", anchor="middle"))
        tick += step
    for row, name in enumerate(names):
        top = TOP + ROW * row + (ROW - BAR * len(series)) / 2
        parts.append(_text(LEFT - 10, TOP + ROW * row + ROW / 2 + 5, name, anchor="end"))
        for index, (_, values) in enumerate(series):
            y, width = top + BAR * index, values[row] * scale
            parts.append(_bar(LEFT, y, width, _COLOURS[index]))
            parts.append(_text(LEFT + width + 6, y + BAR - 3, f"{values[row]:.0f} {unit}", size=11))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _round(value: float) -> float:
    """The next number above that is 1, 2 or 5 times a power of ten."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.0):.1f}" height="{BAR - 2}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}">'
        f"{escape(text)}</text>"
    )
