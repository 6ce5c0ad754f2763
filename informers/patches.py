"""Merge patches (RFC 7386) of Kubernetes objects: how they are computed, compared and applied.

A patch of metadata names the resourceVersion that it was computed from, because a merge patch replaces a whole list:
were the finalizers changed in between by somebody else, theirs would be lost. So the server refuses (Conflict), and the
next reconcile plans anew.

    if obj.metadata.deletion_timestamp:
        await clean_up(obj)
        patch = plan_remove_finalizer(obj, FINALIZER)
    else:
        patch = plan_add_finalizer(obj, FINALIZER)  # before anything is made that is to be cleaned up
    if patch is not None:
        await mine.patch(obj.metadata.namespace, obj.metadata.name, patch)

After evanphx/json-patch (CreateMergePatch, MergePatch) and controller-runtime `pkg/controller/controllerutil`
(AddFinalizer, RemoveFinalizer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from informers.meta import KubeObject, ObjectMeta


def create_merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from one JSON object to the other; empty if they are equal."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        known = before.get(key)
        if key in before and isinstance(value, dict) and isinstance(known, dict):
            if nested := create_merge_patch(known, value):
                patch[key] = nested
        elif key not in before or value != known:
            patch[key] = value
    return patch


def apply_merge_patch(before: Any, patch: Any) -> Any:
    """The JSON value with a merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = apply_merge_patch(after.get(key), value)
    return after


def without_nulls(value: Any) -> Any:
    """A copy without the keys that are null, inside of lists as well.

    Null is how Go encodes an empty list, and in a merge patch the word for "remove". A server keeps such keys when it
    creates an object, and drops them when it applies a merge patch, so they count as absent.
    """
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(one) for one in value]
    return value


def metadata_patch(meta: ObjectMeta, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The merge patch that changes these fields of the metadata, if it has not changed; None without changes."""
    return {"metadata": {"resourceVersion": meta.resource_version, **changes}} if changes else None


def changed_marks(meta: ObjectMeta, labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a metadata patch that leave an object with these labels and annotations and no others."""
    before = {"labels": meta.labels, "annotations": meta.annotations}
    return create_merge_patch(before, {"labels": dict(labels), "annotations": dict(annotations)})


def added_finalizer(meta: ObjectMeta, finalizer: str) -> dict[str, Any]:
    """The field of a metadata patch that adds a finalizer; empty if it is there."""
    return {} if finalizer in meta.finalizers else {"finalizers": [*meta.finalizers, finalizer]}


def removed_finalizers(meta: ObjectMeta, finalizers: Iterable[str]) -> dict[str, Any]:
    """The field of a metadata patch that removes finalizers and leaves those of others; empty if none is there."""
    gone = frozenset(finalizers)
    left = [one for one in meta.finalizers if one not in gone]
    return {"finalizers": left} if len(left) < len(meta.finalizers) else {}


def plan_add_finalizer(obj: KubeObject, finalizer: str) -> dict[str, Any] | None:
    """The merge patch that adds a finalizer, such as `copier.example/copies`.

    None if it is there, or if the object is being deleted: a server takes no new ones then.
    """
    meta = obj.metadata
    return metadata_patch(meta, added_finalizer(meta, finalizer)) if meta.deletion_timestamp is None else None


def plan_remove_finalizer(obj: KubeObject, finalizer: str) -> dict[str, Any] | None:
    """The merge patch that removes a finalizer and leaves those of others; None if it is not there."""
    return metadata_patch(obj.metadata, removed_finalizers(obj.metadata, [finalizer]))
