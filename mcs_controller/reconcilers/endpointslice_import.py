"""endpointslice-controller: slices collected for ServiceExports as EndpointSlices of the control plane (contract 3.5).

Key: the collected Work. Watches: Works; the control plane's EndpointSlices; Namespaces, as a slice may be exported from
one that the control plane does not have yet.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from informers.meta import ObjectKey
from mcs_controller.api.common import canonical
from mcs_controller.api.core import decode_endpointslice
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import ADDRESS_RULES
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
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.serviceexport import BY_CARRIED_EXPORT, BY_EXPORT, carried_exports
from mcs_controller.domain.works import PatchWork, cluster_of, origin_of
from mcs_controller.reconcilers.writes import Failures, NameReservations, apply_work, gather_writes
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.core import EndpointSlice, Namespace
    from mcs_controller.api.work import Work
    from mcs_controller.domain.addresses import AddressRules, Finding
    from mcs_controller.domain.reserved import ReservedObjects


_log = logging.getLogger(__name__)

_MAX_TOLD = 1000
"""ServiceExports, and Works of them."""


class ImportedSlices:
    """What was collected for ServiceExports, and the slices of the control plane that are made of it."""

    def __init__(
        self,
        *,
        works: Store[Work],
        slices: CachedClient[EndpointSlice],
        reserved: ReservedObjects = RESERVED,
        addresses: AddressRules = ADDRESS_RULES,
        propagated_only: bool = False,
    ) -> None:
        """`propagated_only`: a ServiceExport has to be one that a Work has brought to the member."""
        self._works = works
        self._propagated_only = propagated_only
        self._reported: set[tuple[str, str, str]] = set()
        """Members' own ServiceExports that the log has heard of."""
        self._odd: dict[Request, list[tuple[bool, str]]] = {}
        """What the log has heard of the addresses in Works: whether some were left out, and why."""
        self._reserved = reserved
        self._addresses = addresses
        self._slices = slices
        self.names = NameReservations(slices)
        self._stripped: dict[tuple[str, str], Request] = {}
        """Slices that were seen to lose the names of their Works, by (namespace, name), with these."""

    def plan(self, request: Request) -> ImportPlan:
        """The writes that make the slices of one collected Work right, from what the caches hold."""
        stripped = (self._slices.get(*place) for place, of in self._stripped.items() if of == request)
        found = [*self._slices.store.by_index(BY_WORK, tuple(request)), *(one for one in stripped if one is not None)]
        work = self._works.get(ObjectKey(*request))
        wanted = work is None or not self._is_members_own(work) or not self._propagated_only
        plan = plan_import(work, found, self.names.get, self._reserved, self._addresses, wanted=wanted)
        self._tell_addresses(request, work, plan.addresses)
        return plan

    def _tell_addresses(self, request: Request, work: Work | None, found: tuple[Finding, ...]) -> None:
        """Log what is wrong with a slice's addresses when that changes: a ServiceExport has no conditions."""
        odd = [(one.left_out, one.why) for one in found]
        if work is None or not odd:
            self._odd.pop(request, None)
        elif self._odd.get(request) != odd and (request in self._odd or len(self._odd) < _MAX_TOLD):
            self._odd[request] = odd
            for one in found:
                _log.warning(
                    "Addresses of a member's endpoints are left out"
                    if one.left_out
                    else "Endpoints of a member have suspicious addresses",
                    extra={
                        "cluster": cluster_of(work),
                        "service_export": str(export_of(work)),
                        "addresses": one.total,
                        "example": one.example,
                        "why": one.why,
                    },
                )

    def _is_members_own(self, work: Work) -> bool:
        """Whether no Work brings the ServiceExport for which the slice was collected. The log hears of each once."""
        cluster, export = cluster_of(work), export_of(work)
        if cluster is None or export is None or work.metadata.deletion_timestamp is not None:
            return False
        place = (cluster, *export)
        if self._works.by_index(BY_CARRIED_EXPORT, place):
            self._reported.discard(place)
            return False
        if place not in self._reported and len(self._reported) < _MAX_TOLD:
            self._reported.add(place)
            _log.warning(
                "ServiceExport was not propagated by the control plane, and is ignored"
                if self._propagated_only
                else "ServiceExport was not propagated by the control plane, and is followed all the same",
                extra={"cluster": cluster, "service_export": str(export)},
            )
        return True

    def requests_for_exports(self, event: Event[Work]) -> Iterable[Request]:
        """What was collected for the ServiceExports that a Work brings to its member, if it came or went."""
        if event.old is not None and event.new is not None and event.old.manifests == event.new.manifests:
            return ()
        carried = {place for work in (event.old, event.new) if work is not None for place in carried_exports(work)}
        works = (work.metadata for place in carried for work in self._works.by_index(BY_EXPORT, place))
        return sorted({Request(meta.namespace, meta.name) for meta in works})

    def release(self, work: Work) -> PatchWork | None:
        """The write that takes our finalizer off the Work, if it is there and no slice is left.

        Only then may the Work go: after a crash before that it still leads back here.
        """
        if wk.IMPORT_FINALIZER not in work.metadata.finalizers:
            return None
        plan = self.plan(Request(work.metadata.namespace, work.metadata.name))
        if plan.writes or plan.release is None:
            return None
        return PatchWork(work.metadata.namespace, work.metadata.name, plan.release)

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


class EndpointSliceImportReconciler:
    """Brings the control plane's slices in line with what was collected for ServiceExports."""

    def __init__(
        self,
        *,
        imported: ImportedSlices,
        works: CachedClient[Work],
        slices: CachedClient[EndpointSlice],
        enqueue_slice: Callable[[ClusterRequest], None],
    ) -> None:
        """`enqueue_slice` has the one writer of a collected Work look at it, who lets go of it."""
        self._imported = imported
        self._works = works
        self._slices = slices
        self._enqueue_slice = enqueue_slice

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says."""
        plan = self._imported.plan(request)
        failures = Failures()
        await gather_writes(((f"EndpointSlice {_name(write)}", self._apply(write)) for write in plan.writes), failures)
        failures.raise_if_any()
        work = self._works.get(request.namespace, request.name)
        if work is not None and (release := self._imported.release(work)) is not None:
            if (origin := origin_of(work)) is not None:
                self._enqueue_slice(ClusterRequest(*origin))
            else:
                await apply_work(self._works, release)  # of no slice
        return Result()

    def _apply(self, write: SliceWrite) -> Awaitable[object]:
        if isinstance(write, PatchSlice):
            return self._slices.patch(write.namespace, write.name, write.body)
        if isinstance(write, CreateSlice):
            return self._imported.names.create(write.namespace, write.body, decode_endpointslice(canonical(write.body)))
        return self._slices.delete(write.namespace, write.name, uid=write.uid)

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
