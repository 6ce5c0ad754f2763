"""Informers started and stopped together, or one by one."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from informers.cache.factory import InformerFactory
from informers.errors import Forbidden, TransportError
from tests.support.clock import FakeClock, settle
from tests.support.list_watch import ScriptedListWatch
from tests.support.objects import CONFIG_MAPS, ConfigMap, bookmark_line, event_line, manifest
from workqueue import LOW, NORMAL, at_priority, current_priority

SYNCED = bookmark_line(10, initial_events_end=True)
REFUSED = TransportError("connection refused")


class LongestDelay(random.Random):
    """No luck at all: every random delay is as long as it can be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Bench:
    def __init__(self, rng: random.Random | None = None) -> None:
        self.server = ScriptedListWatch()
        self.clock = FakeClock()
        self.factory = InformerFactory(self.server, clock=self.clock, rng=rng or random.Random(1))

    async def refuse_all(self, collections: int) -> None:
        """Ask for so many collections, none of which the server answers."""
        for number in range(collections):
            self.factory.informer(CONFIG_MAPS, namespace=f"ns-{number}")
        await settle()
        for request in tuple(self.server.waiting):
            request.fail(REFUSED)
        await settle()

    @property
    def asking(self) -> list[str]:
        """The namespaces that are asked for at the moment."""
        return [request.options["namespace"] for request in self.server.waiting]


@asynccontextmanager
async def running(rng: random.Random | None = None) -> AsyncIterator[Bench]:
    bench = Bench(rng)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.factory.run())
        await settle()
        yield bench
        task.cancel()


def by_name(obj: ConfigMap) -> list[str]:
    return [obj.metadata.name]


async def test_same_collection_is_cached_once() -> None:
    factory = Bench().factory
    informer = factory.informer(CONFIG_MAPS, namespace="ns")
    assert factory.informer(CONFIG_MAPS, namespace="ns", indexers={"name": by_name}) is informer
    assert informer.store.by_index("name", "a") == []
    assert factory.informer(CONFIG_MAPS) is not informer
    assert factory.informer(CONFIG_MAPS, namespace="ns", label_selector="a=b") is not informer
    assert factory.informer(CONFIG_MAPS, namespace="ns", field_selector="a=b") is not informer


async def test_index_of_the_same_name_with_another_function_is_refused() -> None:
    factory = Bench().factory
    factory.informer(CONFIG_MAPS, indexers={"name": by_name})
    with pytest.raises(ValueError, match="name"):
        factory.informer(CONFIG_MAPS, indexers={"name": lambda obj: []})


async def test_informers_start_with_the_factory_and_later_ones_at_once() -> None:
    bench = Bench()
    bench.factory.informer(CONFIG_MAPS, namespace="one")
    await settle()
    assert bench.server.requests == []
    task = asyncio.ensure_future(bench.factory.run())
    await settle()
    assert len(bench.server.requests) == 1
    bench.factory.informer(CONFIG_MAPS, namespace="two")
    await settle()
    assert [request.options["namespace"] for request in bench.server.waiting] == ["one", "two"]
    task.cancel()
    await asyncio.wait([task])
    assert bench.server.waiting == []


async def test_informer_asked_for_by_some_work_does_not_go_on_with_its_priority() -> None:
    async with running() as bench:
        seen: list[int] = []
        with at_priority(LOW):
            informer = bench.factory.informer(CONFIG_MAPS)
        informer.add_handler(lambda event: seen.append(current_priority()))
        await settle()
        (request,) = bench.server.waiting
        request.open(event_line("ADDED", manifest("a", 5)), SYNCED)
        await settle()
        assert seen == [NORMAL]


async def test_wait_synced_waits_for_all() -> None:
    async with running() as bench:
        for namespace in ("one", "two"):
            bench.factory.informer(CONFIG_MAPS, namespace=namespace)
        waiting = asyncio.ensure_future(bench.factory.wait_synced())
        await settle()
        first, second = bench.server.waiting
        first.open(SYNCED)
        await settle()
        assert [waiting.done(), bench.factory.has_synced] == [False, False]
        second.open(SYNCED)
        await settle()
        assert [waiting.done(), bench.factory.has_synced] == [True, True]


async def test_one_informer_can_be_stopped_and_asked_for_again() -> None:
    async with running() as bench:
        informer = bench.factory.informer(CONFIG_MAPS, namespace="one")
        bench.factory.informer(CONFIG_MAPS, namespace="two")
        await settle()
        await bench.factory.stop(informer)
        assert [request.options["namespace"] for request in bench.server.waiting] == ["two"]
        await bench.factory.stop(informer)
        assert bench.factory.informer(CONFIG_MAPS, namespace="one") is not informer
        await settle()
        assert [request.options["namespace"] for request in bench.server.waiting] == ["two", "one"]


async def test_informer_that_crashes_takes_the_others_down_with_its_error() -> None:
    def broken(obj: ConfigMap) -> list[str]:
        raise ZeroDivisionError("boom")

    bench = Bench()
    bench.factory.informer(CONFIG_MAPS, namespace="healthy")
    bench.factory.informer(CONFIG_MAPS, indexers={"broken": broken})
    task = asyncio.ensure_future(bench.factory.run())
    await settle()
    bench.server.waiting[1].open(event_line("ADDED", manifest("a", 1)), SYNCED)
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert caught.group_contains(ZeroDivisionError, match="boom")
    assert bench.server.waiting == []


async def test_wake_wakes_all() -> None:
    async with running() as bench:
        for namespace in ("one", "two"):
            bench.factory.informer(CONFIG_MAPS, namespace=namespace)
        await settle()
        for request in tuple(bench.server.waiting):
            request.fail(TransportError("refused"))
        await settle()
        assert bench.server.waiting == []
        bench.factory.retry_now()
        await settle()
        assert len(bench.server.waiting) == 2


async def test_it_runs_once_at_a_time_and_again_afterwards() -> None:
    async with running() as bench:
        bench.factory.informer(CONFIG_MAPS)
        await settle()
        with pytest.raises(RuntimeError, match="runs already"):
            await bench.factory.run()
        assert len(bench.server.waiting) == 1
    again = asyncio.ensure_future(bench.factory.run())
    await settle()
    assert len(bench.server.waiting) == 1
    again.cancel()
    await asyncio.wait([again])


class TestServerThatIsAway:
    async def test_is_tried_once_a_second_by_one_after_the_other(self) -> None:
        async with running(LongestDelay()) as bench:
            await bench.refuse_all(3)
            tries = []
            for _ in range(7):
                await bench.clock.advance(0.999)
                assert bench.asking == []
                await bench.clock.advance(0.001)
                tries += bench.asking
                bench.server.pending.fail(REFUSED)
            assert tries == ["ns-0", "ns-1", "ns-2", "ns-0", "ns-1", "ns-2", "ns-0"]

    async def test_is_tried_no_more_often_by_twenty_informers_than_by_one(self) -> None:
        async with running() as bench:
            await bench.refuse_all(20)
            before = len(bench.server.requests)
            while bench.clock.monotonic() < 1060:
                await bench.clock.advance(0.01)
                for request in bench.server.waiting:
                    request.fail(REFUSED)
            assert 60 <= len(bench.server.requests) - before <= 120

    async def test_is_tried_by_the_next_while_an_attempt_hangs(self) -> None:
        async with running(LongestDelay()) as bench:
            await bench.refuse_all(3)
            await bench.clock.advance(2)
            assert bench.asking == ["ns-0", "ns-1"]

    async def test_and_back_is_asked_by_all_within_a_fifth_of_a_second(self) -> None:
        async with running() as bench:
            await bench.refuse_all(20)
            while not bench.server.waiting:
                await bench.clock.advance(0.01)
            bench.server.pending.open(SYNCED)
            await settle()
            assert bench.asking == []
            await bench.clock.advance(0.1)
            assert 3 < len(bench.asking) < 17  # spread
            await bench.clock.advance(0.1)
            assert len(bench.asking) == 19

    async def test_and_back_with_an_error_is_back_too(self) -> None:
        async with running(LongestDelay()) as bench:
            await bench.refuse_all(2)
            await bench.clock.advance(1)
            bench.server.pending.fail(Forbidden(403, "Forbidden"))
            await bench.clock.advance(0.2)
            assert bench.asking == ["ns-1"]

    async def test_is_tried_although_the_informer_whose_turn_it_is_was_stopped(self) -> None:
        async with running(LongestDelay()) as bench:
            await bench.refuse_all(2)
            await bench.clock.advance(0.5)
            await bench.factory.stop(bench.factory.informer(CONFIG_MAPS, namespace="ns-0"))
            await bench.clock.advance(1)
            assert bench.asking == ["ns-1"]

    async def test_does_not_keep_an_informer_from_trying_that_knows_nothing_yet(self) -> None:
        async with running(LongestDelay()) as bench:
            await bench.refuse_all(2)
            bench.factory.informer(CONFIG_MAPS, namespace="new")
            await settle()
            assert bench.asking == ["new"]
