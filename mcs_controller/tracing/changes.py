"""Which change of a slice something is done for, and the trace that belongs to it.

The trace is not carried but computed: of the slice, and of the time at which Kubernetes says that its endpoints were
changed, which the collected Work carries, too. So the process that collects, an agent perhaps, and the one that
dispatches agree on it, and so do those before and after a restart, and no object has anything that Karmada's would not
have.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import Role, origin_of, role_of

if TYPE_CHECKING:
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import SliceRef


class Change(NamedTuple):
    """A version of a provider's slice.

    Attributes:
        version: the trigger time; uid and resourceVersion for a slice that has none, as others' controllers make them.
    """

    origin: SliceRef
    version: str

    def ids(self) -> tuple[int, int]:
        """Its trace, and the span that it begins with: 128 and 64 bits, neither 0, the same in every process."""
        digest = hashlib.sha256("\0".join((*self.origin, self.version)).encode("utf-8", "backslashreplace")).digest()
        return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


def change_of_slice(origin: SliceRef, observed: EndpointSlice) -> Change:
    """The change that made a slice what it is."""
    meta = observed.metadata
    return Change(origin, meta.annotations.get(wk.TRIGGER_TIME) or f"{meta.uid}/{meta.resource_version}")


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Content(msgspec.Struct):
    metadata: _Metadata


_content = msgspec.json.Decoder(_Content)


def change_of_work(work: Work) -> Change | None:
    """The change that a collected Work brings; None if it does not say."""
    origin = origin_of(work) if role_of(work) is Role.COLLECTED else None
    if origin is None or not work.manifests:
        return None
    try:
        annotations = _content.decode(work.manifests[0].raw).metadata.annotations or {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    version = annotations.get(wk.TRIGGER_TIME)
    return Change(origin, version) if version else None
