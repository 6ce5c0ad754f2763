"""The packages that run with the product, from the lock, and their licences, from their metadata."""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path
from typing import Final

from tools.markdown import table

LOCK: Final = Path(__file__).resolve().parent.parent / "requirements" / "runtime.txt"

_ENTRY: Final = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)

_PERMISSIVE: Final = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "PSF-2.0"})

_EXCEPTIONS: Final = {
    "certifi": ("MPL-2.0", "copyleft for this file alone: the authorities of Mozilla, which nobody changes here"),
}
"""Other licences that were looked at, and why they are no obstacle."""

_OTHER_NAMES: Final = {"Apache 2.0": "Apache-2.0", "MIT License": "MIT", "BSD": "BSD-3-Clause"}


def locked(lock: str) -> dict[str, str]:
    """Versions by package."""
    return dict(_ENTRY.findall(lock))


def licence_of(package: str, about: PackageMetadata) -> str:
    """The licence as an SPDX expression.

    Raises:
        ValueError: it is not one of those that this project may be distributed with.
    """
    stated = next((about[field] for field in ("License-Expression", "License") if field in about), "")
    classifiers = (each.rpartition(" :: ") for each in about.get_all("Classifier") or ())
    stated = stated or next((name for before, _, name in classifiers if before.startswith("License")), "")
    expression = _OTHER_NAMES.get(stated, stated)
    parts = set(re.split(r" AND |[()]", expression)) - {""}
    if not parts or not parts <= _PERMISSIVE | {_EXCEPTIONS.get(package, ("",))[0]}:
        raise ValueError(f"{package} has licence {stated[:60]!r}: look at it, and name it in tools/licences.py")
    return expression


def dependencies_page() -> str:
    """docs/reference/dependencies.md."""
    lines = [
        "# Dependencies",
        "",
        "Made from `requirements/runtime.txt` by `make docs`: what is installed with the product, with all that these "
        "packages need. `make lock` renews the versions.",
    ]
    rows = []
    for package, version in sorted(locked(LOCK.read_text()).items()):
        licence = licence_of(package, metadata(package))
        remark = f": {_EXCEPTIONS[package][1]}" if package in _EXCEPTIONS else ""
        rows.append((package, version, f"{licence}{remark}"))
    return "\n".join([*lines, *table(["package", "version", "licence"], rows)]) + "\n"
