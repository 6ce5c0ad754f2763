"""Profiles: stacks counted by a sampler, as tables of what costs most and as a flame graph in SVG."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.scenario import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WIDTH: Final = 1200
ROW: Final = 17
TOP: Final = 28
NARROWEST: Final = 3.0
"""Pixels; narrower boxes are left out, with what is above them."""

LETTER: Final = 6.6
# Readable on white and on black.
_INK: Final = "#6e7781"
_TEXT: Final = "#1f2328"
_COLOURS: Final = {
    "mcs_controller": "#7cc4a0",
    "informers": "#8ab8f0",
    "workqueue": "#c8a8e8",
    "": "#e8c48a",
}


def parse(lines: Iterable[str]) -> dict[tuple[str, ...], int]:
    """Collapsed stacks, ``outer;inner;innermost 12``, as counts by stack; the lines of functions are put together."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if stack:
            stacks[tuple(_frame(each) for each in stack.split(";"))] += int(count)
    return dict(stacks)


def _frame(text: str) -> str:
    """``reconcile (mcs_controller/reconcilers/x.py:12)`` without the number; modules as they are imported."""
    function, _, place = text.partition(" (")
    path = place.rstrip(")").partition(":")[0].removesuffix(".py")
    for marker in ("site-packages/", "lib-dynload/", "python3.11/", "python3.12/", "python3.13/"):
        path = path.rpartition(marker)[2]
    return f"{path.replace('/', '.').strip('.')}.{function}" if path else function


def kept(title: str, stacks: Mapping[tuple[str, ...], int], *, least: int) -> Profile:
    """A profile to keep; without stacks that were seen less often."""
    often = {stack: count for stack, count in sorted(stacks.items()) if count >= least}
    functions = sorted({frame for stack in often for frame in stack})
    number = {name: index for index, name in enumerate(functions)}
    rows = [[count, *(number[frame] for frame in stack)] for stack, count in often.items()]
    return Profile(title=title, functions=functions, stacks=rows)


def stacks_of(profile: Profile) -> dict[tuple[str, ...], int]:
    """The stacks of a kept profile."""
    return {tuple(profile.functions[each] for each in frames): count for count, *frames in profile.stacks}


def of_itself(stacks: Mapping[tuple[str, ...], int]) -> Counter[str]:
    """Samples in which a function was the innermost."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[stack[-1]] += count
    return found


def with_callees(stacks: Mapping[tuple[str, ...], int]) -> Counter[str]:
    """Samples in which a function was anywhere on the stack; once, if it calls itself."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        for frame in set(stack):
            found[frame] += count
    return found


@dataclass(slots=True)
class _Box:
    count: int = 0
    above: dict[str, _Box] = field(default_factory=dict)


def flame_graph(title: str, stacks: Mapping[tuple[str, ...], int]) -> str:
    """Outer functions below, what they call above; as wide as they are often on the stack. Names as tooltips."""
    root = _Box()
    for stack, count in stacks.items():
        root.count += count
        box = root
        for frame in stack:
            box = box.above.setdefault(frame, _Box())
            box.count += count
    scale = WIDTH / max(root.count, 1)
    boxes = list(_placed(root, 0.0, 0, scale))
    height = TOP + ROW * (1 + max((level for *_, level in boxes), default=0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" font-family="monospace" font-size="11">',
        f'<text x="0" y="16" font-family="sans-serif" font-size="14" font-weight="bold" fill="{_INK}">'
        f"{escape(title)}</text>",
    ]
    for name, count, left, level in boxes:
        width, y = count * scale, height - ROW * (level + 1)
        share = f"{100 * count / root.count:.1f} %"
        fits = int((width - 4) / LETTER)
        short = name.rpartition(".")[2]
        shown = (name if len(name) <= fits else short)[: max(fits, 0)] if fits > 2 else ""
        parts.append(
            f'<g><title>{escape(name)} ({share})</title><rect x="{left:.1f}" y="{y}" '
            f'width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" fill="{_colour(name)}"/>'
            + (f'<text x="{left + 2:.1f}" y="{y + 12}" fill="{_TEXT}">{escape(shown)}</text>' if shown else "")
            + "</g>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _placed(box: _Box, left: float, level: int, scale: float) -> Iterator[tuple[str, int, float, int]]:
    """(name, count, left edge in pixels, level) of all boxes above one that are wide enough to be seen."""
    for name, above in sorted(box.above.items()):
        if above.count * scale >= NARROWEST:
            yield name, above.count, left, level
            yield from _placed(above, left, level + 1, scale)
        left += above.count * scale


def _colour(name: str) -> str:
    return _COLOURS.get(name.partition(".")[0], _COLOURS[""])
