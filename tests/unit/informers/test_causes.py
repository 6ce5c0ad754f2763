"""Errors of requests in words: the same for the same cause, without addresses of objects."""

import errno
import socket
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp_socks import ProxyConnectionError, ProxyError

from informers.client.causes import distinguished_name, distrust, words_for


def key() -> ConnectionKey:
    """As aiohttp makes it; its text has the address of the context."""
    return ConnectionKey("m1", 6443, True, ssl.create_default_context(), None, None, None)


def os_error(number: int, text: str) -> OSError:
    return OSError(number, text)


REFUSED_BY_UVLOOP = os_error(errno.ECONNREFUSED, "Connection refused")
REFUSED_BY_ASYNCIO = os_error(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 6443)")


def from_(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def tls_error(text: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {text}] words (_ssl.c:1006)")
    error.reason = text
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ClientConnectorError(key(), REFUSED_BY_UVLOOP), "connection refused"),
        (aiohttp.ClientConnectorError(key(), REFUSED_BY_ASYNCIO), "connection refused"),
        (aiohttp.ClientProxyConnectionError(key(), REFUSED_BY_ASYNCIO), "proxy: connection refused"),
        (aiohttp.ClientConnectorError(key(), os_error(errno.EHOSTUNREACH, "x")), "no route to host"),
        (aiohttp.ClientConnectorDNSError(key(), os_error(-2, "x")), "the host name does not resolve"),
        (socket.gaierror(-3, "x"), "the host name does not resolve"),
        (aiohttp.ConnectionTimeoutError("Connection timeout to host https://m1"), "timed out"),
        (aiohttp.SocketTimeoutError("Timeout on reading data from socket"), "timed out"),
        (TimeoutError(), "timed out"),
        (aiohttp.ServerDisconnectedError(), "the connection was closed by the other side"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "Cannot write"), "the connection was closed by the other side"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "the connection was closed by the other side"),
        (aiohttp.ClientPayloadError("<x at 0x7f>"), "the connection was closed in the middle of the answer"),
        (aiohttp.ClientConnectorSSLError(key(), tls_error("WRONG_VERSION_NUMBER")), "TLS: wrong version number"),
        (ProxyError("Unexpected SOCKS version"), "proxy: Unexpected SOCKS version"),
        (from_(ProxyConnectionError("Couldn't connect to proxy"), REFUSED_BY_ASYNCIO), "proxy: connection refused"),
        (aiohttp.ClientConnectionError("<Thing object at 0x7fffe0> is closed"), "is closed"),
        (RuntimeError("a transport at 0x7fffe0"), "a transport"),
        (RuntimeError(), "RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_equal_causes_have_equal_words(error: Exception, words: str) -> None:
    assert words_for(error) == words


def verification(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.verify_code, error.verify_message = code, message
    return error


def test_certificate_that_does_not_verify_says_why() -> None:
    expired = verification(10, "certificate has expired")
    wrapped = aiohttp.ClientConnectorCertificateError(key(), expired)
    assert words_for(wrapped) == words_for(expired)
    assert words_for(expired) == "the server's certificate does not verify: certificate has expired"


@pytest.mark.parametrize(
    ("issuer", "trusted", "source", "words"),
    [
        ("CN=b", ["CN=a"], "x", "the server's certificate, which CN=b issued, is not trusted: x holds CN=a (why)"),
        ("", ["CN=a", "CN=a"], "", "the server's certificate is not trusted: trusted is CN=a (why)"),
        ("", list("abcde"), "x", "the server's certificate is not trusted: x holds a, b, c and 2 more (why)"),
        ("", [], "x", "the server's certificate is not trusted: x holds no authority (why)"),
    ],
)
def test_distrust_names_both_sides(issuer: str, trusted: list[str], source: str, words: str) -> None:
    assert distrust(verification(20, "why"), issuer=issuer, trusted=trusted, source=source) == words


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (((("countryName", "DE"),), (("organizationName", "acme"),), (("commonName", "root"),)), "CN=root,O=acme"),
        (((("commonName", "two\nlines"),),), "CN=two lines"),
        ((), "somebody without a name"),
        (None, "somebody without a name"),
    ],
)
def test_names_in_certificates_are_on_one_line(parts: Any, name: str) -> None:
    assert distinguished_name(parts) == name
