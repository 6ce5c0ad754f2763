"""Objects in a member whose Works are gone: which of them are removed, and when that is left to people.

An object is *stale* if it carries the marks of a Work (`karmada.io/managed`, `work.karmada.io/namespace` and `/name`)
that does not exist, and was to exist here: in the execution namespace of this very cluster, or of one that is not
registered any more and stood for the same member. That happens when a cluster is unjoined while nobody can reach it,
is renamed, or when somebody takes the finalizers off a Work; or when the control plane is restored from a backup.

    slices of the dispatcher    removed at once: nobody else makes such slices, and their endpoints may be dead
    Services, imported slices   removed when they have been stale for `GRACE_SECONDS`
    namespaces                  stay: all that others have in them would go along
    everything else             stays: it may be a running workload, and its only copy

What is about to get its Work (a cluster that joins again gets its Works one after the other) is not stale.

Nothing is removed without a person's consent

- if more than half of the member's managed objects would go, and more than `FEW`: then the control plane is more likely
  to be wrong than the member, for instance restored without its Works;
- if it is older than the ownership of the member: then this control plane may never have made it;
- if it names a cluster that is not registered and is not known to have stood for this member: the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from informers.meta import Condition, ObjectKey
from mcs_controller.api.common import parse_time
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.naming import (
    NotAnExecutionNamespace,
    cluster_of_namespace,
    dispatched_slice_names,
)
from mcs_controller.domain.selection import selects_cluster
from mcs_controller.domain.works import Role, cluster_of, role_of
from mcs_controller.standalone.domain.execution import is_managed, owner_work_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from informers.cache.store import Store
    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work

GRACE_SECONDS: Final = 60.0
"""For the Work of a Service to come back: with the Service its cluster IP and its DNS name would go."""

UNINFORMED_GRACE_SECONDS: Final = 15.0
"""The same for slices, where nobody can tell which Works are about to be made: in an agent."""

FEW: Final = 4
"""So many objects may go at once whatever their share is."""

_TOLD: Final = 5
"""Names in a message."""


class Fate(Enum):
    """The state of an object of a member: in order, stale, or kept."""

    FINE = "fine"
    COMING = "its Work is about to be made"
    STALE = "stale"
    STRANGE = "stale, if this control plane has made it"
    KEPT = "stale, but stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The facts beside the member's objects that decide about them.

    Attributes:
        cluster: the member's name.
        exists: whether there is a Work of this namespace and name.
        registered: whether there is a Cluster of this name.
        earlier: names of Clusters that stood for the member before.
        carried: whether a Work of the cluster carries the object, which will take it over.
        coming: whether such a Work is about to be made; None if that cannot be known here.
        owned_since: when the ownership of the member began; None if that cannot be read.
    """

    cluster: str
    exists: Callable[[str, str], bool]
    registered: Callable[[str], bool]
    earlier: Collection[str]
    carried: Callable[[Unstructured], bool]
    coming: Callable[[Unstructured], bool] | None
    owned_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalPlan:
    """The plan for a member's stale objects.

    Attributes:
        remove: to be deleted now.
        seen: uids of all that is stale, with the time (monotonic) when that was first seen.
        look_again: in how many seconds to plan anew, if nothing changes before; None for never.
        held: what is left to people.
        why_held: in words.
        kept: stale objects of kinds that are never removed.
    """

    remove: tuple[Unstructured, ...] = ()
    seen: Mapping[str, float] = field(default_factory=dict)
    look_again: float | None = None
    held: tuple[Unstructured, ...] = ()
    why_held: str = ""
    kept: tuple[Unstructured, ...] = ()


def fate_of(obj: Unstructured, around: Surroundings) -> Fate:
    """What becomes of one object."""
    named = owner_work_of(obj)
    if not is_managed(obj) or named is None:
        return Fate.FINE
    try:
        cluster = cluster_of_namespace(named.namespace)
    except NotAnExecutionNamespace:
        return Fate.FINE
    if cluster != around.cluster and around.registered(cluster):
        return Fate.FINE
    if around.exists(*named) or around.carried(obj):
        return Fate.FINE
    if around.coming is not None and around.coming(obj):
        return Fate.COMING
    removable = _is_service(obj) or _manager_of(obj) in wk.SLICE_MANAGERS
    if cluster == around.cluster or cluster in around.earlier:
        return Fate.STALE if removable else Fate.KEPT
    return Fate.STRANGE if removable else Fate.FINE


def is_copy_coming(obj: Unstructured, cluster: str, works: Store[Work], services: Store[MultiClusterService]) -> bool:
    """Whether the dispatcher is about to make a Work of this slice: it is collected, and wanted in the cluster."""
    if _manager_of(obj) != wk.SLICE_DISPATCHER:
        return False
    meta = obj.metadata
    service = (meta.namespace, meta.labels.get(wk.SERVICE_NAME, ""))
    mcs = services.get(ObjectKey(*service))
    if mcs is None or mcs.metadata.deletion_timestamp is not None or not selects_cluster(cluster, mcs.consumers):
        return False
    provider = meta.annotations.get(wk.PROVISION_CLUSTER, "")
    names = (
        work.ref.name
        for work in works.by_index(BY_SERVICE, service)
        if work.ref is not None and role_of(work) is Role.COLLECTED and cluster_of(work) == provider
    )
    return any(meta.name in dispatched_slice_names(provider, name) for name in names)


def is_bound(obj: Unstructured, cluster: str, bindings: Store[ResourceBinding]) -> bool:
    """Whether the object's binding says that it is to be in the cluster."""
    annotations = obj.metadata.annotations
    key = ObjectKey(annotations.get(wk.BINDING_NAMESPACE, ""), annotations.get(wk.BINDING_NAME, ""))
    binding = bindings.get(key)
    if binding is None or binding.metadata.deletion_timestamp is not None:
        return False
    return any(target.name == cluster for target in binding.spec.clusters)


def plan_removal(
    objects: Iterable[Unstructured],
    around: Surroundings,
    *,
    seen: Mapping[str, float],
    now: float,
    confirmed: Collection[str] = (),
) -> RemovalPlan:
    """What to do about the stale objects among a member's managed ones.

    Args:
        objects: all of the kinds that are known to be complete.
        around: see there.
        seen: of the plan before.
        now: monotonic time, in seconds.
        confirmed: uids of what people have agreed to lose.
    """
    fates: dict[Fate, list[Unstructured]] = {fate: [] for fate in Fate}
    total = 0
    for obj in objects:
        if owner_work_of(obj) is not None:
            total += obj.metadata.uid not in confirmed
            fates[fate_of(obj, around)].append(obj)
    stale = sorted(fates[Fate.STALE] + fates[Fate.STRANGE], key=_key)
    since = {obj.metadata.uid: seen.get(obj.metadata.uid, now) for obj in stale}
    strange = [obj for obj in fates[Fate.STRANGE] if obj.metadata.uid not in confirmed]
    ours = [obj for obj in fates[Fate.STALE] if obj.metadata.uid not in confirmed]
    mass = len(ours) > FEW and 2 * len(ours) > total
    older = [obj for obj in ours if not _is_younger(obj, around.owned_since)]
    reasons = {
        f"more than half of the {total} objects that Works have made there would go": ours if mass else [],
        "some are older than the ownership of the member by this control plane, which may not have made them": older,
        "some name a cluster that is not registered, and may be another control plane's": strange,
    }
    held = {obj.metadata.uid: obj for them in reasons.values() for obj in them}
    remove: list[Unstructured] = []
    waits: list[float] = [GRACE_SECONDS] if fates[Fate.COMING] else []
    for obj in stale:
        uid = obj.metadata.uid
        if uid in held:
            continue
        left = 0.0 if uid in confirmed else since[uid] + _grace(obj, around) - now
        if left > 0:
            waits.append(left)
        else:
            remove.append(obj)
    return RemovalPlan(
        remove=tuple(remove),
        seen=since,
        look_again=min(waits, default=None),
        held=tuple(sorted(held.values(), key=_key)),
        why_held="; ".join(reason for reason, them in reasons.items() if them),
        kept=tuple(sorted(fates[Fate.KEPT], key=_key)),
    )


def digest_of(objects: Iterable[Unstructured]) -> str:
    """A word that stands for exactly these objects: who confirms it agrees to lose these and no others."""
    uids = "\n".join(sorted(obj.metadata.uid for obj in objects))
    return hashlib.sha256(uids.encode()).hexdigest()[:12]


def condition_of(plan: RemovalPlan) -> Condition:
    """Condition `StaleObjectsRemoved` of the member's Cluster."""
    if not plan.held:
        message = "no object in the member names a Work that does not exist"
        return Condition(type=wk.STALE_OBJECTS_REMOVED, status="True", reason=wk.STALE_REMOVED, message=message)
    message = (
        f"{names_of(plan.held)} in the member name Works that do not exist; they are not removed by themselves, "
        f"because {plan.why_held}; "
        f"to have them removed, annotate the Cluster with {wk.REMOVE_STALE}={digest_of(plan.held)}"
    )
    return Condition(type=wk.STALE_OBJECTS_REMOVED, status="False", reason=wk.STALE_UNCONFIRMED, message=message)


def names_of(objects: Collection[Unstructured]) -> str:
    """Objects, for people: how many, and the first few."""
    names = [name_of(obj) for obj in objects]
    more = ", ..." if len(names) > _TOLD else ""
    return f"{len(names)} object{'' if len(names) == 1 else 's'} ({', '.join(names[:_TOLD])}{more})"


def name_of(obj: Unstructured) -> str:
    """Kind, namespace and name of an object."""
    meta = obj.metadata
    return f"{obj.content.get('kind')} {'/'.join(part for part in (meta.namespace, meta.name) if part)}"


def _manager_of(obj: Unstructured) -> str:
    is_slice = (obj.content.get("apiVersion"), obj.content.get("kind")) == (wk.SLICE_API_VERSION, wk.SLICE_KIND)
    return obj.metadata.labels.get(wk.SLICE_MANAGED_BY, "") if is_slice else ""


def _is_service(obj: Unstructured) -> bool:
    return (obj.content.get("apiVersion"), obj.content.get("kind")) == ("v1", wk.SERVICE_KIND)


def _grace(obj: Unstructured, around: Surroundings) -> float:
    if _manager_of(obj) != wk.SLICE_DISPATCHER:
        return GRACE_SECONDS
    return 0.0 if around.coming is not None else UNINFORMED_GRACE_SECONDS


def _is_younger(obj: Unstructured, since: datetime | None) -> bool:
    made = parse_time(obj.metadata.creation_timestamp)
    return since is not None and made is not None and made >= since


def _key(obj: Unstructured) -> tuple[str, str, str]:
    return str(obj.content.get("kind")), obj.metadata.namespace, obj.metadata.name
