"""`cluster-status-controller` (key `clusterStatus`): probes each member and writes its status (contract 4.5).

Watches, all of the control plane:

    Clusters    requests_for_cluster    if cluster_changed

and `members.add_listener(joined=lambda member: controller.enqueue(request_for_member(member.name)), ...)`, so that a
member is probed as soon as it can be. From then on each Cluster comes back by itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from informers.errors import Conflict, KubeError, NotFound
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.clusters import connection_of
from mcs_controller.members.sync_mode import CONTROL_PLANE, SyncModeFilter
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain import cluster_status
from mcs_controller.standalone.member_probe import MemberProbe

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.meta import Condition
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.members.registry import MemberCluster
    from mcs_controller.runtime.events import EventType, Recorder
    from mcs_controller.standalone.domain.cluster_status import Collected, ProbeHistory, Thresholds
    from mcs_controller.standalone.metrics import ClusterMetrics
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 5.0
"""Longest wait for one answer. Less than the interval, so that slow members do not keep the workers for themselves."""

_CONNECTING_SECONDS: Final = 1.0
_CONFLICT_SECONDS: Final = 0.05


class Members(Protocol):
    """The part of MemberClusters that is needed here."""

    def get(self, name: str) -> MemberCluster | None:
        """See `MemberClusters.get`."""
        ...

    def problem(self, name: str) -> str | None:
        """See `MemberClusters.problem`."""
        ...


@dataclass(frozen=True, slots=True)
class _Memory:
    """The state kept of a Cluster between two probes; another uid is another Cluster."""

    uid: str
    streak: ProbeHistory | None
    undiscovered: bool = False


class _Seen(NamedTuple):
    """The result of one probe: the status to publish, and the seconds until the next probe."""

    ready: Condition
    collected: Collected | None
    pause: float


class ClusterStatusReconciler:
    """Probes one member and publishes the result if it is new."""

    def __init__(
        self,
        *,
        clusters: CachedClient[Cluster],
        members: Members,
        clock: Clock,
        rng: random.Random,
        metrics: ClusterMetrics,
        recorder: Recorder,
        thresholds: Thresholds,
        frequency_seconds: float = 10.0,
        sync_modes: SyncModeFilter = CONTROL_PLANE,
    ) -> None:
        """Probes nothing yet.

        Args:
            clusters: the control plane's.
            members: who has the clients.
            clock: for the thresholds and the time stamps.
            rng: spreads the probes of many members over time.
            metrics: told about each look.
            recorder: for an event on each Cluster that turns not ready, and on each that is ready again.
            thresholds: `--cluster-success-threshold` and `--cluster-failure-threshold`.
            frequency_seconds: `--cluster-status-update-frequency`.
            sync_modes: which members are looked at from here.
        """
        self._clusters = clusters
        self._members = members
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._recorder = recorder.for_component(wk.CLUSTER_STATUS_CONTROLLER)
        self._thresholds = thresholds
        self._frequency = frequency_seconds
        self._sync_modes = sync_modes
        self._memories: dict[str, _Memory] = {}

    async def reconcile(self, request: Request) -> Result:
        """See the class. Errors of the control plane are logged, not raised: a back-off would stop the probes."""
        cluster = self._observed(request.name)
        if cluster is None:
            return Result()
        member, problem = self._members.get(cluster.name), self._members.problem(cluster.name)
        if member is None and problem is None:
            return Result(requeue_after=_CONNECTING_SECONDS)
        started = self._clock.monotonic()
        seen = _Seen(cluster_status.collection_failed(problem or ""), None, self._frequency)
        if member is not None:
            seen = await self._probe(cluster, member)
        # The Cluster may have changed while the member took its time; planning with what it is now saves a conflict.
        latest = self._observed(request.name)
        if latest is None or latest.metadata.uid != cluster.metadata.uid:
            return Result(requeue_after=_CONFLICT_SECONDS)
        result = await self._publish(latest, seen)
        self._metrics.ready_state(cluster.name, ready=seen.ready.status == "True")
        self._metrics.synced(cluster.name, self._clock.monotonic() - started)
        return result

    def _observed(self, name: str) -> Cluster | None:
        """The Cluster, if it is one to look at: in our charge, with a way to it, and the cluster controller's consent.

        That consent is the finalizer: its execution namespace exists, and it will not vanish behind our back.
        """
        cluster = self._clusters.get("", name)
        if cluster is None:
            self._memories.pop(name, None)
            self._metrics.forget(name)
            return None
        has_consent = wk.CLUSTER_FINALIZER in cluster.metadata.finalizers
        has_way = self._sync_modes.is_agent or cluster.spec.secret_ref is not None
        return cluster if self._sync_modes.owns(name, cluster) and has_way and has_consent else None

    async def _probe(self, cluster: Cluster, member: MemberCluster) -> _Seen:
        timeout = min(_PROBE_SECONDS, self._frequency)
        probe = MemberProbe(member.client, timeout=timeout, credentials=member.credentials)
        observed = await probe.health()
        memory = self._memories.get(cluster.name)
        streak = memory.streak if memory is not None and memory.uid == cluster.metadata.uid else None
        published = cluster_status.published_ready(cluster)
        now = self._clock.monotonic()
        ready, streak = cluster_status.apply_thresholds(observed, published, streak, now, self._thresholds)
        pause = cluster_status.next_probe(observed, ready, streak, now, self._thresholds, self._frequency)
        healthy = observed.status == "True" and ready.status == "True"
        collected = await probe.collect() if healthy else None
        undiscovered = collected is not None and collected.is_cut_off
        self._memories[cluster.name] = _Memory(cluster.metadata.uid, streak, undiscovered)
        if undiscovered and cluster.api_enablements and not (memory is not None and memory.undiscovered):
            collected = None  # not believed once: its connections are given up whenever its credentials change
        return _Seen(ready, collected, pause)

    async def _publish(self, cluster: Cluster, seen: _Seen) -> Result:
        now = self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = cluster_status.plan_status(cluster, seen.ready, seen.collected, now)
        if patch is not None:
            try:
                await self._clusters.patch("", cluster.name, patch, subresource="status")
                self._tell(cluster, seen.ready)
            except Conflict:
                return Result(requeue_after=_CONFLICT_SECONDS)
            except NotFound:
                return Result()
            except KubeError as error:
                _log.warning("Cannot publish the status", extra={"cluster": cluster.name, "error": str(error)})
        # Drifting apart: members that were all found at the same start are not probed at the same moment for ever.
        # Later rather than sooner, so that what is waited for is due by then.
        return Result(requeue_after=seen.pause * self._rng.uniform(1.0, 1.1))

    def _tell(self, cluster: Cluster, ready: Condition) -> None:
        """One event for each transition; that a Cluster is ready to begin with is none."""
        before = cluster_status.published_ready(cluster)
        if ready.status == (before.status if before is not None else "True"):
            return
        reference = ObjectReference(
            api_version=wk.CLUSTER_API_VERSION, kind=wk.CLUSTER_KIND, name=cluster.name, uid=cluster.metadata.uid
        )
        kind: EventType = "Normal" if ready.status == "True" else "Warning"
        self._recorder.event(reference, kind, ready.reason, ready.message)


def request_for_member(name: str) -> Request:
    """The request that probes a member."""
    return Request("", name)


def requests_for_cluster(event: Event[Cluster]) -> Iterable[Request]:
    """The Cluster itself."""
    return (request_for_member(event.key.name),)


def cluster_changed(event: Event[Cluster]) -> bool:
    """Whether a Cluster came or went, got its finalizer or another connection, or it is a resync."""
    old, new = event.old, event.new
    if old is None or new is None or old is new:
        return True
    return (old.metadata.finalizers, old.spec.sync_mode, connection_of(old)) != (
        new.metadata.finalizers,
        new.spec.sync_mode,
        connection_of(new),
    )
