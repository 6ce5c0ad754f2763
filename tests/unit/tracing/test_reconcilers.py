"""What a tracer is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mcs_controller.api.resources import ENDPOINTSLICES, WORKS
from mcs_controller.domain.indexes import WORK_INDEXES
from mcs_controller.domain.works import SliceRef
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result
from mcs_controller.tracing.changes import Change
from mcs_controller.tracing.reconcilers import TracedExecution, TracedSlices
from tests.support.builders import collected_work, slice_
from tests.support.memory import MemoryApi
from tests.unit.tracing.test_changes import triggered

ORIGIN = SliceRef("m1", "default", "web-1")


class Told:
    """A tracer, and a reconciler that says what it knew then."""

    def __init__(self) -> None:
        self.now: Any = None

    @contextmanager
    def carry(self, change: Change, *, observed: bool) -> Iterator[None]:
        self.now = (change.version, observed)
        yield
        self.now = None

    @contextmanager
    def follow(self, namespace: str, name: str) -> Iterator[None]:
        self.now = (namespace, name)
        yield
        self.now = None

    def requests(self, cluster: str = "") -> Any:
        raise AssertionError

    async def reconcile(self, request: object) -> Result:
        self.seen = self.now
        return Result(requeue_after=5)


@pytest.mark.parametrize("watched", [True, False], ids=["own-provider", "an-agents-provider"])
@pytest.mark.parametrize("there", [True, False], ids=["there", "gone"])
async def test_a_slice_that_is_there_is_a_change(watched: bool, there: bool):
    member, host, told = MemoryApi(), MemoryApi(), Told()
    if there:
        member.seed(triggered())
        host.seed(collected_work("m1", triggered()))
    slices, works = member.informer(ENDPOINTSLICES).store, host.informer(WORKS, WORK_INDEXES).store
    traced = TracedSlices(told, told, slices=lambda _: slices if watched else None, works=works)
    assert await traced.reconcile(ClusterRequest(*ORIGIN)) == Result(requeue_after=5)
    assert told.seen == (("2026-01-01T00:00:00Z", watched) if there else None)


async def test_a_slice_that_is_gone_brings_no_change_although_it_was_collected():
    host, told = MemoryApi(), Told()
    host.seed(collected_work("m1", triggered()))
    none, works = MemoryApi().informer(ENDPOINTSLICES).store, host.informer(WORKS, WORK_INDEXES).store
    await TracedSlices(told, told, slices=lambda _: none, works=works).reconcile(ClusterRequest(*ORIGIN))
    assert told.seen is None


async def test_a_collected_work_without_trigger_time_brings_no_change():
    host, told = MemoryApi(), Told()
    host.seed(collected_work("m1", slice_()))
    works = host.informer(WORKS, WORK_INDEXES).store
    await TracedSlices(told, told, slices=lambda _: None, works=works).reconcile(ClusterRequest(*ORIGIN))
    assert told.seen is None


async def test_execution_follows_the_work():
    told = Told()
    assert await TracedExecution(told, told).reconcile(Request("karmada-es-m2", "web")) == Result(requeue_after=5)
    assert told.seen == ("karmada-es-m2", "web")
