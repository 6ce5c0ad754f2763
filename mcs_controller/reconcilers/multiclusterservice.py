"""multiclusterservice-controller: the writes of a MultiClusterService in the control plane (contract 3.1).

Watches MultiClusterServices, Services, Clusters, ResourceBindings and the Works that carry a MultiClusterService. Key:
the service. Reads only from caches; what it writes it sees at once, so one pass over an unchanged world writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.patches import plan_remove_finalizer
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import ForeignController
from mcs_controller.domain.conditions import StepResult
from mcs_controller.domain.indexes import BY_CLUSTER, BY_SERVICE, EVERY_CLUSTER
from mcs_controller.domain.multiclusterservice import (
    plan_adopt,
    plan_binding,
    plan_claim,
    plan_provider_works,
    plan_release,
    plan_release_binding,
    plan_withdraw,
    slices_to_withdraw,
)
from mcs_controller.domain.naming import binding_name
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.selection import SkippedCluster, consumers_of, providers_of
from mcs_controller.domain.validation import faults
from mcs_controller.domain.works import Role, WorkTerminating, role_of, service_of
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.reconcilers.writes import Failures, gather_writes, ignore_not_found, label_writes
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result
from workqueue.priority import LOW, current_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.domain.reserved import ReservedObjects
    from mcs_controller.domain.works import SliceRef
    from mcs_controller.key_mutex import KeyMutex
    from mcs_controller.reconcilers.service_status import StatusAggregator
    from mcs_controller.runtime.events import Recorder


_BLOCKED_SECONDS = 1.0
"""Until the next look at a place that somebody else's Work is about to leave."""


class MultiClusterServiceReconciler:
    """Brings providers' Works, the Service and its ResourceBinding in line with one MultiClusterService."""

    def __init__(
        self,
        *,
        multiclusterservices: CachedClient[MultiClusterService],
        services: CachedClient[Service],
        bindings: CachedClient[ResourceBinding],
        works: CachedClient[Work],
        clusters: Store[Cluster],
        aggregator: StatusAggregator,
        withdraw_slice: Callable[[SliceRef, tuple[str, str]], None],
        binding_locks: KeyMutex[Request],
        problem_of: Callable[[str], str | None],
        recorder: Recorder,
        new_id: Callable[[], str],
        reserved: ReservedObjects = RESERVED,
    ) -> None:
        """Args are the control plane's caches, where outcomes are reported, and who else writes.

        Args:
            multiclusterservices: all of them.
            services: all of the control plane.
            bindings: all of them.
            works: all of them.
            clusters: all of them.
            aggregator: for outcomes.
            withdraw_slice: has the one writer of a slice withdraw what was collected for a service.
            binding_locks: who writes a ResourceBinding when.
            problem_of: why nothing comes from a provider, if there are words for that.
            recorder: for an event on a service of a type that is not served here.
            new_id: makes permanent ids for objects that no webhook gave one.
            reserved: Services that are not propagated.
        """
        self._reserved = reserved
        self._multiclusterservices = multiclusterservices
        self._services = services
        self._bindings = bindings
        self._works = works
        self._clusters = RegisteredClusters(clusters)
        self._aggregator = aggregator
        self._withdraw_slice = withdraw_slice
        self._binding_locks = binding_locks
        self._recorder = recorder.for_component(wk.MCS_CONTROLLER)
        self._unserved: dict[Request, tuple[str, int]] = {}
        """Uid and generation of those that were told that their type is not served."""
        self._new_id = new_id
        self._problem_of = problem_of
        self._withdrawing: set[Request] = set()
        """Services that wait until what was collected for them is withdrawn."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says; the outcome is reported before that."""
        mcs = self._multiclusterservices.get(request.namespace, request.name)
        if mcs is None:
            await self._withdraw(request)
            self._unserved.pop(request, None)
            self._aggregator.forget(request)
            return Result()
        live = mcs.metadata.deletion_timestamp is None
        wrong = faults(mcs, self._reserved) if live else ()
        if not live or not mcs.is_cross_cluster or any(fault.releases for fault in wrong):
            if (disown := plan_remove_finalizer(mcs, wk.MCS_FINALIZER)) is not None:
                if not await self._withdraw(request):
                    return Result()
                await self._multiclusterservices.patch(request.namespace, request.name, disown)
            self._aggregator.forget(request)
            if live and not mcs.is_cross_cluster:
                self._tell_unserved(request, mcs)
        told = tuple(str(fault) for fault in wrong)
        if any(fault.stops for fault in wrong):
            self._aggregator.report_service(request, StepResult(errors=told))
        elif live and mcs.is_cross_cluster:
            return await self._propagate(request, mcs, told)
        return Result()

    def _tell_unserved(self, request: Request, mcs: MultiClusterService) -> None:
        """One event for each change of the spec; a restart is none."""
        known = (mcs.metadata.uid, mcs.metadata.generation)
        if self._unserved.get(request) != known and current_priority() > LOW:
            reference = ObjectReference(
                api_version=wk.MCS_API_VERSION,
                kind=wk.MCS_KIND,
                namespace=request.namespace,
                name=request.name,
                uid=mcs.metadata.uid,
            )
            types = ", ".join(mcs.types) or "none"
            text = f"Nothing is done for spec.types: {types}; CrossCluster is the type that is served here"
            self._recorder.event(reference, "Warning", wk.EVENT_TYPE_NOT_SERVED, text)
        self._unserved[request] = known

    async def _propagate(self, request: Request, mcs: MultiClusterService, wrong: tuple[str, ...]) -> Result:
        failures = Failures()
        skips: tuple[SkippedCluster, ...] = ()
        problem: str | None = None
        blocked = False
        adopted: MultiClusterService | None = mcs
        if (adopt := plan_adopt(mcs, self._new_id)) is not None:
            write = self._multiclusterservices.patch(request.namespace, request.name, adopt)
            adopted = await failures.guard(f"MultiClusterService {request}", write)
        if adopted is not None:
            plan = plan_provider_works(adopted, self._clusters, self._filed(request), self._works.get, self._new_id)
            skips, blocked = plan.skips, plan.blocked
            await gather_writes(label_writes(self._works, plan.writes), failures)
            self._let_go(request, plan.withdraw)
            problem = await self._bind(request, adopted, failures)
        if problem is not None or not failures.only_conflicts:
            errors = (*wrong, *failures.reportable, *((problem,) if problem is not None else ()))
            providers = providers_of(mcs, self._clusters)
            skips = (*skips, *self._unsynced(providers, skips))
            self._aggregator.report_service(request, StepResult(skips=skips, errors=errors))
        failures.raise_if_any()
        return Result(requeue_after=_BLOCKED_SECONDS if blocked else None)

    def _unsynced(self, providers: Iterable[str], skips: Iterable[SkippedCluster]) -> Iterable[SkippedCluster]:
        """Providers that could be used, and whose slices nobody knows."""
        skipped = {skip.cluster for skip in skips}
        for name in providers:
            if name not in skipped and (problem := self._problem_of(name)) is not None:
                yield SkippedCluster(name, wk.EVENT_SYNC_SERVICE_FAILED, problem)

    async def _bind(self, request: Request, mcs: MultiClusterService, failures: Failures) -> str | None:
        """Claim the Service and bind it. Returns what stands in the way until some object changes, if anything does."""
        service = self._services.get(request.namespace, request.name)
        if service is None or service.metadata.deletion_timestamp is not None:
            return f"Service {request} does not exist; create it in the control plane"
        if (claim := plan_claim(service, mcs)) is not None:
            write = self._services.patch(request.namespace, request.name, claim)
            claimed = await failures.guard(f"Service {request}", write)
            if claimed is None:
                return None
            service = claimed
        targets = {*providers_of(mcs, self._clusters), *consumers_of(mcs, self._clusters)}
        name = binding_name(wk.SERVICE_KIND, request.name)
        what = f"ResourceBinding {request.namespace}/{name}"
        async with self._binding_locks.hold(Request(request.namespace, name)):
            observed = self._bindings.get(request.namespace, name)
            try:
                planned = plan_binding(mcs, service, targets, observed, self._new_id)
            except (ForeignController, WorkTerminating) as waiting:
                return str(waiting)
            if planned is not None and planned.create:
                await failures.guard(what, self._bindings.create(planned.body, request.namespace))
            elif planned is not None:
                await failures.guard(what, self._bindings.patch(request.namespace, name, planned.body))
        return None

    async def _withdraw(self, request: Request) -> bool:
        """Undo everything, also for a service that lost its finalizer by force.

        False if something that was collected is still left: the end of that leads back here.
        """
        failures = Failures()
        await gather_writes(label_writes(self._works, plan_withdraw(self._filed(request))), failures)
        self._let_go(request, slices_to_withdraw(self._filed(request)))
        service = self._services.get(request.namespace, request.name)
        if service is not None and (patch := plan_release(service.metadata)) is not None:
            write = self._services.patch(request.namespace, request.name, patch)
            await failures.guard(f"Service {request}", ignore_not_found(write))
        name = binding_name(wk.SERVICE_KIND, request.name)
        async with self._binding_locks.hold(Request(request.namespace, name)):
            binding = self._bindings.get(request.namespace, name)
            if binding is not None and (patch := plan_release_binding(binding.metadata)) is not None:
                released = self._bindings.patch(request.namespace, name, patch)
                await failures.guard(f"ResourceBinding {request.namespace}/{name}", ignore_not_found(released))
        if not failures.only_conflicts and failures.reportable:
            self._aggregator.report_deletion_error(request, failures.reportable)
        failures.raise_if_any()
        if slices_to_withdraw(self._filed(request)):
            self._withdrawing.add(request)
            return False
        self._withdrawing.discard(request)
        return True

    def _let_go(self, request: Request, slices: Iterable[SliceRef]) -> None:
        for origin in slices:
            self._withdraw_slice(origin, (request.namespace, request.name))

    def _filed(self, request: Request) -> list[Work]:
        """All Works of the service, in any namespace: those labelled so, and those that carry it."""
        return self._works.store.by_index(BY_SERVICE, (request.namespace, request.name))

    # --- what to look at when something changes -----------------------------------------------------------------------

    def requests_for_service(self, event: Event[Service]) -> Iterable[Request]:
        """A Service's own MultiClusterService, if it has one that crosses clusters."""
        request = Request(event.object.metadata.namespace, event.object.metadata.name)
        return (request,) if self._crosses(request) else ()

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """See `requests_in`."""
        return self.requests_in(event.object.name)

    def requests_in(self, cluster: str) -> list[Request]:
        """Every service that names the cluster, or means all clusters."""
        store = self._multiclusterservices.store
        found = {
            Request(mcs.metadata.namespace, mcs.metadata.name)
            for name in (cluster, EVERY_CLUSTER)
            for mcs in store.by_index(BY_CLUSTER, name)
            if mcs.is_cross_cluster
        }
        return sorted(found)

    def requests_for_binding(self, event: Event[ResourceBinding]) -> Iterable[Request]:
        """The service of the same name as the Service that the binding is about."""
        resources = (binding.spec.resource for binding in (event.old, event.new) if binding is not None)
        found = {Request(one.namespace, one.name) for one in resources if one.kind == wk.SERVICE_KIND}
        return sorted(request for request in found if self._crosses(request))

    def requests_for_work(self, event: Event[Work]) -> Iterable[Request]:
        """The service whose request to collect this Work is, or was; or that waits for this Work to be withdrawn."""
        found: set[Request] = set()
        for work in (event.old, event.new):
            role = role_of(work) if work is not None else Role.OTHER
            if work is not None and work.ref is not None and role is Role.SERVICE:
                found.add(Request(work.ref.namespace, work.ref.name))
            elif work is not None and role is Role.COLLECTED and (service := service_of(work)) is not None:
                found.update({Request(*service)} & self._withdrawing)
        return sorted(found)

    def _crosses(self, request: Request) -> bool:
        mcs = self._multiclusterservices.get(request.namespace, request.name)
        return mcs is not None and mcs.is_cross_cluster
