"""The cluster, status, namespace and scheduling controllers, to be run on a real control plane."""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from informers import ApiClient, CachedClient, ClientConfig, InformerFactory, StaticToken
from mcs_controller import predicates as changes
from mcs_controller.api.resources import CLUSTERS, NAMESPACES, RESOURCEBINDINGS, WORKS
from mcs_controller.key_mutex import KeyMutex, ReconcileMutex
from mcs_controller.members.registry import MemberClusters
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.events import EventBroadcaster
from mcs_controller.standalone.domain.cluster import EXECUTION_WORK_INDEXES, SCHEDULED_BINDING_INDEXES
from mcs_controller.standalone.domain.cluster_status import Thresholds
from mcs_controller.standalone.domain.scheduling import PLACED_BINDING_INDEXES
from mcs_controller.standalone.metrics import PrometheusClusterMetrics
from mcs_controller.standalone.reconcilers import cluster, cluster_status, namespace_sync, scheduler
from workqueue import default_controller_rate_limiter
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcs_controller.runtime.reconcile import Reconciler, Request
    from testbed.access import ClusterAccess

USER_AGENT = "standalone-test"


@asynccontextmanager
async def standalone_controllers(
    access: ClusterAccess, *, skipped: tuple[str, ...] = ("kube-.*",), frequency_seconds: float = 0.5
) -> AsyncIterator[MemberClusters]:
    """Run the four controllers while the block lasts; gives the members that they talk to."""
    clock, rng = RealClock(), random.Random()
    config = ClientConfig(server=access.server, ca_pem=access.ca_pem, token_source=StaticToken(access.token))
    async with ApiClient(config, clock=clock, user_agent=USER_AGENT) as host:
        factory = InformerFactory(host, clock=clock, rng=rng)
        clusters = CachedClient(host, factory.informer(CLUSTERS))
        namespaces = CachedClient(host, factory.informer(NAMESPACES))
        works = CachedClient(host, factory.informer(WORKS, indexers=EXECUTION_WORK_INDEXES))
        binding_indexes = {**SCHEDULED_BINDING_INDEXES, **PLACED_BINDING_INDEXES}
        bindings = CachedClient(host, factory.informer(RESOURCEBINDINGS, indexers=binding_indexes))
        events = EventBroadcaster(host, clock=clock)
        members = MemberClusters(
            clusters.informer, host, clock=clock, rng=rng, recorder=events.for_component("test"), user_agent=USER_AGENT
        )

        def controller(name: str, reconciler: Reconciler[Request]) -> Controller[Request]:
            limiter: Any = default_controller_rate_limiter(clock=clock)
            return Controller(name, reconciler, clock=clock, rate_limiter=limiter, workers=2)

        spaces = controller(
            "cluster",
            cluster.ClusterReconciler(
                clusters=clusters,
                namespaces=namespaces,
                works=works,
                bindings=bindings.store,
                slice_locks=ReconcileMutex(),
                recorder=events.for_component("test"),
                clock=clock,
            ),
        )
        spaces.watch(clusters.informer, cluster.requests_for_cluster, cluster.cluster_changed)
        spaces.watch(namespaces.informer, cluster.requests_for_namespace)
        spaces.watch(bindings.informer, cluster.requests_for_binding)
        probes = controller(
            "clusterStatus",
            cluster_status.ClusterStatusReconciler(
                clusters=clusters,
                members=members,
                clock=clock,
                rng=rng,
                metrics=PrometheusClusterMetrics(CollectorRegistry()),
                recorder=events.for_component("test"),
                thresholds=Thresholds(success=0, failure=0),
                frequency_seconds=frequency_seconds,
            ),
        )
        probes.watch(clusters.informer, cluster_status.requests_for_cluster, cluster_status.cluster_changed)
        members.add_listener(
            joined=lambda member: probes.enqueue(cluster_status.request_for_member(member.name)),
            left=lambda name: probes.enqueue(cluster_status.request_for_member(name)),
        )
        sync = controller(
            "namespace",
            namespace_sync.NamespaceSyncReconciler(
                namespaces=namespaces.store,
                clusters=clusters.store,
                works=works,
                skipped=tuple(re.compile(one) for one in skipped),
                new_id=lambda: str(uuid.uuid4()),
            ),
        )
        sync.watch(namespaces.informer, namespace_sync.requests_for_namespace(namespaces.store))
        sync.watch(
            clusters.informer, namespace_sync.requests_for_cluster(namespaces.store), namespace_sync.cluster_appeared
        )
        sync.watch(works.informer, namespace_sync.requests_for_work, namespace_sync.work_changed)
        placing = controller(
            "scheduler",
            scheduler.SchedulerReconciler(
                bindings=bindings,
                clusters=clusters.store,
                recorder=events.for_component("test"),
                clock=clock,
                binding_locks=KeyMutex(),
            ),
        )
        placing.watch(bindings.informer, enqueue_object, scheduler.binding_changed)
        placing.watch(clusters.informer, scheduler.requests_for_cluster(bindings.store), changes.cluster_changed)

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(factory.run()), tasks.create_task(events.run())]
            await factory.wait_synced()
            running += [tasks.create_task(one.run()) for one in (members, spaces, probes, sync, placing)]
            yield members
            for task in running:
                task.cancel()
