"""Owner references: the owner of an object, its garbage collection, and the requests that its changes make.

    body = {"metadata": {"name": name, "ownerReferences": [controller_reference(parent, PARENTS)]}, ...}
    await children.create(body, namespace)
    controller.watch(parents.informer, enqueue_object)
    controller.watch(children.informer, enqueue_owner(PARENTS))

Kubernetes' garbage collector deletes an object when its last owner is gone. Owners are cluster-scoped or in the
object's own namespace; the collector takes any other for missing, and deletes what names it.

After controller-runtime `pkg/controller/controllerutil` (SetControllerReference) and `pkg/handler`
(EnqueueRequestForOwner).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mcs_controller.runtime.reconcile import ReconcileError, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from informers.cache.event import Event
    from informers.meta import KubeObject, OwnerReference
    from informers.resource import Resource


class AlreadyOwned(ReconcileError):
    """The object has another controller, and of those there can be one. Retried, as the other may let it go."""


def owner_reference(
    owner: KubeObject, kind: Resource[Any], *, controller: bool = False, block_owner_deletion: bool = False
) -> dict[str, Any]:
    """A metav1.OwnerReference to `owner`, as JSON, for an object's `metadata.ownerReferences`.

    Args:
        owner: as the server knows it: its uid counts.
        kind: of the owner.
        controller: it is the one that manages the object.
        block_owner_deletion: a foreground deletion of the owner waits for the object. Where the admission plugin
            OwnerReferencesPermissionEnforcement is on, this needs the right to update the owner's `finalizers`.
    """
    reference: dict[str, Any] = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
    }
    if controller:
        reference["controller"] = True
    if block_owner_deletion:
        reference["blockOwnerDeletion"] = True
    return reference


def controller_reference(owner: KubeObject, kind: Resource[Any]) -> dict[str, Any]:
    """The reference to the owner that manages an object, for one that is about to be created or applied."""
    return owner_reference(owner, kind, controller=True, block_owner_deletion=True)


def controller_of(obj: KubeObject) -> OwnerReference | None:
    """The reference to the owner that manages the object, or None (metav1.GetControllerOf)."""
    return next((one for one in obj.metadata.owner_references if one.controller), None)


def is_controlled_by(obj: KubeObject, owner: KubeObject) -> bool:
    """Whether `owner`, this very object and not another one of its name, manages `obj` (metav1.IsControlledBy)."""
    controller = controller_of(obj)
    return controller is not None and controller.uid == owner.metadata.uid


def plan_controller_reference(obj: KubeObject, owner: KubeObject, kind: Resource[Any]) -> dict[str, Any] | None:
    """The merge patch that makes `owner` the controller of an object that is there; None if it is.

    Other owners stay. A reference to an earlier object of the owner's kind and name is replaced. The patch names the
    resourceVersion, as it replaces the whole list.

    Args:
        obj: the object.
        owner: of `kind`, cluster-scoped or in the object's namespace.
        kind: of the owner.

    Raises:
        AlreadyOwned: another controller manages it.
        ValueError: the owner is in another namespace.
    """
    _require_reachable(obj, owner, kind)
    wanted = controller_reference(owner, kind)
    observed = [msgspec.to_builtins(one) for one in obj.metadata.owner_references]
    mine = [one for one in obj.metadata.owner_references if _names(one, owner, kind)]
    current = controller_of(obj)
    if current is not None and current not in mine:
        raise AlreadyOwned(
            f"{obj.metadata.name!r} is managed by {current.kind} {current.name!r} already, "
            f"so {kind.kind} {owner.metadata.name!r} cannot manage it"
        )
    if not mine:
        references = [*observed, wanted]
    else:
        first = obj.metadata.owner_references.index(mine[0])
        others = [one for one in obj.metadata.owner_references if one not in mine]
        references = [msgspec.to_builtins(one) for one in others]
        references.insert(first, wanted)
    if references == observed:
        return None
    return {"metadata": {"resourceVersion": obj.metadata.resource_version, "ownerReferences": references}}


def enqueue_owner(kind: Resource[Any], *, controller_only: bool = True) -> Callable[[Event[Any]], Iterable[Request]]:
    """The mapper from an event of a child to its owner of this kind, for :meth:`Controller.watch`.

    An owner is known by group and kind, so a reference that names another version counts. If an object changes hands,
    both its old and its new owner are asked for.

    Args:
        kind: of the owners, which are what the controller reconciles.
        controller_only: only the owner that manages the child; else all owners of the kind.
    """

    def requests(event: Event[Any]) -> Iterable[Request]:
        found: dict[Request, None] = {}
        for obj in filter(None, (event.old, event.new)):
            for one in obj.metadata.owner_references:
                if _is_of(one, kind) and (one.controller or not controller_only):
                    found[Request(obj.metadata.namespace if kind.namespaced else "", one.name)] = None
        return list(found)

    return requests


def _is_of(reference: OwnerReference, kind: Resource[Any]) -> bool:
    group, slash, _ = reference.api_version.partition("/")
    return reference.kind == kind.kind and (group if slash else "") == kind.group


def _names(reference: OwnerReference, owner: KubeObject, kind: Resource[Any]) -> bool:
    return _is_of(reference, kind) and reference.name == owner.metadata.name


def _require_reachable(obj: KubeObject, owner: KubeObject, kind: Resource[Any]) -> None:
    if kind.namespaced and owner.metadata.namespace != obj.metadata.namespace:
        where = obj.metadata.namespace or "no namespace"
        raise ValueError(
            f"{kind.kind} {owner.metadata.name!r} is in namespace {owner.metadata.namespace!r} and cannot own "
            f"{obj.metadata.name!r}, which is in {where}"
        )
