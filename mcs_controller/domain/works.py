"""Works: what they are for, and how one is brought to hold a manifest (contract 2.3).

A reconciler states a `WorkIntent`; `plan_work` compares it with the Work that is there and says which single write, if
any, makes it so. Keys, finalizers and labels that others put on the Work are kept.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from informers.patches import apply_merge_patch, changed_marks, removed_finalizers, without_nulls
from mcs_controller.api.common import JsonObject, canonical
from mcs_controller.api.shapes import decode_value
from mcs_controller.api.work import decode_work
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import NotAnExecutionNamespace, cluster_of_namespace, named_in, slice_of_work_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from informers.meta import ObjectKey, OwnerReference
    from mcs_controller.api.work import Work

_SERVER_METADATA = (
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
    "ownerReferences",
    "finalizers",
)


_DISPATCHER = wk.SLICE_DISPATCHER.encode()
_COLLECTED_FINALIZERS = frozenset({wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER})


class Role(enum.Enum):
    """What a Work is for, as far as this feature is concerned."""

    SERVICE = "carries a MultiClusterService: this cluster provides its endpoints"
    COLLECTED = "copy of a provider's slice, never applied"
    DISPATCHED = "copy of a provider's slice, applied in a consumer"
    OTHER = "somebody else's"


class SliceRef(NamedTuple):
    """Identity of a slice in the provider that has it."""

    cluster: str
    namespace: str
    name: str


class Target(NamedTuple):
    """Identity of a slice in the consumer that gets it."""

    execution_namespace: str
    namespace: str
    name: str


class WorkTerminating(Exception):
    """The Work is being deleted, so nothing can be put into it; its deletion event brings the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkIntent:
    """What a Work should be.

    Attributes:
        manifest: the object it carries, before pruning. The caller gives it away.
        source_uid: uid of the object that the manifest was made of; empty if there is none.
        without_labels: keys that go, if they are there.
        without_annotations: the same.
        suspend_dispatching: None leaves the flag out.
        preserve_resources_on_deletion: None leaves the flag out.
        owner: set at creation only.
    """

    namespace: str
    name: str
    manifest: JsonObject
    source_uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    without_labels: frozenset[str] = frozenset()
    annotations: Mapping[str, str] = field(default_factory=dict)
    without_annotations: frozenset[str] = frozenset()
    finalizers: tuple[str, ...] = ()
    suspend_dispatching: bool | None = None
    preserve_resources_on_deletion: bool | None = None
    owner: OwnerReference | None = None


@dataclass(frozen=True, slots=True)
class CreateWork:
    """Create this Work."""

    namespace: str
    body: JsonObject

    @property
    def name(self) -> str:
        """The Work's name."""
        return str(self.body["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class PatchWork:
    """Change a Work that is still as it was observed.

    Attributes:
        body: what changes, as a merge patch; it names the resourceVersion that it was computed from.
        missing: the string maps of the metadata ("labels", "annotations") that the Work does not have yet.
    """

    namespace: str
    name: str
    body: JsonObject
    missing: tuple[str, ...] = ()

    @property
    def request(self) -> JsonObject | list[JsonObject]:
        """What to send: the merge patch, or a JSON patch if the spec is replaced.

        An API server drops nulls inside of lists when it applies a merge patch, but an empty list of endpoints is
        written as null (contract 3.3); and what others may have put into the spec has to go (2.3 step 4).
        """
        if "spec" not in self.body:
            return self.body
        metadata = dict(self.body["metadata"])
        operations = [_operation("replace", metadata.pop("resourceVersion"), "metadata", "resourceVersion")]
        for field_name, value in metadata.items():
            if not isinstance(value, dict):
                operations.append(_operation("add", value, "metadata", field_name))
                continue
            if field_name in self.missing:
                operations.append(_operation("add", {}, "metadata", field_name))
            operations += [
                _operation("remove" if one is None else "add", one, "metadata", field_name, key)
                for key, one in value.items()
            ]
        spec = {key: value for key, value in self.body["spec"].items() if value is not None}
        return [*operations, _operation("replace", spec, "spec")]


@dataclass(frozen=True, slots=True)
class DeleteWork:
    """Delete the Work, if it is still the one that was observed.

    Attributes:
        emptying: the merge patch to send before, which leaves nothing in the Work that could be deleted in the member;
            None if it is deleted as it is. The version to delete is then the answer's.
        terminating: it is being deleted already: emptying it is all that is left.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    emptying: JsonObject | None = None
    terminating: bool = False


WorkWrite: TypeAlias = CreateWork | PatchWork | DeleteWork


def _operation(operation: str, value: Any, *path: str) -> JsonObject:
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    return {"op": operation, "path": pointer} | ({} if operation == "remove" else {"value": value})


def delete_work(work: Work) -> DeleteWork:
    """The write that deletes this Work and no other, should it have changed meanwhile."""
    meta = work.metadata
    return DeleteWork(meta.namespace, meta.name, meta.uid, meta.resource_version)


def delete_collected(work: Work) -> DeleteWork:
    """The write that deletes a collected Work and leaves the provider's own slice alone.

    When a Work is deleted, a suspended one too, Karmada's execution controller deletes in the member what the manifest
    names if that has the label `karmada.io/managed` (contract 4.3), and a provider's own slice has it from its Service.
    So the manifest goes first. The finalizers of dispatch and import go with it: copies are found by what they carry
    themselves, also after a restart. For a Work that is being deleted already that is all, and without other finalizers
    its end.
    """
    meta = work.metadata
    released = removed_finalizers(meta, _COLLECTED_FINALIZERS)
    body: JsonObject = {"metadata": {"resourceVersion": meta.resource_version} | released}
    if work.manifests:
        body["spec"] = {"workload": {"manifests": []}}
        if wk.COLLECTED_BY not in meta.labels:
            body["metadata"]["labels"] = {wk.COLLECTED_BY: ""}  # by which it is known, empty as it is
    emptying = body if work.manifests or released else None
    terminating = meta.deletion_timestamp is not None
    return DeleteWork(meta.namespace, meta.name, meta.uid, meta.resource_version, emptying, terminating)


def is_emptied(work: Work) -> bool:
    """Whether it is a collected Work that `delete_collected` has emptied, but not deleted yet: its marks are left."""
    meta = work.metadata
    return not work.manifests and wk.COLLECTED_BY in meta.labels and wk.PROVISION_CLUSTER not in meta.annotations


def cluster_of(work: Work) -> str | None:
    """The cluster whose execution namespace the Work is in; None for a Work elsewhere."""
    try:
        return cluster_of_namespace(work.metadata.namespace)
    except NotAnExecutionNamespace:
        return None


def role_of(work: Work) -> Role:
    """What the Work is for."""
    if is_emptied(work):
        return Role.COLLECTED
    ref = work.ref
    if ref is None or not ref.namespace:  # all kinds that matter here live in namespaces
        return Role.OTHER
    if ref.kind == wk.MCS_KIND and ref.api_version.startswith("networking.karmada.io/"):
        return Role.SERVICE
    if ref.kind != wk.SLICE_KIND or not ref.api_version.startswith("discovery.k8s.io/"):
        return Role.OTHER
    if _provider_of(work):
        return Role.DISPATCHED
    labels = work.metadata.labels
    if wk.COLLECTED_BY in labels or labels.get(wk.MCS_NAME) or labels.get(wk.EXPORT_NAME):
        return Role.COLLECTED
    # Without any label it is ours only while it waits for us to let go of it.
    waits = _COLLECTED_FINALIZERS.intersection(work.metadata.finalizers)
    return Role.COLLECTED if waits else Role.OTHER


def _provider_of(work: Work) -> str:
    """The provider of a dispatched slice; empty if the Work, which holds a slice, is not there to dispatch one.

    The annotation says so (contract 3.3). Should somebody have taken it off, the slice inside still says that it is a
    copy, of whom, and that this very Work brings it.
    """
    meta = work.metadata
    provider = meta.annotations.get(wk.PROVISION_CLUSTER)
    if provider or wk.COLLECTED_BY in meta.labels or _DISPATCHER not in work.manifests[0].raw:
        return provider or ""
    inside = work.manifests[0].decode()["metadata"]
    labels, annotations = inside.get("labels") or {}, inside.get("annotations") or {}
    carrier = (annotations.get(wk.WORK_NAMESPACE), annotations.get(wk.WORK_NAME))
    if labels.get(wk.SLICE_MANAGED_BY) != wk.SLICE_DISPATCHER or carrier != (meta.namespace, meta.name):
        return ""
    return str(annotations.get(wk.PROVISION_CLUSTER) or "")


def origin_of(work: Work) -> SliceRef | None:
    """The provider's slice that this Work is a copy of; None if it is not a copy."""
    role, ref = role_of(work), work.ref
    if ref is None:
        return _origin_of_emptied(work) if role is Role.COLLECTED else None
    if role is Role.COLLECTED:
        cluster = cluster_of(work)
        return SliceRef(cluster, ref.namespace, ref.name) if cluster is not None else None
    if role is Role.DISPATCHED:
        provider = _provider_of(work)
        name = work.metadata.annotations.get(wk.PROVISION_NAME) or ref.name.removeprefix(f"{provider}-")
        return SliceRef(provider, ref.namespace, name)
    return None


def _origin_of_emptied(work: Work) -> SliceRef | None:
    """By its labels and its name: nothing else is left that says it."""
    cluster, labels = cluster_of(work), work.metadata.labels
    namespace = labels.get(wk.MCS_NAMESPACE) or labels.get(wk.EXPORT_NAMESPACE)
    if cluster is None or not namespace:
        return None
    name = slice_of_work_name(work.metadata.name, namespace)
    return SliceRef(cluster, namespace, name) if name is not None else None


def target_of(work: Work) -> Target | None:
    """What a dispatched Work makes in its consumer; None for any other Work."""
    ref = work.ref
    if ref is None or role_of(work) is not Role.DISPATCHED:
        return None
    return Target(work.metadata.namespace, ref.namespace, ref.name)


def service_of(work: Work) -> ObjectKey | None:
    """The MultiClusterService that the Work is filed under; None without these labels."""
    return named_in(work.metadata.labels, wk.MCS_NAMESPACE, wk.MCS_NAME)


def plan_work(intent: WorkIntent, observed: Work | None, new_id: Callable[[], str]) -> CreateWork | PatchWork | None:
    """The write that makes the Work what is intended; None if it is so already.

    `new_id` makes a permanent id, for a Work that has none because no webhook gave it one.

    Raises:
        WorkTerminating: the observed Work is being deleted.
    """
    if observed is not None and observed.metadata.deletion_timestamp is not None:
        raise WorkTerminating(f"Work {intent.namespace}/{intent.name} is being deleted")
    before = observed.metadata.labels if observed is not None else {}
    labels = {key: value for key, value in before.items() if key not in intent.without_labels}
    labels.update(intent.labels)
    if not labels.get(wk.WORK_PERMANENT_ID):
        labels[wk.WORK_PERMANENT_ID] = new_id()
    manifest = finish_manifest(intent, labels[wk.WORK_PERMANENT_ID])
    spec: JsonObject = {"workload": {"manifests": [manifest]}}
    if intent.suspend_dispatching is not None:
        spec["suspendDispatching"] = intent.suspend_dispatching
    if intent.preserve_resources_on_deletion is not None:
        spec["preserveResourcesOnDeletion"] = intent.preserve_resources_on_deletion
    if observed is None:
        return _create(intent, labels, spec)
    return _patch(intent, observed, labels, spec)


def _create(intent: WorkIntent, labels: dict[str, str], spec: JsonObject) -> CreateWork:
    metadata: JsonObject = {"name": intent.name, "namespace": intent.namespace, "labels": labels}
    if intent.annotations:
        metadata["annotations"] = dict(intent.annotations)
    if intent.finalizers:
        metadata["finalizers"] = sorted(set(intent.finalizers))
    if intent.owner is not None:
        metadata["ownerReferences"] = [msgspec.to_builtins(intent.owner)]
    body = {"apiVersion": "work.karmada.io/v1alpha1", "kind": "Work", "metadata": metadata, "spec": spec}
    return CreateWork(intent.namespace, body)


def _patch(intent: WorkIntent, observed: Work, labels: dict[str, str], spec: JsonObject) -> PatchWork | None:
    meta = observed.metadata
    body: JsonObject = {}
    annotations = {key: text for key, text in meta.annotations.items() if key not in intent.without_annotations}
    metadata = changed_marks(meta, labels, {**annotations, **intent.annotations})
    finalizers = sorted({*meta.finalizers, *intent.finalizers})
    if not set(finalizers) <= set(meta.finalizers):
        metadata["finalizers"] = finalizers
    if not _same_spec(observed, spec):
        # A merge patch keeps what it does not name; a flag that is not given has to be absent afterwards.
        body["spec"] = {"suspendDispatching": None, "preserveResourcesOnDeletion": None} | spec
    if not metadata and not body:
        return None
    body["metadata"] = metadata | {"resourceVersion": meta.resource_version}
    missing = tuple(name for name in ("labels", "annotations") if not getattr(meta, name))
    return PatchWork(intent.namespace, intent.name, body, missing)


def predict_result(write: CreateWork | PatchWork, observed: Work | None) -> Work:
    """The Work as it will be once the write is answered, except for what the server fills in.

    Lets what follows from a write be worked out, and written, beside it. `observed` is what a patch was computed from.
    """
    if isinstance(write, CreateWork) or observed is None:
        return decode_work(canonical(write.body))
    body = write.body
    metadata = msgspec.structs.replace(
        observed.metadata,
        labels=apply_merge_patch(observed.metadata.labels, body["metadata"].get("labels", {})),
        annotations=apply_merge_patch(observed.metadata.annotations, body["metadata"].get("annotations", {})),
        finalizers=tuple(body["metadata"].get("finalizers", observed.metadata.finalizers)),
    )
    if "spec" not in body:
        return msgspec.structs.replace(observed, metadata=metadata)
    after = decode_work(canonical({"metadata": {}, "spec": body["spec"]}))
    return msgspec.structs.replace(
        after, metadata=metadata, conditions=observed.conditions, manifest_statuses=observed.manifest_statuses
    )


def _same_spec(observed: Work, spec: JsonObject) -> bool:
    if observed.suspend_dispatching != spec.get("suspendDispatching"):
        return False
    if observed.preserve_resources_on_deletion != spec.get("preserveResourcesOnDeletion"):
        return False
    manifests = spec["workload"]["manifests"]
    return len(observed.manifests) == len(manifests) and all(
        same_json(there.raw, wanted) for there, wanted in zip(observed.manifests, manifests, strict=True)
    )


def same_json(raw: bytes, wanted: JsonObject) -> bool:
    """Whether JSON text says the same as an object; cheap when it was written by an encoder that sorts keys.

    A key that is null counts as absent: see `without_nulls`.
    """
    if raw == canonical(wanted):
        return True
    try:
        there = decode_value(raw)
    except msgspec.DecodeError:
        return False
    return bool(without_nulls(there) == without_nulls(wanted))


def finish_manifest(intent: WorkIntent, permanent_id: str) -> JsonObject:
    """Steps 1, 2 and 5 of contract 2.3: mark the manifest, prune it, and list the marks in it."""
    manifest = prune(intent.manifest)
    metadata = manifest.setdefault("metadata", {})
    labels = dict(metadata.get("labels") or {})
    labels[wk.MANAGED] = wk.TRUE
    labels[wk.WORK_PERMANENT_ID] = permanent_id
    annotations = dict(metadata.get("annotations") or {})
    annotations[wk.TEMPLATE_UID] = intent.source_uid
    annotations[wk.WORK_NAMESPACE] = intent.namespace
    annotations[wk.WORK_NAME] = intent.name
    if wk.CONFLICT_RESOLUTION in intent.annotations:
        annotations[wk.CONFLICT_RESOLUTION] = intent.annotations[wk.CONFLICT_RESOLUTION]
    annotations[wk.MANAGED_ANNOTATIONS] = ",".join(sorted({*annotations, wk.MANAGED_ANNOTATIONS, wk.MANAGED_LABELS}))
    annotations[wk.MANAGED_LABELS] = ",".join(sorted(labels))
    metadata["labels"] = labels
    metadata["annotations"] = annotations
    return manifest


def prune(manifest: JsonObject) -> JsonObject:
    """A copy without what only the server that served it may set (one level deep: the rest is shared)."""
    pruned = {key: value for key, value in manifest.items() if key != "status"}
    metadata = manifest.get("metadata") or {}
    pruned["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVER_METADATA}
    if manifest.get("kind") == wk.SERVICE_KIND and manifest.get("apiVersion") == "v1":
        spec = dict(manifest.get("spec") or {})
        # A cluster IP is a member's own choice; "None" is the user's, and makes the Service headless everywhere.
        if spec.get("clusterIP") and spec["clusterIP"] != "None":
            spec.pop("clusterIP")
            spec.pop("clusterIPs", None)
        pruned["spec"] = spec
    return pruned
