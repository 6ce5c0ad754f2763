"""Two replicas of the controller on a fleet with a data plane: replaced while a client asks, and what they write."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from testbed.pytest_plugin import cannot
from tests.e2e.world import PATIENCE_SECONDS, Loop, World, is_ready, service, workload
from tests.support.fleet import (
    SLICES,
    Space,
    endpointslice,
    multiclusterservice,
    propagationpolicy,
    serve_exports,
    serviceexport,
    serviceimport,
)
from tests.support.traffic import LEADS, Asked, Traffic, idle, samples
from tools.previous import Release, located

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from testbed.api import Object

FLAGS = (
    # Members count as ready at once, and as not ready only where a test waits for that: the machine may be busy.
    "--cluster-status-update-frequency=2s",
    "--cluster-success-threshold=1s",
    "--cluster-failure-threshold=1h",
    "--v=4",
)
PROVIDER, CONSUMER = "member1", "member2"
CONTROL_PLANE = ("crds", "standalone", "controller")
REQUESTS = 200
"""Asked after each change: some seconds, in which what was withdrawn is missed."""


def previous() -> Release:
    """The release before this one; skips the test, or fails it in CI, if it is not there."""
    release = located()
    if not release.complete:
        cannot("the release before this one is not there: run `python -m tools.previous`")
    return release


def definitions(manifests: Path) -> list[Object]:
    """The CustomResourceDefinitions of a release for the control plane."""
    found = [each for folder in ("crds", "standalone") for each in karmada.load(manifests / folder)]
    return [each for each in found if each["kind"] == "CustomResourceDefinition"]


def rights(manifests: Path) -> list[Object]:
    """What a release applies to the control plane beside its CustomResourceDefinitions, without the Deployment."""
    found = [each for folder in CONTROL_PLANE for each in karmada.load(manifests / folder)]
    return [each for each in found if each["kind"] not in ("CustomResourceDefinition", "Deployment")]


async def leads(process: ControllerProcess) -> bool:
    """Whether a replica says that it holds the Lease."""
    return [value for _, _, value in await samples(process, LEADS)] == [1.0]


@dataclass
class Replicas:
    """The Pods of the Deployment, in the order in which they began."""

    bed: Bed
    flags: tuple[str, ...] = ()
    running: list[ControllerProcess] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def add(self, version: str, program: Iterable[str] = (), *, gates: str = "MultiClusterService=true") -> None:
        """Start one more and wait until it is ready. `program`: the command, if it is not that of the checkout."""
        process = ControllerProcess(
            self.bed.root / "controller.kubeconfig",
            root=self.bed.root,
            name=f"{version}-{next(self._numbers)}",
            feature_gates=gates,
            extra_args=[*FLAGS, *self.flags],
            program=tuple(program),
        )
        self.running.append(process)
        await process.start()

    async def end(self, process: ControllerProcess) -> None:
        """Stop one as an eviction does."""
        self.running.remove(process)
        assert await process.terminate() == 0, process.tail()

    async def restart_ended(self) -> None:
        """Start again those that have ended by themselves, as the kubelet does."""
        for each in self.running:
            if each.pid is None:
                await each.start()

    async def leader(self) -> ControllerProcess:
        """Wait until one leads, and return it. Those that have ended by themselves are started again."""

        async def probe() -> ControllerProcess:
            await self.restart_ended()
            leading = [each for each in self.running if await leads(each)]
            if len(leading) != 1:
                raise NotYet(f"{[each.name for each in leading]} lead")
            return leading[0]

        return await wait_for("one leader", probe, PATIENCE_SECONDS)

    async def roll(
        self, version: str, program: Iterable[str] = (), *, leader_first: bool, gates: str = "MultiClusterService=true"
    ) -> None:
        """Replace all, as the Deployment's strategy says: one more at most, and none less."""
        old = list(self.running)
        leading = await self.leader()
        old.sort(key=lambda each: (each is leading) != leader_first)
        for each in old:
            await self.add(version, program, gates=gates)
            await self.end(each)
        await self.leader()

    async def kill(self) -> None:
        """End what is left of a test."""
        for each in self.running:
            await each.kill()


@dataclass
class Fleet:
    """A service under traffic, from `member1` to `member2`, and one of everything else that the controller makes.

    Attributes:
        told: what :meth:`writes` has seen last, for failure messages.
    """

    bed: Bed
    space: Space
    replicas: Replicas
    world: World
    told: str = ""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        return f"http://web.{self.space.namespace}.svc.cluster.local.:80"

    def loop(self) -> Loop:
        """The client, in the consumer."""
        return Loop(self.bed.root, CONSUMER, self.url)

    async def rest(self, traffic: Traffic | None = None) -> None:
        """Wait until the leader has nothing to do."""
        await idle(await self.replicas.leader(), traffic or Traffic(self.bed))

    @asynccontextmanager
    async def writes(self) -> AsyncIterator[Counter[Asked]]:
        """All writes of the controllers while the block runs and until they have nothing to do; known at its end."""
        await self.rest()
        traffic, found = Traffic(self.bed), Counter[Asked]()
        yield found
        await self.rest(traffic)
        found.update(traffic.writes())
        self.told = traffic.told()

    async def change_arrives(self) -> None:
        """What a provider writes next reaches the other member, in both directions."""
        number = next(self._numbers)
        for provider, consumer in ((PROVIDER, CONSUMER), (CONSUMER, PROVIDER)):
            addresses = [f"192.0.2.{number}"]
            await self.space.set_addresses(provider, "both-a", addresses)
            await self.space.dispatched_are(consumer, {f"{provider}-both-a": addresses}, "both")

    async def copies(self) -> dict[str, str]:
        """Uids of all copies, by where they are."""
        found = {}
        for member in self.bed.members:
            for name in await self.space.dispatched(member):
                one = await self.space.member(member).get(SLICES, name, namespace=self.space.namespace)
                found[f"{member}/{name}"] = one["metadata"]["uid"]
        return found


async def _make_world(space: Space) -> None:
    web = workload("web", replicas=2)
    policies = [propagationpolicy("web", [PROVIDER], web, {"apiVersion": "v1", "kind": "ConfigMap", "name": "config"})]
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a": "b"}}
    await space.create(service("web"), multiclusterservice("web", [PROVIDER], [CONSUMER]), web, config, *policies)
    # Without a selector nobody but the test makes slices for them.
    for name in ("both", "shown"):
        await space.create({**service(name), "spec": {"ports": [{"name": "http", "port": 80}]}})
    await space.create(multiclusterservice("both"), serviceimport("shown"))
    for member in (PROVIDER, CONSUMER):
        await space.create_in(member, endpointslice("both-a", "both", ["192.0.2.250"]))
    export = serviceexport("shown")
    await space.create(export, propagationpolicy("shown", [PROVIDER], export))
    await space.create_in(PROVIDER, endpointslice("shown-a", "shown", ["192.0.2.251"]))


@asynccontextmanager
async def fleet(bed: Bed, release: Release | None = None, *, flags: tuple[str, ...] = ()) -> AsyncIterator[Fleet]:
    """What a release has installed in a bed with a data plane, or this checkout, with two replicas of it at rest."""
    manifests = release.manifests if release else karmada.MANIFESTS
    program = [str(release.binary)] if release else []
    async with AsyncExitStack() as stack:
        await karmada.install(bed, manifests=manifests)
        await karmada.join_all(bed, manifests=manifests)
        await serve_exports(bed)
        await karmada.controller_kubeconfig(bed)
        replicas = Replicas(bed, flags)
        stack.push_async_callback(replicas.kill)
        for _ in range(2):
            await replicas.add("old" if release else "new", program)
        world = World(bed, replicas.running[0])
        await world.make_clients()
        space = await Space.make(bed)
        await _make_world(space)
        made = Fleet(bed, space, replicas, world)

        async def answered() -> int:
            tally = await world.sample(CONSUMER, made.url)
            if tally.lost or len(tally.pods) != 2:
                raise NotYet(f"{tally.told()}; {tally.errors[:2]}")
            return 1

        await wait_for("both Pods to answer in the consumer", answered, PATIENCE_SECONDS)
        await made.change_arrives()
        await made.rest()
        yield made


async def ready_pods(space: Space, member: str, name: str) -> list[str]:
    """The Pods of a workload that are ready and stay."""
    found = await space.member(member).list("v1/pods", namespace=space.namespace, label_selector=f"app={name}")
    return [each["metadata"]["name"] for each in found if is_ready(each)]
