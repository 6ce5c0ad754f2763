"""Through HTTP and SOCKS proxies to a TLS server, and what TLS accepts."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from informers.client.config import ClientConfig, StaticToken
from informers.errors import ConfigError, TransportError, Untrusted
from testbed.certificates import Authority
from tests.support.api_server import Exchange, ScriptedApiServer, reply, stream
from tests.support.informing import client_for
from tests.support.objects import CONFIG_MAPS, bookmark_line, manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Handler = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("tests-ca")


@pytest.fixture
async def server(authority: Authority, tmp_path: Path) -> AsyncIterator[ScriptedApiServer]:
    async with ScriptedApiServer(tls=server_context(authority, tmp_path, "api.example")) as server:
        yield server


def server_context(authority: Authority, directory: Path, name: str, *, expired: bool = False) -> ssl.SSLContext:
    certificate = authority.server(name)
    chain = expire(authority, certificate.certificate_pem) if expired else certificate.certificate_pem
    file = directory / "server.pem"
    file.write_bytes(chain + certificate.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def expire(authority: Authority, certificate_pem: bytes) -> bytes:
    """The same certificate, of last year."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    year = timedelta(days=366)
    builder = x509.CertificateBuilder(
        certificate.issuer,
        certificate.subject,
        certificate.public_key(),
        certificate.serial_number,
        certificate.not_valid_before_utc - year,
        certificate.not_valid_after_utc - year,
        list(certificate.extensions),
    )
    return builder.sign(authority._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@asynccontextmanager
async def listening(handler: Any) -> AsyncIterator[int]:
    """A proxy; gives its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.TaskGroup() as group:
        group.create_task(pump(reader, far_writer))
        group.create_task(pump(far_reader, writer))


def proxy_to(server: ScriptedApiServer, scheme: str, asked: list[tuple[str, int]] | None = None) -> Any:
    """A proxy that connects to the server, whatever it is asked for."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await join(reader, writer, server.port)

    async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # RFC 1928, CONNECT by name
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        version, command, _, kind = await reader.readexactly(4)
        assert (version, command, kind) == (5, 1, 3)
        (length,) = await reader.readexactly(1)
        name = (await reader.readexactly(length)).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        if asked is not None:
            asked.append((name, port))
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await join(reader, writer, server.port)

    return connect if scheme == "http" else socks


def to(server: ScriptedApiServer, authority: Authority, **options: Any) -> ClientConfig:
    """A server known as api.example, which only the proxy can find."""
    return ClientConfig(
        server=f"https://api.example:{server.port}",
        ca_pem=authority.certificate_pem,
        token_source=StaticToken("secret"),
        **options,
    )


async def use(config: ClientConfig, server: ScriptedApiServer) -> None:
    server.script(reply(200, manifest("a", 5)), stream(bookmark_line(6), end="good"))
    async with client_for(config) as client:
        assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"
        async with client.watch(CONFIG_MAPS, resource_version="5", timeout_seconds=9) as lines:
            assert [line async for batch in lines for line in batch] == [bookmark_line(6)]


async def test_http_proxy_is_asked_to_connect_with_the_headers_given(
    server: ScriptedApiServer, authority: Authority
) -> None:
    heads: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await join(reader, writer, server.port)

    async with listening(proxy) as port:
        headers = {"X-Cluster": ["one", "two"], "Proxy-Authorization": ["Basic cHJveHk="]}
        await use(to(server, authority, proxy_url=f"http://127.0.0.1:{port}", proxy_headers=headers), server)
    assert heads[0].startswith(f"CONNECT api.example:{server.port} HTTP/1.1\r\n")
    assert "X-Cluster: one\r\nX-Cluster: two\r\n" in heads[0]
    assert "Proxy-Authorization: Basic cHJveHk=\r\n" in heads[0]
    assert "secret" not in "".join(heads)  # the token is for the API server, inside of TLS
    assert all("x-cluster" not in request.headers for request in server.requests)


async def test_http_proxy_that_refuses_is_a_transport_error_without_its_password(
    server: ScriptedApiServer, authority: Authority
) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(proxy) as port:
        config = to(server, authority, proxy_url=f"http://user:passw0rd@127.0.0.1:{port}")
        async with client_for(config) as client:
            with pytest.raises(TransportError, match="407") as caught:
                await client.get(CONFIG_MAPS, "a", "ns")
    assert "passw0rd" not in f"{caught.value} {config!r}"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_socks_proxy_resolves_the_name(server: ScriptedApiServer, authority: Authority, scheme: str) -> None:
    asked: list[tuple[str, int]] = []
    async with listening(proxy_to(server, scheme, asked)) as port:
        await use(to(server, authority, proxy_url=f"{scheme}://127.0.0.1:{port}"), server)
    assert asked[0] == ("api.example", server.port)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_proxy_that_is_not_there_is_a_transport_error(
    server: ScriptedApiServer, authority: Authority, scheme: str
) -> None:
    async with client_for(to(server, authority, proxy_url=f"{scheme}://127.0.0.1:9")) as client:
        with pytest.raises(TransportError):
            await client.get(CONFIG_MAPS, "a", "ns")


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1000)
    writer.close()


async def hang_up_half_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1000)
    writer.write(b"\x05")
    writer.close()


async def send_noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1000)
    writer.write(b"\xff" * 20)
    writer.close()


@pytest.mark.parametrize("scheme", ["http", "socks4", "socks5"])
@pytest.mark.parametrize("proxy", [hang_up, hang_up_half_way, send_noise])
async def test_proxy_that_breaks_off_is_a_transport_error(
    server: ScriptedApiServer, authority: Authority, scheme: str, proxy: Any
) -> None:
    async with listening(proxy) as port:
        config = to(server, authority, proxy_url=f"{scheme}://127.0.0.1:{port}")
        async with client_for(replace(config, server=f"https://127.0.0.1:{server.port}")) as client:
            with pytest.raises(TransportError):
                await client.get(CONFIG_MAPS, "a", "ns")
            with pytest.raises(TransportError):
                async with client.watch(CONFIG_MAPS, resource_version="5", timeout_seconds=9):
                    pass


async def test_watch_does_not_wait_for_ever_for_a_proxy_that_says_nothing(
    server: ScriptedApiServer, authority: Authority
) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with (
        listening(proxy) as port,
        client_for(to(server, authority, proxy_url=f"http://127.0.0.1:{port}")) as client,
    ):
        with pytest.raises(TransportError):
            async with client.watch(CONFIG_MAPS, resource_version="5", timeout_seconds=9, idle_seconds=0.2):
                pass


@pytest.mark.parametrize("url", ["http://a..b:3128", "ftp://proxy", "proxy:3128", "socks5://"])
async def test_proxy_url_that_makes_no_sense_is_refused(
    server: ScriptedApiServer, authority: Authority, url: str
) -> None:
    async with client_for(to(server, authority, proxy_url=url)) as client:
        with pytest.raises(ConfigError, match="proxy URL"):
            await client.get(CONFIG_MAPS, "a", "ns")


async def test_certificate_for_another_name_is_refused_unless_that_name_is_expected(
    server: ScriptedApiServer, authority: Authority
) -> None:
    server.script(reply(200, manifest("a", 5)))
    options: dict[str, Any] = {"server": f"https://localhost:{server.port}", "ca_pem": authority.certificate_pem}
    async with client_for(ClientConfig(**options)) as client:
        with pytest.raises(TransportError, match=r"(?i)hostname mismatch"):
            await client.get(CONFIG_MAPS, "a", "ns")
    async with client_for(ClientConfig(**options, tls_server_name="api.example")) as client:
        assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"


async def test_certificate_of_another_authority_is_refused(server: ScriptedApiServer) -> None:
    other = Authority("other-ca").certificate_pem
    config = ClientConfig(server=server.url, ca_pem=other, ca_source="the Secret", tls_server_name="api.example")
    async with client_for(config) as client:
        for _ in range(2):
            with pytest.raises(Untrusted) as caught:
                await client.get(CONFIG_MAPS, "a", "ns")
            assert str(caught.value) == (
                f"GET /api/v1/namespaces/ns/configmaps/a at {client.host}: the server's certificate, which CN=tests-ca "
                "issued, is not trusted: the Secret holds CN=other-ca (unable to get local issuer certificate)"
            )


async def test_requests_that_are_refused_at_the_same_time_all_name_the_issuer(server: ScriptedApiServer) -> None:
    config = ClientConfig(server=server.url, ca_pem=Authority("other-ca").certificate_pem)
    async with client_for(config) as client:
        requests = [client.get(CONFIG_MAPS, name, "ns") for name in "abcd"]
        for refused in await asyncio.gather(*requests, return_exceptions=True):
            assert "which CN=tests-ca issued" in str(refused)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_certificate_behind_a_proxy_is_refused_without_its_issuer_being_named(
    server: ScriptedApiServer, scheme: str
) -> None:
    async with listening(proxy_to(server, scheme)) as port:
        config = to(server, Authority("other-ca"), proxy_url=f"{scheme}://127.0.0.1:{port}")
        async with client_for(config) as client:
            with pytest.raises(Untrusted, match=r"certificate is not trusted: trusted is CN=other-ca"):
                await client.get(CONFIG_MAPS, "a", "ns")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_certificate_behind_a_proxy_for_another_name_or_of_last_year_is_refused_with_the_reason(
    authority: Authority, tmp_path: Path, scheme: str
) -> None:
    for name, expired, words in (("b.example", False, "(?i)hostname mismatch"), ("api.example", True, "has expired")):
        context = server_context(authority, tmp_path, name, expired=expired)
        async with (
            ScriptedApiServer(tls=context) as server,
            listening(proxy_to(server, scheme)) as port,
            client_for(to(server, authority, proxy_url=f"{scheme}://127.0.0.1:{port}")) as client,
        ):
            with pytest.raises(Untrusted, match=words):
                await client.get(CONFIG_MAPS, "a", "ns")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_authority_that_changed_on_disk_is_trusted_behind_a_proxy_too(
    server: ScriptedApiServer, authority: Authority, tmp_path: Path, scheme: str
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(authority.certificate_pem)
    async with listening(proxy_to(server, scheme)) as port:
        config = to(server, Authority("old-ca"), ca_file=file, proxy_url=f"{scheme}://127.0.0.1:{port}")
        async with client_for(config) as client:
            with pytest.raises(Untrusted, match="CN=old-ca"):
                await client.get(CONFIG_MAPS, "a", "ns")
            server.script(reply(200, manifest("a", 5)))
            assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_interim_answers_without_end_are_given_up_behind_a_proxy_too(
    server: ScriptedApiServer, authority: Authority, scheme: str
) -> None:
    async def interim(exchange: Exchange) -> None:
        while True:
            await exchange.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)

    server.script(interim)
    async with listening(proxy_to(server, scheme)) as port:
        config = to(server, authority, proxy_url=f"{scheme}://127.0.0.1:{port}", timeout_seconds=5.0)
        async with client_for(config) as client:
            with pytest.raises(TransportError, match="interim answers in a row"):
                await client.get(CONFIG_MAPS, "a", "ns")


@pytest.mark.parametrize("with_root", [False, True], ids=["bundle-of-the-intermediate", "bundle-of-both"])
async def test_intermediate_authority_in_the_bundle_is_trusted(tmp_path: Path, with_root: bool) -> None:
    root = Authority("corporate-root")
    cluster = Authority("cluster-ca", issuer=root)
    pair = cluster.server("api.example")
    file = tmp_path / "server.pem"
    file.write_bytes(pair.certificate_pem + cluster.certificate_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    bundle = cluster.certificate_pem + (root.certificate_pem if with_root else b"")
    async with ScriptedApiServer(tls=context) as server:
        server.script(reply(200, manifest("a", 5)))
        config = ClientConfig(server=server.url, ca_pem=bundle, tls_server_name="api.example")
        async with client_for(config) as client:
            assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"


async def test_certificate_that_has_expired_is_refused(authority: Authority, tmp_path: Path) -> None:
    context = server_context(authority, tmp_path, "api.example", expired=True)
    async with ScriptedApiServer(tls=context) as server:
        config = ClientConfig(server=server.url, ca_pem=authority.certificate_pem, tls_server_name="api.example")
        async with client_for(config) as client:
            with pytest.raises(TransportError, match=r"(?i)certificate has expired"):
                await client.get(CONFIG_MAPS, "a", "ns")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_server_that_speaks_tls_1_1_at_most_is_refused(authority: Authority, tmp_path: Path) -> None:
    context = server_context(authority, tmp_path, "api.example")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with ScriptedApiServer(tls=context) as server:
        config = ClientConfig(server=server.url, ca_pem=authority.certificate_pem, tls_server_name="api.example")
        async with client_for(config) as client:
            with pytest.raises(TransportError):
                await client.get(CONFIG_MAPS, "a", "ns")
    assert server.requests == []


async def test_server_that_speaks_no_tls_is_a_transport_error() -> None:
    async with (
        listening(send_noise) as port,
        client_for(ClientConfig(server=f"https://127.0.0.1:{port}")) as client,
    ):
        with pytest.raises(TransportError, match=r"TLS: "):
            await client.get(CONFIG_MAPS, "a", "ns")


async def test_authority_that_changed_on_disk_is_trusted_from_the_next_request(
    server: ScriptedApiServer, authority: Authority, tmp_path: Path
) -> None:
    old, file = Authority("old-ca"), tmp_path / "ca.crt"
    file.write_bytes(old.certificate_pem)
    config = ClientConfig(server=server.url, ca_pem=old.certificate_pem, ca_file=file, tls_server_name="api.example")
    server.script(stream(bookmark_line(6), end="good"), reply(200, manifest("a", 5)))
    async with client_for(config) as client:

        async def watch() -> list[bytes]:
            async with client.watch(CONFIG_MAPS, resource_version="5", timeout_seconds=9) as lines:
                return [line async for batch in lines for line in batch]

        for content in (old.certificate_pem, b"-----BEGIN CERTIFICATE-----\nhalf", None, authority.certificate_pem):
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content)
            with pytest.raises(Untrusted, match=r"CN=old-ca"):
                await watch()
        assert await watch() == [bookmark_line(6)]
        assert (await client.get(CONFIG_MAPS, "a", "ns")).metadata.name == "a"
