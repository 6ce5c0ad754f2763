"""What a change costs the API servers, counted in their audit logs, and that a restart of a steady world is free."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed import Bed, ControllerProcess
from tests.integration.product.conftest import IMPATIENT, UNLIMITED
from tests.support.fleet import (
    CLUSTERS,
    EVENTS,
    Space,
    at_rest,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)
from tests.support.traffic import Asked, Traffic, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHERS = 30

# The collected Work, the dispatched Work, and the slice itself. Nothing is read, and no status changes.
ONE_CHANGE = Counter(
    {
        Asked("karmada", "patch", "works"): 2,
        Asked("member2", "patch", "endpointslices"): 1,
    }
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def controller(fleet_bed: Bed) -> AsyncIterator[ControllerProcess]:
    """Without limits of its own: how many requests there are is counted here, not how fast they go."""
    kubeconfig = fleet_bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=fleet_bed.root, extra_args=[*IMPATIENT, *UNLIMITED]) as process:
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def steady(fleet_bed: Bed, controller: ControllerProcess) -> AsyncIterator[Space]:
    """A world of some services, one of them broken, in which nothing happens any more."""
    space = await Space.make(fleet_bed)
    await at_rest(fleet_bed, but=space)
    await offer(space, "web", 1)
    await space.create(multiclusterservice("early", ["member1"], ["member2"]))
    await space.create(service("everywhere"), multiclusterservice("everywhere"))
    await space.create_in("member1", endpointslice("everywhere-a", "everywhere", ["203.0.113.1"]))
    await space.create_in("member2", endpointslice("everywhere-a", "everywhere", ["203.0.113.2"]))
    await arrived(space, "web", 1)
    await space.dispatched_are("member1", {"member2-everywhere-a": ["203.0.113.2"]}, "everywhere")
    await space.dispatched_are("member2", {"member1-everywhere-a": ["203.0.113.1"]}, "everywhere")
    await eventually(
        "the condition of a service of all clusters",
        lambda: space.condition("everywhere", "EndpointSliceDispatched"),
        ("True", "EndpointSliceDispatchedSucceed", "EndpointSlice are dispatched successfully"),
    )
    await eventually(
        "the condition of a service without Service",
        lambda: space.condition("early", "ServiceApplied"),
        (
            "False",
            "ServiceAppliedFailed",
            f"Service {space.namespace}/early does not exist; create it in the control plane",
        ),
    )
    await idle(controller, Traffic(fleet_bed))
    yield space
    await space.remove()


async def offer(space: Space, name: str, number: int) -> None:
    """A service with a hand-made slice in member1, for member2."""
    await space.create(service(name), multiclusterservice(name, ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice(f"{name}-a", name, [f"192.0.2.{number}"]))


async def arrived(space: Space, name: str, number: int) -> None:
    await space.dispatched_are("member2", {f"member1-{name}-a": [f"192.0.2.{number}"]}, name)
    await space.succeeded(name)


async def events_with_counts(space: Space) -> dict[str, int]:
    """Of the world's namespace and of its clusters: elsewhere those of earlier tests are on their way out."""
    namespaces = [space.namespace, "default", *(f"karmada-es-{cluster}" for cluster in space.bed.members)]
    found = [each for namespace in namespaces for each in await space.host.list(EVENTS, namespace=namespace)]
    return {each["metadata"]["name"]: each["count"] for each in found if "count" in each}


async def test_opening_06_a_restart_in_a_steady_world_writes_nothing_at_all(controller, steady):
    """No object of any kind, on any API server, and no event; not even for what is broken."""
    events = await events_with_counts(steady)
    assert events
    assert await controller.terminate() == 0
    traffic = Traffic(steady.bed)
    await controller.start()
    await idle(controller, traffic)
    assert traffic.told() == ""
    assert await events_with_counts(steady) == events
    # ... and it is not asleep.
    await steady.set_addresses("member1", "web-a", ["192.0.2.77"])
    await steady.dispatched_are("member2", {"member1-web-a": ["192.0.2.77"]}, "web")


async def cost_of(space: Space, controller: ControllerProcess, addresses: list[str]) -> Counter[Asked]:
    """What it takes, from the first request to the last, to bring a provider's endpoints into the consumer."""
    traffic = Traffic(space.bed)
    await space.set_addresses("member1", "web-a", addresses)
    await space.dispatched_are("member2", {"member1-web-a": addresses}, "web")
    await idle(controller, traffic)
    return traffic.requests()


async def test_opening_08_one_changed_endpoint_costs_two_writes_and_no_read_among_many_services(controller, steady):
    await idle(controller, Traffic(steady.bed))
    assert await cost_of(steady, controller, ["192.0.2.1", "192.0.2.200"]) == ONE_CHANGE
    assert await cost_of(steady, controller, ["192.0.2.200"]) == ONE_CHANGE

    others = [(f"other-{number}", 2 + number) for number in range(OTHERS)]
    async with asyncio.TaskGroup() as group:
        for name, number in others:
            group.create_task(offer(steady, name, number))
    for name, number in others:
        await arrived(steady, name, number)
    await idle(controller, Traffic(steady.bed))
    assert await cost_of(steady, controller, ["192.0.2.201"]) == ONE_CHANGE


async def test_opening_07_heartbeats_of_a_cluster_and_slices_of_nobodys_cost_nothing(controller, steady):
    await idle(controller, Traffic(steady.bed))
    traffic = Traffic(steady.bed)
    conditions = (await steady.host.get(CLUSTERS, "member1"))["status"]["conditions"]
    beat = {"type": "Heartbeat", "status": "True", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for number in range(3):
        status = {"conditions": [*conditions, beat | {"reason": f"Beat{number}"}]}
        await steady.host.patch(CLUSTERS, "member1", {"status": status}, subresource="status")
    await steady.create_in("member1", endpointslice("nobodys", "not-exported", ["192.0.2.9"]))
    await idle(controller, traffic)
    assert traffic.requests() == Counter()
