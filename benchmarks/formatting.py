"""Numbers as people read them."""

from __future__ import annotations


def number(value: float) -> str:
    """Three digits or so: ``0.123``, ``1.23``, ``12.3``, ``123``, ``12,345``."""
    size = abs(value)
    if size >= 99.95:
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
    """A percentile as it is called: ``p50``, ``p99.9``."""
    return f"p{100 * part:g}"


def times(value: float) -> str:
    """A ratio: ``4.2 ×``."""
    return f"{number(value)} ×"
