"""Services with tiers, with all controllers over API servers in memory: what consumers hold, and what is said."""

import asyncio
from typing import Any

import pytest

from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import Reason
from mcs_controller.domain.indexes import SLICE_INDEXES
from tests.support.builders import Json, condition, endpoint, mcs, service, slice_
from tests.support.mcs_world import APPLIED, World


def pods(*addresses: str, ready: bool = True) -> list[Json]:
    return [endpoint(one) | {"conditions": {"ready": ready}} for one in addresses]


async def running(
    annotations: dict[str, str],
    *,
    flags: dict[str, Any] | None = None,
    own: list[Json] | None = None,
    clusters: dict[str, Json] | None = None,
    consumers: tuple[str, ...] = ("c",),
    namespace: dict[str, str] | None = None,
) -> World:
    """Two providers, m1 with one Pod and m2 with four, and a consumer that may have Pods of its own. At rest."""
    world = World("m1", "m2", *consumers, flags=flags)
    for name, patch in (clusters or {}).items():
        world.host.edit("Cluster", "", name, patch)
    if namespace is not None:
        world.host.seed(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "annotations": namespace}}
        )
    world.host.seed(service())
    world.host.seed(mcs(providers=["m1", "m2"], consumers=list(consumers), metadata={"annotations": annotations}))
    world.members["m1"].seed(slice_(endpoints=pods("10.1.0.1")))
    world.members["m2"].seed(slice_(endpoints=pods(*(f"10.2.0.{n}" for n in range(4)))))
    for consumer in consumers[:1]:
        world.members[consumer].seed(slice_("own-1", endpoints=own or []))
    await world.settle()
    world.forget_calls()
    return world


def held(world: World, consumer: str = "c") -> tuple[int, int]:
    """How many endpoints of m1 and of m2 the consumer gets."""
    slices = world.slices_in(consumer)
    return len(slices["m1-web-1"]), len(slices["m2-web-1"])


def edit_own(world: World, *own: Json) -> None:
    world.members["c"].edit("EndpointSlice", "default", "own-1", {"endpoints": list(own)})


async def test_without_tiers_a_consumer_gets_the_endpoints_of_all_providers() -> None:
    world = await running({})
    assert held(world) == (1, 4)


async def test_the_consumers_own_pods_answer_until_they_are_gone() -> None:
    world = await running({wk.TIERS: "local; clusters=m1"}, own=pods("10.9.0.1"))
    assert held(world) == (0, 0)
    assert world.condition(wk.ENDPOINTS_AVAILABLE) == ("True", "Every consumer has ready endpoints.")
    edit_own(world, *pods("10.9.0.1", ready=False))
    await world.settle()
    assert held(world) == (1, 0)
    assert [call for call in world.writes if "works" in call and "karmada-es-c/" in call] == [world.writes[0]]
    edit_own(world, *pods("10.9.0.1"))
    await world.settle()
    assert held(world) == (0, 0), "handed back"


async def test_a_change_of_a_tier_that_does_not_serve_writes_nothing_to_consumers() -> None:
    world = await running({wk.TIERS: "clusters=m1"})
    assert held(world) == (1, 0)
    world.members["m2"].edit("EndpointSlice", "default", "web-1", {"endpoints": pods("10.2.0.7")})
    await world.settle()
    assert [call.partition(" ")[2] for call in world.writes if "karmada-es-c/" in call] == []
    assert len(world.writes) == 1


async def test_a_change_of_the_tier_that_serves_costs_what_it_costs_without_tiers() -> None:
    world = await running({wk.TIERS: "clusters=m1"})
    world.members["m1"].edit("EndpointSlice", "default", "web-1", {"endpoints": pods("10.1.0.8")})
    await world.settle()
    assert sorted(call.partition(" ")[0] for call in world.writes) == ["patch", "patch"]
    assert world.slices_in("c")["m1-web-1"] == ["10.1.0.8"]


async def test_works_that_tiers_have_marked_are_karmadas_again_without_them() -> None:
    world = await running({wk.TIERS: "clusters=m1"})
    world.host.edit("MultiClusterService", "default", "web", {"metadata": {"annotations": {wk.TIERS: None}}})
    await world.settle()
    assert held(world) == (1, 4)
    marks = {key for one in world.works_in("c").values() for key in one["metadata"].get("annotations", {})}
    assert not marks & {wk.TIER, wk.OFFERED}


async def test_at_rest_and_after_a_restart_nothing_is_written() -> None:
    world = await running({wk.TIERS: "local; clusters=m1"}, own=pods("10.9.0.1"))
    world.start()
    await world.settle()
    assert world.writes == []


async def test_a_namespace_or_a_flag_says_it_for_services_that_do_not() -> None:
    world = await running({}, flags={"tiers": "clusters=m2"})
    assert held(world) == (0, 4)
    world = await running({}, flags={"tiers": "clusters=m2"}, namespace={wk.TIERS: "clusters=m1"})
    assert held(world) == (1, 0)
    world.host.edit("Namespace", "", "default", {"metadata": {"annotations": {wk.TIERS: "clusters=m2"}}})
    await world.settle()
    assert held(world) == (0, 4)
    world.host.edit("MultiClusterService", "default", "web", {"metadata": {"annotations": {wk.TIERS: ""}}})
    await world.settle()
    assert held(world) == (1, 4)


@pytest.mark.parametrize(
    "place",
    [{"metadata": {"labels": {wk.DRAIN: ""}}}, {"spec": {"taints": [{"key": wk.DRAIN, "effect": "NoSchedule"}]}}],
)
async def test_a_drained_cluster_is_offered_nowhere_and_comes_back(place: Json) -> None:
    world = await running({})
    world.host.edit("Cluster", "", "m2", place)
    await world.settle()
    assert held(world) == (1, 0)
    undo = {"metadata": {"labels": {wk.DRAIN: None}}} if "metadata" in place else {"spec": {"taints": None}}
    world.host.edit("Cluster", "", "m2", undo)
    await world.settle()
    assert held(world) == (1, 4)


async def test_a_service_drains_a_cluster_for_itself() -> None:
    world = await running({wk.DRAIN: "m1"})
    assert held(world) == (0, 4)


async def test_the_last_ready_endpoints_are_not_drained_and_the_condition_says_so() -> None:
    world = await running({wk.DRAIN: "m1,m2"})
    assert held(world) == (1, 4)
    assert world.condition(wk.ENDPOINTS_AVAILABLE) == (
        "True",
        "Every consumer has ready endpoints. "
        "Note: m1, m2 is drained, and is offered as no other cluster has a ready endpoint.",
    )


async def test_strict_tiers_answer_nobody_rather_than_go_beyond() -> None:
    world = await running({wk.TIERS: "clusters=m1", wk.TIER_STRICT: "true"})
    assert held(world) == (1, 0)
    world.members["m1"].edit("EndpointSlice", "default", "web-1", {"endpoints": pods("10.1.0.1", ready=False)})
    await world.settle()
    assert held(world) == (1, 0)
    status, message = world.condition(wk.ENDPOINTS_AVAILABLE) or ("", "")
    assert status == "False"
    assert message == f"c: no ready endpoint in its tiers; those of m2 are not offered to it, see {wk.TIERS}."
    found = world.host.find("MultiClusterService", "default", "web") or {}
    assert [one["reason"] for one in found["status"]["conditions"] if one["type"] == wk.ENDPOINTS_AVAILABLE] == [
        Reason.NOT_OFFERED
    ]


async def test_tiers_that_cannot_be_read_are_told_once_and_ignored() -> None:
    world = await running({wk.TIERS: "nearby"})
    assert held(world) == (1, 4)
    status, message = world.condition(wk.SLICE_DISPATCHED) or ("", "")
    assert status == "True"
    assert f'metadata.annotations[{wk.TIERS}]: Invalid value: "nearby": tier 1' in message
    world.start()
    await world.settle()
    assert world.writes == []


async def test_strict_tiers_that_cannot_be_read_leave_everything_as_it_is() -> None:
    world = await running({wk.TIERS: "clusters=m1", wk.TIER_STRICT: "true"})
    world.host.edit("MultiClusterService", "default", "web", {"metadata": {"annotations": {wk.TIERS: "cluster=m1"}}})
    await world.settle()
    assert held(world) == (1, 0)
    world.start()
    await world.settle()
    assert held(world) == (1, 0)


async def test_no_tier_that_is_good_enough_is_told() -> None:
    world = await running({wk.TIERS: "clusters=m1", wk.TIER_MINIMUM: "9"})
    assert held(world) == (1, 4)
    assert world.condition(wk.ENDPOINTS_AVAILABLE) == (
        "True",
        "Every consumer has ready endpoints. Note: no tier of c is good enough, all of its tiers are offered.",
    )


async def test_each_consumer_has_tiers_of_its_own() -> None:
    regions = {
        name: {"spec": {"region": region}} for name, region in {"m1": "eu", "m2": "us", "c": "us", "d": "eu"}.items()
    }
    world = await running({wk.TIERS: "same-region"}, clusters=regions, consumers=("c", "d"))
    assert held(world, "c") == (0, 4)
    assert held(world, "d") == (1, 0)


async def test_a_service_without_consumers_says_so() -> None:
    world = await running({wk.TIERS: "clusters=m1"}, consumers=())
    for name in ("m1", "m2"):
        world.host.remove("Cluster", "", name)
    await world.settle()
    assert (world.condition(wk.ENDPOINTS_AVAILABLE) or ("", ""))[1] == "no consumer cluster is registered."


async def test_a_consumer_that_is_not_ready_is_taken_to_have_the_pods_that_it_had() -> None:
    world = await running({wk.TIERS: "local; clusters=m1"}, own=pods("10.9.0.1"))
    ready = world.host.find("Cluster", "", "c") or {}
    down = ready["status"]["conditions"][0] | {"status": "False", "reason": "ClusterNotReachable"}
    for conditions in ([down], ready["status"]["conditions"]):
        world.host.edit("Cluster", "", "c", {"status": {"conditions": conditions}})
        await world.settle()
    assert held(world) == (0, 0)
    assert [call for call in world.writes if "karmada-es-c/" in call] == []


async def test_a_provider_that_is_not_ready_counts_by_what_was_last_known_of_it() -> None:
    world = await running({wk.TIERS: "clusters=m1"})
    ready = world.host.find("Cluster", "", "m1") or {}
    down = ready["status"]["conditions"][0] | {"status": "False", "reason": "ClusterNotReachable"}
    world.host.edit("Cluster", "", "m1", {"status": {"conditions": [down]}})
    await world.settle()
    assert held(world) == (1, 0)


async def test_where_the_choice_changes_only_the_consumers_that_it_changes_for_are_written() -> None:
    world = await running({wk.TIERS: "local; clusters=m1"}, own=pods("10.9.0.1"), consumers=("c", "d"))
    assert (held(world, "c"), held(world, "d")) == ((0, 0), (1, 0))
    edit_own(world)
    await world.settle()
    assert held(world, "c") == (1, 0)
    assert [call for call in world.writes if "karmada-es-" in call and "karmada-es-c/" not in call] == []


async def test_a_provider_whose_endpoints_are_withdrawn_does_not_count() -> None:
    annotations = {wk.TIERS: "clusters=m1", wk.WITHDRAW_AFTER: "60s"}
    world = await running(annotations)
    assert held(world) == (1, 0)
    since = world.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
    down = {"type": "Ready", "status": "False", "reason": "ClusterNotReachable", "lastTransitionTime": since}
    world.host.edit("Cluster", "", "m1", {"status": {"conditions": [down]}})
    await world.settle()
    assert {name: len(those) for name, those in world.slices_in("c").items()} == {"m2-web-1": 4}


async def test_a_consumer_whose_slices_cannot_be_listed_is_offered_the_next_tier() -> None:
    world = World("m1", "m2", "c")
    member: Any = world.connections.get("c")
    informer = member.informers.informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
    informer.synced.clear()  # until the time for the first list is over
    world.host.seed(service())
    tiers = {wk.TIERS: "local; clusters=m1"}
    world.host.seed(mcs(providers=["m1", "m2"], consumers=["c"], metadata={"annotations": tiers}))
    world.members["m1"].seed(slice_(endpoints=pods("10.1.0.1")))
    world.members["m2"].seed(slice_(endpoints=pods("10.2.0.1")))
    watching = asyncio.create_task(world.watches.run())
    try:
        await world.settle()
        assert held(world) == (1, 0)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_copy_that_a_consumer_has_taken_before_says_nothing_of_what_it_holds_now() -> None:
    world = await running({wk.TIERS: "clusters=m2; clusters=m1"})
    assert held(world) == (0, 4)
    world.host.edit("Cluster", "", "m2", {"metadata": {"labels": {wk.DRAIN: ""}}})
    await world.settle(rounds=3, failures=True)
    assert held(world) == (1, 4), "it says Applied, but that is older than its endpoint"
    (filled,) = (one for name, one in world.works_in("c").items() if name.startswith("web-1") and is_of(one, "m1"))
    refused = {"status": {"conditions": [condition(wk.APPLIED, "False")]}}
    world.host.edit("Work", "karmada-es-c", filled["metadata"]["name"], refused)
    await world.settle(rounds=20, failures=True)
    assert held(world) == (1, 4), "the consumer has nothing else"
    world.host.edit("Work", "karmada-es-c", filled["metadata"]["name"], APPLIED)
    await world.settle()
    assert held(world) == (1, 0)


def is_of(work: Json, provider: str) -> bool:
    return bool(work["metadata"]["annotations"][wk.PROVISION_CLUSTER] == provider)
