"""The walkthrough, by its own files, ending in its own command."""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed import NotYet, karmada, wait_for
from testbed.walkthrough import ANSWER, CURL, URL, manifests
from tests.e2e.world import PATIENCE_SECONDS, SAMPLES, is_ready
from tests.support.conformance import KARMADA, KUBERNETES_DNS, KUBERNETES_SERVICE, behaviour
from tests.support.fleet import SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import Api, ControlPlane
    from tests.e2e.conftest import Stage
    from tests.e2e.world import Scene, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLURALS = {"PropagationPolicy": "propagationpolicies"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def walked(world: World) -> AsyncIterator[set[str]]:
    """Every object of the walkthrough, applied to the control plane and nowhere else; the provider's Pods."""
    host, provider, consumer = (plane.api for plane in (world.bed.host, *list(world.bed.members.values())[:2]))
    written = manifests()
    await karmada.apply_all(host, written)

    async def running(api: Api, app: str, count: int) -> set[str]:
        async def probe() -> set[str]:
            found = await api.list("v1/pods", namespace="default", label_selector=f"app={app}")
            names = {each["metadata"]["name"] for each in found if is_ready(each)}
            if len(names) != count:
                raise NotYet(f"{sorted(names)}")
            return names

        return await wait_for(f"{count} Pods of {app}", probe, PATIENCE_SECONDS)

    await running(consumer, "curl", 1)
    yield await running(provider, "nginx", 2)
    for each in reversed(written):
        resource = f"{each['apiVersion']}/{PLURALS.get(each['kind'], each['kind'].lower() + 's')}"
        await host.delete(resource, each["metadata"]["name"], namespace="default")


@pytest_asyncio.fixture(loop_scope="session")
async def scene(stage: Stage, walked: set[str]) -> Scene:
    """The namespace `default`."""
    made = await stage(namespace="default")
    made.knows(walked, "member1")
    return made


async def literally(command: str, member: ControlPlane, kubectl: Path) -> str:
    """What a command of the example's README prints."""
    process = await asyncio.create_subprocess_exec(
        kubectl,
        *shlex.split(command)[1:],
        env={"KUBECONFIG": str(member.access.kubeconfig), "HOME": str(member.access.kubeconfig.parent)},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout.decode()


async def curl(scene: Scene, url: str, times: int = SAMPLES) -> set[str]:
    """What the literal command prints, so many times, in the Pod of the Deployment curl."""
    command = ["sh", "-c", f"for i in $(seq {times}); do curl -sS -m 5 {url} || exit; printf '|'; done"]
    done = await scene.world.bed.dataplane.exec("member2", "curl", command)
    if done.code != 0:
        raise NotYet(done.stderr)
    return set(done.stdout.split("|")[:-1])


@behaviour(
    "With the walkthrough's files applied to the control plane only, `curl http://nginx.default` in a Pod of the"
    " consumer is answered by all Pods of the provider, and by no others",
    level="Required",
    clause=KARMADA,
)
async def test_the_walkthrough_ends_as_it_says(scene, walked, binaries):
    pods = walked

    async def read() -> set[str]:
        return await curl(scene, URL)

    expected = {ANSWER + pod + "\n" for pod in pods}

    def told(seen: set[str]) -> str:
        strange = sorted(seen - expected)
        return f"`Hello, world!` from {len(seen & expected)} Pods" + (f", and {strange}" if strange else "")

    await scene.becomes("different answers", expected, read, told=told)
    assert await literally(CURL, scene.world.bed.members["member2"], binaries["kubectl"]) in expected


@behaviour(
    "Every form of the Service's name resolves; in the Service's own namespace also the bare name",
    level="Required",
    clause=KUBERNETES_DNS,
)
async def test_every_form_of_the_name_is_answered(scene, walked):
    pods = walked
    for name in ("nginx", "nginx.default", "nginx.default.svc", "nginx.default.svc.cluster.local"):

        async def read(name: str = name) -> tuple[frozenset[str], int]:
            answers = await curl(scene, f"http://{name}")
            return frozenset(answer.removeprefix(ANSWER).strip() for answer in answers), 0

        await scene.becomes(f"`{name}`", (frozenset(pods), 0), read, told=lambda seen: scene.told(*seen))


@behaviour(
    "The Service has a cluster IP of the consumer's own range, and the provider's Pods answer on it",
    level="Required",
    clause=KUBERNETES_SERVICE,
)
async def test_the_cluster_ip_is_answered(scene, walked):
    pods = walked

    async def address(member: str) -> str:
        async def probe() -> str | None:
            found = await scene.space.member(member).find(SERVICES, "nginx", namespace="default")
            return str(found["spec"]["clusterIP"]) if found else None

        return await wait_for(f"the Service in {member}", probe, PATIENCE_SECONDS)

    in_provider, in_consumer = await address("member1"), await address("member2")
    await scene.answers("the consumer's cluster IP", pods, f"http://{in_consumer}")
    await scene.answers("the provider's cluster IP, which means nothing there", set(), f"http://{in_provider}")
