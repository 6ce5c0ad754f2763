"""Providers that have no endpoints to give, on real API servers: each code is the verdict, its printed fix mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.diagnosis.findings import Severity
from testbed import NotYet, wait_for
from tests.integration.mcsctl.test_breakages import mends
from tests.integration.mcsctl.test_declared import finds, patch_service
from tests.integration.mcsctl.test_delivery import remove_networkpolicies
from tests.support.fleet import (
    BINDINGS,
    DEPLOYMENTS,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    SERVICES,
    Space,
    deployment,
    gone,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from tests.integration.mcsctl.conftest import Patient

pytestmark = pytest.mark.asyncio(loop_scope="session")

PODS = "v1/pods"
QUOTAS = "v1/resourcequotas"


async def change_pods(patient: Patient, *, image: str = "nginx", **container: Any) -> None:
    """Give the Deployment other Pods, and wait until no others are left."""
    space = patient.space
    template = {"spec": {"containers": [{"name": "web", "image": image, **container}]}}
    spec = {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": template}
    member = space.member("member1")
    await member.patch(DEPLOYMENTS, "web", {"spec": spec}, namespace=space.namespace)

    async def probe() -> bool:
        pods = await member.list(PODS, namespace=space.namespace)
        images = [one["spec"]["containers"][0]["image"] for one in pods if one.get("status", {}).get("podIP")]
        if images != [image] or len(pods) != 1:
            raise NotYet(f"{images}")
        return True

    await wait_for(f"a Pod of image {image} alone", probe, PATIENCE_SECONDS)


async def test_breakage_7_the_namespace_is_missing_in_provider_and_consumer(shared: Patient):
    """The controller's flag has kept namespaces called so out of the members since ever."""
    space = Space(shared.space.bed, f"kube-{shared.space.namespace}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace}}
    await space.host.create(namespace)
    try:
        await space.create(
            service("web", selector={"app": "web"}), multiclusterservice("web", ["member1"], ["member2"])
        )
        other = replace(shared, space=space)
        member2 = space.member("member2")
        await member2.create(namespace)
        finding = await finds(other, "MCS050", Severity.ERROR, minutes_later=2)
        await mends(other, "MCS050", finding=finding, then=lambda: space.create_in("member1", deployment("web", 1)))
        await member2.delete(NAMESPACES, space.namespace)
        await gone(member2, NAMESPACES, space.namespace)
        await mends(other, "MCS070")
    finally:
        for api in (space.host, space.member("member1"), space.member("member2")):
            await api.delete(NAMESPACES, space.namespace, missing_ok=True)


async def test_the_service_is_missing_in_the_provider(shared: Patient):
    """A consequence: what keeps it from there has a code of its own."""
    space = shared.space
    suspension = {"spec": {"suspension": {"dispatching": True}}}
    await space.host.patch(BINDINGS, "web-service", suspension, namespace=space.namespace)
    finding = await shared.verdict_is("MCS043")  # before it has a consequence
    await space.member("member1").delete(SERVICES, "web", namespace=space.namespace)
    await gone(space.member("member1"), SERVICES, "web", space.namespace)
    diagnosis = await shared.doctor()
    assert "MCS051" in [one.code for one in diagnosis.hidden]
    await mends(shared, "MCS043", finding=finding)


async def test_breakage_3_the_selector_is_misspelled(shared: Patient):
    await patch_service(shared, {"selector": {"app": "wbe"}})
    await mends(shared, "MCS052")


async def test_breakage_4_the_deployment_is_scaled_to_zero(shared: Patient):
    space = shared.space
    await space.member("member1").patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}}, namespace=space.namespace)
    await mends(shared, "MCS053")


async def test_breakage_4_the_pods_cannot_start(shared: Patient):
    space = shared.space
    await change_pods(shared, image="nginx:no-such-tag")
    (pod,) = await space.member("member1").list(PODS, namespace=space.namespace)
    status = pod["status"]
    for one in status["conditions"]:
        one["status"] = "False" if one["type"] in ("Ready", "ContainersReady") else one["status"]
    status["containerStatuses"][0] |= {
        "ready": False,
        "started": False,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}},
    }
    await space.member("member1").patch(
        PODS, pod["metadata"]["name"], {"status": status}, namespace=space.namespace, subresource="status"
    )
    await mends(shared, "MCS054")


async def test_breakage_5_the_targetport_is_wrong(shared: Patient):
    await change_pods(shared, image="nginx:ports", ports=[{"name": "web", "containerPort": 80}])
    await patch_service(shared, {"ports": [{"name": "http", "port": 80, "targetPort": 9999}]})
    await mends(shared, "MCS055")


async def test_a_port_of_another_protocol(shared: Patient):
    await change_pods(shared, image="nginx:ports", ports=[{"name": "web", "containerPort": 80}])
    await patch_service(shared, {"ports": [{"name": "http", "port": 80, "protocol": "UDP"}]})
    await mends(shared, "MCS058")


async def test_a_networkpolicy_lets_no_other_cluster_in(shared: Patient):
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "inside"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]},
    }
    await shared.space.create_in("member1", policy)
    await mends(shared, "MCS056")
    await remove_networkpolicies(shared, "member1")


async def test_breakage_4_a_service_without_selector(shared: Patient):
    space = shared.space
    await space.create(service("api"), multiclusterservice("api", ["member1"], ["member2"]))
    await space.create_in("member1", deployment("api", 1))
    finding = await finds(shared, "MCS057", Severity.ERROR, minutes_later=2, service_name="api")
    await mends(shared, "MCS057", service_name="api", finding=finding)
    await space.host.delete(MCS, "api", namespace=space.namespace)
    await space.host.delete(SERVICES, "api", namespace=space.namespace)
    await space.member("member1").delete(DEPLOYMENTS, "api", namespace=space.namespace)


async def test_a_quota_keeps_the_pods_out(shared: Patient):
    """The bed's members have no controller that counts what quotas are about: that is played here."""
    space = shared.space
    member = space.member("member1")

    async def count() -> None:
        hard = (await member.get(QUOTAS, "few", namespace=space.namespace))["spec"]["hard"]
        status = {"status": {"hard": hard, "used": {"pods": "0"}}}
        await member.patch(QUOTAS, "few", status, namespace=space.namespace, subresource="status")

    async def no_pods() -> bool:
        if left := await member.list(PODS, namespace=space.namespace):
            raise NotYet(f"{len(left)}")
        return True

    await member.delete(DEPLOYMENTS, "web", namespace=space.namespace)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
    await space.create_in("member1", quota)
    await count()
    await wait_for("no Pods", no_pods, PATIENCE_SECONDS)
    await space.create_in("member1", deployment("web", 1))
    await mends(shared, "MCS059", then=count)
    await member.delete(QUOTAS, "few", namespace=space.namespace)
