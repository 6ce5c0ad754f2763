"""What a MultiClusterService asks of the control plane (contract 3.1).

The steps of one reconcile, each a pure function from what is observed to the writes that are missing:

1. `plan_adopt`: finalizer and permanent id on the service itself;
2. `plan_provider_works`: one Work per provider, which asks for collection there; the others' are withdrawn;
3. `plan_claim`: the Service belongs to the MultiClusterService, not to a propagation policy;
4. `plan_binding`: the Service is wanted in providers and consumers.

`plan_release` and `plan_withdraw` undo them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from informers.patches import added_finalizer, changed_marks, metadata_patch
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import BindingWrite, check_writable
from mcs_controller.domain.collect import MCS, remove_managed_by
from mcs_controller.domain.naming import binding_name, execution_namespace, work_name
from mcs_controller.domain.selection import Clusters, SkippedCluster, providers_of, skip_reason
from mcs_controller.domain.works import (
    Role,
    SliceRef,
    WorkIntent,
    WorkTerminating,
    WorkWrite,
    cluster_of,
    delete_work,
    origin_of,
    plan_work,
    role_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from informers.meta import ObjectMeta
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.core import Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """Writes that make the providers' Works right, and the providers that have to wait.

    Attributes:
        writes: independent of each other.
        withdraw: slices of clusters that provide no more, whose own writer is to look at them.
        skips: providers that cannot be used now.
        blocked: a place is taken by a Work that is being deleted and whose end will not be noticed.
    """

    writes: tuple[WorkWrite, ...]
    withdraw: tuple[SliceRef, ...]
    skips: tuple[SkippedCluster, ...]
    blocked: bool


def plan_adopt(mcs: MultiClusterService, new_id: Callable[[], str]) -> JsonObject | None:
    """The merge patch that gives a live service its finalizer and, where no webhook did, its permanent id."""
    meta = mcs.metadata
    label = {} if meta.labels.get(wk.MCS_PERMANENT_ID) else {"labels": {wk.MCS_PERMANENT_ID: new_id()}}
    return metadata_patch(meta, label | added_finalizer(meta, wk.MCS_FINALIZER))


def plan_provider_works(
    mcs: MultiClusterService,
    clusters: Clusters,
    filed: Sequence[Work],
    find: Callable[[str, str], Work | None],
    new_id: Callable[[], str],
) -> ProviderPlan:
    """One suspended Work with the service in it per usable provider; clusters that provide no more lose theirs.

    Args:
        mcs: live, adopted and CrossCluster.
        clusters: every registered Cluster.
        filed: every Work filed under this service, in any namespace.
        find: the Work of that namespace and name, whatever it carries.
        new_id: see `plan_work`.

    A Work of a cluster that is still a provider is kept even when the cluster is not ready or has lost the API, but not
    when no such Cluster is registered (any more): nobody will ever say again what it has.
    A Work that is being deleted is left alone; its deletion event leads back here, unless it is garbage (`blocked`).
    """
    meta = mcs.metadata
    blocked = False
    providers = providers_of(mcs, clusters)
    writes: list[WorkWrite] = []
    skips: list[SkippedCluster] = []
    name = work_name(wk.MCS_KIND, meta.namespace, meta.name)
    for provider in providers:
        skip = skip_reason(provider, clusters)
        if skip is not None:
            skips.append(skip)
            continue
        namespace = execution_namespace(provider)
        intent = WorkIntent(
            namespace=namespace,
            name=name,
            manifest=msgspec.json.decode(mcs.raw),
            source_uid=meta.uid,
            labels={
                wk.MCS_PERMANENT_ID: meta.labels[wk.MCS_PERMANENT_ID],
                wk.MCS_NAMESPACE: meta.namespace,
                wk.MCS_NAME: meta.name,
            },
            suspend_dispatching=True,
        )
        there = find(namespace, name)
        try:
            write = plan_work(intent, there, new_id)
        except WorkTerminating:
            blocked = blocked or (there is not None and role_of(there) is not Role.SERVICE)
            continue
        if write is not None:
            writes.append(write)
    registered = [name for name in providers if clusters.get(name) is not None]
    left = slices_to_withdraw(filed, keep=registered)
    return ProviderPlan((*writes, *plan_withdraw(filed, keep=registered)), left, tuple(skips), blocked)


def plan_withdraw(filed: Iterable[Work], *, keep: Iterable[str] = ()) -> tuple[WorkWrite, ...]:
    """Give up the requests to collect in every cluster that is not to be kept.

    What was collected there is for the slices' own writer to withdraw, except what is not known to be of a slice.
    """
    writes: list[WorkWrite] = []
    for work in _given_up(filed, keep):
        if role_of(work) is Role.SERVICE:
            writes.append(delete_work(work))
        elif _is_collected(work) and origin_of(work) is None and (write := remove_managed_by(work, [MCS])) is not None:
            writes.append(write)
    return tuple(writes)


def slices_to_withdraw(filed: Iterable[Work], *, keep: Iterable[str] = ()) -> tuple[SliceRef, ...]:
    """The slices that were collected for the service in every cluster that is not to be kept, and still are."""
    found = (origin_of(work) for work in _given_up(filed, keep) if _is_collected(work))
    return tuple(origin for origin in found if origin is not None)


def _given_up(filed: Iterable[Work], keep: Iterable[str]) -> Iterator[Work]:
    kept = frozenset(keep)
    for work in filed:
        cluster = cluster_of(work)
        if cluster is not None and cluster not in kept and work.metadata.deletion_timestamp is None:
            yield work


def _is_collected(work: Work) -> bool:
    return role_of(work) is Role.COLLECTED and remove_managed_by(work, [MCS]) is not None


def plan_claim(service: Service, mcs: MultiClusterService) -> JsonObject | None:
    """The merge patch that marks the Service as this service's own, and takes it from any propagation policy."""
    before = service.metadata
    labels = {key: value for key, value in before.labels.items() if key not in wk.POLICY_LABELS}
    labels[wk.CLAIMED_BY] = wk.CLAIMED_BY_MCS
    labels[wk.MCS_PERMANENT_ID] = mcs.metadata.labels[wk.MCS_PERMANENT_ID]
    annotations = {key: value for key, value in before.annotations.items() if key not in wk.POLICY_ANNOTATIONS}
    annotations[wk.MCS_NAMESPACE] = mcs.metadata.namespace
    annotations[wk.MCS_NAME] = mcs.metadata.name
    metadata = changed_marks(before, labels, annotations)
    return {"metadata": metadata} if metadata else None


def plan_release(meta: ObjectMeta) -> JsonObject | None:
    """The merge patch that takes the claim off a Service. Its annotations stay, as the peer leaves them.

    Somebody else's claim stays as well, and so does the claim on what is being deleted itself.
    """
    labels = _ours(meta.labels, {wk.CLAIMED_BY: wk.CLAIMED_BY_MCS})
    return {"metadata": {"labels": labels}} if labels and meta.deletion_timestamp is None else None


def plan_release_binding(meta: ObjectMeta) -> JsonObject | None:
    """The merge patch that takes our marks off a ResourceBinding. The Service keeps running where it was placed.

    They stay on one that is being deleted: it goes with its Service.
    """
    metadata: JsonObject = {}
    if meta.deletion_timestamp is not None:
        return None
    labels = _ours(meta.labels, {wk.BINDING_MANAGED_BY: wk.BINDING_MANAGED_BY_MCS})
    annotations = {key: None for key in (wk.MCS_NAMESPACE, wk.MCS_NAME) if key in meta.annotations}
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata} if metadata else None


def _ours(labels: Mapping[str, str], marks: Mapping[str, str]) -> JsonObject:
    """The removal of the permanent id, and of the marks as far as they have our values."""
    gone: JsonObject = {key: None for key, value in marks.items() if labels.get(key) == value}
    return gone | ({wk.MCS_PERMANENT_ID: None} if wk.MCS_PERMANENT_ID in labels else {})


def plan_binding(
    mcs: MultiClusterService,
    service: Service,
    targets: Iterable[str],
    observed: ResourceBinding | None,
    new_id: Callable[[], str],
) -> BindingWrite | None:
    """The write that makes the Service's ResourceBinding want it in all target clusters.

    Owned are: our labels and annotations, our finalizer and owner reference, placement, conflict resolution and
    resource. Everything else, the scheduler's `spec.clusters` above all, stays as it is.

    Raises:
        ForeignController: another object controls the binding.
        WorkTerminating: the binding is being deleted.
    """
    names = sorted(set(targets))
    resource = {
        "apiVersion": "v1",
        "kind": wk.SERVICE_KIND,
        "namespace": service.metadata.namespace,
        "name": service.metadata.name,
        "uid": service.metadata.uid,
        "resourceVersion": service.metadata.resource_version,
    }
    owner = {"apiVersion": "v1", "kind": wk.SERVICE_KIND, "name": service.metadata.name, "uid": service.metadata.uid}
    labels = {
        wk.BINDING_MANAGED_BY: wk.BINDING_MANAGED_BY_MCS,
        wk.MCS_PERMANENT_ID: mcs.metadata.labels[wk.MCS_PERMANENT_ID],
    }
    annotations = {wk.MCS_NAMESPACE: mcs.metadata.namespace, wk.MCS_NAME: mcs.metadata.name}
    if observed is None:
        body = {
            "apiVersion": "work.karmada.io/v1alpha2",
            "kind": "ResourceBinding",
            "metadata": {
                "name": binding_name(wk.SERVICE_KIND, service.metadata.name),
                "namespace": service.metadata.namespace,
                "labels": labels | {wk.BINDING_PERMANENT_ID: new_id()},
                "annotations": annotations,
                "finalizers": [wk.BINDING_FINALIZER],
                "ownerReferences": [owner],
            },
            "spec": {
                "resource": resource,
                "placement": {"clusterAffinity": {"clusterNames": names}},
                "conflictResolution": "Overwrite",
            },
        }
        return BindingWrite(create=True, body=body)
    meta = observed.metadata
    check_writable(meta, wk.SERVICE_KIND, service.metadata.uid)
    if not meta.labels.get(wk.BINDING_PERMANENT_ID):
        labels[wk.BINDING_PERMANENT_ID] = new_id()
    metadata = changed_marks(meta, meta.labels | labels, meta.annotations | annotations)
    metadata |= added_finalizer(meta, wk.BINDING_FINALIZER)
    owners = _owners(meta, owner)
    if owners is not None:
        metadata["ownerReferences"] = owners
    spec = _binding_spec(observed, resource, names)
    if not metadata and not spec:
        return None
    body = {"metadata": metadata | {"resourceVersion": meta.resource_version}}
    return BindingWrite(create=False, body=body | ({"spec": spec} if spec else {}))


def _owners(meta: ObjectMeta, owner: JsonObject) -> list[Any] | None:
    """The owner references with ours among them, a former Service of that name not; None if they are so already."""
    kept = [
        msgspec.to_builtins(one)
        for one in meta.owner_references
        if not (one.kind == owner["kind"] and one.api_version == "v1" and one.uid != owner["uid"])
    ]
    if any(one["uid"] == owner["uid"] for one in kept):
        return None if len(kept) == len(meta.owner_references) else kept
    return [*kept, owner]


def _binding_spec(observed: ResourceBinding, resource: JsonObject, names: list[str]) -> JsonObject:
    spec: JsonObject = {}
    if msgspec.to_builtins(observed.spec.resource) != resource:
        spec["resource"] = resource
    placement = observed.spec.placement or {}
    affinity = placement.get("clusterAffinity") or {}
    # The peer writes the names in random order; the same set in another order is not worth a scheduling round.
    if (
        placement.keys() != {"clusterAffinity"}
        or affinity.keys() != {"clusterNames"}
        or (sorted(affinity["clusterNames"]) != names)
    ):
        gone_affinity = {key: None for key in affinity if key != "clusterNames"}
        gone = {key: None for key in placement if key != "clusterAffinity"}
        spec["placement"] = gone | {"clusterAffinity": gone_affinity | {"clusterNames": names}}
    if observed.spec.conflict_resolution != "Overwrite":
        spec["conflictResolution"] = "Overwrite"
    return spec
