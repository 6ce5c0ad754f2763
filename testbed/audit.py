"""Read the audit log of an API server: requests, users, results.

::

    mark = AuditLog(bed.host.audit_log).mark()
    ...                                         # let the world do something
    writes = [event for event in mark.events() if event.user == CONTROLLER and event.is_write]

The log is written before a request is answered, so a request whose answer has been seen is in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_BLOCK_BYTES = 64 * 1024


class _User(msgspec.Struct):
    username: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, list[str]] = {}


class _ObjectRef(msgspec.Struct, rename="camel"):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""
    api_version: str = ""


class _Status(msgspec.Struct):
    code: int = 0


class _Line(msgspec.Struct, rename="camel"):
    stage: str
    verb: str = ""
    user: _User = msgspec.field(default_factory=_User)
    user_agent: str = ""
    object_ref: _ObjectRef | None = None
    response_status: _Status | None = None
    request_uri: str = msgspec.field(default="", name="requestURI")
    stage_timestamp: str = ""
    request_received_timestamp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One answered request.

    Attributes:
        credential: what tells the user's tokens apart, such as ``JTI=<uuid>``; empty if the server does not know.
        user: as the server authenticated it (``system:serviceaccount:<namespace>:<name>``, a certificate's CN).
        user_agent: what the client calls itself.
        verb: Kubernetes' verb: get, list, watch, create, update, patch, delete, deletecollection; for a request that is
            not about a resource the HTTP method in lower case.
        resource: plural; empty if the request is not about a resource (discovery, ``/readyz``).
        subresource: ``status``, ``token``, ...; or empty.
        api_group: empty for the core group.
        namespace: empty for cluster-scoped requests and for lists over all namespaces.
        name: of the object; empty for lists, watches and (mostly) creates.
        code: the HTTP status. A watch is reported when it ends.
        uri: path and query as requested.
        time: RFC 3339 with microseconds, when it was answered.
        received: the same, when it arrived.
    """

    credential: str
    user: str
    user_agent: str
    verb: str
    resource: str
    subresource: str
    api_group: str
    namespace: str
    name: str
    code: int
    uri: str
    time: str
    received: str

    @property
    def is_write(self) -> bool:
        """Whether the request is a write, successful or not."""
        return self.verb in WRITES


def parse(line: bytes) -> AuditEvent | None:
    """One line of the log; None for a stage other than ``ResponseComplete``.

    Raises:
        msgspec.DecodeError: the line is no audit event.
    """
    event = _DECODER.decode(line)
    if event.stage != "ResponseComplete":
        return None
    target = event.object_ref or _ObjectRef()
    return AuditEvent(
        credential=",".join(event.user.extra.get("authentication.kubernetes.io/credential-id", ())),
        user=event.user.username,
        user_agent=event.user_agent,
        verb=event.verb,
        resource=target.resource,
        subresource=target.subresource,
        api_group=target.api_group,
        namespace=target.namespace,
        name=target.name,
        code=event.response_status.code if event.response_status else 0,
        uri=event.request_uri,
        time=event.stage_timestamp,
        received=event.request_received_timestamp,
    )


_DECODER = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class AuditMark:
    """A position in the log, and when it was the end: RFC 3339 with microseconds, or empty."""

    path: Path
    offset: int
    since: str = ""

    def events(self) -> Iterator[AuditEvent]:
        """The requests that arrived since the mark was set and are answered, oldest first. A later call returns more.

        What a write does is seen before it is answered and logged, so a request that arrived earlier does not count.
        """
        with self.path.open("rb") as handle:
            handle.seek(self.offset)
            for line in handle:
                if not line.endswith(b"\n"):  # being written just now
                    return
                event = parse(line)
                if event is not None and (not event.received or event.received >= self.since):
                    yield event


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The log of one plane of a bed that was made with ``audit=True``."""

    path: Path

    def mark(self) -> AuditMark:
        """The current end of the log: later events begin here.

        A line that is being written just now belongs to a request that is not answered yet.
        """
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self.path.open("rb") as handle:
            end = handle.seek(0, os.SEEK_END)
            while end:
                start = max(end - _BLOCK_BYTES, 0)
                handle.seek(start)
                newline = handle.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return AuditMark(self.path, start + newline + 1, since)
                end = start
        return AuditMark(self.path, 0, since)

    def start(self) -> AuditMark:
        """The beginning of the log."""
        return AuditMark(self.path, 0)
