"""`mcsctl doctor --probe` tells kube-proxy, DNS and the port of the Pods apart, by traffic from a Pod of the consumer.

That is one of the user's, which has curl, or a short-lived one with our own image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mcs_controller.diagnosis.findings import Severity
from mcs_controller.mcsctl.access import AccessOptions
from mcs_controller.mcsctl.doctor import run as run_doctor
from mcs_controller.mcsctl.probing import IMAGE, ProbeOptions
from testbed import NotYet, wait_for
from testbed.dataplane import network
from tests.e2e.world import PATIENCE_SECONDS, workload
from tests.integration.mcsctl.calls import mcsctl, paste
from tests.support.fleet import (
    DEPLOYMENTS,
    SERVICES,
    Space,
    deployment,
    eventually,
    multiclusterservice,
    service,
)
from tests.support.image import image_inputs, unpacked_image
from tests.support.no_findings import kubeconfig_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from mcs_controller.diagnosis.findings import Finding
    from testbed.dataplane.plane import Node
    from tests.e2e.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIRROR = "mirror.example.com/tools/mcs-controller:probe"
"""Our image by another name, which `--probe-image` has."""

CURL = ProbeOptions(pod="curl")


@dataclass(frozen=True)
class Probed:
    """A service from member1 to member2 that answers a Pod called curl there."""

    world: World
    space: Space

    @property
    def consumer(self) -> Node:
        assert self.world.bed.dataplane is not None
        return self.world.bed.dataplane.nodes["member2"]

    @property
    def kubeconfig(self) -> str:
        return kubeconfig_of(self.world.bed)

    async def errors_are(self, *codes: str, by: ProbeOptions = CURL) -> str:
        """Wait until a diagnosis with such a probe finds exactly this, and everything could be looked at.

        What is printed as its fix is run as it is; what this shows is returned.
        """
        options = AccessOptions(kubeconfig=self.kubeconfig, context="karmada")

        async def probe() -> Sequence[Finding]:
            target = (self.space.namespace, "web")
            findings = (await run_doctor(options, target, probing=by)).findings
            worse = [one for one in findings if one.severity > Severity.WARNING]
            if [(one.code, one.severity) for one in worse] != [(code, Severity.ERROR) for code in codes]:
                raise NotYet(f"{[(one.code, one.severity.name, one.problem, one.evidence) for one in worse]}")
            return worse

        found = await wait_for(f"errors {codes} and no others", probe, PATIENCE_SECONDS)
        return "".join([await paste(one.fix) for one in found])

    async def mends(self, code: str, play: Callable[[], Awaitable[None]]) -> None:
        """A diagnosis finds this alone, and its fix, pasted, leads back to health.

        Args:
            code: of the finding.
            play: does what the fix is about, where the bed has no Pod but a process.
        """
        await self.errors_are(code)
        await play()
        await self.errors_are()

    async def listen(self, port: int) -> None:
        body = {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]}}
        await self.space.host.patch(SERVICES, "web", body, namespace=self.space.namespace)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def probed(world: World) -> AsyncIterator[Probed]:
    space = await Space.make(world.bed, in_members=False)
    made = Probed(world, space)
    try:
        for member in ("member1", "member2"):

            async def found(member: str = member) -> object:
                return await space.member(member).find("v1/namespaces", space.namespace)

            await wait_for(f"the namespace in {member}", found, PATIENCE_SECONDS)
        await space.create(service("web", selector={"app": "web"}))
        await space.create(multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in("member1", workload("web", grace=0))
        curl = {"containers": [{"name": "curl", "image": "curlimages/curl"}]}
        await space.create_in(
            "member2", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "curl"}, "spec": curl}
        )
        await made.errors_are()
        yield made
    finally:
        await space.remove()


async def test_breakage_5_the_pods_listen_on_another_port(probed: Probed):
    await probed.listen(9999)
    assert "Image: " in await probed.errors_are("MCS093")
    await probed.listen(80)
    await probed.errors_are()


async def test_our_own_image_finds_the_same_where_only_restricted_pods_may_run(
    probed: Probed, tmp_path_factory: pytest.TempPathFactory
):
    dataplane, space = probed.world.bed.dataplane, probed.space
    assert dataplane is not None
    files = unpacked_image(image_inputs(), tmp_path_factory.mktemp("image")).files
    dataplane.add_image(MIRROR, files)
    member = space.member("member2")
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    await member.patch("v1/namespaces", space.namespace, {"metadata": {"labels": enforced}})
    words = ("--context=karmada", "doctor", "web", "-n", space.namespace, "--probe-image", MIRROR, "--wait=60s")
    assert "Healthy" in await mcsctl(*words, kubeconfig=probed.kubeconfig)
    dataplane.add_image(IMAGE, files)
    own = ProbeOptions()
    await probed.listen(9999)
    await probed.errors_are("MCS093", by=own)
    await probed.listen(80)
    await probed.consumer.coredns.kill()
    try:
        await probed.errors_are("MCS090", by=own)
    finally:
        await probed.consumer.coredns.start()
    await probed.errors_are(by=own)

    async def pods() -> list[str]:
        return [one["metadata"]["name"] for one in await member.list("v1/pods", namespace=space.namespace)]

    await eventually("the Pods", pods, ["curl"])


async def test_breakage_24_coredns_of_the_consumer_is_stopped(probed: Probed):
    """CoreDNS is a process in the bed; a Deployment without Pods is told to restart."""
    member, coredns = probed.space.member("member2"), deployment("coredns", 0)
    coredns["metadata"]["labels"] = {"k8s-app": "kube-dns"}
    await member.create(coredns, namespace="kube-system")

    async def start() -> None:
        there = await member.get(DEPLOYMENTS, "coredns", namespace="kube-system")
        assert "kubectl.kubernetes.io/restartedAt" in there["spec"]["template"]["metadata"]["annotations"]
        await probed.consumer.coredns.start()

    await probed.consumer.coredns.kill()
    try:
        await probed.mends("MCS090", start)
    finally:
        if probed.consumer.coredns.pid is None:
            await probed.consumer.coredns.start()
        await member.delete(DEPLOYMENTS, "coredns", namespace="kube-system")


async def test_packets_to_some_and_to_all_endpoints_are_dropped(probed: Probed):
    member, namespace = probed.space.member("member1"), probed.space.namespace
    await member.patch("apps/v1/deployments", "web", {"spec": {"replicas": 2}}, namespace=namespace)
    await probed.space.ready_addresses("member1", 2, "web")
    await probed.errors_are()
    node = probed.consumer.plan.namespace
    addresses = await probed.space.ready_addresses("member1", 2, "web")
    dropped: list[str] = []
    try:
        for address, code in zip(addresses, ("MCS094", "MCS092"), strict=True):
            await network.ip([f"route add blackhole {address}"], namespace=node)
            dropped.append(address)
            shown = await probed.errors_are(code)
            assert code != "MCS094" or address in shown
    finally:
        await network.ip([f"route del blackhole {address}" for address in dropped], namespace=node)
    await probed.errors_are()


async def test_breakage_23_kube_proxy_of_the_consumer_is_stopped(probed: Probed):
    await probed.consumer.kube_proxy.kill()
    try:
        for pod in await probed.space.member("member1").list("v1/pods", namespace=probed.space.namespace):
            await probed.space.member("member1").delete(
                "v1/pods", pod["metadata"]["name"], namespace=probed.space.namespace, grace_seconds=0
            )
        await probed.mends("MCS091", probed.consumer.kube_proxy.start)
    finally:
        if probed.consumer.kube_proxy.pid is None:
            await probed.consumer.kube_proxy.start()
