"""The machine of a measurement."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import msgspec


class Machine(msgspec.Struct, kw_only=True, frozen=True):
    """The machine of one run.

    Attributes:
        date: when, in UTC.
        cores: that this process may use.
        processor: what the system calls them; empty if it does not say.
        memory_gib: of the machine.
        load: how many processes wanted to run, on average over the minute before the run.
        kernel: release.
    """

    date: str
    cores: int
    memory_gib: float
    load: float
    kernel: str
    processor: str = ""

    def described(self) -> str:
        """In words, without the date and the load."""
        processor = f" ({self.processor})" if self.processor else ""
        return f"{self.cores} cores{processor}, {self.memory_gib:g} GiB, Linux {self.kernel}."


def this_machine() -> Machine:
    """The current machine."""
    return Machine(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int((_first_value("/proc/meminfo", "MemTotal") or "0").split()[0]) / 1024**2, 1),
        load=round(os.getloadavg()[0], 1),
        kernel=platform.release(),
        processor=_first_value("/proc/cpuinfo", "model name"),
    )


def _first_value(path: str, name: str) -> str:
    """The first value of this name in a file of ``name: value`` lines; empty if there is none."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
