"""Ports of Services, and endpoints of EndpointSlices."""

from __future__ import annotations

import pytest

from tests.e2e.world import GRACE_SECONDS, service, workload
from tests.support.conformance import (
    KARMADA,
    KEP_1645,
    KEP_1669,
    KUBERNETES_DUAL_STACK,
    KUBERNETES_SERVICE,
    behaviour,
)
from tests.support.fleet import NAMESPACES, SERVICES

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEB = {"name": "web", "image": "nginx", "lifecycle": {"preStop": {"sleep": {"seconds": GRACE_SECONDS}}}}
ECHO = {"name": "echo", "image": "udp-echo", "ports": [{"containerPort": 5353, "protocol": "UDP"}]}
TCP_AND_UDP = [{"name": "http", "port": 80}, {"name": "echo", "port": 80, "protocol": "UDP", "targetPort": 5353}]


@behaviour(
    "A Service with several named ports answers on each of them, with a name or a number as `targetPort`",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_named_ports(scene):
    ports = [
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "admin", "port": 8081, "targetPort": 9090},
    ]
    container = {**WEB, "ports": [{"name": "web", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}]}
    await scene.offer(service_=service("web", ports))
    pods = await scene.run("member1", workload("web", replicas=2, containers=[container]))
    await scene.answers("port 80, targetPort `web`", pods)
    await scene.answers("port 8081, targetPort 9090", pods, scene.url(port=8081))
    await scene.answers("port 8082, which the Service does not have", set(), scene.url(port=8082))


@behaviour(
    "A port that is added to the Service in the control plane opens in the consumer, and a removed one closes",
    level="Required",
    clause=KARMADA,
)
async def test_the_ports_change(scene):
    await scene.offer()
    pods = await scene.run("member1", workload("web", replicas=2))
    await scene.answered_by("member2", scene.url(), pods)
    ports = {"ports": [{"name": "other", "port": 8081, "targetPort": 80}]}
    await scene.space.host.patch(SERVICES, "web", {"spec": ports}, namespace=scene.namespace)
    await scene.answers("port 8081, added", pods, scene.url(port=8081))
    await scene.answers("port 80, removed", set())


@behaviour(
    "A targetPort name with a different number in each provider is resolved for each provider",
    level="Required",
    clause=KEP_1645,
)
async def test_a_named_target_port_that_differs(scene):
    await scene.offer(["member1", "member2"], service_=service("web", [{"port": 80, "targetPort": "web"}]))
    pods: set[str] = set()
    for member, number in (("member1", 8080), ("member2", 8090)):
        container = {**WEB, "ports": [{"name": "web", "containerPort": number}]}
        pods |= await scene.run(member, workload("web", containers=[container]))
    await scene.answers("port 80, which is 8080 in one and 8090 in the other", pods)


@behaviour(
    "UDP works like TCP, and a Service can have both on one port number: all Pods answer datagrams, also after scaling",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_udp(scene):
    await scene.offer(service_=service("web", TCP_AND_UDP[:1]))
    pods = await scene.run("member1", workload("web", replicas=2, containers=[WEB, ECHO]))
    await scene.answers("TCP port 80", pods)
    await scene.space.host.patch(SERVICES, "web", {"spec": {"ports": TCP_AND_UDP}}, namespace=scene.namespace)
    udp = scene.url(scheme="udp")
    await scene.answers("UDP port 80, added", pods, udp)
    await scene.answers("UDP, 2 scaled to 3", await scene.scale("member1", 3), udp)
    await scene.answers("UDP, 3 scaled to 1", pods := await scene.scale("member1", 1), udp)
    await scene.answers("TCP port 80", pods)


@behaviour(
    "All datagrams of one socket go to one Pod, and to another one when it is gone",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_a_socket_that_is_kept(scene):
    await scene.offer(service_=service("web", TCP_AND_UDP))
    pods = await scene.run("member1", workload("web", replicas=3, containers=[WEB, ECHO]))
    udp = scene.url(scheme="udp")
    await scene.answers("a new socket for each datagram", pods, udp)
    pod = await scene.answers_alone("30 datagrams of one socket", pods, f"{udp}#5000")
    await scene.space.member("member1").delete("v1/pods", pod, namespace=scene.namespace, grace_seconds=0)
    pods = await scene.settled("member1", "web", 3, without=[pod])
    await scene.answers_alone("the same, when that Pod is gone: another one", pods, f"{udp}#5000")


@behaviour(
    "With `sessionAffinity: ClientIP` one Pod answers all requests of a client, and another one when it is gone",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_session_affinity(scene):
    await scene.offer(service_=service("web", TCP_AND_UDP))
    pods = await scene.run("member1", workload("web", replicas=3, containers=[WEB, ECHO]))
    host, provider, consumer = scene.space.host, *map(scene.space.member, ("member1", "member2"))
    await scene.answers("without it", pods)

    async def read() -> tuple[str, int]:
        spec = (await consumer.get(SERVICES, "web", namespace=scene.namespace))["spec"]
        return spec["sessionAffinity"], spec.get("sessionAffinityConfig", {}).get("clientIP", {}).get("timeoutSeconds")

    sticky = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 3600}}}
    await host.patch(SERVICES, "web", {"spec": sticky}, namespace=scene.namespace)
    await scene.becomes(
        "the Service in the consumer", ("ClientIP", 3600), read, told=lambda seen: f"{seen[0]}, {seen[1]} s"
    )
    pod = await scene.answers_alone("30 requests over TCP", pods, scene.url())
    await scene.answers_alone("30 requests over UDP", pods, scene.url(scheme="udp"))
    await scene.scale("member1", 4)
    await scene.has_endpoints("endpoints in the consumer, 3 scaled to 4", IPv4=4)
    await scene.answers_alone("over TCP, when there is one more Pod: the same one", {pod}, scene.url())
    await provider.delete("v1/pods", pod, namespace=scene.namespace, grace_seconds=0)
    pods = await scene.settled("member1", "web", 4, without=[pod])
    await scene.answers_alone("over TCP, when that Pod is gone: another one", pods, scene.url())
    none = {"sessionAffinity": "None", "sessionAffinityConfig": None}
    await host.patch(SERVICES, "web", {"spec": none}, namespace=scene.namespace)
    await scene.answers("`None` again", pods)


@behaviour(
    "A Service in a namespace that does not exist in the consumer is delivered together with the namespace",
    level="Optional",
    clause=KARMADA,
)
async def test_opening_22_a_namespace_that_the_consumer_does_not_have(world, stage):
    # The controller is as fast as a test: only while it does not run there is something that the consumer lacks.
    await world.controller.terminate()
    try:
        scene = await stage()
        await scene.offer()
        assert await scene.space.member("member2").find(NAMESPACES, scene.namespace) is None
    finally:
        await world.controller.start()
    await scene.has_namespace("member1")
    pods = await scene.run("member1", workload("web"))
    await scene.answers("answering in member2", pods)


@behaviour(
    "`publishNotReadyAddresses` also applies in the consumer: Pods answer before they are ready",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_publish_not_ready_addresses(scene):
    await scene.offer(service_=service("web", publishNotReadyAddresses=True))
    pods = await scene.run("member1", workload("web", replicas=2, ready=False), ready=False)
    await scene.answers("2 Pods that are not ready", pods)


@behaviour(
    "When the last Pods are terminating and still serve, the consumer still sends them traffic",
    level="Required",
    clause=KEP_1669,
)
async def test_terminating_endpoints(scene):
    await scene.offer()
    (pod,) = await scene.run("member1", workload("web", grace=600))
    await scene.answered_by("member2", scene.url(), {pod})
    async with scene.loop() as loop:
        provider = scene.space.member("member1")
        await provider.delete("apps/v1/deployments", "web", namespace=scene.namespace)

        async def read() -> list[dict[str, bool]]:
            return [
                endpoint["conditions"] for each in await scene.copies("member2") for endpoint in each["endpoints"] or ()
            ]

        expected = [{"ready": False, "serving": True, "terminating": True}]
        await scene.becomes("conditions of the endpoint in the consumer", expected, read, told=_conditions)
        await scene.answers("a terminating Pod", {pod})
        await loop.goes_on(100)
    scene.kept_up(loop)
    await provider.delete("v1/pods", pod, namespace=scene.namespace, grace_seconds=0)
    await scene.answers("when it is gone", set())


def _conditions(seen: list[dict[str, bool]]) -> str:
    return "; ".join(", ".join(name for name, value in each.items() if value) for each in seen) or "no endpoint"


@behaviour(
    "A Service of the IPv6 family alone answers over IPv6, and its name has no A record",
    level="Required",
    clause=KUBERNETES_DUAL_STACK,
)
async def test_an_ipv6_service(scene):
    await scene.offer(service_=service("web", ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"]))
    pods = await scene.run("member1", workload("web", replicas=2))
    await scene.answers("over IPv6", pods, scene.url(scheme="http6"))
    await scene.has_endpoints("endpoints in the consumer", IPv6=2)
    await scene.has_cluster_ips(A=0, AAAA=1)
    await scene.answers("over IPv4", set())


@behaviour(
    "A Service that becomes dual-stack (`PreferDualStack`) answers over IPv4 and IPv6, with A and AAAA records",
    level="Required",
    clause=KUBERNETES_DUAL_STACK,
)
async def test_a_dual_stack_service(scene):
    async def set_policy(policy: str) -> None:
        body = {"spec": {"ipFamilyPolicy": policy}}
        await scene.space.host.patch(SERVICES, "web", body, namespace=scene.namespace)

    await scene.offer(service_=service("web", TCP_AND_UDP))
    pods = await scene.run("member1", workload("web", replicas=2, containers=[WEB, ECHO]))
    await scene.answers("`SingleStack`: over IPv4", pods)
    await set_policy("PreferDualStack")
    await scene.answers("`PreferDualStack`: over IPv6", pods, scene.url(scheme="http6"))
    await scene.has_endpoints("endpoints in the consumer", IPv4=2, IPv6=2)
    await scene.has_cluster_ips(A=1, AAAA=1)
    await scene.answers("UDP over IPv6", pods, scene.url(scheme="udp6"))
    pods = await scene.scale("member1", 3)
    await scene.answers("over IPv4, 2 scaled to 3", pods)
    await scene.answers("over IPv6, 2 scaled to 3", pods, scene.url(scheme="http6"))
    await set_policy("SingleStack")
    await scene.has_endpoints("endpoints in the consumer, `SingleStack` again", IPv4=3)
    await scene.answers("over IPv6", set(), scene.url(scheme="http6"))
    await scene.answers("over IPv4", pods)
