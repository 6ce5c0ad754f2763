"""JSON that is nested deeper than our decoder goes, which is about 900 levels where Python's recursion limit is 1000.

API servers store ten times as much. One such object must not make the list unreadable in which it is, or the watch.
"""

from __future__ import annotations

import re
from typing import Final

MAX_DEPTH: Final = 500

MAX_BYTES: Final = 8 << 20
"""More is not looked through: it takes too long, and nothing else runs meanwhile. Events are never longer."""

CUT: Final = b'"nested too deep to be read"'
"""Stands where :func:`cut` has taken something out."""

_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)
_OPENING: Final = frozenset(b"[{")
_CLOSING: Final = frozenset(b"]}")


def cut(text: bytes) -> bytes:
    """The same JSON with CUT in place of all that is nested deeper than MAX_DEPTH. Slow: 0.3 s for a megabyte.

    Raises:
        RecursionError: it is longer than MAX_BYTES.
    """
    if len(text) > MAX_BYTES:
        raise RecursionError(f"nested too deep, and longer than {MAX_BYTES} bytes")
    pieces: list[bytes] = []
    depth = kept = begin = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first in _OPENING:
            depth += 1
            if depth == MAX_DEPTH + 1:
                begin = token.start()
        elif first in _CLOSING:
            if depth == MAX_DEPTH + 1:
                pieces += (text[kept:begin], CUT)
                kept = token.end()
            depth -= 1
    pieces.append(text[kept:])
    return b"".join(pieces)
