"""All metrics of this binary in one registry (contract, chapter 7)."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client import Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mcs_controller import __version__
from mcs_controller.domain.endpoint_counts import Counts, SliceCounts, count_endpoints, count_tiers, endpoints_in
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.features import FEATURES
from mcs_controller.runtime.feature_gates import Stage
from mcs_controller.runtime.metrics import RuntimeMetrics, add_process_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from informers import Store
    from informers.cache.event import Event
    from informers.memory import MemoryBudget
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.selection import Clusters
    from mcs_controller.reconcilers.member_works import MemberWorks
    from mcs_controller.runtime.feature_gates import FeatureGates


_PROPAGATION_BUCKETS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
)


class Metrics:
    """The metrics of a process, by the part that counts them.

    Attributes:
        runtime: queues, controllers, clients, leader election.
        informers: caches, of the control plane and of members.
        registry: for those who have metrics of their own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runtime = RuntimeMetrics(registry)
        add_process_metrics(registry)
        self.informers = self.runtime.informers
        self.registry = registry
        build = {
            "git_version": f"v{__version__}",
            "git_commit": "",
            "git_short_commit": "",
            "git_tree_state": "",
            "build_date": "",
            "go_version": "",
            "compiler": platform.python_implementation(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }
        info = Gauge("karmada_build_info", "Always 1; the labels tell the build.", tuple(build), registry=registry)
        info.labels(**build).set(1)
        own = Gauge("mcs_build_info", "Always 1.", ("version", "python_version"), registry=registry)
        own.labels(__version__, platform.python_version()).set(1)

    def show_features(self, gates: FeatureGates) -> None:
        """Show which feature gates are on, as Kubernetes' own components do."""
        text = "Whether a feature gate is on."
        gauge = Gauge("kubernetes_feature_enabled", text, ("name", "stage"), registry=self.registry)
        for feature in FEATURES:
            stage = "" if feature.stage is Stage.GA else feature.stage.value
            gauge.labels(feature.name, stage).set(gates.enabled(feature.name))

    def watch_member_caches(self, memory: MemoryBudget) -> None:
        """Export the memory of the members' caches."""
        self.registry.register(_MemberCaches(memory))

    def watch_member_works(self, works: MemberWorks) -> None:
        """Export how many Works each member's slices make the control plane hold."""
        self.registry.register(_MemberWorks(works))


class PropagationHistogram:
    """Seconds that changes take from a provider to a consumer.

    `limit` is how many pairs have series of their own. Further ones count together, without names.
    """

    def __init__(self, registry: CollectorRegistry, limit: int) -> None:
        """Raises ValueError if the registry has the metric already."""
        self._limit = limit
        self._shown: set[tuple[str, str]] = set()
        self._seconds = Histogram(
            "mcs_propagation_seconds",
            "From the change of a provider's endpoints (its last-change-trigger-time, in whole seconds if a Pod's "
            "readiness changed) to the answer to the consumer's write, or to its Work's where another process writes. "
            "Clocks of different machines are compared: less than 0 counts as 0.",
            ("provider_cluster", "consumer_cluster"),
            registry=registry,
            buckets=_PROPAGATION_BUCKETS,
        )

    def pair(self, provider: str, consumer: str) -> Histogram:
        """What is told of each change. It is shown from now on, so that rates have a beginning."""
        way = (provider, consumer)
        if way not in self._shown and len(self._shown) >= self._limit:
            way = ("", "")
        else:
            self._shown.add(way)
        return self._seconds.labels(*way)

    def forget_deleted(self, event: Event[Cluster]) -> None:
        """Take off the series of a Cluster that is deleted: others have room then."""
        if event.new is None:
            cluster = event.key.name
            self._shown = {way for way in self._shown if cluster not in way}
            for label in ("provider_cluster", "consumer_cluster"):
                self._seconds.remove_by_labels({label: cluster})


_SERVICES_AT_ONCE: Final = 50


class ServiceMetrics(Collector):
    """Conditions and endpoints of MultiClusterServices, while this process `leads`.

    `limit` is how many pairs of provider and consumer are shown, as Prometheus keeps a series for each. Of what goes
    beyond it, by namespace and name, whole services are left out, and counted.
    """

    def __init__(
        self,
        services: Store[MultiClusterService],
        works: Store[Work],
        clusters: Clusters,
        *,
        limit: int,
        leads: Callable[[], bool],
    ) -> None:
        self._services = services
        self._works = works
        self._clusters = clusters
        self._limit = limit
        self._leads = leads
        self._read: dict[tuple[str, str], tuple[object, SliceCounts]] = {}
        """What was counted in a Work's manifests when metrics were read last: most are the same the next time."""
        self._prepared: Sequence[Metric] | None = None

    async def prepare(self) -> None:
        """Count for the next scrape. All else has its turn after each few services."""
        counting = self._count()
        while True:
            try:
                next(counting)
            except StopIteration as counted:
                self._prepared = counted.value
                return
            await asyncio.sleep(0)

    def collect(self) -> Iterable[Metric]:
        """What a scrape shows: what was prepared for it, or else what is counted now."""
        prepared, self._prepared = self._prepared, None
        counting = self._count()
        while prepared is None:
            try:
                next(counting)
            except StopIteration as counted:
                prepared = counted.value
        return prepared

    def _count(self) -> Generator[None, None, Sequence[Metric]]:
        """Yields now and then."""
        service, pair = ["namespace", "service"], ["provider_cluster", "consumer_cluster"]
        states = GaugeMetricFamily(
            "mcs_services", "MultiClusterServices, by condition.", labels=["type", "status", "reason"]
        )
        conditions = GaugeMetricFamily(
            "mcs_service_condition", "1 if the condition is True, 0 if not.", labels=[*service, "type"]
        )
        endpoints = [
            GaugeMetricFamily(f"mcs_endpoints_{name}", text, labels=[*service, *pair])
            for name, text in zip(Counts._fields, _COUNTS_TEXTS, strict=True)
        ]
        tiers = GaugeMetricFamily(
            "mcs_tier_endpoints",
            "Ready endpoints of other clusters that a consumer is offered, by its tier that they are in, of services "
            "with tiers.",
            labels=[*service, "consumer_cluster", "tier"],
        )
        left_out = GaugeMetricFamily("mcs_services_not_shown", "Services without series of their own.")
        found = self._services.values() if self._leads() else ()
        crowds: Counter[tuple[str, str, str]] = Counter()
        shown, skipped, read = 0, 0, self._read
        self._read = {}
        for place, mcs in enumerate(sorted(found, key=lambda one: (one.metadata.namespace, one.metadata.name)), 1):
            if place % _SERVICES_AT_ONCE == 0:
                yield
            crowds.update((one.type, one.status, one.reason) for one in mcs.conditions)
            if shown >= self._limit:
                skipped += 1
                continue
            name = [mcs.metadata.namespace, mcs.metadata.name]
            works = self._works.by_index(BY_SERVICE, (mcs.metadata.namespace, mcs.metadata.name))
            counts = count_endpoints(mcs, works, self._clusters, lambda work: self._remember(work, read))
            offered = count_tiers(works, lambda work: self._remember(work, read))
            shown += max(1, len(counts) + len(offered))
            for (consumer, tier), number in offered.items():
                tiers.add_metric([*name, consumer, tier], number)
            for one in mcs.conditions:
                conditions.add_metric([*name, one.type], one.status == "True")
            for way, numbers in counts.items():
                for family, number in zip(endpoints, numbers, strict=True):
                    family.add_metric([*name, *way], number)
        for labels, number in sorted(crowds.items()):
            states.add_metric(labels, number)
        left_out.add_metric([], skipped)
        return states, conditions, *endpoints, tiers, left_out

    def _remember(self, work: Work, read: dict[tuple[str, str], tuple[object, SliceCounts]]) -> SliceCounts:
        key = (work.metadata.namespace, work.metadata.name)
        manifests, counts = read.get(key, (None, SliceCounts()))
        if manifests is not work.manifests:
            counts = endpoints_in(work)
        self._read[key] = (work.manifests, counts)
        return counts


_COUNTS_TEXTS = (
    "Endpoints of the provider that the consumer is offered; of a dual-stack Service one for each address of a Pod.",
    "Ready endpoints of the provider that the consumer is offered.",
    "Ready endpoints that the consumer has taken.",
)


class _MemberWorks(Collector):
    def __init__(self, works: MemberWorks) -> None:
        self._works = works

    def collect(self) -> Iterable[Metric]:
        of_cluster = ["member_cluster"]
        works = GaugeMetricFamily("mcs_member_works", "Works of a provider's slices.", labels=of_cluster)
        size = GaugeMetricFamily("mcs_member_work_bytes", "Bytes in these Works.", labels=of_cluster)
        waiting = GaugeMetricFamily("mcs_member_slices_withheld", "Slices that wait for room.", labels=of_cluster)
        for cluster, usage in sorted(self._works.usage().items()):
            works.add_metric([cluster], usage.works)
            size.add_metric([cluster], usage.bytes)
        for cluster, slices in self._works.waiting().items():
            waiting.add_metric([cluster], slices)
        return works, size, waiting


class _MemberCaches(Collector):
    def __init__(self, memory: MemoryBudget) -> None:
        self._memory = memory

    def collect(self) -> Iterable[Metric]:
        memory = self._memory
        yield GaugeMetricFamily("mcs_member_cache_bytes", "What the caches of members take, estimated.", memory.used)
        yield GaugeMetricFamily("mcs_member_cache_limit_bytes", "What they may take together.", memory.total)
        yield CounterMetricFamily("mcs_member_caches_dropped", "Caches dropped for want of memory.", memory.evictions)
