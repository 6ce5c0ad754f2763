"""What of observed objects may leave the house: everything but secrets, in whatever field they were put."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from informers.client.redaction import REDACTED

_SECRET_KEYS: Final = re.compile(
    r"(?i)token|password|passwd|privatekey|ca-?bundle|proxyheader|authorization|(client|certificate).*-data"
)
"""Fields whose text is a secret, or is of no use without one."""

_CONTENT: Final = frozenset({"data", "stringData", "binaryData"})
_KEEPERS: Final = frozenset({"Secret", "ConfigMap"})
_LEFT_OUT: Final = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
"""Copies of what is there anyway, one of them as text in which no field can be found."""

_PATTERNS: Final = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"), REDACTED),  # JSON web tokens
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"(?<=//)[^/\s@]+@"), f"{REDACTED}@"),  # of URLs
    (re.compile(r"(?i)(bearer|basic) +[\w.~+/=-]{4,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(?i)((?:token|password|secret|key)(?!-?file)[\w-]*=)[^\s,&]+"), rf"\1{REDACTED}"),  # flags, queries
)


def scrub(value: Any) -> Any:
    """JSON without secrets: content of Secrets and ConfigMaps, environment variables, and what looks like one."""
    if isinstance(value, Mapping):
        kind = value.get("kind")  # of a schema it is no text
        content = _CONTENT if isinstance(kind, str) and kind in _KEEPERS else frozenset()
        return {key: _of_field(key, one, hidden=key in content) for key, one in value.items() if key not in _LEFT_OUT}
    if isinstance(value, list | tuple):
        return [scrub(one) for one in value]
    return scrub_text(value) if isinstance(value, str) else value


def scrub_text(text: str) -> str:
    """Text without what looks like a secret."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _of_field(key: str, value: Any, *, hidden: bool) -> Any:
    if hidden or (_SECRET_KEYS.search(key) and isinstance(value, str | Mapping)):
        return _hidden(value)
    if key == "env" and isinstance(value, list | tuple):
        return [
            scrub({**one, "value": REDACTED} if isinstance(one, Mapping) and "value" in one else one) for one in value
        ]
    return scrub(value)


def _hidden(value: Any) -> Any:
    """The names of what is hidden help, and are none."""
    return dict.fromkeys(value, REDACTED) if isinstance(value, Mapping) else REDACTED
