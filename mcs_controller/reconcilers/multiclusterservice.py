"""multiclusterservice-controller: what a MultiClusterService asks of the control plane (contract 3.1).

Watches MultiClusterServices, Services, Clusters, ResourceBindings and the Works that carry a MultiClusterService. Key:
the service. Reads only from caches; what it writes it sees at once, so one pass over an unchanged world writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import Outcome
from mcs_controller.domain.indexes import BY_CLUSTER, BY_PERMANENT_ID, BY_SERVICE, EVERY_CLUSTER
from mcs_controller.domain.multiclusterservice import (
    ForeignController,
    plan_adopt,
    plan_binding,
    plan_claim,
    plan_disown,
    plan_provider_works,
    plan_release,
    plan_release_binding,
    plan_withdraw,
)
from mcs_controller.domain.naming import binding_name
from mcs_controller.domain.selection import consumers_of, providers_of, validate
from mcs_controller.domain.works import Role, WorkTerminating, role_of
from mcs_controller.reconcilers.apply import Failures, named, settle
from mcs_controller.runtime.reconcile import Request, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cached import CachedResource
    from informers.informer import Event
    from informers.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.reconcilers.service_status import StatusBoard


_BLOCKED_SECONDS = 1.0
"""Until the next look at a place that somebody else's Work is about to leave."""


class MultiClusterServiceReconciler:
    """Brings providers' Works, the Service and its ResourceBinding in line with one MultiClusterService."""

    def __init__(
        self,
        *,
        multiclusterservices: CachedResource[MultiClusterService],
        services: CachedResource[Service],
        bindings: CachedResource[ResourceBinding],
        works: CachedResource[Work],
        clusters: Store[Cluster],
        board: StatusBoard,
        new_id: Callable[[], str],
    ) -> None:
        self._multiclusterservices = multiclusterservices
        self._services = services
        self._bindings = bindings
        self._works = works
        self._clusters = clusters
        self._board = board
        self._new_id = new_id

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says; the outcome is on the board before that."""
        mcs = self._multiclusterservices.get(request.namespace, request.name)
        if mcs is None:
            await self._withdraw(request, permanent_id="")
            return Result()
        if mcs.metadata.deletion_timestamp is not None or not mcs.is_cross_cluster:
            if (disown := plan_disown(mcs)) is not None:
                await self._withdraw(request, mcs.metadata.labels.get(wk.MCS_PERMANENT_ID, ""))
                await self._multiclusterservices.patch(request.namespace, request.name, disown)
            return Result()
        if (problem := validate(mcs)) is not None:
            self._board.report_service(request, Outcome(errors=(problem,)))
            return Result()
        return await self._propagate(request, mcs)

    async def _propagate(self, request: Request, mcs: MultiClusterService) -> Result:
        if (adopt := plan_adopt(mcs, self._new_id)) is not None:
            mcs = await self._multiclusterservices.patch(request.namespace, request.name, adopt)
        clusters = {cluster.name: cluster for cluster in self._clusters.values()}
        filed = self._filed(request, mcs.metadata.labels.get(wk.MCS_PERMANENT_ID, ""))
        plan = plan_provider_works(mcs, clusters, filed, self._works.get, self._new_id)
        failures = Failures()
        await settle(named(self._works, plan.writes), failures)
        problem = await self._bind(request, mcs, clusters.values())
        errors = (*failures.reportable, *((problem,) if problem else ()))
        self._board.report_service(request, Outcome(skips=plan.skips, errors=errors))
        failures.raise_if_any()
        return Result(requeue_after=_BLOCKED_SECONDS if plan.blocked else None)

    async def _bind(self, request: Request, mcs: MultiClusterService, clusters: Iterable[Cluster]) -> str | None:
        """Claim the Service and bind it. Returns what stands in the way until some object changes, if anything does."""
        service = self._services.get(request.namespace, request.name)
        if service is None or service.metadata.deletion_timestamp is not None:
            return f"Service {request.namespace}/{request.name} does not exist; create it in the control plane"
        if (claim := plan_claim(service, mcs)) is not None:
            service = await self._services.patch(request.namespace, request.name, claim)
        clusters = tuple(clusters)
        targets = {*providers_of(mcs, clusters), *consumers_of(mcs, clusters)}
        name = binding_name(wk.SERVICE_KIND, request.name)
        observed = self._bindings.get(request.namespace, name)
        try:
            write = plan_binding(mcs, service, targets, observed, self._new_id)
        except (ForeignController, WorkTerminating) as waiting:
            return str(waiting)
        if write is not None and write.create:
            await self._bindings.create(write.body, request.namespace)
        elif write is not None:
            await self._bindings.patch(request.namespace, name, write.body)
        return None

    async def _withdraw(self, request: Request, permanent_id: str) -> None:
        """Undo everything; also for a service whose finalizer somebody removed by force."""
        filed = self._filed(request, permanent_id)
        failures = Failures()
        await settle(named(self._works, plan_withdraw(filed)), failures)
        service = self._services.get(request.namespace, request.name)
        if service is not None and (patch := plan_release(service.metadata)) is not None:
            await self._services.patch(request.namespace, request.name, patch)
        binding = self._bindings.get(request.namespace, binding_name(wk.SERVICE_KIND, request.name))
        if binding is not None and (patch := plan_release_binding(binding.metadata)) is not None:
            await self._bindings.patch(request.namespace, binding.metadata.name, patch)
        failures.raise_if_any()

    def _filed(self, request: Request, permanent_id: str) -> list[Work]:
        """All Works of the service: by its name, and by its id for those whose name labels somebody took off."""
        filed = {
            (work.metadata.namespace, work.metadata.name): work
            for work in self._works.store.by_index(BY_SERVICE, (request.namespace, request.name))
        }
        if permanent_id:
            for work in self._works.store.by_index(BY_PERMANENT_ID, permanent_id):
                filed.setdefault((work.metadata.namespace, work.metadata.name), work)
        return [filed[key] for key in sorted(filed)]

    # --- what to look at when something changes -----------------------------------------------------------------------

    def requests_for_service(self, event: Event[Service]) -> Iterable[Request]:
        """A Service's own MultiClusterService, if it has one that crosses clusters."""
        request = Request(event.object.metadata.namespace, event.object.metadata.name)
        return (request,) if self._crosses(request) else ()

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """Every service that names the cluster, or means all clusters."""
        store = self._multiclusterservices.store
        found = {
            Request(mcs.metadata.namespace, mcs.metadata.name)
            for name in (event.object.name, EVERY_CLUSTER)
            for mcs in store.by_index(BY_CLUSTER, name)
            if mcs.is_cross_cluster
        }
        return sorted(found)

    def requests_for_binding(self, event: Event[ResourceBinding]) -> Iterable[Request]:
        """The service of the same name as the Service that the binding is about."""
        resource = event.object.spec.resource
        request = Request(resource.namespace, resource.name)
        return (request,) if resource.kind == wk.SERVICE_KIND and self._crosses(request) else ()

    def _crosses(self, request: Request) -> bool:
        mcs = self._multiclusterservices.get(request.namespace, request.name)
        return mcs is not None and mcs.is_cross_cluster


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The service whose request to collect this Work is, or was."""
    found = {
        Request(work.ref.namespace, work.ref.name)
        for work in (event.old, event.new)
        if work is not None and work.ref is not None and role_of(work) is Role.SERVICE
    }
    return sorted(found)
