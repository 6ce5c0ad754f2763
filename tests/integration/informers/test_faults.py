"""Faults of the wire, on real sockets, against a server that misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from informers.cache.informer import SharedInformer
from informers.client.client import ApiClient
from informers.client.config import CachedToken, ClientConfig, StaticToken
from informers.client.transport import MAX_OBJECT_BYTES
from informers.errors import (
    AlreadyExists,
    ApiError,
    ConfigError,
    Conflict,
    DecodeError,
    MayNotWrite,
    NotFound,
    ServerError,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from tests.support.api_server import (
    Answer,
    Exchange,
    ScriptedApiServer,
    drop,
    gzipped,
    half_a_page,
    hang,
    list_page,
    reply,
    stream,
)
from tests.support.informing import InterceptedListWatch, client_for, informing
from tests.support.objects import CONFIG_MAPS, bookmark_line, event_line, manifest, status
from workqueue.clock import RealClock
from workqueue.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime


@pytest.fixture
async def server() -> AsyncIterator[ScriptedApiServer]:
    async with ScriptedApiServer() as server:
        yield server


def to(server: ScriptedApiServer, **options: Any) -> ApiClient:
    return client_for(ClientConfig(server=server.url, **options))


class NoDelay(random.Random):
    """Every random delay is as short as it can be."""

    def uniform(self, a: float, b: float) -> float:
        return a


def added(name: str, version: int) -> bytes:
    return event_line("ADDED", manifest(name, version))


SYNCED = bookmark_line(8, initial_events_end=True)
LISTED = (added("a", 5), SYNCED)
NEWS = stream(event_line("MODIFIED", manifest("a", 11)), added("b", 12))
REFRESHED = stream(event_line("ADDED", manifest("a", 11)), added("b", 12), bookmark_line(12, initial_events_end=True))
HALF = b'{"type":"ADDED","object":{"metadata":{"name":"half"'
TOO_OLD = reply(410, status(410, "Expired"))
EXPIRED = event_line("ERROR", status(410, "Expired"))
NO_STREAMING = reply(422, status(422, "Invalid", "sendInitialEvents is forbidden for watch"))
REST = list_page(manifest("b", 12), version=12)


YEAR_LATER = "Thu, 21 Oct 2027 07:28:00 GMT"
DATES = ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:29:30 GMT")


@dataclass
class Fault:
    id: str
    script: list[Answer]
    asked: list[str]


PAGE = list_page(manifest("a", 11), version=11)
FIRST_PAGE = {"metadata": {"resourceVersion": "12", "continue": "t"}, "items": [manifest("a", 11)]}
FIRST = reply(200, FIRST_PAGE)
REST_PAGE = {"metadata": {"resourceVersion": "12"}, "items": [manifest("b", 12)]}
A11 = event_line("MODIFIED", manifest("a", 11))
B = stream(added("b", 12))
LONG = b'{"' + b"x" * (9 << 20) + b'"}'
BAD = event_line("ADDED", manifest("bad", 10) | {"data": 7})
CUT = stream(*LISTED, end="eof")
DEEP = b'{"type":"ADDED","object":{"metadata":{"name":"ghost"},"x":' + b"[" * 5000 + b"]" * 5000 + b"}}"
DEEP_PAGE = b'{"metadata":{"resourceVersion":"11"},"items":[%b,%b]}' % (
    DEEP.partition(b'"object":')[2][:-1],
    msgspec.json.encode(manifest("a", 11)),
)
GZIP = {"Content_Encoding": "gzip"}
SIX = ["stream", *["watch 8"] * 5]

FAULTS = [
    Fault("half a line, then EOF", [stream(*LISTED, tail=HALF, end="eof"), NEWS], ["stream", "watch 8"]),
    Fault("half a line, then a good end", [stream(*LISTED, tail=HALF, end="good"), NEWS], ["stream", "watch 8"]),
    Fault("half a line, then a reset", [stream(*LISTED, tail=HALF, end="reset"), NEWS], ["stream", "watch 8"]),
    Fault("byte by byte", [stream(*LISTED, pieces=1, end="good"), NEWS], ["stream", "watch 8"]),
    Fault("half a list, then EOF",
          [stream(added("ghost", 4), end="eof"), PAGE, B],
          ["stream", "list", "watch 11"]),
    Fault("bookmarks only, then EOF",
          [stream(*LISTED, bookmark_line(9), bookmark_line(10), end="eof"), NEWS],
          ["stream", "watch 10"]),
    Fault("410 as an answer to the resume", [CUT, TOO_OLD, REFRESHED], ["stream", "watch 8", "stream"]),
    Fault("410 in the watch", [stream(*LISTED, EXPIRED), REFRESHED], ["stream", "stream"]),
    Fault("410 on a page", [NO_STREAMING, list_page(manifest("ghost", 1), version=10, token="t"), TOO_OLD,
                            list_page(manifest("a", 11), manifest("b", 12), version=12), stream()],
          ["stream", "list", "list t", "GET /api/v1/configmaps", "watch 12"]),
    Fault("500 on a page", [NO_STREAMING, FIRST, reply(500), drop, REST, stream()],
          ["stream", "list", "list t", "list t", "list t", "watch 12"]),
    Fault("burst of 500", [CUT, *[reply(500)] * 4, NEWS], SIX),
    Fault("burst of resets", [CUT, *[drop] * 4, NEWS], SIX),
    Fault("EOF at once, again and again", [CUT, *[stream(end="good")] * 4, NEWS], SIX),
    Fault("malformed event", [stream(*LISTED, b'{"type":}', added("ghost", 11)), REFRESHED], ["stream", "stream"]),
    Fault("undecodable object", [stream(*LISTED, BAD, A11, added("b", 12))],
          ["stream"]),
    Fault("oversized event", [stream(*LISTED, LONG, added("ghost", 11)), REFRESHED], ["stream", "stream"]),
    Fault("oversized event while listing", [stream(LONG[:-2]), PAGE, B],
          ["stream", "list", "watch 11"]),
    Fault("oversized event while resuming", [CUT, stream(LONG), REFRESHED], ["stream", "watch 8", "stream"]),
    Fault("event nested too deep", [stream(*LISTED, DEEP, A11, added("b", 12))], ["stream"]),
    Fault("object nested too deep on a page", [NO_STREAMING, lambda exchange: exchange.answer(200, DEEP_PAGE), B],
          ["stream", "list", "watch 11"]),
    Fault("list nested too deep", [NO_STREAMING, lambda exchange: exchange.answer(200, DEEP), PAGE, B],
          ["stream", "list", "list", "watch 11"]),
    Fault("repeated events", [stream(*LISTED, A11, added("b", 9), A11, added("a", 5), added("b", 12), added("b", 9))],
          ["stream"]),
    Fault("repeated deletion of an earlier object",
          [stream(*LISTED, event_line("DELETED", manifest("a", 9)),
                  event_line("ADDED", manifest("a", 11, uid="another")), event_line("DELETED", manifest("a", 9)),
                  added("b", 12))],
          ["stream"]),
    Fault("deleted while away and created anew",
          [CUT, stream(event_line("DELETED", manifest("a", 9)), event_line("ADDED", manifest("a", 11, uid="another")),
                       added("b", 12))],
          ["stream", "watch 8"]),
    Fault("deleted and created anew in a gap of history",
          [CUT, TOO_OLD, stream(event_line("ADDED", manifest("a", 11, uid="another")), added("b", 12),
                                bookmark_line(12, initial_events_end=True))],
          ["stream", "watch 8", "stream"]),
    Fault("deletion missed while away", [stream(*LISTED, added("c", 9), end="eof"), TOO_OLD, REFRESHED],
          ["stream", "watch 9", "stream"]),
    Fault("unknown event type", [stream(*LISTED, event_line("RENAMED", manifest("ghost", 9)), A11, added("b", 12))],
          ["stream"]),
    Fault("429 in the watch", [stream(*LISTED, event_line("ERROR", status(429, "TooManyRequests"))), NEWS],
          ["stream", "watch 8"]),
    Fault("500 in the watch", [stream(*LISTED, event_line("ERROR", status(500, "InternalError"))), REFRESHED],
          ["stream", "stream"]),
    Fault("initial events that end without a version",
          [stream(added("ghost", 1), bookmark_line("", initial_events_end=True)), PAGE, B],
          ["stream", "list", "watch 11"]),
    Fault("redirect", [reply(307, Location="http://127.0.0.1:1/"), REFRESHED], ["stream", "stream"]),
    Fault("EOF on a page", [NO_STREAMING, half_a_page, FIRST, half_a_page, REST, stream()],
          ["stream", "list", "list", "list t", "list t", "watch 12"]),
    Fault("compressed pages", [NO_STREAMING, gzipped(FIRST_PAGE), gzipped(REST_PAGE), stream()],
          ["stream", "list", "list t", "watch 12"]),
    Fault("compressed garbage", [NO_STREAMING, lambda exchange: exchange.answer(200, b"not gzip", **GZIP), PAGE, B],
          ["stream", "list", "list", "watch 11"]),
    Fault("endless headers", [lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000), REFRESHED],
          ["stream", "stream"]),
    Fault("no streaming lists", [NO_STREAMING, FIRST, REST, stream()],
          ["stream", "list", "list t", "watch 12"]),
    Fault("a page that is no list",
          [NO_STREAMING, reply(200, ["?"]), FIRST, REST, stream()],
          ["stream", "list", "list", "list t", "watch 12"]),
    Fault("answers that are not HTTP",
          [lambda exchange: exchange.send(b"SSH-2.0-OpenSSH\r\n\r\n"), REFRESHED], ["stream", "stream"]),
    Fault("401, then well again", [reply(401, status(401, "Unauthorized")), REFRESHED], ["stream", "stream"]),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.id for fault in FAULTS])
async def test_informer_ends_up_with_what_the_server_has(server: ScriptedApiServer, fault: Fault) -> None:
    server.script(*fault.script)
    async with to(server) as client, informing(client, synced=False, rng=NoDelay()) as observed:
        await observed.until(lambda: observed.held == {"a": "11", "b": "12"})
        await observed.until(lambda: len(server.requests) >= len(fault.asked))
        assert server.asked == fault.asked
        assert not any("ghost" in told or "half" in told for told in observed.told)


class Impatient(InterceptedListWatch):
    """Whoever is silent for a second is taken for dead: sooner, it might be the machine that is busy."""

    def watch(self, *args: Any, **options: Any) -> Any:
        return super().watch(*args, **options, idle_seconds=1.0)


async def test_silent_dead_watch_is_given_up_and_resumed(server: ScriptedApiServer) -> None:
    server.script(stream(*LISTED), hang, NEWS)
    async with to(server) as client, informing(Impatient(client), rng=NoDelay()) as observed:
        await observed.until(lambda: observed.held == {"a": "11", "b": "12"})
        assert server.asked[:3] == ["stream", "watch 8", "watch 8"]


async def test_retry_after_is_waited_out(server: ScriptedApiServer) -> None:
    server.script(reply(429, status(429, "TooManyRequests"), Retry_After="1"), REFRESHED)
    began = time.monotonic()
    async with to(server) as client, informing(client, rng=NoDelay()) as observed:
        assert observed.held == {"a": "11", "b": "12"}
    assert time.monotonic() - began >= 1.0


async def test_rotated_token_is_fetched_after_a_401_and_the_failed_call_is_not_replayed(
    server: ScriptedApiServer,
) -> None:
    tokens = iter(["old", "new"])

    async def fetch() -> str:
        return next(tokens)

    async def guarded(exchange: Exchange) -> None:
        allowed = exchange.request.headers["authorization"] == "Bearer new"
        answer = manifest("a", 5) if allowed else status(401, "Unauthorized")
        await reply(200 if allowed else 401, answer)(exchange)

    server.script(guarded, guarded, guarded)
    async with to(server, token_source=CachedToken(fetch, clock=RealClock())) as client:
        with pytest.raises(Unauthorized):
            await client.create(CONFIG_MAPS, manifest("a"), "ns")
        assert len(server.requests) == 1
        await client.create(CONFIG_MAPS, manifest("a"), "ns")
        await client.get(CONFIG_MAPS, "a", "ns")
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer old",
        "Bearer new",
        "Bearer new",
    ]


OTHERS: dict[str, Any] = {
    "another name": manifest("b", 7),
    "another namespace": manifest("a", 7)
    | {"metadata": {"name": "a", "namespace": "elsewhere", "resourceVersion": "7"}},
    "a status": status(200, "Success"),
    "nothing": {},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
async def test_answer_about_another_object_is_not_taken_for_the_one_written(
    server: ScriptedApiServer, other: Any
) -> None:
    server.script(*[reply(200, other)] * 4)
    async with to(server) as client:
        for request in (
            client.create(CONFIG_MAPS, manifest("a"), "ns"),
            client.update(CONFIG_MAPS, "a", manifest("a"), "ns"),
            client.patch(CONFIG_MAPS, "a", {}, "ns"),
            client.get(CONFIG_MAPS, "a", "ns"),
        ):
            with pytest.raises(DecodeError):
                await request


@pytest.mark.parametrize(
    "answer", [drop, lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")]
)
async def test_connection_lost_while_writing_is_told_and_not_replayed(
    server: ScriptedApiServer, answer: Answer
) -> None:
    async def then_reset(exchange: Exchange) -> None:
        await answer(exchange)
        exchange.writer.close()

    server.script(then_reset)
    async with to(server) as client:
        with pytest.raises(TransportError, match="POST /api/v1/namespaces/ns/configmaps at 127"):
            await client.create(CONFIG_MAPS, manifest("a"), "ns")
    assert len(server.requests) == 1


async def in_drops(exchange: Exchange) -> None:
    """A page, each piece of it within the time limit."""
    body = msgspec.json.encode(REST_PAGE)
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    size = len(body) // 10 + 1
    for start in range(0, len(body), size):
        await asyncio.sleep(0.3)
        await exchange.send(body[start : start + size])


async def test_list_may_take_longer_than_the_time_limit_as_long_as_it_goes_on(server: ScriptedApiServer) -> None:
    server.script(in_drops, in_drops)
    async with to(server, timeout_seconds=2.0) as client:
        page = await client.list(CONFIG_MAPS)
        assert [obj.metadata.name for obj in page.items] == ["b"]
        with pytest.raises(TransportError):
            await client.get(CONFIG_MAPS, "b")


async def test_list_that_stops_in_the_middle_runs_into_the_time_limit(server: ScriptedApiServer) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"metadata":')
        await hang(exchange)

    server.script(half)
    async with to(server, timeout_seconds=0.2) as client:
        with pytest.raises(TransportError):
            await client.list(CONFIG_MAPS)


async def test_server_that_never_answers_runs_into_the_time_limit(server: ScriptedApiServer) -> None:
    server.script(hang)
    async with to(server, timeout_seconds=0.2) as client:
        with pytest.raises(TransportError, match="timed out"):
            await client.get(CONFIG_MAPS, "a", "ns")


async def dripping(exchange: Exchange, head: bytes) -> None:
    """Each byte in time, without end."""
    await exchange.send(head)
    with contextlib.suppress(ConnectionError):
        while True:
            await exchange.send(b"x")
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 500 X\r\nContent-Length: 100000\r\n\r\n"],
    ids=["status line", "header", "error"],
)
async def test_watch_whose_answer_comes_byte_by_byte_is_given_up(server: ScriptedApiServer, head: bytes) -> None:
    server.script(lambda exchange: dripping(exchange, head))
    async with to(server, timeout_seconds=0.3) as client:
        with pytest.raises(TransportError):
            async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9, idle_seconds=0.3):
                pass


async def watched(client: ApiClient) -> list[bytes]:
    """The lines of a watch."""
    async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9) as lines:
        return [line async for batch in lines for line in batch]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NOISE = {
    "corrupt chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\nZZ\r\n",
    "corrupt gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "unknown encoding": HEAD + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd",
    "two lengths": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "control characters": HEAD + b"X\x00Y: y\r\nContent-Length: 2\r\n\r\n{}",
    "endless header": HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    "many headers": HEAD + b"".join(b"X%d: y\r\n" % number for number in range(20_000)) + b"\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
async def test_noise_is_a_transport_error_of_one_short_line(server: ScriptedApiServer, noise: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(noise)
        exchange.writer.close()

    server.script(*[answer] * 3)  # aiohttp repeats a GET that got nothing
    async with to(server) as client:
        with pytest.raises(TransportError) as caught:
            await client.create(CONFIG_MAPS, {}, "ns")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 2000
        with pytest.raises((TransportError, DecodeError)):
            await watched(client)


@pytest.mark.filterwarnings("ignore:Sending a large body")
async def test_connection_reset_while_a_request_is_being_written_is_a_transport_error() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as listener:
        config = ClientConfig(server=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        async with client_for(config) as client:
            with pytest.raises(TransportError, match="POST"):
                await client.create(CONFIG_MAPS, manifest("a", data={"x": "y" * (16 << 20)}), "ns")


async def test_write_on_a_kept_connection_that_died_is_not_repeated_but_a_read_is(server: ScriptedApiServer) -> None:
    get = reply(200, manifest("a", 5))
    server.script(get, drop, get, drop, get)
    async with to(server) as client:
        await client.get(CONFIG_MAPS, "a", "ns")
        with pytest.raises(TransportError):
            await client.patch(CONFIG_MAPS, "a", {}, "ns")
        for _ in range(2):
            await client.get(CONFIG_MAPS, "a", "ns")
    path = "/api/v1/namespaces/ns/configmaps/a"
    assert server.asked == [f"GET {path}", f"PATCH {path}", *[f"GET {path}"] * 3]


async def test_conflict_on_a_write_is_told_once(server: ScriptedApiServer) -> None:
    server.script(reply(409, status(409, "Conflict")), reply(409, status(409, "AlreadyExists")))
    async with to(server) as client:
        with pytest.raises(Conflict) as caught:
            await client.patch(CONFIG_MAPS, "a", {}, "ns")
        assert not isinstance(caught.value, AlreadyExists)
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAPS, {}, "ns")
    assert len(server.requests) == 2


async def test_endless_line_is_given_up_at_the_limit(server: ScriptedApiServer) -> None:
    sent = 0

    async def endless(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.begin_stream()
        while True:
            await exchange.chunk(b"x" * (1 << 16))
            sent += 1 << 16

    server.script(endless)
    async with to(server) as client, client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9) as lines:
        with pytest.raises(DecodeError, match="more than"):
            await anext(aiter(lines))
    assert sent < MAX_OBJECT_BYTES + (16 << 20)  # and what the sockets hold


async def test_compressed_watch_was_not_asked_for_and_is_not_read(server: ScriptedApiServer) -> None:
    """64 MiB of newlines come in 64 KiB."""
    ended = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
        await exchange.chunk(gzip.compress(added("a", 5) + b"\n" + b"\n" * (64 << 20)))
        await exchange.reader.read()
        ended.set()

    server.script(answer)
    async with to(server) as client:
        with pytest.raises(DecodeError, match=r"compressed \('gzip'\), which was not asked for"):
            async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
                pass
        await ended.wait()
    assert server.requests[-1].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("answers", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_interim_answers_without_end_are_given_up(server: ScriptedApiServer, answers: bytes) -> None:
    closed = asyncio.Event()

    async def interim(exchange: Exchange) -> None:
        try:
            while True:
                await exchange.send(answers * 1000)
        except ConnectionError:
            closed.set()

    async def patient(exchange: Exchange) -> None:
        await exchange.send(answers * 3)
        await exchange.answer(200, msgspec.json.encode(manifest("a", 5)))

    server.script(interim, interim, patient)
    async with to(server) as client:
        with pytest.raises(TransportError, match="interim answers in a row"):
            await client.get(CONFIG_MAPS, "a", "ns")
        await closed.wait()
        with pytest.raises(TransportError, match="interim answers in a row"):
            async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
                pass
        assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"


async def test_server_restored_from_a_backup_is_found_out_by_its_silence(server: ScriptedApiServer) -> None:
    """A real API server opens a watch from a version that it has yet to reach, and says nothing, not even bookmarks."""
    restored = stream(added("a", 4), bookmark_line(5, initial_events_end=True))
    server.script(CUT, stream(), list_page(manifest("a", 4), version=5), restored)
    async with to(server) as client, informing(Impatient(client), rng=NoDelay()) as observed:
        assert observed.held == {"a": "5"}
        await observed.until(lambda: observed.held == {"a": "4"})
        assert server.asked[:4] == ["stream", "watch 8", "list of one", "stream"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_quiet_kind_costs_a_list_of_one_at_each_silence_and_no_warning(
    server: ScriptedApiServer, streaming: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What an API server shows whose cache has no reason to move on: it sends no bookmarks then."""
    listed = [stream(*LISTED)] if streaming else [NO_STREAMING, list_page(manifest("a", 5), version=8)]
    one = list_page(manifest("a", 5), version=30, token="more")
    server.script(*listed, stream(), one, stream(), one, NEWS)
    async with to(server) as client, informing(Impatient(client), rng=NoDelay()) as observed:
        await observed.until(lambda: "b" in observed.held)
        quiet = ["watch 8", "list of one", "watch 8", "list of one", "watch 8"]
        assert server.asked[:7] == (["stream", *quiet] if streaming else ["stream", "list", *quiet])[:7]
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_silent_watch_of_a_server_that_is_gone_is_told_when_no_other_can_be_opened(
    server: ScriptedApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(stream(*LISTED, end="good"), stream(), drop, drop, NEWS)
    async with to(server) as client, informing(Impatient(client), rng=NoDelay()) as observed:
        await observed.until(lambda: "b" in observed.held)
        assert server.asked[:5] == ["stream", "watch 8", "list of one", "list of one", "watch 8"]
    assert [record.levelname for record in caplog.records if "will try again" in record.message] == ["WARNING"]


async def test_wall_clock_that_jumps_changes_nothing(server: ScriptedApiServer) -> None:
    """Nothing here reads it: pauses, time-outs and the age of tokens are of monotonic time."""

    class Jumping(RealClock):
        def utcnow(self) -> datetime:
            raise AssertionError("the wall clock was read")

    clock, tokens = Jumping(), []

    async def fetch() -> str:
        tokens.append("t")
        return "t"

    config = ClientConfig(server=server.url, token_source=CachedToken(fetch, clock=clock))
    server.script(reply(503, None, Retry_After=DATES[1], Date=DATES[1]), CUT, drop, TOO_OLD, REFRESHED)
    async with ApiClient(config, clock=clock, user_agent="tests") as client:
        informer = SharedInformer(client, CONFIG_MAPS, clock=clock, rng=NoDelay())
        two = asyncio.Event()
        informer.add_handler(lambda event: two.set() if len(informer.store) == 2 else None)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(informer.run())
            async with asyncio.timeout(60):
                await two.wait()
            task.cancel()
    assert tokens == ["t"]


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_host_that_cannot_be_one_is_refused_at_once(host: str) -> None:
    with pytest.raises(ConfigError, match="server"):
        client_for(ClientConfig(server=f"https://{host}:6443"))


async def test_name_that_does_not_resolve_is_a_transport_error() -> None:
    async with client_for(ClientConfig(server="https://api.cluster.invalid:6443")) as client:
        with pytest.raises(TransportError, match=r"api\.cluster\.invalid"):
            await client.get(CONFIG_MAPS, "a", "ns")
        with pytest.raises(TransportError, match=r"api\.cluster\.invalid"):
            async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
                pass


async def test_answer_that_expands_beyond_reason_is_not_read_to_its_end(server: ScriptedApiServer) -> None:
    bomb = gzip.compress(b" " * (65 << 20), compresslevel=1)

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(200, bomb, Content_Encoding="gzip")

    server.script(answer)
    async with to(server) as client:
        with pytest.raises(DecodeError, match="longer than 8388608 bytes"):
            await client.get(CONFIG_MAPS, "a", "ns")


async def test_redirects_are_not_followed_so_tokens_stay_home(server: ScriptedApiServer) -> None:
    async with ScriptedApiServer() as elsewhere:
        server.script(reply(307, Location=f"{elsewhere.url}/steal"))
        async with to(server, token_source=StaticToken("secret")) as client:
            with pytest.raises(ApiError) as caught:
                await client.get(CONFIG_MAPS, "a", "ns")
        assert caught.value.status == 307
        assert elsewhere.requests == []


@pytest.mark.parametrize("token", ["with\nnewline", "ünicode", "nul\x00"])
async def test_token_that_no_header_can_carry_is_refused_without_being_quoted(
    server: ScriptedApiServer, token: str
) -> None:
    async with to(server, token_source=StaticToken(token)) as client:
        with pytest.raises(ConfigError) as caught:
            await client.get(CONFIG_MAPS, "a", "ns")
    assert token not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "error", "retry_after"),
    [
        (reply(404, status(404, "NotFound", "no such thing")), NotFound, None),
        (reply(404), NotFound, None),
        (reply(429, None, Retry_After="7"), TooManyRequests, 7.0),
        (reply(429, status(429, "TooManyRequests") | {"details": {"retryAfterSeconds": 3}}), TooManyRequests, 3.0),
        (reply(429, status(429, "X") | {"details": {"retryAfterSeconds": 10**400}}), TooManyRequests, 300.0),
        (reply(429, None, Retry_After=str(365 * 86400)), TooManyRequests, 300.0),
        (reply(503, None, Retry_After=YEAR_LATER, Date=DATES[0]), ServerError, 300.0),
        (reply(429, None, Retry_After="\u00b2"), TooManyRequests, None),  # a digit, says Python
        (reply(429, None, Retry_After=DATES[1], Date=DATES[0]), TooManyRequests, 90.0),
        (reply(503, None, Retry_After=DATES[0], Date=DATES[1]), ServerError, 0.0),
        (reply(503, None, Retry_After=DATES[1]), ServerError, None),
        (reply(503, None, Retry_After="Wed, 99 Oct 2026", Date=DATES[0]), ServerError, None),
        (lambda exchange: exchange.answer(502, b"<html>" + b"x" * 100_000), ServerError, None),
    ],
)
async def test_refusals_become_exceptions_whatever_their_form(
    server: ScriptedApiServer, answer: Answer, error: type[ApiError], retry_after: float | None
) -> None:
    server.script(answer, answer)
    async with to(server) as client:
        with pytest.raises(error) as caught:
            await client.get(CONFIG_MAPS, "a", "ns")
        assert caught.value.retry_after == retry_after
        assert len(str(caught.value)) < 3000
        with pytest.raises(error):
            async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
                pass


async def test_closing_the_client_ends_its_watches(server: ScriptedApiServer) -> None:
    server.script(stream(*LISTED))
    client = to(server)
    following = asyncio.Event()

    async def follow() -> None:
        async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9) as lines:
            async for _ in lines:
                following.set()

    task = asyncio.ensure_future(follow())
    await asyncio.wait_for(following.wait(), 60)
    await client.close()
    with pytest.raises(TransportError, match="closed"):
        await asyncio.wait_for(task, 60)
    with pytest.raises(TransportError, match="closed"):
        await client.get(CONFIG_MAPS, "a", "ns")


async def test_one_connection_serves_many_requests(server: ScriptedApiServer) -> None:
    server.script(*[reply(200, manifest("a", 5))] * 5)
    async with to(server) as client:
        for _ in range(5):
            await client.get(CONFIG_MAPS, "a", "ns")
    assert server.connections == 1


async def test_cancelled_watch_closes_its_connection(server: ScriptedApiServer) -> None:
    closed = asyncio.Event()

    async def until_closed(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.reader.read()
        closed.set()

    server.script(until_closed)
    async with to(server) as client:
        async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
            pass
        await asyncio.wait_for(closed.wait(), 60)


async def test_every_request_takes_a_token_and_is_counted(server: ScriptedApiServer) -> None:
    counted: list[tuple[str, str, str]] = []

    class Metrics:
        def request(self, method: str, host: str, code: str, seconds: float) -> None:
            assert seconds >= 0
            counted.append((method, host, code))

    clock = RealClock()
    config = ClientConfig(server=server.url, token_source=StaticToken("t"))
    limiter = TokenBucket(qps=10, burst=1, clock=clock)
    server.script(reply(200, manifest("a", 5)), reply(404), drop, stream(end="good"))
    began = time.monotonic()
    async with ApiClient(config, clock=clock, user_agent="tests/1", limiter=limiter, metrics=Metrics()) as client:
        await client.get(CONFIG_MAPS, "a", "ns")
        with pytest.raises(NotFound):
            await client.patch(CONFIG_MAPS, "a", {}, "ns")
        with pytest.raises(TransportError):
            await client.create(CONFIG_MAPS, {}, "ns")
        async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
            pass
    assert time.monotonic() - began >= 0.29
    host = f"127.0.0.1:{server.port}"
    assert counted == [("GET", host, "200"), ("PATCH", host, "404"), ("POST", host, "<error>"), ("GET", host, "200")]
    assert {request.headers["user-agent"] for request in server.requests} == {"tests/1"}
    assert server.requests[1].headers["content-type"] == "application/merge-patch+json"


async def test_what_waited_while_another_process_took_over_is_not_sent(server: ScriptedApiServer) -> None:
    may_write = True
    clock = RealClock()
    limiter = TokenBucket(qps=10, burst=1, clock=clock)
    server.script(reply(200, manifest("a", 5)), reply(200, manifest("a", 5)), reply(200, manifest("a", 5)))
    config = ClientConfig(server=server.url)
    async with ApiClient(
        config, clock=clock, user_agent="tests", limiter=limiter, may_write=lambda: may_write
    ) as client:
        await client.patch(CONFIG_MAPS, "a", {}, "ns")
        writes = [client.patch(CONFIG_MAPS, "a", {}, "ns"), client.create(CONFIG_MAPS, {}, "ns")]
        waiting = [asyncio.create_task(write) for write in (*writes, client.delete(CONFIG_MAPS, "a", "ns"))]
        await asyncio.sleep(0)
        may_write = False
        for refused in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(refused, MayNotWrite)
        await client.get(CONFIG_MAPS, "a", "ns")
    assert [request.method for request in server.requests] == ["PATCH", "GET"]


async def test_delete_says_what_it_means(server: ScriptedApiServer) -> None:
    server.script(reply(200, {"kind": "Status", "status": "Success"}), reply(200, manifest("a", 6)))
    async with to(server) as client:
        assert await client.delete(CONFIG_MAPS, "a", "ns", uid="u", resource_version="5") is None
        left = await client.delete(CONFIG_MAPS, "a", "ns", propagation_policy="Foreground")
    assert left is not None
    assert left.metadata.resource_version == "6"
    assert [msgspec.json.decode(request.body) for request in server.requests] == [
        {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": "u", "resourceVersion": "5"},
        },
        {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"},
    ]
