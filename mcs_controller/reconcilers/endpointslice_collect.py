"""endpointslice-collect-controller: from the providers' slices to Works in the control plane (contract 3.2).

Its own queue takes Works that carry a MultiClusterService: they say where to watch, and each brings a full comparison
of that service's slices with what was collected. Single slices go to their one writer (`endpointslice`), which asks
`SliceCollection` what the collected Work should be, for every feature that wants slices, ServiceExport as well
(`service_export`).

Watches: Works; MultiClusterServices; Clusters; and, in each provider, EndpointSlices (see `provider_watches`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from informers.errors import DecodeError
from informers.meta import ObjectKey
from mcs_controller.domain.collect import (
    MCS,
    CollectFeature,
    CollectPlan,
    plan_collect,
    plan_leaving,
    plan_unsynced,
    service_of_slice,
    withdraw,
)
from mcs_controller.domain.conditions import StepResult
from mcs_controller.domain.indexes import BY_ORIGIN, BY_PROVIDER, BY_SERVICE
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.selection import selects_cluster
from mcs_controller.domain.validation import faults
from mcs_controller.domain.works import Role, SliceRef, WorkTerminating, cluster_of, origin_of, role_of, service_of
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.reserved import ReservedObjects
    from mcs_controller.domain.works import WorkWrite
    from mcs_controller.members.provider_informers import ProviderInformers
    from mcs_controller.reconcilers.service_status import StatusAggregator
    from mcs_controller.reconcilers.writes import Failures, ReservedWorks


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


class SliceCollection:
    """What the collected Work of one provider's slice should be, for all who want the slice."""

    def __init__(
        self,
        *,
        works: ReservedWorks,
        slices: Callable[[str], Store[EndpointSlice] | None],
        sources: Sequence[CollectSource],
        withdrawal: ServiceWithdrawal | None,
        collects: Callable[[str], bool],
        leaving: Callable[[str], bool],
        new_id: Callable[[], str],
    ) -> None:
        """Args are the caches and what the process is there for.

        Args:
            works: all Works.
            slices: a cluster's slices; None as long as they are not known completely.
            sources: the features of this process that want slices.
            withdrawal: of MultiClusterServices, if their controller runs here.
            collects: whether a cluster's slices are ours to collect, and not another process's.
            leaving: whether its Cluster is being deleted, and the collected Works are ours to empty: the slices are
                wanted no more, whoever wants them.
            new_id: makes permanent ids for Works that no webhook gave one.
        """
        self._works = works
        self._slices = slices
        self._sources = sources
        self._withdrawal = withdrawal
        self._collects = collects
        self._leaving = leaving
        self._new_id = new_id

    def plan(self, origin: SliceRef) -> CollectPlan:
        """The writes of collected Works, from what the caches hold."""
        cluster = origin.cluster
        collected = self._works.store.by_index(BY_ORIGIN, (Role.COLLECTED, origin))
        if self._leaving(cluster):
            return CollectPlan(plan_leaving(collected))
        if not self._collects(cluster):
            return CollectPlan(self._withdrawn(collected))
        sources = {source.feature: partial(source.wants, cluster) for source in self._sources}
        slices = self._slices(cluster)
        if slices is None:
            # Nothing is known of the provider's slices, so what was collected stays, unless nobody wants it any more.
            return CollectPlan(plan_unsynced(collected, sources))
        observed = slices.get(ObjectKey(origin.namespace, origin.name))
        service = service_of_slice(observed) if observed is not None else None
        try:
            writes = plan_collect(origin, observed, sources, collected, self._works.get, self._new_id)
        except WorkTerminating:
            return CollectPlan((), service, blocked=True)
        except DecodeError as error:
            return CollectPlan((), service, error=error)
        return CollectPlan(writes, service)

    def is_known(self, cluster: str) -> bool:
        """Whether what was collected from the cluster can be compared with what it has, or that is not ours to do."""
        return not self._collects(cluster) or self._slices(cluster) is not None

    def _withdrawn(self, collected: Iterable[Work]) -> tuple[WorkWrite, ...]:
        """What another process has collected for a service that this one ends."""
        if (ends := self._withdrawal) is None:
            return ()
        filed = ((work, cluster_of(work), service_of(work)) for work in collected)
        return withdraw(
            (work for work, cluster, service in filed if cluster and service and ends.wants(cluster, service) is False),
            [MCS],
        )

    def report(self, origin: SliceRef, plan: CollectPlan, failures: Failures, withheld: Sequence[str] = ()) -> None:
        """Tell how collecting the slice ended, and why it was not. Of another process's slices others tell."""
        if failures.only_conflicts or plan.blocked:
            return
        outcome = StepResult(errors=(*failures.reportable, *withheld))
        collects = self._collects(origin.cluster)
        for source in self._sources:
            source.report(origin, plan.service if collects else None, outcome if collects else StepResult())
        if self._withdrawal is not None and outcome.errors:
            for work in self._works.store.by_index(BY_ORIGIN, (Role.COLLECTED, origin)):
                self._withdrawal.report_deletion_error(origin, work, outcome.errors)

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


FORGET_AT = 1000
"""Withdrawals that are remembered before it is looked which of them have ended."""


class ServiceWithdrawal:
    """What the multiclusterservice-controller of this process wants no more, whoever collected it."""

    feature: CollectFeature = MCS

    def __init__(
        self,
        *,
        works: Store[Work],
        services: Store[MultiClusterService],
        clusters: Store[Cluster],
        aggregator: StatusAggregator,
        reserved: ReservedObjects,
        enqueue_slice: Callable[[ClusterRequest], None],
    ) -> None:
        self._works = works
        self._services = services
        self._clusters = clusters
        self._aggregator = aggregator
        self._reserved = reserved
        self._enqueue_slice = enqueue_slice
        self._ending: set[tuple[str, tuple[str, str]]] = set()
        """(provider, service) that was told. What a service that was never seen may have left is not judged."""
        self._forget_at = FORGET_AT

    def withdraw(self, origin: SliceRef, service: tuple[str, str]) -> None:
        """Have the slice's one writer withdraw what was collected for a service that takes it no more."""
        if len(self._ending) >= self._forget_at:
            self._forget_withdrawn()
        self._ending.add((origin.cluster, service))
        self._enqueue_slice(ClusterRequest(*origin))

    def wants(self, cluster: str, service: tuple[str, str]) -> bool | None:
        """False if the service takes no endpoints from the cluster any more; None otherwise: that is not told here."""
        if (cluster, service) not in self._ending:
            return None
        mcs = self._services.get(ObjectKey(*service))
        if mcs is None or _is_ending(mcs) or any(fault.releases for fault in faults(mcs, self._reserved)):
            return False
        if self._clusters.get(ObjectKey("", cluster)) is None or not selects_cluster(cluster, mcs.providers):
            return False
        self._ending.discard((cluster, service))
        return None

    def _forget_withdrawn(self) -> None:
        """Services come and go as long as the process lives: forget those of which nothing collected is left."""
        self._ending = {
            (cluster, service)
            for cluster, service in self._ending
            if any(
                role_of(work) is Role.COLLECTED and cluster_of(work) == cluster
                for work in self._works.by_index(BY_SERVICE, service)
            )
        }
        self._forget_at = max(FORGET_AT, 2 * len(self._ending))

    def report(self, origin: SliceRef, service: tuple[str, str] | None, outcome: StepResult) -> None:
        """See `report_deletion_error`; what is collected is not for this one to tell."""

    def report_deletion_error(self, origin: SliceRef, work: Work, errors: Sequence[str]) -> None:
        """Have the service that is being deleted say why a collected Work stays."""
        service = service_of(work)
        mcs = self._services.get(ObjectKey(*service)) if service is not None else None
        if service is not None and mcs is not None and _is_ending(mcs):
            self._aggregator.report_deletion_error(Request(*service), errors, origin)


def _is_ending(mcs: MultiClusterService) -> bool:
    return mcs.metadata.deletion_timestamp is not None or not mcs.is_cross_cluster


class MultiClusterServiceSource:
    """What MultiClusterServices want collected."""

    feature: CollectFeature = MCS

    def __init__(
        self, *, works: Store[Work], services: Store[MultiClusterService], aggregator: StatusAggregator
    ) -> None:
        self._works = works
        self._services = services
        self._aggregator = aggregator

    def wants(self, cluster: str, service: tuple[str, str]) -> bool:
        """Whether a Work asks for the service's endpoints here, and the service itself still does."""
        mcs = self._services.get(ObjectKey(*service))
        if mcs is None or mcs.metadata.deletion_timestamp is not None or not mcs.is_cross_cluster:
            return False
        if not selects_cluster(cluster, mcs.providers):
            return False
        return asks_to_collect(self._works, cluster, service)

    def report(self, origin: SliceRef, service: tuple[str, str] | None, outcome: StepResult) -> None:
        """Report failures of the service that waits for the slice."""
        waits = bool(outcome.errors) and service is not None and self.wants(origin.cluster, service)
        self._aggregator.report_uncollected(
            origin, Request(*service) if waits and service is not None else None, outcome
        )

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
