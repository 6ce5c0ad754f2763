"""Objects of a running Karmada, stored and read back: nothing is refused, nothing lost, nothing added."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.api import Api, Object, resource_path
from tests.integration.manifests.support import create_strictly, ensure_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOLDEN = Path(__file__).parents[2] / "golden"
RESOURCES = {
    "MultiClusterService": "networking.karmada.io/v1alpha1/multiclusterservices",
    "Work": "work.karmada.io/v1alpha1/works",
    "ResourceBinding": "work.karmada.io/v1alpha2/resourcebindings",
    "Cluster": "cluster.karmada.io/v1alpha1/clusters",
    "ServiceExport": "multicluster.x-k8s.io/v1alpha1/serviceexports",
    "ServiceImport": "multicluster.x-k8s.io/v1alpha1/serviceimports",
}
SET_BY_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def golden_objects() -> Iterator[Any]:
    for file in sorted(GOLDEN.rglob("*.json")):
        content = json.loads(file.read_text())
        for each in content.get("items", [content]):
            if each.get("kind") in RESOURCES:
                yield pytest.param(each, id=f"{file.stem}-{each['metadata']['name']}")


def stripped(each: Object) -> Object:
    result = copy.deepcopy(each)
    for field in SET_BY_THE_SERVER:
        result["metadata"].pop(field, None)
    return result


async def store(api: Api, each: Object) -> Object:
    """Create an object and its status, under a name of its own; returns it as the server gives it back."""
    resource = RESOURCES[each["kind"]]
    metadata = each["metadata"]
    if "namespace" in metadata:
        await ensure_namespace(api, metadata["namespace"])
    created = await create_strictly(api, resource, each)
    if "status" in each:
        created["status"] = each["status"]
        path = resource_path(resource, metadata["name"], namespace=metadata.get("namespace"), subresource="status")
        await api.raw("PUT", path, body=created, query={"fieldValidation": "Strict"})
    return await api.get(resource, metadata["name"], namespace=metadata.get("namespace"))


async def test_golden_objects_of_every_kind_are_there():
    assert {each.values[0]["kind"] for each in golden_objects()} == RESOURCES.keys()


@pytest.mark.parametrize("golden", list(golden_objects()))
async def test_golden_object_comes_back_as_it_was(installed, golden):
    wanted = stripped(golden)
    wanted["metadata"]["name"] += f"-{uuid.uuid4().hex[:6]}"  # the same object is in several dumps
    stored = await store(installed.api, wanted)
    assert stripped(stored) == wanted


def work(name: str, manifest: Object) -> Object:
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"workload": {"manifests": [manifest]}},
    }


EMPTY_SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "a"},
    "addressType": "IPv4",
    "endpoints": None,
    "ports": None,
}


async def manifest_of(api: Api, name: str) -> Object:
    stored = await api.get(RESOURCES["Work"], name, namespace="default")
    manifest: Object = stored["spec"]["workload"]["manifests"][0]
    return manifest


async def test_explicit_nulls_in_a_manifest_survive(installed):
    name = f"nulls-{uuid.uuid4().hex[:6]}"
    await create_strictly(installed.api, RESOURCES["Work"], work(name, EMPTY_SLICE))
    assert await manifest_of(installed.api, name) == EMPTY_SLICE

    # ... a write of something else,
    await installed.api.patch(RESOURCES["Work"], name, {"metadata": {"labels": {"a": "b"}}}, namespace="default")
    assert await manifest_of(installed.api, name) == EMPTY_SLICE

    # ... a JSON patch,
    other = {**EMPTY_SLICE, "metadata": {"name": "b"}}
    operations = [{"op": "replace", "path": "/spec/workload/manifests", "value": [other]}]
    await installed.api.patch(RESOURCES["Work"], name, operations, namespace="default", patch_type="json")
    assert await manifest_of(installed.api, name) == other


async def test_merge_patch_of_the_manifests_drops_nulls(installed):
    """Not RFC 7396, which leaves arrays alone, but what the server does: manifests must be written by other means."""
    name = f"nulls-{uuid.uuid4().hex[:6]}"
    await create_strictly(installed.api, RESOURCES["Work"], work(name, EMPTY_SLICE))
    other = {**EMPTY_SLICE, "metadata": {"name": "b"}}
    await installed.api.patch(
        RESOURCES["Work"], name, {"spec": {"workload": {"manifests": [other]}}}, namespace="default"
    )
    assert await manifest_of(installed.api, name) == {k: v for k, v in other.items() if v is not None}


@pytest.mark.parametrize(
    "garbage",
    [{}, {"kind": 5, "metadata": "none"}, {"apiVersion": "nowhere/v9", "kind": "Nothing", "spec": [1, None, {}]}],
    ids=["empty", "wrong types", "unknown kind"],
)
async def test_manifests_may_be_anything(installed, garbage):
    name = f"garbage-{uuid.uuid4().hex[:6]}"
    await create_strictly(installed.api, RESOURCES["Work"], work(name, garbage))
    assert await manifest_of(installed.api, name) == garbage


async def test_foreign_fields_of_a_binding_survive(installed):
    """What Karmada has and the subset here does not spell out, at every level."""
    binding = {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {"name": f"foreign-{uuid.uuid4().hex[:6]}", "namespace": "default"},
        "spec": {
            "resource": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
            "conflictResolution": "Overwrite",
            "replicas": 2,
            "replicaRequirements": {"resourceRequest": {"cpu": "1"}},
            "placement": {
                "clusterAffinity": {"clusterNames": ["a"], "labelSelector": {"matchLabels": {"a": "b"}}},
                "clusterTolerations": [{"key": "a", "operator": "Exists"}],
                "replicaScheduling": {"replicaSchedulingType": "Divided"},
            },
            "clusters": [{"name": "a", "replicas": 2, "later": True}],
            "suspension": {
                "dispatching": True,
                "dispatchingOnClusters": {"clusterNames": ["a"], "later": 1},
                "scheduling": True,
                "later": 1,
            },
            "gracefulEvictionTasks": [{"fromCluster": "a", "purgeMode": "Immediately", "reason": "x"}],
            "requiredBy": [{"namespace": "n", "name": "b", "clusters": [{"name": "a", "later": 1}], "later": 1}],
            "failover": {"application": {"decisionConditions": {"tolerationSeconds": 120}}},
            "schedulePriority": {"priority": 3},
        },
        "status": {
            "lastScheduledTime": "2026-01-01T00:00:00Z",
            "schedulerObservingAffinityName": "x",
            "aggregatedStatus": [{"clusterName": "a", "applied": True, "status": {"x": [None, 1]}, "later": 1}],
        },
    }
    assert stripped(await store(installed.api, binding)) == binding


async def test_binding_without_conflict_resolution_aborts(installed):
    binding = {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {"name": f"plain-{uuid.uuid4().hex[:6]}", "namespace": "default"},
        "spec": {"resource": {"apiVersion": "v1", "kind": "Service", "name": "a"}},
    }
    created = await create_strictly(installed.api, RESOURCES["ResourceBinding"], binding)
    assert created["spec"]["conflictResolution"] == "Abort"


async def test_applied_status_of_a_work_may_be_anything(installed):
    """None of the golden Works has one: only Services of type LoadBalancer get it."""
    carrying = work(f"applied-{uuid.uuid4().hex[:6]}", {"apiVersion": "v1", "kind": "Service"})
    identifier = {"ordinal": 0, "version": "v1", "kind": "Service", "resource": "", "name": "a"}
    applied = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}, "later": [None]}
    carrying["status"] = {"manifestStatuses": [{"identifier": identifier, "status": applied, "health": "Healthy"}]}
    assert stripped(await store(installed.api, carrying)) == carrying
