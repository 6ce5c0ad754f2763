"""endpointslice-collect-controller over API servers in memory: a provider's slices, as the control plane has them.

The peer's queue items hold a kind as well; ours are slices, since nothing else is collected.
"""

import asyncio
from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, Invalid, ServerError
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import SLICE_DISPATCHED_MESSAGE
from mcs_controller.domain.naming import execution_namespace, work_name
from mcs_controller.members.informers import requests_in
from mcs_controller.predicates import slice_changed
from mcs_controller.runtime.reconcile import ClusterRequest, Request, TerminalError
from tests.support.builders import (
    a_slice,
    a_work,
    an_mcs,
    collected_work,
    condition,
    dispatched_work,
    mcs,
    mcs_work,
    service,
    slice_,
    work,
)
from tests.support.clock import settle
from tests.support.mcs_world import World

MCS_WORK = work_name(wk.MCS_KIND, "default", "web")
NAME = work_name(wk.SLICE_KIND, "default", "web-1")
IN_M1 = execution_namespace("m1")
WEB = Request("default", "web")
SLICE = ClusterRequest("m1", "default", "web-1")


async def running(*names: str, providers: Any = ("m1",), **fields: Any) -> World:
    """A world in which one service is at rest, with one slice in m1."""
    world = World(*names)
    world.host.seed(service(), mcs(providers=providers, **fields))
    world.members["m1"].seed(slice_())
    await world.settle()
    world.forget_calls()
    return world


def collected(world: World, cluster: str = "m1") -> dict[str, str]:
    """Slice to service, as collected from a cluster."""
    return {
        one["spec"]["workload"]["manifests"][0]["metadata"]["name"]: one["metadata"]["labels"][wk.MCS_NAME]
        for one in world.works_in(cluster).values()
        if wk.COLLECTED_BY in one["metadata"]["labels"]
    }


# --- following the provider -------------------------------------------------------------------------------------------


async def test_slices_of_the_service_are_collected_and_no_others():
    world = await running("m1", "m2")
    world.members["m1"].seed(slice_("web-2"), slice_("api-1", service="api"), slice_("loose", service=None))
    world.members["m1"].seed(slice_("web-3", "elsewhere"))
    world.members["m1"].seed(slice_("copy", labels={wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER}))
    world.members["m2"].seed(slice_("web-4"))
    await world.settle()
    assert collected(world) == {"web-1": "web", "web-2": "web"}
    assert collected(world, "m2") == {}


async def test_a_slice_of_another_shape_is_named_and_what_was_collected_stays():
    world = await running("m1", "m2")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"ports": [1]})
    world.members["m1"].seed(slice_("web-2"))
    assert [type(error) for error in await world.settle(rounds=3, failures=True)] == [TerminalError]
    assert collected(world) == {"web-1": "web", "web-2": "web"}
    assert world.works_in("m1")[NAME]["spec"]["workload"]["manifests"][0]["ports"] == slice_()["ports"]
    said = world.condition("EndpointSliceDispatched")
    assert said is not None
    assert said[0] == "False"
    assert "collecting slice default/web-1 of m1: EndpointSlice default/web-1: " in said[1]
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"ports": []})
    await world.settle()
    assert world.condition("EndpointSliceDispatched") == ("True", SLICE_DISPATCHED_MESSAGE)


async def test_a_change_arrives_and_a_removal_too():
    world = await running("m1", "m2")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"endpoints": []})
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": []}
    world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    await world.settle()
    assert collected(world) == {}
    assert world.slices_in("m2") == {}


async def test_a_slice_scaled_to_nothing_is_at_rest_afterwards():
    world = await running("m1", "m2")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"endpoints": []})
    await world.settle()
    world.forget_calls()
    world.start()
    await world.settle()
    assert world.writes == []


async def test_opening_04_a_slice_that_is_relabelled_moves_with_its_copies():
    world = await running("m1", "m2")
    world.host.seed(service("api"), mcs("api", providers=["m1"], permanent_id="api-id"))
    await world.settle()
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"metadata": {"labels": {wk.SERVICE_NAME: "api"}}})
    await world.settle()
    assert collected(world) == {"web-1": "api"}
    [manifest] = world.carried("m2", wk.SLICE_KIND)
    assert manifest["metadata"]["labels"][wk.SERVICE_NAME] == "api"
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"metadata": {"labels": {wk.SERVICE_NAME: "nobody"}}})
    await world.settle()
    assert collected(world) == {}
    assert world.slices_in("m2") == {}


# --- what happened while nobody looked --------------------------------------------------------------------------------


async def test_opening_03_what_was_deleted_or_relabelled_while_the_controller_was_down_is_withdrawn():
    world = await running("m1", "m2")
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]), slice_("web-3", addresses=["10.0.0.3"]))
    await world.settle()
    world.stop()
    world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-2", {"metadata": {"labels": {wk.SERVICE_NAME: "x"}}})
    world.start()
    await world.settle()
    assert collected(world) == {"web-3": "web"}
    assert world.slices_in("m2") == {"m1-web-3": ["10.0.0.3"]}


async def test_openings_03_and_14_a_watch_that_was_broken_is_compared_anew_and_nothing_is_withdrawn_meanwhile():
    world = await running("m1", "m2")
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.settle()
    world.connections.leave("m1")
    world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    world.members["m1"].seed(slice_("web-3", addresses=["10.0.0.3"]))
    await world.settle()
    assert world.slices_in("m2").keys() == {"m1-web-1", "m1-web-2"}
    world.connections.join("m1")
    await world.settle()
    await announced(world)
    await world.settle()
    assert world.slices_in("m2").keys() == {"m1-web-2", "m1-web-3"}


async def announced(world: World) -> None:
    """Let the provider watches tell whose first list is there."""
    task = asyncio.create_task(world.watches.run())
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_member_whose_slices_are_not_known_yet_loses_nothing():
    world = await running("m1", "m2")
    world.connections.leave("m1")
    world.start()
    await world.settle()
    assert world.writes == []
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_what_nobody_wants_any_more_is_withdrawn_even_if_the_member_cannot_be_reached():
    world = await running("m1", "m2")
    world.connections.leave("m1")
    world.start()
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"providerClusters": [{"name": "m2"}]}})
    await world.settle()
    assert world.works_in("m1") == {}
    assert world.slices_in("m2") == {}


@pytest.mark.parametrize("late", ["after its provider left", "after its service left", "while its service leaves"])
async def test_opening_05_a_collected_work_that_comes_too_late_is_withdrawn(late: str):
    world = await running("m1", "m2", "m3")
    if late == "after its provider left":
        world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"providerClusters": [{"name": "m2"}]}})
    elif late == "after its service left":
        world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    if late == "while its service leaves":
        world.host.edit(wk.MCS_KIND, "default", "web", {"metadata": {"finalizers": [wk.MCS_FINALIZER, "theirs/f"]}})
        world.host.remove(wk.MCS_KIND, "default", "web")
        await world.settle()
    world.host.seed(collected_work("m1", slice_("web-9")))
    await world.settle()
    assert collected(world) == {}
    assert all(world.slices_in(name) == {} for name in ("m2", "m3"))


async def test_opening_05_a_work_that_comes_too_late_is_withdrawn_even_if_the_member_cannot_be_reached():
    world = await running("m1", "m2")
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    world.connections.leave("m1")
    world.host.seed(collected_work("m1", slice_("web-9")))
    await world.settle()
    assert collected(world) == {}


@pytest.mark.parametrize(
    "change",
    [{"spec": {"providerClusters": [{"name": "m2"}]}}, {"spec": {"types": ["LoadBalancer"]}}, None],
    ids=["the provider leaves", "the type changes", "the service leaves"],
)
async def test_opening_05_nothing_is_collected_for_a_service_that_has_said_otherwise_already(change: Any):
    world = await running("m1", "m2")
    world.members["m1"].seed(slice_("web-2"))
    if change is not None:
        world.host.edit(wk.MCS_KIND, "default", "web", change)
    else:
        world.host.remove(wk.MCS_KIND, "default", "web")
    # The service's own controller has not come to it yet: its Work still asks.
    await world.slices.run_one(ClusterRequest("m1", "default", "web-2"))
    assert collected(world) == {"web-1": "web"}


async def test_opening_05_a_provider_that_is_named_again_before_it_was_let_go_has_its_new_slices_collected():
    world = await running("m1", "m2")
    names = {"providerClusters": [{"name": "m2"}]}
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": names})
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.slices.run_one(ClusterRequest("m1", "default", "web-2"))
    assert world.slices_in("m2").keys() == {"m1-web-1"}, "nobody wants it just now"
    # The request to collect has not been withdrawn yet, so it need not be made again: nobody hears of it.
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"providerClusters": [{"name": "m1"}]}})
    await world.settle()
    assert world.slices_in("m2").keys() == {"m1-web-1", "m1-web-2"}


async def test_a_provider_that_was_skipped_is_not_collected_from_though_it_is_watched_for_others():
    world = await running("m1", "m2", providers=["m1", "m2"])
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready", "False")]}})
    world.host.seed(service("api"), mcs("api", providers=["m1", "m2"], permanent_id="api-id"))
    world.members["m2"].seed(slice_("api-1", service="api"))
    await world.settle()
    assert collected(world, "m2") == {}
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready", "True")]}})
    await world.settle()
    assert collected(world, "m2") == {"api-1": "api"}


async def test_slices_that_were_there_before_their_service_are_collected():
    world = await running("m1", "m2")
    world.members["m1"].seed(slice_("api-1", service="api"))
    await world.settle()
    world.host.seed(service("api"), mcs("api", providers=["m1"], permanent_id="api-id"))
    await world.settle()
    assert collected(world) == {"web-1": "web", "api-1": "api"}


# --- roles and places -------------------------------------------------------------------------------------------------


async def test_garbage_with_our_finalizer_that_is_being_deleted_is_let_go_and_its_place_taken():
    world = World("m1", "m2")
    world.host.seed(work("m1", NAME, 7, {"x": 1}, finalizers=[wk.DISPATCH_FINALIZER], deleting=True))
    world.host.seed(service(), mcs(providers=["m1"]))
    world.members["m1"].seed(slice_())
    await world.settle()
    assert collected(world) == {"web-1": "web"}
    assert list(world.works_in("m1")) == sorted([NAME, MCS_WORK])
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_a_collected_work_that_somebody_deletes_comes_back_with_its_copies():
    world = await running("m1", "m2")
    world.host.remove("Work", "karmada-es-m1", NAME)
    await world.settle()
    assert collected(world) == {"web-1": "web"}
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


# --- what fails -------------------------------------------------------------------------------------------------------


async def test_opening_17_a_slice_whose_work_would_have_too_long_a_name_is_said_and_everything_else_goes_on():
    world = await running("m1", "m2")
    long = "n" * 250
    world.members["m1"].seed(slice_(long))
    refuse = Invalid(422, "Invalid", "must be no more than 253 characters")
    world.host.fail(refuse, "create", "Work", work_name(wk.SLICE_KIND, "default", long), times=1000)
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.settle(rounds=5, failures=True)
    assert world.slices_in("m2").keys() == {"m1-web-1", "m1-web-2"}
    status, message = world.condition(wk.SLICE_DISPATCHED) or ("", "")
    assert status == "False"
    assert f"collecting slice default/{long} of m1" in message
    assert "no more than 253 characters" in message
    assert world.recorder.take() == [(wk.MCS_KIND, "DispatchEndpointSliceFailed")], "once, not for each try"
    world.members["m1"].remove(wk.SLICE_KIND, "default", long)
    await world.settle()
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", "EndpointSlice are dispatched successfully")


@pytest.mark.parametrize("error", [ServerError(500, "x", "x"), Conflict(409, "x", "x")], ids=["500", "409"])
async def test_a_write_that_fails_once_is_done_again(error: Exception):
    world = await running("m1", "m2")
    world.host.fail(error, "create", "Work", work_name(wk.SLICE_KIND, "default", "web-2"))
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.settle()
    assert world.slices_in("m2").keys() == {"m1-web-1", "m1-web-2"}
    assert (world.condition(wk.SLICE_DISPATCHED) or ("",))[0] == "True"


async def test_a_conflict_does_not_clear_a_failure():
    world = await running("m1", "m2")
    name = work_name(wk.SLICE_KIND, "default", "web-2")
    world.host.fail(Invalid(422, "Invalid", "broken"), "create", "Work", name, namespace=IN_M1)
    world.members["m1"].seed(slice_("web-2"))
    queue: Any = world.slices
    aggregator = queue.reconciler._collection._sources[0]._aggregator
    await queue.run_one(ClusterRequest("m1", "default", "web-2"))
    assert len(aggregator.uncollected(WEB)) == 1
    world.host.fail(Conflict(409, "Conflict", "changed"), "create", "Work", name, namespace=IN_M1)
    await queue.run_one(ClusterRequest("m1", "default", "web-2"))
    assert len(aggregator.uncollected(WEB)) == 1
    await queue.run_one(ClusterRequest("m1", "default", "web-2"))
    assert aggregator.uncollected(WEB) == []


# --- who is asked to look ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "passes"),
    [
        pytest.param(Event(new=a_slice()), True, id="case-18 added"),
        pytest.param(Event(old=a_slice(), new=a_slice()), False, id="case-19 updated without difference"),
        pytest.param(Event(old=a_slice(), new=a_slice(addresses=["10.9.9.9"])), True, id="endpoints differ"),
        pytest.param(Event(old=a_slice(), new=a_slice(labels={"l": "1"})), True, id="labels differ"),
        pytest.param(Event(old=a_slice(), new=a_slice(ports=[])), True, id="ports differ"),
        pytest.param(Event(old=a_slice(), new=a_slice(addressType="IPv6")), True, id="address type differs"),
        pytest.param(Event(old=a_slice()), True, id="case-20 deleted"),
        pytest.param(Event(old=a_slice(), tombstone=True), True, id="case-20 deleted unseen"),
    ],
)
def test_a_slices_event_asks_for_the_slice_once(event: Event[Any], passes: bool):
    asked = list(requests_in("m1")(event)) if slice_changed(event) else []
    assert asked == ([SLICE] if passes else [])


def test_a_resync_asks_for_everything():
    same = a_slice()
    assert slice_changed(Event(old=same, new=same))


async def test_works_ask_for_their_slices_and_a_leaving_service_for_all_it_left():
    world = await running("m1", "m2")
    reconciler: Any = world.slices.reconciler
    collector = reconciler._collection
    source = collector._sources[0]
    carries = a_work(mcs_work("m1"))
    assert list(source.requests_for_work(Event(old=carries))) == [SLICE]
    assert list(source.requests_for_work(Event(new=a_work(mcs_work("m1", deleting=True))))) == [SLICE]
    assert list(source.requests_for_work(Event(new=carries))) == []
    assert list(source.requests_for_work(Event(old=a_work(mcs_work("m2"))))) == []
    assert list(collector.requests_for_work(Event(old=a_work(collected_work("m1")), new=None))) == [SLICE]
    assert list(collector.requests_for_work(Event(new=a_work(dispatched_work("m1", "m2"))))) == []
    assert list(source.requests_for_service(Event(new=an_mcs()))) == [SLICE]
    comparer: Any = world.controllers[wk.COLLECT_CONTROLLER].reconciler
    assert list(comparer.requests_for_work(Event(new=carries))) == [Request("karmada-es-m1", MCS_WORK)]
    assert list(comparer.requests_for_work(Event(new=a_work(collected_work("m1"))))) == []


@pytest.mark.parametrize(
    "content",
    [
        None,
        work("m1", "x", 7),
        mcs_work("m1", name="x", deleting=True),
        mcs_work("m1", name="x", labels={}),
        mcs_work("m1", name="x", namespace="karmada-es-"),
    ],
    ids=["absent", "garbage", "being deleted", "not labelled", "of no cluster"],
)
async def test_a_work_that_asks_for_nothing_begins_no_watch(content: Any):
    world = World("m1")
    if content is not None:
        world.host.seed(content)
    comparer: Any = world.controllers[wk.COLLECT_CONTROLLER].reconciler
    namespace = content["metadata"]["namespace"] if content else "karmada-es-m1"
    await comparer.reconcile(Request(namespace, "x"))
    assert world.watches.slices("m1") is None
    assert world.writes == []


# --- a provider that leaves -------------------------------------------------------------------------------------------


async def test_what_a_leaving_cluster_provides_is_withdrawn_before_its_namespace_goes():
    world = await running("m1", "m2")
    leaving = {
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["karmada.io/cluster-controller"]}
    }
    world.host.edit("Cluster", "", "m1", leaving)
    await world.settle()
    assert (collected(world), world.slices_in("m2")) == ({}, {})
    world.forget_calls()
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"endpoints": []})
    await world.settle()
    world.start()
    await world.settle()
    assert world.writes == []
