"""endpointslice-dispatch-controller: from collected slices to Works in the consumers (contract 3.3).

The slices' one writer (`endpointslice`) asks `SliceDispatch` what the copies should be.
Watches: Works; MultiClusterServices; Clusters; Services, for the numbers of their ports, and because no copies stay of
a Service that is gone. The verdict over all slices of a service is `service_status`'s to write.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from informers.meta import ObjectKey
from mcs_controller.domain.conditions import StepResult
from mcs_controller.domain.dispatch import DispatchContext, is_unreadable, plan_dispatch
from mcs_controller.domain.indexes import (
    BY_CLUSTER,
    BY_ORIGIN,
    BY_PROVIDER,
    BY_SERVICE,
    BY_TARGET,
    EVERY_CLUSTER,
)
from mcs_controller.domain.selection import selects_cluster
from mcs_controller.domain.withdrawal import withdrawal_period
from mcs_controller.domain.works import Role, cluster_of, origin_of, service_of, target_of
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.runtime.reconcile import ClusterRequest, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.dispatch import DispatchPlan, DispatchPolicy
    from mcs_controller.domain.works import SliceRef
    from mcs_controller.reconcilers.endpoint_selection import EndpointSelection
    from mcs_controller.reconcilers.propagation import PropagationTimes
    from mcs_controller.reconcilers.service_status import StatusAggregator
    from mcs_controller.reconcilers.writes import Failures, ReservedWorks
    from workqueue.clock import Clock


class SliceDispatch:
    """What the consumers' copies of one provider's slice should be, from what was collected."""

    def __init__(
        self,
        *,
        works: ReservedWorks,
        services: Store[MultiClusterService],
        clusters: Store[Cluster],
        templates: Store[Service],
        aggregator: StatusAggregator,
        new_id: Callable[[], str],
        policy: DispatchPolicy,
        propagation: PropagationTimes,
        selection: EndpointSelection,
        clock: Clock,
    ) -> None:
        """Args.

        Args:
            works: all Works, and where to write them.
            services: all MultiClusterServices.
            clusters: all Clusters.
            templates: Services of the control plane.
            aggregator: where outcomes are reported.
            new_id: see `plan_work`.
            policy: what the flags say.
            propagation: measures how long changes take.
            selection: knows what each consumer is offered, and what of a service's rules cannot be understood.
            clock: for withdrawals.
        """
        self._selection = selection
        self.propagation = propagation
        self._works = works
        self._services = services
        self._templates = templates
        self._aggregator = aggregator
        self._policy = policy
        self._clock = clock
        self._context = DispatchContext(
            service=lambda service: services.get(ObjectKey(*service)),
            template=lambda service: templates.get(ObjectKey(*service)),
            gone_for=self._gone_for,
            clusters=RegisteredClusters(clusters),
            find=works.get,
            find_by_copy_name=lambda target: works.store.by_index(BY_TARGET, target),
            new_id=new_id,
            policy=policy,
            decisions=selection.decisions,
        )
        self._gone_since: dict[tuple[str, str], float] = {}
        """When each Service that a MultiClusterService names was first missed, by the monotonic clock.

        In memory only: a process that begins does not know how long it has been so.
        """

    def plan(self, origin: SliceRef, collected: Sequence[Work] | None = None) -> DispatchPlan:
        """The writes of dispatched Works; from what the cache has of the collected Work, unless it is given."""
        store = self._works.store
        if collected is None:
            collected = store.by_index(BY_ORIGIN, (Role.COLLECTED, origin))
        copies = store.by_index(BY_ORIGIN, (Role.DISPATCHED, origin))
        plan = plan_dispatch(origin, collected, copies, self._context, self._clock.utcnow())
        mcs = self._services.get(ObjectKey(*plan.service)) if plan.service is not None else None
        problems = self._selection.rules(mcs).problems if mcs is not None else ()
        if not problems:
            return plan
        return replace(plan, problem="; ".join(one for one in (plan.problem, *problems) if one is not None))

    def report(self, origin: SliceRef, plan: DispatchPlan, failures: Failures, withheld: Sequence[str] = ()) -> None:
        """Tell how dispatching the slice ended, and why some copies were not written."""
        if not failures.only_conflicts:
            service = Request(*plan.service) if plan.service is not None else None
            errors = (*failures.reportable, *withheld)
            outcome = StepResult(plan.skips, errors, plan.ports, plan.problem, plan.addresses)
            self._aggregator.report_slice(origin, service, outcome)
            if not errors:
                self.propagation.carried(origin, plan.triggered, plan.consumers)

    def _gone_for(self, service: tuple[str, str]) -> float | None:
        """How many seconds ago the Service was first missed; None if it is there."""
        if self._templates.get(ObjectKey(*service)) is not None:
            self._gone_since.pop(service, None)
            return None
        now = self._clock.monotonic()
        return now - self._gone_since.setdefault(service, now)

    # --- what to look at when something changes -----------------------------------------------------------------------

    def requests_for_work(self, event: Event[Work]) -> Iterable[ClusterRequest]:
        """The slice that the Work is, or was, a copy of, and another one that has the same name in the consumer."""
        found: set[ClusterRequest] = set()
        for work in (event.old, event.new):
            if work is None:
                continue
            origin, target = origin_of(work), target_of(work)
            if origin is not None:
                found.add(ClusterRequest(*origin))
            elif work is event.new and is_unreadable(work):
                found.add(ClusterRequest(cluster_of(work) or "", "", work.metadata.name))
            for rival in self._works.store.by_index(BY_TARGET, target) if target is not None else ():
                found.update(ClusterRequest(*other) for other in (origin_of(rival),) if other is not None)
        return sorted(found)

    def requests_for_service(self, event: Event[MultiClusterService]) -> Iterable[ClusterRequest]:
        """All slices of the service."""
        meta = event.object.metadata
        if event.new is None:
            self._gone_since.pop((meta.namespace, meta.name), None)
        return self._slices_of(meta.namespace, meta.name)

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[ClusterRequest]:
        """All slices of the services that the cluster consumes, and those it provides that may be withdrawn."""
        cluster = event.object.name
        found = {
            request
            for name in (cluster, EVERY_CLUSTER)
            for mcs in self._services.by_index(BY_CLUSTER, name)
            if selects_cluster(cluster, mcs.consumers)
            for request in self._slices_of(mcs.metadata.namespace, mcs.metadata.name)
        }
        return sorted(found | self._withdrawable(cluster))

    def requests_for_template(self, event: Event[Service]) -> Iterable[ClusterRequest]:
        """All slices of the service of that name, if the Service came or went, or the service lists ports.

        By the Service their numbers are understood.
        """
        meta = event.object.metadata
        came_or_went = event.old is None or event.new is None
        if came_or_went:
            # It was there, be it for a moment in which nobody looked: what is missed from now on is missed anew.
            self._gone_since.pop((meta.namespace, meta.name), None)
        mcs = self._services.get(ObjectKey(meta.namespace, meta.name))
        asked = mcs is not None and (came_or_went or bool(mcs.ports))
        return self._slices_of(meta.namespace, meta.name) if asked else ()

    def _withdrawable(self, provider: str) -> set[ClusterRequest]:
        """The provider's slices whose endpoints do not stay for ever when it is not ready."""
        found: set[ClusterRequest] = set()
        for work in self._works.store.by_index(BY_PROVIDER, (Role.COLLECTED, provider)):
            labelled_service, origin = service_of(work), origin_of(work)
            mcs = self._services.get(ObjectKey(*labelled_service)) if labelled_service is not None else None
            if mcs is not None and origin is not None and withdrawal_period(mcs, self._policy.withdraw_after)[0]:
                found.add(ClusterRequest(*origin))
        return found

    def _slices_of(self, namespace: str, name: str) -> list[ClusterRequest]:
        works = self._works.store.by_index(BY_SERVICE, (namespace, name))
        return sorted({ClusterRequest(*origin) for work in works if (origin := origin_of(work)) is not None})
