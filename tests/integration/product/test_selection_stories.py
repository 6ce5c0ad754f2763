"""examples/04 to 07 as their READMEs tell them: which endpoints a consumer has, story after story in one fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from mcs_controller.domain import well_known as wk
from testbed import Bed, ControllerProcess
from testbed.karmada import load
from tests.integration.product.conftest import IMPATIENT, equip
from tests.support.fleet import CLUSTERS, Space, endpointslice, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES: Final = Path(__file__).parents[3] / "examples"
PLACES: Final = {"member1": ("eu", "eu-1"), "member2": ("eu", "eu-2"), "member3": ("us", "us-1")}
SOON: Final = ("--hand-back-after=500ms", "--hand-back-every=100ms")
"""What is tested is where it ends; the times have tests of their own."""


@pytest_asyncio.fixture(loop_scope="session")
async def space(binaries: dict[str, Path]) -> AsyncIterator[Space]:
    """A namespace of three members, that are in two regions."""
    async with Bed(members=tuple(PLACES)) as bed:
        await equip(bed)
        for name, (region, zone) in PLACES.items():
            await bed.host.api.patch(CLUSTERS, name, {"spec": {"region": region, "zones": [zone]}})
        kubeconfig = bed.root / "controller.kubeconfig"
        async with ControllerProcess(kubeconfig, root=bed.root, extra_args=[*IMPATIENT, *SOON, "--v=4"]):
            yield await Space.make(bed)


async def begin(space: Space, folder: str, *, providers: Iterable[str] = ("member2", "member3")) -> str:
    """Apply the example, with a slice of one endpoint in each provider; the name of its service."""
    manifests = [
        {**one, "metadata": {**one["metadata"], "namespace": space.namespace}} for one in load(EXAMPLES / folder)
    ]
    (service,) = {one["metadata"]["name"] for one in manifests}
    await space.create(*manifests)
    for name in providers:
        await space.create_in(name, endpointslice(f"{service}-1", service, [of(name)]))
    return str(service)


def of(cluster: str) -> str:
    """The address of the Pod there."""
    return f"192.0.2.{cluster[-1]}"


async def offered(space: Space, consumer: str, service: str, *clusters: str) -> None:
    """Wait until these clusters' endpoints are what the consumer gets. Copies of the others are there, and empty."""
    expected = {f"{one}-{service}-1": [of(one)] if one in clusters else [] for one in PLACES if one != consumer}

    async def read() -> dict[str, list[str]]:
        # Not those of the slices that Kubernetes makes of the Service's selector, without a Pod.
        found = await space.dispatched(consumer, service)
        return {name: addresses for name, addresses in found.items() if name.endswith("-1")}

    await eventually(f"{clusters} to answer in {consumer}", read, expected)


async def lose(space: Space, cluster: str, service: str) -> None:
    await space.set_addresses(cluster, f"{service}-1", [])


async def regain(space: Space, cluster: str, service: str) -> None:
    await space.set_addresses(cluster, f"{service}-1", [of(cluster)])


async def test_the_stories_go_as_they_are_told(space: Space) -> None:
    await prefer_local(space)
    await regions(space)
    await data_residency(space)
    await drain(space)


async def prefer_local(space: Space) -> None:
    service = await begin(space, "04-prefer-local", providers=PLACES)
    for consumer in PLACES:
        await offered(space, consumer, service)
    await lose(space, "member1", service)
    await offered(space, "member1", service, "member2", "member3")
    await offered(space, "member2", service)
    await regain(space, "member1", service)
    await offered(space, "member1", service)


async def regions(space: Space) -> None:
    service = await begin(space, "05-regions")
    await offered(space, "member1", service, "member2")
    await lose(space, "member2", service)
    await offered(space, "member1", service, "member3")
    await regain(space, "member2", service)
    await offered(space, "member1", service, "member2")


async def data_residency(space: Space) -> None:
    service = await begin(space, "06-data-residency")
    await offered(space, "member1", service, "member2")
    await lose(space, "member2", service)

    async def reason() -> tuple[str, str]:
        status, why, _ = await space.condition(service, wk.ENDPOINTS_AVAILABLE)
        return status, why

    await eventually("the condition to say why", reason, ("False", "NotOffered"))
    await offered(space, "member1", service)
    await regain(space, "member2", service)
    await offered(space, "member1", service, "member2")


async def drain(space: Space) -> None:
    service = await begin(space, "07-drain")
    await offered(space, "member1", service, "member2", "member3")
    for value, left in (("", ["member3"]), (None, ["member2", "member3"])):
        await space.host.patch(CLUSTERS, "member2", {"metadata": {"labels": {wk.DRAIN: value}}})
        await offered(space, "member1", service, *left)
    for value, left in (("member2", ["member3"]), (None, ["member2", "member3"])):
        body = {"metadata": {"annotations": {wk.DRAIN: value}}}
        await space.host.patch(
            "networking.karmada.io/v1alpha1/multiclusterservices", service, body, namespace=space.namespace
        )
        await offered(space, "member1", service, *left)
