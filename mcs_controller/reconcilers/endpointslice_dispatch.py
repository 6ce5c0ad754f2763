"""endpointslice-dispatch-controller: from collected slices to Works in the consumers (contract 3.3).

Key: a provider's slice, whichever Work carries it, so copies are found even when what they were copied from has gone.
Where collecting and executing happen in this process too, the three writes of a change go side by side (see `turns`).
Watches: Works; MultiClusterServices; Clusters; Services, for the numbers of their ports, and because no copies stay of
a Service that is gone. The verdict over all slices of a service is `service_status`'s to write.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import StepResult, copy_in
from mcs_controller.domain.dispatch import plan_dispatch, release_collected
from mcs_controller.domain.indexes import (
    BY_CLUSTER,
    BY_ORIGIN,
    BY_PROVIDER,
    BY_SERVICE,
    BY_TARGET,
    EVERY_CLUSTER,
)
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.selection import selects_cluster
from mcs_controller.domain.withdrawal import withdrawal_period
from mcs_controller.domain.works import (
    DeleteWork,
    PatchWork,
    Role,
    SliceRef,
    cluster_of,
    origin_of,
    predict_result,
    service_of,
    target_of,
)
from mcs_controller.key_mutex import RETRY_WHEN_LOCKED_SECONDS
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.reconcilers.writes import Failures, best_effort, settle
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.dispatch import DispatchPlan, DispatchPolicy
    from mcs_controller.domain.works import WorkWrite
    from mcs_controller.key_mutex import ReconcileMutex
    from mcs_controller.reconcilers.service_status import StatusAggregator
    from mcs_controller.reconcilers.writes import ReservedWorks
    from workqueue.clock import Clock


class LocalExecution(Protocol):
    """What is needed of the execution controller of this process."""

    def ahead(self, work: Work, turns: ExitStack) -> Iterable[Awaitable[object]]:
        """The writes that a Work will cause in its member once it is so; they raise no API errors."""
        ...


class EndpointSliceDispatchReconciler:
    """Brings the consumers' copies of one provider's slice in line with what was collected."""

    def __init__(
        self,
        *,
        works: ReservedWorks,
        services: Store[MultiClusterService],
        clusters: Store[Cluster],
        templates: Store[Service],
        board: StatusAggregator,
        new_id: Callable[[], str],
        turns: ReconcileMutex[ClusterRequest],
        slice_locks: ReconcileMutex[ClusterRequest],
        policy: DispatchPolicy,
        clock: Clock,
        execution: LocalExecution | None = None,
    ) -> None:
        """Works without `execution`; with it, changed copies are written to the member beside their Works.

        `turns` are this reconciler's own; `slice_locks` says who writes the collected Work of a slice. `templates` are
        the Services of the control plane.
        """
        self._works = works
        self._services = services
        self._clusters = RegisteredClusters(clusters)
        self._templates = templates
        self._board = board
        self._new_id = new_id
        self._turns = turns
        self._slice_locks = slice_locks
        self._policy = policy
        self._clock = clock
        self._execution = execution
        self._gone_since: dict[tuple[str, str], float] = {}
        """When each Service that a MultiClusterService names was first missed, by the monotonic clock.

        In memory only: a process that begins does not know how long it has been so.
        """

    async def reconcile(self, request: ClusterRequest) -> Result:
        """See the class. Raises what the API server says; the outcome is on the board before that."""
        if not request.namespace:
            await self._release_unreadable(request)
            return Result()
        with self._turns.reconcile(request) as mine:
            return await self._dispatch(SliceRef(*request)) if mine else Result()

    def ahead(self, origin: SliceRef, source: Work, turns: ExitStack) -> list[Awaitable[object]]:
        """The writes that the copies will need once the collected Work is what `source` says; they raise no API errors.

        To be awaited side by side with the write that makes it so. The turn is given back when `turns` is closed. Empty
        if a reconcile of the slice is under way, and what is to be deleted waits for its turn anyway.
        """
        if not turns.enter_context(self._turns.ahead(ClusterRequest(*origin))):
            return []
        plan = self._plan(origin, (source,))
        return [
            write
            for copy in plan.copies
            if not isinstance(copy.write, DeleteWork)
            for write in (*self._executed(copy.write, turns), best_effort(self._works.apply(copy.write)))
        ]

    async def _dispatch(self, origin: SliceRef) -> Result:
        plan = self._plan_of(origin)
        failures = Failures()
        with ExitStack() as turns:
            writes: list[tuple[str, Awaitable[object]]] = []
            for copy in plan.copies:
                what = copy_in(copy.cluster, origin)
                writes += ((what, write) for write in self._executed(copy.write, turns))
                writes.append((what, self._works.apply(copy.write)))
            await settle(writes, failures)
        service = Request(*plan.service) if plan.service is not None else None
        if not failures.only_conflicts:
            outcome = StepResult(skips=plan.skips, errors=failures.reportable, ports=plan.ports, problem=plan.problem)
            self._board.report_slice(origin, service, outcome)
        failures.raise_if_any()
        # Only once no copy is left may the collected Work go: after a crash before this line it still leads back here.
        return await self._release(origin) if plan.release else Result(requeue_after=plan.look_again)

    async def _release(self, origin: SliceRef) -> Result:
        """Let go of collected Works, if nobody else writes them: a feature that shares them may be doing so."""
        with self._slice_locks.ahead(ClusterRequest(*origin)) as mine:
            for release in self._plan_of(origin).release if mine else ():
                await self._works.apply(release)
        return Result(requeue_after=None if mine else RETRY_WHEN_LOCKED_SECONDS)

    def _plan_of(self, origin: SliceRef) -> DispatchPlan:
        return self._plan(origin, self._works.store.by_index(BY_ORIGIN, (Role.COLLECTED, origin)))

    def _plan(self, origin: SliceRef, collected: Sequence[Work]) -> DispatchPlan:
        return plan_dispatch(
            origin,
            collected,
            self._works.store.by_index(BY_ORIGIN, (Role.DISPATCHED, origin)),
            lambda service: self._services.get(ObjectKey(*service)),
            self._clusters,
            self._works.get,
            lambda target: self._works.store.by_index(BY_TARGET, target),
            self._new_id,
            template=lambda service: self._templates.get(ObjectKey(*service)),
            gone_for=self._gone_for,
            policy=self._policy,
            now=self._clock.utcnow(),
        )

    def _gone_for(self, service: tuple[str, str]) -> float | None:
        """How many seconds ago the Service was first missed; None if it is there."""
        if self._templates.get(ObjectKey(*service)) is not None:
            self._gone_since.pop(service, None)
            return None
        now = self._clock.monotonic()
        return now - self._gone_since.setdefault(service, now)

    def _executed(self, write: WorkWrite, turns: ExitStack) -> Iterable[Awaitable[object]]:
        """What a changed copy changes in its member."""
        if self._execution is None or not isinstance(write, PatchWork):
            return ()
        return self._execution.ahead(predict_result(write, self._works.get(write.namespace, write.name)), turns)

    async def _release_unreadable(self, request: ClusterRequest) -> None:
        """Let go of a collected Work that is being deleted and holds no slice (any more)."""
        work = self._works.get(execution_namespace(request.cluster), request.name)
        if work is not None and _is_unreadable(work) and (release := release_collected(work)) is not None:
            await self._works.apply(release)

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
            elif work is event.new and _is_unreadable(work):
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
            filed_under, origin = service_of(work), origin_of(work)
            mcs = self._services.get(ObjectKey(*filed_under)) if filed_under is not None else None
            if mcs is not None and origin is not None and withdrawal_period(mcs, self._policy.withdraw_after)[0]:
                found.add(ClusterRequest(*origin))
        return found

    def _slices_of(self, namespace: str, name: str) -> list[ClusterRequest]:
        works = self._works.store.by_index(BY_SERVICE, (namespace, name))
        return sorted({ClusterRequest(*origin) for work in works if (origin := origin_of(work)) is not None})


def _is_unreadable(work: Work) -> bool:
    return (
        work.metadata.deletion_timestamp is not None
        and wk.DISPATCH_FINALIZER in work.metadata.finalizers
        and origin_of(work) is None
    )
