"""Versions of the competitors in Python."""

from __future__ import annotations

import platform
from importlib.metadata import version


def python_versions(*distributions: str) -> dict[str, str]:
    """The versions of the interpreter and of these distributions."""
    return {"python": platform.python_version(), **{name: version(name) for name in distributions}}
