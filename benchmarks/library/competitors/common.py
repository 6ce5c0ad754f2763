"""Functions that the competitors in Python share."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


def library(name: str) -> Any:
    """Import a module of the bench dependency group."""
    try:
        return import_module(name)
    except ImportError:
        raise SystemExit(f"{name} is not installed: `make bench` does that, or pip install --group bench") from None


def arguments() -> tuple[str, dict[str, Any]]:
    """The name of the competitor, and the parameters."""
    _, who, parameters = sys.argv
    return who, json.loads(parameters)


def say(value: dict[str, Any]) -> None:
    """Print one line of JSON for the parent process."""
    print(json.dumps(value), flush=True)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run with the imported objects frozen for the garbage collector: the same for all."""
    gc.collect()
    gc.freeze()
    asyncio.run(coroutine)


def per_second(count: int, began: float) -> dict[str, Any]:
    """A throughput since a value of `processor_seconds`: what else the machine does then matters less."""
    return {"samples": [count / (processor_seconds() - began)]}


def status_mib(name: str) -> float:
    """A line of ``/proc/self/status``: ``VmRSS``, ``VmHWM``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no {name}")


def processor_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
