"""The installation's own acceptance test, without a data plane: to the EndpointSlices of the consumer."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from testbed import NotYet, wait_for
from tests.integration.mcsctl.calls import ROOT, environment, mcsctl, run
from tests.support.fleet import MCS, NAMESPACES, PATIENCE_SECONDS
from tests.support.no_findings import kubeconfig_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def nothing_is_left(bed) -> None:
    """Wait until no namespace of a test is there, on any plane."""

    async def probe() -> bool:
        for plane in (bed.host, *bed.members.values()):
            names = [one["metadata"]["name"] for one in await plane.api.list(NAMESPACES)]
            if left := [name for name in names if name.startswith("mcs-connectivity-")]:
                raise NotYet(f"{plane.name} has {left}")
        return True

    await wait_for("nothing to be left", probe, PATIENCE_SECONDS)


async def test_a_service_of_its_own_works_and_is_removed(doctors_bed):
    bed, _ = doctors_bed
    said = await mcsctl("--context", "karmada", "connectivity", "test", "--no-traffic", kubeconfig=kubeconfig_of(bed))
    steps = said.splitlines()
    assert "✓ 1 ready endpoints of member1 are in member2" in steps
    assert "✓ 2 ready endpoints of member1 are in member2" in steps
    assert steps.count("✓ the diagnosis has no findings") == 2
    assert "✓ without a MultiClusterService member2 has no endpoints" in steps
    assert steps[-1] == "✓ everything works as far as it was tried: no traffic was sent"
    await nothing_is_left(bed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_nothing_is_left_if_it_is_interrupted(doctors_bed, number: signal.Signals):
    bed, _ = doctors_bed
    # As in a terminal, and as in the background of a script, where a shell makes Ctrl-C ignored.
    ctrl_c = "--default-signal=INT" if number is signal.SIGINT else "--ignore-signal=INT"
    process = await asyncio.create_subprocess_exec(
        *("env", ctrl_c, sys.executable, "-m", "mcs_controller.mcsctl.main", "--context", "karmada"),
        *("connectivity", "test", "--no-traffic"),
        env=environment(kubeconfig_of(bed)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )

    async def deployed() -> bool:
        found = [one["metadata"]["namespace"] for one in await bed.host.api.list(MCS)]
        if not any(one.startswith("mcs-connectivity-") for one in found):
            raise NotYet(f"{found}")
        return True

    await wait_for("it to have begun", deployed, 2 * PATIENCE_SECONDS)
    process.send_signal(number)
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    await nothing_is_left(bed)


async def test_members_that_are_not_there(doctors_bed):
    bed, _ = doctors_bed
    for flags in (("--provider", "membr1"), ("--provider", "member1", "--consumer", "member1")):
        answer = await run("--context", "karmada", "connectivity", "test", *flags, kubeconfig=kubeconfig_of(bed))
        assert answer.code == 2
        assert "Ready are: member1, member2" in answer.err
