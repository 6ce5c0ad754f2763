"""Beside Karmada's components there is a state in which nobody writes anything, and nobody fights on the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import pytest_asyncio

from testbed import ControllerProcess, NotYet, wait_for
from testbed.karmada import CONTROLLER_USER
from tests.integration.beside.conftest import starting
from tests.support.fleet import (
    BINDINGS,
    CLUSTERS,
    DEPLOYMENTS,
    PATIENCE_SECONDS,
    SERVICES,
    Space,
    deployment,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
)
from tests.support.neighbours_history import History, told
from tests.support.neighbours_objects import MCS_ID
from tests.support.neighbours_quiet import Writes, at_rest, beaten
from tests.support.traffic import idle, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Bed
    from tests.integration.beside.conftest import Run
    from tests.support.neighbours import Neighbours
    from tests.support.neighbours_aggregated import AggregatedClusters

pytestmark = pytest.mark.asyncio(loop_scope="session")


OURS = "mcs-controller-manager"
"""Our field manager."""


class World(NamedTuple):
    """A converged one."""

    bed: Bed
    space: Space
    neighbours: Neighbours
    history: History
    run: Run
    first: ControllerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(karmada_bed: Bed, neighbours: Neighbours, aggregated: AggregatedClusters) -> AsyncIterator[World]:
    """Services of several kinds, made and changed, at rest; one of them never works."""
    space = await Space.make(karmada_bed)
    kubeconfig = aggregated.kubeconfig(karmada_bed.root / "fixed.kubeconfig")
    async with History(karmada_bed) as history, starting(karmada_bed, kubeconfig) as run:
        ours = await run("fixed")
        await space.create_in("member1", deployment("nginx", 2))
        await space.create(service("nginx", selector={"app": "nginx"}))
        await space.create(multiclusterservice("nginx", ["member1"], ["member2"]))
        await space.create(service("all"), multiclusterservice("all"))
        await space.create(multiclusterservice("early", ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice("all-a", "all", ["203.0.113.1"]))
        await space.create_in("member2", endpointslice("all-a", "all", ["203.0.113.2"]))
        await space.dispatched_are("member1", {"member2-all-a": ["203.0.113.2"]}, "all")
        await space.dispatched_are("member2", {"member1-all-a": ["203.0.113.1"]}, "all")
        await followed(space, 2)
        await space.succeeded("nginx")
        await space.succeeded("all")
        # Everybody has a reason to write.
        await space.host.patch(SERVICES, "nginx", {"metadata": {"labels": {"team": "a"}}}, namespace=space.namespace)
        await space.host.patch(CLUSTERS, "member2", {"metadata": {"labels": {"region": "x"}}})
        fewer = {"spec": {"replicas": 1}}
        await space.member("member1").patch(DEPLOYMENTS, "nginx", fewer, namespace=space.namespace)
        await followed(space, 1)
        await space.patch_mcs("all", {"consumerClusters": [{"name": "member2"}]})
        await space.dispatched_are("member1", {}, "all")
        await at_rest(karmada_bed, neighbours)
        yield World(karmada_bed, space, neighbours, history, run, ours)
    await space.remove()


async def followed(space: Space, count: int) -> None:
    """Wait until member1 has so many endpoints of nginx, and member2 the same."""
    addresses = await space.ready_addresses("member1", count, "nginx")

    async def probe() -> bool:
        found = await space.dispatched("member2", "nginx")
        if list(found.values()) != [addresses]:
            raise NotYet(f"{found}, not {addresses}")
        return True

    await wait_for("the endpoints of nginx in member2", probe, PATIENCE_SECONDS)


async def test_every_field_that_ours_writes_has_no_other_writer(world: World):
    assert any(OURS in names for names in world.history.writers().values())
    contested = {field: names for field, names in world.history.contested().items() if OURS in names}
    assert contested == {}, told(contested.items())


async def test_nobody_writes_as_long_as_nothing_changes(world: World):
    writes = Writes(world.bed)
    await beaten(world.neighbours, 20)
    assert writes.told() == ""
    assert world.neighbours.failures() == {}
    # ... and nobody is asleep.
    await world.space.set_addresses("member1", "all-a", ["203.0.113.9"])
    await world.space.dispatched_are("member2", {"member1-all-a": ["203.0.113.9"]}, "all")
    await at_rest(world.bed, world.neighbours)


async def test_binding_that_a_conversion_webhook_has_rewritten_is_left_alone(world: World):
    calls = world.neighbours.webhook.calls["/convert"]
    older = BINDINGS.replace("v1alpha2", "v1alpha1")
    body = {"metadata": {"annotations": {"example.com/older": "yes"}}}
    writes = Writes(world.bed)
    await world.space.host.patch(older, "nginx-service", body, namespace=world.space.namespace)
    await beaten(world.neighbours, 6)
    assert world.neighbours.webhook.calls["/convert"] > calls
    assert writes.counted(CONTROLLER_USER) == {}, writes.told()


async def test_new_id_that_the_webhook_gives_is_followed_everywhere_without_a_gap(world: World):
    space, began = world.space, len(world.history.log)
    former = await space.mcs("all")
    bare = {**former, "metadata": {key: value for key, value in former["metadata"].items() if key != "labels"}}
    present = (await space.host.replace(bare))["metadata"]["labels"][MCS_ID]
    assert present != former["metadata"]["labels"][MCS_ID]

    async def ids() -> set[str]:
        found = [
            await space.host.get(SERVICES, "all", namespace=space.namespace),
            await space.host.get(BINDINGS, "all-service", namespace=space.namespace),
            *[
                work
                for member in ("member1", "member2")
                for work in await space.works(member, "MultiClusterService")
                if work["metadata"]["labels"]["multiclusterservice.karmada.io/name"] == "all"
            ],
        ]
        assert len(found) == 4
        return {one["metadata"]["labels"][MCS_ID] for one in found}

    await eventually("the new id", ids, {present})
    await at_rest(world.bed, world.neighbours)
    assert world.history.fewest("member2", f"{space.namespace}/all", began) == 2  # its own, and that of member1


async def test_neither_restart_nor_resync_writes_anything(world: World):
    writes = Writes(world.bed)
    assert await world.first.terminate() == 0
    again = await world.run("fixed-again")
    await idle(again)
    await beaten(world.neighbours, 4)
    assert writes.told() == ""
    assert await again.terminate() == 0
    again = await world.run("fixed-resync", "--resync-period=1s")

    async def reconciled() -> bool | None:
        count = sum(
            value
            for name, labels, value in await samples(again)
            if name == "controller_runtime_reconcile_total" and labels["controller"] == "multiclusterservice-controller"
        )
        return True if count >= 12 else None  # three services, once at the start and at least three times after it

    await wait_for("some resyncs", reconciled, 60)
    await beaten(world.neighbours, 4)
    assert writes.told() == ""
