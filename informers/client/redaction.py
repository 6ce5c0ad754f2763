"""Redaction of secrets in texts: URLs with credentials, and secrets that a remote side quotes back at us."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

REDACTED: Final = "[redacted]"

_SHORTEST: Final = 4
"""Characters. Shorter ones are no secrets, and would be found everywhere."""

_TOLD: Final = frozenset(
    {
        *("labelSelector", "fieldSelector", "limit", "resourceVersion", "resourceVersionMatch", "watch"),
        *("timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents", "fieldManager", "force"),
    }
)
"""Parameters of a query that hold no secret; what else callers or others put there may."""


def shown(url: str) -> str:
    """A URL for people: without user, password, query and fragment. Also for what is meant to be a URL and is none."""
    return re.sub(r"//.*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])


def shown_target(target: str) -> str:
    """Path and query of a request for people: of the query only what Kubernetes' own parameters say."""
    path, _, query = target.partition("?")
    told = "&".join(part for part in query.split("&") if part.partition("=")[0] in _TOLD)
    return f"{path}?{told}" if told else path


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets that are in it as they are."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, REDACTED)
    return text


def redact_bytes(content: bytes, secrets: Iterable[str]) -> bytes:
    """:func:`redact` for a body whose encoding nobody has looked at."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            content = content.replace(secret.encode(), REDACTED.encode())
    return content


def proxy_secrets(url: str, headers: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The secrets that a proxy sees, in the forms in which it sees them."""
    for values in headers.values():
        yield from values
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.password:
        user, password = unquote(parts.username or ""), unquote(parts.password)
        yield parts.password
        yield password
        yield base64.b64encode(f"{user}:{password}".encode()).decode()
