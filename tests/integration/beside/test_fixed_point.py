"""Beside Karmada's components there is a state in which nobody writes anything, and nobody fights on the way to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from testbed import ControllerProcess, NotYet, wait_for
from testbed.karmada import CONTROLLER_USER
from tests.integration.beside.conftest import starting
from tests.support.fake_karmada_history import History, told
from tests.support.fake_karmada_objects import MCS_ID, WORK_ID, labels_of
from tests.support.fake_karmada_quiet import Writes, at_rest, no_failures, wait_heartbeats
from tests.support.fleet import (
    BINDINGS,
    CLUSTERS,
    DEPLOYMENTS,
    EXPORTS,
    IMPORTS,
    PATIENCE_SECONDS,
    SERVICES,
    SLICES,
    Space,
    addresses_of,
    deployment,
    endpointslice,
    eventually,
    multiclusterservice,
    service,
    serviceexport,
    serviceimport,
)
from tests.support.no_findings import BESIDE
from tests.support.traffic import idle, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Bed
    from tests.integration.beside.conftest import Run
    from tests.support.fake_karmada import FakeKarmada
    from tests.support.fake_karmada_aggregated import AggregatedClusters

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]

POLICY = "4943a72a-e372-4c3e-bf4e-83659b3278a6"
"""Permanent id of a policy."""

OURS = "mcs-controller-manager"
"""Our field manager."""


class World(NamedTuple):
    """A converged one."""

    bed: Bed
    space: Space
    fake_karmada: FakeKarmada
    history: History
    run: Run
    first: ControllerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(karmada_bed: Bed, fake_karmada: FakeKarmada, aggregated: AggregatedClusters) -> AsyncIterator[World]:
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
        await space.succeeded("nginx", but=BESIDE)
        await space.succeeded("all", but=BESIDE)
        # Everybody has a reason to write.
        await space.host.patch(SERVICES, "nginx", {"metadata": {"labels": {"team": "a"}}}, namespace=space.namespace)
        await space.host.patch(CLUSTERS, "member2", {"metadata": {"labels": {"region": "x"}}})
        fewer = {"spec": {"replicas": 1}}
        await space.member("member1").patch(DEPLOYMENTS, "nginx", fewer, namespace=space.namespace)
        await followed(space, 1)
        await space.patch_mcs("all", {"consumerClusters": [{"name": "member2"}]})
        await space.dispatched_are("member1", {}, "all")
        await preferred(space)
        await exported(space, fake_karmada, "shared")
        await exported(space, fake_karmada, "plain")
        await at_rest(karmada_bed, fake_karmada)
        yield World(karmada_bed, space, fake_karmada, history, run, ours)
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


async def preferred(space: Space) -> None:
    """A service whose consumer answers itself: the other provider's copy is there without endpoints, and had some."""
    tiers = {"tiers": "local", "hand-back-after": "1s", "hand-back-every": "1s"}
    near = multiclusterservice("near", ["member1", "member2"], ["member2"])
    near["metadata"]["annotations"] = {f"multiclusterservice.karmada.io/{key}": text for key, text in tiers.items()}
    await space.create(service("near"), near)
    await space.create_in("member1", endpointslice("near-a", "near", ["203.0.113.20"]))
    await space.dispatched_are("member2", {"member1-near-a": ["203.0.113.20"]}, "near")
    await space.create_in("member2", endpointslice("near-a", "near", ["203.0.113.21"]))
    await space.dispatched_are("member2", {"member1-near-a": []}, "near")


async def exported(space: Space, fake_karmada: FakeKarmada, name: str) -> None:
    """Export a Service from member1 and bring what is imported to member2, by policies; "shared" also has an MCS.

    Also the derived Service and the imported slice carry a policy's marks. Then they change.
    """
    await space.create(service(name), serviceexport(name), serviceimport(name))
    slice_name, imported_name = f"{name}-a", f"imported-member1-{name}-a"
    if name == "shared":
        await space.create(multiclusterservice(name, ["member1"], ["member2"]))
    else:
        await propagated(space, fake_karmada, SERVICES, name, "member1")
    await propagated(space, fake_karmada, EXPORTS, name, "member1")
    await space.create_in("member1", endpointslice(slice_name, name, ["203.0.113.5", "203.0.113.6"]))
    await propagated(space, fake_karmada, SERVICES, f"derived-{name}", "member2")
    await propagated(space, fake_karmada, SLICES, imported_name, "member2")
    await imported_are(space, name, ["203.0.113.5", "203.0.113.6"])
    await space.set_addresses("member1", slice_name, ["203.0.113.5", "203.0.113.7"])
    ports = [{"name": "http", "port": 81, "protocol": "TCP"}]
    await space.host.patch(IMPORTS, name, {"spec": {"ports": ports}}, namespace=space.namespace)
    await imported_are(space, name, ["203.0.113.5", "203.0.113.7"], port=81)
    if name == "shared":
        await space.dispatched_are("member2", {f"member1-{slice_name}": ["203.0.113.5", "203.0.113.7"]}, name)
        await space.succeeded(name, but=BESIDE)
        features = labels_of(await collected(space, name))["endpointslice.karmada.io/managed-by"]
        assert set(features.split(".")) == {"MultiClusterService", "ServiceExport"}


async def propagated(space: Space, fake_karmada: FakeKarmada, resource: str, name: str, cluster: str) -> None:
    """Have a policy bring an object of the control plane to a member, once it is there."""

    async def there() -> Object | None:
        return await space.host.find(resource, name, namespace=space.namespace)

    template = await wait_for(f"{resource} {name}", there, PATIENCE_SECONDS)
    await fake_karmada.policies.propagate(template, [cluster], POLICY, "policy")


async def imported_are(space: Space, name: str, addresses: list[str], port: int = 80) -> None:
    """Wait until member2 has the derived Service, and its endpoints."""

    async def found() -> tuple[list[list[str]], list[int]]:
        label = f"kubernetes.io/service-name=derived-{name}"
        slices = await space.member("member2").list(SLICES, namespace=space.namespace, label_selector=label)
        derived = await space.member("member2").find(SERVICES, f"derived-{name}", namespace=space.namespace)
        ports = derived["spec"]["ports"] if derived is not None else []
        return [addresses_of(one) for one in slices], [one["port"] for one in ports]

    await eventually(f"what member2 imports of {name}", found, ([addresses], [port]))


async def test_every_field_that_ours_writes_has_no_other_writer(world: World):
    by_ours = {(one.plane, one.kind) for (one, _), names in world.history.writers().items() if OURS in names}
    kinds = ("MultiClusterService", "Work", "ResourceBinding", "Service", "EndpointSlice")
    assert {("karmada", kind) for kind in kinds} <= by_ours
    contested = {field: names for field, names in world.history.contested().items() if OURS in names}
    assert contested == {}, told(contested.items())


async def test_nobody_writes_as_long_as_nothing_changes(world: World):
    writes = Writes(world.bed)
    await wait_heartbeats(world.fake_karmada, 20)
    assert writes.told() == ""
    await no_failures(world.fake_karmada)
    # ... and nobody is asleep.
    space = world.space
    await space.set_addresses("member1", "all-a", ["203.0.113.9"])
    await space.dispatched_are("member2", {"member1-all-a": ["203.0.113.9"]}, "all")
    for name, addresses in (("shared", ["203.0.113.10", "203.0.113.11"]), ("plain", ["203.0.113.12", "203.0.113.13"])):
        await space.set_addresses("member1", f"{name}-a", addresses)
        await imported_are(space, name, addresses, port=81)
    await at_rest(world.bed, world.fake_karmada)


async def test_binding_that_a_conversion_webhook_has_rewritten_is_left_alone(world: World):
    calls = world.fake_karmada.webhook.calls["/convert"]
    older = BINDINGS.replace("v1alpha2", "v1alpha1")
    body = {"metadata": {"annotations": {"example.com/older": "yes"}}}
    writes = Writes(world.bed)
    await world.space.host.patch(older, "nginx-service", body, namespace=world.space.namespace)
    await wait_heartbeats(world.fake_karmada, 6)
    assert world.fake_karmada.webhook.calls["/convert"] > calls
    assert writes.counted(CONTROLLER_USER) == {}, writes.told()


@pytest.mark.parametrize("name", ["all", "shared"])
async def test_new_id_that_the_webhook_gives_is_followed_everywhere_without_a_gap(world: World, name: str):
    space, began = world.space, len(world.history.log)
    former = await space.mcs(name)
    present = (await space.host.replace(without(former, MCS_ID)))["metadata"]["labels"][MCS_ID]
    assert present != labels_of(former)[MCS_ID]

    async def ids() -> set[str]:
        found = [
            await space.host.get(SERVICES, name, namespace=space.namespace),
            await space.host.get(BINDINGS, f"{name}-service", namespace=space.namespace),
            *[
                work
                for member in ("member1", "member2")
                for work in await space.works(member, "MultiClusterService")
                if labels_of(work)["multiclusterservice.karmada.io/name"] == name
            ],
        ]
        if len(found) != (4 if name == "all" else 3):
            raise NotYet(f"{len(found)} objects")
        return {labels_of(one)[MCS_ID] for one in found}

    await eventually("the new id", ids, {present})
    await at_rest(world.bed, world.fake_karmada)
    # Two of its own, or one of its own and one of member1.
    assert world.history.fewest("member2", f"{space.namespace}/{name}", began) == 2
    if name == "shared":
        for plane in ("karmada", "member2"):
            assert world.history.fewest(plane, f"{space.namespace}/derived-{name}", began) == 2


@pytest.mark.parametrize("name", ["plain", "shared"])
async def test_new_id_of_a_collected_work_is_followed_without_a_gap(world: World, name: str):
    space, began = world.space, len(world.history.log)
    work = await collected(space, name)
    present = labels_of(await space.host.replace(without(work, WORK_ID)))[WORK_ID]
    assert present != labels_of(work)[WORK_ID]

    async def ids() -> dict[str, str]:
        label = f"kubernetes.io/service-name=derived-{name}"
        found = await space.host.list(SLICES, namespace=space.namespace, label_selector=label)
        return {one["metadata"]["name"]: labels_of(one)[WORK_ID] for one in found}

    await eventually("the new id", ids, {f"imported-member1-{name}-a": present})
    await at_rest(world.bed, world.fake_karmada)
    for plane in ("karmada", "member2"):
        assert world.history.fewest(plane, f"{space.namespace}/derived-{name}", began) == 2


def without(obj: Object, label: str) -> Object:
    """The object without that label."""
    labels = {key: value for key, value in labels_of(obj).items() if key != label}
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


async def collected(space: Space, name: str) -> Object:
    """The Work of the slice that member1 exports of a Service."""
    works = await space.works("member1", "EndpointSlice")
    (work,) = [one for one in works if labels_of(one).get("endpointslice.karmada.io/name") == name]
    return work


async def test_neither_restart_nor_resync_writes_anything(world: World):
    writes = Writes(world.bed)
    assert await world.first.terminate() == 0
    again = await world.run("fixed-again")
    await idle(again)
    await wait_heartbeats(world.fake_karmada, 4)
    assert writes.told() == ""
    assert await again.terminate() == 0
    again = await world.run("fixed-resync", "--resync-period=1s")

    # Each at least once at the start and three times after it.
    wanted = {
        "multiclusterservice-controller": 4 * 4,
        "endpointslice-controller": 4 * 2,
        "service-import-controller": 4 * 2,
    }

    async def reconciled() -> bool | None:
        counts: Counter[str] = Counter()
        for name, labels, value in await samples(again):
            if name == "controller_runtime_reconcile_total":
                counts[labels["controller"]] += int(value)
        return True if all(counts[controller] >= count for controller, count in wanted.items()) else None

    await wait_for("some resyncs", reconciled, 120)
    await wait_heartbeats(world.fake_karmada, 4)
    assert writes.told() == ""
