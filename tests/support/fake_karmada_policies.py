"""What Karmada's resource detector and dependencies distributor do with templates, scripted (contract 4.7).

Policies are not interpreted: a test says which template goes where.
"""

from collections.abc import Sequence
from typing import Any

from testbed import Api
from tests.support.fake_karmada_loop import KINDS, FieldManager, Reflector, Worker
from tests.support.fake_karmada_objects import BINDING_FINALIZER, annotations_of, is_leaving, labels_of

Object = dict[str, Any]

POLICY_ID = "propagationpolicy.karmada.io/permanent-id"
_CLAIMED = "resourcetemplate.karmada.io/claimed-by"
_TEMPLATES = (
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceExport"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceImport"),
)


class PolicyEngine:
    """Marks templates, makes their bindings, and tells these of each new version of their template."""

    def __init__(self, host: Api, bindings: Reflector) -> None:
        self.worker = Worker("policy", self._follow)
        self._writer = FieldManager(host, "resource-detector")
        self._bindings = bindings
        self._marks: dict[tuple[str, str, str], tuple[str, Object]] = {}
        self.reflectors = [Reflector(host, KINDS[kind], self._changed) for kind in _TEMPLATES]

    async def propagate(self, template: Object, clusters: Sequence[str], policy_id: str, policy: str) -> None:
        """Do what is done for a template that a PropagationPolicy selects. Marks that somebody removes come back."""
        namespace, name = template["metadata"]["namespace"], template["metadata"]["name"]
        marks = {"propagationpolicy.karmada.io/namespace": namespace, "propagationpolicy.karmada.io/name": policy}
        self._marks[template["kind"], namespace, name] = policy_id, marks
        template = await self._mark(template)
        body = _binding(template)
        body["metadata"] |= {"labels": {POLICY_ID: policy_id}, "annotations": marks}
        body["spec"] |= {
            "placement": {"clusterAffinity": {"clusterNames": list(clusters)}},
            "schedulerName": "default-scheduler",
        }
        await self._writer.create(body)

    async def follow(self, template: Object, clusters: Sequence[str], required_by: str) -> None:
        """Do what is done for a template that another one, whose binding is named, depends on. It gets no marks."""
        body = _binding(template)
        places = [{"name": name} for name in clusters]
        namespace = template["metadata"]["namespace"]
        body["spec"]["requiredBy"] = [{"namespace": namespace, "name": required_by, "clusters": places}]
        await self._writer.create(body)

    async def _mark(self, template: Object) -> Object:
        metadata = template["metadata"]
        policy_id, marks = self._marks[template["kind"], metadata["namespace"], metadata["name"]]
        if labels_of(template).get(POLICY_ID) == policy_id and marks.items() <= annotations_of(template).items():
            return template
        return await self._writer.merge(
            template, {"metadata": {"labels": {POLICY_ID: policy_id}, "annotations": marks}}
        )

    def binding_changed(self, binding: Object) -> None:
        """It may have missed a version of its template."""
        resource = binding["spec"]["resource"]
        if (resource["apiVersion"], resource["kind"]) in _TEMPLATES:
            plural = KINDS[resource["apiVersion"], resource["kind"]]
            self.worker.add((plural, resource["namespace"], resource["name"]))

    def _changed(self, before: Object | None, after: Object | None) -> None:
        if after is not None:
            key = after["metadata"]["namespace"], after["metadata"]["name"]
            self.worker.add((KINDS[after["apiVersion"], after["kind"]], *key))

    async def _follow(self, key: Any) -> None:
        template = await self._writer.find(*key)
        # What a MultiClusterService has claimed is never touched, nor is its binding.
        if template is None or is_leaving(template) or labels_of(template).get(_CLAIMED):
            return
        metadata = template["metadata"]
        if (template["kind"], metadata["namespace"], metadata["name"]) in self._marks:
            template = await self._mark(template)
        binding = self._bindings.get(metadata["namespace"], _binding_name(template))
        resource = binding["spec"]["resource"] if binding is not None else {}
        version = template["metadata"]["resourceVersion"]
        if binding is None or resource.get("uid") != metadata["uid"] or resource.get("resourceVersion") == version:
            return
        await self._writer.merge(binding, {"spec": {"resource": {"resourceVersion": version}}})


def _binding(template: Object) -> Object:
    metadata = template["metadata"]
    owner = {"apiVersion": template["apiVersion"], "kind": template["kind"]}
    owner |= {key: metadata[key] for key in ("name", "uid")}
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {
            "name": _binding_name(template),
            "namespace": metadata["namespace"],
            "finalizers": [BINDING_FINALIZER],
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {
            "conflictResolution": "Abort",
            "resource": owner | {key: metadata[key] for key in ("namespace", "resourceVersion")},
        },
    }


def _binding_name(template: Object) -> str:
    return f"{template['metadata']['name']}-{template['kind'].lower()}"
