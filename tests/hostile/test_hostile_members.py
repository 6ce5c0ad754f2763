"""Members that attack the controller do not hurt services that do not involve them. docs/security.md has the table."""

from __future__ import annotations

import resource
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import Bed, NotYet, karmada, wait_for
from testbed.hostile_member import ATTACKS, hostile_member
from tests.support.fleet import CLUSTERS, EVENTS, MCS, SECRETS, Space, endpointslice, gone, multiclusterservice, service

if TYPE_CHECKING:
    from tests.integration.product.conftest import Run

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1200)]

NAMES = {
    f"hostile-{attack}-{number}": attack
    for attack in ATTACKS
    for number in ((1, 2, 3) if attack.startswith("endless") else (1,))
}
LIMIT_BYTES = 640 << 20
"""Of a Deployment of which 256 MiB are for the caches of members by default."""

SLOW = [name for name, attack in NAMES.items() if attack == "slow"]

ENDLESS = {name for name, attack in NAMES.items() if attack.startswith("endless")}


def most_memory(pid: int | None) -> int:
    """Bytes that the process ever had resident."""
    [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


async def test_members_that_attack_hurt_no_service_of_others(fleet_bed: Bed, run: Run) -> None:
    host = fleet_bed.host.api
    process = await run("attacked", "--member-cache-memory=256Mi")
    assert process.pid is not None
    # What it asks the kernel for beyond that fails; the stacks of threads count, too.
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (LIMIT_BYTES + (256 << 20),) * 2)
    space = await Space.make(fleet_bed)
    stack = AsyncExitStack()
    try:
        # A process for each, so that no attack waits for another one.
        hostile = {attack: await stack.enter_async_context(hostile_member(fleet_bed.root)) for attack in ATTACKS}
        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
        for name, attack in NAMES.items():
            url, ca_pem = hostile[attack]
            await karmada.register(fleet_bed, name, f"{url}/{attack}/{name}", "x", ca_pem)
        await space.create(service("bait"), multiclusterservice("bait", NAMES, ["member2"]))
        await space.create(service("slow"), multiclusterservice("slow", ["member1"], [*SLOW, "member2"]))
        await space.create_in("member1", endpointslice("slow-a", "slow", ["192.0.2.200"]))
        await space.dispatched_are("member2", {"member1-slow-a": ["192.0.2.200"]}, "slow")

        async def named() -> bool:
            events = await host.list(EVENTS, field_selector="reason=ClusterCacheFull")
            told = {one["involvedObject"]["name"] for one in events}
            if not told >= ENDLESS:
                raise NotYet(f"caches of {sorted(ENDLESS - told)} have not been full")
            return True

        number = 1
        for _ in range(3):
            number += 1
            await space.set_addresses("member1", "web-a", [f"192.0.2.{number}"])
            await space.dispatched_are("member2", {"member1-web-a": [f"192.0.2.{number}"]}, "web")
        await wait_for("the Clusters with endless lists to be named", named, 600)
        number += 1
        await space.set_addresses("member1", "web-a", [f"192.0.2.{number}"])
        await space.dispatched_are("member2", {"member1-web-a": [f"192.0.2.{number}"]}, "web")
        assert process.pid is not None, f"the controller ended:\n{process.tail()}"
        assert most_memory(process.pid) < LIMIT_BYTES
        log = process.log.read_text()
        assert "Lost the lease" not in log
        assert "Traceback" not in log
        assert len(log) < 4 << 20
    finally:
        await stack.aclose()
        for bait in ("bait", "slow"):
            await host.delete(MCS, bait, namespace=space.namespace, missing_ok=True)
            await gone(host, MCS, bait, space.namespace)
        for name in NAMES:
            await host.delete(CLUSTERS, name)
            await host.delete(SECRETS, name, namespace=karmada.CLUSTER_NAMESPACE)
        await space.remove()
        for name in NAMES:
            await gone(host, CLUSTERS, name)
