"""Metrics of the stand-alone controllers, with the names, labels and buckets of Karmada (contract 7)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, Protocol

from prometheus_client import Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

UpdateResult = Literal["none", "unchanged", "updated"]
"""What an update came to: failed, not needed, made."""

_BUCKETS: Final = tuple(0.001 * 2**power for power in range(12))


_GO_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""client_golang's DefBuckets, which Karmada uses for the status of clusters."""


class PropagationMetrics(Protocol):
    """Observer of every object that is applied in a cluster."""

    def binding_synced(self, seconds: float, *, ok: bool) -> None:
        """A ResourceBinding was turned into Works."""
        ...

    def work_synced(self, seconds: float, *, ok: bool) -> None:
        """A Work was applied, or cleaned up."""
        ...

    def created(self, cluster: str, api_version: str, kind: str, *, ok: bool, recreate: bool) -> None:
        """An object was created in a member; `recreate`: it had been there before."""
        ...

    def updated(self, cluster: str, api_version: str, kind: str, *, ok: bool, result: UpdateResult) -> None:
        """An object of a member was compared, and patched if it differed."""
        ...

    def deleted(self, cluster: str, api_version: str, kind: str, *, ok: bool) -> None:
        """An object was deleted in a member."""
        ...


class _NoPropagationMetrics:
    def binding_synced(self, seconds: float, *, ok: bool) -> None:
        pass

    def work_synced(self, seconds: float, *, ok: bool) -> None:
        pass

    def created(self, cluster: str, api_version: str, kind: str, *, ok: bool, recreate: bool) -> None:
        pass

    def updated(self, cluster: str, api_version: str, kind: str, *, ok: bool, result: UpdateResult) -> None:
        pass

    def deleted(self, cluster: str, api_version: str, kind: str, *, ok: bool) -> None:
        pass


NO_PROPAGATION_METRICS: Final[PropagationMetrics] = _NoPropagationMetrics()


class PrometheusPropagationMetrics:
    """A `PropagationMetrics` for /metrics. The two histograms start with both results at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bindings = Histogram(
            "binding_sync_work_duration_seconds",
            "Time to turn a ResourceBinding into Works.",
            ("result",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._works = Histogram(
            "work_sync_workload_duration_seconds",
            "Time to apply a Work to its member cluster.",
            ("result",),
            buckets=_BUCKETS,
            registry=registry,
        )
        # Counters, in truth. But prometheus_client would put "_total" behind their names, and dashboards know them
        # without; rate() and increase() look at the values, not at the declared type.
        self._created = Gauge(
            "create_resource_to_cluster",
            "Objects created in member clusters.",
            ("result", "apiversion", "kind", "member_cluster", "recreate"),
            registry=registry,
        )
        self._updated = Gauge(
            "update_resource_to_cluster",
            "Objects of member clusters compared with their Works, and updated if need be.",
            ("result", "apiversion", "kind", "member_cluster", "operationResult"),
            registry=registry,
        )
        self._deleted = Gauge(
            "delete_resource_from_cluster",
            "Objects deleted in member clusters.",
            ("result", "apiversion", "kind", "member_cluster"),
            registry=registry,
        )
        for ok in (True, False):
            self._bindings.labels(_result(ok))
            self._works.labels(_result(ok))

    def binding_synced(self, seconds: float, *, ok: bool) -> None:
        """See :class:`PropagationMetrics`."""
        self._bindings.labels(_result(ok)).observe(seconds)

    def work_synced(self, seconds: float, *, ok: bool) -> None:
        """See :class:`PropagationMetrics`."""
        self._works.labels(_result(ok)).observe(seconds)

    def created(self, cluster: str, api_version: str, kind: str, *, ok: bool, recreate: bool) -> None:
        """See :class:`PropagationMetrics`."""
        self._created.labels(_result(ok), api_version, kind, cluster, str(recreate).lower()).inc()

    def updated(self, cluster: str, api_version: str, kind: str, *, ok: bool, result: UpdateResult) -> None:
        """See :class:`PropagationMetrics`."""
        self._updated.labels(_result(ok), api_version, kind, cluster, result).inc()

    def deleted(self, cluster: str, api_version: str, kind: str, *, ok: bool) -> None:
        """See :class:`PropagationMetrics`."""
        self._deleted.labels(_result(ok), api_version, kind, cluster).inc()


class ClusterMetrics(Protocol):
    """Observer of the members' health."""

    def ready_state(self, cluster: str, *, ready: bool) -> None:
        """What is published about the cluster."""
        ...

    def synced(self, cluster: str, seconds: float) -> None:
        """One look at the cluster took so long."""
        ...

    def forget(self, cluster: str) -> None:
        """The cluster is gone."""
        ...


class PrometheusClusterMetrics:
    """`cluster_ready_state` and `cluster_sync_status_duration_seconds`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Raises ValueError if the registry has them already."""
        self._ready = Gauge(
            "cluster_ready_state",
            "State of the cluster(1 if ready, 0 otherwise).",
            ["member_cluster"],
            registry=registry,
        )
        self._duration = Histogram(
            "cluster_sync_status_duration_seconds",
            "Duration in seconds for syncing the status of the cluster once.",
            ["member_cluster"],
            buckets=_GO_BUCKETS,
            registry=registry,
        )

    def ready_state(self, cluster: str, *, ready: bool) -> None:
        """See `ClusterMetrics.ready_state`."""
        self._ready.labels(cluster).set(1 if ready else 0)

    def synced(self, cluster: str, seconds: float) -> None:
        """See `ClusterMetrics.synced`."""
        self._duration.labels(cluster).observe(seconds)

    def forget(self, cluster: str) -> None:
        """See `ClusterMetrics.forget`."""
        for metric in (self._ready, self._duration):
            with suppress(KeyError):  # never probed
                metric.remove(cluster)


def _result(ok: bool) -> str:
    return "success" if ok else "error"
