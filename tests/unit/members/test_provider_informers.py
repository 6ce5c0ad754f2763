"""One watch per provider, as long as its connection lasts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio

from informers.cache.event import Event
from informers.errors import CacheFull, Forbidden, KubeError, NotFound, ServerError, TransportError, Unauthorized
from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain.indexes import SLICE_INDEXES
from mcs_controller.members.provider_informers import ProviderInformers
from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.reconcile import ClusterRequest
from tests.support.builders import decode, slice_
from tests.support.clock import FakeClock, settle
from tests.support.fake_context import PlainController
from tests.support.members import MemoryMembers
from tests.support.memory import MemoryApi
from workqueue import NORMAL, URGENT, ItemExponentialFailureRateLimiter

SLICE = ClusterRequest("m1", "default", "web-1")


class Bench:
    """Provider watches of two members, m1 connected."""

    def __init__(self) -> None:
        self.apis = {"m1": MemoryApi(), "m2": MemoryApi()}
        self.members = MemoryMembers(self.apis)
        self.members.join("m1")
        self.controller = PlainController("slices", None)
        self.clock = FakeClock()
        self.watches = ProviderInformers(self.members, clock=self.clock, sync_timeout=120)  # type: ignore[arg-type]
        self.watches.add_slice_queue(self.controller)  # type: ignore[arg-type]
        self.announced: list[str] = []
        self.watches.on_synced(self.announced.append)

    @property
    def informer(self) -> Any:
        [informer] = self.members.factories["m1"].informers.values()
        return informer


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    task = asyncio.create_task(made.watches.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_case_17_asking_twice_begins_one_watch(bench: Bench):
    bench.apis["m1"].seed(slice_())
    bench.watches.ensure("m1")
    assert list(bench.controller.pending) == [SLICE]
    bench.controller.pending.clear()
    bench.watches.ensure("m1")
    await settle()
    assert not bench.controller.pending, "a second handler would have been told of the slice again"
    assert len(bench.informer.handlers) == 1
    assert bench.announced == ["m1"]


async def test_a_change_of_endpoints_in_use_comes_before_ordinary_work_and_a_new_slice_does_not(bench: Bench):
    api, informer = bench.apis["m1"], unsynced(bench)
    informer.synced.set()
    slices: Controller[ClusterRequest] = Controller(
        "slices", cast(Any, None), clock=bench.clock, rate_limiter=ItemExponentialFailureRateLimiter(1, 1000)
    )
    slices._running = True  # its watches are registered at once
    bench.watches.add_slice_queue(slices)
    bench.watches.ensure("m1")

    async def priority() -> int:
        request = await slices.queue.get()
        found = slices.queue.priority_of(request)
        slices.queue.done(request)
        return found

    api.seed(slice_())
    assert await priority() == NORMAL
    api.edit("EndpointSlice", "default", "web-1", {"endpoints": []})
    assert await priority() == URGENT
    api.remove("EndpointSlice", "default", "web-1")
    assert await priority() == URGENT


async def test_slices_are_unknown_until_the_first_list_is_complete(bench: Bench):
    assert bench.watches.slices("m1") is None
    member: Any = bench.members.get("m1")
    informer = member.informers.informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
    informer.synced.clear()
    bench.watches.ensure("m1")
    await settle()
    assert bench.watches.slices("m1") is None
    assert bench.announced == []
    informer.synced.set()
    await settle()
    assert bench.watches.slices("m1") is informer.store
    assert bench.announced == ["m1"]


async def test_a_first_list_that_takes_too_long_is_reported_once_and_waited_for(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    informer = unsynced(bench)
    informer.fail(ServerError(500, "", "not now"))
    bench.watches.ensure("m1")
    await bench.clock.advance(119)
    assert not caplog.records
    await bench.clock.advance(1000)
    [record] = caplog.records
    assert "not now" in vars(record)["error"]
    informer.synced.set()
    await settle()
    assert bench.announced == ["m1"]


def unsynced(bench: Bench) -> Any:
    """The informer of m1's slices, whose first list is to come."""
    member: Any = bench.members.get("m1")
    informer = member.informers.informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
    informer.synced.clear()
    return informer


FORBIDDEN = Forbidden(403, "Forbidden", "you may not")
ABSENT = NotFound(404, "NotFound", "no such kind")
UNKNOWN = Unauthorized(401, "Unauthorized", "Unauthorized")
CANNOT = "its endpointslices cannot be listed: "
REFUSED = f"{CANNOT}it refused the token in Secret karmada-cluster/m1"


@pytest.mark.parametrize("early", [True, False], ids=["before-anybody-asks", "later"])
@pytest.mark.parametrize("error", [FORBIDDEN, ABSENT], ids=["403", "404"])
async def test_a_final_answer_is_told_at_once_and_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: KubeError, early: bool
):
    told: list[str] = []
    bench.watches.on_problem(told.append)
    informer = unsynced(bench)
    if early:
        informer.fail(error)
    bench.watches.ensure("m1")
    for _ in range(3):
        informer.fail(error)
        await settle()
    assert bench.watches.problem("m1") == f"{CANNOT}{error}"
    assert (len(caplog.records), told) == (1, ["m1"])
    informer.fail(None)
    assert bench.watches.problem("m1") is None
    assert told == ["m1", "m1"]


async def test_a_cache_that_is_too_large_is_a_problem_until_it_has_been_listed(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    bench.apis["m1"].seed(slice_())
    bench.watches.ensure("m1")
    await settle()
    bench.informer.synced.clear()
    bench.informer.dropped.set()
    full = CacheFull("there is no room for its objects: all caches together may take 100 bytes", 60)
    for _ in range(2):
        bench.informer.fail(full)
        await settle()
        bench.informer.fail(None)  # the next list has begun
    assert (bench.watches.problem("m1"), bench.watches.slices("m1")) == (f"{CANNOT}{full}", None)
    assert len(caplog.records) == 1
    bench.informer.synced.set()
    await settle()
    assert bench.watches.problem("m1") is None
    assert bench.announced == ["m1", "m1"]


async def test_a_token_is_said_to_be_refused_when_it_was_refused_again(bench: Bench):
    informer = unsynced(bench)
    bench.watches.ensure("m1")
    informer.fail(UNKNOWN)
    assert bench.watches.problem("m1") is None, "the Secret may hold another one"
    informer.fail(UNKNOWN)
    assert bench.watches.problem("m1") == REFUSED


async def test_a_rotation_of_the_token_is_silent(bench: Bench, caplog: pytest.LogCaptureFixture):
    watches, informer = bench.watches, unsynced(bench)
    watches.ensure("m1")
    informer.synced.set()
    await settle()
    for _ in range(3):
        informer.fail(UNKNOWN)
        informer.fail(None)
    assert watches.problem("m1") is None
    assert not caplog.records


async def test_a_right_that_is_taken_away_later_is_told_too_and_what_was_known_stays(bench: Bench):
    bench.apis["m1"].seed(slice_())
    bench.watches.ensure("m1")
    await settle()
    bench.informer.fail(FORBIDDEN)
    assert bench.watches.problem("m1") == f"{CANNOT}{FORBIDDEN}"
    assert bench.watches.slices("m1") is not None
    bench.informer.fail(None)
    assert bench.watches.problem("m1") is None


async def test_a_connection_of_before_has_no_say(bench: Bench):
    bench.watches.ensure("m1")
    old = bench.informer
    bench.members.join("m1")
    bench.watches.ensure("m1")
    old.fail(FORBIDDEN)
    assert bench.watches.problem("m1") is None


async def test_a_server_that_is_away_is_none_that_refuses(bench: Bench):
    informer = unsynced(bench)
    bench.watches.ensure("m1")
    for _ in range(3):
        informer.fail(TransportError("connection refused"))
    assert bench.watches.problem("m1") is None


async def test_a_member_without_connection_is_watched_once_it_has_one(bench: Bench):
    bench.watches.ensure("m2")
    assert bench.watches.slices("m2") is None
    bench.members.join("m2")
    assert bench.announced == ["m2"], "which leads to the Works, and they ask again"
    bench.watches.ensure("m2")
    assert bench.watches.slices("m2") is not None


async def test_a_rebuilt_connection_is_watched_anew_and_the_old_one_heard_no_more(bench: Bench):
    bench.watches.ensure("m1")
    old = bench.informer
    bench.members.join("m1")
    assert bench.watches.slices("m1") is None, "what the old connection knew is out of date"
    bench.watches.ensure("m1")
    assert bench.informer is not old
    bench.controller.pending.clear()
    old.emit(Event(new=decode(slice_(metadata={"resourceVersion": "9"}))))
    assert not bench.controller.pending


async def test_nobody_waits_for_the_first_list_of_a_connection_that_is_closed(bench: Bench):
    bench.members.get("m1")
    bench.watches.ensure("m1")
    bench.informer.synced.clear()
    await settle()
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert "first list of m1" in running
    bench.members.leave("m1")
    await settle()
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert "first list of m1" not in running
    assert bench.announced == []
