"""docs/crash-points.md: at how many points the model kills a process, as the tests find them.

`MODEL_WRITE=1 python -m pytest tests/model/test_crash_points.py` writes the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "crash-points.md"

_HEAD = """\
# Crash points

For those who want to know what was tried. Made by `MODEL_WRITE=1 python -m pytest tests/model/test_crash_points.py`;
without that the same tests fail if a number is not what this page says.

Each change happens to a fleet at rest: two services, two providers whose slices ask for one name in the consumers, two
consumers, and objects of others everywhere. Whenever writes are on their way, the process is killed with each of
their subsets having arrived: before and after each write took effect, in every order. Of more than {whole} at once, the
subsets with none, one, all and all but one of them, and the first ones (`make test-long`: of more than {long}). Another
process begins from each world that is left behind (`make test`: from every fourth one, as they differ by little), and
has to bring about what the rules say; one more after that writes nothing.

Killed is: *stand-alone*, the process with all controllers; *beside Karmada*, the process with those of
MultiClusterService and ServiceExport, while another one goes on doing what Karmada does; *agent*, the agent of a
provider that is a consumer too, while another process does all else.

"""


class Found(NamedTuple):
    """What one change came to.

    Attributes:
        writes: how many there are, if nothing is killed.
        points: at how many points the process was killed.
        states: how many different worlds that left behind.
    """

    writes: int
    points: int
    states: int


def page(found: Mapping[tuple[str, str], Found], wirings: Sequence[str], *, whole: int, long: int) -> str:
    """The page, of results by (change, wiring)."""
    changes = list(dict.fromkeys(change for change, _ in found))
    lines = [
        f"| change | {' | '.join(f'{one}: points (worlds; writes)' for one in wirings)} |",
        f"|---|{'---|' * len(wirings)}",
        *(f"| {change} | {' | '.join(_cell(found[change, one]) for one in wirings)} |" for change in changes),
    ]
    sums = [sum(found[change, one].points for change in changes) for one in wirings]
    lines.append(f"| **all** | {' | '.join(f'**{one}**' for one in sums)} |")
    return _HEAD.format(whole=whole, long=long) + "\n".join(lines) + "\n"


def said(text: str, wirings: Sequence[str]) -> dict[tuple[str, str], Found]:
    """What a page says."""
    found: dict[tuple[str, str], Found] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        numbers = [re.fullmatch(r"(\d+) \((\d+); (\d+)\)", cell) for cell in cells[1:]]
        for wiring, match in zip(wirings, numbers, strict=False):
            if match is not None:
                points, states, writes = (int(one) for one in match.groups())
                found[cells[0], wiring] = Found(writes, points, states)
    return found


def _cell(found: Found) -> str:
    return f"{found.points} ({found.states}; {found.writes})"
