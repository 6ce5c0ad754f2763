"""What a figure was measured on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import msgspec

from mcs_controller import __version__
from tools.components import COMPONENTS


class Machine(msgspec.Struct, kw_only=True, frozen=True):
    """The machine and the software of one run.

    Attributes:
        date: when, in UTC.
        cores: that this process may use.
        processor: what the system calls them; empty if it does not say.
        memory_gib: of the machine.
        load: how many processes wanted to run, on average over the minute before the run.
        kernel: release.
        python: version.
        controller: version of mcs-controller.
        components: versions of the components, by name.
    """

    date: str
    cores: int
    memory_gib: float
    load: float
    kernel: str
    python: str
    controller: str
    components: dict[str, str]
    processor: str = ""


def this_machine() -> Machine:
    """What is there now."""
    return Machine(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int((_first_value("/proc/meminfo", "MemTotal") or "0").split()[0]) / 1024**2, 1),
        load=round(os.getloadavg()[0], 1),
        kernel=platform.release(),
        python=platform.python_version(),
        controller=__version__,
        processor=_first_value("/proc/cpuinfo", "model name"),
        components={name: COMPONENTS[name].version for name in ("kube-apiserver", "kube-proxy", "coredns", "etcd")},
    )


def _first_value(path: str, name: str) -> str:
    """Of a file of ``name: value`` lines; empty if there is none."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
