"""What the controller asks of API servers, from their audit logs, and how to know that it is done asking."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from informers.client.client import VERSIONS_LIMIT
from testbed import AuditEvent, AuditLog, AuditMark, Bed, ControllerProcess, WaitTimeout
from testbed.controlplane import ControlPlane
from testbed.karmada import CONTROLLER_USER

QUIET_SECONDS = 1.5
_LOOK_SECONDS = 0.25
_QUIET_LOOKS = int(QUIET_SECONDS / _LOOK_SECONDS)
"""Where each look takes long, news takes long, too: so many looks must find the same, however long that takes."""
_TIMED = frozenset({"cluster-status-controller", "cluster-controller"})
"""Controllers that work by the clock, also when nothing changes."""


LEADS = ("leader_election_master_status",)
_SAYS_ACTIVITY = (*LEADS, "workqueue_depth", "controller_runtime_active_workers", "controller_runtime_reconcile_total")


class Asked(NamedTuple):
    """One kind of request."""

    plane: str
    verb: str
    resource: str


def _planes(bed: Bed) -> list[ControlPlane]:
    return [bed.host, *bed.members.values()]


class Traffic:
    """All requests of the controller's user, on every plane, since this was made.

    Leases and watches do not count, nor the lists that silent watches are compared with, which informers ask for by the
    clock.
    """

    def __init__(self, bed: Bed) -> None:
        self._users = {CONTROLLER_USER}
        self._marks: dict[str, AuditMark] = {plane.name: AuditLog(plane.audit_log).mark() for plane in _planes(bed)}

    def events(self) -> Iterator[tuple[str, AuditEvent]]:
        """(plane, request)."""
        for plane, mark in self._marks.items():
            for event in mark.events():
                counts = event.resource not in ("", "leases") and event.verb != "watch" and not _compares(event)
                if event.user in self._users and counts:
                    yield plane, event

    def requests(self) -> Counter[Asked]:
        """How many requests of each kind."""
        return Counter(Asked(plane, event.verb, _full(event)) for plane, event in self.events())

    def writes(self) -> Counter[Asked]:
        """How many writes of each kind, failed ones too."""
        return Counter(Asked(plane, event.verb, _full(event)) for plane, event in self.events() if event.is_write)

    def told(self) -> str:
        """One line for each write, for failure messages."""
        return "\n".join(
            f"{plane}: {event.code} {event.verb} {event.uri}" for plane, event in self.events() if event.is_write
        )


def _compares(event: AuditEvent) -> bool:
    return event.verb == "list" and f"limit={VERSIONS_LIMIT}" in event.uri


def _full(event: AuditEvent) -> str:
    return f"{event.resource}/{event.subresource}" if event.subresource else event.resource


async def idle(controller: ControllerProcess, traffic: Traffic | None = None, *, timeout: float = 120.0) -> None:
    """Wait until the leader has had nothing to do for a while, other than what it does by the clock.

    It has nothing to do when no queue holds an item, no worker works, no reconcile has ended since the last look,
    and no request was made.
    """
    began = last_change = time.monotonic()
    looks = 0
    before: object = None
    while True:
        now = await _activity(controller), traffic.requests() if traffic is not None else None
        if now != before or now[0].busy or not now[0].leads:
            last_change, before, looks = time.monotonic(), now, 0
        elif (looks := looks + 1) >= _QUIET_LOOKS and time.monotonic() - last_change >= QUIET_SECONDS:
            return
        if time.monotonic() - began > timeout:
            raise WaitTimeout(f"{controller.name} has not come to rest within {timeout:g} s: {now}")
        await asyncio.sleep(_LOOK_SECONDS)


class _Activity(NamedTuple):
    leads: bool
    busy: float
    reconciles: tuple[tuple[str, float], ...]


async def _activity(controller: ControllerProcess) -> _Activity:
    busy = 0.0
    leads = []  # stays empty where no leader is elected
    reconciles: Counter[str] = Counter()
    for name, labels, value in await samples(controller, _SAYS_ACTIVITY):
        of = labels.get("controller", "")
        if name == "leader_election_master_status":
            leads.append(value > 0)
        elif name in ("workqueue_depth", "controller_runtime_active_workers") and of not in _TIMED:
            busy += value
        elif name == "controller_runtime_reconcile_total" and of not in _TIMED:
            reconciles[of] += int(value)
    return _Activity(all(leads), busy, tuple(sorted(reconciles.items())))


async def samples(
    controller: ControllerProcess, names: tuple[str, ...] = ()
) -> list[tuple[str, dict[str, str], float]]:
    """What `/metrics` says: name, labels and value of each, or of those that begin with one of the names.

    To parse all 2,000 lines takes 80 ms, which is too long for what is asked several times a second.
    """
    async with aiohttp.ClientSession() as session, session.get(controller.metrics_url) as response:
        lines = (await response.text()).splitlines(keepends=True)
    families = text_string_to_metric_families("".join(line for line in lines if not names or line.startswith(names)))
    return [(one.name, one.labels, one.value) for family in families for one in family.samples]


# --- permissions ------------------------------------------------------------------------------------------------------


class _Line(msgspec.Struct, rename="camel"):
    stage: str = ""
    verb: str = ""
    request_uri: str = msgspec.field(default="", name="requestURI")
    user: dict[str, object] = {}
    annotations: dict[str, str] = {}


_DECODER = msgspec.json.Decoder(_Line)


@dataclass(frozen=True)
class Refusals:
    """What RBAC forbade the controller from some moment on.

    Other reasons for a 403, such as quotas, or an event in a namespace that is being deleted, do not count.
    """

    offsets: Sequence[tuple[str, Path, int]]
    users: frozenset[str] = frozenset({CONTROLLER_USER})

    @classmethod
    def since_now(cls, bed: Bed) -> Refusals:
        return cls([(each.name, each.audit_log, AuditLog(each.audit_log).mark().offset) for each in _planes(bed)])

    @classmethod
    def ever(cls, bed: Bed, *others: str) -> Refusals:
        """Also of these users."""
        offsets = [(each.name, each.audit_log, 0) for each in _planes(bed)]
        return cls(offsets, frozenset({CONTROLLER_USER, *others}))

    def found(self) -> list[str]:
        """One line for each."""
        result = []
        for plane, path, offset in self.offsets:
            with path.open("rb") as log:
                log.seek(offset)
                for raw in log:
                    if not raw.endswith(b"\n"):
                        break
                    line = _DECODER.decode(raw)
                    forbidden = line.annotations.get("authorization.k8s.io/decision") == "forbid"
                    if forbidden and (user := line.user.get("username")) in self.users:
                        result.append(f"{plane}: {user} {line.verb} {line.request_uri}")
        return result
