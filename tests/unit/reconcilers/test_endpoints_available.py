"""When EndpointsAvailable is written, and what is watched for it."""

import asyncio
from typing import Any

from informers.metrics import STALE_SECONDS
from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain import well_known as wk
from tests.support.builders import condition, mcs, service, slice_
from tests.support.fake_informer import FakeInformer
from tests.support.mcs_world import World

FINE = "Every consumer has ready endpoints."
STATUS = "patch multiclusterservices/default/web/status"


async def running(*names: str, **fields: Any) -> World:
    """A world at rest: m1 provides, m2 consumes."""
    world = World(*(names or ("m1", "m2")))
    world.host.seed(service(), mcs(**({"providers": ["m1"], "consumers": ["m2"]} | fields)))
    world.members["m1"].seed(slice_())
    await world.settle()
    world.forget_calls()
    return world


def available(world: World) -> tuple[str, str] | None:
    return world.condition(wk.ENDPOINTS_AVAILABLE)


def watched(world: World) -> set[str]:
    return set(world.watches._informers)


def events(world: World) -> list[tuple[str, str]]:
    found = [event[4:] for event in world.recorder.events if event[0] == wk.STATUS_CONTROLLER]
    world.recorder.events.clear()
    return found


async def test_it_goes_and_comes_with_the_last_endpoint_and_scaling_is_not_told():
    world = await running()
    assert available(world) == ("True", FINE)
    for addresses in (["10.0.0.1", "10.0.0.2"], ["10.0.0.2"]):
        world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=addresses))
        await world.settle()
    assert STATUS not in world.writes
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=[]))
    await world.settle()
    assert available(world) == ("False", "m2: no ready endpoint in m1.")
    assert events(world) == [("NoReadyEndpoints", "m2: no ready endpoint in m1.")]
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_())
    await world.settle()
    assert available(world) == ("True", FINE)
    assert world.writes.count(STATUS) == 2
    assert events(world) == [("EndpointsAvailable", FINE)]


async def test_it_tells_for_which_generation_it_holds_and_karmadas_two_do_not():
    world = await running(metadata={"generation": 7})
    content = world.host.find(wk.MCS_KIND, "default", "web") or {}
    told = {one["type"]: one.get("observedGeneration") for one in content["status"]["conditions"]}
    assert told == {wk.SERVICE_APPLIED: None, wk.SLICE_DISPATCHED: None, wk.ENDPOINTS_AVAILABLE: 7}


async def test_after_karmada_it_is_the_only_one_that_is_written_and_once():
    world = await running()
    content = world.host.find(wk.MCS_KIND, "default", "web") or {}
    theirs = [one for one in content["status"]["conditions"] if one["type"] != wk.ENDPOINTS_AVAILABLE]
    world.stop()
    world.host.edit(wk.MCS_KIND, "default", "web", {"status": {"conditions": theirs}})
    world.start()
    await world.settle()
    content = world.host.find(wk.MCS_KIND, "default", "web") or {}
    assert content["status"]["conditions"][:2] == theirs
    assert world.writes == [STATUS]
    assert world.recorder.events == []
    world.start()
    await world.settle()
    assert world.writes == [STATUS]


async def test_a_consumers_own_endpoints_count_and_are_watched_only_when_they_matter():
    world = await running("m1", "m2", "m3", consumers=["m2", "m3"])
    assert watched(world) == {"m1"}, "all is well without them"
    world.members["m2"].seed(slice_("own-1"))
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=[]))
    await world.settle()
    assert watched(world) == {"m1", "m2", "m3"}
    assert available(world) == ("False", "m3: no ready endpoint in m1.")
    world.members["m3"].seed(slice_("own-1"))
    await world.settle()
    assert available(world) == ("True", FINE)
    world.members["m2"].edit(wk.SLICE_KIND, "default", "own-1", slice_("own-1", addresses=["10.0.0.7"]))
    world.members["m2"].remove(wk.SLICE_KIND, "default", "own-1")
    await world.settle()
    assert available(world) == ("False", "m2: no ready endpoint in m1.")
    assert world.slices_in("m1") == {}, "what a consumer has of its own is not collected"


async def test_a_selector_that_finds_nothing_is_told_without_waiting():
    world = World("m1", "m2")
    world.host.seed(service(), mcs(providers=["m1"], consumers=["m2"]))
    world.members["m1"].seed(slice_(addresses=[]))
    await world.settle()
    assert available(world) == ("False", "m2: no ready endpoint in m1.")
    assert world.writes.count(STATUS) == 1, "in one piece with the others"


async def test_a_copy_that_is_not_taken_is_told_after_five_seconds_as_not_delivered():
    world = await running()
    refused = condition(wk.APPLIED, "False", message="denied") | {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    [name] = world.works_in("m2")
    world.host.edit("Work", "karmada-es-m2", name, {"status": {"conditions": [refused]}})
    await world._drain()
    assert available(world) == ("True", FINE)
    await world.settle()
    assert available(world) == ("False", "m2: slice default/web-1 of m1: denied, retrying.")


async def test_a_copy_that_is_not_taken_is_told_though_the_consumer_does_not_list_what_it_has_of_its_own():
    """As when its API server is away: nothing of it would be said until the cluster is found not ready, 40 s later."""
    world = await running()
    world.connections.factories["m2"].listing = True
    refused = condition(wk.APPLIED, "False", message="no answer") | {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    [name] = world.works_in("m2")
    world.host.edit("Work", "karmada-es-m2", name, {"status": {"conditions": [refused]}})
    await world.settle()
    said = ("False", "m2: slice default/web-1 of m1: no answer, retrying (its own EndpointSlices are not known).")
    assert available(world) == said
    await world.settle()
    assert available(world) == said
    assert world.writes.count(STATUS) == 2, "this and that it is not dispatched"
    [informer] = [one for one in world.connections.factories["m2"].informers.values() if not one.has_synced]
    world.members["m2"].seed(slice_("own-1"))
    informer.synced.set()
    await world.settle()
    assert available(world) == ("True", FINE)


async def test_a_copy_that_is_not_taken_is_told_at_once_when_nothing_has_been_heard_of_the_consumer():
    """Its API server swallows what it is sent: that a write failed comes late, and nothing is about to settle."""
    world = await running()
    world.connections.factories["m2"].listing = True
    now = world.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
    refused = condition(wk.APPLIED, "False", message="no answer") | {"lastTransitionTime": now}
    [name] = world.works_in("m2")
    world.host.edit("Work", "karmada-es-m2", name, {"status": {"conditions": [refused]}})
    await world._drain()
    assert available(world) == ("True", FINE)
    cache: FakeInformer[Any] = FakeInformer(resource=ENDPOINTSLICES)
    world.caches.append(("m2", cache))
    looking = asyncio.create_task(world.freshness.run())
    cache.last_confirmed_monotonic = world.clock.monotonic() - STALE_SECONDS
    await world.clock.advance(0.5)
    await world._drain()
    silent = "Note: m2 has not answered for more than 14 s and may hold an older state."
    text = "m2: slice default/web-1 of m1: no answer, retrying (its own EndpointSlices are not known)."
    assert available(world) == ("False", f"{text} {silent}")
    # While a write is under way the Work still says that the state before it was taken.
    world.host.edit("Work", "karmada-es-m2", name, {"status": {"conditions": [condition(wk.APPLIED)]}})
    await world._drain()
    assert available(world) == ("True", f"{FINE} {silent}")
    cache.last_confirmed_monotonic = world.clock.monotonic()
    await world.clock.advance(0.5)
    await world._drain()
    assert available(world) == ("True", FINE)
    looking.cancel()


async def test_the_service_that_goes_is_told():
    world = await running()
    world.host.remove("Service", "default", "web")
    await world.settle()
    assert available(world) == ("False", "Service default/web does not exist in the control plane.")


async def test_endpoints_whose_addresses_were_left_out_are_told_as_such_and_healed():
    world = await running()
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=["127.0.0.1"]))
    await world.settle()
    assert available(world) == (
        "False",
        "m2: endpoints in m1 have only addresses that were left out, see EndpointSliceDispatched.",
    )
    dispatched = world.condition(wk.SLICE_DISPATCHED)
    assert dispatched is not None
    assert dispatched[1].endswith("Note: addresses of endpoints were left out: m1: 127.0.0.1 (loopback).")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_())
    await world.settle()
    assert available(world) == ("True", FINE)
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", "EndpointSlice are dispatched successfully")
