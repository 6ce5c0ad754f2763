"""What Karmada puts into objects, as pure functions over plain dicts (contract 2.1 to 2.3, 5.3).

No code of the product, so that a misunderstanding there cannot hide itself.
"""

import copy
import datetime
import uuid
from typing import Any

Object = dict[str, Any]

WORK_ID = "work.karmada.io/permanent-id"
BINDING_ID = "resourcebinding.karmada.io/permanent-id"
MCS_ID = "multiclusterservice.karmada.io/permanent-id"
EXECUTION_FINALIZER = "karmada.io/execution-controller"
BINDING_FINALIZER = "karmada.io/binding-controller"
CLUSTER_FINALIZER = "karmada.io/cluster-controller"
MANAGED = "karmada.io/managed"
CONFLICT = "work.karmada.io/conflict-resolution"
_TEMPLATE = "resourcetemplate.karmada.io"
MANAGED_LABELS = f"{_TEMPLATE}/managed-labels"
MANAGED_ANNOTATIONS = f"{_TEMPLATE}/managed-annotations"

_DIGITS = "4567" + "89bcdf"
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


def work_name(kind: str, namespace: str, name: str) -> str:
    """Contract 2.2; tests/golden/names.json has vectors."""
    stem = name.replace(":", ".").lower()
    key = "-".join(part for part in (namespace, stem, kind) if part).lower()
    value = 2166136261
    for byte in key.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return f"{stem}-{''.join(_DIGITS[int(digit)] for digit in str(value))}"


def execution_namespace(cluster: str) -> str:
    """Where a cluster's Works are."""
    return f"karmada-es-{cluster}"


def cluster_of(work: Object) -> str:
    """The cluster that a Work is for; empty for one that is elsewhere."""
    namespace: str = work["metadata"]["namespace"]
    return namespace.removeprefix("karmada-es-") if namespace.startswith("karmada-es-") else ""


def labels_of(obj: Object) -> dict[str, str]:
    """An object's labels, or what serves for them."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """An object's annotations, or what serves for them."""
    return obj["metadata"].get("annotations") or {}


def is_leaving(obj: Object) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def is_ready(cluster: Object) -> bool:
    """Contract 0."""
    conditions = cluster.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def serves(cluster: Object, group_version: str, kind: str) -> bool:
    """Whether the Cluster lists the kind."""
    enabled = cluster.get("status", {}).get("apiEnablements") or ()
    return any(
        one["groupVersion"] == group_version and any(each["kind"] == kind for each in one["resources"])
        for one in enabled
    )


def pruned(manifest: Object) -> Object:
    """Contract 2.3, step 2."""
    result = copy.deepcopy({key: value for key, value in manifest.items() if key != "status"})
    for field in _SERVER_METADATA:
        result["metadata"].pop(field, None)
    is_service = result["kind"] == "Service" and result["apiVersion"] == "v1"
    if is_service and result["spec"].get("clusterIP", "None") != "None":
        result["spec"].pop("clusterIP")
        result["spec"].pop("clusterIPs", None)
    return result


def finished(manifest: Object, permanent_id: str | None) -> Object:
    """Contract 2.3, step 5."""
    result = copy.deepcopy(manifest)
    annotations = dict(annotations_of(result))
    keys = {*annotations, MANAGED_ANNOTATIONS, MANAGED_LABELS}
    annotations[MANAGED_ANNOTATIONS] = ",".join(sorted(keys))
    labels = dict(labels_of(result))
    if permanent_id:
        labels[WORK_ID] = permanent_id
    annotations[MANAGED_LABELS] = ",".join(sorted(labels))
    result["metadata"] |= {"labels": labels, "annotations": annotations}
    return result


def work_of(metadata: Object, manifest: Object, *, suspend: bool | None = None, preserve: bool | None = None) -> Object:
    """The Work that a controller wants, not yet merged with the one that is there (contract 2.3, steps 1 and 2)."""
    content = pruned(manifest)
    labels = dict(labels_of(content)) | {MANAGED: "true"}
    annotations = dict(annotations_of(content))
    annotations[f"{_TEMPLATE}/uid"] = manifest["metadata"].get("uid", "")
    annotations["work.karmada.io/name"] = metadata["name"]
    annotations["work.karmada.io/namespace"] = metadata["namespace"]
    resolution = (metadata.get("annotations") or {}).get(CONFLICT)
    if resolution:
        annotations[CONFLICT] = resolution
    content["metadata"] |= {"labels": labels, "annotations": annotations}
    flags = {"suspendDispatching": suspend, "preserveResourcesOnDeletion": preserve}
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": metadata,
        "spec": {"workload": {"manifests": [content]}}
        | {key: value for key, value in flags.items() if value is not None},
    }


def merged_work(wanted: Object, there: Object) -> Object:
    """The Work that is there, made what is wanted (contract 2.3, steps 4 and 5)."""
    result = copy.deepcopy(there)
    metadata = result["metadata"]
    for field in ("labels", "annotations"):
        values = dict(metadata.get(field) or {}) | (wanted["metadata"].get(field) or {})
        if values:
            metadata[field] = values
    finalizers = sorted({*(metadata.get("finalizers") or ()), *(wanted["metadata"].get("finalizers") or ())})
    if finalizers:
        metadata["finalizers"] = finalizers
    permanent_id = labels_of(result).get(WORK_ID)
    manifests = [finished(each, permanent_id) for each in wanted["spec"]["workload"]["manifests"]]
    result["spec"] = {**wanted["spec"], "workload": {"manifests": manifests}}
    return result


def mutated(obj: Object) -> Object:
    """What the mutating webhooks make of an object (contract 5.1, 5.3), with what going through Go adds to it."""
    result = copy.deepcopy(obj)
    labels = dict(labels_of(result))
    key = {"MultiClusterService": MCS_ID, "Work": WORK_ID, "ResourceBinding": BINDING_ID}[obj["kind"]]
    labels[key] = labels.get(key) or str(uuid.uuid4())
    result["metadata"]["labels"] = labels
    if obj["kind"] == "MultiClusterService":
        result["spec"].setdefault("range", {})
    elif obj["kind"] == "Work":
        workload = result["spec"].setdefault("workload", {})
        manifests = workload.get("manifests") or ()
        workload["manifests"] = [finished(pruned(each), labels[WORK_ID]) for each in manifests]
    return result


def now() -> str:
    """As Go writes a metav1.Time."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_condition(conditions: list[Object], kind: str, status: str, reason: str, message: str) -> list[Object]:
    """metav1's SetStatusCondition: the time changes with the status only."""
    result = copy.deepcopy(conditions)
    there = next((one for one in result if one["type"] == kind), None)
    if there is None:
        there = {"type": kind}
        result.append(there)
    if there.get("status") != status:
        there["lastTransitionTime"] = now()
    there.update(status=status, reason=reason, message=message)
    return result
