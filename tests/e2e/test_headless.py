"""Headless Services: names of single Pods, and all addresses under one name."""

from __future__ import annotations

import pytest

from tests.e2e.world import Scene, service, workload
from tests.support.conformance import KEP_1645, KUBERNETES_DNS, behaviour

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def offered(scene: Scene) -> list[str]:
    """A StatefulSet with a headless Service called nginx, as in Kubernetes' own tutorial; its addresses, in order."""
    await scene.offer(service_=service("nginx", clusterIP="None"))
    stateful = workload("nginx", kind="StatefulSet", replicas=2, serviceName="nginx")
    stateful["metadata"]["name"] = "web"
    await scene.space.create_in("member1", stateful)
    pods = sorted(await scene.pods("member1", "nginx", 2))
    assert pods == ["web-0", "web-1"]
    found = [await scene.space.member("member1").get("v1/pods", pod, namespace=scene.namespace) for pod in pods]
    return [pod["status"]["podIP"] for pod in found]


@behaviour(
    "Each Pod of a StatefulSet in the provider has its own name in the consumer (`web-0.nginx.<namespace>`),"
    " under which it answers",
    level="Required",
    clause=KUBERNETES_DNS,
)
async def test_opening_25_a_pod_has_a_name_of_its_own(scene):
    addresses = await offered(scene)
    for pod, address in zip(("web-0", "web-1"), addresses, strict=True):
        name = f"{pod}.nginx.{scene.namespace}"
        told = {address: f"the address of {pod}"}
        await scene.resolves(f"`{pod}.nginx.<namespace>`", name, [address], names=told)
        await scene.answers(f"`http://{pod}.nginx.<namespace>`", {pod}, f"http://{name}")


@behaviour(
    "The bare name of a headless Service resolves to the addresses of all ready Pods, and only of those",
    level="Required",
    clause=KEP_1645,
)
async def test_opening_25_the_bare_name_has_all_addresses(scene):
    one, other = await offered(scene)
    names = {one: "web-0", other: "web-1"}
    await scene.resolves("`nginx.<namespace>`", f"nginx.{scene.namespace}", [one, other], names=names)
    annotation = {"metadata": {"annotations": {"testbed/ready": "false"}}}
    await scene.space.member("member1").patch("v1/pods", "web-1", annotation, namespace=scene.namespace)
    await scene.resolves("the same, when web-1 is not ready", f"nginx.{scene.namespace}", [one], names=names)
