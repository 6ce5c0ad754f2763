"""What happens while a watch is silent: promise 19 of SharedInformer."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from informers.client.wire import Versions
from informers.errors import Forbidden, KubeError, NotFound, ServerError, TransportError, Unauthorized
from informers.meta import key_of
from informers.watch.comparison import BUSY_PAUSE, IN_FLIGHT_SECONDS, SILENT_SECONDS, VersionReader
from tests.support.clock import settle
from tests.support.informer_bench import Bench, running
from tests.support.list_watch import ScriptedListWatch
from tests.support.objects import bookmark_line, config_map, event_line, manifest


class Server(ScriptedListWatch):
    """Its watch says what a test has it say; `versions`, or `refusal`, is what a list says."""

    def __init__(self) -> None:
        super().__init__()
        self.versions = Versions("10", {})
        self.refusal: KubeError | None = None
        self.lists = 0
        self.delay: asyncio.Event | None = None
        self.options: dict[str, Any] = {}

    async def list_versions(self, resource: object, namespace: str = "", **options: Any) -> Versions:
        self.lists, self.options = self.lists + 1, {"namespace": namespace, **options}
        if self.delay is not None:
            await self.delay.wait()
        if self.refusal is not None:
            raise self.refusal
        return self.versions

    def has(self, version: int, **objects: int) -> None:
        named = {key_of(config_map(name, one)): str(one) for name, one in objects.items()}
        self.versions = Versions(str(version), named)


@pytest.fixture
def server() -> Server:
    return Server()


def bench_of(server: Server, **options: Any) -> AbstractAsyncContextManager[Bench]:
    return running(server=server, **options)


async def let_pass(bench: Bench, seconds: float = SILENT_SECONDS + IN_FLIGHT_SECONDS) -> None:
    """A second at a time, as whoever waits is to see that it has passed."""
    for _ in range(round(seconds)):
        await bench.clock.advance(1)


async def relisted(bench: Bench, version: int, *objects: tuple[str, int]) -> None:
    assert bench.server.requests[-1] == "stream"
    lines = [event_line("ADDED", manifest(name, one)) for name, one in objects]
    bench.server.pending.open(*lines, bookmark_line(version, initial_events_end=True))
    await settle()


def test_server_can_be_compared_with(server: Server) -> None:
    assert isinstance(server, VersionReader)


async def test_silent_watch_of_what_has_not_changed_stays_open_and_the_store_is_known_to_be_right(server: Server):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        server.has(12, a=1)
        for number in range(1, 4):
            await let_pass(bench, SILENT_SECONDS)
            assert server.lists == number
            assert bench.informer.last_confirmed_monotonic == bench.clock.monotonic()
        assert server.requests == ["stream"]


async def busy(bench: Bench, stream: Any, seconds: int) -> None:
    """The watch says something every second, be it of other objects than those that matter."""
    for _ in range(seconds):
        stream.send(bookmark_line(10))
        await bench.clock.advance(1)


async def test_watch_that_says_something_is_compared_as_often_as_a_silent_one(server: Server):
    async with bench_of(server) as bench:
        stream = await bench.synced(("a", 1))
        server.has(10, a=1)
        await busy(bench, stream, 70)
        assert (server.lists, server.requests) == (10, ["stream"])
        assert bench.informer.last_confirmed_monotonic == bench.clock.monotonic() - 1


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"a": 11, "b": 2}, ["updated a 11"]),
        ({"a": 1, "b": 2, "c": 11}, ["added c 11"]),
        ({"a": 1}, ["deleted b 2 tombstone"]),
    ],
    ids=["changed", "created", "deleted"],
)
async def test_what_a_watch_loses_while_it_tells_of_others_is_listed(
    server: Server, there: dict[str, int], told: list[str]
):
    async with bench_of(server) as bench:
        stream = await bench.synced(("a", 1), ("b", 2))
        bench.informer.add_handler(bench.handler)
        bench.told.clear()
        server.has(11, **there)
        await busy(bench, stream, round(SILENT_SECONDS + IN_FLIGHT_SECONDS))
        assert server.lists == 2
        await relisted(bench, 11, *there.items())
        assert bench.told == told
        assert ("configmaps.v1", "missed", 1) in bench.metrics.seen


async def test_what_a_busy_watch_tells_late_or_changes_again_is_not_missed(server: Server):
    async with bench_of(server) as bench:
        stream = await bench.synced(("a", 1), ("b", 2))
        server.has(12, a=11, b=2, gone=12)
        await busy(bench, stream, round(SILENT_SECONDS))
        await bench.send(stream, "MODIFIED", "a", 11)
        server.has(14, a=13, b=2)
        await busy(bench, stream, round(IN_FLIGHT_SECONDS))
        assert (server.lists, server.requests) == (2, ["stream"])


async def test_a_large_collection_whose_watch_is_busy_is_compared_less_often(server: Server):
    async with bench_of(server) as bench:
        stream = await bench.synced(("a", 1))
        server.has(10, a=1)
        server.delay = asyncio.Event()
        await busy(bench, stream, round(SILENT_SECONDS) + 1)
        server.delay.set()
        await busy(bench, stream, 2 + BUSY_PAUSE)
        assert server.lists == 2


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"a": 11, "b": 2}, ["updated a 11"]),
        ({"a": 1, "b": 2, "c": 11}, ["added c 11"]),
        ({"a": 1}, ["deleted b 2 tombstone"]),
    ],
    ids=["changed", "created", "deleted"],
)
async def test_what_the_watch_does_not_tell_is_listed(
    server: Server, there: dict[str, int], told: list[str], caplog: pytest.LogCaptureFixture
):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1), ("b", 2))
        bench.informer.add_handler(bench.handler)
        bench.told.clear()
        server.has(11, **there)
        await let_pass(bench)
        await relisted(bench, 11, *there.items())
        assert bench.told == told
        assert ("configmaps.v1", "missed", 1) in bench.metrics.seen
        [line] = [record for record in caplog.records if record.message == "listing again"]
        assert vars(line)["why"].startswith("the watch did not tell of 1 objects, as ")


async def test_event_that_was_only_on_its_way_is_waited_for(server: Server):
    async with bench_of(server) as bench:
        stream = await bench.synced(("a", 1))
        server.has(11, a=11)
        await let_pass(bench, SILENT_SECONDS + IN_FLIGHT_SECONDS - 1)
        await bench.send(stream, "MODIFIED", "a", 11)
        await let_pass(bench, 3)
        assert (server.lists, server.requests) == (1, ["stream"])


async def test_watch_that_goes_on_swallowing_changes_is_found_out_each_time(server: Server):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        for version in (11, 12, 13):
            server.has(version, a=version)
            await let_pass(bench)
            await relisted(bench, version, ("a", version))
            assert bench.informer.store.values() == [config_map("a", version)]


async def test_what_a_list_does_not_settle_is_not_listed_over_and_over(server: Server):
    """An object that cannot be read: the server has it, the store never will."""
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        server.has(11, a=1, unreadable=11)
        await let_pass(bench)
        await relisted(bench, 11, ("a", 1))
        await let_pass(bench, 60)
        assert server.requests == ["stream", "stream"]
        assert bench.clock.monotonic() - (bench.informer.last_confirmed_monotonic or 0) < 10
        server.has(12, a=12, unreadable=11)
        await let_pass(bench, 10)
        await relisted(bench, 12, ("a", 12))


async def test_own_writes_that_are_newer_than_the_list_are_no_difference(server: Server):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        bench.informer.observe(config_map("a", 15))
        bench.informer.observe(config_map("b", 16))
        server.has(11, a=1)
        await let_pass(bench, 20)
        assert server.requests == ["stream"]


async def test_server_that_went_back_is_listed_although_it_has_the_same_objects(
    server: Server, caplog: pytest.LogCaptureFixture
):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        server.has(9, a=1)
        await let_pass(bench)
        await relisted(bench, 9, ("a", 1))
        assert "the server went back from version 10 to 9" in [vars(record).get("why") for record in caplog.records]


@pytest.mark.parametrize(
    "refusal", [Forbidden(403, "Forbidden", "no"), Unauthorized(401, "Unauthorized", "who?"), NotFound(404, "", "gone")]
)
async def test_refusal_ends_the_watch_which_is_opened_again_where_it_was(server: Server, refusal: KubeError):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        failures: list[KubeError | None] = []
        bench.informer.on_failure(failures.append)
        server.refusal = refusal
        await let_pass(bench, SILENT_SECONDS)
        assert server.requests == ["stream", "watch 10"]
        assert failures == [refusal] == [bench.informer.last_error]
        server.refusal = None
        bench.server.pending.open()
        await settle()
        assert failures == [refusal, None]


@pytest.mark.parametrize("error", [TransportError("refused"), ServerError(500)])
async def test_list_that_fails_leaves_the_watch_alone_but_the_store_ages(server: Server, error: KubeError):
    async with bench_of(server) as bench:
        await bench.synced(("a", 1))
        begun = bench.clock.monotonic()
        server.refusal = error
        await let_pass(bench, 40)
        assert server.lists == 40 - SILENT_SECONDS + 1
        assert server.requests == ["stream"]
        assert bench.informer.last_confirmed_monotonic == begun


async def test_nothing_is_compared_before_there_is_a_list_nor_while_there_is_no_watch(server: Server):
    async with bench_of(server) as bench:
        await let_pass(bench, 30)
        assert (server.lists, bench.informer.last_confirmed_monotonic) == (0, None)
        stream = await bench.synced()
        stream.end()
        await let_pass(bench, 30)
        assert (server.lists, server.requests) == (0, ["stream", "watch 10"])


async def test_watch_that_ends_while_it_is_compared_is_compared_again_as_soon_as_the_next_is_open(server: Server):
    """Not after another silence: the store would seem to be out of date when a slow list meets the end of a watch."""
    async with bench_of(server) as bench:
        stream = await bench.synced(("a", 1))
        server.has(10, a=1)
        answer = server.delay = asyncio.Event()
        await let_pass(bench, SILENT_SECONDS)
        stream.end()
        await settle()
        answer.set()
        await settle()
        assert (server.lists, server.requests) == (1, ["stream", "watch 10"])
        bench.server.pending.open()
        await bench.clock.advance(1)
        assert server.lists == 2
        assert bench.informer.last_confirmed_monotonic == bench.clock.monotonic()


async def test_the_same_collection_is_listed_as_is_watched(server: Server):
    async with bench_of(server, namespace="shop", label_selector="a=b", field_selector="metadata.name=x") as bench:
        await bench.synced()
        await let_pass(bench)
    assert server.options == {
        "namespace": "shop",
        "label_selector": "a=b",
        "field_selector": "metadata.name=x",
        "at_most": 1000,
    }
