"""endpointslice-dispatch-controller over API servers in memory, with the others of its path.

The peer's queue holds Works, ours holds slices; "enqueued" means here that the slice of that Work is.
"""

from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, Invalid, ServerError
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.naming import execution_namespace, work_name
from mcs_controller.domain.withdrawal import SERVICE_GONE_SECONDS
from mcs_controller.runtime.reconcile import ClusterRequest, Request
from tests.support.builders import (
    a_cluster,
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
from tests.support.mcs_world import World

NAME = work_name(wk.SLICE_KIND, "default", "web-1")
SLICE = ClusterRequest("m1", "default", "web-1")


async def running(*names: str, **fields: Any) -> World:
    """A world in which one service is at rest, with one slice in m1."""
    world = World(*names)
    world.host.seed(service(), mcs(**{"providers": ["m1"], **fields}))
    world.members["m1"].seed(slice_())
    await world.settle()
    world.forget_calls()
    return world


def dispatcher(world: World) -> Any:
    reconciler: Any = world.slices.reconciler
    return reconciler._dispatch


async def test_opening_17_the_winner_of_a_shared_name_wakes_the_other():
    world = World("a", "a-b", "z")
    for provider, name in (("a", "b-c"), ("a-b", "c")):
        world.host.seed(dispatched_work(provider, "z", slice_(name)))
    asked = list(dispatcher(world).requests_for_work(Event(new=a_work(dispatched_work("a", "z", slice_("b-c"))))))
    assert asked == [ClusterRequest("a", "default", "b-c"), ClusterRequest("a-b", "default", "c")]


# --- consumers come and go --------------------------------------------------------------------------------------------


async def test_a_consumer_that_turns_ready_gets_what_it_missed():
    world = await running("m1", "m2", "m3")
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready", "False")]}})
    world.members["m1"].edit(
        wk.SLICE_KIND, "default", "web-1", {"endpoints": slice_(addresses=["10.0.0.5"])["endpoints"]}
    )
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}, "what it has stays"
    assert world.slices_in("m3") == {"m1-web-1": ["10.0.0.5"]}
    assert (world.condition(wk.SLICE_DISPATCHED) or ("", ""))[1].endswith(
        "Skipped: m2: the cluster is not ready, see its condition Ready."
    )
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready")]}})
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.5"]}
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", "EndpointSlice are dispatched successfully")


async def test_a_provider_that_is_not_ready_keeps_its_endpoints_everywhere():
    world = await running("m1", "m2")
    world.host.edit("Cluster", "", "m1", {"status": {"conditions": [condition("Ready", "Unknown")]}})
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_a_provider_that_is_unregistered_takes_its_endpoints_along():
    world = await running("m1", "m2", providers=[])
    world.connections.leave("m1")
    world.host.remove("Cluster", "", "m1")
    for one in world.works_in("m1").values():  # the namespace goes
        world.host.remove("Work", "karmada-es-m1", one["metadata"]["name"])
    await world.settle()
    assert world.slices_in("m2") == {}
    assert world.works_in("m1") == {}


# --- the Service goes and comes --------------------------------------------------------------------------------------


def look_again(world: World) -> list[float]:
    """In how many seconds the dispatcher looks again."""
    return list(world.slices.later.values())


async def test_the_copies_of_a_service_that_is_gone_go_after_a_moment_and_are_back_with_it_at_once():
    world = await running("m1", "m2")
    world.host.remove("Service", "default", "web")
    await world._drain()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert look_again(world) == [SERVICE_GONE_SECONDS], "nobody polls"
    await world.settle(failures=True)
    assert world.slices_in("m2") == {}
    assert world.works_in("m1").keys() >= {NAME}, "what was collected stays"
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", "EndpointSlice are dispatched successfully")
    world.host.seed(service())
    await world._drain()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    await world.settle()


@pytest.mark.parametrize("looked", [True, False], ids=["seen", "not looked at while it was there"])
async def test_a_service_that_is_replaced_takes_no_copy_along(looked: bool):
    world = await running("m1", "m2")
    world.host.remove("Service", "default", "web")
    await world._drain()
    await world.clock.advance(SERVICE_GONE_SECONDS - 1)
    world.host.seed(service())
    if looked:
        await world._drain()
    world.host.remove("Service", "default", "web")
    await world._drain()
    await world.clock.advance(SERVICE_GONE_SECONDS - 1)
    world.slices.enqueue(SLICE)
    await world._drain()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}, "each absence counts from its own beginning"
    assert look_again(world) == [1.0]
    world.host.seed(service())
    await world.settle()
    assert not [write for write in world.writes if write.startswith("delete works/karmada-es-m2/")]


async def test_a_service_that_somebody_holds_while_it_is_being_deleted_keeps_its_copies():
    world = await running("m1", "m2")
    world.host.edit("Service", "default", "web", {"metadata": {"finalizers": ["example.com/theirs"]}})
    world.host.remove("Service", "default", "web")
    await world.settle(failures=True)
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_a_restart_neither_hastens_the_end_of_a_service_that_is_gone_nor_undoes_it():
    world = await running("m1", "m2", consumers=["m2", "nowhere"])
    world.host.remove("Service", "default", "web")
    await world._drain()
    await world.clock.advance(SERVICE_GONE_SECONDS + 1)
    world.start()
    await world._drain()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert look_again(world) == [SERVICE_GONE_SECONDS], "it does not know for how long that has been so"
    await world.settle(failures=True)
    assert world.slices_in("m2") == {}
    world.forget_calls()
    world.start()
    await world.settle(failures=True)
    assert world.writes == []


async def test_of_a_service_that_never_was_nothing_is_dispatched_and_nobody_remembers_it():
    world = World("m1", "m2")
    world.host.seed(mcs(providers=["m1"]))
    world.members["m1"].seed(slice_())
    await world.settle(failures=True)
    assert world.slices_in("m2") == {}
    assert world.works_in("m1").keys() >= {NAME}
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle(failures=True)
    assert dispatcher(world)._gone_since == {}


# --- others at work ---------------------------------------------------------------------------------------------------


async def test_a_copy_that_somebody_deletes_comes_back_once_it_is_gone():
    world = await running("m1", "m2")
    world.host.remove("Work", "karmada-es-m2", NAME)
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_karmadas_own_status_writes_on_works_make_nobody_look():
    world = await running("m1", "m2")
    world.host.edit("Work", "karmada-es-m2", NAME, {"status": {"conditions": [condition("Applied")]}})
    assert not any(one.pending for one in world.controllers.values())


async def test_copies_without_anything_behind_them_are_removed_after_a_restart():
    world = World("m1", "m2")
    world.host.seed(dispatched_work("m1", "m2"))
    await world.settle()
    assert world.works_in("m2") == {}


async def test_a_copy_of_an_unknown_services_slice_goes_with_its_collected_work():
    world = World("m1", "m2")
    world.host.seed(collected_work("m1"), dispatched_work("m1", "m2"))
    await world.settle()
    assert world.works == []


# --- what fails -------------------------------------------------------------------------------------------------------


async def test_openings_09_and_10_each_failure_stays_in_the_verdict_until_it_is_over():
    world = await running("m1", "m2", "m3")
    broken = work_name(wk.SLICE_KIND, "default", "web-2")
    for consumer in ("m2", "m3"):
        refused = Invalid(422, "Invalid", "you shall not")
        world.host.fail(refused, "create", "Work", broken, namespace=execution_namespace(consumer), times=1000)
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]), slice_("web-3", addresses=["10.0.0.3"]))
    await world.settle(rounds=5, failures=True)
    assert world.slices_in("m2").keys() == {"m1-web-1", "m1-web-3"}
    status, message = world.condition(wk.SLICE_DISPATCHED) or ("", "")
    assert status == "False"
    for consumer in ("m2", "m3"):
        assert f"slice default/web-2 of m1 in {consumer}" in message
    assert "you shall not" in message
    assert world.take_events() == [(wk.MCS_KIND, "DispatchEndpointSliceFailed")]
    assert [one for one in world.writes if one.endswith("/status")] == ["patch multiclusterservices/default/web/status"]
    world.host.stop_failing()
    await world.settle()
    assert world.slices_in("m3").keys() == {"m1-web-1", "m1-web-2", "m1-web-3"}
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", "EndpointSlice are dispatched successfully")
    assert world.take_events() == [(wk.MCS_KIND, "DispatchEndpointSliceSucceed")]


async def test_a_collected_work_is_not_let_go_before_all_its_copies_are():
    world = await running("m1", "m2", "m3")
    world.host.fail(ServerError(500, "x", "x"), "delete", "Work", NAME)
    world.host.edit("Work", "karmada-es-m1", NAME, {"metadata": {"labels": {wk.MCS_NAME: None}}})
    await world.slices.run_one(SLICE)
    assert wk.DISPATCH_FINALIZER in world.works_in("m1")[NAME]["metadata"]["finalizers"]


async def test_a_conflict_is_neither_failure_nor_success():
    world = await running("m1", "m2")
    queue, status = world.slices, world.controllers[wk.STATUS_CONTROLLER]
    world.host.fail(Invalid(422, "Invalid", "broken"), "patch", "Work", NAME)
    world.host.edit("Work", "karmada-es-m2", NAME, {"spec": {"suspendDispatching": True}})
    for error in (None, Conflict(409, "Conflict", "changed")):
        if error is not None:
            world.host.fail(error, "patch", "Work", NAME)
        await queue.run_one(SLICE)
        await status.run_one(Request("default", "web"))
        assert "broken" in (world.condition(wk.SLICE_DISPATCHED) or ("", ""))[1], "nothing better is known yet"
    await world.settle()
    assert (world.condition(wk.SLICE_DISPATCHED) or ("",))[0] == "True"


async def test_garbage_is_let_go_only_while_it_is_deleted_and_ours():
    world = World("m1")
    world.host.seed(work("m1", "live", 7, finalizers=[wk.DISPATCH_FINALIZER]))
    world.host.seed(work("m1", "theirs", 7, finalizers=["theirs/f"], deleting=True))
    world.host.seed(work("m1", "ours", 7, finalizers=[wk.DISPATCH_FINALIZER, "theirs/f"], deleting=True))
    await world.settle()
    assert world.writes == ["patch works/karmada-es-m1/ours"]
    assert world.works_in("m1")["ours"]["metadata"]["finalizers"] == ["theirs/f"]


# --- who is asked to look ---------------------------------------------------------------------------------------------


def looking(*works: Any, services: Any = ()) -> Any:
    """A dispatcher with these objects in its caches."""
    world = World()
    for one in (*services, *works):
        world.host.seed(one)
    return dispatcher(world)


@pytest.mark.parametrize(
    ("consumers", "cluster", "found"),
    [
        pytest.param(["c1"], "c1", [SLICE], id="case-27 a consumer"),
        pytest.param(["c2"], "c1", [], id="case-28 no consumer"),
        pytest.param(None, "c1", [SLICE], id="every cluster consumes"),
    ],
)
def test_a_clusters_event_asks_for_the_slices_that_it_consumes(consumers: Any, cluster: str, found: Any):
    one = looking(collected_work("m1"), services=[mcs(providers=["m1"], consumers=consumers)])
    assert list(one.requests_for_cluster(Event(new=a_cluster(cluster)))) == found


def test_a_providers_event_alone_asks_for_no_slice():
    one = looking(collected_work("m1"), services=[mcs(providers=["m1"], consumers=["m2"])])
    assert list(one.requests_for_cluster(Event(new=a_cluster("m1")))) == []


def test_case_29_works_of_a_service_are_found_in_every_namespace_and_no_others():
    one = looking(collected_work("m1"), collected_work("m2"), collected_work("m1", slice_("api-1", service="api")))
    found = one._works.store.by_index(BY_SERVICE, ("default", "web"))
    assert [work.metadata.namespace for work in found] == ["karmada-es-m1", "karmada-es-m2"]


def test_case_30_a_services_event_asks_for_each_slice_once_though_it_has_a_copy():
    one = looking(collected_work("m1"), dispatched_work("m1", "m2"))
    assert list(one.requests_for_service(Event(new=an_mcs()))) == [SLICE]


@pytest.mark.parametrize(
    ("event", "found"),
    [
        pytest.param(Event(new=a_work(collected_work("m1"))), [SLICE], id="a collected Work"),
        pytest.param(Event(old=a_work(collected_work("m1"))), [SLICE], id="a collected Work that went"),
        pytest.param(Event(new=a_work(dispatched_work("m1", "m2"))), [SLICE], id="a copy leads to its slice"),
        pytest.param(Event(new=a_work(mcs_work("m1"))), [], id="a Work that carries a service"),
        pytest.param(
            Event(old=a_work(collected_work("m1")), new=a_work(collected_work("m1", slice_("web-2")))),
            [SLICE, ClusterRequest("m1", "default", "web-2")],
            id="its slice changed",
        ),
        pytest.param(
            Event(new=a_work(work("m1", "x", 7, finalizers=[wk.DISPATCH_FINALIZER], deleting=True))),
            [ClusterRequest("m1", "", "x")],
            id="garbage with our finalizer on its way out",
        ),
        pytest.param(Event(new=a_work(work("m1", "x", 7, finalizers=[wk.DISPATCH_FINALIZER]))), [], id="garbage"),
        pytest.param(Event(new=a_work(work("m1", "x", 7, deleting=True))), [], id="others' garbage on its way out"),
        pytest.param(
            Event(old=a_work(work("m1", "x", 7, finalizers=[wk.DISPATCH_FINALIZER], deleting=True))),
            [],
            id="garbage that went",
        ),
    ],
)
def test_a_works_event_asks_for_its_slice(event: Event[Any], found: Any):
    assert list(looking().requests_for_work(event)) == found
