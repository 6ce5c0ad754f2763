"""The controller context: clients, caches and locks that the controllers of one process share."""

from __future__ import annotations

import logging
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from informers.cache.cached_client import CachedClient
from informers.cache.factory import InformerFactory
from informers.memory import MemoryBudget
from informers.meta import KubeObject
from mcs_controller import __version__
from mcs_controller.api import resources
from mcs_controller.controllers import CONTROLLERS
from mcs_controller.domain.indexes import CLUSTER_INDEXES, WORK_INDEXES
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.work_limits import WorkLimits
from mcs_controller.features import CONTROLLER_PRIORITY_QUEUE, MULTI_CLUSTER_SERVICE
from mcs_controller.key_mutex import KeyMutex
from mcs_controller.members.cache_memory import default_cache_bytes
from mcs_controller.members.registry import MemberClusters
from mcs_controller.members.sync_mode import SyncModeFilter
from mcs_controller.metrics import ServiceMetrics
from mcs_controller.reconcilers.member_works import MemberWorks
from mcs_controller.reconcilers.outdated import OutdatedWorks
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.reconcilers.writes import ReservedWorks
from mcs_controller.runtime.channel import Channel
from mcs_controller.runtime.controller import Controller
from workqueue import default_controller_rate_limiter

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Hashable

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
    from mcs_controller.reconcilers.endpointslice import LocalExecution
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.runtime.freshness import Freshness
    from mcs_controller.runtime.manager import Manager
    from mcs_controller.runtime.reconcile import ClusterRequest, Reconciler, Request
    from mcs_controller.tracing.reconcilers import Tracer
    from workqueue import Flow
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)
R = TypeVar("R", bound="Hashable")


STATUS_DELAY_SECONDS = 0.25
"""From the first news to the write of a status that sums it up. Several times what a new service's slices take."""


class ControllerContext:
    """Clients, caches and locks of all controllers. Only collections that an enabled controller asks for are watched.

    Attributes:
        enabled: keys of the controllers that run here, in `--controllers` and by their feature gates.
        local_execution: the execution controller of this process, if there is one.
        outdated_works: what the slices' one writer tells the execution controller.
        slice_requests: leads to the one writer of collected and dispatched Works.
    """

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
        may_write: Callable[[], bool] = lambda: True,
        tracer: Tracer | None = None,
        freshness: Freshness | None = None,
    ) -> None:
        """Watches nothing yet.

        `own_member` is an agent's way to the cluster that it runs in. `may_write` is asked before each write to a
        member. `tracer` is told of changes, if they are traced. `freshness` knows which caches are stale.
        """
        self.options = options
        self.enabled = enabled_controllers(options)
        self.sync_modes = SyncModeFilter(options.cluster_name)
        self.manager = manager
        self.host = host
        self.clock = clock
        self.rng = rng
        self.recorder = recorder
        self.metrics = metrics
        self.informers = InformerFactory(
            host, clock=clock, rng=rng, resync_seconds=options.resync_period, metrics=metrics.informers
        )
        metrics.runtime.informer_families.show(self.informers, clock)
        self._user_agent = user_agent
        self._own_member = own_member
        self._may_write = may_write
        self.tracer = tracer
        self.freshness = freshness
        self.local_execution: LocalExecution | None = None
        self.outdated_works = OutdatedWorks()
        self.slice_requests: Channel[ClusterRequest] = Channel()
        self._started: list[str] = []
        manager.add_informers(self.informers)

    def show_services(self, services: CachedClient[MultiClusterService]) -> None:
        """Show conditions and endpoints of MultiClusterServices as metrics, while this process leads."""
        shown = ServiceMetrics(
            services.store,
            self.works.store,
            RegisteredClusters(self.clusters.store),
            limit=self.options.metrics_service_pairs,
            leads=self._may_write,
        )
        self.metrics.registry.register(shown)
        self.manager.prepare_metrics(shown.prepare)

    @cached_property
    def works(self) -> CachedClient[Work]:
        """All Works."""
        return self.cached(resources.WORKS, WORK_INDEXES)

    @cached_property
    def slice_works(self) -> ReservedWorks:
        """The cache of Works with name reservations, for controllers that create Works of slices."""
        return ReservedWorks(self.works, self.member_works)

    @cached_property
    def member_works(self) -> MemberWorks:
        """How many Works each member's slices have."""
        usage = MemberWorks(
            WorkLimits(self.options.member_max_works, self.options.member_max_work_bytes),
            enqueue_slice=self.slice_requests.send,
            clusters=self.clusters.store,
            recorder=self.recorder if not self.sync_modes.is_agent else None,
        )
        self.works.informer.add_handler(usage.observe, name="Works of each member")
        self.metrics.watch_member_works(usage)
        return usage

    @cached_property
    def binding_locks(self) -> KeyMutex[Request]:
        """Locks by ResourceBinding: several controllers write parts of it."""
        return KeyMutex()

    @cached_property
    def services(self) -> CachedClient[Service]:
        """All Services of the control plane."""
        return self.cached(resources.SERVICES)

    @cached_property
    def bindings(self) -> CachedClient[ResourceBinding]:
        """All ResourceBindings."""
        return self.cached(resources.RESOURCEBINDINGS)

    @cached_property
    def clusters(self) -> CachedClient[Cluster]:
        """All Clusters."""
        return self.cached(resources.CLUSTERS, CLUSTER_INDEXES)

    @cached_property
    def members(self) -> MemberClusters:
        """Connections to all members."""
        memory = MemoryBudget(
            self.options.member_cache_memory or default_cache_bytes(),
            max_bytes=self.options.member_cache_max_bytes,
            max_objects=self.options.member_cache_max_objects,
        )
        self.metrics.watch_member_caches(memory)
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
            informer_metrics=self.metrics.runtime.informer_families,
            sync_modes=self.sync_modes,
            own=self._own_member,
            memory=memory,
            may_write=self._may_write,
            tracing=self.tracer.requests if self.tracer is not None else None,
        )
        self.manager.add_runnable(members, needs_leader=True)
        return members

    def announce(self) -> None:
        """Log the controllers that run, above all if none does, and those that another process has to run."""
        if self._started:
            agent = self.sync_modes.is_agent
            off = [info.key for info in CONTROLLERS if (info.agent or not agent) and info.key not in self.enabled]
            fields = {
                "enabled": ",".join(self._started),
                "disabled": ",".join(off),
                "gates": str(self.options.feature_gates),
                "version": __version__,
            }
            _log.info("Controllers", extra=fields | ({"cluster": self.sync_modes.agent_of} if agent else {}))
        else:
            _log.warning(
                "No controller runs: the feature gate is off and no stand-alone controller is named",
                extra={"switch_on": f"--feature-gates={MULTI_CLUSTER_SERVICE}=true"},
            )

    def cached(self, resource: Resource[T], indexers: Indexers[T] | None = None) -> CachedClient[T]:
        """The control plane's objects of a kind; one cache per kind, however often it is asked for.

        Of Works and Clusters an agent has only what is its own cluster's: it may see no others.
        """
        namespace = field_selector = ""
        if self.sync_modes.is_agent and resource.plural == resources.WORKS.plural:
            namespace = execution_namespace(self.sync_modes.agent_of)
        elif self.sync_modes.is_agent and resource.plural == resources.CLUSTERS.plural:
            field_selector = f"metadata.name={self.sync_modes.agent_of}"
        informer = self.informers.informer(
            resource, namespace=namespace, field_selector=field_selector, indexers=indexers
        )
        return CachedClient(self.host, informer)

    def controller(
        self, name: str, reconciler: Reconciler[R], workers: int, *, flow: Callable[[R], Flow] | None
    ) -> Controller[R]:
        """A controller with the limits and metrics that the flags say, run by the manager.

        Args:
            name: of the controller.
            reconciler: asked once for each request.
            workers: how many requests are reconciled at a time; of each member or namespace, if there are flows.
            flow: whose work a request is, see `mcs_controller.flows`. None only if requests are nobody's, or cost
                nobody anything.
        """
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
                flow=flow,
            ),
            metrics=self.metrics.runtime.controllers,
            queue_metrics=self.metrics.runtime.queues,
            workers=workers,
            flow=flow,
            priorities=options.feature_gates.enabled(CONTROLLER_PRIORITY_QUEUE),
        )
        self.manager.add_controller(controller)
        self._started.append(name)
        return controller


def new_id() -> str:
    """A permanent id, as the webhooks make them."""
    return str(uuid.uuid4())


def enabled_controllers(options: Options) -> frozenset[str]:
    """Keys of the controllers that `--controllers` names and whose feature gate, if they have one, is on."""
    gates = options.feature_gates
    return frozenset(
        info.key
        for info in CONTROLLERS
        if info.key in options.controllers and (info.gate is None or gates.enabled(info.gate))
    )
