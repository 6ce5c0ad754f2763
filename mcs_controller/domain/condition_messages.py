"""The lists in a condition's message: written so that they fit, and read again to know what people were told already.

    no room in m2; denied in m3. Left out for now: m4, m5: the cluster is not ready; m6: no such Cluster is registered.

A message is all that outlives a restart, so what it names is what was told. Lists are cut between two items and say how
many there are more; nobody hears of those a second time either (`Told`).
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_MESSAGE: Final = 32_768
"""Characters that the API takes in a condition's message (contract 1.1)."""

_MAX_ITEM: Final = 1024
"""Characters of one error or reason; as an event it has no room for more."""

_ROOM: Final = 12_000
"""Characters for the errors, and as many for the clusters that are left out; the rest is for all else."""

_LEFT_OUT: Final = "Left out for now: "
_NOTE: Final = "Note: "
_CUT: Final = re.compile(r"(?:; |: )and \d+ more(?:\.|\Z)")
IN_PLACE: Final = "In place: "
"""Begins the sentence on what reached whom in spite of the errors."""

_AFTER_ERROR: Final = ("; ", f". {IN_PLACE}", f". {_LEFT_OUT}", f". {_NOTE}")
_AFTER_SKIP: Final = ("; ", f". {_NOTE}")


class Listed(NamedTuple):
    """A list as it is told, and the items that it has no room for."""

    text: str
    untold: frozenset[str]


def clip(text: str, size: int = _MAX_ITEM) -> str:
    """The text, cut to so many characters."""
    return text if len(text) <= size else f"{text[: size - 1]}…"


def listed_errors(errors: Iterable[str]) -> Listed:
    """The errors in the order given; they are clipped and differ from each other."""
    shown: list[str] = []
    untold: list[str] = []
    room = _ROOM
    for error in errors:
        room -= len(error) + 2
        (shown if room >= 0 else untold).append(error)
    return Listed("; ".join([*shown, *_more(untold)]), frozenset(untold))


def listed_skips(skips: Iterable[str]) -> Listed:
    """The sentence on clusters that are left out, each given as "cluster: reason"; those of one reason come together.

    Reasons come in the order of the first cluster that each of them keeps out.
    """
    named = sorted({(cluster, why) for cluster, _, why in (skip.partition(": ") for skip in skips)})
    first = {why: cluster for cluster, why in reversed(named)}
    shown: list[str] = []
    untold: list[str] = []
    room = _ROOM
    for why, group in groupby(sorted(named, key=lambda one: (first[one[1]], one[1])), lambda one: one[1]):
        room -= len(why) + 4
        clusters: list[str] = []
        for cluster, _ in group:
            room -= len(cluster) + 2
            if room >= 0:
                clusters.append(cluster)
            else:
                untold.append(f"{cluster}: {why}")
        if clusters:
            shown.append(f"{', '.join(clusters)}: {why}")
    text = f"{_LEFT_OUT}{'; '.join([*shown, *_more(untold)])}." if named else ""
    return Listed(text, frozenset(untold))


def note(text: str) -> str:
    """The sentence on something that was ignored."""
    return f"{_NOTE}{text}."


class Told:
    """What people know from a message."""

    def __init__(self, message: str, untold: frozenset[str] | None) -> None:
        """`untold` is what the message had no room for; None if nobody knows, and then all of it may be known."""
        self._message = message
        self._untold = untold or frozenset()
        self._all = untold is None and _CUT.search(message) is not None

    def has_error(self, error: str) -> bool:
        """Whether the error is among those that were told, or had no room."""
        if self._all or error in self._untold:
            return True
        return any(at == 0 or self._message.startswith("; ", at - 2) for at in self._places(error, _AFTER_ERROR))

    def has_note(self, text: str) -> bool:
        """Whether that was noted."""
        return note(text) in self._message

    def has_skips(self, skips: Iterable[str]) -> set[str]:
        """Which of them, each given as "cluster: reason", were told, or had no room."""
        by_reason: dict[str, dict[str, str]] = {}
        for skip in skips:
            cluster, _, why = skip.partition(": ")
            by_reason.setdefault(why, {})[cluster] = skip
        known: set[str] = set()
        for why, clusters in by_reason.items():
            named = {name for at in self._places(f": {why}", _AFTER_SKIP) for name in self._names_before(at)}
            known |= {skip for cluster, skip in clusters.items() if cluster in named}
            known |= {skip for skip in clusters.values() if self._all or skip in self._untold}
        return known

    def _names_before(self, end: int) -> list[str]:
        start = max(self._message.rfind(mark, 0, end) + len(mark) for mark in ("; ", _LEFT_OUT))
        return self._message[start:end].split(", ")

    def _places(self, text: str, followed_by: tuple[str, ...]) -> Iterator[int]:
        """Where the text is, as a whole: with one of those behind it, or nothing but a full stop."""
        message = self._message
        ends = {len(message), len(message.removesuffix("."))}
        at = message.find(text)
        while at >= 0:
            end = at + len(text)
            if end in ends or message.startswith(followed_by, end):
                yield at
            at = message.find(text, at + 1)


def _more(untold: list[str]) -> list[str]:
    return [f"and {len(untold)} more"] if untold else []
