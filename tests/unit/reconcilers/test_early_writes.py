"""One change, written everywhere at once: what follows from a write is on its way before that is answered."""

import asyncio
from typing import Any

import pytest

from informers.errors import Conflict, ServerError, TransportError
from mcs_controller.api.resources import WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from mcs_controller.domain.works import PatchWork, WorkIntent, plan_work, predict_result
from mcs_controller.reconcilers.writes import ReservedWorks
from mcs_controller.runtime.reconcile import ClusterRequest
from mcs_controller.standalone.reconcilers import execution
from tests.support.builders import a_work, ids, mcs, service, slice_
from tests.support.clock import settle
from tests.support.execution import KEY, MARKS
from tests.support.execution import World as Execution
from tests.support.mcs_world import World
from tests.support.member_works import unlimited

NAME = work_name(wk.SLICE_KIND, "default", "web-1")
SLICE = ClusterRequest("m1", "default", "web-1")
NEW = {"endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": True}}]}


async def running() -> World:
    """A service at rest: m1 provides one slice, m2 and m3 consume it."""
    world = World("m1", "m2", "m3")
    world.host.seed(service(), mcs(providers=["m1"]))
    world.members["m1"].seed(slice_())
    await world.settle()
    world.forget_calls()
    return world


# --- collected and dispatched Works -----------------------------------------------------------------------------------


async def test_one_pass_writes_the_copies_beside_the_collected_work():
    world = await running()
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", NEW)
    await world.slices.run_one(SLICE)
    assert sorted(world.writes) == [f"patch works/karmada-es-{name}/{NAME}" for name in ("m1", "m2", "m3")]
    assert world.slices_in("m2") == world.slices_in("m3") == {"m1-web-1": ["10.9.9.9"]}
    await world.settle()
    assert len(world.writes) == 3, "the reconciles that follow find everything done"


async def test_a_new_slice_is_copied_in_the_same_pass():
    world = await running()
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.slices.run_one(ClusterRequest("m1", "default", "web-2"))
    assert world.slices_in("m2").keys() == {"m1-web-1", "m1-web-2"}


async def test_the_copies_are_on_their_way_before_the_collected_work_is_answered():
    world = await running()
    gate = asyncio.Event()
    world.host.travel = gate.wait
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", NEW)
    queue = world.slices
    under_way = asyncio.ensure_future(queue.run_one(SLICE))
    waiting: list[str] = []
    called = world.host._called

    def note(verb: str, resource: Any, namespace: str, *rest: Any) -> None:
        waiting.append(namespace)
        called(verb, resource, namespace, *rest)

    world.host._called = note  # type: ignore[assignment, method-assign]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting == []
    gate.set()
    await under_way
    assert sorted(waiting) == ["karmada-es-m1", "karmada-es-m2", "karmada-es-m3"]


async def test_the_names_of_collected_and_dispatched_works_are_taken_at_once():
    world = await running()
    world.host.travel = asyncio.Event().wait
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    under_way = asyncio.ensure_future(world.slices.run_one(ClusterRequest("m1", "default", "web-2")))
    await settle()  # a write that never began would be cancelled unawaited
    writer: Any = world.slices.reconciler
    name = work_name(wk.SLICE_KIND, "default", "web-2")
    assert all(writer._works.get(execution_namespace(cluster), name) for cluster in ("m1", "m2", "m3"))
    under_way.cancel()
    await asyncio.wait([under_way])


@pytest.mark.parametrize("failing", ["m1", "m2"])
@pytest.mark.parametrize(
    "error", [Conflict(409, "Conflict", "x"), ServerError(500, "x", "x"), TransportError("x")], ids=lambda e: type(e)
)
async def test_whichever_of_the_writes_fails_the_rest_is_done_and_it_follows(failing: str, error: Exception):
    world = await running()
    world.host.fail(error, "patch", "Work", NAME, namespace=execution_namespace(failing))
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", NEW)
    await world.settle()
    assert world.slices_in("m2") == world.slices_in("m3") == {"m1-web-1": ["10.9.9.9"]}
    assert (world.condition(wk.SLICE_DISPATCHED) or ("",))[0] == "True"
    world.forget_calls()
    world.start()
    await world.settle()
    assert world.writes == []


async def test_as_long_as_collecting_fails_nothing_is_written_ahead_again():
    world = await running()
    world.host.fail(ServerError(500, "x", "x"), "patch", "Work", NAME, namespace=execution_namespace("m1"), times=3)
    queue = world.slices
    for address in ("10.9.9.9", "10.9.9.10"):
        changed = {"endpoints": [{"addresses": [address], "conditions": {"ready": True}}]}
        world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", changed)
        await queue.run_one(SLICE)
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}, "as it is collected"


async def test_once_collecting_succeeds_copies_are_written_ahead_again():
    world = await running()
    world.host.fail(ServerError(500, "x", "x"), "patch", "Work", NAME, namespace=execution_namespace("m1"))
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", NEW)
    await world.settle()
    world.forget_calls()
    newer = {"endpoints": [{"addresses": ["10.9.9.10"], "conditions": {"ready": True}}]}
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", newer)
    on_their_way = 0

    async def travel() -> None:
        nonlocal on_their_way
        on_their_way += 1
        await asyncio.Event().wait()

    world.host.travel = travel
    under_way = asyncio.ensure_future(world.slices.run_one(SLICE))
    await settle()
    assert on_their_way == 3, "none waits for another's answer"
    under_way.cancel()
    await asyncio.wait([under_way])


async def test_copies_are_not_deleted_before_it_is_their_turn():
    world = await running()
    exposed = {"spec": {"ports": [{"name": "http", "port": 80}]}}
    world.host.edit(wk.MCS_KIND, "default", "web", exposed)
    await world.settle()
    assert world.slices_in("m2")
    world.forget_calls()
    other = {"ports": [{"name": "other", "port": 9, "protocol": "TCP"}]}
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", other)
    await world.slices.run_one(SLICE)
    assert world.writes == [f"patch works/karmada-es-m1/{NAME}"]
    await world.settle()
    assert world.slices_in("m2") == world.slices_in("m3") == {}


async def test_a_name_is_taken_from_the_moment_that_it_is_chosen():
    world = await running()
    works = ReservedWorks(world.host.cached(WORKS), unlimited())
    write = plan_work(WorkIntent(namespace="karmada-es-m2", name="w", manifest=slice_()), None, ids())
    assert write is not None
    creating = works.apply(write)
    assert works.get("karmada-es-m2", "w") is not None
    await creating
    found = works.get("karmada-es-m2", "w")
    assert found is not None
    assert found.metadata.uid, "now it is the server's"


# --- the member's slice -----------------------------------------------------------------------------------------------


def changed_work(world: Execution, **manifest: Any) -> Any:
    there = world.host.read("Work", *KEY)
    return predict_result(PatchWork(*KEY, _spec(there, manifest)), a_work(there))


async def test_an_object_that_is_there_is_changed_ahead_of_its_work():
    world = Execution()
    await world.apply(slice_())
    assert await world.start_writes(changed_work(world, **NEW)) == ["patch endpointslices/default/web-1"]


async def test_nothing_is_created_ahead_of_its_work():
    world = Execution()
    world.carry(slice_())
    assert await world.start_writes(changed_work(world, **NEW)) == []


async def test_an_object_of_another_work_is_not_changed_ahead():
    world = Execution()
    world.carry(slice_())
    marks = MARKS | {wk.WORK_NAME: "another"}
    world.member.seed(
        slice_(labels={wk.MANAGED: wk.TRUE}) | {"metadata": slice_()["metadata"] | {"annotations": marks}}
    )
    assert await world.start_writes(changed_work(world, **NEW)) == []


@pytest.mark.parametrize("hindrance", ["not ready", "suspended", "no finalizer", "leaving", "pull"])
async def test_what_would_not_be_applied_is_not_written_ahead_either(hindrance: str):
    world = Execution()
    await world.apply(slice_(), finalizers=() if hindrance == "no finalizer" else (wk.EXECUTION_FINALIZER,))
    if hindrance == "no finalizer":
        world.host.edit("Work", *KEY, {"metadata": {"finalizers": []}})
    elif hindrance == "not ready":
        world.ready("False")
    elif hindrance == "suspended":
        world.host.edit("Work", *KEY, {"spec": {"suspendDispatching": True}})
    elif hindrance == "leaving":
        world.host.remove("Work", *KEY)
    else:
        world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Pull"}})
    assert await world.start_writes(changed_work(world, **NEW)) == []


async def test_the_work_is_not_executed_while_its_object_is_ahead():
    world = Execution()
    await world.apply(slice_())
    async with world.executing():
        with world.reconciler.start_writes(changed_work(world, **NEW)):
            await settle()
            assert await world.reconcile() == []
        world.woken.clear()
        await settle()
        assert world.woken == [KEY]
    assert await world.reconcile() == ["patch endpointslices/default/web-1"], "its turn: the Work still says otherwise"


async def test_a_slow_member_holds_nobody_but_its_own_work():
    world = Execution()
    await world.apply(slice_())
    gate = asyncio.Event()
    world.member.travel = gate.wait
    async with world.executing():
        with world.reconciler.start_writes(changed_work(world, **NEW)):
            pass
        await settle()
        with world.reconciler.start_writes(changed_work(world, ports=[])):
            pass
        assert await world.reconcile() == [], "the first one is not over"
        gate.set()
        await settle()
        assert [str(call) for call in world.member.calls] == ["patch endpointslices/default/web-1"]


async def test_a_member_that_has_much_under_way_is_not_written_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(execution, "MAX_EARLY_WRITES", 1)
    world = Execution()
    await world.apply(slice_())
    gate = asyncio.Event()
    world.member.travel = gate.wait
    async with world.executing():
        with world.reconciler.start_writes(changed_work(world, **NEW)):
            await settle()
            assert not world.reconciler._may_change(changed_work(world, **NEW), "m1")
        gate.set()
        await settle()
        assert world.reconciler._may_change(changed_work(world, **NEW), "m1")


async def test_what_is_ahead_ends_with_the_process():
    world = Execution()
    await world.apply(slice_())
    world.member.travel = asyncio.Event().wait
    assert await world.start_writes(changed_work(world, **NEW)) == []
    with world.reconciler.start_writes(changed_work(world, **NEW)):
        await settle()
    assert world.member.calls == []


async def test_a_member_that_refuses_is_told_by_the_reconcile_that_follows():
    world = Execution()
    await world.apply(slice_())
    world.member.fail(ServerError(500, "x", "x"), "patch")
    assert await world.start_writes(changed_work(world, **NEW)) == ["patch endpointslices/default/web-1"]


def _spec(there: Any, changes: Any) -> Any:
    [manifest] = there["spec"]["workload"]["manifests"]
    spec = there["spec"] | {"workload": {"manifests": [manifest | changes]}}
    return {"metadata": {"resourceVersion": there["metadata"]["resourceVersion"]}, "spec": spec}
