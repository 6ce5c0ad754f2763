"""endpointslice-controller: slices collected for ServiceExports as EndpointSlices of the control plane (contract 3.5).

Key: the collected Work. Watches: Works; the control plane's EndpointSlices; Namespaces, as a slice may be exported from
one that the control plane does not have yet.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mcs_controller.api.common import canonical
from mcs_controller.api.core import decode_endpointslice
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.import_slices import (
    BY_NAMESPACE,
    BY_WORK,
    CreateSlice,
    ImportPlan,
    PatchSlice,
    SliceWrite,
    export_of,
    plan_import,
    stripped_of,
    work_of,
)
from mcs_controller.domain.works import origin_of
from mcs_controller.key_mutex import RETRY_WHEN_LOCKED_SECONDS
from mcs_controller.reconcilers.writes import Failures, NameReservations, settle
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.informer import Event
    from mcs_controller.api.core import EndpointSlice, Namespace
    from mcs_controller.api.work import Work
    from mcs_controller.key_mutex import ReconcileMutex


class EndpointSliceImportReconciler:
    """Brings the control plane's slices in line with what was collected for ServiceExports."""

    def __init__(
        self,
        *,
        works: CachedClient[Work],
        slices: CachedClient[EndpointSlice],
        slice_locks: ReconcileMutex[ClusterRequest],
    ) -> None:
        """`slice_locks` says who writes the collected Work of a slice."""
        self._works = works
        self._slices = slices
        self._slice_locks = slice_locks
        self._creating = NameReservations(slices)
        self._stripped: dict[tuple[str, str], Request] = {}
        """Slices that were seen to lose the names of their Works, by (namespace, name), with these."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says."""
        plan = self._plan(request)
        failures = Failures()
        await settle(((f"EndpointSlice {_name(write)}", self._apply(write)) for write in plan.writes), failures)
        failures.raise_if_any()
        # Only once no slice is left may the Work go: after a crash before this line it still leads back here.
        return await self._release(request) if plan.release is not None else Result()

    async def _release(self, request: Request) -> Result:
        """Let go of the Work, if nobody else writes it: a feature that shares it may be doing so."""
        with ExitStack() as turns:
            work = self._works.get(request.namespace, request.name)
            origin = origin_of(work) if work is not None else None
            if origin is not None and not turns.enter_context(self._slice_locks.ahead(ClusterRequest(*origin))):
                return Result(requeue_after=RETRY_WHEN_LOCKED_SECONDS)
            release = self._plan(request).release
            if release is not None:
                await self._works.patch(request.namespace, request.name, release)
        return Result()

    def _plan(self, request: Request) -> ImportPlan:
        work = self._works.get(request.namespace, request.name)
        stripped = (self._slices.get(*place) for place, of in self._stripped.items() if of == request)
        found = [*self._slices.store.by_index(BY_WORK, tuple(request)), *(one for one in stripped if one is not None)]
        return plan_import(work, found, self._creating.get)

    def _apply(self, write: SliceWrite) -> Awaitable[object]:
        if isinstance(write, PatchSlice):
            return self._slices.patch(write.namespace, write.name, write.body)
        if isinstance(write, CreateSlice):
            return self._creating.create(write.namespace, write.body, decode_endpointslice(canonical(write.body)))
        return self._slices.delete(write.namespace, write.name, uid=write.uid)

    def requests_for_slice(self, event: Event[EndpointSlice]) -> Iterable[Request]:
        """The Work that the slice is, or was, made of."""
        place = (event.object.metadata.namespace, event.object.metadata.name)
        if (lost := stripped_of(event.old, event.new)) is not None:
            self._stripped[place] = Request(*lost)
        elif event.new is None or work_of(event.new) is not None:
            self._stripped.pop(place, None)
        found = {Request(*work) for one in (event.old, event.new) if one is not None and (work := work_of(one))}
        if place in self._stripped:
            found.add(self._stripped[place])
        return sorted(found)

    def requests_for_namespace(self, event: Event[Namespace]) -> Iterable[Request]:
        """The Works whose slices had no place until a namespace came."""
        if event.old is not None:
            return ()
        works = self._works.store.by_index(BY_NAMESPACE, event.object.metadata.name)
        return [Request(work.metadata.namespace, work.metadata.name) for work in works]


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The Work itself, if it is or was collected for a ServiceExport, or waits for us to let go of it."""
    for work in (event.old, event.new):
        if work is not None and (export_of(work) is not None or wk.IMPORT_FINALIZER in work.metadata.finalizers):
            return (Request(work.metadata.namespace, work.metadata.name),)
    return ()


def _name(write: SliceWrite) -> str:
    name = write.body["metadata"]["name"] if isinstance(write, CreateSlice) else write.name
    return f"{write.namespace}/{name}"
