"""The log of writes that an API server has accepted: a line each, and a mark on the reconcile that wrote."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mcs_controller.runtime.logging import WRITES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from informers.client.client import Write
    from informers.meta import KubeObject

_log = logging.getLogger(WRITES)

_MAX_CHANGES: Final = 8
"""Fields of a patch that are named."""


ServiceOf: TypeAlias = "Callable[[str, str, str, KubeObject | None], str]"
"""Of a write: its kind, namespace, name, and the object after it."""


def _unknown(kind: str, namespace: str, name: str, answer: KubeObject | None) -> str:
    del kind, namespace, name, answer
    return ""


class Written:
    """Whether a reconcile has written: true after the first write."""

    def __init__(self) -> None:
        self._written = False

    def __bool__(self) -> bool:
        return self._written

    def note(self) -> None:
        """There was a write."""
        self._written = True


_written: ContextVar[Written] = ContextVar("written", default=Written())  # noqa: B039 -- nobody asks the default


@contextmanager
def noting_writes() -> Iterator[Written]:
    """Note whether anything is written within, in this task and those that it starts."""
    written = Written()
    token = _written.set(written)
    try:
        yield written
    finally:
        _written.reset(token)


class WriteLog:
    """The callback for `ApiClient(on_write=...)`. Each write is a line at `--v=2` and above.

    The reconcile that writes is in the fields around it (`log_fields`).
    """

    def __init__(self, cluster: str = "", service_of: ServiceOf = _unknown) -> None:
        """`cluster` is the member that is written to; `service_of` tells for which service a write is, if it knows."""
        self._cluster = cluster
        self._service_of = service_of

    def __call__(self, write: Write) -> None:
        """Log it. Names of fields are logged, values are not: some are secrets."""
        _written.get().note()
        if not _log.isEnabledFor(logging.INFO):
            return
        kind = f"{write.resource.kind}/{write.subresource}" if write.subresource else write.resource.kind
        where = f"{write.namespace}/{write.name}" if write.namespace else write.name
        fields = {"verb": write.verb, "kind": kind, "object": where}
        if self._cluster:
            fields["cluster"] = self._cluster
        service = self._service_of(write.resource.kind, write.namespace, write.name, write.answer)
        if service:
            fields["service"] = service
        if write.verb in ("patch", "apply") and isinstance(write.body, Mapping):
            fields["changes"] = ",".join(sorted(_changes(write.body))[:_MAX_CHANGES])
        _log.info("Wrote", extra=fields)


def _changes(body: Mapping[str, Any]) -> Iterator[str]:
    """The fields that a merge patch or an applied object names, two levels deep, without those that only identify."""
    for key, value in body.items():
        if key in ("apiVersion", "kind"):
            continue
        if not isinstance(value, Mapping):
            yield key
            continue
        for inner in value:
            if key != "metadata" or inner not in ("resourceVersion", "uid", "name", "namespace"):
                yield f"{key}.{inner}"
