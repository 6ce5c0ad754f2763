"""Which controller watches what.

Everything that connects a reconciler to the caches, to its queue and to the others is visible here; nothing is
registered behind the scenes.
"""

from __future__ import annotations

import logging
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from informers.cache.cached_client import CachedResource
from informers.cache.factory import InformerFactory
from informers.errors import Forbidden, NotFound
from informers.meta import KubeObject, ObjectKey
from mcs_controller.api import resources
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.clusters import is_leaving
from mcs_controller.domain.dispatch import DispatchPolicy
from mcs_controller.domain.indexes import SERVICE_INDEXES, WORK_INDEXES
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.features import CONTROLLER_PRIORITY_QUEUE, MULTI_CLUSTER_SERVICE
from mcs_controller.key_mutex import OneByOne, Turns
from mcs_controller.members.provider_informers import ProviderWatches
from mcs_controller.members.registry import MemberClusters
from mcs_controller.members.sync_mode import Charge
from mcs_controller.predicates import cluster_changed, content_changed, service_changed
from mcs_controller.reconcilers import multiclusterservice, service_status
from mcs_controller.reconcilers.endpointslice_collect import (
    EndpointSliceCollectReconciler,
    MultiClusterServiceDemand,
    SliceCollector,
)
from mcs_controller.reconcilers.endpointslice_dispatch import EndpointSliceDispatchReconciler
from mcs_controller.reconcilers.multiclusterservice import MultiClusterServiceReconciler
from mcs_controller.reconcilers.retries import Retries
from mcs_controller.reconcilers.service_status import ServiceStatusReconciler, StatusBoard
from mcs_controller.reconcilers.writes import SliceWorks
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.reconcile import ClusterRequest, Request
from mcs_controller.standalone.domain.execution import WORK_INDEXES as WORK_INDEXES_OF_EXECUTION
from mcs_controller.standalone.domain.member_ownership import IDENTITY_NAMESPACE
from mcs_controller.standalone.member_objects import MemberObjects
from mcs_controller.standalone.reconcilers.execution import ExecutionReconciler, namespace_finder
from mcs_controller.standalone.reconcilers.member_ownership import MemberOwnershipReconciler
from workqueue import LOW, default_controller_rate_limiter

if TYPE_CHECKING:
    import random
    from collections.abc import Hashable

    from informers.cache.store import Indexers
    from informers.client.client import ApiClient
    from informers.client.config import ClientConfig
    from informers.resource import Resource
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.metrics import Metrics
    from mcs_controller.options import Options
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.runtime.manager import Manager
    from mcs_controller.runtime.reconcile import Reconciler
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)
R = TypeVar("R", bound="Hashable")

COLLECT_WORKERS = 3
"""Slices collected at once; upstream fixes the number."""

STATUS_DELAY_SECONDS = 0.25
"""From the first news to the write of a status that sums it up. Several times what a new service's slices take."""


class Execution(NamedTuple):
    """The reconciler of the stand-alone execution controller and what it is wired with."""

    reconciler: ExecutionReconciler
    objects: MemberObjects
    ownerships: MemberOwnershipReconciler
    turns: Turns[Request]


class Collection(NamedTuple):
    """Who collects slices, for all features that want some."""

    watches: ProviderWatches
    collector: SliceCollector
    controller: Controller[ClusterRequest]


class Wiring:
    """What all controllers share. Only what an enabled controller asks for is watched."""

    def __init__(
        self,
        options: Options,
        manager: Manager,
        host: ApiClient,
        *,
        clock: Clock,
        rng: random.Random,
        user_agent: str,
        recorder: Recorder,
        metrics: Metrics,
        own_member: ClientConfig | None = None,
    ) -> None:
        """Watches nothing yet. `own_member` is an agent's way to the cluster that it runs in."""
        self.options = options
        self.charge = Charge(options.cluster_name)
        self.manager = manager
        self.host = host
        self.clock = clock
        self.rng = rng
        self.recorder = recorder
        self.metrics = metrics
        self.informers = InformerFactory(
            host, clock=clock, rng=rng, resync_seconds=options.resync_period, metrics=metrics.informers
        )
        self._user_agent = user_agent
        self._own_member = own_member
        self._started: list[str] = []
        manager.add_informers(self.informers)

    @cached_property
    def works(self) -> CachedResource[Work]:
        """All Works."""
        return self.cached(resources.WORKS, WORK_INDEXES)

    @cached_property
    def slice_works(self) -> SliceWorks:
        """All Works, for those who make Works of slices."""
        return SliceWorks(self.works)

    @cached_property
    def collecting(self) -> Turns[ClusterRequest]:
        """Whose turn it is to write the collected Work of a slice."""
        return Turns()

    @cached_property
    def alone(self) -> OneByOne[Request]:
        """Who writes a ResourceBinding when: several controllers write parts of it."""
        return OneByOne()

    @cached_property
    def collection(self) -> Collection:
        """Who collects slices; every feature that wants some has to say so to the collector."""
        return collect_slices(self)

    @cached_property
    def services(self) -> CachedResource[Service]:
        """All Services of the control plane."""
        return self.cached(resources.SERVICES)

    @cached_property
    def bindings(self) -> CachedResource[ResourceBinding]:
        """All ResourceBindings."""
        return self.cached(resources.RESOURCEBINDINGS)

    @cached_property
    def clusters(self) -> CachedResource[Cluster]:
        """All Clusters."""
        return self.cached(resources.CLUSTERS)

    @cached_property
    def members(self) -> MemberClusters:
        """Connections to all members."""
        members = MemberClusters(
            self.clusters.informer,
            self.host,
            clock=self.clock,
            rng=self.rng,
            recorder=self.recorder,
            user_agent=self._user_agent,
            qps=self.options.cluster_api_qps,
            burst=self.options.cluster_api_burst,
            client_metrics=self.metrics.runtime.client,
            charge=self.charge,
            own=self._own_member,
        )
        self.manager.add_runnable(members, needs_leader=True)
        return members

    @cached_property
    def execution(self) -> Execution | None:
        """What the stand-alone execution controller shares with those who write ahead of it; None if not enabled."""
        if "execution" not in self.options.controllers:
            return None
        objects = MemberObjects(self.members, clock=self.clock)
        self.manager.add_runnable(objects, needs_leader=True)
        ownerships = MemberOwnershipReconciler(
            clusters=self.clusters,
            members=self.members,
            control_plane=self._own_uid,
            recorder=self.recorder,
            clock=self.clock,
            charge=self.charge,
        )
        turns = Turns[Request]()
        reconciler = ExecutionReconciler(
            works=self.cached(resources.WORKS, WORK_INDEXES_OF_EXECUTION),
            clusters=self.clusters.store,
            objects=objects,
            ownerships=ownerships,
            recorder=self.recorder,
            clock=self.clock,
            turns=turns,
            find_namespace=namespace_finder(self.host),
            retries=Retries(clock=self.clock, rng=self.rng, member_qps=self.options.cluster_api_qps),
            metrics=self.metrics.propagation,
            charge=self.charge,
            reserved=self.options.reserved_objects,
        )
        return Execution(reconciler, objects, ownerships, turns)

    async def _own_uid(self) -> str:
        """What this control plane is known by in its members; empty if it cannot be told.

        An agent asks for that one Namespace, since it may see no others.
        """
        if not self.charge.is_agent:
            found = self.cached(resources.NAMESPACES).get("", IDENTITY_NAMESPACE)
            return found.metadata.uid if found is not None else ""
        try:
            return (await self.host.get(resources.NAMESPACES, IDENTITY_NAMESPACE)).metadata.uid
        except (Forbidden, NotFound):
            return ""

    def announce(self) -> None:
        """Say in the log what runs, above all if nothing does."""
        if self._started:
            _log.info("Controllers", extra={"enabled": ",".join(self._started)})
        else:
            _log.warning(
                "No controller runs: the feature gate is off and no stand-alone controller is named",
                extra={"switch_on": f"--feature-gates={MULTI_CLUSTER_SERVICE}=true"},
            )

    def cached(self, resource: Resource[T], indexers: Indexers[T] | None = None) -> CachedResource[T]:
        """The control plane's objects of a kind; one cache per kind, however often it is asked for.

        Of Works and Clusters an agent has only what is its own cluster's: it may see no others.
        """
        namespace = field_selector = ""
        if self.charge.is_agent and resource.plural == resources.WORKS.plural:
            namespace = execution_namespace(self.charge.agent_of)
        elif self.charge.is_agent and resource.plural == resources.CLUSTERS.plural:
            field_selector = f"metadata.name={self.charge.agent_of}"
        informer = self.informers.informer(
            resource, namespace=namespace, field_selector=field_selector, indexers=indexers
        )
        return CachedResource(self.host, informer)

    def controller(self, name: str, reconciler: Reconciler[R], workers: int) -> Controller[R]:
        """A controller with the limits and metrics that the flags say, run by the manager."""
        options = self.options
        controller = Controller(
            name,
            reconciler,
            clock=self.clock,
            rate_limiter=default_controller_rate_limiter(
                clock=self.clock,
                base_delay=options.rate_limiter_base_delay,
                max_delay=options.rate_limiter_max_delay,
                qps=options.rate_limiter_qps,
                burst=options.rate_limiter_bucket_size,
            ),
            metrics=self.metrics.runtime.controllers,
            queue_metrics=self.metrics.runtime.queues,
            workers=workers,
            priorities=options.feature_gates.enabled(CONTROLLER_PRIORITY_QUEUE),
        )
        self.manager.add_controller(controller)
        self._started.append(name)
        return controller


def new_id() -> str:
    """A permanent id, as the webhooks make them."""
    return str(uuid.uuid4())


def serves_multi_cluster_services(options: Options) -> bool:
    """Whether anything is done here for MultiClusterServices."""
    served = ("multiclusterservice", "endpointsliceDispatch", "endpointsliceCollect")
    return options.feature_gates.enabled(MULTI_CLUSTER_SERVICE) and any(one in options.controllers for one in served)


def wire_multi_cluster_service(wiring: Wiring) -> None:
    """The three controllers behind the MultiClusterService gate, and the status that they share."""
    if not serves_multi_cluster_services(wiring.options):
        return
    enabled = wiring.options.controllers
    services = wiring.cached(resources.MULTICLUSTERSERVICES, SERVICE_INDEXES)
    # A control plane may lack the kind for a while; the others must work. Whoever collects for ServiceExports waits as
    # well: a slice is withdrawn when no feature wants it, and what MultiClusterServices want is not known then.
    asking: list[Controller[Any]] = []
    board = StatusBoard()
    propagating: tuple[MultiClusterServiceReconciler, Controller[Request]] | None = None
    if "multiclusterservice" in enabled:
        reconciler = MultiClusterServiceReconciler(
            multiclusterservices=services,
            services=wiring.services,
            bindings=wiring.bindings,
            works=wiring.works,
            clusters=wiring.clusters.store,
            board=board,
            collecting=wiring.collecting,
            alone=wiring.alone,
            recorder=wiring.recorder,
            new_id=new_id,
            reserved=wiring.options.reserved_objects,
        )
        controller = wiring.controller(wk.MCS_CONTROLLER, reconciler, workers=1)
        propagating = reconciler, controller
        asking.append(controller)
        controller.watch(services.informer, enqueue_object, content_changed)
        controller.watch(wiring.services.informer, reconciler.requests_for_service, service_changed)
        controller.watch(wiring.clusters.informer, reconciler.requests_for_cluster, cluster_changed)
        controller.watch(wiring.bindings.informer, reconciler.requests_for_binding, content_changed)
        controller.watch(wiring.works.informer, multiclusterservice.requests_for_work, content_changed)
    dispatcher: EndpointSliceDispatchReconciler | None = None
    if "endpointsliceDispatch" in enabled:
        turns = Turns[ClusterRequest]()
        dispatcher = EndpointSliceDispatchReconciler(
            works=wiring.slice_works,
            services=services.store,
            clusters=wiring.clusters.store,
            templates=wiring.services.store,
            board=board,
            new_id=new_id,
            turns=turns,
            policy=DispatchPolicy(
                strip_topology=wiring.options.strip_topology, withdraw_after=wiring.options.withdraw_not_ready_after
            ),
            clock=wiring.clock,
            collecting=wiring.collecting,
            execution=wiring.execution.reconciler if wiring.execution is not None else None,
        )
        dispatch = wiring.controller(wk.DISPATCH_CONTROLLER, dispatcher, workers=wiring.options.concurrent_work_syncs)
        asking.append(dispatch)
        turns.feed(dispatch.enqueue)
        dispatch.watch(wiring.works.informer, dispatcher.requests_for_work, content_changed)
        dispatch.watch(services.informer, dispatcher.requests_for_service, content_changed)
        dispatch.watch(wiring.clusters.informer, dispatcher.requests_for_cluster, cluster_changed)
        dispatch.watch(wiring.services.informer, dispatcher.requests_for_template, service_changed)
    if "endpointsliceCollect" in enabled:
        asking += _wire_collect(wiring, services, board)
        if dispatcher is not None:
            wiring.collection.collector.write_ahead(dispatcher)
        if propagating is not None:
            _name_silent_providers(wiring, *propagating)
    if "multiclusterservice" in enabled or "endpointsliceDispatch" in enabled:
        asking.append(_wire_status(wiring, services, board, propagating))
    wiring.manager.set_apart(services.informer, *asking)


def _wire_status(
    wiring: Wiring,
    services: CachedResource[MultiClusterService],
    board: StatusBoard,
    propagating: tuple[MultiClusterServiceReconciler, Controller[Request]] | None,
) -> Controller[Request]:
    watches = wiring.collection.watches if "endpointsliceCollect" in wiring.options.controllers else None
    reconciler = ServiceStatusReconciler(
        board=board,
        services=services,
        works=wiring.works.store,
        clusters=wiring.clusters.store,
        bindings=wiring.bindings.store if propagating is not None else None,
        templates=wiring.services.store,
        own=watches,
        recorder=wiring.recorder,
        clock=wiring.clock,
    )
    status = wiring.controller(wk.STATUS_CONTROLLER, reconciler, workers=1)
    # What is reported on a new service comes within some milliseconds, and makes one write together.
    board.subscribe(lambda service: status.enqueue_after(service, STATUS_DELAY_SECONDS))
    status.watch(wiring.works.informer, service_status.requests_for_work, gather_seconds=STATUS_DELAY_SECONDS)
    if propagating is None:
        return status
    status.watch(wiring.bindings.informer, service_status.requests_for_binding, gather_seconds=STATUS_DELAY_SECONDS)
    if watches is not None:
        watches.feed_also(status, reconciler.requests_for_slice)

        def look_again(cluster: str) -> None:
            for request in propagating[0].requests_in(cluster) if reconciler.watches_slices(cluster) else ():
                status.enqueue(request, LOW)

        watches.on_synced(look_again)
        watches.on_problem(look_again)
    return status


def collect_slices(wiring: Wiring) -> Collection:
    """The provider watches, and the one controller that makes and refreshes collected Works."""
    watches = ProviderWatches(
        wiring.members, clock=wiring.clock, sync_timeout=wiring.options.cluster_cache_sync_timeout
    )
    clusters = wiring.clusters.store
    collector = SliceCollector(
        works=wiring.slice_works,
        watches=watches,
        new_id=new_id,
        turns=wiring.collecting,
        in_charge=lambda cluster: wiring.charge.covers(cluster, clusters.get(ObjectKey("", cluster))),
        leaving=lambda cluster: is_leaving(clusters.get(ObjectKey("", cluster))),
    )
    controller = wiring.controller(wk.COLLECT_QUEUE, collector, workers=COLLECT_WORKERS)
    watches.feed(controller)
    wiring.collecting.feed(controller.enqueue)
    wiring.manager.add_runnable(watches, needs_leader=True)
    controller.watch(wiring.works.informer, collector.requests_for_work, content_changed)
    controller.watch(wiring.clusters.informer, collector.requests_for_cluster, cluster_changed)
    return Collection(watches, collector, controller)


def _wire_collect(
    wiring: Wiring, services: CachedResource[MultiClusterService], board: StatusBoard
) -> tuple[Controller[Any], ...]:
    _, collector, slices = wiring.collection
    demand = MultiClusterServiceDemand(works=wiring.works.store, services=services.store, board=board)
    collector.serve(demand)
    slices.watch(wiring.works.informer, demand.requests_for_work, content_changed)
    slices.watch(services.informer, demand.requests_for_service, content_changed)
    reconciler, collect = follow_providers(wiring)
    # A provider that is taken off and named again at once keeps the Work that asks for its slices: no event of that.
    collect.watch(services.informer, reconciler.requests_for_service, content_changed)
    return slices, collect


def _name_silent_providers(
    wiring: Wiring, reconciler: MultiClusterServiceReconciler, controller: Controller[Request]
) -> None:
    """Services say which of their providers' slices cannot be listed."""
    watches = wiring.collection.watches
    reconciler.heed(watches.problem)

    def look_again(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            controller.enqueue(request, LOW)

    watches.on_problem(look_again)


def follow_providers(wiring: Wiring) -> tuple[EndpointSliceCollectReconciler, Controller[Request]]:
    """The controller that begins the provider watches that Works ask for, and has each service compared as a whole."""
    watches, _, slices = wiring.collection
    reconciler = EndpointSliceCollectReconciler(works=wiring.works.store, watches=watches, enqueue_slice=slices.enqueue)
    collect = wiring.controller(wk.COLLECT_CONTROLLER, reconciler, workers=wiring.options.concurrent_work_syncs)
    collect.watch(wiring.works.informer, reconciler.requests_for_work, content_changed)
    collect.watch(wiring.clusters.informer, reconciler.requests_for_cluster, cluster_changed)

    def compare_all(cluster: str) -> None:
        for request in reconciler.requests_in(cluster):
            collect.enqueue(request, LOW)

    watches.on_synced(compare_all)
    return reconciler, collect
