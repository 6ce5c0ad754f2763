"""All metrics of this binary in one registry (contract, chapter 7)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from mcs_controller import __version__
from mcs_controller.reconcilers.cluster_status import PrometheusClusterMetrics
from mcs_controller.reconcilers.propagation_metrics import PrometheusPropagationMetrics
from mcs_controller.runtime.metrics import RuntimeMetrics

if TYPE_CHECKING:
    from typing import Literal

    from prometheus_client import CollectorRegistry

    from informers.errors import KubeError


class Metrics:
    """What is told to whom.

    Attributes:
        runtime: queues, controllers, clients, leader election.
        informers: caches, of the control plane and of members.
        clusters: what the clusterStatus controller sees.
        propagation: what binding and execution do.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runtime = RuntimeMetrics(registry)
        self.informers = PrometheusInformerMetrics(registry)
        self.clusters = PrometheusClusterMetrics(registry)
        self.propagation = PrometheusPropagationMetrics(registry)
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


class PrometheusInformerMetrics:
    """Informers have no metrics upstream; these have names of our own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter("informer_events", "Changes told to handlers.", ("resource", "kind"), registry=registry)
        self._lists = Counter("informer_lists", "Complete lists.", ("resource",), registry=registry)
        self._failures = Counter("informer_failures", "Failed lists and watches.", ("resource",), registry=registry)
        self._rejected = Counter("informer_rejected", "Unreadable objects.", ("resource",), registry=registry)
        self._handlers = Counter(
            "informer_handler_failures", "Exceptions of handlers.", ("resource", "handler"), registry=registry
        )

    def event(self, resource: str, kind: Literal["added", "updated", "deleted"]) -> None:
        """See `InformerMetrics`."""
        self._events.labels(resource, kind).inc()

    def listed(self, resource: str, objects: int) -> None:
        """See `InformerMetrics`."""
        del objects
        self._lists.labels(resource).inc()

    def failed(self, resource: str, error: KubeError) -> None:
        """See `InformerMetrics`."""
        del error
        self._failures.labels(resource).inc()

    def rejected(self, resource: str) -> None:
        """See `InformerMetrics`."""
        self._rejected.labels(resource).inc()

    def handler_failed(self, resource: str, handler: str) -> None:
        """See `InformerMetrics`."""
        self._handlers.labels(resource, handler).inc()
