"""What the demo plays with: the bed, the live view of it, the controller, and what was learned on the way."""

from __future__ import annotations

import shlex
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from testbed import karmada
from testbed.bed import Bed
from testbed.controller import BINARY, ControllerProcess
from testbed.demo.rules import Rules
from testbed.demo.view import View
from testbed.errors import BedError, NotYet, ProcessFailed
from testbed.tasks import together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from testbed.api import Api, Object

EXAMPLE = Path("examples/01-walkthrough")
REPOSITORY = Path(__file__).resolve().parents[2]

HOST = "karmada"
PROVIDER = "member1"
CONSUMER = "member2"
CLIENT = "curl"
NAMESPACE = "default"
NAME = "nginx"
LEASE = "mcs-controller-manager"

CLUSTERS = "cluster.karmada.io/v1alpha1/clusters"
DEPLOYMENTS = "apps/v1/deployments"
LEASES = "coordination.k8s.io/v1/leases"
MULTICLUSTERSERVICES = "networking.karmada.io/v1alpha1/multiclusterservices"
NAMESPACES = "v1/namespaces"
PODS = "v1/pods"
RESOURCEBINDINGS = "work.karmada.io/v1alpha2/resourcebindings"
SERVICES = "v1/services"
SLICES = "discovery.k8s.io/v1/endpointslices"
WORKS = "work.karmada.io/v1alpha1/works"

_ON_HOST = (CLUSTERS, LEASES, MULTICLUSTERSERVICES, NAMESPACES, RESOURCEBINDINGS, SERVICES, WORKS)
_IN_MEMBERS = (DEPLOYMENTS, NAMESPACES, PODS, SERVICES, SLICES)


class World:
    """Everything that runs during a demo; gone when its block ends. Enter and leave it in one task.

    Args:
        controller_flags: added to the controller's own; a repeated one wins.
        timeout: seconds that each step has.
        dataplane: whether Pods answer.
        on_progress: told in short sentences how the bed's start gets on.

    Attributes:
        timeout: see above.
        dataplane: see above.
        names: what is known only later, by the name it has in ``Step.looking_at``.
        seen: what later steps compare with.
        view: live copies; filled once the manifests are applied.
    """

    def __init__(
        self,
        *,
        controller_flags: Sequence[str],
        timeout: float,
        dataplane: bool = False,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.timeout = timeout
        self.dataplane = dataplane
        self.names = {
            "slice": "nginx-<5 letters>",
            "work": "nginx-<5 letters>-<hash>",
            "client": f"{CLIENT}-<hash>-<5 letters>",
        }
        self.seen: dict[str, Any] = {}
        self.view = View()
        self._flags = list(controller_flags)
        self._on_progress = on_progress
        self._stack = AsyncExitStack()
        self._bed: Bed | None = None
        self._rules: Rules | None = None
        self._controller: ControllerProcess | None = None
        # Whether it is meant to run just now, and has had its start.
        self._running = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    @property
    def bed(self) -> Bed:
        """The bed, once it is up."""
        if self._bed is None:
            raise BedError("the bed is not up")
        return self._bed

    @property
    def rules(self) -> Rules:
        """Those of kube-proxy in the consumer, from :meth:`follow` on."""
        if self._rules is None:
            raise BedError("there is no data plane")
        return self._rules

    @property
    def up(self) -> bool:
        """Whether the bed is up."""
        return self._bed is not None

    @property
    def controller(self) -> ControllerProcess:
        """The controller that was started last."""
        if self._controller is None:
            raise BedError("the controller was never started")
        return self._controller

    @property
    def started(self) -> bool:
        """Whether a controller has been started."""
        return self._controller is not None

    @property
    def host(self) -> Api:
        """The control plane, as its administrator."""
        return self.bed.host.api

    def member(self, name: str) -> Api:
        """A member, as its administrator."""
        return self.bed.members[name].api

    async def start_bed(self) -> None:
        """Real API servers; the last thing to be gone."""
        self._bed = await self._stack.enter_async_context(
            Bed(members=(PROVIDER, CONSUMER), audit=True, dataplane=self.dataplane, on_progress=self._on_progress)
        )

    async def follow(self) -> None:
        """Fill the view, and follow the rules in the consumer; needs the manifests' kinds."""
        await self._stack.enter_async_context(self.view)
        collections = [(self.bed.host, resource) for resource in _ON_HOST]
        collections += [(plane, resource) for plane in self.bed.members.values() for resource in _IN_MEMBERS]
        await together(self.view.follow(plane, resource) for plane, resource in collections)
        if self.dataplane:
            node = self.bed.dataplane.nodes[CONSUMER].plan.namespace
            self._rules = await self._stack.enter_async_context(
                Rules(node, root=self.bed.root, on_change=self.view.wake)
            )

    async def start_controller(self, name: str, *, feature_gates: str) -> None:
        """Start the installed binary, with the rights of its own ServiceAccount, until its probes answer.

        Raises:
            ProcessFailed: it ended, or did not become ready.
        """
        kubeconfig = await karmada.controller_kubeconfig(self.bed)
        self._running = False
        self._controller = ControllerProcess(
            kubeconfig, root=self.bed.root, name=name, feature_gates=feature_gates, extra_args=self._flags
        )
        try:
            await self._stack.enter_async_context(self._controller)
        finally:
            self._running = True

    async def stop_controller(self) -> int | None:
        """SIGTERM; the exit code."""
        self._running = False
        return await self.controller.terminate()

    def command_line(self) -> str:
        """The controller's, as a person could type it."""
        _, *flags = self.controller.command
        return shlex.join([BINARY, *flags])

    def check(self) -> None:
        """Waiting is of no use without a controller.

        Raises:
            ProcessFailed: it ended by itself; the end of its log is among the findings.
        """
        if self._running and self.controller.returncode is not None:
            raise ProcessFailed(f"the controller ended by itself, with exit code {self.controller.returncode}")


def seen(what: str, probe: Callable[[World], str]) -> Callable[[World], Awaitable[str]]:
    """Make a step's coroutine of a probe of the view, which raises NotYet as long as it is not so."""

    async def observe(world: World) -> str:
        return await world.view.until(what, lambda: probe(world), world.timeout, check=world.check)

    return observe


def manifests() -> list[Object]:
    """The objects in the walkthrough's files, in the order in which ``kubectl apply -f`` takes them."""
    files = sorted((REPOSITORY / EXAMPLE).glob("*.yaml"))
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


def must(found: Object | None, what: str) -> Object:
    """The object; NotYet if there is none."""
    if found is None:
        raise NotYet(f"no {what}")
    return found


def require(holds: bool, otherwise: str) -> None:
    """NotYet, with what is there instead, unless it holds."""
    if not holds:
        raise NotYet(otherwise)


def conditions(of: Object) -> dict[str, Object]:
    """An object's conditions by type."""
    return {each["type"]: each for each in of.get("status", {}).get("conditions") or ()}


def condition_texts(of: Object) -> list[str]:
    """An object's conditions, one line each."""
    return [
        f"{kind}={each['status']} {each.get('reason', '')}: {each.get('message', '')}"
        for kind, each in conditions(of).items()
    ]


def labels_of(of: Object) -> dict[str, str]:
    """An object's labels."""
    return of["metadata"].get("labels") or {}


def annotations_of(of: Object) -> dict[str, str]:
    """An object's annotations."""
    return of["metadata"].get("annotations") or {}


def held(work: Object) -> Object:
    """The manifest in a Work, or an empty object."""
    manifests = work["spec"].get("workload", {}).get("manifests") or [{}]
    first: Object = manifests[0]
    return first


def addresses(endpoint_slice: Object) -> list[str]:
    """The addresses of an EndpointSlice's ready endpoints, sorted."""
    return sorted(
        address
        for endpoint in endpoint_slice.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
    )


def listing(names: Sequence[str]) -> str:
    """Names for a sentence."""
    return ", ".join(names) or "none"
