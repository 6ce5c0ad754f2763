"""A member that has as many Works as it may: what is there goes on, what is new waits, others do not notice."""

import random
from collections import Counter
from typing import Any

import pytest
from prometheus_client import generate_latest

from informers.cache.event import Event
from informers.cache.store import Store
from informers.errors import ServerError
from mcs_controller.api.cluster import Cluster
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.work_limits import WorkLimits, WorkUsage
from mcs_controller.domain.works import CreateWork, SliceRef
from mcs_controller.reconcilers.member_works import MemberWorks
from tests.support.builders import Json, a_work, collected_work, mcs, service, slice_
from tests.support.mcs_world import World

THEIRS = "EndpointSlice are dispatched successfully"
FULL = (
    "m1: it has the 4 Works that one member may have (--member-max-works), so no further ones are made for its slices"
)


def name(number: int) -> str:
    return f"web-{number}"


async def running(slices: int, *, limit: int = 4, consumers: tuple[str, ...] = ("m2",), **flags: Any) -> World:
    """m1 and m3 provide, m1 has so many slices."""
    world = World("m1", "m2", "m3", flags={"member_max_works": limit, **flags})
    world.host.seed(service(), mcs(providers=["m1", "m3"], consumers=consumers))
    for number in range(1, slices + 1):
        world.members["m1"].seed(slice_(name(number), addresses=[f"10.0.0.{number}"]))
    await world.settle()
    return world


def works(world: World) -> Counter[str]:
    """Works of slices by provider."""
    found: Counter[str] = Counter()
    for one in world.host.all("Work"):
        meta, [manifest] = one["metadata"], one["spec"]["workload"]["manifests"]
        if manifest["kind"] == wk.SLICE_KIND:
            provider = (meta.get("annotations") or {}).get(wk.PROVISION_CLUSTER)
            found[provider or meta["namespace"].removeprefix("karmada-es-")] += 1
    return found


def events(world: World) -> list[str]:
    """About Clusters, since the last call."""
    found = [one[5] for one in world.recorder.events if one[1] == wk.CLUSTER_KIND]
    world.recorder.events.clear()
    return found


async def test_below_the_limit_nothing_is_said():
    world = await running(2)
    assert works(world) == {"m1": 4}
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", THEIRS)
    assert events(world) == []


async def test_at_the_limit_new_slices_wait_and_it_is_named_once():
    world = await running(4)
    assert works(world) == {"m1": 4}
    assert len(world.slices_in("m2")) == 2
    assert world.condition(wk.SLICE_DISPATCHED) == ("False", FULL)
    assert events(world) == [f"No further Works are made for its slices: {FULL.partition(': ')[2].partition(',')[0]}"]
    world.members["m1"].seed(slice_("web-5"))
    world.members["m3"].seed(slice_("other-1", addresses=["10.3.0.1"]))
    await world.settle()
    assert works(world) == {"m1": 4, "m3": 2}, "others have room of their own"
    assert world.slices_in("m2")["m3-other-1"] == ["10.3.0.1"]
    assert events(world) == []


async def test_those_that_are_there_are_updated_and_withdrawn_and_those_that_wait_take_their_place():
    world = await running(4)
    first, second = (one.removeprefix("m1-") for one in sorted(world.slices_in("m2")))
    world.members["m1"].edit(wk.SLICE_KIND, "default", first, slice_(first, addresses=["10.9.9.9"]))
    await world.settle()
    assert world.slices_in("m2")[f"m1-{first}"] == ["10.9.9.9"]
    world.members["m1"].remove(wk.SLICE_KIND, "default", first)
    await world.settle()
    found = world.slices_in("m2")
    assert len(found) == 2
    assert f"m1-{first}" not in found
    assert world.condition(wk.SLICE_DISPATCHED) == ("False", FULL)
    world.members["m1"].remove(wk.SLICE_KIND, "default", second)
    await world.settle()
    assert len(world.slices_in("m2")) == 2
    assert works(world) == {"m1": 4}
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", THEIRS)


async def test_a_slice_that_waits_and_goes_is_forgotten():
    world = await running(3)
    there = {one.removeprefix("m1-") for one in world.slices_in("m2")}
    [waiting] = {name(number) for number in (1, 2, 3)} - there
    world.members["m1"].remove(wk.SLICE_KIND, "default", waiting)
    await world.settle()
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", THEIRS)


async def test_it_is_told_again_only_after_there_was_room_to_spare():
    world = await running(3)
    assert len(events(world)) == 1
    for _ in range(3):  # at the brink
        [waits] = {name(number) for number in (1, 2, 3)} - {one.removeprefix("m1-") for one in world.slices_in("m2")}
        world.members["m1"].remove(wk.SLICE_KIND, "default", waits)
        await world.settle()
        world.members["m1"].seed(slice_(waits))
        await world.settle()
    assert events(world) == []
    for number in (1, 2, 3):
        world.members["m1"].remove(wk.SLICE_KIND, "default", name(number))
    await world.settle()
    for number in (1, 2, 3):
        world.members["m1"].seed(slice_(name(number)))
    await world.settle()
    assert len(events(world)) == 1


async def test_copies_for_consumers_count_and_one_slice_never_goes_beyond_the_limit():
    world = await running(1, limit=2, consumers=("m2", "m3"))
    assert works(world) == {"m1": 2}
    assert (world.condition(wk.SLICE_DISPATCHED) or ("", ""))[1] == FULL.replace("4", "2")
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"consumerClusters": [{"name": "m3"}]}})
    await world.settle()
    assert (len(world.slices_in("m2")), len(world.slices_in("m3"))) == (0, 1)
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", THEIRS)


async def test_a_restarted_process_counts_what_is_there_and_writes_nothing():
    world = await running(4)
    world.forget_calls()
    world.stop()
    world.start()
    await world.settle()
    assert world.writes == []
    assert world.condition(wk.SLICE_DISPATCHED) == ("False", FULL)


async def test_bytes_are_counted_and_beyond_twice_the_limit_no_work_becomes_larger():
    world = await running(1, limit=0)
    [collected, copy] = [
        len(a_work(one).manifests[0].raw)
        for one in world.host.all("Work")
        if one["spec"]["workload"]["manifests"][0]["kind"] == wk.SLICE_KIND
    ]
    limit = collected + copy
    many = [f"10.0.{third}.{fourth}" for third in range(1, 9) for fourth in range(1, 200)]
    world = await running(1, limit=0, member_max_work_bytes=limit)
    world.members["m1"].seed(slice_("web-2"))
    await world.settle()
    assert works(world) == {"m1": 2}
    text = f"m1: its Works have the {limit} bytes that one member may have (--member-max-work-bytes)"
    assert world.condition(wk.SLICE_DISPATCHED) == ("False", f"{text}, so no further ones are made for its slices")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=many))
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": many}, "it may grow while there is less than twice as much"
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=[*many, "10.9.9.9"]))
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": many}
    assert f"{text}, twice, so none of them becomes larger" in (world.condition(wk.SLICE_DISPATCHED) or ("", ""))[1]
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=["10.9.9.9"]))
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.9.9.9"]}


async def test_a_create_that_fails_gives_its_room_back():
    world = await running(0, limit=2)
    world.host.fail(ServerError(500, "Internal", "no"), "create", wk.WORK_KIND, times=1000)
    world.members["m1"].seed(slice_())
    await world.settle(failures=True)
    assert works(world) == {}
    world.host.stop_failing()
    await world.settle()
    assert works(world) == {"m1": 2}


@pytest.mark.parametrize("seed", range(5))
async def test_at_rest_nothing_waits_as_long_as_there_is_room_and_the_limit_holds(seed: int):
    rng = random.Random(seed)
    world = await running(0, limit=7, consumers=("m2", "m3"))
    there: set[int] = set()
    for _ in range(12):
        for _ in range(rng.randint(1, 4)):
            number = rng.randint(1, 6)
            if number in there:
                world.members["m1"].remove(wk.SLICE_KIND, "default", name(number))
            else:
                world.members["m1"].seed(slice_(name(number)))
            there ^= {number}
        await world.settle()
        assert works(world)["m1"] == min(7, 3 * len(there))


# --- counting ---------------------------------------------------------------------------------------------------------


def member_works(limit: int = 1) -> tuple[MemberWorks, list[Any]]:
    woken: list[Any] = []
    clusters = Store[Cluster]()
    return MemberWorks(WorkLimits(limit), enqueue_slice=woken.append, clusters=clusters, recorder=None), woken


def test_the_end_of_a_work_gives_back_what_it_was_counted_as():
    """The event may show a later state than the one before it."""
    usage, _ = member_works()
    other = a_work(collected_work("m1", slice_("web-2")))
    large, small = (a_work(collected_work("m1", slice_(addresses=["10.0.0.1"] * many))) for many in (50, 1))
    size, left = len(large.manifests[0].raw), len(other.manifests[0].raw)
    usage.observe(Event(new=other))
    usage.observe(Event(new=large))
    usage.observe(Event(old=large, new=large))
    assert usage.usage() == {"m1": WorkUsage(2, size + left)}
    usage.observe(Event(old=small))
    assert usage.usage() == {"m1": WorkUsage(1, left)}
    usage.observe(Event(old=other))
    assert usage.usage() == {}


def of(number: int) -> SliceRef:
    return SliceRef("m1", "default", name(number))


def collected(number: int) -> Any:
    return a_work(collected_work("m1", slice_(name(number))))


def refused(usage: MemberWorks, number: int, namespace: str = "karmada-es-m1") -> bool:
    """Whether a slice that wants a Work there has to wait."""
    write = CreateWork(namespace, {"metadata": {"name": "w"}})
    with usage.looking_at(of(number)):
        return usage.withheld(of(number), write, lambda: None) is not None


def test_room_is_for_slices_that_have_their_collected_work_before_new_ones():
    usage, woken = member_works(2)
    for number in (1, 2):
        usage.observe(Event(new=collected(number)))
    assert refused(usage, 3)
    assert refused(usage, 1, "karmada-es-m2")
    usage.observe(Event(old=collected(2)))
    assert woken == [of(1)]
    assert refused(usage, 4), "though there is room at the moment"
    assert not refused(usage, 1, "karmada-es-m2")
    assert woken[1:] == [of(3)]
    assert not refused(usage, 4)


def test_a_limit_is_over_when_a_tenth_is_free():
    usage, _ = member_works(20)
    for number in range(20):
        usage.observe(Event(new=collected(number)))
    assert refused(usage, 20)
    for left in (19, 18):
        with usage.looking_at(of(20)):
            pass
        assert usage.waiting() == {"m1": 0}, "it is not told again"
        usage.observe(Event(old=collected(left)))
    assert usage.waiting() == {"m1": 0}
    usage.observe(Event(old=collected(17)))
    assert usage.waiting() == {}


def test_each_change_wakes_one_that_waits_and_only_if_there_is_room():
    usage, woken = member_works()
    work = a_work(collected_work("m1"))
    usage.observe(Event(new=work))
    body: Json = {"metadata": {"name": "w"}}
    for number in range(1000):
        origin = SliceRef("m1", "default", name(number))
        with usage.looking_at(origin):
            assert usage.withheld(origin, CreateWork("karmada-es-m1", body), lambda: None) is not None
    assert (woken, usage.waiting()) == ([], {"m1": 1000})
    usage.observe(Event(old=work))
    assert woken == [("m1", "default", "web-0")]
    with usage.looking_at(SliceRef("m1", "default", "web-0")):
        pass  # it is wanted no more
    assert woken[1:] == [("m1", "default", "web-1")]
    assert usage.waiting() == {"m1": 999}


async def test_metrics_tell_what_each_member_has_and_what_waits():
    world = await running(4)
    text = generate_latest(world.metrics).decode()
    assert 'mcs_member_works{member_cluster="m1"} 4.0' in text
    assert 'mcs_member_slices_withheld{member_cluster="m1"} 2.0' in text
    assert 'mcs_member_work_bytes{member_cluster="m1"} ' in text
