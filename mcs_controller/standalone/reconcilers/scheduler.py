"""`default-scheduler` (key `scheduler`): puts ResourceBindings onto the clusters that they name (contract 4.1).

Watches, all of the control plane:

    ResourceBindings    enqueue_object                      if binding_changed
    Clusters            requests_for_cluster(bindings)      if changes.cluster_changed

Index: `PLACED_BINDING_INDEXES` on ResourceBindings.

Unlike Karmada's, it looks again as soon as a Cluster joins or reports its APIs, not only when the Cluster's spec or
labels change: so nothing has to wait for a retry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.errors import NotFound
from informers.meta import ObjectKey
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.scheduling import (
    BY_PLACED_CLUSTER,
    Schedule,
    is_news,
    is_schedulable,
    leave_removed_clusters,
    plan_schedule_status,
    schedule,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.key_mutex import KeyMutex
    from mcs_controller.runtime.events import Recorder
    from workqueue.clock import Clock


class SchedulerReconciler:
    """Decides for one ResourceBinding, and writes the decision: first where it goes, then that it was decided."""

    def __init__(
        self,
        *,
        bindings: CachedClient[ResourceBinding],
        clusters: Store[Cluster],
        recorder: Recorder,
        clock: Clock,
        binding_locks: KeyMutex[Request],
    ) -> None:
        """Args are the control plane's caches, where the events go, the time, and who writes a binding when."""
        self._bindings = bindings
        self._clusters = clusters
        self._recorder = recorder.for_component(wk.DEFAULT_SCHEDULER)
        self._clock = clock
        self._binding_locks = binding_locks

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says, except that the binding is gone."""
        async with self._binding_locks.hold(request):
            await self._reconcile(request)
        return Result()

    async def _reconcile(self, request: Request) -> None:
        binding = self._bindings.get(request.namespace, request.name)
        if binding is None:
            return

        def cluster_of(name: str) -> Cluster | None:
            return self._clusters.get(ObjectKey("", name))

        if not is_schedulable(binding):
            if (patch := leave_removed_clusters(binding, cluster_of)) is not None:
                await self._bindings.patch(request.namespace, request.name, patch)
            return
        decision = schedule(binding, cluster_of)
        try:
            await self._write(request, binding, decision)
        except NotFound:
            return
        if is_news(binding, decision):
            self._tell(binding, decision)

    async def _write(self, request: Request, binding: ResourceBinding, decision: Schedule) -> None:
        if decision.patch is not None:
            binding = await self._bindings.patch(request.namespace, request.name, decision.patch)
        now = self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        status = plan_schedule_status(binding, decision, now)
        if status is not None:
            await self._bindings.patch(request.namespace, request.name, status, subresource="status")

    def _tell(self, binding: ResourceBinding, decision: Schedule) -> None:
        meta, resource = binding.metadata, binding.spec.resource
        message = decision.condition.message
        if decision.succeeded:
            result = ", ".join(f"{name}:0" for name in decision.clusters)
            message = f"{message} Result: {{{result}}}"
        for reference in (
            ObjectReference(
                api_version=wk.BINDING_API_VERSION,
                kind=wk.BINDING_KIND,
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
            ),
            ObjectReference(
                api_version=resource.api_version,
                kind=resource.kind,
                namespace=resource.namespace,
                name=resource.name,
                uid=resource.uid,
            ),
        ):
            if decision.succeeded:
                self._recorder.event(reference, "Normal", wk.EVENT_SCHEDULE_BINDING_SUCCEED, message)
            else:
                self._recorder.event(reference, "Warning", wk.EVENT_SCHEDULE_BINDING_FAILED, message)


def binding_changed(event: Event[ResourceBinding]) -> bool:
    """Whether the binding's spec or labels, or what the scheduler notes on it, changed; or it is new; or a resync."""
    old, new = event.old, event.new
    if new is None:
        return False
    if old is None or old is new:
        return True
    before, after = old.metadata, new.metadata
    noted = (before.annotations.get(wk.APPLIED_PLACEMENT), after.annotations.get(wk.APPLIED_PLACEMENT))
    if noted[0] != noted[1]:
        return True
    return (before.uid, before.generation, before.labels) != (after.uid, after.generation, after.labels)


def requests_for_cluster(bindings: Store[ResourceBinding]) -> Callable[[Event[Cluster]], Iterable[Request]]:
    """The ResourceBindings whose placement names the Cluster."""

    def requests(event: Event[Cluster]) -> Iterable[Request]:
        return [Request(*key) for key in sorted(bindings.index_keys(BY_PLACED_CLUSTER, event.key.name))]

    return requests
