"""Why a request had no answer, in words: the same for the same cause, on every event loop and at every start.

aiohttp's own words hold addresses of Python objects, and those of the system differ between event loops. Whoever
compares texts, to say a thing once, would find news in them each time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAMES: Final = 3

_SHORT: Final = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU"}

_ISSUER_UNKNOWN: Final = frozenset({2, 7, 18, 19, 20, 21, 27, 30})
"""X509_V_ERR codes that mean: whoever issued the certificate is not among those trusted."""

_OBJECT: Final = re.compile(r"<[^<>]* (?:at )?0x[0-9a-fA-F]+>|\bat 0x[0-9a-fA-F]+")


def words_for(error: BaseException) -> str:
    """Words about a failed request, of any length, and not without secrets if the other side quoted some."""
    match error:
        case aiohttp.ClientHttpProxyError(status=status, message=message):
            return f"the proxy answered {status} {message}"
        case aiohttp.ClientResponseError(status=status, message=message):
            # Without the URL, which may be a proxy's and hold a password.
            return f"the answer is not HTTP: {status} {message}"
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "the host name does not resolve"
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            return words_for(cause) if isinstance(cause, ssl.SSLError) else str(cause)
        case aiohttp.ClientProxyConnectionError(os_error=cause):
            return f"proxy: {words_for(cause)}"
        case aiohttp.ClientConnectorError(os_error=cause):
            return words_for(cause)
        case ProxyTimeoutError():
            return "proxy: timed out"
        case ProxyConnectionError(__cause__=OSError() as cause):
            return f"proxy: {words_for(cause)}"
        case ProxyError() | ProxyConnectionError():
            return f"proxy: {_plain(error)}"
        case TimeoutError() | asyncio.TimeoutError():
            return "timed out"
        case ssl.SSLCertVerificationError(verify_message=message):
            return f"the server's certificate does not verify: {message}"
        case aiohttp.ClientOSError(__cause__=ssl.SSLError() as cause):  # behind a SOCKS proxy
            return words_for(cause)
        case ssl.SSLError(reason=str(reason)):
            return f"TLS: {reason.replace('_', ' ').lower()}"
        case aiohttp.ClientPayloadError():
            return "the connection was closed in the middle of the answer"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError() | BrokenPipeError() | EOFError():
            return "the connection was closed by the other side"
        case OSError(errno=errno.ECONNRESET | errno.EPIPE):
            return "the connection was closed by the other side"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
    return _plain(error)


def _plain(error: BaseException) -> str:
    return _OBJECT.sub("", str(error)).strip() or type(error).__name__


def certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The refused certificate's own error, if that is why a connection failed."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return certificate_error(error.certificate_error)
    if isinstance(error, aiohttp.ClientOSError) and error.__cause__ is not None:  # behind a SOCKS proxy
        return certificate_error(error.__cause__)
    return error if isinstance(error, ssl.SSLCertVerificationError) else None


def is_issuer_unknown(error: ssl.SSLCertVerificationError) -> bool:
    """Whether another CA bundle would have helped, and not another certificate, name or clock."""
    return error.verify_code in _ISSUER_UNKNOWN


def distrust(error: ssl.SSLCertVerificationError, *, issuer: str, trusted: Iterable[str], source: str) -> str:
    """Words for a certificate whose issuer is not trusted.

    Args:
        error: OpenSSL's.
        issuer: who issued the certificate; empty if that is not known.
        trusted: the subjects of the authorities that are trusted.
        source: where these come from.
    """
    names = list(dict.fromkeys(trusted))
    shown = ", ".join(names[:_MAX_NAMES]) + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
    by = f", which {issuer} issued," if issuer else ""
    holds = f"{source} holds {shown or 'no authority'}" if source else f"trusted is {shown or 'nobody'}"
    return f"the server's certificate{by} is not trusted: {holds} ({error.verify_message})"


def subjects(context: ssl.SSLContext) -> list[str]:
    """The authorities that a context trusts, by name."""
    return [distinguished_name(certificate.get("subject")) for certificate in context.get_ca_certs()]


def distinguished_name(parts: Any) -> str:
    """A name of a certificate, as `ssl` decodes it, like `CN=kubernetes,O=acme`."""
    pairs = [pair for part in parts or () for pair in part]
    known = [f"{_SHORT[key]}={' '.join(str(value).split())}" for key, value in reversed(pairs) if key in _SHORT]
    return ",".join(known) or "somebody without a name"


async def issuer_of(host: str, port: int, server_name: str) -> str:
    """Who issued the certificate that a server shows now; empty if that cannot be found out.

    Nothing is sent but a greeting. The second one makes `ssl` decode what the first one saw, by trusting it.
    """
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.minimum_version = ssl.TLSVersion.TLSv1_2
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    try:
        shown = await _greet(host, port, server_name, blind)
        certificate = shown.getpeercert(binary_form=True)
        if certificate is None:
            return ""
        sighted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        sighted.minimum_version = ssl.TLSVersion.TLSv1_2
        sighted.check_hostname = False
        sighted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        sighted.load_verify_locations(cadata=certificate)
        decoded = (await _greet(host, port, server_name, sighted)).getpeercert() or {}
    except (OSError, ValueError, EOFError):
        return ""
    return distinguished_name(decoded.get("issuer"))


async def _greet(host: str, port: int, server_name: str, context: ssl.SSLContext) -> Any:
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=server_name)
    try:
        return writer.get_extra_info("ssl_object")
    finally:
        writer.transport.abort()
