"""Each rule of diagnosis on real API servers: one link is broken, its code is the verdict, the printed fix mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from tests.support.fleet import SERVICES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcs_controller.diagnosis.findings import Finding
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def mends(
    patient: Patient,
    code: str,
    *,
    service_name: str = "web",
    finding: Finding | None = None,
    then: Callable[[], Awaitable[object]] | None = None,
) -> str:
    """The verdict is this code alone, and its fix, pasted, leads back to health.

    The documentation of each code names the tests that call this with it.

    Args:
        patient: whose service it is.
        code: of the finding.
        service_name: empty for the installation.
        finding: what was found already, where it is no verdict.
        then: what a part that the bed lacks would do now, such as to run the Pods of a Deployment.

    Returns:
        What the fix printed.
    """
    found = finding or await patient.verdict_is(code, service_name)
    assert found.code == code
    assert found.fix
    printed = await patient.paste(found.fix)
    if then is not None:
        await then()
    await patient.healthy(service_name)
    return printed


async def test_breakage_1_a_consumer_that_is_misspelled(shared: Patient):
    await shared.space.patch_mcs("web", {"consumerClusters": [{"name": "membr2"}]})
    await mends(shared, "MCS033")


async def test_breakage_2_the_service_is_missing(patient: Patient):
    await patient.space.host.delete(SERVICES, "web", namespace=patient.space.namespace)
    await mends(patient, "MCS031")


async def test_a_service_that_is_misspelled(shared: Patient):
    finding = await shared.verdict_is("MCS030", "wbe")
    assert "did you mean web?" in finding.problem
    assert "Healthy" in await mends(shared, "MCS030", finding=finding)


async def test_breakage_17_the_kubeconfig_of_a_member(shared: Patient):
    options = AccessOptions(kubeconfig=shared.kubeconfig, context="member1")
    diagnosis = await run_doctor(options, (shared.space.namespace, "web"))
    assert [one.code for one in diagnosis.findings if one.severity is Severity.ERROR] == ["MCS001"]
    assert "Healthy" in await mends(shared, "MCS001", finding=diagnosis.verdict)
