"""endpointslice-dispatch-controller over API servers in memory, with the others of its path.

The peer's queue holds Works, ours holds slices; "enqueued" means here that the slice of that Work is.
"""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from informers.cache.event import Event
from informers.errors import Conflict, Invalid, ServerError
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.naming import cluster_of_namespace, distinct_slice_name, execution_namespace, work_name
from mcs_controller.domain.withdrawal import SERVICE_GONE_SECONDS
from mcs_controller.runtime.reconcile import ClusterRequest, Request
from tests.support.builders import (
    a_cluster,
    a_work,
    an_mcs,
    as_written,
    collected_work,
    condition,
    dispatched_work,
    export_work,
    golden,
    golden_work,
    mcs,
    mcs_work,
    service,
    service_export,
    slice_,
    work,
)
from tests.support.mcs_world import CONTROLLERS, EXPORT_CONTROLLERS, Crash, World

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


# --- several providers, several slices --------------------------------------------------------------------------------


async def test_opening_01_slices_of_one_name_from_two_providers_both_arrive_and_leave_on_their_own():
    world = await running("m1", "m2", "m3", providers=["m1", "m2"], consumers=["m3"])
    world.members["m2"].seed(slice_(addresses=["10.0.0.2"]))
    await world.settle()
    assert world.slices_in("m3") == {"m1-web-1": ["10.0.0.1"], "m2-web-1": ["10.0.0.2"]}
    world.forget_calls()
    world.start()
    await world.settle()
    assert world.writes == [], "a fixed point"
    world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    await world.settle()
    assert world.slices_in("m3") == {"m2-web-1": ["10.0.0.2"]}
    world.members["m1"].seed(slice_(addresses=["10.0.0.1"]))
    world.members["m2"].remove(wk.SLICE_KIND, "default", "web-1")
    await world.settle()
    assert world.slices_in("m3") == {"m1-web-1": ["10.0.0.1"]}


async def test_opening_17_slices_that_took_one_name_at_once_are_told_apart_by_the_next_event():
    world = World("a", "a-b", "z")
    world.host.seed(service(), mcs(providers=["a", "a-b"], consumers=["z"]))
    for provider, name in (("a", "b-c"), ("a-b", "c")):
        # As two workers write them that have not seen each other's.
        world.host.seed(dispatched_work(provider, "z", slice_(name)))
        world.members[provider].seed(slice_(name, addresses=[f"10.0.0.{len(provider)}"]))
    await world.settle()
    expected = {"a-b-c": ["10.0.0.1"], distinct_slice_name("a-b", "c"): ["10.0.0.3"]}
    assert world.slices_in("z") == expected
    world.members["a"].remove(wk.SLICE_KIND, "default", "b-c")
    await world.settle()
    assert world.slices_in("z") == {distinct_slice_name("a-b", "c"): ["10.0.0.3"]}


async def test_opening_17_the_winner_of_a_shared_name_wakes_the_other():
    world = World("a", "a-b", "z")
    for provider, name in (("a", "b-c"), ("a-b", "c")):
        world.host.seed(dispatched_work(provider, "z", slice_(name)))
    asked = list(dispatcher(world).requests_for_work(Event(new=a_work(dispatched_work("a", "z", slice_("b-c"))))))
    assert asked == [ClusterRequest("a", "default", "b-c"), ClusterRequest("a-b", "default", "c")]


# --- consumers come and go --------------------------------------------------------------------------------------------


async def test_case_31_a_consumer_that_is_taken_off_the_list_loses_its_copies_and_a_new_one_gets_them():
    world = await running("m1", "m2", "m3", consumers=["m2"])
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"consumerClusters": [{"name": "m3"}]}})
    await world.settle()
    assert world.slices_in("m2") == {}
    assert world.slices_in("m3") == {"m1-web-1": ["10.0.0.1"]}


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


@pytest.mark.parametrize(
    "patch", [{"workload": {"manifests": [7]}}, {"workload": {"manifests": []}}, {"workload": None}]
)
async def test_a_copy_that_somebody_garbles_is_put_right_in_its_place(patch: dict[str, Any]):
    world = await running("m1", "m2")
    world.host.edit("Work", "karmada-es-m2", NAME, {"spec": patch})
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert list(world.works_in("m2")) == [NAME]


async def test_a_copy_that_somebody_deletes_comes_back_once_it_is_gone():
    world = await running("m1", "m2")
    world.host.remove("Work", "karmada-es-m2", NAME)
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}


async def test_a_flag_that_somebody_sets_on_a_copy_goes():
    world = await running("m1", "m2")
    world.host.edit("Work", "karmada-es-m2", NAME, {"spec": {"suspendDispatching": True}})
    await world.settle()
    assert world.works_in("m2")[NAME]["spec"].keys() == {"workload"}


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


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------


async def test_golden_from_the_walkthroughs_slice_come_its_two_works_and_the_condition():
    world = World("member1", "member2")
    [observed] = golden("member1-endpointslices")["items"]
    world.host.seed(golden("host-service"))
    world.host.seed({key: value for key, value in golden("host-multiclusterservice").items() if key != "status"})
    world.members["member1"].seed(observed)
    await world.settle()
    for cluster in ("member1", "member2"):
        expected = as_written(golden_work(cluster, wk.SLICE_KIND))
        made = as_written(world.works_in(cluster)[expected["metadata"]["name"]])
        ids = [one["metadata"]["labels"].pop(wk.WORK_PERMANENT_ID) for one in (made, expected)]
        for one, work_id in zip((made, expected), ids, strict=True):
            [manifest] = one["spec"]["workload"]["manifests"]
            assert manifest["metadata"]["labels"].pop(wk.WORK_PERMANENT_ID) == work_id
        assert made == expected
    conditions = world.host.read(wk.MCS_KIND, "default", "nginx")["status"]["conditions"]
    assert conditions.pop()["type"] == wk.ENDPOINTS_AVAILABLE, "ours alone"
    theirs = golden("host-multiclusterservice")["status"]["conditions"]
    assert [one | {"lastTransitionTime": ""} for one in conditions] == [
        one | {"lastTransitionTime": ""} for one in theirs
    ], "to the byte"


# --- laws -------------------------------------------------------------------------------------------------------------

MEMBERS = ("a", "a-b", "m")
SLICES = [(member, name) for member in MEMBERS for name in ("b-c", "c")]
SUBSETS = st.one_of(st.none(), st.sets(st.sampled_from(MEMBERS), min_size=1).map(sorted))


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """What users, members and fate do, one after the other."""
    steps = st.one_of(
        st.tuples(st.just("slice"), st.sampled_from(SLICES), st.sampled_from(["web", "api", None])),
        st.tuples(st.just("no slice"), st.sampled_from(SLICES)),
        st.tuples(st.just("service"), st.sampled_from(["web", "api"]), SUBSETS, SUBSETS),
        st.tuples(st.just("no service"), st.sampled_from(["web", "api"])),
        st.tuples(st.just("export"), st.sampled_from(MEMBERS), st.sampled_from(["web", "api"])),
        st.tuples(st.just("no export"), st.sampled_from(MEMBERS), st.sampled_from(["web", "api"])),
        st.tuples(st.just("crash after"), st.integers(0, 6)),
        st.tuples(st.just("restart")),
        st.tuples(st.just("rest")),
    )
    beginning: list[Any] = [("service", "web", draw(SUBSETS), draw(SUBSETS))]
    beginning += [("slice", one, "web") for one in draw(st.lists(st.sampled_from(SLICES), unique=True))]
    return beginning + draw(st.lists(steps, max_size=12))


class Fate:
    """Carries a history out, and keeps count of what should have come of it."""

    def __init__(self, seed: int) -> None:
        self.world = World(*MEMBERS, rng=random.Random(seed), enabled=CONTROLLERS | EXPORT_CONTROLLERS)
        self.services: dict[str, tuple[Any, Any]] = {}
        self.slices: dict[tuple[str, str], str | None] = {}
        self.exports: set[tuple[str, str]] = set()
        self.uids = 0
        for name in ("web", "api"):
            self.world.host.seed(service(name))
        for member in MEMBERS:  # what brings the ServiceExports there
            self.world.host.seed(export_work(member))

    async def carry_out(self, step: Any) -> None:
        world, kind = self.world, step[0]
        if kind == "slice":
            (member, name), owner = step[1], step[2]
            if (member, name) in self.slices:
                world.members[member].remove(wk.SLICE_KIND, "default", name)
            world.members[member].seed(slice_(name, service=owner, addresses=[f"10.{len(member)}.0.{len(name)}"]))
            self.slices[member, name] = owner
        elif kind == "no slice" and step[1] in self.slices:
            world.members[step[1][0]].remove(wk.SLICE_KIND, "default", step[1][1])
            del self.slices[step[1]]
        elif kind == "service":
            name, providers, consumers = step[1:]
            content = mcs(name, providers=providers or [], consumers=consumers or [], adopted=False, permanent_id="")
            if name in self.services:
                world.host.edit(wk.MCS_KIND, "default", name, {"spec": content["spec"]})
            else:
                await world.settle()  # a former one of that name has to be gone first
                self.uids += 1
                content["metadata"]["uid"] = f"uid-{self.uids}"
                world.host.seed(content)
            self.services[name] = (providers, consumers)
        elif kind == "no service" and step[1] in self.services:
            world.host.remove(wk.MCS_KIND, "default", step[1])
            del self.services[step[1]]
        elif kind == "export" and step[1:] not in self.exports:
            world.members[step[1]].seed(service_export(step[2]))
            self.exports.add(step[1:])
        elif kind == "no export" and step[1:] in self.exports:
            world.members[step[1]].remove(wk.SERVICE_EXPORT_KIND, "default", step[2])
            self.exports.remove(step[1:])
        elif kind == "crash after":
            await self.crash(step[1])
        elif kind == "restart":
            world.start()
        elif kind == "rest":
            await world.settle()

    async def crash(self, after: int) -> None:
        """Die between two writes, and start again with an empty memory."""
        host, left = self.world.host, [after]
        called = host._called

        def dying(verb: str, *rest: Any) -> None:
            called(verb, *rest)
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        host._called = dying  # type: ignore[assignment, method-assign]
        try:
            await self.world.settle()
        except (Crash, BaseExceptionGroup):
            pass
        finally:
            del host._called
        self.world.start()

    def expected(self, consumer: str) -> set[tuple[str, str]]:
        found = set()
        for (member, name), owner in self.slices.items():
            if owner not in self.services or member == consumer:
                continue
            providers, consumers = self.services[owner]
            if member in (providers or MEMBERS) and consumer in (consumers or MEMBERS):
                found.add((member, name))
        return found

    def marks(self) -> dict[tuple[str, str], set[str]]:
        """Who wants each slice collected; those that nobody wants are left out."""
        found: dict[tuple[str, str], set[str]] = {}
        for (member, name), owner in self.slices.items():
            if owner in self.services and member in (self.services[owner][0] or MEMBERS):
                found.setdefault((member, name), set()).add(wk.COLLECTED_BY_MCS)
            if (member, owner) in self.exports:
                found.setdefault((member, name), set()).add(wk.COLLECTED_BY_EXPORT)
        return found

    def imported(self) -> set[tuple[str, str, str]]:
        """Member, slice and derived Service of what the control plane has."""
        return {
            (member, name, f"derived-{owner}")
            for (member, name), owner in self.slices.items()
            if (member, owner) in self.exports
        }


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(0, 1000))
async def test_whatever_happens_the_fleet_comes_to_rest_as_the_services_ask(history: list[Any], seed: int):
    fate = Fate(seed)
    for step in history:
        await fate.carry_out(step)
    world = fate.world
    await world.settle()
    assert world.conflicts == {}, "whoever else writes does so between the steps: these would be with ourselves"
    for consumer in MEMBERS:
        copies = [
            one
            for one in world.works_in(consumer).values()
            if wk.PROVISION_CLUSTER in one["metadata"].get("annotations", {})
        ]
        found = {(one["metadata"]["annotations"][wk.PROVISION_CLUSTER], origin_name(one)) for one in copies}
        assert found == fate.expected(consumer)
        assert len(copies) == len(found)
        assert len(world.slices_in(consumer)) == len(found), "no two of them overwrite each other in the member"
    for name in fate.services:
        assert (world.condition(wk.SERVICE_APPLIED, name) or ("",))[0] == "True"
    collected = [(member, one) for member in MEMBERS for one in world.works_in(member).values() if is_collected(one)]
    marks = {
        (member, slice_of(one)): set(one["metadata"]["labels"][wk.COLLECTED_BY].split(".")) for member, one in collected
    }
    assert marks == fate.marks()
    assert len(collected) == len(marks)
    slices = world.host.all(wk.SLICE_KIND)
    assert {imported_as(world, one) for one in slices} == fate.imported()
    assert len(slices) == len(fate.imported())
    if not (fate.services or fate.exports):
        assert len(world.works) == len(MEMBERS), "those that brought the ServiceExports"
    world.forget_calls()
    world.start()
    await world.settle()
    assert world.writes == []
    assert world.take_events() == []


def is_collected(work: Any) -> bool:
    return wk.COLLECTED_BY in work["metadata"].get("labels", {})


def slice_of(work: Any) -> str:
    return str(work["spec"]["workload"]["manifests"][0]["metadata"]["name"])


def imported_as(world: World, slice_: Any) -> tuple[str, str, str]:
    """Member, slice and Service, by the Work that an imported slice names: its own name may be ambiguous."""
    meta = slice_["metadata"]
    member = cluster_of_namespace(meta["annotations"][wk.WORK_NAMESPACE])
    work = world.works_in(member)[meta["annotations"][wk.WORK_NAME]]
    return member, slice_of(work), meta["labels"][wk.SERVICE_NAME]


def origin_name(content: Any) -> str:
    annotations = content["metadata"]["annotations"]
    name = content["spec"]["workload"]["manifests"][0]["metadata"]["name"]
    return str(annotations.get(wk.PROVISION_NAME) or name.removeprefix(annotations[wk.PROVISION_CLUSTER] + "-"))
