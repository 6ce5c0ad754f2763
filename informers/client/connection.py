"""Sockets, TLS and proxies for :mod:`.client`: everything between a ClientConfig and an aiohttp session."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, cast
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp_socks import ProxyConnector
from multidict import CIMultiDict

from informers.client.redaction import shown
from informers.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.connector import AddrInfoType

    from informers.client.config import ClientConfig

_MAX_CONNECTIONS = 256
"""Per API server. A watch occupies one for minutes, so this is far above the number of informers of one cluster."""

_MAX_INTERIM_ANSWERS = 16
"""Answers of status 1xx before the one that counts. aiohttp reads on for ever: no time-out of it fires, and they wait
in a queue without a limit."""

_KEEPALIVE_SECONDS = 60.0
"""Idle connections are dropped before kube-apiserver drops them (90 s), so a write never meets a closing connection."""

_PROBE_IDLE_SECONDS, _PROBE_INTERVAL_SECONDS, _PROBES = 5, 3, 3
"""TCP keep-alive: a peer that vanished without a word is noticed within 15 s, also while we wait for it."""

_UNACKNOWLEDGED_MILLISECONDS = 10_000
"""A request that the peer's TCP does not acknowledge for this long fails. Linux only."""


class RequestOptions(TypedDict, total=False):
    """Keyword arguments of every request that goes through a session made here."""

    ssl: ssl.SSLContext

    proxy: str
    proxy_headers: CIMultiDict[str]
    server_hostname: str


def ssl_context(config: ClientConfig) -> ssl.SSLContext | None:
    """TLS settings, or None for a plain http server.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    if not config.server.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cadata=config.ca_pem.decode("ascii") if config.ca_pem else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Python 3.13 began to ask of every CA what RFC 5280 asks; many clusters' own CAs lack the key identifiers.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # As Go and curl do, and Python from 3.13 on: what is in the bundle is trusted, be it an intermediate authority
        # whose own issuer is not in it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if config.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.client_cert_pem and config.client_key_pem:
            _load_client_certificate(context, config.client_cert_pem, config.client_key_pem)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(f"TLS material for {shown(config.server)}: {error}") from error
    return context


def renewed(config: ClientConfig) -> tuple[ClientConfig, ssl.SSLContext] | None:
    """The configuration with what its files hold now, and TLS settings by it; None if they hold what they held.

    Raises:
        ConfigError: what is there now cannot be used. It may be half written.
    """
    try:
        now = replace(
            config,
            ca_pem=_content(config.ca_file, config.ca_pem),
            client_cert_pem=_content(config.client_cert_file, config.client_cert_pem),
            client_key_pem=_content(config.client_key_file, config.client_key_pem),
        )
    except OSError as error:
        raise ConfigError(f"TLS material for {shown(config.server)}: {error}") from error
    if now == config:
        return None
    context = ssl_context(now)
    return None if context is None else (now, context)


def _content(file: Path | None, known: bytes | None) -> bytes | None:
    return known if file is None else file.read_bytes()


def check_host(url: str) -> None:
    """Find out now whether the host can be one: for a label that is empty or too long, Python raises late and oddly.

    Raises:
        ValueError: it cannot.
    """
    (urlsplit(url).hostname or "").encode("idna")


def _load_client_certificate(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    # OpenSSL's Python binding reads these from a path only. The file is mode 0600 and gone before this returns.
    with tempfile.NamedTemporaryFile(prefix="informers-") as file:
        file.write(cert + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def open_session(
    config: ClientConfig, tls: ssl.SSLContext | None, connected: Callable[[asyncio.BaseTransport], None] | None = None
) -> tuple[aiohttp.ClientSession, RequestOptions]:
    """A session and the options for each of its requests. Must be called inside the event loop.

    Args:
        config: of the server.
        tls: what :func:`ssl_context` made of it.
        connected: told of each new connection, except through a SOCKS proxy.

    Raises:
        ConfigError: the proxy URL cannot be used.
    """
    try:
        check_host(config.proxy_url)
    except ValueError as error:
        raise ConfigError(f"proxy URL for {shown(config.server)}: {error}") from error
    options = RequestOptions()
    if tls is not None:
        options["ssl"] = tls
    if config.tls_server_name:
        options["server_hostname"] = config.tls_server_name
    scheme = urlsplit(config.proxy_url).scheme.lower()
    connector: aiohttp.TCPConnector
    if scheme in ("socks4", "socks5", "socks5h"):
        url = urlunsplit(urlsplit(config.proxy_url)._replace(scheme=scheme.removesuffix("h")))
        try:
            # As Go does: names are resolved by the proxy, which may be the only one that knows them.
            connector = _SocksConnector.from_url(
                url,
                rdns=scheme != "socks4",
                limit=_MAX_CONNECTIONS,
                keepalive_timeout=_KEEPALIVE_SECONDS,
            )
        except ValueError as error:
            raise ConfigError(f"proxy URL for {shown(config.server)}: {error}") from error
    else:
        if scheme in ("http", "https"):
            options["proxy"] = config.proxy_url
            options["proxy_headers"] = CIMultiDict(
                (name, value) for name, values in config.proxy_headers.items() for value in values
            )
        elif config.proxy_url:
            raise ConfigError(f"proxy URL for {shown(config.server)}: unknown scheme {scheme!r}")
        connector = aiohttp.TCPConnector(
            limit=_MAX_CONNECTIONS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            socket_factory=_socket_with_keepalive,
        )
    # There is no public way to it.
    connector._factory = cast("Any", functools.partial(_Protocol, asyncio.get_running_loop(), connected))
    # No environment: it would add proxies, and credentials from ~/.netrc. No cookies: a load balancer's stickiness
    # would outlive the backend.
    session = aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_network_errors_only, _no_write_retry),
    )
    return session, options


class _Protocol(ResponseHandler):
    """A connection that is given up after too many interim answers in a row."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connected: Callable[[asyncio.BaseTransport], None] | None = None
    ) -> None:
        super().__init__(loop)
        self._connected = connected
        self._interim = 0
        self.writer: asyncio.StreamWriter | None = None
        """What would close the connection if it were collected as garbage."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when TLS is established, too."""
        super().connection_made(transport)
        if self._connected is not None:
            self._connected(transport)

    def close(self) -> None:
        """Close it at once, without TLS's farewell.

        A peer that hangs does not answer that, and asyncio keeps the socket open meanwhile: for half a minute, or, if
        its loop ends before, until the socket is collected as garbage.
        """
        self.abort()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Called with each answer, for whoever waits for one."""
        status = data[0].code
        self._interim = self._interim + 1 if 100 <= status < 200 and status != 101 else 0
        if self._interim < _MAX_INTERIM_ANSWERS:
            super().feed_data(data, size)
        elif self._interim == _MAX_INTERIM_ANSWERS:
            self.close()
            self.set_exception(aiohttp.ClientError(f"{self._interim} interim answers in a row"))


class _SocksConnector(ProxyConnector):
    """Connections through a SOCKS proxy that are as limited as direct ones."""

    async def _connect_via_proxy(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, ResponseHandler]:
        transport, theirs = await super()._connect_via_proxy(*args, **kwargs)
        try:
            _keep_alive(transport.get_extra_info("socket"))
        except OSError:
            transport.abort()
            raise
        protocol = _Protocol(self._loop)
        protocol.writer = cast("Any", theirs)._writer
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol


async def _network_errors_only(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Event loops raise RuntimeError for a socket that they cannot connect: a request failed, the program has not."""
    try:
        return await send(request)
    except RuntimeError as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


async def _no_write_retry(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a PUT or DELETE again when a kept connection turns out to be dead.

    The first may have taken effect, and the second would run into that: Conflict, or NotFound. aiohttp repeats after
    two kinds of error, of which this one is none. Reads are repeated.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp repeats nothing either
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method in ("PUT", "DELETE"):
            raise aiohttp.ClientConnectionError(str(error)) from error
        raise


def _socket_with_keepalive(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        _keep_alive(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _PROBE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", _PROBE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MILLISECONDS),
    ):
        if hasattr(socket, option):  # their names differ between systems
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
