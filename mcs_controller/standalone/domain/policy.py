"""The writes for a PropagationPolicy: claim labels on templates, and ResourceBindings.

A claim is written on the template first and on the binding second, and taken back in the same order, so the binding
tells which templates still have to be looked at. What a policy brought into the clusters stays when the policy lets
go, as with Karmada: the binding and its Works are left, they only follow nobody any more. They go with the template,
through the binding's owner reference.

Differences from Karmada:

- `spec.replicas` and `spec.replicaRequirements` of the binding are not written: nothing here divides replicas.
- A refused policy keeps what it claimed before it was changed, as it is.
- The marks are taken off the binding of a template that something else claims; Karmada forgets them there, and its
  scheduler would still see a policy's binding in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from informers.patches import added_finalizer, changed_marks, create_merge_patch, metadata_patch
from informers.resource import GroupVersionKind
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import BindingWrite, check_writable
from mcs_controller.domain.naming import binding_name
from mcs_controller.standalone.domain.policy_claims import policy_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.meta import ObjectMeta
    from mcs_controller.api.common import JsonObject, Unstructured
    from mcs_controller.api.policy import PropagationPolicy
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.standalone.domain.policy_spec import PolicySpec


def plan_adopt(policy: PropagationPolicy, new_id: Callable[[], str]) -> JsonObject | None:
    """The merge patch that gives a live policy its permanent id, where no webhook did, and its finalizer."""
    meta = policy.metadata
    label = {} if policy_id(policy) else {"labels": {wk.POLICY_PERMANENT_ID: new_id()}}
    return metadata_patch(meta, label | added_finalizer(meta, wk.POLICY_FINALIZER))


def plan_claim(template: Unstructured, policy: PropagationPolicy) -> JsonObject | None:
    """The merge patch that marks a template as the policy's."""
    return metadata_patch(template.metadata, _marks(template.metadata, policy))


def plan_unclaim(meta: ObjectMeta) -> JsonObject | None:
    """The merge patch that takes a policy's marks off a template or a binding, and nothing else."""
    labels = {key: value for key, value in meta.labels.items() if key != wk.POLICY_PERMANENT_ID}
    ours = (wk.POLICY_NAMESPACE, wk.POLICY_NAME)
    annotations = {key: value for key, value in meta.annotations.items() if key not in ours}
    return metadata_patch(meta, changed_marks(meta, labels, annotations))


def plan_binding(
    policy: PropagationPolicy,
    spec: PolicySpec,
    template: Unstructured,
    observed: ResourceBinding | None,
    new_id: Callable[[], str],
) -> BindingWrite | None:
    """The write that makes a claimed template's ResourceBinding say what the policy says.

    Owned are: the policy's marks, our finalizer and owner reference, resource, placement, scheduler, conflict
    resolution and preservation. Everything else, the scheduler's `spec.clusters` above all, stays as it is.

    The owner reference has `controller` and `blockOwnerDeletion`, as Karmada's has it on this path (and not on that of
    a MultiClusterService): the objects that Karmada itself wrote show it.

    Raises:
        ForeignController: another object controls the binding.
        WorkTerminating: the binding is being deleted.
    """
    source = template.metadata
    kind = GroupVersionKind(template.content["apiVersion"], template.content["kind"])
    resource = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "namespace": source.namespace,
        "name": source.name,
        "uid": source.uid,
        "resourceVersion": source.resource_version,
    }
    owner = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": source.name,
        "uid": source.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    wanted: JsonObject = {
        "resource": resource,
        "placement": spec.placement,
        "schedulerName": spec.scheduler_name,
        "conflictResolution": spec.conflict_resolution,
        "preserveResourcesOnDeletion": spec.preserve,
    }
    if observed is None:
        marks = {wk.POLICY_PERMANENT_ID: policy_id(policy), wk.BINDING_PERMANENT_ID: new_id()}
        body: JsonObject = {
            "apiVersion": wk.BINDING_API_VERSION,
            "kind": wk.BINDING_KIND,
            "metadata": {
                "name": binding_name(kind.kind, source.name),
                "namespace": source.namespace,
                "labels": marks,
                "annotations": _annotations(policy),
                "finalizers": [wk.BINDING_FINALIZER],
                "ownerReferences": [owner],
            },
            "spec": {key: value for key, value in wanted.items() if value is not None},
        }
        return BindingWrite(create=True, body=body)
    meta = observed.metadata
    check_writable(meta, kind.kind, source.uid)
    metadata = _marks(meta, policy)
    if not meta.labels.get(wk.BINDING_PERMANENT_ID):
        metadata["labels"] = metadata.get("labels", {}) | {wk.BINDING_PERMANENT_ID: new_id()}
    metadata |= added_finalizer(meta, wk.BINDING_FINALIZER)
    before = [msgspec.to_builtins(one) for one in meta.owner_references]
    # Of this template there may be one with other flags, or one of an object of its name that is gone.
    others = [one for one in before if (one["apiVersion"], one["kind"], one["name"]) != (*kind, source.name)]
    if owner not in before or len(others) != len(before) - 1:
        metadata["ownerReferences"] = [*others, owner]
    changes = _changed_spec(observed, wanted)
    if not metadata and not changes:
        return None
    body = {"metadata": metadata | {"resourceVersion": meta.resource_version}}
    return BindingWrite(create=False, body=body | ({"spec": changes} if changes else {}))


def is_for(binding: ResourceBinding, kind: GroupVersionKind, name: str) -> bool:
    """Whether the binding is about that template: names of bindings leave the API group out."""
    resource = binding.spec.resource
    return (resource.api_version, resource.kind, resource.name) == (*kind, name)


def _changed_spec(observed: ResourceBinding, spec: JsonObject) -> JsonObject:
    there = observed.spec
    known: JsonObject = {
        "resource": msgspec.to_builtins(there.resource),
        "placement": there.placement or {},
        "schedulerName": there.scheduler_name,
        "conflictResolution": there.conflict_resolution,
        "preserveResourcesOnDeletion": there.preserve_resources_on_deletion,
    }
    changes = {name: value for name, value in spec.items() if value != known[name]}
    if "placement" in changes:
        # A merge patch keeps what it does not name, but the placement is the policy's as a whole.
        changes["placement"] = create_merge_patch(known["placement"], spec["placement"])
    return changes


def _annotations(policy: PropagationPolicy) -> dict[str, str]:
    return {wk.POLICY_NAMESPACE: policy.metadata.namespace, wk.POLICY_NAME: policy.metadata.name}


def _marks(meta: ObjectMeta, policy: PropagationPolicy) -> JsonObject:
    labels = meta.labels | {wk.POLICY_PERMANENT_ID: policy_id(policy)}
    return changed_marks(meta, labels, meta.annotations | _annotations(policy))
