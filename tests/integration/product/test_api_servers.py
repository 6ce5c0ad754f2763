"""API servers that go away and come back: nothing is lost meanwhile, and everything arrives afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from testbed import Bed
from tests.support.fleet import (
    CLUSTERS,
    Space,
    condition_of,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)
from tests.support.traffic import idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import ControllerProcess

from tests.integration.product.conftest import AT_ONCE, Run, starting

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def run(mortal_bed: Bed) -> AsyncIterator[Run]:
    """See :func:`starting`."""
    async with starting(mortal_bed) as start:
        yield start


async def offered(bed: Bed) -> Space:
    """A service of member1 that member2 consumes, dispatched."""
    space = await Space.make(bed)
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    await space.succeeded("web")
    return space


async def is_unconfirmed(process: ControllerProcess) -> bool:
    """Whether `/readyz` says that caches of the control plane may be out of date."""
    async with aiohttp.ClientSession() as session, session.get(f"{process.health_url}/readyz") as answer:
        text = await answer.text()
    return answer.status == 500 and "works.v1alpha1.work.karmada.io not confirmed for" in text


async def ready(bed: Bed, cluster: str) -> tuple[str, str]:
    """Status and reason of a Cluster's condition Ready."""
    return condition_of(await bed.host.api.get(CLUSTERS, cluster), "Ready")[:2]


async def test_a_restarted_control_plane_finds_the_controller_alive_and_watching(mortal_bed, run):
    """As long as the restart is shorter than the renew deadline, which has to be long where the machine is slow."""
    process = await run(
        "through-restart",
        "--leader-elect-lease-duration=120s",
        "--leader-elect-renew-deadline=100s",
    )
    space = await offered(mortal_bed)
    await mortal_bed.host.stop_apiserver()
    # While nobody can be told, things go on happening.
    await space.set_addresses("member1", "web-a", ["192.0.2.2"])
    await mortal_bed.host.start_apiserver()
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}]})
    await space.dispatched_are("member2", {})
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member2"}]})
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})
    assert process.pid is not None
    assert await process.terminate() == 0


async def test_a_control_plane_that_stays_away_ends_the_leader_with_1_and_a_new_process_goes_on(mortal_bed, run):
    process = await run("lost")
    standby = await run("lost-standby")
    space = await offered(mortal_bed)
    await mortal_bed.host.kill_apiserver()
    await space.set_addresses("member1", "web-a", ["192.0.2.3"])
    # When no condition can be written, whoever ends is named by its end, and whoever stays by its probe and its log.
    assert await process.wait() == 1
    assert "Lost the lease" in process.log.read_text()
    await eventually("a probe that names it", lambda: is_unconfirmed(standby), True)
    assert "Objects of the control plane may be out of date" in standby.log.read_text()
    await standby.kill()

    # Started while the control plane is still away, it waits for it.
    again = await run("again", ready=False)
    await mortal_bed.host.start_apiserver()
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.3"]})
    assert await again.terminate() == 0


async def test_opening_15_endpoints_of_an_unreachable_provider_stay_and_its_first_change_arrives(mortal_bed, run):
    process = await run("outage", AT_ONCE)
    space = await offered(mortal_bed)
    provider = mortal_bed.members["member1"]
    await provider.kill_apiserver()
    await eventually("member1 not ready", lambda: ready(mortal_bed, "member1"), ("False", "ClusterNotReachable"))
    # Whatever else happens, nothing of it is withdrawn: the Service gets another consumer, and the controller restarts.
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}, {"name": "member2"}]})
    await eventually(
        "the condition that names it",
        lambda: space.condition("web", "ServiceApplied"),
        (
            "True",
            "ServiceAppliedSucceed",
            "Service is propagated to target clusters. "
            "Skipped: member1: the cluster is not reachable, see its condition Ready.",
        ),
    )
    assert await process.terminate() == 0
    await process.start()
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member2"}]})
    await idle_but_for_retries(process)
    assert await space.dispatched("member2") == {"member1-web-a": ["192.0.2.1"]}

    await provider.start_apiserver()
    await space.set_addresses("member1", "web-a", ["192.0.2.4"])
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.4"]})
    await eventually("member1 ready", lambda: ready(mortal_bed, "member1"), ("True", "ClusterReady"))
    await eventually(
        "a condition without it",
        lambda: space.condition("web", "ServiceApplied"),
        ("True", "ServiceAppliedSucceed", "Service is propagated to target clusters."),
    )
    assert await process.terminate() == 0


async def idle_but_for_retries(process: ControllerProcess) -> None:
    """Wait until it has done what can be done: it leads, and has seen what there is."""
    await idle(process)


async def test_what_a_consumer_missed_while_it_was_away_is_made_up_for(mortal_bed, run):
    process = await run("consumer", AT_ONCE)
    space = await offered(mortal_bed)
    consumer = mortal_bed.members["member2"]
    await consumer.kill_apiserver()
    await space.set_addresses("member1", "web-a", ["192.0.2.5"])
    await space.create_in("member1", endpointslice("web-b", "web", ["192.0.2.6"]))
    await eventually("member2 not ready", lambda: ready(mortal_bed, "member2"), ("False", "ClusterNotReachable"))
    await consumer.start_apiserver()
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.5"], "member1-web-b": ["192.0.2.6"]})
    await eventually("member2 ready", lambda: ready(mortal_bed, "member2"), ("True", "ClusterReady"))
    await space.succeeded("web")
    assert await process.terminate() == 0
