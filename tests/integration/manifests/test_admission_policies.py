"""manifests/admission on a real API server: what the policies add, and that they are in nobody's way.

What they refuse is in test_validation_rules.py.
"""

from __future__ import annotations

import copy
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.manifests.support import ROOT
from tests.support.admission_rules import RESOURCE as SERVICES
from tests.support.admission_rules import mcs

if TYPE_CHECKING:
    from testbed.api import Api, Object

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKS = "work.karmada.io/v1alpha1/works"
BINDINGS = "work.karmada.io/v1alpha2/resourcebindings"
LEAVES = {"finalizers": ["example.com/test"]}


def work(**metadata: Any) -> Object:
    deployment: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "uid": "b"},
        "x": [None, {}],
    }
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {"name": f"a-{uuid.uuid4().hex[:8]}", **metadata},
        "spec": {"workload": {"manifests": [deployment]}},
    }


def binding(**metadata: Any) -> Object:
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {"name": f"a-{uuid.uuid4().hex[:8]}", **metadata},
        "spec": {
            "resource": {"apiVersion": "v1", "kind": "Service", "name": "a"},
            "replicas": 1,
            "other": [1, {"a": {}}],
        },
    }


def service(**metadata: Any) -> Object:
    manifest = mcs(ports=[{"port": 1}, {"port": 1}], range={})
    manifest["metadata"] |= metadata
    return manifest


KINDS = [
    pytest.param(SERVICES, service, "multiclusterservice.karmada.io/permanent-id", id="case 77: MultiClusterService"),
    pytest.param(WORKS, work, "work.karmada.io/permanent-id", id="case 78, its id: Work"),
    pytest.param(BINDINGS, binding, "resourcebinding.karmada.io/permanent-id", id="ResourceBinding"),
]


def meant(stored: Object) -> Object:
    """Without what the server changes with every write."""
    result = copy.deepcopy(stored)
    for field in ("resourceVersion", "managedFields", "generation"):
        result["metadata"].pop(field, None)
    return result


async def updated(api: Api, stored: Object) -> Object:
    """What becomes of an object that somebody writes back with one annotation more."""
    changed = copy.deepcopy(stored)
    changed["metadata"].setdefault("annotations", {})["example.com/touched"] = "yes"
    return await api.replace(changed)


async def test_server_has_both_kinds_of_policy_in_their_stable_version(bare, shell):
    told = await shell("kubectl get --raw /apis/admissionregistration.k8s.io/v1", plane=bare)
    kinds = {each["kind"] for each in json.loads(told.stdout)["resources"]}
    assert {"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"} <= kinds


@pytest.mark.parametrize("folder", ["admission", "admission/ids"])
async def test_applying_the_policies_again_changes_nothing(bare, shell, folder):
    versions = "-o jsonpath='{range .items[*]}{.metadata.name}={.metadata.resourceVersion}{\"\\n\"}{end}'"
    before = await shell(f"kubectl get -f manifests/{folder}/ {versions}", plane=bare)
    await shell(f"kubectl apply --validate=strict -f manifests/{folder}/", plane=bare)
    after = await shell(f"kubectl get -f manifests/{folder}/ {versions}", plane=bare)
    assert "=" in before.stdout
    assert after.stdout == before.stdout


# --- ids


@pytest.mark.parametrize("labels", [{}, {"labels": {"a": "b"}}, {"labels": {"ID": ""}}], ids=["none", "other", "empty"])
@pytest.mark.parametrize(("resource", "make", "label"), KINDS)
async def test_first_update_gives_an_id_and_changes_nothing_else(bare, resource, make, label, labels):
    given = {label if key == "ID" else key: value for key, value in labels.get("labels", {}).items()}
    stored = await bare.api.create(make(**({"labels": given} if given else {})), namespace="default")
    assert not stored["metadata"].get("labels", {}).get(label)

    after = await updated(bare.api, stored)

    given_id = after["metadata"]["labels"][label]
    assert given_id == stored["metadata"]["uid"]
    assert uuid.UUID(given_id).version == 4
    expected = meant(stored)
    expected["metadata"]["labels"] = given | {label: given_id}
    expected["metadata"]["annotations"] = {"example.com/touched": "yes"}
    assert meant(after) == expected


@pytest.mark.parametrize(("resource", "make", "label"), KINDS)
async def test_id_that_is_there_stays(bare, resource, make, label):
    stored = await bare.api.create(make(labels={label: "an-id"}), namespace="default")
    after = await updated(bare.api, stored)
    assert after["metadata"]["labels"] == {label: "an-id"}


@pytest.mark.parametrize(("resource", "make", "label"), KINDS)
async def test_object_that_is_leaving_gets_no_id(bare, resource, make, label):
    stored = await bare.api.create(make(**LEAVES), namespace="default")
    name = stored["metadata"]["name"]
    await bare.api.delete(resource, name, namespace="default")
    leaving = await bare.api.get(resource, name, namespace="default")
    after = await updated(bare.api, leaving)
    assert label not in after["metadata"].get("labels", {})
    await bare.api.patch(resource, name, {"metadata": {"finalizers": None}}, namespace="default")
    assert await bare.api.find(resource, name, namespace="default") is None


@pytest.mark.parametrize(("resource", "make", "label"), KINDS)
async def test_status_is_written_as_it_is(bare, resource, make, label):
    stored = await bare.api.create(make(), namespace="default")
    condition = {
        "type": "Applied",
        "status": "True",
        "reason": "AppliedSuccessful",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    body = {"status": {"conditions": [condition]}}
    name = stored["metadata"]["name"]
    after = await bare.api.patch(resource, name, body, namespace="default", subresource="status")
    assert after["status"] == body["status"]
    assert after["metadata"].get("labels") == stored["metadata"].get("labels")


# --- in nobody's way


def golden(kind: str) -> list[Any]:
    return [
        pytest.param(each, id=f"{file.stem}-{each['metadata']['name']}")
        for file in sorted((ROOT / "tests" / "golden").rglob("*.json"))
        for content in [json.loads(file.read_text())]
        for each in content.get("items", [content])
        if each.get("kind") == kind
    ]


@pytest.mark.parametrize("there", [*golden("MultiClusterService"), *golden("Work")[:4], *golden("ResourceBinding")[:2]])
async def test_golden_object_is_written_and_written_back_as_it_is(bare, there):
    manifest = copy.deepcopy(there)
    metadata = manifest["metadata"]
    for field in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        metadata.pop(field, None)
    manifest.pop("status", None)
    metadata |= {"name": f"a-{uuid.uuid4().hex[:8]}", "namespace": "default"}
    stored = await bare.api.create(manifest)
    after = await updated(bare.api, stored)
    del after["metadata"]["annotations"]["example.com/touched"]
    assert meant(after) | {"metadata": {}} == meant(stored) | {"metadata": {}}
    assert after["metadata"].get("labels") == manifest["metadata"].get("labels")
