"""The errors of requests to an API server.

    KubeError
    ├── TransportError                 no answer: DNS, refused, reset, TLS, time-out (retryable)
    │   ├── NoCredentials              there is no token to send, so nothing was sent
    │   ├── Untrusted                  the server's certificate does not verify
    │   └── WatchIdle                    a watch that was open has not said anything for too long
    ├── ServerRolledBack                       the server is behind what it told us: restored from a backup (list again)
    ├── CacheFull                      the collection takes more memory than there is for it (list again, later)
    ├── DecodeError                    an answer that is not what it should be (not retryable)
    ├── ConfigError                    a client that cannot be built: kubeconfig, CA, credentials (not retryable)
    └── ApiError(status, reason)       the server said no
        ├── BadRequest            400
        ├── Unauthorized          401  the credentials are dropped and read again; the failed call is not replayed
        ├── Forbidden             403
        ├── NotFound              404
        ├── Conflict              409  the object changed since it was read (retryable after re-reading)
        │   └── AlreadyExists     409
        ├── Gone                  410  the resourceVersion or continue token is too old: list again
        ├── TooLarge              413
        ├── Invalid               422
        ├── TooManyRequests       429  `retry_after` says how long (retryable)
        └── ServerError           5xx  (retryable; `retry_after` if the server sent one)

`retryable` tells whether the same call, unchanged, can succeed later by itself.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MAX_MESSAGE = 2048
"""Bytes of a server's own words that an error keeps: a remote side must not decide how long our log lines are."""


_MAX_RETRY_AFTER = 300
"""Seconds. Whatever number a server writes: it may be well again long before, and nobody would find out."""

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that it cannot read (msgspec.ValidationError included). RecursionError: see
:mod:`informers.client.nesting`."""


class KubeError(Exception):
    """Anything that this package raises about an API server."""

    retryable: ClassVar[bool] = False


class TransportError(KubeError):
    """The request had no complete answer. A write may or may not have taken effect."""

    retryable = True


class NoCredentials(TransportError):
    """The request was not sent: its credentials cannot be had."""


class RateLimited(TransportError):
    """Nothing was sent, because too many other requests of ours to this server wait for the client's limit."""


class MayNotWrite(TransportError):
    """Nothing was sent, because this process may not write any more: another one may by now."""


class Untrusted(TransportError):
    """The server's certificate does not verify. Nothing was sent."""


class WatchIdle(TransportError):
    """A watch was open, and for a long time nothing came: nothing happened, or the connection is dead."""


class ServerRolledBack(KubeError):
    """The server's resource version is lower than an earlier one."""


class CacheFull(KubeError):
    """The server's objects do not fit into their memory budget: see :mod:`informers.memory`.

    Attributes:
        retry_after: seconds until it is worth another try.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DecodeError(KubeError):
    """The server's answer does not decode."""


class ConfigError(KubeError):
    """The configuration does not make a client."""


class ApiError(KubeError):
    """The server answered with an error status.

    Attributes:
        status: HTTP status code.
        reason: the `reason` of the Status object ("AlreadyExists", "Expired", ...), or "" if there was none.
        message: the server's words, capped.
        retry_after: seconds that the server asked us to wait, if it did.
    """

    def __init__(self, status: int, reason: str = "", message: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class NamespaceTerminating(Forbidden):
    """403 on a create in a namespace that is being deleted: nothing new can be made there."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: the object is not the one that was read."""


class AlreadyExists(Conflict):
    """409 on a create."""


class Gone(ApiError):
    """410, as an HTTP status or as an ERROR event in a watch."""


class TooLarge(ApiError):
    """413."""


class Invalid(ApiError):
    """422: the object fails validation or a policy."""


class TooManyRequests(ApiError):
    """429."""

    retryable = True


class ServerError(ApiError):
    """5xx."""

    retryable = True


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
}


class _Cause(msgspec.Struct):
    reason: str | None = None


class _Details(msgspec.Struct):
    retryAfterSeconds: int | None = None
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    code: int | None = None
    details: _Details | None = None


def from_response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ApiError:
    """The error for an answer that is no success. The body may be a metav1.Status or anything else.

    Args:
        status: HTTP status code.
        body: the whole body.
        headers: by lower-case name.
    """
    try:
        decoded = msgspec.json.decode(body, type=_Status)
    except UNDECODABLE:
        decoded = _Status(message=body[:_MAX_MESSAGE].decode("utf-8", "replace").strip())
    retry_after = _retry_after(headers or {})
    if retry_after is None and decoded.details is not None and decoded.details.retryAfterSeconds is not None:
        retry_after = _in_reason(decoded.details.retryAfterSeconds)
    reason = (decoded.reason or "")[:_MAX_MESSAGE]
    message = (decoded.message or "")[:_MAX_MESSAGE]
    kind: type[ApiError] = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    causes = (decoded.details.causes if decoded.details is not None else None) or ()
    if status == 403 and any(cause.reason == "NamespaceTerminating" for cause in causes):
        kind = NamespaceTerminating
    return kind(status, reason, message, retry_after)


def from_watch_status(obj: bytes) -> ApiError:
    """The error for the object of an ERROR event in a watch stream."""
    try:
        code = msgspec.json.decode(obj, type=_Status).code or 500
    except UNDECODABLE:
        code = 500
    return from_response(code, obj)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110), or None if there is none that makes sense.

    A date counts from the date of the answer itself, so neither the server's clock nor ours has to be right.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return _in_reason(float(value))
    until, now = _date(value), _date(headers.get("date", ""))
    return None if until is None or now is None else _in_reason((until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None


def _in_reason(seconds: float) -> float:
    return float(min(max(seconds, 0), _MAX_RETRY_AFTER))
