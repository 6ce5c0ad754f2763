"""From a scheduled ResourceBinding to the Works that carry its resource into the clusters (contract 4.2).

Semantics: Karmada's pkg/controllers/binding. Differences: Works that Karmada would lose sight of are found by the
binding's name as well as by its permanent id, and a binding without an id gets one. And what the control plane's server
allocated for a Service, and nobody wrote, does not travel (`api.core.Service.raw`): each member's server has node ports
and IP families of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from informers.meta import parse_resource_version
from informers.patches import added_finalizer, metadata_patch
from informers.resource import GroupVersionKind
from mcs_controller.api.core import ALLOCATED
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import is_suspended, targets
from mcs_controller.domain.naming import execution_namespace, named_in, work_name
from mcs_controller.domain.works import DeleteWork, PatchWork, WorkIntent, cluster_of, delete_work, plan_work
from mcs_controller.standalone.domain.work_status import was_applied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from informers.meta import ObjectKey
    from mcs_controller.api.common import JsonObject, Unstructured
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.domain.works import CreateWork

BY_BINDING = "binding"
"""Works by the (namespace, name) of the ResourceBinding that their annotations name."""

BY_BINDING_ID = "binding-id"
"""Works by their ResourceBinding's permanent id."""

BY_TEMPLATE = "template"
"""ResourceBindings by (apiVersion, kind, namespace, name) of the resource they speak of."""

BY_TEMPLATE_KIND = "template-kind"
"""ResourceBindings by the kind of the resource they speak of, Services apart: those are known anyway."""

SERVICE: Final = GroupVersionKind("v1", wk.SERVICE_KIND)

_PURGE_DIRECTLY = "Directly"
_OVERWRITE = "Overwrite"


def binding_of(work: Work) -> ObjectKey | None:
    """The ResourceBinding that the Work says it was made from."""
    return named_in(work.metadata.annotations, wk.BINDING_NAMESPACE, wk.BINDING_NAME)


def _work_binding(work: Work) -> Iterable[Hashable]:
    binding = binding_of(work)
    return (binding,) if binding is not None else ()


def _work_binding_id(work: Work) -> Iterable[Hashable]:
    # An empty id selects nothing: it would find the Works of every binding that has none.
    permanent_id = work.metadata.labels.get(wk.BINDING_PERMANENT_ID)
    return (permanent_id,) if permanent_id else ()


def _binding_template(binding: ResourceBinding) -> Iterable[Hashable]:
    resource = binding.spec.resource
    return ((resource.api_version, resource.kind, resource.namespace, resource.name),)


def kind_of(binding: ResourceBinding) -> GroupVersionKind:
    """The kind of the resource that the binding speaks of."""
    return GroupVersionKind(binding.spec.resource.api_version, binding.spec.resource.kind)


def _template_kind(binding: ResourceBinding) -> Iterable[Hashable]:
    kind = kind_of(binding)
    return (kind,) if kind != SERVICE else ()


WORK_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {
    BY_BINDING: _work_binding,
    BY_BINDING_ID: _work_binding_id,
}
BINDING_INDEXES: Mapping[str, Callable[[ResourceBinding], Iterable[Hashable]]] = {
    BY_TEMPLATE: _binding_template,
    BY_TEMPLATE_KIND: _template_kind,
}


def occupied(binding: ResourceBinding) -> frozenset[str]:
    """Clusters that may have a Work: the targets, and those whose eviction waits for a replacement."""
    evicted = {task.from_cluster for task in binding.spec.graceful_eviction_tasks if task.purge_mode != _PURGE_DIRECTLY}
    return frozenset(targets(binding)) | evicted


def plan_adopt(binding: ResourceBinding, new_id: Callable[[], str]) -> JsonObject | None:
    """The merge patch that gives a binding its permanent id and our finalizer; None if it has both.

    Usually the webhook and the binding's maker have done so. Without an id its Works could be told from nobody else's;
    without the finalizer they would outlive it.
    """
    meta = binding.metadata
    label = {} if meta.labels.get(wk.BINDING_PERMANENT_ID) else {"labels": {wk.BINDING_PERMANENT_ID: new_id()}}
    return metadata_patch(meta, label | added_finalizer(meta, wk.BINDING_FINALIZER))


def plan_cleanup(binding: ResourceBinding, works: Iterable[Work]) -> tuple[DeleteWork, ...]:
    """Deletions of the binding's Works in clusters that are not, or no longer, meant; of all if it is being deleted."""
    wanted = frozenset[str]() if binding.metadata.deletion_timestamp is not None else occupied(binding)
    return tuple(
        delete_work(work)
        for work in works
        if work.metadata.deletion_timestamp is None and (cluster_of(work) or "") not in wanted
    )


def plan_works(binding: ResourceBinding, template: Unstructured) -> tuple[WorkIntent, ...]:
    """One Work for each target cluster, by name of the cluster. The binding must have its permanent id."""
    return tuple(_intent(binding, template, cluster) for cluster in targets(binding))


def plan_bound_work(
    intent: WorkIntent, observed: Work | None, new_id: Callable[[], str]
) -> CreateWork | PatchWork | None:
    """The write that makes the Work what is intended; None if it is so already.

    A Work of an older version, or of Karmada's, carries what the control plane's server allocated for the Service. If
    its member has taken that, the Work is not written again for this alone.

    Raises:
        WorkTerminating: the observed Work is being deleted.
    """
    write = plan_work(intent, observed, new_id)
    if observed is None or not isinstance(write, PatchWork) or not was_applied(observed):
        return write
    if (manifest := _with_allocations(intent.manifest, observed)) is None:
        return write
    return write if plan_work(replace(intent, manifest=manifest), observed, new_id) is not None else None


def _with_allocations(manifest: JsonObject, observed: Work) -> JsonObject | None:
    """The Service as the Work would carry it with what that has of allocations now; None if it has no others."""
    if (manifest.get("apiVersion"), manifest.get("kind")) != SERVICE or len(observed.manifests) != 1:
        return None
    if (ref := observed.ref) is None or (ref.api_version, ref.kind) != SERVICE:
        return None
    spec, known = manifest.get("spec") or {}, observed.manifests[0].decode().get("spec") or {}
    allocated = {key: known[key] for key in ALLOCATED if key in known and key not in spec}
    ports, before = spec.get("ports") or [], known.get("ports") or []
    if len(ports) == len(before):
        node_ports = [
            {"nodePort": was["nodePort"]} | port if was.get("nodePort") else port
            for port, was in zip(ports, before, strict=True)
        ]
        if node_ports != ports:
            allocated["ports"] = node_ports
    return manifest | {"spec": spec | allocated} if allocated else None


def is_older(template: Unstructured, binding: ResourceBinding) -> bool:
    """Whether the binding speaks of a newer state of the template than this one.

    Both arrive by their own watch. Acting on the older state would bring the clusters back to it for a moment.
    """
    have, meant = template.metadata.resource_version, binding.spec.resource.resource_version
    older, newer = parse_resource_version(have), parse_resource_version(meant)
    return older is not None and newer is not None and older < newer


def _intent(binding: ResourceBinding, template: Unstructured, cluster: str) -> WorkIntent:
    meta, source = binding.metadata, template.metadata
    kind = binding.spec.resource.kind
    permanent_id = meta.labels[wk.BINDING_PERMANENT_ID]
    origin = {wk.BINDING_NAMESPACE: meta.namespace, wk.BINDING_NAME: meta.name}
    annotations = {**source.annotations, **origin}
    if source.generation > 0:
        annotations[wk.TEMPLATE_GENERATION] = str(source.generation)
    labels = {**source.labels, wk.BINDING_PERMANENT_ID: permanent_id}
    metadata = template.content["metadata"] | {"labels": labels, "annotations": annotations}
    return WorkIntent(
        namespace=execution_namespace(cluster),
        name=work_name(kind, source.namespace, source.name),
        manifest=template.content | {"metadata": metadata},
        source_uid=source.uid,
        labels={wk.BINDING_PERMANENT_ID: permanent_id},
        annotations=origin | {wk.CONFLICT_RESOLUTION: _conflict_resolution(binding, template)},
        finalizers=(wk.EXECUTION_FINALIZER,),
        suspend_dispatching=is_suspended(binding, cluster),
        preserve_resources_on_deletion=bool(binding.spec.preserve_resources_on_deletion),
    )


def _conflict_resolution(binding: ResourceBinding, template: Unstructured) -> str:
    own = template.metadata.annotations.get(wk.CONFLICT_RESOLUTION, "")
    if own in (wk.CONFLICT_OVERWRITE, wk.CONFLICT_ABORT):
        return own
    return wk.CONFLICT_OVERWRITE if binding.spec.conflict_resolution == _OVERWRITE else wk.CONFLICT_ABORT
