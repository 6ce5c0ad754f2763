"""The data plane of a bed: nodes, and the network between their Pods."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from testbed.access import write_private
from testbed.dataplane import cluster, leftovers, names, network, streaming
from testbed.dataplane.capabilities import missing_capabilities
from testbed.dataplane.execute import EXEC_SECONDS, Executed, pod_exec
from testbed.dataplane.kubelet import NamespaceKubelet
from testbed.dataplane.node_agent import NodeAgent
from testbed.errors import BedError
from testbed.ports import PortReservation
from testbed.processes import Process
from testbed.tasks import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from testbed.containers import ImageFiles
    from testbed.controlplane import ControlPlane

READY_SECONDS = 120.0


class Node:
    """A member's only node: its namespace, its agent, kube-proxy, CoreDNS and a kubelet with its streaming endpoints.

    The API server listens on 127.0.0.1 of the machine, which nothing in the node's namespace can reach. The agent
    therefore relays that one port to the node's own 127.0.0.1, so that kubeconfigs and certificates hold on both sides.
    A veth pair to the root namespace would do, too, but it would put addresses and routes there, where they could meet
    those of the machine and of other beds, and would be a way out for Pods. When the API server is down, the relay
    hangs up at once.

    Args:
        plane: the member.
        plan: names and addresses.
        binaries: paths of ``kube-proxy``, ``coredns`` and ``kubelet-streaming``.
        root: the bed's directory; the node's files go to ``<member>/node`` there.
    """

    def __init__(self, plane: ControlPlane, plan: names.NodePlan, *, binaries: Mapping[str, Path], root: Path) -> None:
        self.plan = plan
        self._plane = plane
        self._files = root / plane.name / "node"
        self.agent = NodeAgent(
            plan.name,
            control=leftovers.directory(plan.bed) / f"node{plan.index}.sock",
            log=self._files / "agent.log",
            root=root,
            dual_stack=plan.dual_stack,
        )
        self._reservation = PortReservation()
        port, pods = self._reservation.port, self._files / "pods"
        self.kubelet = NamespaceKubelet(plane.access, plan=plan, agent=self.agent, root=root, pods=pods, port=port)
        self.streaming = Process(
            f"kubelet-streaming of {plane.name}",
            streaming.streaming_command(
                binaries["kubelet-streaming"],
                files=self._files,
                pods=pods,
                port=port,
                pair=plane.server_certificate(streaming.HOST),
                client_ca=plane.access.ca_pem,
            ),
            log=self._files / "kubelet-streaming.log",
            root=root,
        )
        proxy, dns = plane.make_client(cluster.PROXY_USER), plane.make_client(cluster.DNS_USER)
        proxy_config = self._write("kube-proxy.yaml", cluster.proxy_config(plan, proxy.kubeconfig))
        corefile = self._write("Corefile", cluster.corefile(plan, dns.kubeconfig))
        inside = ["ip", "netns", "exec", plan.namespace]
        self.kube_proxy = Process(
            f"kube-proxy of {plane.name}",
            [*inside, *cluster.proxy_command(binaries["kube-proxy"], proxy_config)],
            log=self._files / "kube-proxy.log",
            root=root,
        )
        self.coredns = Process(
            f"coredns of {plane.name}",
            [*inside, *cluster.dns_command(binaries["coredns"], corefile)],
            log=self._files / "coredns.log",
            root=root,
        )

    async def start(self, others: Sequence[names.NodePlan]) -> None:
        """Start everything and wait until the cluster's DNS answers at its cluster IP.

        Raises:
            BedError: something did not work; the end of its log is in the text.
        """
        await network.make_node(self.plan, others)
        await self.agent.start()
        port = urlsplit(self._plane.access.server).port
        assert port is not None
        await self.agent.relay(self.plan.namespace, port)
        await self.streaming.start()
        await self.kubelet.register()
        for manifest in cluster.dns_manifests(self.plan):
            await self._plane.api.apply(manifest)
        await self.kube_proxy.start()
        await self.coredns.start()
        await self.coredns.until(self._dns_ready, timeout=READY_SECONDS)
        await self.kube_proxy.until(self._proxy_ready, timeout=READY_SECONDS)
        await self.streaming.until(self._streaming_ready, timeout=READY_SECONDS)

    async def stop(self) -> None:
        """Stop every process of the node; its namespaces stay."""
        await self.kubelet.api.close()
        for each in (self.streaming, self.kube_proxy, self.coredns):
            await each.kill()  # they keep no state that a polite stop would save
        self._reservation.close()
        await self.agent.stop()

    def processes(self) -> Iterator[Process]:
        """The processes of this node, without the kubelet."""
        yield self.agent.process
        yield self.kube_proxy
        yield self.coredns
        yield self.streaming

    def _write(self, name: str, content: str) -> Path:
        return write_private(self._files / name, content.encode())

    async def _dns_ready(self) -> bool:
        answer = await self.agent.probe(self.plan.namespace, "127.0.0.1", cluster.DNS_READY_PORT, "/ready")
        return answer == 200

    async def _streaming_ready(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(streaming.HOST, self._reservation.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _proxy_ready(self) -> bool:
        healthy = await self.agent.probe(self.plan.namespace, "127.0.0.1", cluster.PROXY_HEALTH_PORT, "/healthz")
        if healthy != 200:
            return False
        # Its first rules are those of Services that were there before it, kube-dns among them.
        with contextlib.suppress(network.NetworkError):
            rules = ["nft", "list", "table", "ip", "kube-proxy"]
            return self.plan.dns in await network.run(["ip", "netns", "exec", self.plan.namespace, *rules])
        return False


class DataPlane:
    """Nodes for the members of a bed, and a network between them, for as long as the ``async with`` block lasts.

    :class:`testbed.Bed` makes one when asked to (``Bed(dataplane=True)``).

    Args:
        members: the member clusters, up already.
        binaries: paths of ``kube-proxy``, ``coredns`` and ``kubelet-streaming``.
        root: the bed's directory.
        dual_stack: whether everything has an IPv6 address beside the IPv4 one.
        on_progress: called with a short sentence when something has been reached.

    Raises (on entering):
        BedError: this machine cannot carry a data plane, or a part of it did not become ready.
    """

    def __init__(
        self,
        members: Mapping[str, ControlPlane],
        *,
        binaries: Mapping[str, Path],
        root: Path,
        dual_stack: bool = False,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._members = members
        self._binaries = binaries
        self._root = root
        self._dual_stack = dual_stack
        self._on_progress = on_progress
        self._bed = names.bed_id(root)
        self.nodes: dict[str, Node] = {}

    def add_image(self, name: str, image: ImageFiles) -> None:
        """Let Pods with one restricted container of this image run, on every node."""
        for node in self.nodes.values():
            node.kubelet.images[name] = image

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        if missing := await asyncio.to_thread(missing_capabilities, dual_stack=self._dual_stack):
            raise BedError("this machine does not allow a data plane; missing: " + "; ".join(missing))
        await asyncio.to_thread(leftovers.claim, self._root)
        try:
            await network.make_hub(self._bed)
            plans = [self._plan(index, plane) for index, plane in enumerate(self._members.values(), start=1)]
            for plan in plans:
                plane = self._members[plan.member]
                self.nodes[plan.member] = Node(plane, plan, binaries=self._binaries, root=self._root)
            await together(node.start(plans) for node in self.nodes.values())
        except BaseException:
            await self._end()
            raise
        self._on_progress(f"the data plane is ready ({time.monotonic() - began:.1f} s)")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    def kubelet(self, plane: ControlPlane) -> NamespaceKubelet:
        """The kubelet of a member."""
        return self.nodes[plane.name].kubelet

    def processes(self) -> Iterator[Process]:
        """Every process of the data plane, running or not."""
        for node in self.nodes.values():
            yield from node.processes()

    async def exec(
        self,
        member: str,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str = "default",
        timeout: float = EXEC_SECONDS,
    ) -> Executed:
        """Run a command in a Pod: :func:`testbed.dataplane.execute.pod_exec`."""
        return await pod_exec(self._root, member, pod, command, namespace=namespace, timeout=timeout)

    def _plan(self, index: int, plane: ControlPlane) -> names.NodePlan:
        return names.NodePlan(
            member=plane.name,
            index=index,
            bed=self._bed,
            pod_cidr=plane.pod_cidr,
            service_cidr=plane.service_cidr,
            dual_stack=self._dual_stack,
        )

    async def _end(self) -> None:
        try:
            for node in self.nodes.values():
                await node.stop()
        finally:
            await asyncio.to_thread(leftovers.remove, self._bed)
