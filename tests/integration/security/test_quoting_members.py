"""Members that are ready, and quote the request with all its secrets wherever they refuse something.

From such an answer a way leads to people: the Work's condition, the events, the MultiClusterService's condition, the
log. What is quoted is told there, without the secrets.
"""

from __future__ import annotations

import base64
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from tests.integration.security.canaries import Canaries
from tests.integration.security.fleet import NAMESPACE, Fleet, everything_of
from tests.integration.security.quoting import MARK, QuotingMember
from tests.support.agents import control_plane_kubeconfig
from tests.support.fleet import (
    CLUSTERS,
    PATIENCE_SECONDS,
    SECRETS,
    Space,
    condition_of,
    endpointslice,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.pytest_plugin import NewBed
    from tests.integration.security.quoting import Manner

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITTEN = ("services", "endpointslices")
SILENT: tuple[Manner, ...] = ("unlisted", "unwatched")
IMPATIENT = (
    "--cluster-status-update-frequency=1s",
    "--cluster-success-threshold=1s",
    "--cluster-failure-threshold=10s",
)


class World:
    """The members by what is said of them below, and who serves them."""

    def __init__(self, bed: Bed, stack: AsyncExitStack) -> None:
        self.bed = bed
        self.canaries = Canaries()
        self.fleet = Fleet(bed, self.canaries)
        self.processes: list[ControllerProcess] = []
        self.silent: dict[str, str] = {}
        """Where those are that quote lists and watches."""
        self._stack = stack
        self._behind = bed.members["behind"].access

    async def quoting(self, manner: Manner, *about: str) -> str:
        """A new member in front of the one behind; its host and port."""
        return (await self._stack.enter_async_context(QuotingMember(self._behind, manner, *about))).address

    async def start(self, name: str, kubeconfig: Path, *flags: str) -> None:
        process = ControllerProcess(
            kubeconfig, root=self.bed.root, name=name, extra_args=["--v=10", *IMPATIENT, *flags]
        )
        self._stack.push_async_callback(process.kill)
        await process.start()
        self.processes.append(process)

    async def start_agent(self, cluster: str, address: str) -> None:
        """For a Pull cluster whose agent has a secret token for its own member."""
        body = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": cluster}}
        await self.bed.host.api.create(body | {"spec": {"syncMode": "Pull"}})
        token = self.canaries.plant(f"token of the agent of {cluster}")
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "own", "cluster": {"server": f"http://{address}"}}],
            "users": [{"name": "own", "user": {"token": token}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
            "current-context": "own",
        }
        own = self.bed.root / f"{cluster}.kubeconfig"
        own.write_text(json.dumps(config))
        control_plane = await control_plane_kubeconfig(self.bed, cluster)
        self.canaries.plant_value(f"agent of {cluster} on the control plane", signature_in(control_plane))
        await self.start(f"agent-{cluster}", own, f"--cluster-name={cluster}", f"--karmada-kubeconfig={control_plane}")


def signature_in(kubeconfig: Path) -> str:
    """The part of the token that is in no other one."""
    return kubeconfig.read_text().partition("token: ")[2].split()[0].rpartition(".")[2]


async def made(new_bed: NewBed, stack: AsyncExitStack) -> World:
    """member1 is an ordinary provider. All others are ways to one and the same API server."""
    world = World(await new_bed(members=("member1", "behind")), stack)
    bed, fleet, header = world.bed, world.fleet, {"X-Proxy-Key": "{}"}
    await karmada.install(bed)
    await karmada.join(bed, "member1")
    secret = await bed.host.api.get(SECRETS, "member1", namespace=NAMESPACE)
    real = base64.b64decode(secret["data"]["token"]).decode()
    world.canaries.plant_value("real token of member1", real.rpartition(".")[2])
    kubeconfig = await karmada.controller_kubeconfig(bed)
    world.canaries.plant_value("token of the controller", signature_in(kubeconfig))

    refusing: tuple[Manner, ...] = ("forbidden", "invalid", "broken")
    for manner in refusing:
        await fleet.add(manner, apiEndpoint=f"http://{await world.quoting(manner, *WRITTEN)}")
        proxy = f"http://a:{{}}@{await world.quoting(manner, *WRITTEN)}"
        await fleet.add(f"{manner}-by-proxy", apiEndpoint="http://behind.test", proxyURL=proxy, proxyHeader=header)
    for manner in SILENT:
        world.silent[manner] = await world.quoting(manner, *WRITTEN)
        await fleet.add(manner, apiEndpoint=f"http://{world.silent[manner]}")
    await world.start("controller", kubeconfig)
    await world.start_agent("pulled", await world.quoting("forbidden", *WRITTEN))
    return world


@pytest.mark.timeout(600)
async def test_what_ready_members_quote_of_requests_is_told_without_the_secrets(new_bed: NewBed):
    async with AsyncExitStack() as stack:
        world = await made(new_bed, stack)
        bed, host = world.bed, world.bed.host.api
        refusing = [name for name in world.fleet.names if not name.startswith("un")] + ["pulled"]
        space = await Space.make(bed)
        await space.create(service("web"), multiclusterservice("web", ["member1", *SILENT], ["member1", *refusing]))
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))

        async def all_are_ready() -> bool:
            clusters = await host.list(CLUSTERS)
            if waiting := [one["metadata"]["name"] for one in clusters if condition_of(one, "Ready")[0] != "True"]:
                raise NotYet(f"{waiting} are not")
            return True

        async def all_are_told() -> bool:
            untold = []
            for cluster in refusing:
                for kind in ("Service", "EndpointSlice"):
                    works = await space.works(cluster, kind)
                    if not works or MARK not in condition_of(works[0], "Applied")[2]:
                        untold.append(f"{cluster} {kind}: {[condition_of(one, 'Applied') for one in works]}")
                    for work in works:
                        told = await host.list("v1/events", namespace=work["metadata"]["namespace"])
                        if not any(one["reason"] == "SyncFailed" and MARK in one["message"] for one in told):
                            untold.append(f"{cluster} {kind}: no event")
            if untold:
                raise NotYet(", ".join(untold))
            return True

        async def service_tells() -> bool:
            status, _, message = await space.condition("web", "EndpointSliceDispatched")
            told = message.count(MARK) == len(refusing)
            if status != "False" or not told or any(f"of member1 in {one}: " not in message for one in refusing):
                raise NotYet(f"{status}: {message}")
            return True

        async def log_tells() -> bool:
            quoted = [line for line in world.processes[0].log.read_text().splitlines() if f"{MARK} GET" in line]
            untold = [name for name, at in world.silent.items() if not any(f"Host: {at}" in line for line in quoted)]
            if untold:
                raise NotYet(f"no line about {untold}")
            return True

        await wait_for("every Cluster to be ready", all_are_ready, PATIENCE_SECONDS)
        await wait_for("every refusal in its Work and in an event", all_are_told, PATIENCE_SECONDS)
        await wait_for("every refusal in the condition of the service", service_tells, PATIENCE_SECONDS)
        await wait_for("what lists and watches quote in the log", log_tells, PATIENCE_SECONDS)
        texts: dict[str, Any] = await everything_of(bed, *world.processes)
        for process in world.processes:
            await process.terminate()
            texts[f"log of {process.name}"] = process.log.read_text()

    assert all(MARK in texts[f"log of {process.name}"] for process in world.processes)
    assert world.canaries.found_in(texts) == []
