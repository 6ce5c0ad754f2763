"""The stand-alone cluster, status, namespace and scheduling controllers on real API servers.

They run with the rights that the manifests give, so a missing verb fails here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed import Bed, karmada
from testbed.api import Object, wait_for
from testbed.audit import AuditLog
from testbed.errors import ApiStatusError, NotYet
from tests.support.clusters import OTHER_CA, binding_json
from tests.support.standalone import AT_ONCE, CLUSTER_FLAGS, NO_NAMESPACES, USER_AGENT, standalone_controllers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed.audit import AuditEvent, AuditMark

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"
WORKS = "work.karmada.io/v1alpha1/works"
BINDINGS = "work.karmada.io/v1alpha2/resourcebindings"


@pytest_asyncio.fixture(loop_scope="session")
async def joined(lone_member: Bed) -> AsyncIterator[Bed]:
    """Joined anew by each test, and left by its end."""
    fleet = lone_member
    await karmada.join(fleet, "m1")
    yield fleet
    for binding in await fleet.host.api.list(BINDINGS):
        name, namespace = binding["metadata"]["name"], binding["metadata"]["namespace"]
        await fleet.host.api.delete(BINDINGS, name, namespace=namespace)
    cluster = await fleet.host.api.find(CLUSTERS, "m1")
    if cluster is not None:
        async with standalone_controllers(await karmada.controller_access(fleet), *CLUSTER_FLAGS, NO_NAMESPACES):
            releasing = asyncio.create_task(release_works(fleet))
            await karmada.unjoin(fleet, "m1")
            releasing.cancel()


async def release_works(fleet: Bed) -> None:
    """Stand in for the execution controller, which lets Works go once their objects are gone from the member."""
    while True:
        for work in await fleet.host.api.list(WORKS):
            meta = work["metadata"]
            if "deletionTimestamp" in meta:
                patch = {"metadata": {"finalizers": None}}
                with contextlib.suppress(ApiStatusError):  # it has gone meanwhile
                    await fleet.host.api.patch(WORKS, meta["name"], patch, namespace=meta["namespace"])
        await asyncio.sleep(0.1)


async def until(fleet: Bed, what: str, status: str, reason: str) -> Object:
    """Wait for the member's Cluster to have the condition `what` like this."""

    async def probe() -> Object | None:
        cluster = await fleet.host.api.get(CLUSTERS, "m1")
        conditions: list[Object] = cluster.get("status", {}).get("conditions", [])
        found: Object = next((one for one in conditions if one["type"] == what), {})
        if (found.get("status"), found.get("reason")) != (status, reason):
            raise NotYet(f"{what}: {found}")
        return cluster

    return await wait_for(f"condition {what}={status}/{reason}", probe)


async def test_cluster_becomes_ready_and_leaves_without_a_trace(joined: Bed) -> None:
    host = joined.host.api
    mark = AuditLog(joined.members["m1"].audit_log).mark()
    async with standalone_controllers(await karmada.controller_access(joined), *CLUSTER_FLAGS, NO_NAMESPACES):
        cluster = await until(joined, "Ready", "True", "ClusterReady")
        assert cluster["metadata"]["finalizers"] == ["karmada.io/cluster-controller"]
        space = await wait_for("the execution namespace", lambda: host.find("v1/namespaces", "karmada-es-m1"))
        assert space["metadata"]["labels"]["karmada.io/system"] == "true"
        status = cluster["status"]
        assert status["kubernetesVersion"].startswith("v1.")
        served = {one["groupVersion"]: one["resources"] for one in status["apiEnablements"]}
        assert list(served) == sorted(served)
        assert {"name": "services", "kind": "Service"} in served["v1"]
        assert {"name": "endpointslices", "kind": "EndpointSlice"} in served["discovery.k8s.io/v1"]
        assert not [one for resources in served.values() for one in resources if "/" in one["name"]]
        await until(joined, "CompleteAPIEnablements", "True", "Complete")
        asked = {event.uri for event in mark.events() if event.user_agent.startswith(USER_AGENT)}
        assert asked - {"/readyz"} == {"/version", "/api", "/apis"}, "aggregated discovery takes two documents"

        async def told() -> bool | None:
            events = await host.list("v1/events", namespace="default")
            reasons = {one["reason"] for one in events if one["involvedObject"]["name"] == "m1"}
            return True if "CreateExecutionSpaceSucceed" in reasons else None

        await wait_for("event CreateExecutionSpaceSucceed", told)
        await karmada.unjoin(joined, "m1")
    assert await host.find("v1/namespaces", "karmada-es-m1") is None


async def test_steady_world_and_a_restart_cause_no_writes(joined: Bed) -> None:
    access = await karmada.controller_access(joined)
    await joined.host.api.create(binding_manifest())

    async def no_writes_for_a_while() -> bool:
        mark = AuditLog(joined.host.audit_log).mark()
        await asyncio.sleep(3.0)
        if (writes := writes_since(mark)) != []:
            raise NotYet(f"{writes}")
        return True

    async with standalone_controllers(access, *CLUSTER_FLAGS):
        await until(joined, "Ready", "True", "ClusterReady")
        await scheduled(joined)
        await wait_for("the end of writing", no_writes_for_a_while)
    before_restart = AuditLog(joined.host.audit_log).mark()
    async with standalone_controllers(access, *CLUSTER_FLAGS):
        await until(joined, "Ready", "True", "ClusterReady")
        await scheduled(joined)
        await asyncio.sleep(3.0)
    assert writes_since(before_restart) == []


def writes_since(mark: AuditMark) -> list[AuditEvent]:
    """What the controllers have written on the control plane."""
    return [event for event in mark.events() if event.is_write and event.user_agent.startswith(USER_AGENT)]


async def test_unreachable_member_is_tainted_and_heals(joined: Bed) -> None:
    async with standalone_controllers(await karmada.controller_access(joined), *CLUSTER_FLAGS, AT_ONCE):
        await until(joined, "Ready", "True", "ClusterReady")
        await joined.members["m1"].stop_apiserver()
        try:
            await until(joined, "Ready", "False", "ClusterNotReachable")
            await taints(joined, ["cluster.karmada.io/not-ready"])
        finally:
            await joined.members["m1"].start_apiserver()
        await until(joined, "Ready", "True", "ClusterReady")
        await taints(joined, [])


async def test_missing_secret_is_told_and_heals(joined: Bed) -> None:
    host = joined.host.api
    secret = await host.get("v1/secrets", "m1", namespace="karmada-cluster")
    await host.delete("v1/secrets", "m1", namespace="karmada-cluster")
    async with standalone_controllers(await karmada.controller_access(joined), *CLUSTER_FLAGS) as members:
        cluster = await until(joined, "Ready", "False", "StatusCollectionFailed")
        (ready,) = [one for one in cluster["status"]["conditions"] if one["type"] == "Ready"]
        assert ready["message"] == members.problem("m1") == "Secret karmada-cluster/m1 not found"
        restored = {"apiVersion": "v1", "kind": "Secret", "data": secret["data"]}
        await host.create(restored | {"metadata": {"name": "m1", "namespace": "karmada-cluster"}})
        await until(joined, "Ready", "True", "ClusterReady")


async def test_opening_14_wrong_ca_shows_as_unreachable_and_heals_without_a_restart(joined: Bed) -> None:
    host = joined.host.api
    wrong = {"data": {"caBundle": base64.b64encode(OTHER_CA.encode()).decode()}}
    right = {"data": {"caBundle": base64.b64encode(joined.members["m1"].access.ca_pem).decode()}}
    await host.patch("v1/secrets", "m1", wrong, namespace="karmada-cluster")
    async with standalone_controllers(await karmada.controller_access(joined), *CLUSTER_FLAGS) as members:
        cluster = await until(joined, "Ready", "False", "ClusterNotReachable")
        (ready,) = [one for one in cluster["status"]["conditions"] if one["type"] == "Ready"]
        assert "certificate" in ready["message"].lower()
        before = members.get("m1")
        await host.patch("v1/secrets", "m1", right, namespace="karmada-cluster")
        # Any change of the Cluster would do it at once as well: endpoint, proxy, name of the Secret.

        async def rebuilt() -> bool | None:
            return True if members.get("m1") not in (None, before) else None

        await wait_for("another client", rebuilt, 120.0)
        await until(joined, "Ready", "True", "ClusterReady")


async def test_namespace_travels_and_goes(joined: Bed) -> None:
    host = joined.host.api
    async with standalone_controllers(await karmada.controller_access(joined), *CLUSTER_FLAGS):
        await host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}})

        async def made() -> Object | None:
            return await host.find(WORKS, "team-a-5cc7c7959b", namespace="karmada-es-m1")

        work = await wait_for("the namespace's Work", made)
        manifest = work["spec"]["workload"]["manifests"][0]
        assert (manifest["kind"], manifest["metadata"]["name"]) == ("Namespace", "team-a")
        works = await host.list(WORKS, namespace="karmada-es-m1")
        travelling = {one["spec"]["workload"]["manifests"][0]["metadata"]["name"] for one in works}
        assert not {name for name in travelling if name.startswith(("kube-", "karmada-")) or name == "default"}

        await host.delete("v1/namespaces", "team-a")

        async def withdrawn() -> bool | None:
            found = await made()
            return True if found is None or "deletionTimestamp" in found["metadata"] else None

        await wait_for("the garbage collector to delete the Work", withdrawn, 120.0)


async def test_binding_is_placed(joined: Bed) -> None:
    async with standalone_controllers(await karmada.controller_access(joined), *CLUSTER_FLAGS):
        await joined.host.api.create(binding_manifest())
        binding = await scheduled(joined)
        assert binding["spec"]["clusters"] == [{"name": "m1"}]
        annotations = binding["metadata"]["annotations"]
        assert annotations["policy.karmada.io/applied-placement"] == '{"clusterAffinity":{"clusterNames":["m1"]}}'
        await karmada_leaves(joined)


def binding_manifest() -> Object:
    content = binding_json("m1")
    content["metadata"] = {name: content["metadata"][name] for name in ("name", "namespace", "labels")}
    for name in ("clusters",):
        del content["spec"][name]
    content.pop("status")
    return content


async def scheduled(fleet: Bed) -> Object:
    async def probe() -> Object | None:
        binding = await fleet.host.api.get(BINDINGS, "nginx-service", namespace="default")
        status = binding.get("status", {})
        conditions = [one for one in status.get("conditions", ()) if one["type"] == "Scheduled"]
        generation = binding["metadata"]["generation"]
        if status.get("schedulerObservedGeneration") != generation:
            raise NotYet(f"generation {generation}, {conditions}, spec {binding['spec']}")
        return binding

    return await wait_for("the binding to be scheduled", probe)


async def karmada_leaves(fleet: Bed) -> None:
    """The binding lets go of a cluster that leaves, and so lets it leave."""
    releasing = asyncio.create_task(release_works(fleet))
    await karmada.unjoin(fleet, "m1")
    releasing.cancel()
    binding = await fleet.host.api.get(BINDINGS, "nginx-service", namespace="default")
    assert not binding["spec"].get("clusters")

    async def told() -> bool:  # the status is written after the spec
        found = await fleet.host.api.get(BINDINGS, "nginx-service", namespace="default")
        (condition,) = [one for one in found["status"]["conditions"] if one["type"] == "Scheduled"]
        if condition["reason"] != "NoClusterFit":
            raise NotYet(f"{condition}")
        return True

    await wait_for("condition Scheduled to say that no cluster fits", told)


async def taints(fleet: Bed, expected: list[str]) -> None:
    async def probe() -> bool | None:
        cluster = await fleet.host.api.get(CLUSTERS, "m1")
        found = [one["key"] for one in cluster["spec"].get("taints") or ()]
        if found != expected:
            raise NotYet(f"taints {found}")
        return True

    await wait_for(f"taints {expected}", probe)
