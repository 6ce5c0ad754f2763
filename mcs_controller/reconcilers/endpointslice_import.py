"""endpointslice-controller: slices collected for ServiceExports as EndpointSlices of the control plane (contract 3.5).

Key: the collected Work. Watches: Works; the control plane's EndpointSlices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.importedslices import (
    BY_WORK,
    CreateSlice,
    PatchSlice,
    SliceWrite,
    export_of,
    plan_import,
    work_of,
)
from mcs_controller.reconcilers.apply import Failures, settle
from mcs_controller.runtime.reconcile import Request, Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cached import CachedResource
    from informers.informer import Event
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work


class EndpointSliceImportReconciler:
    """Brings the control plane's slices in line with what was collected for ServiceExports."""

    def __init__(self, *, works: CachedResource[Work], slices: CachedResource[EndpointSlice]) -> None:
        self._works = works
        self._slices = slices

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says."""
        work = self._works.get(request.namespace, request.name)
        imported = self._slices.store.by_index(BY_WORK, tuple(request))
        plan = plan_import(work, imported, self._slices.get)
        failures = Failures()
        await settle(((f"EndpointSlice {_name(write)}", self._apply(write)) for write in plan.writes), failures)
        failures.raise_if_any()
        # Only once no slice is left may the Work go: after a crash before this line it still leads back here.
        if plan.release is not None:
            await self._works.patch(request.namespace, request.name, plan.release)
        return Result()

    async def _apply(self, write: SliceWrite) -> None:
        if isinstance(write, CreateSlice):
            await self._slices.create(write.body, write.namespace)
        elif isinstance(write, PatchSlice):
            await self._slices.patch(write.namespace, write.name, write.body)
        else:
            await self._slices.delete(write.namespace, write.name, uid=write.uid)


def requests_for_slice(event: Event[EndpointSlice]) -> Iterable[Request]:
    """The Work that the slice is, or was, made of."""
    found = {Request(*work) for one in (event.old, event.new) if one is not None and (work := work_of(one))}
    return sorted(found)


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The Work itself, if it is or was collected for a ServiceExport, or waits for us to let go of it."""
    for work in (event.old, event.new):
        if work is not None and (export_of(work) is not None or wk.IMPORT_FINALIZER in work.metadata.finalizers):
            return (Request(work.metadata.namespace, work.metadata.name),)
    return ()


def _name(write: SliceWrite) -> str:
    name = write.body["metadata"]["name"] if isinstance(write, CreateSlice) else write.name
    return f"{write.namespace}/{name}"
