"""Which dispatched Works may hold older endpoints than their provider has.

A control plane whose etcd was restored, or a write of a Work that failed after its member's object was written, leaves
a Work that is older than what the member has. Execution would write the older endpoints there, and soon the newer ones.
So it waits for the slice's one writer, which compares the Work with the provider's slice (`endpointslice`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from informers.meta import parse_resource_version
from mcs_controller.domain.works import CreateWork, Role, origin_of, role_of
from mcs_controller.runtime.reconcile import Request

if TYPE_CHECKING:
    from collections.abc import Collection

    from informers.cache.event import Event
    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import SliceRef, WorkWrite

UNCOMPARED_SECONDS: Final = 10.0
"""At most, for a slice that was not compared since the process began: its provider may be out of reach."""

OLDER_SECONDS: Final = 300.0
"""At most, for a Work that is known to be older: it may be one of thousands, or the control plane refuses its write."""


class OutdatedWorks:
    """See the module. In memory only: a process that begins has compared nothing. Not thread-safe."""

    def __init__(self) -> None:
        self._compared: set[SliceRef] = set()
        """Slices with dispatched Works, which were compared with what their provider has."""
        self._older: set[Request] = set()
        """Dispatched Works that went back, or that are to be written."""

    def wait_seconds(self, work: Work) -> float:
        """For how long at most what the Work says is not to be written into its member; 0 if it may be."""
        if role_of(work) is not Role.DISPATCHED or (origin := origin_of(work)) is None:
            return 0.0
        if Request(work.metadata.namespace, work.metadata.name) in self._older:
            return OLDER_SECONDS
        return 0.0 if origin in self._compared else UNCOMPARED_SECONDS

    def compared(self, origin: SliceRef, copies: Collection[Work], writes: Collection[WorkWrite]) -> None:
        """The slice was compared, and its dispatched Works `copies` need these writes, which follow."""
        if self._older:
            self._older -= {Request(copy.metadata.namespace, copy.metadata.name) for copy in copies}
        self._older |= {Request(one.namespace, one.name) for one in writes if not isinstance(one, CreateWork)}
        if writes or copies:
            self._compared.add(origin)
        else:
            self._compared.discard(origin)

    def written(self, write: WorkWrite) -> None:
        """The write is done."""
        self._older.discard(Request(write.namespace, write.name))

    def observe(self, event: Event[Work]) -> None:
        """To be told of every change of a Work: one whose version goes back comes from a backup."""
        old, new = event.old, event.new
        if old is not None and new is not None and role_of(new) is Role.DISPATCHED:
            before, after = (parse_resource_version(one.metadata.resource_version) for one in (old, new))
            if before is not None and after is not None and after < before:
                self._older.add(Request(new.metadata.namespace, new.metadata.name))
