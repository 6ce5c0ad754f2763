"""Probes and metrics on real sockets of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from mcs_controller.runtime.http import HttpServer, ListenError, health_routes, metrics_routes, parse_address
from mcs_controller.runtime.manager import Manager
from tests.support.fake_informer import FakeSource
from workqueue import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mcs_controller.runtime.http import Check


@asynccontextmanager
async def serving(server: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session


async def ask(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


HEALTHY: dict[str, Check] = {"ping": lambda: "", "leader": lambda: ""}
SICK: dict[str, Check] = {"ping": lambda: "", "informers": lambda: "Works not listed"}


@pytest.mark.parametrize(
    ("checks", "path", "status", "body"),
    [
        pytest.param(HEALTHY, "/healthz", 200, "ok", id="all well"),
        pytest.param(HEALTHY, "/healthz/ping", 200, "ok", id="one check"),
        pytest.param(
            HEALTHY, "/healthz?verbose", 200, "[+]leader ok\n[+]ping ok\nhealthz check passed\n", id="check by check"
        ),
        pytest.param(
            SICK,
            "/healthz",
            500,
            "[-]informers failed: Works not listed\n[+]ping ok\nhealthz check failed\n",
            id="failure says what",
        ),
        pytest.param(SICK, "/healthz/informers", 500, "Works not listed", id="failing check"),
        pytest.param(SICK, "/healthz/ping", 200, "ok", id="healthy check beside a failing one"),
        pytest.param(SICK, "/healthz?exclude=informers", 200, "ok", id="failing check excluded"),
        pytest.param(SICK, "/healthz/nothing", 404, "404: Not Found", id="unknown check"),
        pytest.param(SICK, "/", 404, "404: Not Found", id="unknown path"),
        pytest.param(SICK, "/readyz", 404, "404: Not Found", id="path of another group"),
    ],
)
async def test_health(checks: dict[str, Check], path: str, status: int, body: str):
    async with serving(HttpServer("health", "127.0.0.1:0", health_routes("/healthz", checks))) as session:
        assert await ask(session, path) == (status, body)


async def test_metrics_are_in_the_text_format_without_series_that_go_has_not():
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    async with serving(HttpServer("metrics", "127.0.0.1:0", metrics_routes(registry))) as session:
        async with session.get("/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert await ask(session, "/metrics") == (
            200,
            "# HELP things_total Things.\n# TYPE things_total counter\nthings_total 3.0\n",
        )


async def test_server_switched_off_has_no_port():
    async with HttpServer("health", "0", []) as server:
        assert server.port is None


async def test_port_only_listens_on_every_interface():
    async with HttpServer("health", ":0", health_routes("/healthz", HEALTHY)) as server:
        assert {address[0] for address in server.addresses} >= {"0.0.0.0"}


async def test_taken_port_is_said_with_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"health cannot be served on '{address}': .*in use"):
            async with HttpServer("health", address, []):
                pass


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0", None),
        ("", None),
        (":8080", (None, 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_bind_addresses_are_those_of_go(text: str, address: tuple[str | None, int] | None):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["8080", ":http", ":65536", "::1:80", ":-1", "host:"])
def test_bind_addresses_that_are_none_are_refused(text: str):
    with pytest.raises(ValueError, match="is not host:port, :port or 0"):
        parse_address(text)


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within a minute")


class Caches:
    def __init__(self) -> None:
        self.informers = [FakeSource(synced=False)]

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_manager_answers_probes_from_first_to_last_and_is_ready_once_synced():
    manager = Manager(
        clock=RealClock(),
        registry=CollectorRegistry(),
        health_address="127.0.0.1:0",
        metrics_address="127.0.0.1:0",
    )
    caches = Caches()
    manager.add_informers(caches)
    problems = ["no token yet"]
    manager.add_ready_check("members", lambda: problems[0])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(manager.run())
        await eventually(lambda: manager.metrics.port is not None)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{manager.health.port}") as session:
            assert await ask(session, "/healthz?verbose") == (200, "[+]ping ok\nhealthz check passed\n")
            status, reason = await ask(session, "/readyz/informers-synced")
            assert (status, reason.partition(",")[0]) == (500, "no list of configmaps.v1 yet")
            caches.informers[0].sync()
            assert await ask(session, "/readyz/informers-synced") == (200, "ok")
            assert (await ask(session, "/readyz"))[0] == 500
            problems[0] = ""
            assert await ask(session, "/readyz") == (200, "ok")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{manager.metrics.port}") as session:
            assert (await ask(session, "/metrics"))[0] == 200
        manager.stop()
        await running
    assert manager.health.port is None


async def connect(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "], ids=["nothing", "half a request"])
async def test_clients_that_say_nothing_do_not_keep_others_out(said: bytes):
    server = HttpServer("health", "127.0.0.1:0", health_routes("/healthz", HEALTHY), max_connections=4)
    async with server:
        silent = []
        for _ in range(20):
            silent.append(await connect(server))
            silent[-1][1].write(said)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            assert await ask(session, "/healthz") == (200, "ok")
        for reader, _ in silent[:16]:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert [reader.at_eof() for reader, _ in silent[17:]] == [False] * 3
        for _, writer in silent:
            writer.transport.abort()


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "], ids=["nothing", "half a request"])
async def test_client_that_says_nothing_is_closed_after_a_while(said: bytes):
    server = HttpServer("health", "127.0.0.1:0", health_routes("/healthz", HEALTHY), max_seconds=0.1)
    async with server:
        reader, writer = await connect(server)
        writer.write(said)
        assert await reader.read() == b""
        writer.transport.abort()


async def test_connection_that_is_used_is_closed_between_two_requests():
    server = HttpServer("health", "127.0.0.1:0", health_routes("/healthz", HEALTHY), max_seconds=0.5)
    async with serving(server) as session:
        while True:
            async with session.get("/healthz") as response:
                assert await response.text() == "ok"
            if response.headers.get("Connection") == "close":
                break
            await asyncio.sleep(0.01)
        assert await ask(session, "/healthz") == (200, "ok")


async def test_client_that_reads_nothing_is_closed_after_a_while():
    registry = CollectorRegistry()
    counter = Counter("things", "Things.", ["name"], registry=registry)
    for number in range(2000):
        counter.labels("x" * 1000 + str(number))
    async with HttpServer("metrics", "127.0.0.1:0", metrics_routes(registry), max_seconds=0.1) as server:
        reader, writer = await connect(server)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        await asyncio.sleep(0.3)  # what is not read stays in the sockets and in the server
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 20):
                received += len(data)
        writer.transport.abort()
    assert received < 20 * 2000 * 1000
