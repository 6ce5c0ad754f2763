"""Pods answer: over their addresses, over Services and names, in their own member and from another."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import pytest_asyncio

from testbed import Bed, NotYet, wait_for
from testbed.dataplane import network
from testbed.dataplane.status import READY_ANNOTATION
from testbed.tasks import together
from tests.integration.dataplane.support import (
    HELLO,
    answered_by,
    curl,
    deployment,
    pod,
    running,
    service,
    until_silent,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def space(dataplane_bed):
    """A namespace on both members, with a Pod called curl in each."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    planes = dataplane_bed.members.values()
    await together(
        plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}) for plane in planes
    )
    await together(plane.api.create(pod("curl", "curlimages/curl"), namespace=name) for plane in planes)
    await together(running(plane, name, "curl") for plane in planes)
    yield name
    await together(plane.api.delete("v1/namespaces", name) for plane in planes)


async def test_a_pod_answers_a_pod_of_another_member_over_its_address(dataplane_bed, space):
    provider = dataplane_bed.members["member1"]
    await provider.api.create(deployment("nginx", "nginx", 2), namespace=space)
    pods = await running(provider, space, "nginx", 2)
    for name, address in pods.items():
        assert await curl(dataplane_bed, "member2", space, f"http://{address}") == HELLO.format(pod=name)
        assert await curl(dataplane_bed, "member1", space, f"http://{address}") == HELLO.format(pod=name)


async def test_a_service_answers_by_every_form_of_its_name_and_by_its_cluster_ip(dataplane_bed, space):
    provider = dataplane_bed.members["member1"]
    await provider.api.create(deployment("nginx", "nginx", 2), namespace=space)
    made = await provider.api.create(service("nginx"), namespace=space)
    pods = await running(provider, space, "nginx", 2)
    await answered_by(dataplane_bed, "member1", space, "http://nginx", list(pods))
    for name in (
        f"nginx.{space}",
        f"nginx.{space}.svc",
        f"nginx.{space}.svc.cluster.local",
        made["spec"]["clusterIP"],
    ):
        assert (await curl(dataplane_bed, "member1", space, f"http://{name}")).startswith("Hello, world!\n"), name
    # Its name and address mean nothing in another cluster.
    assert await curl(dataplane_bed, "member2", space, f"http://nginx.{space}") == ""
    assert await curl(dataplane_bed, "member2", space, f"http://{made['spec']['clusterIP']}") == ""


async def test_a_pod_that_is_not_ready_gets_no_traffic_until_it_is_again(dataplane_bed, space):
    provider = dataplane_bed.members["member1"]
    await provider.api.create(deployment("nginx", "nginx", 2), namespace=space)
    await provider.api.create(service("nginx"), namespace=space)
    one, other = await running(provider, space, "nginx", 2)
    for ready, expected in (("false", [other]), ("true", [one, other])):
        annotations = {"metadata": {"annotations": {READY_ANNOTATION: ready}}}
        await provider.api.patch("v1/pods", one, annotations, namespace=space)
        await answered_by(dataplane_bed, "member1", space, "http://nginx", expected)


async def test_a_slice_of_another_members_pods_makes_the_literal_walkthrough_command_answer(dataplane_bed):
    provider, consumer = dataplane_bed.members["member1"], dataplane_bed.members["member2"]
    await provider.api.create(deployment("nginx", "nginx", 2), namespace="default")
    await consumer.api.create(deployment("curl", "curlimages/curl"), namespace="default")
    await consumer.api.create(service("nginx"), namespace="default")
    pods = await running(provider, "default", "nginx", 2)
    await running(consumer, "default", "curl")
    made_by_hand = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "imported-nginx", "labels": {"kubernetes.io/service-name": "nginx"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in pods.values()],
        "ports": [{"port": 80, "protocol": "TCP"}],
    }
    await consumer.api.create(made_by_hand, namespace="default")
    await answered_by(dataplane_bed, "member2", "default", "http://nginx.default", list(pods))
    answer = await dataplane_bed.dataplane.exec("member2", "curl", ["curl", "http://nginx.default"])
    assert answer.code == 0
    assert answer.stdout in {HELLO.format(pod=name) for name in pods}

    await consumer.api.delete("discovery.k8s.io/v1/endpointslices", "imported-nginx", namespace="default")
    await until_silent(dataplane_bed, "member2", "default", "http://nginx.default")


async def test_a_readiness_probe_decides_when_a_pod_is_ready(dataplane_bed, space):
    plane = dataplane_bed.members["member1"]
    for name, port in (("open", 80), ("shut", 81)):
        probe = {"readinessProbe": {"httpGet": {"port": port, "path": "/"}, "periodSeconds": 1}}
        await plane.api.create(pod(name, "nginx", container=probe), namespace=space)
    await running(plane, space, "open")

    async def started() -> dict[str, Any]:
        found: dict[str, Any] = await plane.api.get("v1/pods", "shut", namespace=space)
        if found["status"].get("phase") == "Running":
            return found
        raise NotYet(found["status"])

    shut = await wait_for("the Pod with the failing probe to run", started, 60)
    assert shut["status"]["containerStatuses"][0]["ready"] is False


async def test_datagrams_come_back_through_a_service(dataplane_bed: Bed, space: str) -> None:
    plane = dataplane_bed.members["member1"]
    echo = pod("echo", "udp-echo", container={"ports": [{"containerPort": 7, "protocol": "UDP"}]})
    await plane.api.create(echo, namespace=space)
    await plane.api.create(service("echo", port=7, protocol="UDP"), namespace=space)
    script = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(5);"
        f" s.sendto(b'ping', ('echo.{space}', 7)); print(s.recv(99).decode())"
    )

    async def answered() -> str | None:
        answer = await dataplane_bed.dataplane.exec("member1", "curl", ["python3", "-c", script], namespace=space)
        if answer.code == 0:
            return answer.stdout
        raise NotYet(answer.stderr)

    assert await wait_for("an echo", answered, 60) == "Hostname: echo\nping\n"


async def test_a_deleted_pod_answers_until_its_prestop_hook_is_over_and_then_nothing_of_it_is_left(
    dataplane_bed, space
):
    """The hook lasts until a shorter grace period ends it, so a slow client still finds the Pod terminating."""
    plane = dataplane_bed.members["member1"]
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 500}}}}
    await plane.api.create(pod("slow", "nginx", container=hook, terminationGracePeriodSeconds=600), namespace=space)
    (address,) = (await running(plane, space, "slow")).values()
    await plane.api.delete("v1/pods", "slow", namespace=space)
    assert await curl(dataplane_bed, "member2", space, f"http://{address}") == HELLO.format(pod="slow")
    assert (await plane.api.get("v1/pods", "slow", namespace=space))["metadata"]["deletionTimestamp"]
    await plane.api.delete("v1/pods", "slow", namespace=space, grace_seconds=2)
    await until_silent(dataplane_bed, "member2", space, f"http://{address}")

    async def gone() -> bool | None:
        return await plane.api.find("v1/pods", "slow", namespace=space) is None or None

    await wait_for("the Pod to be gone", gone, 60)
    assert not [each for each in network.existing() if f".{space}.slow." in each]


async def test_a_pod_whose_image_nothing_stands_for_stays_pending_and_says_why(dataplane_bed, space):
    plane = dataplane_bed.members["member1"]
    await plane.api.create(pod("database", "postgres:17"), namespace=space)

    async def told() -> str | None:
        events = await plane.api.list("v1/events", namespace=space, field_selector="involvedObject.name=database")
        return events[0]["message"] if events else None

    assert "not 'postgres:17'" in await wait_for("an Event", told, 60)
    found = await plane.api.get("v1/pods", "database", namespace=space)
    assert found["status"]["phase"] == "Pending"
    assert found["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull"


async def test_a_pod_knows_its_own_name_and_resolver_and_nothing_of_the_outside(dataplane_bed: Bed, space: str) -> None:
    async def ask(*command: str) -> str:
        answer = await dataplane_bed.dataplane.exec("member2", "curl", command, namespace=space)
        return answer.stdout

    assert await ask("hostname") == "curl\n"
    assert f"search {space}.svc.cluster.local" in await ask("cat", "/etc/resolv.conf")
    assert "http_proxy" not in await ask("env")
    outside = await dataplane_bed.dataplane.exec(
        "member2", "curl", ["curl", "-sS", "-m", "30", "http://192.0.2.1"], namespace=space
    )
    assert outside.code == 7  # refused at once by the node, not lost somewhere outside
    plane = dataplane_bed.members["member2"]
    assert await curl(dataplane_bed, "member2", space, "-k", plane.access.server + "/version") == ""
