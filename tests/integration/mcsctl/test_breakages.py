"""Each rule of diagnosis on real API servers: one link is broken, its code is the verdict, the printed fix mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import SERVICES

if TYPE_CHECKING:
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def mends(patient: Patient, code: str) -> None:
    """The verdict is this code alone, and its fix, pasted, leads back to health."""
    finding = await patient.verdict_is(code)
    assert finding.fix
    await patient.paste(finding.fix)
    await patient.healthy()


async def test_breakage_1_a_consumer_that_is_misspelled(patient: Patient):
    await patient.space.patch_mcs("web", {"consumerClusters": [{"name": "membr2"}]})
    await mends(patient, "MCS033")


async def test_breakage_2_the_service_is_missing(patient: Patient):
    await patient.space.host.delete(SERVICES, "web", namespace=patient.space.namespace)
    await mends(patient, "MCS031")
