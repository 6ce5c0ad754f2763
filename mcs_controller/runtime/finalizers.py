"""Finalizers: what keeps an object from going before its controller has cleaned up.

Merge patches that name the resourceVersion, because a merge patch replaces the whole list: were it changed in between
by somebody else, theirs would be lost. So the server refuses (Conflict), and the next reconcile plans anew.

    if obj.metadata.deletion_timestamp:
        await clean_up(obj)
        patch = plan_remove_finalizer(obj, FINALIZER)
    else:
        patch = plan_add_finalizer(obj, FINALIZER)  # before anything is made that is to be cleaned up
    if patch is not None:
        await mine.patch(obj.metadata.namespace, obj.metadata.name, patch)

After controller-runtime `pkg/controller/controllerutil` (AddFinalizer, RemoveFinalizer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.meta import KubeObject


def plan_add_finalizer(obj: KubeObject, finalizer: str) -> dict[str, Any] | None:
    """The merge patch that adds a finalizer, such as `copier.example/copies`.

    None if it is there, or if the object is being deleted: a server takes no new ones then.
    """
    meta = obj.metadata
    if finalizer in meta.finalizers or meta.deletion_timestamp is not None:
        return None
    return _patch(obj, (*meta.finalizers, finalizer))


def plan_remove_finalizer(obj: KubeObject, finalizer: str) -> dict[str, Any] | None:
    """The merge patch that removes a finalizer and leaves those of others; None if it is not there."""
    finalizers = obj.metadata.finalizers
    return _patch(obj, (one for one in finalizers if one != finalizer)) if finalizer in finalizers else None


def _patch(obj: KubeObject, finalizers: Iterable[str]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": obj.metadata.resource_version, "finalizers": list(finalizers)}}
