"""One HTTP exchange with an API server: credentials, rate limit, size limits, metrics, and errors in our own terms.

What the exchanges mean is in :mod:`informers.client.client`; sockets and TLS are in :mod:`informers.client.connection`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from yarl import URL

from informers.client.causes import certificate_error, distrust, is_issuer_unknown, issuer_of, subjects, words_for
from informers.client.connection import RequestOptions, check_host, open_session, renewed, ssl_context
from informers.client.redaction import proxy_secrets, redact, redact_bytes, shown, shown_target
from informers.client.wire import LineSplitter
from informers.errors import (
    ConfigError,
    DecodeError,
    KubeError,
    MayNotWrite,
    NoCredentials,
    RateLimited,
    TransportError,
    Untrusted,
    WatchIdle,
    from_response,
)
from informers.memory import held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from informers.client.config import ClientConfig
    from workqueue.clock import Clock
    from workqueue.token_bucket import TokenBucket

MAX_PAGE_BYTES: Final = 64 << 20
"""Longest page of a list: 500 objects of 128 KiB each."""

MAX_OBJECT_BYTES: Final = 8 << 20
"""Longest other answer, and longest line of a watch. etcd refuses objects above 1.5 MiB; JSON makes them longer."""

TURN_BYTES: Final = 256 << 10
"""Bytes of one answer, decompressed, that are read before other tasks of the event loop run."""

Lines: TypeAlias = "AsyncIterator[list[bytes]]"
"""The lines of a stream, as they arrive."""

_CONNECT_SECONDS: Final = 10.0

_CONNECT_TOTAL_SECONDS: Final = 30.0
"""For a watch, everything before the request is sent: waiting for DNS, TCP, TLS, and a proxy's answer to CONNECT."""

_MAX_WORDS: Final = 1024
"""Characters of a foreign error that ours keeps: aiohttp quotes what the other side sent."""

_ISSUER_SECONDS: Final = 5.0
"""For finding out who issued a certificate that is not trusted, to say so."""

_ISSUER_KNOWN_SECONDS: Final = 60.0
"""For so long it is not asked again."""

_ISSUER_UNKNOWN_SECONDS: Final = 10.0
"""The same, if nobody could say it."""

GUARD_SECONDS: Final = 6.0
"""Between two questions whether a server is there, while watches of it are open."""

GUARD_ANSWER_SECONDS: Final = 5.0
"""For an answer. With the time between, a connection that is dead without a word is found within 15 s."""

_GUARD_FIRST_SECONDS: Final = 0.5
"""Until the first question, so that the connection that it is asked on is as old as the watches."""

_log = logging.getLogger(__name__)
_requests = logging.getLogger("informers.client.requests")
"""Each request, as DEBUG: a logger of its own, as nobody wants them who wants all else."""

_NETWORK_ERRORS: Final = (
    aiohttp.ClientError,
    TimeoutError,
    OSError,  # includes ssl.SSLError
    EOFError,  # a SOCKS proxy hung up in the middle of its greeting
    ProxyError,
    ProxyConnectionError,
    ProxyTimeoutError,
)


class ClientMetrics(Protocol):
    """Observer of every request."""

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        """A request was answered, `code` being the HTTP status, or failed (`<error>`).

        `method` is the HTTP method. A watch counts when its headers arrive.
        """
        ...


class _NoClientMetrics:
    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        pass


NO_CLIENT_METRICS: Final[ClientMetrics] = _NoClientMetrics()


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An answer as it came, whatever its status.

    Attributes:
        status: HTTP status code.
        body: the whole body, decompressed.
        headers: by lower-case name; of a repeated header, the last.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Transport:
    """One API server, one connection pool. Belongs to one event loop, from its first request on."""

    def __init__(
        self,
        config: ClientConfig,
        *,
        clock: Clock,
        user_agent: str,
        limiter: TokenBucket | None,
        metrics: ClientMetrics,
        may_write: Callable[[], bool],
    ) -> None:
        """Opens no connection yet.

        Raises:
            ConfigError: the URL or the TLS material cannot be used.
        """
        try:
            parts = urlsplit(config.server)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            check_host(config.server)
        except ValueError as error:
            raise ConfigError(f"server {shown(config.server)!r}: {error}") from error
        if not usable:
            raise ConfigError(f"server {shown(config.server)!r} is not a URL like https://host:port")
        if parts.query or parts.fragment:
            raise ConfigError(f"server {shown(config.server)!r} must not have a query or fragment")
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"server {shown(config.server)!r} must not have a user")
        self.host = parts.netloc
        self.peer_certificate: Mapping[str, Any] = {}
        self._base = config.server.rstrip("/")
        self._config = config
        self._proxy_secrets = tuple(proxy_secrets(config.proxy_url, config.proxy_headers))
        self._tls = ssl_context(config)
        self._clock = clock
        self._limiter = limiter
        self._metrics = metrics
        self._may_write = may_write
        self._headers = {"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._session: aiohttp.ClientSession | None = None
        self._options = RequestOptions()
        self._streams: set[aiohttp.StreamReader] = set()
        self._closed = False
        self._issuer_name, self._issuer_known_until = "", -math.inf
        self._issuer_lock = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections. Running streams and later requests fail with TransportError."""
        self._closed = True
        self._cut_streams("the client was closed")
        if self._session is not None:
            await self._session.close()

    async def exchange(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "",
        timeout: float | None = None,
        total_seconds: float | None = None,
        max_bytes: int = MAX_OBJECT_BYTES,
        limited: bool = True,
        more_headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        """Send a request and read the whole answer, whatever its status.

        Args:
            method: HTTP method.
            target: path and query, quoted.
            body: sent as it is.
            content_type: of `body`.
            accept: media types to ask for; empty means JSON.
            timeout: seconds for everything but waiting for the limiter, for which the configured limit holds; None
                means that as well.
            total_seconds: as long as the answer goes on, it may take so long, and `timeout` is for each read of it.
            max_bytes: a longer answer is a DecodeError.
            limited: wait for the limiter.
            more_headers: beside those of every request.
        """
        seconds = self._config.timeout_seconds if timeout is None else timeout
        limits = aiohttp.ClientTimeout(
            total=seconds if total_seconds is None else total_seconds,
            sock_connect=min(seconds, _CONNECT_SECONDS),
            sock_read=seconds,
        )
        headers = await self._authorized(None if body is None else content_type, limited=limited)
        headers |= more_headers or {}
        if accept:
            headers["Accept"] = accept
        what = self._describe(method, target)
        if method != "GET" and not self._may_write():
            raise MayNotWrite(f"{what}: not sent, as this process may not write any more")
        started, code = self._clock.monotonic(), "<error>"
        try:
            async with self._open().request(
                method,
                self._url(target),
                data=body,
                headers=headers,
                timeout=limits,
                allow_redirects=False,  # the token is for this server only
                **self._options,
            ) as response:
                content = await _read(response, what, max_bytes)
                code = str(response.status)
        except _NETWORK_ERRORS as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
                # The next request has a new connection, and an answer: then nobody would find out about the watches.
                self._cut_streams("the server did not answer another request in time")
            raise await self._failure(what, error, headers) from error
        finally:
            self._tell(method, method, target, code, started, headers)
        self._check_credentials(response.status)
        if response.status >= 300:
            content = redact_bytes(content, self._secrets(headers))
        return RawResponse(response.status, content, {name.lower(): value for name, value in response.headers.items()})

    @asynccontextmanager
    async def stream(self, target: str, *, idle_seconds: float) -> AsyncIterator[Lines]:
        """GET a stream of lines; entered when the server has answered 200, raises ApiError if it answers otherwise.

        See :meth:`informers.ApiClient.watch` for the iterator.
        """
        connect_seconds = min(idle_seconds, _CONNECT_TOTAL_SECONDS)
        limits = aiohttp.ClientTimeout(
            total=None,
            connect=connect_seconds,
            sock_connect=_CONNECT_SECONDS,
            sock_read=idle_seconds,
        )
        headers = await self._authorized(None)
        headers["Accept-Encoding"] = (
            "identity"  # API servers do not compress watches; what a hostile one packs is large
        )
        what = self._describe("WATCH", target)
        started, code = self._clock.monotonic(), "<error>"
        try:
            async with asyncio.timeout(connect_seconds + idle_seconds):  # headers may come byte by byte, without end
                response = await self._open().get(
                    self._url(target), headers=headers, timeout=limits, allow_redirects=False, **self._options
                )
            code = str(response.status)
        except _NETWORK_ERRORS as error:
            raise await self._failure(what, error, headers) from error
        finally:
            self._tell("GET", "WATCH", target, code, started, headers)
        try:
            if response.status != 200:
                self._check_credentials(response.status)
                try:
                    async with asyncio.timeout(self._config.timeout_seconds):
                        content = await _read(response, what, MAX_OBJECT_BYTES)
                except _NETWORK_ERRORS as error:
                    raise _transport_error(what, error, self._secrets(headers)) from error
                raise from_response(response.status, redact_bytes(content, self._secrets(headers)), response.headers)
            if (packed := response.headers.get("Content-Encoding", "identity")) != "identity":
                raise DecodeError(f"{what}: the answer is compressed ({packed[:32]!r}), which was not asked for")
            self._streams.add(response.content)
            with held() as charge:
                yield _Lines(response.content, what, self._secrets(headers), charge)
        finally:
            self._streams.discard(response.content)
            response.close()  # not released to the pool: the rest of the stream is still to come

    def _tell(self, method: str, verb: str, target: str, code: str, started: float, headers: Mapping[str, str]) -> None:
        seconds = self._clock.monotonic() - started
        self._metrics.request(method, self.host, code, seconds)
        if _requests.isEnabledFor(logging.DEBUG):
            fields = {
                "method": verb,
                "path": redact(shown_target(target), self._secrets(headers)),
                "code": code,
                "milliseconds": round(seconds * 1000, 1),
                "server": self.host,
            }
            _requests.debug("request", extra=fields)

    async def guard(self, *, every_seconds: float, answer_seconds: float) -> NoReturn:
        """Find out about connections that are dead without a word; see :meth:`informers.ApiClient.guard`."""
        pause = min(every_seconds, _GUARD_FIRST_SECONDS)
        while True:
            await self._clock.sleep(pause)
            if not self._streams:
                continue
            pause = every_seconds
            try:
                # Whatever it says is an answer. It goes out on a connection that was there before, like the watches.
                await self.exchange("GET", "/livez", timeout=answer_seconds, limited=False)
            except NoCredentials:
                pass
            except TransportError as error:
                _log.warning("server does not answer, closing its connections", extra=self._fields(error=error))
                await self._begin_anew()
            except KubeError as error:
                _log.debug("unexpected answer to /livez", extra=self._fields(error=error))

    def _fields(self, **more: object) -> dict[str, object]:
        return {"server": self.host, **{key: str(value) for key, value in more.items()}}

    async def _begin_anew(self) -> None:
        """Close all connections. Requests under way fail with TransportError, later ones use new connections."""
        session, self._session = self._session, None
        self._cut_streams("the server did not answer, so its connections were given up")
        if session is not None:
            await session.close()

    def _cut_streams(self, why: str) -> None:
        for content in self._streams:
            # aiohttp would close the socket and leave whoever reads from it waiting for ever.
            content.set_exception(ConnectionAbortedError(why))

    async def _authorized(self, content_type: str | None, *, limited: bool = True) -> dict[str, str]:
        if self._limiter is not None and limited and not self._limiter.try_take():
            seconds = self._config.timeout_seconds
            try:
                async with asyncio.timeout(seconds):
                    await self._limiter.wait()
            except TimeoutError:
                raise RateLimited(f"too many requests to {self.host} wait: no turn within {seconds:g} s") from None
        headers = self._headers.copy()
        if content_type is not None:
            headers["Content-Type"] = content_type
        if self._config.token_source is not None:
            token = await self._config.token_source.token()
            if token is not None:
                if not (token.isascii() and token.isprintable()):
                    raise ConfigError(f"the token for {self.host} has characters that no HTTP header can carry")
                headers["Authorization"] = f"Bearer {token}"
        return headers

    def _secrets(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """What of a request must not be told if the answer quotes it: some servers and proxies show what they got."""
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        return (token, *self._proxy_secrets)

    def _check_credentials(self, status: int) -> None:
        if status == 401:
            if self._config.token_source is not None:
                self._config.token_source.invalidate()
            self._renew()

    async def _failure(self, what: str, error: BaseException, headers: Mapping[str, str]) -> TransportError:
        """What to raise; after a certificate that was not trusted, later requests trust who is to be trusted by now."""
        refused = certificate_error(error)
        if refused is None:
            return _transport_error(what, error, self._secrets(headers))
        words = words_for(refused)
        if is_issuer_unknown(refused):
            trusted = subjects(self._options["ssl"]) if self._config.ca_pem else ["the system's authorities"]
            words = distrust(refused, issuer=await self._issuer(), trusted=trusted, source=self._config.ca_source)
        self._renew()
        return Untrusted(f"{what}: {_line(words, self._secrets(headers))}")

    async def _issuer(self) -> str:
        """Who issued the server's certificate; empty if not known. A proxy is not gone through for that."""
        if self._config.proxy_url:
            return ""
        async with self._issuer_lock:  # all who fail meanwhile say the same words
            if self._clock.monotonic() >= self._issuer_known_until:
                parts = urlsplit(self._config.server)
                host = parts.hostname or ""
                try:
                    async with asyncio.timeout(_ISSUER_SECONDS):
                        name = self._config.tls_server_name or host
                        self._issuer_name = await issuer_of(host, parts.port or 443, name)
                except TimeoutError:
                    self._issuer_name = ""
                seconds = _ISSUER_KNOWN_SECONDS if self._issuer_name else _ISSUER_UNKNOWN_SECONDS
                self._issuer_known_until = self._clock.monotonic() + seconds
            return self._issuer_name

    def _renew(self) -> None:
        """Have later requests use what the files with certificates hold by now, on connections of their own."""
        try:
            found = renewed(self._config)
        except ConfigError as unusable:
            _log.warning("cannot read certificates again", extra=self._fields(error=unusable))
            return
        if found is not None:
            self._config, self._tls = found
            self._options["ssl"] = self._tls
            _log.info("certificates have changed on disk", extra=self._fields())

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise TransportError(f"the client for {self.host} is closed")
        if self._session is None:
            self._session, self._options = open_session(self._config, self._tls, self._connected)
        return self._session

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        self.peer_certificate = transport.get_extra_info("peercert") or {}

    def _url(self, target: str) -> URL:
        return URL(self._base + target, encoded=True)

    def _describe(self, method: str, target: str) -> str:
        # Without the query: continue tokens are long, and say nothing.
        return f"{method} {target.partition('?')[0]} at {self.host}"


class _Lines:
    """The lines of a stream, those of each read together. An ERROR event is told to people: it is without `secrets`."""

    def __init__(
        self, content: aiohttp.StreamReader, what: str, secrets: Sequence[str], charge: Callable[[int], None]
    ) -> None:
        self._content = content
        self._what = what
        self._secrets = secrets
        self._charge = charge
        self._splitter = LineSplitter(MAX_OBJECT_BYTES)
        self._turn = _Turn()

    def __aiter__(self) -> AsyncIterator[list[bytes]]:
        return self

    async def __anext__(self) -> list[bytes]:
        while True:
            try:
                chunk = await _readany(self._content)
            except aiohttp.SocketTimeoutError as error:
                raise WatchIdle(f"{self._what}: not a byte for too long") from error
            except _NETWORK_ERRORS as error:
                raise _transport_error(self._what, error, self._secrets) from error
            if not chunk:
                raise StopAsyncIteration
            await self._turn.read(len(chunk))
            pending = self._splitter.pending
            lines = self._splitter.feed(chunk)
            if pending or self._splitter.pending:
                self._charge(self._splitter.pending - pending)
            if lines:
                return [redact_bytes(line, self._secrets) if b'"ERROR"' in line else line for line in lines]


class _Turn:
    """Lets other tasks run after each `TURN_BYTES`: a read returns at once as long as decompressed bytes are there."""

    def __init__(self) -> None:
        self._bytes = 0

    async def read(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= TURN_BYTES:
            self._bytes = 0
            await asyncio.sleep(0)


async def _readany(content: aiohttp.StreamReader) -> bytes:
    """What has come. That a connection was lost between two reads aiohttp says in an error that is none of its own."""
    try:
        return await content.readany()
    except RuntimeError as error:
        raise aiohttp.ClientPayloadError("the connection was closed") from error


async def _read(response: aiohttp.ClientResponse, what: str, max_bytes: int) -> bytes:
    """The decompressed body. Its length is checked as it grows: it may be compressed, and the server may lie."""
    chunks: list[bytes] = []
    size = 0
    turn = _Turn()
    with held() as charge:
        while chunk := await _readany(response.content):
            await turn.read(len(chunk))
            size += len(chunk)
            if size > max_bytes:
                raise DecodeError(f"{what}: the answer is longer than {max_bytes} bytes")
            charge(2 * len(chunk))  # when all are here, they are joined
            chunks.append(chunk)
        return b"".join(chunks)


def _transport_error(what: str, error: BaseException, secrets: Sequence[str] = ()) -> TransportError:
    return TransportError(f"{what}: {_line(words_for(error), secrets)}")


def _line(words: str, secrets: Sequence[str]) -> str:
    return " ".join(redact(words, secrets)[:_MAX_WORDS].split())
