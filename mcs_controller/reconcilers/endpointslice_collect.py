"""endpointslice-collect-controller: from the providers' slices to Works in the control plane (contract 3.2).

Two queues. `endpointslice-collect-controller` takes Works that carry a MultiClusterService: they say where to watch,
and each brings a full comparison of that service's slices with what was collected. `endpointslice-collect` takes single
slices and is the only place that makes and refreshes collected Works, so no two workers write one Work at the same
time. It serves every feature that wants slices, ServiceExport as well (`service_export`).

Watches: Works; MultiClusterServices; Clusters; and, in each provider, EndpointSlices (see `provider_watches`).
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol

from informers.meta import ObjectKey
from mcs_controller.domain.collect import (
    MCS,
    CollectFeature,
    plan_collect,
    plan_leaving,
    plan_unsynced,
    service_of_slice,
)
from mcs_controller.domain.conditions import StepResult
from mcs_controller.domain.indexes import BY_ORIGIN, BY_PROVIDER, BY_SERVICE
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.selection import selects_cluster
from mcs_controller.domain.works import (
    CreateWork,
    PatchWork,
    Role,
    SliceRef,
    WorkTerminating,
    cluster_of,
    origin_of,
    predict_result,
    role_of,
    service_of,
)
from mcs_controller.reconcilers.writes import Failures, settle
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import WorkWrite
    from mcs_controller.key_mutex import ReconcileMutex
    from mcs_controller.members.provider_informers import ProviderInformers
    from mcs_controller.reconcilers.service_status import StatusAggregator
    from mcs_controller.reconcilers.writes import ReservedWorks


_BLOCKED_SECONDS = 1.0
"""Until the next look at a place that somebody else's Work is about to leave."""


class Dispatch(Protocol):
    """What is needed of the dispatch controller of this process."""

    def ahead(self, origin: SliceRef, source: Work, turns: ExitStack) -> list[Awaitable[object]]:
        """The writes that the copies will need once the collected Work is so; they raise no API errors."""
        ...


class EndpointSliceCollectReconciler:
    """Watches a provider as long as a Work asks for it, and compares a whole service there with what was collected."""

    def __init__(
        self,
        *,
        works: Store[Work],
        watches: ProviderInformers,
        enqueue_slice: Callable[[ClusterRequest], None],
    ) -> None:
        self._works = works
        self._watches = watches
        self._enqueue_slice = enqueue_slice

    async def reconcile(self, request: Request) -> Result:
        """See the class. A provider that cannot be watched yet is no error: its first complete list leads back here."""
        work = self._works.get(ObjectKey(request.namespace, request.name))
        if work is None or role_of(work) is not Role.SERVICE or work.metadata.deletion_timestamp is not None:
            return Result()
        cluster, service = cluster_of(work), service_of(work)
        if cluster is None or service is None:
            return Result()
        for other in self._works.by_index(BY_SERVICE, service):
            origin = origin_of(other)
            if origin is not None and origin.cluster == cluster and role_of(other) is Role.COLLECTED:
                self._enqueue_slice(ClusterRequest(*origin))
        self._watches.ensure(cluster)
        slices = self._watches.slices(cluster)
        for slice_ in slices.by_index(BY_SERVICE, service) if slices is not None else ():
            self._enqueue_slice(ClusterRequest(cluster, slice_.metadata.namespace, slice_.metadata.name))
        return Result()

    def requests_for_work(self, event: Event[Work]) -> Iterable[Request]:
        """Works that ask for collection."""
        work = event.object
        return (Request(work.metadata.namespace, work.metadata.name),) if role_of(work) is Role.SERVICE else ()

    def requests_for_service(self, event: Event[MultiClusterService]) -> Iterable[Request]:
        """The Works that ask for collection of that service: what its providers have may be wanted again."""
        meta = event.object.metadata
        works = self._works.by_index(BY_SERVICE, (meta.namespace, meta.name))
        return [Request(work.metadata.namespace, work.metadata.name) for work in works if role_of(work) is Role.SERVICE]

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """The Works that ask for collection in that cluster."""
        return self.requests_in(event.object.name)

    def requests_in(self, cluster: str) -> list[Request]:
        """The Works that ask for collection in that cluster."""
        works = self._works.by_index(BY_PROVIDER, (Role.SERVICE, cluster))
        return [Request(work.metadata.namespace, work.metadata.name) for work in works]


class CollectSource(Protocol):
    """One feature that wants slices collected."""

    @property
    def feature(self) -> CollectFeature:
        """What it has on the Works that it wants."""
        ...

    def wants(self, cluster: str, service: tuple[str, str]) -> bool | None:
        """Whether it wants the service's endpoints from that provider; None as long as it does not know."""
        ...

    def report(self, origin: SliceRef, service: tuple[str, str] | None, outcome: StepResult) -> None:
        """How collecting a slice ended; `service` is None if the slice belongs to none, or the provider is unknown."""
        ...


class SliceCollector:
    """Brings the control plane's copy of one provider's slice in line with it, for all who want it."""

    def __init__(
        self,
        *,
        works: ReservedWorks,
        watches: ProviderInformers,
        new_id: Callable[[], str],
        turns: ReconcileMutex[ClusterRequest],
        owns: Callable[[str], bool],
        leaving: Callable[[str], bool],
    ) -> None:
        """`owns` says whether a cluster's slices are ours to collect, and not another process's.

        `leaving` says whether its Cluster is being deleted: its slices are wanted no more, whoever wants them.
        """
        self._works = works
        self._watches = watches
        self._in_charge = owns
        self._leaving = leaving
        self._new_id = new_id
        self._turns = turns
        self._sources: list[CollectSource] = []
        self._dispatch: Dispatch | None = None
        self._failed: set[SliceRef] = set()
        """Slices whose last try failed. As long as the control plane cannot follow, nothing is written ahead of it."""

    def register_source(self, source: CollectSource) -> None:
        """Collect for this feature too. To be called before anything is reconciled."""
        self._sources.append(source)

    def set_dispatcher(self, dispatch: Dispatch) -> None:
        """Write the copies of a slice beside its collected Work."""
        self._dispatch = dispatch

    async def reconcile(self, request: ClusterRequest) -> Result:
        """See the class. Raises what the API server says; the outcome is reported before that."""
        if not self._in_charge(request.cluster):
            self._failed.discard(SliceRef(*request))
            for source in self._sources:
                source.report(SliceRef(*request), None, StepResult())  # what was said of the slice is for others to say
            return Result()
        with self._turns.reconcile(request) as mine:
            return await self._collect(SliceRef(*request)) if mine else Result()

    async def _collect(self, origin: SliceRef) -> Result:
        service: tuple[str, str] | None = None
        collected = self._works.store.by_index(BY_ORIGIN, (Role.COLLECTED, origin))
        sources = {source.feature: partial(source.wants, origin.cluster) for source in self._sources}
        slices = self._watches.slices(origin.cluster)
        if self._leaving(origin.cluster):
            writes = plan_leaving(collected)
        elif slices is None:
            # Nothing is known of the provider's slices, so what was collected stays, unless nobody wants it any more.
            writes = plan_unsynced(collected, sources)
        else:
            observed = slices.get(ObjectKey(origin.namespace, origin.name))
            try:
                writes = plan_collect(origin, observed, sources, collected, self._works.get, self._new_id)
            except WorkTerminating:
                return Result(requeue_after=_BLOCKED_SECONDS)
            service = service_of_slice(observed) if observed is not None else None
        failures = Failures()
        what = f"collecting slice {origin.namespace}/{origin.name} of {origin.cluster}"
        with ExitStack() as turns:
            ahead = self._ahead(origin, writes, turns)
            await settle(((what, write) for write in (*ahead, *(self._works.apply(one) for one in writes))), failures)
        if not failures.only_conflicts:
            for source in self._sources:
                source.report(origin, service, StepResult(errors=failures.reportable))
        if failures:
            self._failed.add(origin)
        else:
            self._failed.discard(origin)
        failures.raise_if_any()
        return Result()

    def _ahead(self, origin: SliceRef, writes: Sequence[WorkWrite], turns: ExitStack) -> list[Awaitable[object]]:
        """What follows from a new or changed collected Work, to be written beside it."""
        if self._dispatch is None or origin in self._failed:
            return []
        for write in writes:
            if isinstance(write, CreateWork) or (isinstance(write, PatchWork) and "spec" in write.body):
                source = predict_result(write, self._works.get(write.namespace, write.name))
                return self._dispatch.ahead(origin, source, turns)
        return []

    def requests_for_work(self, event: Event[Work]) -> Iterable[ClusterRequest]:
        """The slices whose copies changed."""
        works = (work for work in (event.old, event.new) if work is not None and role_of(work) is Role.COLLECTED)
        return sorted({ClusterRequest(*origin) for work in works if (origin := origin_of(work)) is not None})

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[ClusterRequest]:
        """All that was collected from a cluster that is leaving: it goes before its execution namespace does."""
        name = event.object.name
        works = self._works.store.by_index(BY_PROVIDER, (Role.COLLECTED, name)) if self._leaving(name) else ()
        return sorted({ClusterRequest(*origin) for work in works if (origin := origin_of(work)) is not None})


def asks_to_collect(works: Store[Work], cluster: str, service: tuple[str, str]) -> bool:
    """Whether a Work asks for the service's endpoints in the cluster."""
    namespace = execution_namespace(cluster)
    return any(
        work.metadata.namespace == namespace
        and role_of(work) is Role.SERVICE
        and work.metadata.deletion_timestamp is None
        for work in works.by_index(BY_SERVICE, service)
    )


class MultiClusterServiceSource:
    """What MultiClusterServices want collected."""

    feature: CollectFeature = MCS

    def __init__(self, *, works: Store[Work], services: Store[MultiClusterService], board: StatusAggregator) -> None:
        self._works = works
        self._services = services
        self._board = board

    def wants(self, cluster: str, service: tuple[str, str]) -> bool:
        """Whether a Work asks for the service's endpoints here, and the service itself still does."""
        mcs = self._services.get(ObjectKey(*service))
        if mcs is None or mcs.metadata.deletion_timestamp is not None or not mcs.is_cross_cluster:
            return False
        if not selects_cluster(cluster, mcs.providers):
            return False
        return asks_to_collect(self._works, cluster, service)

    def report(self, origin: SliceRef, service: tuple[str, str] | None, outcome: StepResult) -> None:
        """Put failures on the board, for the service that waits for the slice."""
        waits = bool(outcome.errors) and service is not None and self.wants(origin.cluster, service)
        self._board.report_uncollected(origin, Request(*service) if waits and service is not None else None, outcome)

    def requests_for_work(self, event: Event[Work]) -> Iterable[ClusterRequest]:
        """The slices that a vanished request to collect leaves behind."""
        found: set[ClusterRequest] = set()
        for work in (event.old, event.new):
            if work is None or role_of(work) is not Role.SERVICE:
                continue
            if event.new is None or work.metadata.deletion_timestamp is not None:
                found.update(self._collected_in(cluster_of(work), service_of(work)))
        return sorted(found)

    def requests_for_service(self, event: Event[MultiClusterService]) -> Iterable[ClusterRequest]:
        """What was collected for the service: its providers may have changed."""
        meta = event.object.metadata
        return sorted(self._collected_in(None, (meta.namespace, meta.name)))

    def _collected_in(self, cluster: str | None, service: tuple[str, str] | None) -> Iterable[ClusterRequest]:
        for work in self._works.by_index(BY_SERVICE, service) if service is not None else ():
            origin = origin_of(work)
            if role_of(work) is Role.COLLECTED and origin is not None and cluster in (None, origin.cluster):
                yield ClusterRequest(*origin)
