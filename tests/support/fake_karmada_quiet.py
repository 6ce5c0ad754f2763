"""Whether a world is at rest: who still writes what, by the audit logs of all planes."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from testbed import AuditEvent, AuditLog, Bed, NotYet, WaitTimeout, wait_for
from tests.support.fake_karmada import FakeKarmada


class Written(NamedTuple):
    """One kind of write, failed ones too."""

    plane: str
    user: str
    verb: str
    resource: str


class Writes:
    """All writes on all planes since this was made, but for Leases and the heartbeats of Clusters."""

    def __init__(self, bed: Bed) -> None:
        planes = [bed.host, *bed.members.values()]
        self._marks = {plane.name: AuditLog(plane.audit_log).mark() for plane in planes}

    def events(self) -> Iterator[tuple[str, AuditEvent]]:
        """(plane, request)."""
        for plane, mark in self._marks.items():
            for event in mark.events():
                if event.is_write and event.resource not in ("", "leases") and not _is_machinery(event):
                    yield plane, event

    def counted(self, user: str = "") -> Counter[Written]:
        """How many of each kind, by one user or by all."""
        return Counter(
            Written(plane, event.user, event.verb, "/".join(filter(None, (event.resource, event.subresource))))
            for plane, event in self.events()
            if not user or event.user == user
        )

    def told(self, user: str = "") -> str:
        """One line for each, for failure messages."""
        return "\n".join(
            f"{plane}: {event.user} {event.code} {event.verb} {event.uri}"
            for plane, event in self.events()
            if not user or event.user == user
        )


def _is_machinery(event: AuditEvent) -> bool:
    """Heartbeats, and what API servers write for themselves."""
    heartbeat = event.resource == "clusters" and event.subresource == "status"
    return heartbeat or event.user == "system:apiserver"


async def at_rest(bed: Bed, fake_karmada: FakeKarmada, *, beats: int = 6, timeout: float = 180.0) -> None:
    """Wait until nobody has written anything during so many heartbeats, and all of fake Karmada is well.

    Raises:
        WaitTimeout: somebody writes again and again; the text has the last writes.
    """
    told = ""
    try:
        async with asyncio.timeout(timeout):
            while True:
                writes = Writes(bed)
                await wait_heartbeats(fake_karmada, beats)
                told = writes.told()
                if not told and not fake_karmada.failures():
                    return
    except TimeoutError:
        raise WaitTimeout(f"the world does not come to rest: {told[-3000:]}\n{fake_karmada.failures()}") from None


async def no_failures(fake_karmada: FakeKarmada) -> None:
    """Wait until nothing of fake Karmada fails: a write that another one overtook is tried again."""

    async def probe() -> bool:
        if failures := fake_karmada.failures():
            raise NotYet(f"{failures}")
        return True

    await wait_for("fake Karmada to be well", probe)


async def wait_heartbeats(fake_karmada: FakeKarmada, beats: int) -> None:
    """Wait for so many heartbeats."""
    last = fake_karmada.keeper.beats + beats

    async def reached() -> bool | None:
        return True if fake_karmada.keeper.beats >= last else None

    await wait_for(f"{beats} heartbeats", reached, 60 + 10 * beats)
