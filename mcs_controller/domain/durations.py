"""Durations as Go writes them: what flags and annotations hold."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds that a Go duration stands for ("15s", "2m0s", "1h30m", "500ms", "0"); it is never negative.

    Raises:
        ValueError: with an example of what would do.
    """
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write it like 15s, 2m0s or 500ms")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
