"""The provider's own slices stay when what was collected of them goes, beside an execution that deletes by label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.beside.test_takeover import some_passes
from tests.support.fake_karmada_history import History
from tests.support.fake_karmada_peer import Peer
from tests.support.fake_karmada_quiet import at_rest, no_failures
from tests.support.fleet import (
    DISPATCHER,
    EXPORTS,
    MANAGED_BY,
    MCS,
    SERVICES,
    SLICES,
    Space,
    deployment,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
    serviceexport,
)

if TYPE_CHECKING:
    from testbed import Bed
    from tests.integration.beside.conftest import Run
    from tests.support.fake_karmada import FakeKarmada

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]
POLICY = "4943a72a-e372-4c3e-bf4e-83659b3278a6"


async def native_slice(space: Space, name: str) -> str:
    """Wait until member1's own slice of a Service has the label that Karmada put on the Service; its name."""

    async def labelled() -> list[str]:
        selector = f"kubernetes.io/service-name={name},karmada.io/managed=true"
        found = await space.member("member1").list(SLICES, namespace=space.namespace, label_selector=selector)
        return [one["metadata"]["name"] for one in found]

    async def one() -> int:
        return len(await labelled())

    await eventually(f"the slice of {name}", one, 1)
    return (await labelled())[0]


async def collected_are(space: Space, *slices: str) -> None:
    """Wait until these slices of member1 are collected, and no others. What it gets as a consumer does not count."""

    async def found() -> list[str]:
        works = await space.works("member1", "EndpointSlice")
        metadata = [one["spec"]["workload"]["manifests"][0]["metadata"] for one in works]
        return sorted(one["name"] for one in metadata if one.get("labels", {}).get(MANAGED_BY) != DISPATCHER)

    await eventually("the collected Works", found, sorted(slices))


def half_filed(name: str, service_name: str) -> Object:
    """A Work that nobody executes, with a slice in it, and the name of a service without a namespace."""
    metadata = {"name": name, "labels": {"multiclusterservice.karmada.io/name": service_name}}
    workload = {"manifests": [endpointslice("half", service_name, ["198.51.100.6"])]}
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": metadata,
        "spec": {"workload": workload},
    }


async def test_the_providers_own_slice_stays_whatever_ends_its_collection(
    karmada_bed: Bed, fake_karmada: FakeKarmada, space: Space, run: Run
):
    member1, host, namespace = space.member("member1"), space.host, space.namespace
    await space.create_in("member1", deployment("web", 2), deployment("shown", 1))
    await space.create(
        service("web", selector={"app": "web"}),
        service("shown", selector={"app": "shown"}),
        multiclusterservice("web", ["member1"], ["member1", "member2"]),
        serviceexport("shown"),
    )
    for resource in (SERVICES, EXPORTS):
        await fake_karmada.policies.propagate(
            await host.get(resource, "shown", namespace=namespace), ["member1"], POLICY, "exports"
        )
    # Somebody's Work that has one of the two labels of a service: to Karmada it is of a service that there is not.
    await host.create(half_filed("half", "web"), namespace=namespace)
    # Karmada's own collects first: what it made goes in the same way.
    async with Peer(karmada_bed) as peer:
        web, shown = await native_slice(space, "web"), await native_slice(space, "shown")
        await space.ready_addresses("member1", 2, "web")
        await collected_are(space, web)
        await some_passes(peer, 3)
    await at_rest(karmada_bed, fake_karmada)
    uid = (await member1.get(SLICES, web, namespace=namespace))["metadata"]["uid"]
    ours = await run("providers")
    await collected_are(space, web, shown)

    async with History(karmada_bed) as history:
        began = len(history.log)

        async def none_but(*slices: str) -> None:
            await collected_are(space, *slices)
            await at_rest(karmada_bed, fake_karmada)
            ended = {one.name for one in history.ended if (one.plane, one.namespace) == ("member1", namespace)}
            assert not {web, shown} & ended
            assert history.fewest("member1", f"{namespace}/web", began) == 2
            assert history.fewest("member1", f"{namespace}/shown", began) == 1

        # The provider, which stays a consumer, is taken off and put on again; then the service goes.
        await space.patch_mcs("web", {"providerClusters": [{"name": "member2"}]})
        await none_but(shown)
        await space.patch_mcs("web", {"providerClusters": [{"name": "member1"}]})
        await none_but(shown, web)
        await host.delete(MCS, "web", namespace=namespace)
        await gone(host, MCS, "web", namespace)
        await none_but(shown)
        await space.dispatched_are("member2", {})
        # The export is withdrawn.
        await member1.delete(EXPORTS, "shown", namespace=namespace)
        await none_but()

    assert (await member1.get(SLICES, web, namespace=namespace))["metadata"]["uid"] == uid
    await no_failures(fake_karmada)
    assert await ours.terminate() == 0


async def test_a_slice_that_moves_from_service_to_service_stays_itself(
    karmada_bed: Bed, fake_karmada: FakeKarmada, space: Space, run: Run
):
    member1, namespace = space.member("member1"), space.namespace
    await space.create(
        *(service(name) for name in ("web", "api")),
        *(multiclusterservice(name, ["member1"], ["member2"]) for name in ("web", "api")),
    )
    moving = endpointslice("moving", "web", ["192.0.2.1"])
    moving["metadata"]["labels"]["karmada.io/managed"] = "true"
    await space.create_in("member1", moving)
    uid = (await member1.get(SLICES, "moving", namespace=namespace))["metadata"]["uid"]
    ours = await run("moving")
    copy = {"member1-moving": ["192.0.2.1"]}

    async def move_to(name: str) -> None:
        labels = {"kubernetes.io/service-name": name}
        await member1.patch(SLICES, "moving", {"metadata": {"labels": labels}}, namespace=namespace)

    for here, there in (("web", "api"), ("api", "nobody"), ("nobody", "web")):
        await space.dispatched_are("member2", copy if here != "nobody" else {}, here)
        await move_to(there)
        await space.dispatched_are("member2", copy if there != "nobody" else {}, there)
        await space.dispatched_are("member2", {}, here)
    await at_rest(karmada_bed, fake_karmada)
    assert (await member1.get(SLICES, "moving", namespace=namespace))["metadata"]["uid"] == uid
    assert await ours.terminate() == 0
