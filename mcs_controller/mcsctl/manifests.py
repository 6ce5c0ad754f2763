"""The manifests of this release: the wheel has those that a command applies, a checkout all of them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

_CHECKOUT = Path(__file__).parents[2]


def member_manifests(*, standalone: bool) -> Sequence[dict[str, Any]]:
    """What a member gets: the rights to read what it provides and, stand-alone, to write what it consumes."""
    names = ["rbac.yaml", *(["standalone.yaml"] if standalone else [])]
    return [one for name in names for one in yaml.safe_load_all((_folder("member") / name).read_text()) if one]


def _folder(name: str) -> Traversable:
    packaged = files("mcs_controller") / "manifests" / name
    return packaged if packaged.is_dir() else _CHECKOUT / "manifests" / name
