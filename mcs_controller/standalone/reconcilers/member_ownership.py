"""member-ownership-controller: which control plane each member belongs to, read at the start of each connection.

Key: the Cluster. Watches Clusters that come, go or change their annotations (`cluster_changed`), and members that can
be talked to. For each connection two GETs are sent to the member and nothing is written, unless its object is missing
or names another Cluster. What is known is for `ExecutionReconciler` and `StaleObjectsReconciler`: until it is known,
nothing is written to the member.

The rules are in `domain.member_ownership`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from informers.errors import ApiError, Conflict, KubeError, NotFound, Unauthorized
from informers.meta import find_condition
from informers.resource import Resource
from mcs_controller.api.common import parse_time, unstructured_decoder
from mcs_controller.api.shapes import CONFIGMAP
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.cluster_conditions import ClusterConditions
from mcs_controller.standalone.domain.member_ownership import (
    IDENTITY_NAMESPACE,
    OBJECT,
    Identities,
    Ownership,
    Standing,
    condition_of,
    plan_ownership,
)
from mcs_controller.standalone.member_objects import NAMESPACES, NotSynced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.client.client import ApiClient
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import Unstructured
    from mcs_controller.members.sync_mode import SyncModeFilter
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.standalone.member_objects import Member, Members
    from workqueue.clock import Clock

_log = logging.getLogger(__name__)

CONFIGMAPS: Final = Resource(
    group="", version="v1", plural="configmaps", kind="ConfigMap", decode=unstructured_decoder(CONFIGMAP)
)

_LOOK_AGAIN_SECONDS: Final = 60.0
"""While a member is not known to be ours: somebody may delete the object there, or give us the rights for it."""


class Ownerships(Protocol):
    """The ownership of members, for controllers that write to them."""

    def of(self, cluster: str) -> Ownership:
        """Whose the member is. Raises NotSynced as long as it has not been read on the present connection."""
        ...

    async def verify(self, cluster: str) -> Ownership:
        """The same, read anew, for those about to do what a member's new owner would resent.

        Raises:
            NotSynced: it was never read.
            KubeError: what the member says.
        """
        ...


class MemberOwnershipReconciler:
    """Reads, and if need be creates, each member's ownership object; reports conflicts on the Cluster."""

    def __init__(
        self,
        *,
        clusters: CachedClient[Cluster],
        members: Members,
        control_plane: Callable[[], Awaitable[str]],
        recorder: Recorder,
        clock: Clock,
        sync_modes: SyncModeFilter,
        enqueue: Callable[[Request], None],
    ) -> None:
        """Reads nothing yet.

        Args:
            clusters: all Clusters.
            members: who has the connections.
            control_plane: tells its uid, empty if it has none.
            recorder: for events.
            clock: for the times of conditions.
            sync_modes: which clusters are this process's.
            enqueue: where the Cluster goes that turns out to stand for the member of another one, so that both say it.
        """
        self._clusters = clusters
        self._members = members
        self._control_plane = control_plane
        self._conditions = ClusterConditions(clusters, recorder, clock, component=wk.OWNERSHIP_CONTROLLER)
        self._sync_modes = sync_modes
        self._known: dict[str, tuple[Member, Ownership]] = {}
        self._uids: dict[str, str] = {}
        """Uids of the members of those Clusters that have been connected."""
        self._listeners: list[Callable[[str], None]] = []
        self._enqueue = enqueue

    def subscribe(self, changed: Callable[[str], None]) -> None:
        """Hear of members of which more is known now, or something else; between two awaits, so only enqueue."""
        self._listeners.append(changed)

    def of(self, cluster: str) -> Ownership:
        """See `Ownerships.of`."""
        known = self._known.get(cluster)
        if known is None or known[0] is not self._members.get(cluster):
            raise NotSynced(f"whose member cluster {cluster} is has not been read yet")
        return known[1]

    async def verify(self, cluster: str) -> Ownership:
        """See `Ownerships.verify`."""
        self.of(cluster)
        await self._probe(cluster)
        return self.of(cluster)

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what API servers say."""
        ownership = await self._probe(request.name)
        if ownership is None or ownership.owned:
            return Result()
        return Result(requeue_after=_LOOK_AGAIN_SECONDS)

    async def _probe(self, name: str) -> Ownership | None:
        cluster, member = self._clusters.get("", name), self._members.get(name)
        if cluster is None or member is None or not self._sync_modes.owns(name, cluster):
            self._known.pop(name, None)
            self._uids.pop(name, None)
            return None
        ownership = await self._read(cluster, member)
        before = self._known.get(name)
        self._known[name] = member, ownership
        if before is None or before[0] is not member or before[1].standing is not ownership.standing:
            for listener in self._listeners:
                listener(name)
        twin = ownership.twin
        if twin and (before is None or before[1].twin != twin):
            self._enqueue(Request("", twin))
        if twin or not self._may_have_twin(name):
            await self._conditions.report(name, condition_of(ownership))
        return ownership

    def _may_have_twin(self, name: str) -> bool:
        """Whether it was said that there is one, and not all members are known that it could be: then that stays."""
        cluster = self._clusters.get("", name)
        said = find_condition(cluster.conditions, wk.MEMBER_OWNED) if cluster is not None else None
        if said is None or said.reason != wk.REGISTERED_TWICE:
            return False
        return any(one.name not in self._uids for one in self._clusters.store.values())

    async def _read(self, cluster: Cluster, member: Member) -> Ownership:
        own = await self._control_plane()
        if not own:
            return Ownership(Standing.UNKNOWN, problem=f"this control plane has no Namespace {IDENTITY_NAMESPACE}")
        self._uids[cluster.name] = uid = await _uid_of(member.client)
        others = {one.name: self._uids.get(one.name, "") for one in self._clusters.store.values()}
        others.pop(cluster.name, None)
        try:
            observed = await _found(member.client)
            plan = plan_ownership(cluster, Identities(own, uid, others), observed)
            written: Unstructured | None = None
            if plan.create is not None:
                written = await member.client.create(CONFIGMAPS, plan.create, wk.SYSTEM_NAMESPACE)
            elif plan.patch is not None:
                written = await member.client.patch(CONFIGMAPS, OBJECT, plan.patch, wk.SYSTEM_NAMESPACE)
        except ApiError as error:
            if error.retryable or isinstance(error, (Conflict, Unauthorized)):
                raise
            problem = f"ConfigMap {wk.SYSTEM_NAMESPACE}/{OBJECT} there: {error}"
            return Ownership(Standing.UNKNOWN, problem=problem)
        if written is None:
            return plan.ownership
        _log.info("Recorded the control plane of the member", extra={"cluster": cluster.name, "control_plane": own})
        return replace(plan.ownership, since=parse_time(written.metadata.creation_timestamp))

    # --- what to look at when something changes ----------------------------------------------------------------------

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """The Cluster, and those that share its member, or did."""
        name = event.key.name
        uid = self._uids.get(name)
        twins = {other for other, known in self._uids.items() if uid and known == uid}
        return [Request("", one) for one in sorted(twins | {name})]


async def _found(client: ApiClient) -> Unstructured | None:
    try:
        return await client.get(CONFIGMAPS, OBJECT, wk.SYSTEM_NAMESPACE)
    except NotFound:
        return None


async def _uid_of(client: ApiClient) -> str:
    """Uid of a member; empty if we may not know it."""
    try:
        return (await client.get(NAMESPACES.resource, IDENTITY_NAMESPACE)).metadata.uid
    except KubeError as error:
        if error.retryable or isinstance(error, Unauthorized):
            raise
        return ""


def cluster_changed(event: Event[Cluster]) -> bool:
    """Whether the Cluster came or went, is leaving, or has other annotations: what people confirm is said there."""
    old, new = event.old, event.new
    if old is None or new is None:
        return True
    before, after = old.metadata, new.metadata
    return (before.annotations, before.deletion_timestamp) != (after.annotations, after.deletion_timestamp)
