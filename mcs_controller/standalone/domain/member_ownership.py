"""Ownership of a member by a control plane: the object that records it there, and when writes there are allowed.

A control plane is known by the uid of its own Namespace `kube-system`: it is in etcd, so a restart, another replica or
a restored backup keeps it, and a control plane that was set up anew has another one. The first control plane whose
execution controller connects to a member leaves its uid there, in the ConfigMap `OBJECT`. From then on each connection
begins with reading it. A member that carries another control plane's uid is only read from until somebody confirms with
the annotation `wk.TAKE_OVER` on its Cluster, which names the uid to be replaced.

Where the object can be neither read nor made (no such right, no such namespace), nobody knows whose the member is: it
is written to as without all this, but nothing is removed that a deleted Work does not ask for (`stale_objects`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from informers.meta import Condition
from mcs_controller.api.common import parse_time
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import JsonObject, Unstructured

IDENTITY_NAMESPACE: Final = "kube-system"
"""Its uid identifies a cluster, as everywhere in the field."""

OBJECT: Final = "mcs-controller-member-ownership"
"""The ConfigMap in a member's namespace `karmada-system`."""

_CONTROL_PLANE: Final = "controlPlane"
_CLUSTER: Final = "cluster"
_EARLIER: Final = "earlierClusters"
_MEMBER: Final = "member"
_ABOUT: Final = "kubernetes.io/description"
_DESCRIPTION: Final = (
    "Says which control plane writes to this cluster: controlPlane is the uid of that one's Namespace kube-system, "
    "cluster the name of the Cluster there, earlierClusters those it had before, member the uid of this cluster's "
    "Namespace kube-system. "
    "See docs/member-ownership.md before you change or delete it."
)


class Standing(Enum):
    """The relation of a control plane to a member."""

    OWNED = "owned"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ownership:
    """The ownership of a member, as far as it is known.

    Attributes:
        standing: whose it is.
        owner: uid of the control plane that it belongs to, if it is another one; empty if the object names none.
        since: when the object was made, if the member is ours. What is younger was written with us as its owner.
        earlier: names of Clusters that stood for the member before.
        problem: why it is not known whose the member is.
        twin: another Cluster that stands for the same member.
    """

    standing: Standing
    owner: str = ""
    since: datetime | None = None
    earlier: frozenset[str] = frozenset()
    problem: str = ""
    twin: str = ""

    @property
    def owned(self) -> bool:
        """Whether the member is this control plane's."""
        return self.standing is Standing.OWNED

    @property
    def foreign(self) -> bool:
        """Whether it is another one's, so that nothing may be written or deleted there."""
        return self.standing is Standing.FOREIGN

    def __str__(self) -> str:
        """Why nothing is written there, for people."""
        whose = f"control plane {self.owner}" if self.owner else "a control plane that is not named"
        return (
            f"the member belongs to {whose} (ConfigMap {wk.SYSTEM_NAMESPACE}/{OBJECT} there): "
            "nothing is written or deleted in it"
        )


@dataclass(frozen=True, slots=True)
class OwnershipPlan:
    """The writes, and the ownership after them.

    Attributes:
        create: body of the object, if there is none.
        patch: merge patch of the object.
        ownership: what holds once that is written.
    """

    ownership: Ownership
    create: JsonObject | None = None
    patch: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities of this control plane, of the member, and of the other members.

    Attributes:
        control_plane: uid of this control plane.
        member: uid of the member; empty if it cannot be read.
        others: the other Clusters of this control plane, with their members' uids, empty as long as they are unknown.
    """

    control_plane: str
    member: str = ""
    others: Mapping[str, str] = field(default_factory=dict)


def plan_ownership(cluster: Cluster, who: Identities, observed: Unstructured | None) -> OwnershipPlan:
    """Whose the member of this Cluster is, and what to leave there.

    Args:
        cluster: as it is.
        who: control plane and member.
        observed: the member's object, if there is one.
    """
    twin = twin_of(cluster.name, who)
    data = {_CONTROL_PLANE: who.control_plane, _CLUSTER: cluster.name} | ({_MEMBER: who.member} if who.member else {})
    if observed is None:
        ownership = Ownership(Standing.OWNED, twin=twin)
        # A cluster that leaves is let go: nobody is to find there that it still belongs to somebody.
        leaving = cluster.metadata.deletion_timestamp is not None
        return OwnershipPlan(ownership, create=None if leaving else _body(data))
    known = observed.content.get("data") or {}
    owner = str(known.get(_CONTROL_PLANE) or "")
    confirmed = bool(owner) and cluster.metadata.annotations.get(wk.TAKE_OVER) == owner
    if owner != who.control_plane and not confirmed:
        return OwnershipPlan(Ownership(Standing.FOREIGN, owner=owner, twin=twin))
    named = str(known.get(_CLUSTER) or "")
    # Of two Clusters for one member the one that came first stays named, or each start would write the other one.
    if owner == who.control_plane and named in who.others and who.others[named] in ("", who.member):
        data[_CLUSTER] = named
    earlier = {name for name in str(known.get(_EARLIER) or "").split(",") if name} | ({named} if named else set())
    earlier -= {data[_CLUSTER]}
    if earlier:
        data[_EARLIER] = ",".join(sorted(earlier))
    patch: JsonObject | None = None
    if any(known.get(key) != value for key, value in data.items()):
        patch = {"metadata": {"resourceVersion": observed.metadata.resource_version}, "data": data}
    since = parse_time(observed.metadata.creation_timestamp)
    return OwnershipPlan(Ownership(Standing.OWNED, since=since, earlier=frozenset(earlier), twin=twin), patch=patch)


def twin_of(cluster: str, who: Identities) -> str:
    """Another Cluster that stands for the same member; empty if none is known."""
    return min((name for name, uid in who.others.items() if uid and uid == who.member and name != cluster), default="")


def condition_of(ownership: Ownership) -> Condition:
    """Condition `MemberOwned` of a Cluster, for an ownership."""
    if ownership.foreign:
        confirm = (
            f"annotate the Cluster with {wk.TAKE_OVER}={ownership.owner}" if ownership.owner else "delete it there"
        )
        return _condition("False", wk.OWNED_BY_ANOTHER, f"{ownership}; to take it over, {confirm}")
    if not ownership.owned:
        message = (
            f"cannot tell which control plane the member belongs to: {ownership.problem}; "
            "objects of Works that no longer exist are not removed there"
        )
        return _condition("Unknown", wk.OWNERSHIP_UNKNOWN, message)
    if ownership.twin:
        message = f"the same member is registered as Cluster {ownership.twin}, too; delete one of the two"
        return _condition("True", wk.REGISTERED_TWICE, message)
    return _condition("True", wk.OWNED, "the member belongs to this control plane")


def _condition(status: str, reason: str, message: str) -> Condition:
    return Condition(type=wk.MEMBER_OWNED, status=status, reason=reason, message=message)


def _body(data: JsonObject) -> JsonObject:
    metadata = {"name": OBJECT, "namespace": wk.SYSTEM_NAMESPACE, "annotations": {_ABOUT: _DESCRIPTION}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
