"""stale-objects-controller: finds objects in members that belong to no Work, and removes them.

Key: the Cluster. It is looked at when a first list of its objects arrives, when its ownership is known, when people
confirm something by an annotation, when another Cluster is gone (it may have been renamed), when a Work of it has
vanished before execution could clean up, and when an object that names a Work that does not exist comes or goes. All
that is compared is in caches. What is to be removed is looked up once more on the servers: whether the member still is
ours, and whether the Work really is not there.

The rules are in `domain.stale_objects`. Only in members that are ours (`domain.member_ownership`).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from informers.errors import Conflict
from mcs_controller.api.resources import WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.cluster_conditions import ClusterConditions, reference_to
from mcs_controller.standalone.domain.execution import BY_MEMBER_OBJECT, owner_work_of
from mcs_controller.standalone.domain.stale_objects import (
    GRACE_SECONDS,
    Surroundings,
    condition_of,
    digest_of,
    is_bound,
    is_copy_coming,
    name_of,
    names_of,
    plan_removal,
)
from mcs_controller.standalone.member_objects import SERVICES, SLICES, MemberUnavailable, NotListed, NotSynced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.informer import SharedInformer
    from informers.cache.store import Store
    from informers.client.client import ApiClient
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.members.sync_mode import SyncModeFilter
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.standalone.domain.stale_objects import RemovalPlan
    from mcs_controller.standalone.member_objects import MemberObjectInformers
    from mcs_controller.standalone.reconcilers.member_ownership import Ownerships
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

VANISHED_SECONDS: Final = 2.0
"""From the end of a Work that nobody cleaned up after to the comparison: others may go the same way."""


class WorksToCome:
    """The Works that other controllers are about to create, by their sources."""

    def __init__(
        self,
        works: Store[Work],
        bindings: SharedInformer[ResourceBinding],
        services: SharedInformer[MultiClusterService],
    ) -> None:
        """`works` are indexed by `domain.indexes.WORK_INDEXES`."""
        self._works = works
        self._bindings = bindings
        self._services = services

    @property
    def known(self) -> bool:
        """Whether all that they are made of has been listed."""
        return self._bindings.has_synced and self._services.has_synced

    def __call__(self, cluster: str, obj: Unstructured) -> bool:
        """Whether the object in this member is to be carried by a Work."""
        return is_copy_coming(obj, cluster, self._works, self._services.store) or is_bound(
            obj, cluster, self._bindings.store
        )


class StaleObjectsReconciler:
    """Compares one member's managed objects with its Works, and removes what is stale."""

    def __init__(
        self,
        *,
        clusters: CachedClient[Cluster],
        works: CachedClient[Work],
        host: ApiClient,
        objects: MemberObjectInformers,
        ownerships: Ownerships,
        recorder: Recorder,
        clock: Clock,
        sync_modes: SyncModeFilter,
        coming: WorksToCome | None,
    ) -> None:
        """Compares nothing yet.

        Args:
            clusters: of the control plane.
            works: the same, indexed by `domain.execution.WORK_INDEXES`.
            host: client for the control plane, to see that a Work really is gone.
            objects: of the members.
            ownerships: whose the members are.
            recorder: for events on Clusters.
            clock: for grace periods and time stamps.
            sync_modes: which members are compared from here.
            coming: None where that cannot be known.
        """
        self._clusters = clusters
        self._works = works
        self._host = host
        self._objects = objects
        self._ownerships = ownerships
        self._recorder = recorder.for_component(wk.STALE_OBJECTS_CONTROLLER)
        self._conditions = ClusterConditions(clusters, recorder, clock, component=wk.STALE_OBJECTS_CONTROLLER)
        self._clock = clock
        self._sync_modes = sync_modes
        self._coming = coming
        self._seen: dict[str, dict[str, float]] = {}
        self._confirmed: dict[str, set[str]] = {}

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what API servers say."""
        name = request.name
        cluster = self._clusters.get("", name)
        if cluster is None or not self._sync_modes.owns(name, cluster):
            self._seen.pop(name, None)
            self._confirmed.pop(name, None)
            return Result()
        if cluster.metadata.deletion_timestamp is not None or not cluster.is_ready:
            return Result()
        if self._coming is not None and not self._coming.known:
            return Result(requeue_after=GRACE_SECONDS)
        try:
            plan = self._plan(cluster)
        except (MemberUnavailable, NotSynced):
            return Result()  # what ends that is announced
        except NotListed:
            return Result(requeue_after=GRACE_SECONDS)
        if plan is None:
            return Result()
        if plan.remove and not (await self._ownerships.verify(name)).owned:
            return Result()
        removed = [obj for obj in plan.remove if await self._remove(name, obj)]
        if removed:
            what = f"removed what names Works that do not exist: {names_of(removed)}"
            self._recorder.event(reference_to(cluster), "Normal", wk.STALE_REMOVED, what)
        await self._conditions.report(name, condition_of(plan))
        again = plan.look_again if len(removed) == len(plan.remove) else VANISHED_SECONDS
        return Result(requeue_after=again)

    def _plan(self, cluster: Cluster) -> RemovalPlan | None:
        """What to do in a member; None if it is not ours. Raises as `MemberObjectInformers.open` does."""
        name = cluster.name
        ownership = self._ownerships.of(name)
        for kind in (SERVICES, SLICES):
            self._objects.open(name, kind)
        if not ownership.owned:
            return None
        objects = [obj for kind in self._objects.opened(name) for obj in kind.store.values()]
        around = Surroundings(
            cluster=name,
            exists=lambda namespace, work: self._works.get(namespace, work) is not None,
            registered=self._is_registered,
            earlier=ownership.earlier,
            carried=lambda obj: self._is_carried(name, obj),
            coming=partial(self._coming, name) if self._coming is not None else None,
            owned_since=ownership.since,
        )
        seen, confirmed = self._seen.get(name, {}), self._confirmed.setdefault(name, set())
        now = self._clock.monotonic()
        plan = plan_removal(objects, around, seen=seen, now=now, confirmed=confirmed)
        if plan.held and cluster.metadata.annotations.get(wk.REMOVE_STALE) == digest_of(plan.held):
            confirmed.update(obj.metadata.uid for obj in plan.held)
            plan = plan_removal(objects, around, seen=seen, now=now, confirmed=confirmed)
        if plan.kept and not seen.keys() >= {obj.metadata.uid for obj in plan.kept}:
            _log.info("Stale objects kept", extra={"cluster": name, "what": names_of(plan.kept)})
        self._seen[name] = {**plan.seen, **{obj.metadata.uid: now for obj in plan.kept}}
        return plan

    def _is_registered(self, cluster: str) -> bool:
        # An agent does not see the other Clusters: to it they all are there.
        return self._sync_modes.is_agent or self._clusters.get("", cluster) is not None

    def _is_carried(self, cluster: str, obj: Unstructured) -> bool:
        meta, content = obj.metadata, obj.content
        value = (cluster, content.get("apiVersion"), content.get("kind"), meta.namespace, meta.name)
        return bool(self._works.store.index_keys(BY_MEMBER_OBJECT, value))

    async def _remove(self, cluster: str, obj: Unstructured) -> bool:
        named, meta = owner_work_of(obj), obj.metadata
        if named is None or await self._work_exists(*named):
            return False
        kind = await self._objects.kind(cluster, obj.content["apiVersion"], obj.content["kind"])
        objects = self._objects.open(cluster, kind)
        try:
            await objects.delete(meta.namespace, meta.name, uid=meta.uid, resource_version=meta.resource_version)
        except Conflict:
            return False  # it changed meanwhile
        fields = {"cluster": cluster, "object": name_of(obj), "work": str(named)}
        _log.info("Removed an object whose Work does not exist", extra=fields)
        return True

    async def _work_exists(self, namespace: str, name: str) -> bool:
        """On the server: caches are behind now and then, and this is rare."""
        page = await self._host.list(WORKS, namespace, field_selector=f"metadata.name={name}")
        return any(one.metadata.name == name for one in page.items)

    # --- what to look at when something changes ----------------------------------------------------------------------

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """The Cluster, or, once it is gone, those who may be the same member under another name."""
        return self.requests_for_vanished(event.key.name)

    def requests_for_object(self, cluster: str, event: Event[Unstructured]) -> Iterable[Request]:
        """The Cluster, if an object that names a Work which does not exist comes, or one that was found before goes."""
        before = owner_work_of(event.old) if event.old is not None else None
        after = owner_work_of(event.new) if event.new is not None else None
        if event.initial or before == after:
            return ()
        goes = event.old is not None and event.old.metadata.uid in self._seen.get(cluster, ())
        comes = after is not None and self._works.get(*after) is None
        return (Request("", cluster),) if goes or comes else ()

    def requests_for_vanished(self, cluster: str) -> Iterable[Request]:
        """Where objects may be left whose Works were in this cluster's execution namespace."""
        if self._clusters.get("", cluster) is not None:
            return (Request("", cluster),)
        return sorted(Request("", one.name) for one in self._clusters.store.values())


def cluster_changed(event: Event[Cluster]) -> bool:
    """Whether the Cluster came or went, turned ready, or has other annotations."""
    old, new = event.old, event.new
    if old is None or new is None:
        return True
    return (new.is_ready and not old.is_ready) or old.metadata.annotations != new.metadata.annotations
