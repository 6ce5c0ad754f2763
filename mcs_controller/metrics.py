"""All metrics of this binary in one registry (contract, chapter 7)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mcs_controller import __version__
from mcs_controller.features import FEATURES
from mcs_controller.runtime.feature_gates import Stage
from mcs_controller.runtime.metrics import RuntimeMetrics, add_process_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from informers.memory import MemoryBudget
    from mcs_controller.reconcilers.member_works import MemberWorks
    from mcs_controller.runtime.feature_gates import FeatureGates


class Metrics:
    """What is told to whom.

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

    def show_features(self, gates: FeatureGates) -> None:
        """Show which feature gates are on, as Kubernetes' own components do."""
        text = "Whether a feature gate is on."
        gauge = Gauge("kubernetes_feature_enabled", text, ("name", "stage"), registry=self.registry)
        for feature in FEATURES:
            stage = "" if feature.stage is Stage.GA else feature.stage.value
            gauge.labels(feature.name, stage).set(gates.enabled(feature.name))

    def watch_member_caches(self, memory: MemoryBudget) -> None:
        """Show what the caches of members take."""
        self.registry.register(_MemberCaches(memory))

    def watch_member_works(self, works: MemberWorks) -> None:
        """Show what each member's slices make the control plane hold."""
        self.registry.register(_MemberWorks(works))


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
