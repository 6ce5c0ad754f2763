"""The controller's cost: requests from the audit logs, CPU and memory from /proc."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from testbed import AuditLog
from testbed.errors import BedError, ProcessFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed import AuditEvent, ControllerProcess
    from testbed.controlplane import ControlPlane

# What is asked by the clock, whether anything changes or not: leases; probes, which are about no resource; the members'
# credentials.
_BY_THE_CLOCK = frozenset({"leases", "secrets", ""})


class Asked(NamedTuple):
    """One kind of request."""

    plane: str
    verb: str
    resource: str

    @property
    def is_write(self) -> bool:
        """Whether the request is a write."""
        return self.verb not in ("get", "list", "watch")


class Requests:
    """The requests of a user to some planes since the construction or :meth:`restart`.

    Leases, probes of members and their credentials are left out: they come by the clock.

    Args:
        planes: of a bed with audit logs.
        user: as the servers know it.
    """

    def __init__(self, planes: Iterable[ControlPlane], user: str) -> None:
        self._planes = list(planes)
        self._user = user
        self.restart()

    def restart(self) -> None:
        """Restart the count."""
        self._marks = {plane.name: AuditLog(plane.audit_log).mark() for plane in self._planes}

    def count(self) -> Counter[Asked]:
        """The number of requests of each kind; a watch counts when it ends."""
        return Counter(
            Asked(plane, event.verb, _full(event))
            for plane, mark in self._marks.items()
            for event in mark.events()
            if self._is_ours(event)
        )

    async def quiet(self, seconds: float = 2.0, *, within: float = 300.0) -> None:
        """Wait until there was no request for a while.

        Raises:
            BedError: that never was so.
        """
        began = last = time.monotonic()
        while time.monotonic() - last < seconds:
            marks = [AuditLog(plane.audit_log).mark() for plane in self._planes]
            await asyncio.sleep(0.2)
            if any(self._is_ours(event) for mark in marks for event in mark.events()):
                last = time.monotonic()
            if time.monotonic() - began > within:
                raise BedError(f"the controller was not idle within {within:g} s")

    def _is_ours(self, event: AuditEvent) -> bool:
        return event.user == self._user and event.resource not in _BY_THE_CLOCK


def _full(event: AuditEvent) -> str:
    return f"{event.resource}/{event.subresource}" if event.subresource else event.resource


def on(requests: Counter[Asked], plane: str) -> int:
    """The number of requests to one plane."""
    return sum(count for asked, count in requests.items() if asked.plane == plane)


class Usage(NamedTuple):
    """CPU and memory of a process.

    Attributes:
        cpu_seconds: in user and kernel mode, of the threads that it has now.
        peak_mib: resident at most.
    """

    cpu_seconds: float
    peak_mib: float


def usage(process: ControllerProcess) -> Usage:
    """Raises ProcessFailed if it does not run."""
    if process.pid is None:
        raise ProcessFailed(f"{process.name} does not run:\n{process.tail()}")
    proc = Path("/proc") / str(process.pid)
    tasks = [task.joinpath("schedstat").read_text() for task in proc.joinpath("task").iterdir()]
    memory = dict(line.split(":", 1) for line in proc.joinpath("status").read_text().splitlines())
    return Usage(
        sum(int(task.split()[0]) for task in tasks) / 1e9,
        int(memory["VmHWM"].split()[0]) / 1024,
    )
