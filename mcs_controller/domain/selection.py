"""Which clusters provide and consume a service, and which of them can be used right now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from informers.meta import find_condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.clusters import credentials_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multiclusterservice import MultiClusterService


class Clusters(Protocol):
    """The registered Clusters. Most rules ask for a few by name, so that their cost does not grow with the fleet."""

    def get(self, name: str, /) -> Cluster | None:
        """The Cluster of that name, or None."""
        ...

    def values(self) -> Iterable[Cluster]:
        """All of them, unordered."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class SkippedCluster:
    """A cluster that is left out for now, and why. Not an error: its turn comes when the Cluster changes."""

    cluster: str
    reason: str
    message: str


def select(names: frozenset[str] | None, clusters: Clusters) -> tuple[str, ...]:
    """The set that a list of cluster names stands for, sorted.

    An empty list means every registered cluster, without those that are being deleted: a leaving cluster must not
    make a service look broken until it is gone.
    """
    if names is not None:
        return tuple(sorted(names))
    return tuple(sorted(one.name for one in clusters.values() if one.metadata.deletion_timestamp is None))


def providers_of(mcs: MultiClusterService, clusters: Clusters) -> tuple[str, ...]:
    """Clusters whose endpoints are collected."""
    return select(mcs.providers, clusters)


def consumers_of(mcs: MultiClusterService, clusters: Clusters) -> tuple[str, ...]:
    """Clusters that get the endpoints."""
    return select(mcs.consumers, clusters)


def selects_cluster(cluster: str, names: frozenset[str] | None) -> bool:
    """Whether a list of the service means this cluster, explicitly or because it is empty."""
    return names is None or cluster in names


def _why_not_ready(cluster: Cluster) -> str:
    """By the condition's reason and not its message, which may change with every probe while nothing changes for us."""
    ready = find_condition(cluster.conditions, wk.READY)
    if not cluster.is_push and ready is None:
        return "no agent reports for this Pull cluster; run one in it, see docs/agent.md"
    if not cluster.is_push and ready is not None and ready.status == "Unknown":
        return "the agent of this Pull cluster has stopped reporting; see whether it runs, and its log"
    if ready is None:
        return (
            "nobody has probed the cluster yet, so it has no condition Ready (controller clusterStatus, or Karmada's)"
        )
    match ready.reason:
        case wk.CREDENTIALS_REFUSED:
            return f"the cluster refused {credentials_of(cluster)}"
        case wk.CLUSTER_NOT_REACHABLE:
            return "the cluster is not reachable, see its condition Ready"
        case wk.STATUS_COLLECTION_FAILED:
            return "there is no way to connect to the cluster, see its condition Ready"
    return "the cluster is not ready, see its condition Ready"


def skip_reason(name: str, clusters: Clusters) -> SkippedCluster | None:
    """Why nothing new can be put into the cluster; None if it can (contract 3.1 step 4, 3.3 step 5)."""
    cluster = clusters.get(name)
    if cluster is None:
        return SkippedCluster(name, wk.EVENT_CLUSTER_NOT_FOUND, "no such Cluster is registered")
    if cluster.metadata.deletion_timestamp is not None:
        return SkippedCluster(name, wk.EVENT_SYNC_SERVICE_FAILED, "the cluster is being removed")
    if not cluster.is_ready:
        return SkippedCluster(name, wk.EVENT_SYNC_SERVICE_FAILED, _why_not_ready(cluster))
    if cluster.serves(wk.SLICE_API_VERSION, wk.SLICE_KIND) == "Disabled":
        return SkippedCluster(
            name, wk.EVENT_API_INCOMPATIBLE, f"the cluster does not serve {wk.SLICE_API_VERSION} {wk.SLICE_KIND}"
        )
    return None
