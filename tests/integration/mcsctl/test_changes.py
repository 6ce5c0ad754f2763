"""No false alarm in the middle of ordinary changes: what is on its way is said to be so, and not to be broken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mcs_controller.diagnosis.findings import Severity
from testbed import NotYet, wait_for
from tests.integration.mcsctl.conftest import YOUNG
from tests.support.fleet import DEPLOYMENTS, PATIENCE_SECONDS, Object

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

USUAL_SECONDS = 15.0


async def errors_until(patient: Patient, done: asyncio.Event) -> list[str]:
    """What diagnoses call broken, one after the other, until the changes are done."""
    found: list[str] = []
    looks = 0
    while not done.is_set() or not looks:
        looks += 1
        diagnosis = await patient.doctor()
        found += [f"{one.code} {one.problem}" for one in diagnosis.findings if one.severity is Severity.ERROR]
    return found


async def delivered(patient: Patient, count: int, *, but: Collection[str] = ()) -> set[str]:
    """Wait until the consumer has so many addresses, none of which is one of these."""

    async def probe() -> set[str]:
        seen = {one for each in (await patient.space.dispatched("member2", "web")).values() for one in each}
        if len(seen) != count or not seen.isdisjoint(but):
            raise NotYet(f"{seen}")
        return seen

    return await wait_for(f"{count} other endpoints in the consumer", probe, PATIENCE_SECONDS)


async def test_scaling_a_rolling_update_and_a_restart_are_not_called_broken(
    shared: Patient, monkeypatch: pytest.MonkeyPatch
):
    for name in YOUNG:
        monkeypatch.setattr(name, USUAL_SECONDS)  # people's changes have people's time
    member, namespace, done = shared.space.member("member1"), shared.space.namespace, asyncio.Event()

    async def change(spec: Object) -> None:
        await member.patch(DEPLOYMENTS, "web", {"spec": spec}, namespace=namespace)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(errors_until(shared, done))
        await change({"replicas": 4})
        before = await delivered(shared, 4)
        await change({"template": {"metadata": {"annotations": {"example.com/version": "2"}}}})
        await delivered(shared, 4, but=before)
        await change({"replicas": 1})
        await delivered(shared, 1)
        await shared.process.terminate()
        await shared.process.start()
        await change({"replicas": 2})
        await delivered(shared, 2)
        await change({"replicas": 1})
        await delivered(shared, 1)
        done.set()
    assert looking.result() == []
    await shared.healthy()
