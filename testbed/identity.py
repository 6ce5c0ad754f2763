"""Identities of processes: a pid alone is not enough, as the kernel reuses pids.

A process is named by its pid, the time it started (in clock ticks since boot) and the boot. Signals go through a pidfd
that is opened first and checked afterwards, so that what is checked is what gets the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Every process of a bed carries its directory in its environment, children of children too.
BED_VARIABLE = "MCS_TESTBED_ROOT"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """The identity of one process.

    Attributes:
        pid: its number.
        started: clock ticks between boot and its start (field 22 of ``/proc/<pid>/stat``).
        boot: the kernel's id of that boot.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The process with this pid; None if there is none, or only its zombie."""
        try:
            stat = (PROC / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name is in parentheses and may itself hold spaces and parentheses.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in ("Z", "X"):
            return None
        return cls(pid=pid, started=int(fields[19]), boot=boot_id())

    def alive(self) -> bool:
        """Whether this process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, signum: signal.Signals) -> bool:
        """Send a signal to this process; False if it has ended."""
        return signal_if(self.pid, signum, lambda: ProcessIdentity.of(self.pid) == self)


def boot_id() -> str:
    """The kernel's random id of the current boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def signal_if(pid: int, signum: signal.Signals, check: Callable[[], bool]) -> bool:
    """Send a signal to the process with this pid if ``check`` holds for it; False if nothing was sent.

    The pidfd pins the process before the check: if the pid is handed out again in between, the signal goes nowhere.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not check():
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def carries_mark(pid: int, root: Path) -> bool:
    """Whether the process was started as part of the bed in ``root``."""
    mark = f"{BED_VARIABLE}={root}".encode()
    try:
        return mark in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or somebody else's
        return False


def processes_of(root: Path) -> Iterator[ProcessIdentity]:
    """Every running process that belongs to the bed in ``root``, except the caller itself."""
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and carries_mark(int(entry.name), root):
            identity = ProcessIdentity.of(int(entry.name))
            if identity is not None:
                yield identity


def kill_leftovers(root: Path) -> int:
    """Send SIGKILL to every process of the bed in ``root``, checked by its mark; the number of processes."""
    killed = 0
    for identity in list(processes_of(root)):
        with contextlib.suppress(PermissionError):
            killed += signal_if(identity.pid, signal.SIGKILL, partial(carries_mark, identity.pid, root))
    return killed
