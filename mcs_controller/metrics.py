"""All metrics of this binary in one registry (contract, chapter 7)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mcs_controller import __version__
from mcs_controller.runtime.metrics import RuntimeMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from informers.memory import MemoryBudget


class Metrics:
    """What is told to whom.

    Attributes:
        runtime: queues, controllers, clients, leader election.
        informers: caches, of the control plane and of members.
        registry: for those who have metrics of their own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runtime = RuntimeMetrics(registry)
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

    def watch_member_caches(self, memory: MemoryBudget) -> None:
        """Show what the caches of members take."""
        self.registry.register(_MemberCaches(memory))


class _MemberCaches(Collector):
    def __init__(self, memory: MemoryBudget) -> None:
        self._memory = memory

    def collect(self) -> Iterable[Metric]:
        memory = self._memory
        yield GaugeMetricFamily("mcs_member_cache_bytes", "What the caches of members take, estimated.", memory.used)
        yield GaugeMetricFamily("mcs_member_cache_limit_bytes", "What they may take together.", memory.total)
        yield CounterMetricFamily("mcs_member_caches_dropped", "Caches dropped for want of memory.", memory.evictions)
