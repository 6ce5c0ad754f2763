"""When an object is written again that somebody else keeps changing back, or deletes.

A drift is repaired at once. Where another controller holds a field, or another control plane the whole object, each
repair causes the next change, as fast as both can. So after five of them the next write waits, longer each time, and
the Work's condition names who it is. Once the object has stayed as it was written the condition goes, and after ten
quiet minutes all is forgotten. A manifest that changed is written at once in any case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from mcs_controller.api.common import OWN_MANAGERS
from mcs_controller.domain.conditions import clip, printable

if TYPE_CHECKING:
    from mcs_controller.api.common import JsonObject

REPAIRS: Final = 5
"""Writes of the same manifest again, one after the other, before the next one waits."""

_FIRST_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 300.0
_SETTLED_SECONDS: Final = 30.0
"""How long an object has to stay as it is, at most, until nobody else seems to write it any more."""
_FORGET_SECONDS: Final = 600.0
_MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class LastWrite:
    """The last write of an object in a member.

    Attributes:
        manifest: hash of the manifest that was written.
        at: when, in seconds of a monotonic clock.
        repairs: writes of the same manifest again, one after the other.
        rival: who else writes it, or "" if that is unknown; None as long as no write had to wait.
        asked: whether that was found out since the write.
    """

    manifest: int
    at: float
    repairs: int = 0
    rival: str | None = None
    asked: bool = False


def is_forgotten(last: LastWrite, now: float) -> bool:
    """Whether the write is so long ago that a change of the object is an ordinary drift again."""
    return now - last.at > _FORGET_SECONDS


def after_write(last: LastWrite | None, manifest: int, now: float) -> LastWrite:
    """What to remember after a write that succeeded."""
    if last is None or is_forgotten(last, now):
        return LastWrite(manifest, now)
    repairs = last.repairs + (last.manifest == manifest)
    return LastWrite(manifest, now, repairs, last.rival)


def with_rival(last: LastWrite, rival: str) -> LastWrite:
    """What to remember after it was found out who writes the object; a name that was known stays if nobody knows."""
    return replace(last, rival=rival or last.rival or "", asked=True)


def seconds_to_wait(last: LastWrite | None, manifest: int, now: float) -> float:
    """How long the next write has to wait; 0 if it need not."""
    if last is None or last.manifest != manifest or last.repairs < REPAIRS:
        return 0.0
    return max(0.0, last.at + _delay(last) - now)


def seconds_to_settle(last: LastWrite | None, now: float) -> float:
    """How long the object has to stay as it is until the others seem to have stopped; 0 if they have, or none did."""
    if last is None or last.rival is None:
        return 0.0
    return max(0.0, last.at + min(_delay(last), _SETTLED_SECONDS) - now)


def last_writer(content: JsonObject) -> str:
    """The field manager who wrote the object last, apart from ourselves; "" if its managedFields name nobody.

    Two installations of ours that write one object cannot be told apart. The name is what the member says: cut, and
    without control characters.
    """
    try:
        entries = msgspec.convert(content.get("metadata"), _Metadata).managed_fields or ()
    except msgspec.ValidationError:
        return ""
    others = [one for one in entries if not one.subresource and one.manager and one.manager not in OWN_MANAGERS]
    if not others:
        return ""
    name = max(others, key=lambda one: one.time).manager
    return clip(printable(name), _MAX_NAME)


def contended(kind: str, namespace: str, name: str, rival: str) -> str:
    """The text for people."""
    what = "/".join(part for part in (namespace, name) if part)
    who = rival or "unknown, its managedFields name nobody"
    return f"{kind} {what}: somebody else writes it: {who}; it is written less and less often until that stops"


def _delay(last: LastWrite) -> float:
    # Beyond 2^20 the cap holds in any case; the power itself would overflow a float.
    return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(max(last.repairs - REPAIRS, 0), 20))


class _Entry(msgspec.Struct):
    manager: str = ""
    subresource: str = ""
    time: str = ""


class _Metadata(msgspec.Struct, rename="camel"):
    managed_fields: list[_Entry] | None = None
