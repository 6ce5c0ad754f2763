"""The fleet of a benchmark: control plane, members, and the controller as a process."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.product.cost import Requests
from benchmarks.product.objects import (
    CLUSTERS,
    CONSUMER,
    NAMESPACES,
    PROVIDER,
    SLICES,
    arrived_name,
    endpoints,
    endpointslice,
    multiclusterservice,
    namespace,
    service,
    slice_name,
)
from benchmarks.scenario import OURS, Competitor, Measurement, Target
from mcs_controller import __version__
from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from testbed.tasks import together
from tools.components import COMPONENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from benchmarks.scenario import Context
    from testbed import Api, ClusterAccess
    from testbed.controlplane import ControlPlane

HOST = "karmada"
SPACE = "bench"
RAISED = ("--kube-api-qps=2000", "--kube-api-burst=4000", "--cluster-api-qps=2000", "--cluster-api-burst=4000")
"""What the peer's figures with raised limits had."""

QUIETLY = ("--v=1",)
AT_ONCE = 64
SETTLE_SECONDS = 60.0


@dataclass(slots=True)
class Fleet:
    """A bed with the manifests applied and its members joined; no controller runs yet.

    Attributes:
        bed: the planes.
        access: to the control plane, as the controller's ServiceAccount.
    """

    bed: Bed
    access: ClusterAccess
    _stack: AsyncExitStack = field(repr=False)

    @property
    def host(self) -> Api:
        """The control plane, as its administrator."""
        return self.bed.host.api

    def member(self, name: str) -> Api:
        """A member, as its administrator."""
        return self.bed.members[name].api

    @property
    def planes(self) -> list[ControlPlane]:
        """The control plane and the members."""
        return [self.bed.host, *self.bed.members.values()]

    def requests(self) -> Requests:
        """Counts the controller's requests from now on."""
        return Requests(self.planes, karmada.CONTROLLER_USER)

    def controller(self, *flags: str, name: str = "controller") -> ControllerProcess:
        """A controller, not started; it is killed when the fleet ends."""
        process = ControllerProcess(
            self.access.kubeconfig,
            root=self.bed.root,
            name=name,
            controllers="*,standalone",
            extra_args=[*QUIETLY, *flags],
        )
        self._stack.push_async_callback(process.kill)
        return process

    async def start(self, *flags: str) -> ControllerProcess:
        """Start the controller and wait until the Clusters are ready."""
        process = self.controller(*flags)
        await process.start()
        await self.ready()
        return process

    async def ready(self, names: Iterable[str] = (), *, seconds: float = SETTLE_SECONDS) -> None:
        """Wait until Clusters are ready; all members of the bed, if none is named."""
        for name in names or self.bed.members:

            async def probe(name: str = name) -> bool:
                cluster = await self.host.get(CLUSTERS, name)
                found = {one["type"]: one["status"] for one in cluster.get("status", {}).get("conditions") or ()}
                if found.get("Ready") != "True":
                    raise NotYet(f"conditions {found}")
                return True

            await wait_for(f"Cluster {name} to be ready", probe, seconds)

    async def space(self, name: str = SPACE) -> None:
        """Create a namespace, and wait until it exists in all members."""
        await self.host.apply(namespace(name))
        for plane in self.bed.members.values():

            async def there(api: Api = plane.api) -> object:
                return await api.find(NAMESPACES, name)

            await wait_for(f"namespace {name} in {plane.name}", there, SETTLE_SECONDS)

    async def change(self, service_name: str, number: int) -> None:
        """Give a service's slice in the provider other endpoints."""
        await self.member(PROVIDER).patch(
            SLICES, slice_name(service_name), {"endpoints": endpoints(number)}, namespace=SPACE
        )


@asynccontextmanager
async def fleet(context: Context) -> AsyncIterator[Fleet]:
    """A fleet for the block, without kube-controller-manager: only the controller writes."""
    context.tell("starting etcd and the API servers")
    async with (
        Bed(root=context.scratch / "bed", audit=True, controller_manager=False) as bed,
        AsyncExitStack() as stack,
    ):
        await karmada.install(bed)
        await karmada.join_all(bed)
        yield Fleet(bed, await karmada.controller_access(bed), stack)


async def offer(world: Fleet, name: str, *, headless: bool = False) -> None:
    """Create a service, and wait until its slice is in the consumer and the controller is idle."""
    await world.space()
    await world.member(PROVIDER).create(endpointslice(name, 0), namespace=SPACE)
    for manifest in (service(name, headless=headless), multiclusterservice(name)):
        await world.host.create(manifest, namespace=SPACE)
    await wait_for(
        f"the slice of {name} to arrive",
        lambda: world.member(CONSUMER).find(SLICES, arrived_name(name), namespace=SPACE),
        SETTLE_SECONDS,
    )
    await world.requests().quiet()


async def at_once(work: Sequence[Callable[[], Awaitable[object]]], *, limit: int = AT_ONCE) -> None:
    """Run all coroutines with this concurrency, until the first error."""
    left = iter(work)

    async def worker() -> None:
        for each in left:
            await each()

    await together(worker() for _ in range(min(limit, len(work))))


def ours(about: str = "") -> Competitor:
    """Our controller, as a competitor."""
    return Competitor(
        OURS,
        "mcs-controller",
        about or "stand-alone, as a process of its own",
        {"mcs-controller": __version__, **_servers()},
    )


def one(title: str, unit: str, value: float, *, most: float | None = None) -> Measurement:
    """A measurement of ours with a single sample; lower is better."""
    return Measurement(
        title, unit, "lower", {OURS: [[value]]}, targets=[Target(at_most=most)] if most is not None else []
    )


def _servers() -> dict[str, str]:
    return {name: COMPONENTS[name].version for name in ("kube-apiserver", "etcd")}
