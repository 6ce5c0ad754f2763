"""`cluster-controller` (key `cluster`): execution namespaces, taints, and how a Cluster leaves (contract 4.1, 4.4).

Watches, all of the control plane:

    Clusters            requests_for_cluster       if cluster_changed
    Namespaces          requests_for_namespace
    ResourceBindings    requests_for_binding

Before the execution namespace of a leaving Cluster is deleted, its collected Works are emptied: an execution controller
that is not ours would delete the member's own slices with them (`works.delete_collected`).

Indexes: `EXECUTION_WORK_INDEXES` on Works, `SCHEDULED_BINDING_INDEXES` on ResourceBindings.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from informers.errors import AlreadyExists, KubeError, NotFound
from informers.meta import find_condition
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import NotAnExecutionNamespace, cluster_of_namespace, execution_namespace
from mcs_controller.domain.works import origin_of
from mcs_controller.reconcilers.writes import Failures, gather_writes, label_writes
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result
from mcs_controller.standalone.domain.cluster import (
    BY_EXECUTION_CLUSTER,
    BY_SCHEDULED_CLUSTER,
    ClusterPlan,
    has_given_up,
    plan_cluster,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import Namespace
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.runtime.events import Recorder
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 10.0
"""How often a leaving cluster is looked at when no event says that its turn has come."""


EMPTYING_SECONDS: Final = 0.05
"""How often one is looked at whose collected Works are being emptied: that takes a request or two."""


class ClusterReconciler:
    """Gives every Cluster its execution namespace, and takes it away when the Cluster leaves."""

    def __init__(
        self,
        *,
        clusters: CachedClient[Cluster],
        namespaces: CachedClient[Namespace],
        works: CachedClient[Work],
        bindings: Store[ResourceBinding],
        enqueue_slice: Callable[[ClusterRequest], None],
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        """Args are the control plane's caches, and where the events go.

        Args:
            clusters: all of them.
            namespaces: all of them.
            works: all of them, with `EXECUTION_WORK_INDEXES`.
            bindings: all of them, with `SCHEDULED_BINDING_INDEXES`.
            enqueue_slice: has the one writer of a slice look at it, who empties its collected Work.
            recorder: for events on Clusters.
            clock: for how long an agent has been silent.
        """
        self._clusters = clusters
        self._namespaces = namespaces
        self._works = works
        self._bindings = bindings
        self._enqueue_slice = enqueue_slice
        self._clock = clock
        self._recorder = recorder.for_component(wk.CLUSTER_CONTROLLER)

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says, except that the Cluster is gone."""
        cluster = self._clusters.get("", request.name)
        if cluster is None:
            return Result()
        namespace = self._namespaces.get("", execution_namespace(cluster.name))
        plan = plan_cluster(
            cluster,
            namespace,
            self._works.store.by_index(BY_EXECUTION_CLUSTER, cluster.name),
            self._bindings.by_index(BY_SCHEDULED_CLUSTER, cluster.name),
            silent=has_given_up(cluster, namespace, self._clock.utcnow()),
        )
        if not await self._empty(plan):
            return Result(requeue_after=EMPTYING_SECONDS)
        await self._apply(cluster, plan)
        if plan.waiting_for:
            _log.info("Waiting", extra={"waiting_for": plan.waiting_for})
            return Result(requeue_after=POLL_SECONDS)
        return Result()

    async def _empty(self, plan: ClusterPlan) -> bool:
        """Have everything emptied that has to be. False if that is still to come. Raises what the API server says."""
        found = ((write, self._works.get(write.namespace, write.name)) for write in plan.empty)
        planned = [(write, origin_of(work) if work is not None else None) for write, work in found]
        for _, origin in planned:
            if origin is not None:
                self._enqueue_slice(ClusterRequest(*origin))
        failures = Failures()
        await gather_writes(label_writes(self._works, (write for write, origin in planned if origin is None)), failures)
        failures.raise_if_any()
        return all(origin is None for _, origin in planned)

    async def _apply(self, cluster: Cluster, plan: ClusterPlan) -> None:
        for release in plan.release:
            try:
                await self._works.patch(release.namespace, release.name, release.body)
            except NotFound:
                continue  # that is what it was released for
        try:
            if plan.taints:
                cluster = await self._clusters.patch("", cluster.name, plan.taints)
            if plan.finalizers is not None:
                body = plan.finalizers["metadata"] | {"resourceVersion": cluster.metadata.resource_version}
                await self._clusters.patch("", cluster.name, {"metadata": body})
        except NotFound:
            return  # it left while we looked
        if plan.create_namespace is not None:
            await self._create_namespace(cluster, plan.create_namespace)
        if plan.delete_namespace is not None:
            await self._delete_namespace(cluster, plan.delete_namespace)

    async def _create_namespace(self, cluster: Cluster, body: JsonObject) -> None:
        name = body["metadata"]["name"]
        try:
            await self._namespaces.create(body)
        except AlreadyExists:
            return  # the cache is about to know
        except KubeError as error:
            message = f"Failed to create execution space({name}): {error}"
            self._recorder.event(_reference(cluster), "Warning", wk.EVENT_CREATE_EXECUTION_SPACE_FAILED, message)
            raise
        message = f"Created execution space({name}) for cluster({cluster.name})."
        self._recorder.event(_reference(cluster), "Normal", wk.EVENT_CREATE_EXECUTION_SPACE_SUCCEED, message)

    async def _delete_namespace(self, cluster: Cluster, namespace: Namespace) -> None:
        name = namespace.metadata.name
        try:
            await self._namespaces.delete("", name, uid=namespace.metadata.uid)
        except KubeError as error:
            message = f"Failed to remove execution space({name}): {error}"
            self._recorder.event(_reference(cluster), "Warning", wk.EVENT_REMOVE_EXECUTION_SPACE_FAILED, message)
            raise
        message = f"Removed execution space({name}) for cluster({cluster.name})."
        self._recorder.event(_reference(cluster), "Normal", wk.EVENT_REMOVE_EXECUTION_SPACE_SUCCEED, message)


def _reference(cluster: Cluster) -> ObjectReference:
    return ObjectReference(
        api_version=wk.CLUSTER_API_VERSION,
        kind=wk.CLUSTER_KIND,
        name=cluster.name,
        namespace="",
        uid=cluster.metadata.uid,
    )


def requests_for_cluster(event: Event[Cluster]) -> Iterable[Request]:
    """The Cluster itself."""
    return (Request("", event.key.name),)


def cluster_changed(event: Event[Cluster]) -> bool:
    """Whether a Cluster came, began to leave, or differs in readiness, taints or finalizers, or it is a resync."""
    old, new = event.old, event.new
    if new is None:
        return False
    return old is None or old is new or _relevant(old) != _relevant(new)


def _relevant(cluster: Cluster) -> tuple[object, ...]:
    meta = cluster.metadata
    ready = find_condition(cluster.conditions, wk.READY)
    return (
        meta.uid,
        meta.deletion_timestamp,
        meta.finalizers,
        cluster.spec.taints,
        cluster.spec.sync_mode,
        ready.status if ready is not None else "",
    )


def requests_for_namespace(event: Event[Namespace]) -> Iterable[Request]:
    """The Cluster whose execution namespace it is."""
    try:
        return (Request("", cluster_of_namespace(event.key.name)),)
    except NotAnExecutionNamespace:
        return ()


def requests_for_binding(event: Event[ResourceBinding]) -> Iterable[Request]:
    """The Clusters that the ResourceBinding has just left: one of them may be waiting for that."""
    before = {target.name for target in event.old.spec.clusters} if event.old is not None else set()
    after = {target.name for target in event.new.spec.clusters} if event.new is not None else set()
    return [Request("", name) for name in sorted(before - after)]
