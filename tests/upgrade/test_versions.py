"""Versions, definitions, the gate, nodes and at last a member's name change under traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed import NotYet, karmada, wait_for
from tests.e2e.world import PATIENCE_SECONDS
from tests.support.fleet import SERVICES, eventually
from tests.support.traffic import Asked
from tests.support.upgrading import CONSUMER, PROVIDER, REQUESTS, Fleet, definitions, previous, ready_pods
from tests.upgrade.conftest import FIGURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.upgrade.conftest import Asking

SERVICES_IN_MEMBERS = 4
"""Works of Services: two for each MultiClusterService."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("leader_first", [True, False], ids=["the leader first", "the standby first"])
async def test_there_and_back_again(made: Fleet, asking: Asking, leader_first: bool):
    old = [str(previous().binary)]
    async with asking() as loop:
        for version, program in (("old", old), ("new", []), ("new", [])):
            async with made.writes() as writes:
                await made.replicas.roll(version, program, leader_first=leader_first)
            if version == "old":  # it propagates what servers allocated for a Service, too (docs/parity.md, D42)
                assert set(writes) <= {Asked("karmada", "patch", "works")}, made.told
                assert writes.total() <= SERVICES_IN_MEMBERS, made.told
            else:
                assert not writes, made.told
            await made.change_arrives()
        await loop.goes_on(REQUESTS)


async def test_the_definitions_of_0_1_0_and_these_again(made: Fleet, asking: Asking):
    api = made.bed.host.api
    async with asking() as loop:
        for manifests in (previous().manifests, karmada.MANIFESTS):
            async with made.writes() as writes:
                await karmada.apply_all(api, definitions(manifests))
            assert not writes, made.told
            await made.change_arrives()
        await loop.goes_on(REQUESTS)


async def test_without_the_gate_everything_stays_and_with_it_what_was_missed_arrives(made: Fleet, asking: Asking):
    space = made.space
    async with asking() as loop:
        async with made.writes() as writes:
            await made.replicas.roll("gate-off", leader_first=True, gates="MultiClusterService=false")
        assert not writes, made.told
        for process in made.replicas.running:
            assert "MultiClusterServices exist" in process.log.read_text()
        before = await space.dispatched(CONSUMER, "both")
        async with made.writes() as writes:
            await space.set_addresses(PROVIDER, "both-a", ["192.0.2.199"])
            await loop.goes_on(REQUESTS)
        assert not writes, made.told
        assert await space.dispatched(CONSUMER, "both") == before
        mcs = await space.mcs("both")
        assert mcs["metadata"]["finalizers"], "it is not deleted before the gate is on again"

        async with made.writes() as writes:
            await made.replicas.roll("gate-on", leader_first=True)
            await space.dispatched_are(CONSUMER, {f"{PROVIDER}-both-a": ["192.0.2.199"]}, "both")
        assert writes == {
            Asked("karmada", "patch", "works"): 2,  # collected, dispatched
            Asked(CONSUMER, "patch", "endpointslices"): 1,
        }, made.told
        await made.change_arrives()
        await loop.goes_on(REQUESTS)


async def test_the_nodes_of_the_leader_and_of_the_providers_pods_are_drained(made: Fleet, asking: Asking):
    space = made.space
    member = space.member(PROVIDER)

    async def two() -> set[str]:
        if len(names := await ready_pods(space, PROVIDER, "web")) != 2:
            raise NotYet(f"{names}")
        return set(names)

    before = await wait_for("two Pods", two, PATIENCE_SECONDS)
    async with asking() as loop:
        async with made.writes() as writes:
            leader = await made.replicas.leader()
            for number, name in enumerate(sorted(before)):
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
                path = f"/api/v1/namespaces/{space.namespace}/pods/{name}/eviction"
                await member.raw("POST", path, eviction)
                if number == 0:
                    await made.replicas.end(leader)
                    await made.replicas.add("after-drain")
                await wait_for("two Pods", two, PATIENCE_SECONDS)

            async def answering() -> bool:
                pods = await two()
                seen = set((await made.world.sample(CONSUMER, made.url)).pods)
                if seen != pods or seen & before:
                    raise NotYet(f"{seen} answer, not {pods}")
                return True

            await wait_for("the new Pods to answer", answering, PATIENCE_SECONDS)
        kinds = {(one.plane, one.verb, one.resource) for one in writes}
        assert (CONSUMER, "patch", "endpointslices") in kinds
        assert not [one for one in kinds if one[1] in ("create", "delete") and one[2] != "events"], made.told
        await loop.goes_on(REQUESTS)


async def join_as(made: Fleet, name: str) -> None:
    """Register the consumer under a name."""
    plane = made.bed.members[CONSUMER]
    token = await karmada.request_token(plane, karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
    await karmada.register(made.bed, name, plane.access.server, token, plane.access.ca_pem)


async def test_a_consumer_under_another_name_is_served_as_before(made: Fleet, request: pytest.FixtureRequest):
    """It loses requests while it is nobody's, and none afterwards. The last test: its Works are others then."""
    space = made.space

    async def copies() -> Mapping[str, list[str]]:
        return await space.dispatched(CONSUMER)

    async def has_service() -> bool:
        return await space.member(CONSUMER).find(SERVICES, "web", namespace=space.namespace) is not None

    await made.change_arrives()
    before = await copies()
    async with made.loop() as loop:
        for old, new in ((CONSUMER, "renamed"), ("renamed", CONSUMER)):
            # Both names before, so that nothing has to be changed while nobody is served.
            await space.patch_mcs("web", {"consumerClusters": [{"name": old}, {"name": new}]})
            await made.rest()
            answered = loop.tally.answered
            await karmada.unjoin(made.bed, old)
            assert not await has_service(), "what was brought there leaves with the cluster"
            await join_as(made, new)
            await eventually("the Service in the consumer", has_service, True)
            await eventually("the copies in the consumer", copies, before)
            await made.rest()
            lost = loop.tally.lost
            await loop.goes_on(REQUESTS)
            assert loop.tally.lost == lost, f"{loop.told()} {loop.tally.errors}"
            assert loop.tally.answered > answered
            await space.patch_mcs("web", {"consumerClusters": [{"name": new}]})
            await made.rest()
    request.config.stash[FIGURES].append(f"{request.node.name}: {loop.told()}, twice renamed")
    assert await space.dispatched(PROVIDER)
