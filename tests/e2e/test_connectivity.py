"""`mcsctl connectivity test` where Pods answer: the walkthrough as the acceptance test of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.mcsctl.calls import mcsctl

if TYPE_CHECKING:
    from tests.e2e.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_client_in_one_member_reaches_a_server_in_the_other(world: World):
    planes = (world.bed.host, *world.bed.members.values())
    kubeconfig = ":".join(str(plane.access.kubeconfig) for plane in planes)
    flags = ("--provider", "member1", "--consumer", "member2")
    said = (await mcsctl("--context", "karmada", "connectivity", "test", *flags, kubeconfig=kubeconfig)).splitlines()
    assert [line for line in said if "✗" in line] == []
    assert said[-1].startswith("✓ everything works")
    assert "no traffic" not in said[-1]
