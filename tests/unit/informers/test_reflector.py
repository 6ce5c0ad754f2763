"""Pauses, requests and log lines of the reflector; what answers mean is tested in test_watcher."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from informers.errors import (
    DecodeError,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    ServerError,
    TooManyRequests,
    TransportError,
)
from informers.watch.backoff import ServerHealth
from informers.watch.reflector import MAX_REJECTED, Reflector
from informers.watch.watcher import Bookmark, Replaced, Upsert
from tests.support.clock import FakeClock, settle
from tests.support.list_watch import ScriptedListWatch
from tests.support.objects import CONFIG_MAPS, ConfigMap, bookmark_line, config_map, event_line, manifest

REFUSED = TransportError("connection refused")
BUSY = ServerError(500)
SYNCED = bookmark_line(10, initial_events_end=True)


class LongestDelay(random.Random):
    """No luck at all: every random delay is as long as it can be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Bench:
    def __init__(self, **options: Any) -> None:
        self.server = ScriptedListWatch()
        self.clock = FakeClock()
        self.outputs: list[Any] = []
        self.outage = ServerHealth(clock=self.clock, rng=LongestDelay())
        self.reflector: Reflector[ConfigMap] = Reflector(
            self.server,
            CONFIG_MAPS,
            self.outputs.append,
            clock=self.clock,
            rng=LongestDelay(),
            outage=self.outage,
            **options,
        )

    async def pause_after(self, error: KubeError) -> float:
        """Fail the pending request and return how long it takes until the next one."""
        self.server.pending.fail(error)
        return await self.until_next_request()

    async def until_next_request(self) -> float:
        """Let time pass until the next request and return how many seconds that took."""
        await settle()
        before = self.clock.monotonic()
        while not self.server.waiting:
            assert self.clock.next_deadline is not None, "nobody waits for anything"
            await self.clock.advance(self.clock.next_deadline / 1e9 - self.clock.monotonic())
        return round(self.clock.monotonic() - before, 6)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Bench]:
    bench = Bench(**options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.reflector.run())
        await settle()
        yield bench
        task.cancel()


async def test_refusals_pause_twice_as_long_each_time_up_to_half_a_minute() -> None:
    async with running() as bench:
        pauses = [await bench.pause_after(BUSY) for _ in range(8)]
    assert pauses == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


async def test_opening_15_server_that_does_not_answer_is_tried_every_second_however_long_it_is_away() -> None:
    async with running() as bench:
        pauses = [await bench.pause_after(REFUSED) for _ in range(100)]
    assert pauses == [1.0] * 100


async def test_pauses_between_refusals_do_not_remember_an_outage() -> None:
    async with running() as bench:
        for _ in range(10):
            await bench.pause_after(REFUSED)
        pauses = [await bench.pause_after(BUSY) for _ in range(3)]
    assert pauses == [0.8, 1.6, 3.2]


async def test_who_fails_while_others_are_answered_backs_off() -> None:
    """A list too large for its time limit, say: trying it every second would not be fair on the server."""
    async with running() as bench:
        pauses = []
        for _ in range(4):
            bench.outage.answered()
            pauses.append(await bench.pause_after(REFUSED))
        assert pauses == [0.8, 1.6, 3.2, 6.4]
        assert await bench.pause_after(REFUSED) == 1.0  # now the others are not answered either


async def test_who_waits_for_a_server_goes_on_when_it_answers_somebody_else() -> None:
    async with running() as bench:
        bench.server.pending.fail(REFUSED)
        await bench.clock.advance(0.3)
        bench.outage.answered()
        assert await bench.until_next_request() == 0.2
        bench.outage.answered()
        assert await bench.pause_after(REFUSED) == 0.8  # not at once again, or the two would be a tight loop


async def test_delays_are_spread_over_the_whole_range() -> None:
    bench = Bench()
    bench.reflector._backoff._rng = random.Random(1)
    delays = [bench.reflector._backoff.next() for _ in range(1000)][10:]
    assert min(delays) < 1
    assert max(delays) > 29


async def test_pauses_are_short_again_after_two_good_minutes() -> None:
    async with running() as bench:
        for _ in range(4):
            await bench.pause_after(BUSY)
        stream = bench.server.pending.open(SYNCED)
        await bench.clock.advance(120.001)
        stream.fail(REFUSED)
        await settle()
        assert await bench.pause_after(BUSY) == 0.8


async def test_pauses_go_on_growing_when_the_good_time_was_short() -> None:
    async with running() as bench:
        for _ in range(4):
            await bench.pause_after(BUSY)
        stream = bench.server.pending.open(SYNCED)
        await bench.clock.advance(119)
        stream.fail(REFUSED)
        await settle()
        assert await bench.pause_after(BUSY) == 12.8


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (0.1, 0.8), (86400.0, 300.0)])
async def test_server_decides_the_pause_within_reason(asked: float, waited: float) -> None:
    async with running() as bench:
        assert await bench.pause_after(TooManyRequests(429, retry_after=asked)) == waited
        assert bench.server.requests == ["stream", "stream"]


async def test_wake_ends_a_pause_and_makes_the_next_one_short() -> None:
    async with running() as bench:
        for _ in range(5):
            await bench.pause_after(BUSY)
        bench.server.pending.fail(BUSY)
        await settle()
        assert bench.server.waiting == []
        bench.reflector.retry_now()
        await settle()
        assert await bench.pause_after(BUSY) == 0.8


async def test_wake_does_not_cut_short_what_the_server_asked_for() -> None:
    async with running() as bench:
        for _ in range(5):
            await bench.pause_after(BUSY)
        bench.server.pending.fail(TooManyRequests(429, retry_after=7.0))  # and the back-off would be 25.6 s
        await bench.clock.advance(3)
        bench.reflector.retry_now()
        assert await bench.until_next_request() == 4.0
        bench.server.pending.fail(TooManyRequests(429, retry_after=7.0))
        await settle()
        bench.reflector.retry_now()
        assert await bench.until_next_request() == 7.0
        assert await bench.pause_after(BUSY) == 0.8


async def test_wake_ends_what_a_pause_has_beyond_the_servers_wish() -> None:
    async with running() as bench:
        for _ in range(5):
            await bench.pause_after(BUSY)
        bench.server.pending.fail(TooManyRequests(429, retry_after=7.0))
        await bench.clock.advance(8)
        bench.reflector.retry_now()
        assert await bench.until_next_request() == 0


async def test_wake_ends_the_wait_for_a_server_that_is_away() -> None:
    async with running() as bench:
        bench.server.pending.fail(REFUSED)
        await settle()
        assert bench.server.waiting == []
        bench.reflector.retry_now()
        assert await bench.until_next_request() == 0


async def test_wake_while_nothing_is_wrong_changes_nothing() -> None:
    async with running() as bench:
        stream = bench.server.pending.open(SYNCED)
        await settle()
        bench.reflector.retry_now()
        await settle()
        assert not stream.closed
        assert bench.server.requests == ["stream"]


async def test_watch_that_ends_in_good_order_is_resumed_at_once() -> None:
    async with running() as bench:
        stream = bench.server.pending.open(SYNCED, bookmark_line(20))
        await bench.clock.advance(300)
        stream.end()
        await settle()
        assert stream.closed
        assert str(bench.server.pending) == "watch 20"
        assert bench.reflector.last_error is None


async def test_watch_that_breaks_after_a_while_is_resumed_at_once() -> None:
    async with running() as bench:
        stream = bench.server.pending.open(SYNCED)
        await bench.clock.advance(5)
        stream.fail(REFUSED)
        await settle()
        assert str(bench.server.pending) == "watch 10"


async def test_watches_that_end_at_once_do_not_become_a_tight_loop() -> None:
    async with running() as bench:
        bench.server.pending.open(SYNCED).end()
        pauses = [await bench.until_next_request()]
        for _ in range(3):
            bench.server.pending.open().end()
            pauses.append(await bench.until_next_request())
        assert pauses == [0.8, 1.6, 3.2, 6.4]


async def test_lists_answered_by_410_watches_do_not_become_a_tight_loop() -> None:
    async with running() as bench:
        bench.server.pending.fail(Invalid(422))
        pauses = []
        for _ in range(4):
            await settle()
            bench.server.pending.page(version=10)
            await settle()
            pauses.append(await bench.pause_after(Gone(410, "Expired")))
        assert pauses == [0.8, 1.6, 3.2, 6.4]


async def test_requests_carry_the_selection_and_a_time_limit() -> None:
    async with running(namespace="ns", label_selector="a=b", field_selector="c=d", page_size=7) as bench:
        request = bench.server.pending
        assert request.options["namespace"] == "ns"
        assert request.options["label_selector"] == "a=b"
        assert request.options["field_selector"] == "c=d"
        assert request.options["timeout_seconds"] == 600
        request.fail(Invalid(422))
        await settle()
        assert str(bench.server.pending) == "list limit=7 continue="
        assert bench.server.pending.options["label_selector"] == "a=b"


async def test_time_limits_of_watches_are_spread() -> None:
    seen = set()
    for seed in range(20):
        bench = Bench()
        bench.reflector._rng = random.Random(seed)
        task = asyncio.ensure_future(bench.reflector.run())
        await settle()
        seen.add(bench.server.pending.options["timeout_seconds"])
        task.cancel()
        await asyncio.wait([task])
    assert all(300 <= seconds <= 600 for seconds in seen)
    assert len(seen) > 10


async def test_lines_of_one_read_become_changes_in_their_order() -> None:
    async with running() as bench:
        bench.server.pending.open(SYNCED, event_line("ADDED", manifest("a", 11)), bookmark_line(12))
        await settle()
        assert bench.outputs == [
            Replaced(objects=[], resource_version="10", keep=frozenset()),
            Upsert(config_map("a", 11)),
            Bookmark("12"),
        ]


async def test_rest_of_a_read_after_garbage_is_not_believed() -> None:
    async with running() as bench:
        stream = bench.server.pending.open(SYNCED, b"<html>", event_line("ADDED", manifest("a", 11)))
        await settle()
        assert [type(output) for output in bench.outputs] == [Replaced]
        assert stream.closed


async def test_an_object_that_cannot_be_decoded_is_logged_when_that_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def broken(name: str, version: int, data: Any = 5) -> bytes:
        return event_line("MODIFIED", manifest(name, version) | {"data": data})

    async with running() as bench:
        stream = bench.server.pending.open(SYNCED, *(broken("a", 11 + number) for number in range(50)))
        await settle()
        assert len(caplog.records) == 1
        stream.send(broken("a", 70, []), broken("b", 71))
        await settle()
        assert len(caplog.records) == 3
        stream.send(event_line("MODIFIED", manifest("a", 72)), broken("a", 73))
        await settle()
        assert len(caplog.records) == 4
        stream.send(*(broken(f"other-{number}", 100 + number) for number in range(3 * MAX_REJECTED)))
        await settle()
        assert len(caplog.records) == 2 + MAX_REJECTED


async def test_oversized_event_ends_in_a_list() -> None:
    async with running() as bench:
        stream = bench.server.pending.open(SYNCED)
        await settle()
        stream.fail(DecodeError("watch event of more than 8388608 bytes"))
        await bench.clock.advance(0.8)
        assert bench.server.requests == ["stream", "stream"]


async def test_trouble_shows_in_last_error_until_it_is_over() -> None:
    async with running() as bench:
        await bench.pause_after(REFUSED)
        assert [bench.reflector.last_confirmed] == [None]
        assert [bench.reflector.last_error] == [REFUSED]
        await bench.clock.advance(5)
        bench.server.pending.open(SYNCED)
        await settle()
        assert bench.reflector.last_error is None
        assert bench.reflector.last_confirmed == bench.clock.monotonic()


async def test_trouble_is_logged_when_it_changes_and_not_at_every_attempt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running() as bench:
        for error in (
            REFUSED,
            TransportError("connection refused"),
            Forbidden(403, "Forbidden", "no"),
            ServerError(500),
        ):
            await bench.pause_after(error)
        bench.server.pending.open(SYNCED)
        await settle()
    assert [(record.levelname, vars(record).get("error", "")) for record in caplog.records] == [
        ("WARNING", "connection refused"),
        ("WARNING", "403 Forbidden: no"),
        ("WARNING", "500: "),
        ("INFO", ""),
    ]
    about = {"server": "scripted:6443", "resource": "configmaps.v1"}
    assert all(vars(record).items() >= about.items() for record in caplog.records)


async def test_resumed_watch_is_well_again_before_it_has_anything_to_tell() -> None:
    async with running() as bench:
        stream = bench.server.pending.open(SYNCED)
        await bench.clock.advance(5)
        stream.fail(REFUSED)
        await settle()
        await bench.pause_after(REFUSED)
        assert bench.reflector.last_error is REFUSED
        bench.server.pending.open()
        await settle()
        # Of what it has to tell nothing has been heard yet.
        assert [bench.reflector.last_error, bench.reflector.last_confirmed] == [None, 1000.0]


@pytest.mark.parametrize("when", ["listing", "watching", "pausing"])
async def test_cancelled_anywhere_it_stops_at_once(when: str) -> None:
    bench = Bench()
    task = asyncio.ensure_future(bench.reflector.run())
    await settle()
    stream = bench.server.pending.open(SYNCED) if when == "watching" else None
    if when == "pausing":
        bench.server.pending.fail(REFUSED)
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()
    assert bench.server.waiting == []
    assert stream is None or stream.closed


async def test_server_that_never_tells_the_end_of_a_streaming_list_is_asked_by_pages() -> None:
    """An aggregated one without bookmarks, whose objects change all the time: the stream is never silent."""
    async with running() as bench:
        stream = bench.server.pending.open()
        stream.send(event_line("ADDED", manifest("a", 1)))
        await settle()
        for version in range(2, 6):
            await bench.clock.advance(1)
            stream.send(event_line("MODIFIED", manifest("a", version)))
            await settle()
        assert not bench.server.waiting
        await bench.clock.advance(1)
        stream.send(event_line("MODIFIED", manifest("a", 6)))
        await settle()
        await bench.until_next_request()
        assert str(bench.server.pending).startswith("list")
    assert bench.outputs == []


async def test_streaming_list_that_goes_on_bringing_objects_may_take_its_time() -> None:
    async with running() as bench:
        stream = bench.server.pending.open()
        for number in range(20):
            await bench.clock.advance(4)
            stream.send(event_line("ADDED", manifest(f"a{number}", number + 1)))
            await settle()
        stream.send(bookmark_line(30, initial_events_end=True))
        await settle()
        (listed,) = bench.outputs
        assert len(listed.objects) == 20
