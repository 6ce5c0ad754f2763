"""No descriptor is closed but by its owner, however connections fail: it may be another's by then, with its token.

Event loops differ in this. uvloop (0.23) closes the descriptor of a socket that it was given a second time if the other
side resets the connection before TLS begins, as an API server does that is killed. The binary runs on asyncio's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from informers.client.config import ClientConfig, StaticToken
from informers.errors import TransportError
from testbed import wait_for
from testbed.certificates import Authority
from tests.support.api_server import Exchange, ScriptedApiServer, reply, stream
from tests.support.informing import client_for
from tests.support.objects import CONFIG_MAPS, manifest
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from informers.client.client import ApiClient

ROUNDS = 40
AT_ONCE = 8


class Resetting:
    """Accepts connections in a thread, and resets each within a millisecond: most often before TLS begins."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Resetting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                time.sleep(self._rng.random() / 1000)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()


@contextlib.contextmanager
def silent(backlog: int) -> Iterator[int]:
    """A listener that accepts nothing: of so many connections TLS hangs, of the others TCP."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        yield listener.getsockname()[1]


class Owned:
    """Descriptors of ours, which take the numbers of those just closed."""

    def __init__(self) -> None:
        self._kept: list[tuple[socket.socket, int]] = []

    def open(self) -> None:
        for each in socket.socketpair():
            self._kept.append((each, os.fstat(each.fileno()).st_ino))
        if len(self._kept) > 64:
            self.check()

    def check(self) -> None:
        for each, inode in self._kept:
            assert os.fstat(each.fileno()).st_ino == inode, f"descriptor {each.fileno()} became another's"
            each.close()
        self._kept.clear()


def server_context(authority: Authority, directory: Path) -> ssl.SSLContext:
    pair = authority.server("api.example")
    file = directory / "server.pem"
    file.write_bytes(pair.certificate_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_failing_connections_leave_the_descriptors_of_others_alone(tmp_path: Path) -> None:
    authority, rng, owned = Authority("tests-ca"), random.Random(1), Owned()
    tokens: set[tuple[int, str]] = set()

    class Recording(ScriptedApiServer):
        async def respond(self, exchange: Exchange) -> None:
            tokens.add((self.port, exchange.request.headers["authorization"]))
            await reply(200, manifest("a", 5))(exchange)

    def to(port: int, token: str) -> ApiClient:
        return client_for(
            ClientConfig(
                server=f"https://127.0.0.1:{port}",
                ca_pem=authority.certificate_pem,
                tls_server_name="api.example",
                token_source=StaticToken(token),
            )
        )

    async def fail(port: int) -> None:
        """Be refused, or give up in the middle of a handshake."""
        async with to(port, "hostile") as client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.random() / 50):
                    with pytest.raises(TransportError):
                        await client.get(CONFIG_MAPS, "a", "ns")
        owned.open()

    async def succeed(port: int, token: str) -> None:
        async with to(port, token) as client:
            assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"

    async def run() -> None:
        context = server_context(authority, tmp_path)
        with Resetting(rng) as resetting, silent(100) as tls_hangs, silent(0) as tcp_hangs:
            async with Recording(tls=context) as first, Recording(tls=context) as second:
                hostile = (resetting.port, resetting.port, tls_hangs, tcp_hangs)
                async with to(first.port, "kept") as kept:
                    for _ in range(ROUNDS):
                        async with asyncio.TaskGroup() as group:
                            for number in range(AT_ONCE):
                                group.create_task(fail(hostile[number % len(hostile)]))
                            group.create_task(succeed(first.port, "first"))
                            group.create_task(succeed(second.port, "second"))
                            group.create_task(kept.get(CONFIG_MAPS, "a", "ns"))
                        gc.collect(1)
                expected = {(first.port, "first"), (first.port, "kept"), (second.port, "second")}
                assert tokens == {(port, f"Bearer {token}") for port, token in expected}
        owned.check()

    asyncio.run(run())


class Unusable(asyncio.SelectorEventLoop):
    """A loop that takes each new socket for one of its own connections, as uvloop does after such a mistake."""

    async def sock_connect(self, sock: object, address: object) -> None:
        raise RuntimeError(
            "File descriptor 17 is used by transport <TCPTransport closed=False reading=True 0x55b8dc9b>"
        )


@pytest.mark.parametrize("proxy_url", ["", "http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_runtime_error_of_the_event_loop_is_a_failed_request(proxy_url: str) -> None:
    async def run() -> None:
        async with client_for(ClientConfig(server="https://127.0.0.1:9", proxy_url=proxy_url)) as client:
            with pytest.raises(TransportError, match=r"File descriptor 17 is used by transport$"):
                await client.get(CONFIG_MAPS, "a", "ns")
            with pytest.raises(TransportError, match=r"File descriptor 17 is used by transport$"):
                async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
                    pass

    with asyncio.Runner(loop_factory=Unusable) as runner:
        runner.run(run())


async def test_connection_that_is_given_up_is_closed_though_the_other_side_says_no_farewell(tmp_path: Path) -> None:
    authority = Authority("tests-ca")
    async with (
        ScriptedApiServer(tls=server_context(authority, tmp_path)) as server,
        TcpProxy(server.url) as proxy,
        client_for(
            ClientConfig(server=proxy.url, ca_pem=authority.certificate_pem, tls_server_name="api.example")
        ) as client,
    ):
        server.script(stream())
        async with client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=9):
            proxy.freeze()

        async def closed() -> bool | None:
            return proxy.open_ends == 0 or None

        await wait_for("the connection to be closed", closed)
