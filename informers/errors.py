"""What can go wrong between us and an API server.

    KubeError
    ├── TransportError                 no answer: DNS, refused, reset, TLS, time-out (retryable)
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

from typing import ClassVar

import msgspec

_MAX_MESSAGE = 2048
"""Bytes of a server's own words that an error keeps: a remote side must not decide how long our log lines are."""


class KubeError(Exception):
    """Anything that this package raises about an API server."""

    retryable: ClassVar[bool] = False


class TransportError(KubeError):
    """The request had no complete answer. A write may or may not have taken effect."""

    retryable = True


class DecodeError(KubeError):
    """The server's answer does not decode into what was asked for."""


class ConfigError(KubeError):
    """No client can be built from what is configured."""


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


class _Details(msgspec.Struct):
    retryAfterSeconds: int | None = None


class _Status(msgspec.Struct):
    reason: str | None = None
    message: str | None = None
    code: int | None = None
    details: _Details | None = None


def from_response(status: int, body: bytes, retry_after_header: str | None = None) -> ApiError:
    """The error for an answer of status >= 400. The body may be a metav1.Status or anything else."""
    try:
        decoded = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = _Status(message=body[:_MAX_MESSAGE].decode("utf-8", "replace").strip())
    retry_after: float | None = None
    if retry_after_header is not None and retry_after_header.strip().isdigit():
        retry_after = float(retry_after_header)
    elif decoded.details is not None and decoded.details.retryAfterSeconds:
        retry_after = float(decoded.details.retryAfterSeconds)
    reason = (decoded.reason or "")[:_MAX_MESSAGE]
    message = (decoded.message or "")[:_MAX_MESSAGE]
    kind: type[ApiError] = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    return kind(status, reason, message, retry_after)


def from_watch_status(obj: bytes) -> ApiError:
    """The error for the object of an ERROR event in a watch stream."""
    try:
        code = msgspec.json.decode(obj, type=_Status).code or 500
    except (msgspec.DecodeError, UnicodeDecodeError):
        code = 500
    return from_response(code, obj)
