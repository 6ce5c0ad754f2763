"""execution-controller: applies Works in their member clusters (contract 4.3) and reports the result (4.6).

Key: the Work. Watches:

    Works      itself                  if `work_changed`; indexed by `domain.execution.WORK_INDEXES`
    Clusters   `requests_for_cluster`  if `cluster_changed`: above all when a member turns Ready
    members' objects                   `follow_members` joins them, and members just connected or listed, to a queue

Reads only from caches, with one GET where a cache cannot know: if an object that is not managed is in the way, and
before a finalizer is dropped. Writes only what differs, in the member and in the Work's status.

A failed Work is tried again as `retries` says, and at once when what it waits for appears: its member turns ready or is
connected, its namespace is created, the object in its way is gone. A manifest that cannot be applied at all is not
tried again before the Work changes. One that somebody else keeps changing back is written less and less often, see
`domain.contention`.

Deviations from Karmada, besides those in `domain.execution`: a Work that is applied gets the finalizer if its maker did
not put it there; a Work whose Cluster is gone altogether can be deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from informers.errors import KubeError, NotFound
from informers.meta import Condition, ObjectKey, find_condition
from informers.patches import plan_add_finalizer, plan_remove_finalizer
from mcs_controller.api.resources import NAMESPACES as CONTROL_PLANE_NAMESPACES
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import equal_ignoring_time
from mcs_controller.domain.naming import cluster_of_namespace, execution_namespace
from mcs_controller.domain.reserved import RESERVED
from mcs_controller.domain.works import Role, cluster_of, role_of
from mcs_controller.members.sync_mode import CONTROL_PLANE, SyncModeFilter
from mcs_controller.reconcilers.retries import Deferred
from mcs_controller.reconcilers.writes import unexpected
from mcs_controller.runtime.reconcile import ReconcileError, Request, Result, TerminalError
from mcs_controller.standalone.domain.cluster import BY_EXECUTION_CLUSTER
from mcs_controller.standalone.domain.execution import (
    BY_MEMBER_NAMESPACE,
    BY_MEMBER_OBJECT,
    InvalidManifest,
    NotOurs,
    NotOwned,
    carries_namespace,
    has_drifted,
    is_managed,
    owner_work_of,
    preserve_on_deletion,
)
from mcs_controller.standalone.domain.immutable import Immutable
from mcs_controller.standalone.domain.work_status import (
    applied,
    dispatching,
    kept_status,
    manifest_status,
    plan_never_applied,
    plan_status,
    reflected,
    was_applied,
)
from mcs_controller.standalone.member_applier import MemberApplier, NamespaceMissing
from mcs_controller.standalone.member_objects import (
    NAMESPACES,
    SERVICES,
    KindNotServed,
    MemberObjectInformers,
    MemberUnavailable,
    NotSynced,
)
from mcs_controller.standalone.metrics import NO_PROPAGATION_METRICS, PropagationMetrics
from mcs_controller.standalone.work_events import WorkEvents
from workqueue import LOW, at_priority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from informers.client.client import ApiClient
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import JsonObject, Unstructured
    from mcs_controller.api.core import Namespace
    from mcs_controller.api.work import Manifest, Work
    from mcs_controller.domain.reserved import ReservedObjects
    from mcs_controller.key_mutex import ReconcileMutex
    from mcs_controller.reconcilers.retries import Retries
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.standalone.reconcilers.member_ownership import Ownerships
    from workqueue.clock import Clock

    FindNamespace = Callable[[str], Awaitable[Namespace | None]]
    """The control plane's Namespace of that name."""

_log = logging.getLogger(__name__)

MAX_EARLY_WRITES: Final = 32
"""Works of one member that are written ahead at a time. Many times what a quick member ever has under way."""

_LOOK_AGAIN_SECONDS: Final = 5.0
"""While a member is being connected or listed. Success leads back here at once, but failure is not announced."""


_OUTDATED_SECONDS: Final = 0.25
"""Until the second look at a Work that may be outdated. Its slice is compared within some milliseconds."""


class _Outdated(Exception):
    """The member may have what is newer than the Work."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def namespace_finder(host: ApiClient) -> FindNamespace:
    """Asks the control plane itself for a Namespace; None if there is none. Raises what it says.

    Whether a member's namespace may be deleted with all that is in it depends on the answer. A cache may lag behind
    that of the Works, and an agent has none: it may `get` a Namespace, not list them.
    """

    async def find(name: str) -> Namespace | None:
        try:
            return await host.get(CONTROL_PLANE_NAMESPACES, name)
        except NotFound:
            return None

    return find


class ExecutionReconciler:
    """Makes the objects in a member what the Works in its execution namespace say. For the clusters of this process."""

    def __init__(
        self,
        *,
        works: CachedClient[Work],
        clusters: Store[Cluster],
        objects: MemberObjectInformers,
        ownerships: Ownerships,
        recorder: Recorder,
        clock: Clock,
        turns: ReconcileMutex[Request],
        find_namespace: FindNamespace,
        retries: Retries,
        metrics: PropagationMetrics = NO_PROPAGATION_METRICS,
        sync_modes: SyncModeFilter = CONTROL_PLANE,
        reserved: ReservedObjects = RESERVED,
        outdated: Callable[[Work], float] = lambda _: 0.0,
    ) -> None:
        """`find_namespace`: see `namespace_finder`. `retries` says when what failed is tried again.

        `outdated` says for how many seconds at most what a Work says is not to be written yet, see `OutdatedWorks`.
        Objects that are `reserved` are refused, whoever made the Work.
        """
        self._works = works
        self._clusters = clusters
        self._objects = objects
        self._writer = MemberApplier(objects, works.store, ownerships, metrics, reserved, clock)
        self._events = WorkEvents(recorder)
        self._clock = clock
        self._turns = turns
        self._find_namespace = find_namespace
        self._retries = retries
        self._metrics = metrics
        self._sync_modes = sync_modes
        self._outdated = outdated
        self._held: dict[Request, float] = {}
        """Since when Works wait because they may be outdated, by the monotonic clock."""
        self._group: asyncio.TaskGroup | None = None
        self._arrivals: dict[Request, Callable[[], None]] = {}
        """Whom to tell when the member has what the Work holds."""
        self._early: Counter[str] = Counter()
        """Writes ahead that are under way, by member."""
        self._cleaned: set[Request] = set()
        """Works that were cleaned up after, and whose end has not been told yet."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the control plane says, and TerminalError for what nobody could apply."""
        with self._turns.hold_or_requeue(request) as mine:
            return await self._reconcile(request) if mine else Result()

    async def run(self) -> None:
        """Carry out the writes that are started ahead of their Works. Runs until cancelled; they end with it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    @contextmanager
    def start_writes(self, work: Work, arrived: Callable[[], None] | None = None) -> Iterator[None]:
        """Start the writes that a Work will cause in its member once it is so; the body writes the Work.

        Neither waits for the other, and the Work is not reconciled before both are done. Only objects that this Work
        has made already are changed: what is created needs its Work first, to be found again. Nothing is started for a
        member that has much under way: its Works wait for a worker, as all that it is asked to do.

        `arrived` is called once, when the member has answered, which may be to the reconcile that follows. Of a member
        that another process writes to it is called when the Work is written.
        """
        name = cluster_of(work)
        key = Request(work.metadata.namespace, work.metadata.name)
        if self._group is None or name is None or not self._may_change(work, name):
            yield
            if arrived is not None and self._is_ours(name):
                self._arrivals[key] = arrived
            elif arrived is not None:
                arrived()
            return
        if arrived is not None:
            self._arrivals[key] = arrived
        written = asyncio.Event()
        self._early[name] += 1
        task = self._group.create_task(self._change_ahead(work, name, written))
        task.add_done_callback(lambda _: self._early.subtract((name,)))
        try:
            yield
        except BaseException:
            self._arrivals.pop(key, None)  # who starts the writes again tells again
            raise
        finally:
            written.set()

    def find_service(self, cluster: str, namespace: str, name: str) -> JsonObject | None:
        """A Service that was brought to a member, as far as a cache has it."""
        found = self._objects.peek(cluster, SERVICES, ObjectKey(namespace, name))
        return found.content if found is not None else None

    def _is_ours(self, name: str | None) -> bool:
        return name is not None and self._sync_modes.owns(name, self._clusters.get(ObjectKey("", name)))

    def _arrived(self, work: Work) -> None:
        if arrived := self._arrivals.pop(Request(work.metadata.namespace, work.metadata.name), None):
            arrived()

    def _may_change(self, work: Work, name: str) -> bool:
        cluster = self._clusters.get(ObjectKey("", name))
        if cluster is None or not cluster.is_ready or work.suspend_dispatching:
            return False
        if self._early[name] >= MAX_EARLY_WRITES:
            return False
        if not self._is_ours(name):
            return False
        return work.metadata.deletion_timestamp is None and wk.EXECUTION_FINALIZER in work.metadata.finalizers

    async def _change_ahead(self, work: Work, name: str, written: asyncio.Event) -> None:
        """That one fails is no news: the reconcile that follows does it, and tells."""
        with self._turns.try_hold(Request(work.metadata.namespace, work.metadata.name)) as mine:
            if not mine:
                return
            for manifest in work.manifests:
                try:
                    if await self._writer.change(work, name, manifest):
                        self._arrived(work)
                except (KubeError, ReconcileError) as error:
                    _log.debug("Pipelined write failed", extra={"error": str(error)})
                except Exception:  # as in the worker loop, which this task does not run in: it must not end the process
                    _log.exception("Pipelined write failed unexpectedly")
            await written.wait()

    async def _reconcile(self, request: Request) -> Result:
        work = self._works.get(request.namespace, request.name)
        name = cluster_of_namespace(request.namespace) if request.namespace.startswith(wk.EXECUTION_PREFIX) else None
        if name is None:
            return Result()
        if work is None or work.metadata.deletion_timestamp is not None:
            self._arrivals.pop(request, None)
            self._held.pop(request, None)
        if work is None:
            self._retries.succeeded(request, name)
            return Result()
        cluster = self._clusters.get(ObjectKey("", name))
        if not self._sync_modes.owns(name, cluster):
            return Result()
        started = self._clock.monotonic()
        ok = False
        errors: Sequence[Exception] = ()
        try:
            if work.metadata.deletion_timestamp is not None:
                errors = await self._clean_up(work, name, cluster)
            else:
                errors = await self._dispatch(work, name, cluster)
            ok = not errors
        except NotSynced:
            ok = True
            return Result(requeue_after=_LOOK_AGAIN_SECONDS)
        except _Outdated as waits:
            ok = True
            return Result(requeue_after=waits.seconds)
        except MemberUnavailable as error:
            self._retries.waits(name, str(error))
            return Result()
        except TerminalError:
            self._retries.succeeded(request, name)
            raise
        finally:
            self._metrics.work_synced(self._clock.monotonic() - started, ok=ok)
        if cluster is not None and cluster.is_ready:
            self._retries.reached(name)
        if errors:
            return Result(requeue_after=self._retries.after(request, name, errors))
        self._retries.succeeded(request, name)
        return Result()

    async def _dispatch(self, work: Work, name: str, cluster: Cluster | None) -> Sequence[Exception]:
        if cluster is None:
            raise MemberUnavailable(f"cluster {name} does not exist")
        if role_of(work) in (Role.COLLECTED, Role.SERVICE):
            await self._hold(work, name, cluster)
            return ()
        if work.suspend_dispatching:
            await self._report(work, [dispatching(work)])
            return ()
        if not cluster.is_ready:
            await self._report(work, [dispatching(work)])
            raise MemberUnavailable(f"cluster {name} is not ready")
        work = await self._patch(work, plan_add_finalizer(work, wk.EXECUTION_FINALIZER))
        return await self._apply(work, name)

    async def _hold(self, work: Work, name: str, cluster: Cluster) -> None:
        """A Work that only tells the control plane what a provider has is not applied, also if it is not suspended.

        Somebody took its suspension off, and who made it puts that back. What came of it meanwhile, here or with
        another execution controller, is undone.
        """
        if wk.EXECUTION_FINALIZER in work.metadata.finalizers:
            await self._remove_objects(work, name, cluster)
            work = await self._patch(work, plan_remove_finalizer(work, wk.EXECUTION_FINALIZER))
        if (patch := plan_never_applied(work)) is not None:
            work = await self._works.patch(work.metadata.namespace, work.metadata.name, patch, subresource="status")
        if work.suspend_dispatching:
            await self._report(work, [dispatching(work)])

    async def _apply(self, work: Work, cluster: str) -> Sequence[Exception]:
        errors: list[Exception] = []
        statuses: list[JsonObject] = []
        for ordinal, manifest in enumerate(work.manifests):
            known = kept_status(ordinal, work)
            try:
                obj = await self._writer.apply(work, cluster, manifest, partial(self._check_outdated, work))
            except (KubeError, InvalidManifest, NotOurs, Immutable, NamespaceMissing, KindNotServed, Deferred) as error:
                errors.append(error)
                statuses += [known] if known is not None else []
            except (MemberUnavailable, NotSynced, _Outdated):
                raise
            except Exception as error:
                errors.append(unexpected(f"object {ordinal} of {_name(work)}", error))
                statuses += [known] if known is not None else []
            else:
                if manifest.ref is not None:
                    statuses.append(manifest_status(ordinal, manifest.ref, obj))
        self._held.pop(Request(work.metadata.namespace, work.metadata.name), None)
        if not errors:
            self._arrived(work)
        verdict = applied(len(work.manifests), [str(error) for error in errors])
        await self._report(work, [dispatching(work), verdict], statuses)
        if errors and all(isinstance(error, NotOwned) for error in errors):
            return ()  # until the member is ours
        if errors and all(isinstance(error, InvalidManifest) for error in errors):
            raise TerminalError(verdict.message)
        return errors

    def _check_outdated(self, work: Work) -> None:
        key = Request(work.metadata.namespace, work.metadata.name)
        if at_most := self._outdated(work):
            now = self._clock.monotonic()
            waited = now - self._held.setdefault(key, now)
            if waited < at_most:  # soon at first, and less and less often
                raise _Outdated(min(max(waited, _OUTDATED_SECONDS), at_most - waited))
        self._held.pop(key, None)

    async def _clean_up(self, work: Work, name: str, cluster: Cluster | None) -> Sequence[Exception]:
        if wk.EXECUTION_FINALIZER not in work.metadata.finalizers:
            return ()  # then nothing was applied: the finalizer is put there before
        if cluster is not None:
            try:
                await self._remove_objects(work, name, cluster)
            except KubeError as error:
                return [error]
            except (MemberUnavailable, NotSynced):
                raise
            except Exception as error:
                return [unexpected(f"objects of {_name(work)}", error)]
        # Before the answer comes: it may end the Work, and that is told at once.
        key = Request(work.metadata.namespace, work.metadata.name)
        self._cleaned.add(key)
        try:
            await self._patch(work, plan_remove_finalizer(work, wk.EXECUTION_FINALIZER))
        except KubeError:
            self._cleaned.discard(key)
            raise
        return ()

    async def _remove_objects(self, work: Work, name: str, cluster: Cluster) -> None:
        leaving = cluster.metadata.deletion_timestamp is not None
        if not cluster.is_ready:
            if not leaving:
                raise MemberUnavailable(f"cluster {name} is not ready")
            return
        try:
            for manifest in work.manifests:
                stays = work.preserve_resources_on_deletion or await self._outlives(manifest, leaving=leaving)
                await self._writer.remove(work, name, manifest, release=stays)
        except NotOwned:
            return
        except MemberUnavailable:
            if not leaving:
                raise

    async def _outlives(self, manifest: Manifest, *, leaving: bool) -> bool:
        if leaving or manifest.ref is None or not carries_namespace(manifest):
            return preserve_on_deletion(manifest, None, leaving=leaving)
        return preserve_on_deletion(manifest, await self._find_namespace(manifest.ref.name), leaving=False)

    async def _patch(self, work: Work, body: JsonObject | None) -> Work:
        meta = work.metadata
        return await self._works.patch(meta.namespace, meta.name, body) if body is not None else work

    async def _report(
        self, work: Work, conditions: Sequence[Condition], statuses: Sequence[JsonObject] | None = None
    ) -> None:
        """Write the status if it changed, in one request, and then tell of the changes."""
        now = self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = plan_status(work, conditions, statuses, now)
        if patch is None:
            return
        try:
            await self._works.patch(work.metadata.namespace, work.metadata.name, patch, subresource="status")
        except NotFound:
            return
        for condition in conditions:
            if not equal_ignoring_time(find_condition(work.conditions, condition.type), condition):
                self._events.condition_changed(work, condition)
        for status in statuses or ():
            self._events.status_seen(work, status)

    # --- what to look at when something changes ----------------------------------------------------------------------

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """All Works of the cluster."""
        return self.requests_for_cluster_name(event.object.name)

    def requests_for_cluster_name(self, cluster: str) -> Iterable[Request]:
        """All Works of the cluster."""
        return [Request(*key) for key in sorted(self._works.store.index_keys(BY_EXECUTION_CLUSTER, cluster))]

    def requests_for_object(self, cluster: str, event: Event[Unstructured]) -> Iterable[Request]:
        """Works that must look at a change of a member's object.

        That is the Work that it says it was applied by, if the object was deleted or changed other than in a status
        that nobody reports; and those that failed for want of a namespace that is there now, or for an object in their
        way that is gone.
        """
        old, new = event.old, event.new
        if old is None:
            return () if event.initial else sorted(self._failed_for_namespace(cluster, event.object))
        if new is not None and not has_drifted(old, new) and reflected(old) == reflected(new):
            return ()
        found = set[Request]()
        work = owner_work_of(old) if is_managed(old) else None
        if work is not None and work.namespace == execution_namespace(cluster):
            found.add(Request(*work))
        if new is None:
            found |= self._failed_for_object(cluster, old)
        return sorted(found)

    def vanished(self, event: Event[Work]) -> str | None:
        """The cluster of a Work that ended before its objects were removed: somebody took the finalizer off.

        To be told of every end of a Work, once.
        """
        old = event.old
        if event.new is not None or old is None:
            return None
        key = Request(event.key.namespace, event.key.name)
        if key in self._cleaned:
            self._cleaned.discard(key)
            return None
        return cluster_of(old) if was_applied(old) and not old.suspend_dispatching else None

    def _failed_for_namespace(self, cluster: str, obj: Unstructured) -> set[Request]:
        resource = NAMESPACES.resource
        if (obj.content.get("apiVersion"), obj.content.get("kind")) != (resource.api_version, resource.kind):
            return set()
        return _failed(self._works.store.by_index(BY_MEMBER_NAMESPACE, (cluster, obj.metadata.name)))

    def _failed_for_object(self, cluster: str, obj: Unstructured) -> set[Request]:
        meta, content = obj.metadata, obj.content
        value = (cluster, content.get("apiVersion"), content.get("kind"), meta.namespace, meta.name)
        return _failed(self._works.store.by_index(BY_MEMBER_OBJECT, value))


def follow_members(
    objects: MemberObjectInformers, reconciler: ExecutionReconciler, enqueue: Callable[[Request], None]
) -> None:
    """Enqueue what the changes in the members, and their coming within reach, ask to be looked at."""

    def changed(cluster: str, event: Event[Unstructured]) -> None:
        for request in reconciler.requests_for_object(cluster, event):
            enqueue(request)

    def available(cluster: str) -> None:
        with at_priority(LOW):
            for request in reconciler.requests_for_cluster_name(cluster):
                enqueue(request)

    objects.subscribe(changed=changed, available=available)


def work_changed(event: Event[Work]) -> bool:
    """Whether spec or being deleted changed (both count a generation), or it is a resync."""
    old, new = event.old, event.new
    if old is None or new is None or old is new:
        return True
    before, after = old.metadata, new.metadata
    return (before.uid, before.generation, before.deletion_timestamp) != (
        after.uid,
        after.generation,
        after.deletion_timestamp,
    )


def cluster_changed(event: Event[Cluster]) -> bool:
    """Whether the cluster came, left or is leaving, turned ready, or changed its mode. Heartbeats are none of that."""
    old, new = event.old, event.new
    if old is None or new is None or old is new:
        return True
    if new.is_ready and not old.is_ready:
        return True
    return (old.is_push, old.metadata.deletion_timestamp) != (new.is_push, new.metadata.deletion_timestamp)


def _name(work: Work) -> str:
    return f"Work {work.metadata.namespace}/{work.metadata.name}"


def _failed(works: Iterable[Work]) -> set[Request]:
    return {Request(work.metadata.namespace, work.metadata.name) for work in works if not was_applied(work)}
