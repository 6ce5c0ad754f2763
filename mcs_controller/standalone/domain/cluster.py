"""The plan of the cluster controller: execution namespace, finalizer and taints of a Cluster, and how it leaves.

Semantics: contract 4.1 (taints) and 4.4 (execution namespaces).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from informers.meta import find_condition
from informers.patches import plan_add_finalizer, plan_remove_finalizer
from mcs_controller.api.common import parse_time
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.collect import plan_leaving
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.works import Role, WorkWrite, cluster_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from datetime import datetime

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import Namespace
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work

BY_EXECUTION_CLUSTER: Final = "execution-cluster"
"""Works by the cluster whose execution namespace they are in."""

BY_SCHEDULED_CLUSTER: Final = "scheduled-cluster"
"""ResourceBindings by the clusters in `spec.clusters`."""


def _execution_cluster(work: Work) -> Iterable[Hashable]:
    cluster = cluster_of(work)
    return (cluster,) if cluster is not None else ()


def _scheduled_clusters(binding: ResourceBinding) -> Iterable[Hashable]:
    return tuple(target.name for target in binding.spec.clusters)


EXECUTION_WORK_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {BY_EXECUTION_CLUSTER: _execution_cluster}
SCHEDULED_BINDING_INDEXES: Mapping[str, Callable[[ResourceBinding], Iterable[Hashable]]] = {
    BY_SCHEDULED_CLUSTER: _scheduled_clusters
}


@dataclass(frozen=True, slots=True)
class Release:
    """Merge patch that takes the execution finalizer off a Work, whose member nobody can reach any more."""

    namespace: str
    name: str
    body: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """The writes for one Cluster, in the order of the fields.

    Attributes:
        empty: collected Works that must not go with a slice in them; all that follows has to wait for these writes.
        release: Works to take the execution finalizer off.
        taints: JSON patch of the Cluster; empty if its taints are right.
        finalizers: merge patch of the Cluster.
        create_namespace: body of the execution namespace.
        delete_namespace: the execution namespace, if it has to go.
        waiting_for: why the Cluster cannot go on yet; nothing more to write until that changes.
    """

    empty: tuple[WorkWrite, ...] = ()
    release: tuple[Release, ...] = ()
    taints: tuple[JsonObject, ...] = ()
    finalizers: JsonObject | None = None
    create_namespace: JsonObject | None = None
    delete_namespace: Namespace | None = None
    waiting_for: str = ""


AGENT_SILENCE_SECONDS: Final = 40.0
"""For the agent of a leaving Pull cluster to let its Works go: upstream's default of --cluster-monitor-grace-period."""


def has_given_up(cluster: Cluster, namespace: Namespace | None, now: datetime) -> bool:
    """Whether the agent of a leaving Pull cluster is not waited for any longer.

    Its rights are in the execution namespace and go with it. So it may have removed everything in its member and still
    be unable to say so.
    """
    since = parse_time(namespace.metadata.deletion_timestamp) if namespace is not None else None
    return not cluster.is_push and since is not None and (now - since).total_seconds() >= AGENT_SILENCE_SECONDS


def plan_cluster(
    cluster: Cluster,
    namespace: Namespace | None,
    works: Iterable[Work],
    bindings: Iterable[ResourceBinding],
    *,
    silent: bool = False,
) -> ClusterPlan:
    """What a Cluster needs: its execution namespace, its finalizer and its taints; or to be let go.

    The finalizer comes before the namespace: a Cluster that is deleted in between would leave the namespace behind.

    Args:
        cluster: as it is.
        namespace: its execution namespace, if there is one.
        works: what is in that namespace.
        bindings: ResourceBindings scheduled to the cluster.
        silent: see `has_given_up`.
    """
    if cluster.metadata.deletion_timestamp is not None:
        return _plan_removal(cluster, namespace, works, bindings, silent=silent)
    if namespace is not None and namespace.metadata.deletion_timestamp is not None:
        return ClusterPlan(waiting_for=f"namespace {namespace.metadata.name} of an earlier cluster is being deleted")
    body: JsonObject | None = None
    if namespace is None:
        name = execution_namespace(cluster.name)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {wk.SYSTEM: wk.TRUE}}}
    return ClusterPlan(
        create_namespace=body,
        taints=_plan_taints(cluster),
        finalizers=plan_add_finalizer(cluster, wk.CLUSTER_FINALIZER),
    )


def _plan_removal(
    cluster: Cluster,
    namespace: Namespace | None,
    works: Iterable[Work],
    bindings: Iterable[ResourceBinding],
    *,
    silent: bool,
) -> ClusterPlan:
    if wk.CLUSTER_FINALIZER not in cluster.metadata.finalizers:
        return ClusterPlan()
    if namespace is not None:
        works = tuple(works)
        empty = plan_leaving(work for work in works if role_of(work) is Role.COLLECTED)
        changing = {(write.namespace, write.name) for write in empty}
        # The agent of a Pull mode cluster takes the finalizers off; one that does not report will never do it. For
        # Push mode the execution controller knows how to leave a cluster that is both going and out of reach.
        waits = cluster.is_push or (cluster.is_ready and not silent)
        held = (work for work in works if (work.metadata.namespace, work.metadata.name) not in changing)
        release = () if waits else tuple(one for work in held if (one := _release(work)) is not None)
        terminating = namespace.metadata.deletion_timestamp is not None
        return ClusterPlan(
            empty=empty,
            release=release,
            delete_namespace=None if terminating else namespace,
            waiting_for=f"namespace {namespace.metadata.name} to be gone",
        )
    using = sorted(f"{binding.metadata.namespace}/{binding.metadata.name}" for binding in bindings)
    if using:
        return ClusterPlan(waiting_for=f"{len(using)} ResourceBindings to leave the cluster, {using[0]} first")
    return ClusterPlan(finalizers=plan_remove_finalizer(cluster, wk.CLUSTER_FINALIZER))


def _release(work: Work) -> Release | None:
    body = plan_remove_finalizer(work, wk.EXECUTION_FINALIZER)
    return Release(work.metadata.namespace, work.metadata.name, body) if body is not None else None


def _plan_taints(cluster: Cluster) -> tuple[JsonObject, ...]:
    """JSON patch that makes the two condition taints say what condition Ready says (contract 4.1).

    Operations on single entries, because others' taints may have fields that are not decoded here. Semantics: Karmada's
    cluster controller, which is Kubernetes' node controller's: False means not ready, Unknown means unreachable.
    """
    ready = find_condition(cluster.conditions, wk.READY)
    if ready is None:
        return ()
    wanted = {"True": "", "False": wk.TAINT_NOT_READY}.get(ready.status, wk.TAINT_UNREACHABLE)
    operations: list[JsonObject] = []
    present = False
    taints = cluster.spec.taints
    for index, taint in reversed(list(enumerate(taints))):
        if taint.effect != wk.NO_SCHEDULE or taint.key not in (wk.TAINT_NOT_READY, wk.TAINT_UNREACHABLE):
            continue
        if taint.key == wanted:
            present = True
        else:
            operations.append({"op": "remove", "path": f"/spec/taints/{index}"})
    if wanted and not present:
        entry = {"key": wanted, "effect": wk.NO_SCHEDULE}
        where = {"path": "/spec/taints/-", "value": entry} if taints else {"path": "/spec/taints", "value": [entry]}
        operations.append({"op": "add"} | where)
    if not operations:
        return ()
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": cluster.metadata.resource_version}
    return (version, *operations)
