"""One watch per provider, as long as its connection lasts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from informers.errors import Forbidden
from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain.indexes import SLICE_INDEXES
from mcs_controller.reconcilers.provider_watches import ProviderWatches
from mcs_controller.runtime.reconcile import ClusterRequest
from tests.support.builders import slice_
from tests.support.clock import FakeClock, settle
from tests.support.mcs_world import Members, PlainController
from tests.support.memory import MemoryApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

SLICE = ClusterRequest("m1", "default", "web-1")


class Bench:
    """Provider watches of two members, m1 connected."""

    def __init__(self) -> None:
        self.apis = {"m1": MemoryApi(), "m2": MemoryApi()}
        self.members = Members(self.apis)
        self.members.join("m1")
        self.controller = PlainController("slices", None)
        self.clock = FakeClock()
        self.watches = ProviderWatches(self.members, clock=self.clock, sync_timeout=120)  # type: ignore[arg-type]
        self.watches.feed(self.controller)  # type: ignore[arg-type]
        self.announced: list[str] = []
        self.watches.on_synced(self.announced.append)

    @property
    def informer(self) -> Any:
        [informer] = self.members.connected["m1"]._informers.values()
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
    assert len(bench.informer._handlers) == 1
    assert bench.announced == ["m1"]


async def test_slices_are_unknown_until_the_first_list_is_complete(bench: Bench):
    assert bench.watches.slices("m1") is None
    member: Any = bench.members.get("m1")
    informer = member._informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
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
    member: Any = bench.members.get("m1")
    informer = member._informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
    informer.synced.clear()
    informer.last_error = Forbidden(403, "Forbidden", "you may not")
    bench.watches.ensure("m1")
    await bench.clock.advance(119)
    assert not caplog.records
    await bench.clock.advance(1000)
    [record] = caplog.records
    assert "you may not" in vars(record)["error"]
    informer.synced.set()
    await settle()
    assert bench.announced == ["m1"]


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
    old.deliver(slice_(metadata={"resourceVersion": "9"}), deleted=False)
    assert not bench.controller.pending


async def test_nobody_waits_for_the_first_list_of_a_connection_that_is_closed(bench: Bench):
    member: Any = bench.members.get("m1")
    bench.watches.ensure("m1")
    member._informers["endpointslices"].synced.clear()
    await settle()
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert "first list of m1" in running
    bench.members.leave("m1")
    await settle()
    running = {task.get_name() for task in asyncio.all_tasks()}
    assert "first list of m1" not in running
    assert bench.announced == []


async def test_a_connection_that_closed_before_anybody_waited_is_not_waited_for(bench: Bench):
    bench.watches.ensure("m1")
    bench.members.leave("m1")
    await settle()
    assert bench.announced == []
