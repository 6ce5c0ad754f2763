"""docs/reference/metrics.md: every metric of the process, from the collectors that it registers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from mcs_controller.features import FEATURES
from mcs_controller.metrics import Metrics, PropagationHistogram, ServiceMetrics
from mcs_controller.runtime.feature_gates import FeatureGates
from mcs_controller.standalone.metrics import PrometheusClusterMetrics, PrometheusPropagationMetrics
from tools.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.registry import Collector

_ORIGINS: Final = {
    "controller_runtime_": "controller-runtime",
    "workqueue_": "client-go",
    "rest_client_": "client-go",
    "leader_election_": "client-go",
    "kubernetes_": "Kubernetes",
    "process_": "Prometheus' clients",
    "python_": "Prometheus' clients",
    "informer_": "ours",
    "mcs_": "ours",
    "reconciles_": "ours",
}
"""Whose name a metric has, by prefix; Karmada's if it has none of these."""


class _Recording(CollectorRegistry):
    """A registry that knows who registered: families without samples do not tell their labels."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        self.collectors.append(collector)
        super().register(collector)


def _process() -> Iterator[tuple[str, list[Collector]]]:
    """What a process registers, first always and then in stand-alone mode."""
    registry = _Recording()
    metrics = Metrics(registry)
    metrics.show_features(FeatureGates(FEATURES))
    PropagationHistogram(registry, 0)
    empty: Any = SimpleNamespace(used=0, total=0, evictions=0, usage=dict, waiting=dict)
    metrics.watch_member_caches(empty)
    metrics.watch_member_works(empty)
    registry.register(ServiceMetrics(empty, empty, empty, limit=0, leads=lambda: False))
    yield "Always", registry.collectors
    registry = _Recording()
    PrometheusPropagationMetrics(registry)
    PrometheusClusterMetrics(registry)
    yield "With the stand-alone controllers (`--controllers=*,standalone`)", registry.collectors


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    lines = [
        "# Prometheus metrics",
        "",
        "Made from the collectors that the process registers, by `make docs`. `/metrics` is served at "
        "`--metrics-bind-address`. A histogram has the series `_bucket`, `_sum` and `_count`. Where a name is another "
        "project's, so are the labels and buckets: its dashboards and alerts can be used.",
    ]
    for when, collectors in _process():
        rows = sorted(row for collector in collectors for row in _rows(collector))
        lines += ["", f"## {when}", *table(["metric", "type", "labels", "meaning", "name of"], rows)]
    return "\n".join(lines) + "\n"


def _rows(collector: Collector) -> Iterator[tuple[str, ...]]:
    for family in collector.collect():
        labelled: Any = collector if isinstance(collector, MetricWrapperBase) else family
        name = f"{family.name}_total" if family.type == "counter" else family.name
        origin = next((whose for prefix, whose in _ORIGINS.items() if name.startswith(prefix)), "Karmada")
        yield f"`{name}`", family.type, code(labelled._labelnames), family.documentation, origin
