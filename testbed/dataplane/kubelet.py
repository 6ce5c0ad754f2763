"""A kubelet that runs the Pods of one member in network namespaces, where the node's agent answers.

Every Pod has a task of its own, as in a kubelet: a Pod that stops slowly does not delay others.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING

import aiohttp

from testbed import containers
from testbed.api import Api
from testbed.dataplane import images, network, status, streaming
from testbed.dataplane.agent import write_log
from testbed.dataplane.execute import PATH, PodShell
from testbed.dataplane.leftovers import kill_in
from testbed.errors import ApiStatusError, BedError
from testbed.identity import BED_VARIABLE
from testbed.kubelet import RETRY_SECONDS, Addresses, bind, follow_pods, now, register_node
from testbed.processes import die_with_parent

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.access import ClusterAccess
    from testbed.api import Object
    from testbed.dataplane.names import NodePlan
    from testbed.dataplane.node_agent import NodeAgent

# A real web server would be given its whole grace period, 30 s by default; nobody wants to wait for that here.
STOPPING_CAP_SECONDS = 5.0
FAILURE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class NamespaceKubelet:
    """Gives every Pod of a member a network namespace and simulates its containers there.

    A Pod without a node is bound to the member's only one. It is ready when its readiness probes succeed (at once if it
    has none) and its annotation ``testbed/ready`` is not ``"false"``. Its status is written only when that changes,
    so that manual patches are not overwritten. A deleted Pod still answers for a while
    (:func:`testbed.dataplane.images.stopping_seconds`), then its address stops answering, and then it is removed.

    Attributes:
        images: those that are run as they are, by name. Of a Pod with one of them the only container is run, restricted
            as its security context demands, and never started again.

    Args:
        access: to the member's API server.
        plan: the node.
        agent: of the node.
        root: the bed's directory.
        pods: the folder of the Pods' files (:mod:`testbed.dataplane.streaming`).
        port: of the node's streaming endpoints.
    """

    def __init__(
        self, access: ClusterAccess, *, plan: NodePlan, agent: NodeAgent, root: Path, pods: Path, port: int
    ) -> None:
        self.plan = plan
        self.agent = agent
        self.root = root
        self.pods = pods
        self._port = port
        self.api = Api(access)
        self.addresses = Addresses(plan.pod_cidr)
        self.images: dict[str, containers.ImageFiles] = {}
        self._pods: dict[str, _Pod] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:

                def see(manifest: Object) -> None:
                    uid = manifest["metadata"]["uid"]
                    if uid in self._pods:
                        self._pods[uid].see(manifest)
                    elif manifest["spec"].get("nodeName", self.plan.name) == self.plan.name:
                        pod = self._pods[uid] = _Pod(self, manifest)
                        tasks.create_task(self._live(pod))

                def forget(uid: str) -> None:
                    if uid in self._pods:
                        self._pods[uid].gone()

                await follow_pods(
                    self.api, prepare=self.register, known=lambda: tuple(self._pods), see=see, forget=forget
                )
        finally:
            await self.api.close()

    async def register(self) -> None:
        """Create the Node object."""
        await register_node(
            self.api,
            self.plan.name,
            pod_cidrs=self.plan.families(self.plan.pod_cidr),
            addresses=self.plan.families(self.plan.address),
            reason="TestBed",
            streaming=(streaming.HOST, self._port),
        )

    async def _live(self, pod: _Pod) -> None:
        try:
            await pod.run()
        finally:
            self._pods.pop(pod.uid, None)


class _Readiness:
    """The results of one probe."""

    def __init__(self, probe: status.Probe, began: float) -> None:
        self.ready = False
        self.due = began + probe.delay
        self._probe = probe
        self._in_a_row = 0

    async def update(self, agent: NodeAgent, netns: str, address: str) -> None:
        probe = self._probe
        answer = await agent.probe(netns, address, probe.port, probe.path, timeout=probe.timeout)
        good = answer == 0 or (answer is not None and 200 <= answer < 400)
        self._in_a_row = self._in_a_row + 1 if good != self.ready else 0
        if self._in_a_row >= (probe.successes if good else probe.failures):
            self.ready, self._in_a_row = good, 0
        self.due = time.monotonic() + probe.period


class _Pod:
    """The life of one Pod, from its first event until everything of it is removed."""

    def __init__(self, kubelet: NamespaceKubelet, manifest: Object) -> None:
        self.uid: str = manifest["metadata"]["uid"]
        self._kubelet = kubelet
        self._manifest = manifest
        self._changed = asyncio.Event()
        self._gone = False
        self._refused = False
        self._files = streaming.PodFiles(kubelet.pods, self._namespace, self._name, self.uid)
        self._network = ""
        self._started = ""
        self._reported: bool | None = None
        self._container: asyncio.Task[int] | None = None
        self._ended = False
        self._stop_at: float | None = None
        self._readiness: list[_Readiness] = []

    @property
    def _name(self) -> str:
        return str(self._manifest["metadata"]["name"])

    @property
    def _namespace(self) -> str:
        return str(self._manifest["metadata"]["namespace"])

    def see(self, manifest: Object) -> None:
        """Take the current state of the Pod."""
        self._manifest = manifest
        self._changed.set()

    def gone(self) -> None:
        """The Pod was deleted from the API without a grace period."""
        self._gone = True
        self._changed.set()

    async def run(self) -> None:
        """Run until the Pod is removed. After a cancellation the bed removes everything."""
        try:
            await self._run()
        finally:
            if self._container is not None:
                self._container.cancel()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            wait: float
            try:
                if self._gone or self._over():
                    await self._tear_down()
                    return
                wait = await self._step()
            except ApiStatusError as error:
                # Gone or changed meanwhile: its next event tells.
                wait = math.inf if error.status in (404, 409) else RETRY_SECONDS
            except (aiohttp.ClientError, OSError) as error:
                _log.debug("pod %s is tried again: %s", self._name, error)
                wait = RETRY_SECONDS
            except BedError as error:
                _log.warning("pod %s/%s on %s: %s", self._namespace, self._name, self._kubelet.plan.name, error)
                wait = FAILURE_SECONDS
            if self._stop_at is not None:
                wait = min(wait, self._stop_at - time.monotonic())
            try:
                async with asyncio.timeout(None if wait == math.inf else max(wait, 0.0)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _over(self) -> bool:
        """Whether the grace period of a terminating Pod is over."""
        if not self._manifest["metadata"].get("deletionTimestamp"):
            return False
        allowed = images.stopping_seconds(self._manifest, STOPPING_CAP_SECONDS) if self._network else 0.0
        # A second deletion with a shorter grace period shortens it.
        until = time.monotonic() + allowed
        self._stop_at = until if self._stop_at is None else min(self._stop_at, until)
        return time.monotonic() >= self._stop_at

    async def _step(self) -> float:
        """Take the next actions; seconds until the next call."""
        kubelet, spec = self._kubelet, self._manifest["spec"]
        if spec.get("schedulingGates") or self._refused:
            return math.inf
        if not spec.get("nodeName"):
            await bind(kubelet.api, self._manifest, kubelet.plan.name)
            spec["nodeName"] = kubelet.plan.name
        if not self._started:
            try:
                await self._start()
            except images.Unplayable as refusal:
                await self._refuse(refusal)
                return math.inf
        address = kubelet.addresses.of(self.uid)
        if self._container is not None and self._container.done():
            if not self._ended:
                ended = status.ended_status(
                    self._manifest,
                    address=address,
                    host=kubelet.plan.address,
                    started=self._started,
                    code=self._container.result(),
                )
                await self._patch(ended)
                self._ended = True
            return math.inf
        for each in self._readiness:
            if each.due <= time.monotonic():
                await each.update(kubelet.agent, self._network, address)
        ready = all(each.ready for each in self._readiness) and not status.held_unready(self._manifest)
        if ready != self._reported:
            running = status.running_status(
                self._manifest, address=address, host=kubelet.plan.address, ready=ready, started=self._started
            )
            await self._patch(running)
            self._reported = ready
        return min((each.due - time.monotonic() for each in self._readiness), default=math.inf)

    async def _start(self) -> None:
        kubelet, wanted = self._kubelet, self._manifest["spec"]["containers"]
        image = kubelet.images.get(wanted[0]["image"]) if len(wanted) == 1 else None
        served = images.play(self._manifest) if image is None else []
        self._network = await network.make_pod(
            kubelet.plan,
            namespace=self._namespace,
            pod=self._name,
            uid=self.uid,
            address=kubelet.addresses.of(self.uid),
        )
        await kubelet.agent.close(self._network)  # of a try that failed
        self._files.make(each["name"] for each in wanted)
        for each in served:
            log = self._files.log(each.container)
            if each.protocol == "TCP":
                await kubelet.agent.serve_http(self._network, each.port, each.text, log)
            else:
                await kubelet.agent.echo_udp(self._network, each.port, each.text, log)
        command = self._command(image) if image is not None else None
        self._files.publish(PodShell(pod=self._name, network=self._network, root=kubelet.root))
        self._started = now()
        if command is not None:
            self._container = asyncio.create_task(self._run_container(command, wanted[0]["name"]))
            self._container.add_done_callback(lambda _: self._changed.set())
        self._readiness = [_Readiness(each, time.monotonic()) for each in status.probes(self._manifest)]

    def _command(self, image: containers.ImageFiles) -> list[str]:
        """The command line that runs the Pod's container in its network.

        Raises:
            Unplayable: it is not restricted.
        """
        (only,) = self._manifest["spec"]["containers"]
        etc = network.ETC_NETNS / self._network
        try:
            return containers.command_line(
                self._manifest,
                image=image,
                spec_file=self._files.spec(only["name"]),
                files={f"/etc/{name}": etc / name for name in ("resolv.conf", "hosts", "nsswitch.conf")},
                network=str(network.NETNS / self._network),
            )
        except ValueError as error:
            raise images.Unplayable("CreateContainerConfigError", str(error)) from error

    async def _run_container(self, command: list[str], container: str) -> int:
        """The exit code, after everything that it wrote is in its log."""
        log = str(self._files.log(container))
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": PATH, BED_VARIABLE: str(self._kubelet.root)},
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        assert process.stdout is not None
        async for line in process.stdout:
            write_log(log, line.decode(errors="replace").rstrip("\n"))
        return await process.wait()

    async def _refuse(self, refusal: images.Unplayable) -> None:
        plan, text = self._kubelet.plan, str(refusal)
        await self._patch(status.waiting_status(self._manifest, reason=refusal.reason, message=text, host=plan.address))
        event = status.waiting_event(self._manifest, reason=refusal.reason, message=text, node=plan.name)
        await self._kubelet.api.create(event)
        self._refused = True

    async def _patch(self, wanted: Object) -> None:
        for one, many in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
            if one in wanted:
                wanted = wanted | {many: [{"ip": each} for each in self._kubelet.plan.families(wanted[one])]}
        await self._kubelet.api.patch(
            "v1/pods",
            self._name,
            {"metadata": {"uid": self.uid}, "status": wanted},
            namespace=self._namespace,
            subresource="status",
            patch_type="strategic",
        )

    async def _tear_down(self) -> None:
        """Stop answering, release everything, and delete the Pod. May be repeated after a failure."""
        kubelet = self._kubelet
        if self._network:
            self._files.withdraw()
            await kubelet.agent.close(self._network)
            await asyncio.to_thread(kill_in, self._network, kubelet.root)
            await network.remove_pod(kubelet.plan, self._network, self.uid)
            self._files.remove()
            self._network = ""
        if not self._gone:
            await kubelet.api.delete(
                "v1/pods", self._name, namespace=self._namespace, grace_seconds=0, uid=self.uid, missing_ok=True
            )
        kubelet.addresses.release(self.uid)
