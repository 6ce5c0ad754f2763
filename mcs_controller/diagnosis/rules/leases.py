"""What a Lease says of its holder, and how the process that should hold one begins anew."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from mcs_controller.diagnosis.findings import CONTROL_PLANE
from mcs_controller.diagnosis.world import (
    AGENT_LEASE,
    CLUSTERS,
    CRDS,
    LEASES,
    Unseen,
    annotations_of,
    dig,
    moment,
    text,
)
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcs_controller.diagnosis.world import Kind, Object, Snapshot, World

MANAGER: Final = "mcs-controller-manager"
KARMADAS: Final = "karmada-controller-manager"
KARMADAS_AGENT: Final = "karmada-agent"

TAKEOVER_SECONDS: Final = 10.0
"""A standby, or a Pod that is restarted, has taken the Lease by then: before that, it is an ordinary fail-over."""


def overdue_seconds(world: World, lease: Object) -> float:
    """How long nobody has held a Lease; 0 or less while somebody does."""
    renewed = moment(lease, "spec", "renewTime")
    if renewed is None:
        return math.inf
    duration = dig(lease, "spec", "leaseDurationSeconds")
    held = duration if text(lease, "spec", "holderIdentity") and isinstance(duration, int) else 0
    return (world.now - renewed).total_seconds() - held


def described(world: World, lease: Object) -> str:
    """A Lease as evidence."""
    renewed = moment(lease, "spec", "renewTime")
    when = f"renewed {(world.now - renewed).total_seconds():.0f} s ago" if renewed is not None else "never renewed"
    holder = text(lease, "spec", "holderIdentity") or "nobody"
    return f"holder {holder}, {when}, duration {dig(lease, 'spec', 'leaseDurationSeconds')} s"


def said_by(lease: Object | None) -> Mapping[str, str]:
    """What the holder of a Lease says there of itself; nothing if it does not say, or another one said it."""
    said, holder = annotations_of(lease), text(lease, "spec", "holderIdentity")
    return said if holder and said.get(wk.LEADER) == holder else {}


def runs_standalone(host: Snapshot) -> bool:
    """Whether the leader applies Works itself; unless it says so, where Clusters are no kind of Karmada's own."""
    controllers = said_by(_seen(host, LEASES, MANAGER, wk.SYSTEM_NAMESPACE)).get(wk.LEADER_CONTROLLERS)
    if controllers is None:
        return host.get(CRDS, CLUSTERS.group_resource) is not None
    return "execution" in controllers.split(",")


def restart(world: World, cluster: str = CONTROL_PLANE, *, executes: bool = False) -> str:
    """The command that restarts whoever serves MultiClusterServices, or, if it `executes`, applies Works.

    In a Pull cluster an agent does what is done there. Where Karmada's own is there, too, that one applies Works.
    """
    if text(_seen(world.host, CLUSTERS, cluster), "spec", "syncMode") == "Pull":
        leases = {
            AGENT_LEASE: (AGENT_LEASE, execution_namespace(cluster)),
            KARMADAS_AGENT: (cluster, wk.CLUSTER_NAMESPACE),
        }
    else:
        leases = {name: (name, wk.SYSTEM_NAMESPACE) for name in (MANAGER, KARMADAS)}
        cluster = CONTROL_PLANE
    there = [name for name, lease in leases.items() if _seen(world.host, LEASES, *lease) is not None]
    name = (there or list(leases)[:1])[-1 if executes else 0]
    return f"{world.kubectl(cluster)} -n {wk.SYSTEM_NAMESPACE} rollout restart deployment {name}"


def _seen(host: Snapshot, kind: Kind, name: str, namespace: str = "") -> Object | None:
    """An object of the control plane, if it was seen: what is not is no reason to say nothing."""
    try:
        return host.get(kind, name, namespace)
    except Unseen:
        return None
