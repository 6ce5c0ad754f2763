"""The competitors in Go: one program, built once into the components' cache."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.child import answer_of
from benchmarks.scenario import BenchmarkError
from tools.build import BuildFailed, build_once
from tools.components import ASSETS_VARIABLE, cache_root, go_platform

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = Path(__file__).resolve().parent / "go"
NAME = "benchmark-competitors"


def source_hash(module: Path) -> str:
    """A hash over the files of the Go module."""
    digest = hashlib.sha256()
    for path in sorted(module.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def binary_path(module: Path = MODULE) -> Path:
    """The path of the program, whether it exists or not."""
    return cache_root(os.environ) / NAME / source_hash(module) / go_platform() / NAME


async def binary(tell: Callable[[str], None]) -> Path:
    """The program, built if necessary (half a minute; minutes if Go's caches are empty).

    Raises:
        BenchmarkError: no Go, or a failed build.
    """
    path = binary_path()
    if not path.exists():
        tell("building the competitors in Go")
        build = functools.partial(
            build_once, path, module=MODULE, package=".", version="of this checkout", variables=(), tell=lambda *_: None
        )
        try:
            await asyncio.to_thread(build, assets_variable=ASSETS_VARIABLE)
        except BuildFailed as failure:
            raise BenchmarkError(str(failure)) from failure
    return path


async def versions(path: Path) -> dict[str, str]:
    """The versions of the program's modules."""
    found: dict[str, str] = await answer_of([str(path), "versions"])
    return found


def command(path: Path, what: str, who: str, **parameters: Any) -> list[str]:
    """The command of a competitor."""
    return [str(path), what, who, json.dumps(parameters)]
