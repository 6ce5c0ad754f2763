"""The walkthrough, by its own files, ending in its own command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import yaml

from testbed import NotYet, wait_for
from tests.e2e.world import PATIENCE_SECONDS, SAMPLES, is_ready
from tests.support.conformance import KARMADA, KUBERNETES_DNS, KUBERNETES_SERVICE, behaviour
from tests.support.fleet import DEPLOYMENTS, MCS, SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import Api
    from tests.e2e.conftest import Stage
    from tests.e2e.world import Object, Scene, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-walkthrough"
CURL = {"name": "curl", "image": "curlimages/curl"}
ANSWER = "Hello, world!\nVersion: 1.0.0\nHostname: <pod>\n"


def example(name: str) -> Object:
    manifest: Object = yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text())
    return manifest


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def walked(world: World) -> AsyncIterator[set[str]]:
    """The walkthrough's own objects, and a Deployment of curl in the consumer; the provider's Pods."""
    host, provider, consumer = (plane.api for plane in (world.bed.host, *list(world.bed.members.values())[:2]))
    labels = {"app": "curl"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [CURL]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    curl = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "curl"}, "spec": spec}
    await provider.create(example("deployment"))
    await consumer.create(curl)
    await host.create(example("service"))
    await host.create(example("multiclusterservice"))

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
    await host.delete(MCS, "nginx", namespace="default")
    await host.delete(SERVICES, "nginx", namespace="default")
    await provider.delete(DEPLOYMENTS, "nginx", namespace="default")
    await consumer.delete(DEPLOYMENTS, "curl", namespace="default")


@pytest_asyncio.fixture(loop_scope="session")
async def scene(stage: Stage, walked: set[str]) -> Scene:
    """The namespace `default`."""
    made = await stage(namespace="default")
    made.knows(walked, "member1")
    return made


async def curl(scene: Scene, url: str, times: int = SAMPLES) -> set[str]:
    """What the literal command prints, so many times, in the Pod of the Deployment curl."""
    command = ["sh", "-c", f"for i in $(seq {times}); do curl -sS -m 5 {url} || exit; printf '|'; done"]
    done = await scene.world.bed.dataplane.exec("member2", "curl", command)
    if done.code != 0:
        raise NotYet(done.stderr)
    return set(done.stdout.split("|")[:-1])


@behaviour(
    "`curl http://nginx.default` in a Pod of the consumer is answered by every Pod of the provider, and by nobody else",
    level="Required",
    clause=KARMADA,
)
async def test_the_walkthrough_ends_as_it_says(scene, walked):
    pods = walked

    async def read() -> list[str]:
        answers = await curl(scene, "http://nginx.default")
        return sorted(answer.replace(pod, "<pod>") for answer in answers for pod in pods if pod in answer)

    await scene.becomes(
        "different answers", [ANSWER, ANSWER], read, told=lambda seen: f"{len(seen)}, each `Hello, world!` from a Pod"
    )


@behaviour(
    "The Service is found under each form of its name, from the Pod's own namespace also under its bare name",
    level="Required",
    clause=KUBERNETES_DNS,
)
async def test_every_form_of_the_name_is_answered(scene, walked):
    pods = walked
    for name in ("nginx", "nginx.default", "nginx.default.svc", "nginx.default.svc.cluster.local"):

        async def read(name: str = name) -> tuple[frozenset[str], int]:
            answers = await curl(scene, f"http://{name}")
            return frozenset(pod for pod in pods for answer in answers if f"Hostname: {pod}\n" in answer), 0

        await scene.becomes(f"`{name}`", (frozenset(pods), 0), read, told=lambda seen: scene.told(*seen))


@behaviour(
    "The Service has a cluster IP in the consumer, of the consumer's own range, and it leads to the provider's Pods",
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
