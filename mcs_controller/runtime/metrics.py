"""Prometheus adapters for everything in the runtime that reports metrics.

Names, labels and buckets are those of controller-runtime and client-go, so that existing dashboards and alerts work.
The registry is an argument: two managers in one process do not meet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from informers.metrics import STALE_SECONDS
from mcs_controller.runtime.freshness import ages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from informers.cache.factory import InformerFactory
    from informers.cache.informer import SharedInformer
    from informers.errors import KubeError
    from mcs_controller.runtime.controller import Outcome
    from workqueue import QueueMetrics, QueueState
    from workqueue.clock import Clock

_QUEUE_BUCKETS: Final = tuple(1e-8 * 10**exponent for exponent in range(12))
_RECONCILE_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60),
)
_RESULTS: Final = ("success", "error", "requeue", "requeue_after")
"""`requeue` is never counted here, but dashboards expect it."""


_SAMPLES_AT_ONCE: Final = 200


class RuntimeMetrics:
    """The metrics of one process (or of one manager, if there are several in it).

    Attributes:
        queues: for `Controller(queue_metrics=...)`.
        controllers: for `Controller(metrics=...)`.
        client: for `ApiClient(metrics=...)`.
        leader_election: for `LeaderElector(metrics=...)`.
        informers: for `InformerFactory(metrics=...)`.
        informer_families: for the informers of further API servers.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers all of them. Raises ValueError if the registry has them already."""
        self.queues = PrometheusQueueMetrics(registry)
        self.controllers = PrometheusControllerMetrics(registry)
        self.client = PrometheusClientMetrics(registry)
        self.leader_election = PrometheusLeaderElectionMetrics(registry)
        self.informer_families = InformerFamilies(registry)
        self.informers = PrometheusInformerMetrics(self.informer_families)


def add_process_metrics(registry: CollectorRegistry) -> None:
    """Show the process and its Python (`process_*`, `python_*`). Raises ValueError if the registry has them already."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


class PrometheusQueueMetrics:
    """A `workqueue.MetricsProvider`. Gauges are read from the queue when scraped, and keep it alive."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("name", "controller")
        self._depth = _Depth((*labels, "priority"))
        registry.register(self._depth)
        self._adds = Counter("workqueue_adds", "Items added.", labels, registry=registry)
        self._retries = Counter("workqueue_retries", "Items added with a delay.", labels, registry=registry)
        self._waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long items wait before being processed.",
            labels,
            registry=registry,
            buckets=_QUEUE_BUCKETS,
        )
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long processing an item takes.",
            labels,
            registry=registry,
            buckets=_QUEUE_BUCKETS,
        )
        self._unfinished = Gauge(
            "workqueue_unfinished_work_seconds",
            "Sum of the ages of the items in processing; growth means stuck workers.",
            labels,
            registry=registry,
        )
        self._longest = Gauge(
            "workqueue_longest_running_processor_seconds",
            "Age of the item longest in processing.",
            labels,
            registry=registry,
        )

    def register(self, name: str, state: QueueState) -> QueueMetrics:
        """See :meth:`workqueue.MetricsProvider.register`. The queue's name is its controller's as well."""
        self._depth.queues[name] = state
        self._unfinished.labels(name, name).set_function(state.unfinished_work_seconds)
        self._longest.labels(name, name).set_function(state.longest_running_seconds)
        return _OneQueue(
            self._adds.labels(name, name),
            self._retries.labels(name, name),
            self._waited.labels(name, name),
            self._worked.labels(name, name),
        )


class _Depth(Collector):
    """Makes the gauge when scraped: which priorities there are is not known before."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.queues: dict[str, QueueState] = {}
        self._labels = labels

    def describe(self) -> Iterable[Metric]:
        return (self._family(),)

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for name, state in self.queues.items():
            for priority, items in sorted(state.depth().items()):
                family.add_metric((name, name, str(priority)), items)
        return (family,)

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("workqueue_depth", "Items waiting.", labels=self._labels)


@dataclass(frozen=True, slots=True)
class _OneQueue:
    adds: Counter
    retries: Counter
    waits: Histogram
    works: Histogram

    def added(self) -> None:
        self.adds.inc()

    def retried(self) -> None:
        self.retries.inc()

    def waited(self, seconds: float) -> None:
        self.waits.observe(seconds)

    def worked(self, seconds: float) -> None:
        self.works.observe(seconds)


class PrometheusControllerMetrics:
    """A `ControllerMetrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("controller",)
        self._total = Counter(
            "controller_runtime_reconcile", "Reconciles by result.", (*label, "result"), registry=registry
        )
        self._errors = Counter("controller_runtime_reconcile_errors", "Failed.", label, registry=registry)
        self._kinds = {
            "terminal": Counter(
                "controller_runtime_terminal_reconcile_errors", "Failed, not to be retried.", label, registry=registry
            ),
            "panic": Counter(
                "controller_runtime_reconcile_panics", "Failed by a mistake in the program.", label, registry=registry
            ),
            "timeout": Counter(
                "controller_runtime_reconcile_timeouts", "Failed by taking too long.", label, registry=registry
            ),
        }
        self._without_write = Counter(
            "mcs_reconciles_without_write",
            "Reconciles that found everything as it should be: writes avoided.",
            label,
            registry=registry,
        )
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Duration of reconciles.",
            label,
            registry=registry,
            buckets=_RECONCILE_BUCKETS,
        )
        self._max = Gauge("controller_runtime_max_concurrent_reconciles", "Workers.", label, registry=registry)
        self._active = Gauge("controller_runtime_active_workers", "Busy workers.", label, registry=registry)

    def created(self, controller: str, workers: int) -> None:
        """See :meth:`ControllerMetrics.created`. Every series exists from here on, so that rates start from 0."""
        self._max.labels(controller).set(workers)
        self._active.labels(controller).set(0)
        self._errors.labels(controller)
        self._without_write.labels(controller)
        self._seconds.labels(controller)
        for counter in self._kinds.values():
            counter.labels(controller)
        for result in _RESULTS:
            self._total.labels(controller, result)

    def began(self, controller: str) -> None:
        """See :meth:`ControllerMetrics.began`."""
        self._active.labels(controller).inc()

    def ended(self, controller: str, outcome: Outcome, seconds: float, *, wrote: bool) -> None:
        """See :meth:`ControllerMetrics.ended`."""
        self._active.labels(controller).dec()
        if outcome == "cancelled":
            return
        self._seconds.labels(controller).observe(seconds)
        if outcome in ("success", "requeue_after"):
            self._total.labels(controller, outcome).inc()
            if not wrote:
                self._without_write.labels(controller).inc()
            return
        self._total.labels(controller, "error").inc()
        self._errors.labels(controller).inc()
        if outcome in self._kinds:
            self._kinds[outcome].labels(controller).inc()


class PrometheusClientMetrics:
    """An `informers.client.client.ClientMetrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "rest_client_requests", "Requests to API servers.", ("code", "method", "host"), registry=registry
        )

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        """See :meth:`informers.client.client.ClientMetrics.request`. client-go counts a watch as the GET that it is."""
        self._requests.labels(code, "GET" if method == "WATCH" else method, host).inc()


class PrometheusLeaderElectionMetrics:
    """A `LeaderElectionMetrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._status = Gauge(
            "leader_election_master_status", "1 if this process holds the lease.", ("name",), registry=registry
        )

    def leading(self, name: str, leads: bool) -> None:
        """See :meth:`LeaderElectionMetrics.leading`."""
        self._status.labels(name).set(leads)


class InformerFamilies:
    """The metrics of all informers of a process. There are none upstream; these have names of our own.

    The label `cluster` is a member cluster, or empty for the API server that the process works for.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            self._counters.append(Counter(name, text, ("cluster", "resource", *labels), registry=registry))
            return self._counters[-1]

        self._counters: list[Counter] = []
        self.events = counter("informer_events", "Changes told to handlers.", "kind")
        self.lists = counter("informer_lists", "Complete lists.")
        self.watches = counter("informer_watches", "Watches opened.")
        self.failures = counter("informer_failures", "Failed lists and watches.")
        self.missed = counter("informer_missed", "Changed objects that a silent watch had not told of.")
        self.rejected = counter("informer_rejected", "Unreadable objects.")
        self.handlers = counter("informer_handler_failures", "Exceptions of handlers.", "handler")
        self._caches = _InformerCaches()
        registry.register(self._caches)

    def show(self, informers: InformerFactory, clock: Clock, cluster: str = "") -> None:
        """Show the caches of these informers, in place of earlier ones of the same cluster."""
        self._caches.of_cluster[cluster] = (informers, clock)

    def informers(self) -> Iterator[tuple[str, SharedInformer[Any]]]:
        """Those that are shown, each with its cluster."""
        for cluster, factory in self.factories().items():
            for informer in factory.informers:
                yield cluster, informer

    def forget(self, cluster: str) -> None:
        """Take off the series of a cluster that is gone."""
        self._caches.of_cluster.pop(cluster, None)
        for counter in self._counters:
            counter.remove_by_labels({"cluster": cluster})

    def factories(self) -> dict[str, InformerFactory]:
        """Those that are shown, by cluster."""
        return {cluster: informers for cluster, (informers, _) in self._caches.of_cluster.items()}


class PrometheusInformerMetrics:
    """An `informers.metrics.InformerMetrics` for the informers of one API server."""

    def __init__(self, families: InformerFamilies, cluster: str = "") -> None:
        self._families = families
        self._cluster = cluster

    def event(self, resource: str, kind: Literal["added", "updated", "deleted"]) -> None:
        """See :meth:`informers.metrics.InformerMetrics.event`."""
        self._families.events.labels(self._cluster, resource, kind).inc()

    def listed(self, resource: str, objects: int) -> None:
        """See :meth:`informers.metrics.InformerMetrics.listed`."""
        del objects
        self._families.lists.labels(self._cluster, resource).inc()
        for counter in (self._families.failures, self._families.missed, self._families.rejected):
            counter.labels(self._cluster, resource)  # so that rates start from 0

    def watching(self, resource: str) -> None:
        """See :meth:`informers.metrics.InformerMetrics.watching`."""
        self._families.watches.labels(self._cluster, resource).inc()

    def failed(self, resource: str, error: KubeError) -> None:
        """See :meth:`informers.metrics.InformerMetrics.failed`."""
        del error
        self._families.failures.labels(self._cluster, resource).inc()

    def rejected(self, resource: str) -> None:
        """See :meth:`informers.metrics.InformerMetrics.rejected`."""
        self._families.rejected.labels(self._cluster, resource).inc()

    def missed(self, resource: str, objects: int) -> None:
        """See :meth:`informers.metrics.InformerMetrics.missed`."""
        self._families.missed.labels(self._cluster, resource).inc(objects)

    def handler_failed(self, resource: str, handler: str) -> None:
        """See :meth:`informers.metrics.InformerMetrics.handler_failed`."""
        self._families.handlers.labels(self._cluster, resource, handler).inc()


class _InformerCaches(Collector):
    """Collector of the caches' gauges at each scrape; collections of one kind in one cluster count together."""

    def __init__(self) -> None:
        self.of_cluster: dict[str, tuple[InformerFactory, Clock]] = {}

    def collect(self) -> Iterable[Metric]:
        labels = ["cluster", "resource"]
        objects = GaugeMetricFamily("informer_objects", "Objects in the cache.", labels=labels)
        size = GaugeMetricFamily("informer_cache_bytes", "What they take, estimated; of members only.", labels=labels)
        age = GaugeMetricFamily(
            "informer_unconfirmed_seconds",
            "Time since the cache was last known to have what the API server has; more than "
            f"{STALE_SECONDS:g} is stale. None of a kind that the API server does not have.",
            labels=labels,
        )
        for cluster, (factory, clock) in self.of_cluster.items():
            kinds: defaultdict[str, list[SharedInformer[Any]]] = defaultdict(list)
            for informer in factory.informers:
                kinds[str(informer.resource)].append(informer)
            oldest: dict[str, float] = {}
            for informer, seconds in ages(factory.informers, clock.monotonic()):
                oldest[str(informer.resource)] = max(seconds, oldest.get(str(informer.resource), 0.0))
            for resource, informers in sorted(kinds.items()):
                objects.add_metric([cluster, resource], sum(len(one.store) for one in informers))
                size.add_metric([cluster, resource], sum(one.cached_bytes for one in informers))
                if resource in oldest:
                    age.add_metric([cluster, resource], oldest[resource])
        return objects, size, age


class _OneFamily:
    """A registry that has some samples of one family."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def render_parts(registry: CollectorRegistry) -> Iterator[bytes]:
    """The registry in Prometheus' text format, a few milliseconds' work at a time.

    Without the `_created` series that this client library adds for each counter and Go's does not.
    """
    for metric in registry.collect():
        samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
        for start in range(0, max(1, len(samples)), _SAMPLES_AT_ONCE):
            metric.samples = samples[start : start + _SAMPLES_AT_ONCE]
            text = generate_latest(_OneFamily(metric))
            yield text.split(b"\n", 2)[2] if start else text  # HELP and TYPE stand before the first


def render_metrics(registry: CollectorRegistry) -> bytes:
    """The same as a whole."""
    return b"".join(render_parts(registry))
