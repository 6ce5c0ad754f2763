"""Which change of a member's object makes it what a Work says, and whether the Work may make it (contract 4.3).

Semantics: Karmada's pkg/util/objectwatcher and the Retain of its default interpreter. Karmada replaces the object; here
the difference is sent as a merge patch, so the member's own fields are never sent back to it. What is the member's own
`domain.merging` knows: all that no manifest ever named. Where a member rewrites what a manifest does name (an admission
webhook), `MemberApplier` notices that its write was of no use and does not repeat it. Where somebody else changes it
back later, it is written less and less often (`domain.contention`).

Four rules are stricter than Karmada's. A member's namespace goes with nothing but its Namespace on the control plane:
when a cluster leaves, or somebody deletes the Work, it is let go, because all that others have in it would go along
(`preserve_on_deletion`). What a Work never applied is not deleted with it: the slices of a provider mirror the labels
of their Service, `karmada.io/managed` among them, so the label alone would make a native slice look like the object of
the Work that merely holds its copy. For the same reason a slice that has the label, but names no Work, is not written
over. And two Works that carry the same object do not take it from each other in turns: the first one keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from informers.patches import changed_marks, create_merge_patch
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import named_in
from mcs_controller.domain.works import (
    Role,
    WorkIntent,
    cluster_of,
    finish_manifest,
    prune,
    role_of,
)
from mcs_controller.standalone.domain.cluster import EXECUTION_WORK_INDEXES
from mcs_controller.standalone.domain.merging import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from informers.meta import ObjectKey
    from mcs_controller.api.common import JsonObject, Unstructured
    from mcs_controller.api.core import Namespace
    from mcs_controller.api.work import Manifest, Work

BY_MEMBER_NAMESPACE = "member-namespace"
"""Works by (cluster, namespace) of the objects they carry."""

BY_MEMBER_OBJECT = "member-object"
"""Works by (cluster, apiVersion, kind, namespace, name) of the objects they carry."""

_STRIPPED_LABELS = (wk.BINDING_PERMANENT_ID, wk.WORK_PERMANENT_ID, wk.MANAGED)
_STRIPPED_ANNOTATIONS = (
    wk.MANAGED_LABELS,
    wk.MANAGED_ANNOTATIONS,
    wk.TEMPLATE_UID,
    wk.TEMPLATE_GENERATION,
    wk.BINDING_NAMESPACE,
    wk.BINDING_NAME,
    wk.WORK_NAMESPACE,
    wk.WORK_NAME,
    *wk.POLICY_ANNOTATIONS,
)
_SERVER_METADATA = ("resourceVersion", "managedFields", "generation")


class InvalidManifest(Exception):
    """The manifest is not an object that could be applied; only a change of the Work helps."""


class NotOurs(Exception):
    """The member has an object of that name that the Work must not touch."""


class NotOwned(NotOurs):
    """The member belongs to another control plane; its end is announced (`MemberOwnershipReconciler.subscribe`)."""


def _work_namespaces(work: Work) -> Iterable[Hashable]:
    cluster = cluster_of(work)
    if cluster is None:
        return ()
    return {(cluster, one.ref.namespace) for one in work.manifests if one.ref is not None and one.ref.namespace}


def _work_objects(work: Work) -> Iterable[Hashable]:
    cluster = cluster_of(work)
    if cluster is None:
        return ()
    refs = [one.ref for one in work.manifests if one.ref is not None]
    return {(cluster, ref.api_version, ref.kind, ref.namespace, ref.name) for ref in refs}


WORK_INDEXES: Mapping[str, Callable[[Work], Iterable[Hashable]]] = {
    **EXECUTION_WORK_INDEXES,
    BY_MEMBER_NAMESPACE: _work_namespaces,
    BY_MEMBER_OBJECT: _work_objects,
}


# --- whose object is it ----------------------------------------------------------------------------------------------


def is_managed(obj: Unstructured) -> bool:
    """Whether the object carries the label that everything applied by a Work carries (and some other things too)."""
    return obj.metadata.labels.get(wk.MANAGED) == wk.TRUE


def owner_work_of(obj: Unstructured) -> ObjectKey | None:
    """The Work that the object says it was applied by."""
    return named_in(obj.metadata.annotations, wk.WORK_NAMESPACE, wk.WORK_NAME)


def belongs_to(obj: Unstructured, work: Work) -> bool:
    """Whether the object says that it was applied by a Work of this name.

    It names the Work in two annotations. One that has lost one of them, or both, is known by the rest: the Work's
    permanent id, or that it is a copy that the dispatcher makes under a name of this Work. A slice of a member's own
    may mirror its Service's id, but never the manager: Kubernetes puts its own there.
    """
    meta = work.metadata
    names = {wk.WORK_NAMESPACE: meta.namespace, wk.WORK_NAME: meta.name}
    said = {key: one for key in names if (one := obj.metadata.annotations.get(key))}
    if len(said) == len(names) or said.items() - names.items():
        return said == names
    labels = obj.metadata.labels
    manager = labels.get(wk.SLICE_MANAGED_BY)
    if obj.content.get("kind") == wk.SLICE_KIND and manager not in wk.SLICE_MANAGERS:
        return False
    if named_id := labels.get(wk.WORK_PERMANENT_ID):
        return named_id == meta.labels.get(wk.WORK_PERMANENT_ID)
    return manager == wk.SLICE_DISPATCHER and role_of(work) is Role.DISPATCHED


def foreign_id(obj: Unstructured, work: Work) -> str:
    """The permanent id of the object, if it is another than this Work's; empty if one of the two has none.

    In a member of this control plane it is that of an earlier Work: ids change when a client drops them, and when a
    Work is made anew. Anywhere else it is that of another control plane's Work.
    """
    there = obj.metadata.labels.get(wk.WORK_PERMANENT_ID, "")
    ours = work.metadata.labels.get(wk.WORK_PERMANENT_ID, "")
    if not there or not ours or there == ours:
        return ""
    inside = ((one.decode()["metadata"].get("labels") or {}) for one in work.manifests if one.ref is not None)
    return "" if any(labels.get(wk.WORK_PERMANENT_ID) == there for labels in inside) else there


def check_overwrite(
    manifest: JsonObject, observed: Unstructured, work: Work, applier: Work | None, *, owned: bool
) -> None:
    """Refuse to write over an object that is somebody else's.

    `applier` is the Work that the object names, if there is such a Work. An object that names this Work is ours even if
    somebody took the label off: that is drift, and repaired.

    Raises:
        NotOurs: it is unmanaged, or a slice that merely mirrors its Service's labels, and the manifest does not say to
            overwrite it; or another living Work applies it; or a Work of another control plane does, which can only be
            if the member is not known to be ours (`owned`).
    """
    meta = observed.metadata
    what = f"{observed.content.get('kind')} {'/'.join(part for part in (meta.namespace, meta.name) if part)}"
    named = owner_work_of(observed)
    if not owned and named is not None and (named_id := foreign_id(observed, applier or work)):
        raise NotOurs(f"{what} belongs to Work {named} of another control plane (permanent-id {named_id})")
    if belongs_to(observed, work):
        return
    if applier is not None and _carries(applier, manifest):
        where = f"{applier.metadata.namespace}/{applier.metadata.name}"
        raise NotOurs(f"{what} is applied by another Work already, {where}")
    annotations = manifest["metadata"].get("annotations") or {}
    mirrors = observed.content.get("kind") == wk.SLICE_KIND and named is None
    if (is_managed(observed) and not mirrors) or annotations.get(wk.CONFLICT_RESOLUTION) == wk.CONFLICT_OVERWRITE:
        return
    refused = f"{what} exists in the cluster and is not managed by Karmada"
    allow = f"{wk.CONFLICT_RESOLUTION}: {wk.CONFLICT_OVERWRITE}"
    if observed.content.get("kind") == wk.NAMESPACE_KIND:
        # Nobody is told to delete a namespace: that would take along all that is in it.
        raise NotOurs(
            f"{refused}; it is used as it is, and stays when the one of the control plane goes. "
            f"To have it managed, annotate that one with {allow}"
        )
    raise NotOurs(f"{refused}; delete it there, or allow it to be overwritten with the annotation {allow}")


def may_delete(observed: Unstructured, work: Work, *, owned: bool) -> bool:
    """Whether the object goes with the Work: applied by this very Work, or an earlier one of its name.

    The label of managed objects tells nothing more: native slices mirror it from their Service, and somebody may have
    taken it off as the Work was deleted.
    """
    return belongs_to(observed, work) and (owned or not foreign_id(observed, work))


def carries_namespace(manifest: Manifest) -> bool:
    """Whether a Work brings a namespace by it."""
    return manifest.ref is not None and (manifest.ref.api_version, manifest.ref.kind) == ("v1", wk.NAMESPACE_KIND)


def preserve_on_deletion(manifest: Manifest, source: Namespace | None, *, leaving: bool) -> bool:
    """Whether the member's object is let go, not deleted, when its Work goes: a namespace that nobody wished away.

    Args:
        manifest: what the Work carries.
        source: the control plane's Namespace of that name, if there is one.
        leaving: whether the Work goes because its Cluster does.
    """
    if not carries_namespace(manifest):
        return False
    if leaving:
        return True
    if source is None or source.metadata.deletion_timestamp is not None:
        return False
    annotations = manifest.decode()["metadata"].get("annotations") or {}
    return annotations.get(wk.TEMPLATE_UID) in (None, "", source.metadata.uid)


def _carries(work: Work, manifest: JsonObject) -> bool:
    if work.metadata.deletion_timestamp is not None or work.suspend_dispatching:
        return False
    metadata = manifest["metadata"]
    wanted = (manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])
    refs = (one.ref for one in work.manifests)
    return any(ref is not None and (ref.api_version, ref.kind, ref.namespace, ref.name) == wanted for ref in refs)


# --- what to send ----------------------------------------------------------------------------------------------------


def manifest_of(work: Work, manifest: Manifest) -> JsonObject:
    """The object to apply: the manifest with all marks by which it is found again.

    The marks are there already unless somebody made the Work by hand, without a webhook.

    Raises:
        InvalidManifest: the JSON is not an object with apiVersion, kind and name, or its parts have the wrong types.
    """
    if manifest.ref is None:
        raise InvalidManifest(f"the manifest is {manifest.problem}")
    content = prune(manifest.decode())
    meta = work.metadata
    labels = content["metadata"].get("labels") or {}
    annotations = content["metadata"].get("annotations") or {}
    marks = (annotations.get(wk.WORK_NAMESPACE), annotations.get(wk.WORK_NAME), labels.get(wk.MANAGED))
    if marks == (meta.namespace, meta.name, wk.TRUE):
        return content
    conflict = annotations.get(wk.CONFLICT_RESOLUTION) or meta.annotations.get(wk.CONFLICT_RESOLUTION)
    intent = WorkIntent(
        namespace=meta.namespace,
        name=meta.name,
        manifest=content,
        source_uid=annotations.get(wk.TEMPLATE_UID, ""),
        annotations={wk.CONFLICT_RESOLUTION: conflict} if conflict else {},
    )
    return finish_manifest(intent, meta.labels.get(wk.WORK_PERMANENT_ID) or meta.uid)


def plan_update(manifest: JsonObject, observed: Unstructured) -> JsonObject | None:
    """The merge patch that makes the member's object what the manifest says; None if it is so already.

    What others have set or filled in stays, labels and annotations included; what an earlier manifest had goes. The
    patch names the resourceVersion that it was computed from. `immutable.unchangeable` comes first.
    """
    body = create_merge_patch(*merge(manifest, observed.content, observed.fields))
    meta = observed.metadata
    desired = manifest["metadata"]
    labels = _desired_marks(meta.labels, desired.get("labels"), meta.annotations.get(wk.MANAGED_LABELS))
    annotations = _desired_marks(
        meta.annotations, desired.get("annotations"), meta.annotations.get(wk.MANAGED_ANNOTATIONS)
    )
    metadata = changed_marks(meta, labels, annotations)
    if not body and not metadata:
        return None
    return body | {"metadata": metadata | {"resourceVersion": meta.resource_version}}


def plan_release(observed: Unstructured, work: Work) -> JsonObject | None:
    """The merge patch that takes the Work's marks off an object that is to stay; None if it is not the Work's."""
    if not belongs_to(observed, work):
        return None
    meta = observed.metadata
    labels = {key: None for key in _STRIPPED_LABELS if key in meta.labels}
    annotations = {key: None for key in _STRIPPED_ANNOTATIONS if key in meta.annotations}
    return {
        "metadata": {"labels": labels, "annotations": annotations, "resourceVersion": meta.resource_version},
    }


def has_drifted(old: Unstructured, new: Unstructured) -> bool:
    """Whether more than the status changed."""
    return _without_status(old) != _without_status(new)


def _without_status(obj: Unstructured) -> JsonObject:
    metadata = {key: value for key, value in obj.content["metadata"].items() if key not in _SERVER_METADATA}
    return {key: value for key, value in obj.content.items() if key not in ("metadata", "status")} | {
        "metadata": metadata
    }


def _desired_marks(
    observed: Mapping[str, str], desired: Mapping[str, str] | None, managed: str | None
) -> dict[str, str]:
    desired = desired or {}
    # What an earlier manifest brought along, and this one does not have any more.
    dropped = set((managed or "").split(",")) - desired.keys()
    return {key: value for key, value in observed.items() if key not in dropped} | dict(desired)
