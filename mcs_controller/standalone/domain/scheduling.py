"""Which clusters a ResourceBinding goes to (contract 4.1).

Only as much of a scheduler as this feature needs: clusters listed by name, for kinds without replicas. A placement that
asks for more is refused with words, not half obeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.meta import Condition, find_condition
from mcs_controller.api.shapes import decode_value
from mcs_controller.domain import conditions
from mcs_controller.domain import well_known as wk
from mcs_controller.standalone.domain.policy_spec import is_duplicated

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from mcs_controller.api.cluster import Cluster, Taint
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.resourcebinding import ResourceBinding

SUCCESS_MESSAGE = "Binding has been scheduled successfully."

_MAX_MESSAGE = 4096
"""Characters; enough for some dozens of rejected clusters."""

_OWNER_LABELS: Final = (*wk.POLICY_LABELS, wk.BINDING_MANAGED_BY)
"""A binding without any of these was not made to be scheduled."""

BY_PLACED_CLUSTER: Final = "placed-cluster"
"""ResourceBindings by the clusters that their placement names."""


def _placed_clusters(binding: ResourceBinding) -> Iterable[Hashable]:
    return binding.cluster_names


PLACED_BINDING_INDEXES: Mapping[str, Callable[[ResourceBinding], Iterable[Hashable]]] = {
    BY_PLACED_CLUSTER: _placed_clusters
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The decision for one ResourceBinding.

    Attributes:
        patch: merge patch of the binding (annotation and `spec.clusters`); None if both are right.
        clusters: where it goes.
        condition: condition Scheduled.
    """

    patch: JsonObject | None
    clusters: tuple[str, ...]
    condition: Condition

    @property
    def succeeded(self) -> bool:
        """Whether some cluster was found."""
        return self.condition.status == "True"


def is_schedulable(binding: ResourceBinding) -> bool:
    """Whether the binding is this scheduler's to place, now."""
    return _is_ours(binding) and _has_owner(binding)


def leave_removed_clusters(
    binding: ResourceBinding, cluster_of: Callable[[str], Cluster | None]
) -> list[JsonObject] | None:
    """The JSON patch by which a binding that nobody owns any more lets go of Clusters that are being removed.

    What was placed for a MultiClusterService or a policy that is gone stays where it is. But a Cluster cannot leave as
    long as a binding lists it, and nobody else is left to take it from the list. None if there is nothing to do.
    """
    if not _is_ours(binding) or _has_owner(binding) or wk.APPLIED_PLACEMENT not in binding.metadata.annotations:
        return None
    leaving = [n for n, target in enumerate(binding.spec.clusters) if _is_leaving(cluster_of(target.name))]
    if not leaving:
        return None
    # From the end, so that the numbers stay right. What else the list says of the others is not ours to write again.
    removals = [{"op": "remove", "path": f"/spec/clusters/{n}"} for n in reversed(leaving)]
    version = binding.metadata.resource_version
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}, *removals]


def _is_ours(binding: ResourceBinding) -> bool:
    if binding.metadata.deletion_timestamp is not None:
        return False
    if binding.spec.scheduler_name not in ("", wk.DEFAULT_SCHEDULER):
        return False
    suspension = binding.spec.suspension
    return suspension is None or not suspension.scheduling


def _has_owner(binding: ResourceBinding) -> bool:
    return any(binding.metadata.labels.get(label) for label in _OWNER_LABELS)


def _is_leaving(cluster: Cluster | None) -> bool:
    return cluster is not None and cluster.metadata.deletion_timestamp is not None


def schedule(binding: ResourceBinding, cluster_of: Callable[[str], Cluster | None]) -> Schedule:
    """Decide where the binding goes.

    Deterministic, and a decision that was carried out is decided the same way again.

    Args:
        binding: a schedulable one.
        cluster_of: the Cluster of a name.
    """
    unsupported = _unsupported(binding.spec.placement or {})
    if unsupported:
        # Whatever placed it so far knew more than we do: its clusters stay.
        message = f"this scheduler does not support placement fields {', '.join(unsupported)}"
        chosen = tuple(target.name for target in binding.spec.clusters)
        return Schedule(None, chosen, _failed(wk.SCHEDULED_UNSCHEDULABLE, message))
    scheduled = [target.name for target in binding.spec.clusters]
    fitting: list[str] = []
    rejected: list[str] = []
    for name in dict.fromkeys(binding.cluster_names):
        why = _rejection(binding, name, cluster_of(name), is_scheduled=name in scheduled)
        if why is None:
            fitting.append(name)
        else:
            rejected.append(f"{name} {why}")
    # Those that were chosen before keep their order. Sorting them as well would put a cluster that has just been
    # appended somewhere else the next time round, for nothing.
    kept = [name for name in dict.fromkeys(scheduled) if name in fitting]
    clusters = (*kept, *sorted(set(fitting) - set(kept)))
    if clusters:
        condition = Condition(type=wk.SCHEDULED, status="True", reason=wk.SCHEDULED_SUCCESS, message=SUCCESS_MESSAGE)
    else:
        reasons = "; ".join(sorted(rejected)) or "the placement names none"
        message = f"0/{len(rejected)} clusters are available: {reasons}"
        condition = _failed(wk.SCHEDULED_NO_CLUSTER_FIT, message)
    return Schedule(_patch(binding, clusters), clusters, condition)


def plan_schedule_status(binding: ResourceBinding, decision: Schedule, now: str) -> JsonObject | None:
    """Merge patch of the status; None if it says so already.

    Args:
        binding: as it is after the decision's own patch, whose generation that patch may have raised.
        decision: what `schedule` decided.
        now: RFC 3339, in UTC.
    """
    merged = conditions.merge(binding.status.conditions, [decision.condition], now)
    status: JsonObject = {}
    if merged != binding.status.conditions:
        status["conditions"] = msgspec.to_builtins(merged)
    if decision.succeeded and binding.status.scheduler_observed_generation != binding.metadata.generation:
        status["schedulerObservedGeneration"] = binding.metadata.generation
    if not status:
        return None
    if decision.succeeded:
        status["lastScheduledTime"] = now
    return {"metadata": {"resourceVersion": binding.metadata.resource_version}, "status": status}


def is_news(binding: ResourceBinding, decision: Schedule) -> bool:
    """Whether the decision differs from what the binding said before in anything worth an event."""
    if decision.succeeded and tuple(target.name for target in binding.spec.clusters) != decision.clusters:
        return True
    before = find_condition(binding.status.conditions, wk.SCHEDULED)
    return not conditions.equal_ignoring_time(before, decision.condition)


def _failed(reason: str, message: str) -> Condition:
    capped = message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"
    return Condition(type=wk.SCHEDULED, status="False", reason=reason, message=capped)


def _unsupported(placement: Mapping[str, Any]) -> list[str]:
    known = ("clusterAffinity", "clusterTolerations", "replicaScheduling")
    fields = [name for name, value in placement.items() if value and name not in known]
    if (replicas := placement.get("replicaScheduling")) and not is_duplicated(replicas):
        fields.append("replicaScheduling")
    affinity = placement.get("clusterAffinity") or {}
    fields += [f"clusterAffinity.{name}" for name, value in affinity.items() if value and name != "clusterNames"]
    return sorted(fields)


def _rejection(binding: ResourceBinding, name: str, cluster: Cluster | None, *, is_scheduled: bool) -> str | None:
    """Why the binding cannot go to the cluster. One that it went to already is kept where a new one is not taken."""
    if cluster is None:
        return "is not registered"
    if cluster.metadata.deletion_timestamp is not None:
        return "is being removed"
    if any(task.from_cluster == name for task in binding.spec.graceful_eviction_tasks):
        return "is being evicted"
    if is_scheduled:
        return None
    resource = binding.spec.resource
    if cluster.serves(resource.api_version, resource.kind) != "Enabled":
        return f"is not known to serve {resource.api_version} {resource.kind}"
    tolerations = (binding.spec.placement or {}).get("clusterTolerations") or ()
    for taint in cluster.spec.taints:
        if taint.effect in (wk.NO_SCHEDULE, wk.NO_EXECUTE) and not any(_tolerates(one, taint) for one in tolerations):
            return f"has the taint {taint.key}:{taint.effect}"
    return None


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """As core/v1 Toleration.ToleratesTaint."""
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    key = toleration.get("key") or ""
    if toleration.get("operator") == "Exists":
        return key in ("", taint.key)
    return key == taint.key and (toleration.get("value") or "") == taint.value


def _patch(binding: ResourceBinding, clusters: tuple[str, ...]) -> JsonObject | None:
    meta = binding.metadata
    metadata: JsonObject = {}
    body: JsonObject = {}
    placement = binding.spec.placement
    if placement is not None and _applied_placement(binding) != placement:
        metadata["annotations"] = {wk.APPLIED_PLACEMENT: msgspec.json.encode(placement).decode()}
    if tuple(target.name for target in binding.spec.clusters) != clusters:
        # An empty list is cleared, as the field is optional.
        body["spec"] = {"clusters": [{"name": name} for name in clusters] or None}
    if not metadata and not body:
        return None
    return {"metadata": metadata | {"resourceVersion": meta.resource_version}} | body


def _applied_placement(binding: ResourceBinding) -> object:
    """The placement that was decided on last, as JSON, since writers order its keys differently; None if unreadable."""
    try:
        placement: object = decode_value(binding.metadata.annotations.get(wk.APPLIED_PLACEMENT, "").encode())
    except msgspec.DecodeError:
        return None
    return placement
