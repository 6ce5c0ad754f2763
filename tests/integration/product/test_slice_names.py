"""Openings 1 and 2 on real servers: slices of one name in clusters that are both providers and consumers."""

from __future__ import annotations

import pytest

from tests.integration.product.conftest import equip
from tests.support.fleet import MCS, SLICES, Space, endpointslice, eventually, gone, multiclusterservice, service

pytestmark = pytest.mark.asyncio(loop_scope="session")

FROM_ONE = {"member1-web-a": ["192.0.2.1"]}
FROM_TWO = {"member2-web-a": ["192.0.2.2"]}


async def both_offer_the_same_name(space: Space) -> None:
    await space.create(service("web"), multiclusterservice("web", ["member1", "member2"], ["member1", "member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.create_in("member2", endpointslice("web-a", "web", ["192.0.2.2"]))
    await space.dispatched_are("member1", FROM_TWO)
    await space.dispatched_are("member2", FROM_ONE)
    await space.succeeded("web")


async def roles(space: Space, cluster: str) -> list[tuple[bool, str]]:
    """Of each Work about a slice: whether it is suspended, and which slice it carries."""
    return sorted(
        (bool(work["spec"].get("suspendDispatching")), work["spec"]["workload"]["manifests"][0]["metadata"]["name"])
        for work in await space.works(cluster, "EndpointSlice")
    )


async def test_openings_01_and_02_both_arrive_on_both_sides_and_no_work_has_two_roles(space):
    await both_offer_the_same_name(space)
    assert await roles(space, "member1") == [(False, "member2-web-a"), (True, "web-a")]
    assert await roles(space, "member2") == [(False, "member1-web-a"), (True, "web-a")]


async def test_each_follows_its_own_provider(space):
    await both_offer_the_same_name(space)
    await space.set_addresses("member1", "web-a", ["192.0.2.11"])
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.11"]})
    await space.set_addresses("member2", "web-a", ["192.0.2.12"])
    await space.dispatched_are("member1", {"member2-web-a": ["192.0.2.12"]})
    assert await space.dispatched("member2") == {"member1-web-a": ["192.0.2.11"]}


@pytest.mark.parametrize(("leaving", "staying"), [("member1", "member2"), ("member2", "member1")])
async def test_openings_01_and_02_the_end_of_one_leaves_the_other(space, leaving, staying):
    await both_offer_the_same_name(space)
    await space.member(leaving).delete(SLICES, "web-a", namespace=space.namespace)
    await space.dispatched_are(staying, {})
    await eventually("only the other's Works", lambda: roles(space, leaving), [(False, f"{staying}-web-a")])
    await eventually("only its collected Work", lambda: roles(space, staying), [(True, "web-a")])
    assert await space.dispatched(leaving) == {
        f"{staying}-web-a": {"member1": ["192.0.2.1"], "member2": ["192.0.2.2"]}[staying]
    }
    # Back again, it is there again.
    await space.create_in(leaving, endpointslice("web-a", "web", ["192.0.2.21"]))
    await space.dispatched_are(staying, {f"{leaving}-web-a": ["192.0.2.21"]})


async def test_the_end_of_the_service_takes_all_copies_and_leaves_the_providers_slices(space):
    await both_offer_the_same_name(space)
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await gone(space.host, MCS, "web", space.namespace)
    nothing: list[tuple[bool, str]] = []
    for cluster in ("member1", "member2"):
        await space.dispatched_are(cluster, {})

        async def left(cluster: str = cluster) -> list[tuple[bool, str]]:
            return await roles(space, cluster)

        await eventually(f"no Work about a slice in {cluster}", left, nothing)
        assert await space.member(cluster).find(SLICES, "web-a", namespace=space.namespace)


async def test_opening_01_a_third_consumer_of_two_providers_gets_both_under_names_of_their_own(new_bed, run):
    """The peer has one Work for both, and the last writer wins."""
    bed = await equip(await new_bed(audit=True, members=("member1", "member2", "member3")))
    await run("controller", bed=bed)
    space = await Space.make(bed)
    await space.create(service("web"), multiclusterservice("web", ["member1", "member2"], ["member3"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.create_in("member2", endpointslice("web-a", "web", ["192.0.2.2"]))
    await space.dispatched_are("member3", FROM_ONE | FROM_TWO)
    await space.succeeded("web")
    await space.member("member1").delete(SLICES, "web-a", namespace=space.namespace)
    await space.dispatched_are("member3", FROM_TWO)
    await space.set_addresses("member2", "web-a", ["192.0.2.22"])
    await space.dispatched_are("member3", {"member2-web-a": ["192.0.2.22"]})
    await space.patch_mcs("web", {"providerClusters": [{"name": "member1"}]})
    await space.dispatched_are("member3", {})
