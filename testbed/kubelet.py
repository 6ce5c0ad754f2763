"""Kubelets without containers: the base class, and one that only reports Pods as running.

:class:`StandInKubelet` gives each Pod a node, an address and a Ready status, and removes it when it is deleted. The
real controllers need no more for ReplicaSets, StatefulSets and EndpointSlices. The kubelet that runs Pods in network
namespaces is :class:`testbed.dataplane.kubelet.NamespaceKubelet`.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import aiohttp

from testbed.api import Api, Object
from testbed.controlplane import ControlPlane
from testbed.errors import ApiStatusError

RETRY_SECONDS = 0.2
WORKERS = 8
FIRST_POD_OFFSET = 256

_log = logging.getLogger(__name__)


class Kubelet(Protocol):
    """The node side of one member cluster."""

    async def run(self) -> None:
        """Run until cancelled; outages of the API server are retried."""


KubeletFactory = Callable[[ControlPlane], Kubelet]


class Addresses:
    """Allocates addresses of a range: the lowest free one that was not released recently."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr)
        self._next = FIRST_POD_OFFSET
        self._by_owner: dict[str, str] = {}
        self._used: set[str] = set()

    @property
    def node(self) -> str:
        """The node's own address."""
        return str(self._network[1])

    def claim(self, owner: str, address: str) -> None:
        """Record an address that an owner already has."""
        self._by_owner[owner] = address
        self._used.add(address)

    def of(self, owner: str) -> str:
        """The owner's address, the same one until it is released."""
        if owner not in self._by_owner:
            # Round and round: an address that has just become free is not handed out at once, as with real CNIs.
            for _ in range(self._network.num_addresses):
                address = str(self._network[self._next])
                self._next = self._next + 1 if self._next + 2 < self._network.num_addresses else FIRST_POD_OFFSET
                if address not in self._used:
                    self.claim(owner, address)
                    break
            else:
                raise RuntimeError(f"no free address in {self._network}")
        return self._by_owner[owner]

    def release(self, owner: str) -> None:
        """Release the owner's address."""
        self._used.discard(self._by_owner.pop(owner, ""))


class StandInKubelet:
    """Reports Pods as running.

    A Pod without a node is bound to this member's only one; a Pod without an address gets one and becomes Ready, once:
    later patches of its status (such as a test's) are not overwritten. A deleted Pod is removed
    after ``termination`` seconds, or its own grace period if that is shorter.

    Args:
        plane: the member.
        termination: seconds that a Pod takes to stop.
    """

    def __init__(self, plane: ControlPlane, *, termination: float = 0.0) -> None:
        self.node = f"{plane.name}-node"
        self._api = Api(plane.access)
        self._termination = termination
        self._pod_cidr = plane.pod_cidr
        self._addresses = Addresses(plane.pod_cidr)
        self._pods: dict[str, Object] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                for _ in range(WORKERS):
                    tasks.create_task(self._work())
        finally:
            await self._api.close()

    async def _follow(self) -> None:
        async def prepare() -> None:
            await register_node(
                self._api, self.node, pod_cidrs=[self._pod_cidr], addresses=[self._addresses.node], reason="StandIn"
            )

        await follow_pods(self._api, prepare=prepare, known=self._pods.keys, see=self._see, forget=self._forget)

    def _see(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        self._pods[uid] = pod
        if address := pod.get("status", {}).get("podIP"):
            self._addresses.claim(uid, address)
        self._enqueue(uid)

    def _forget(self, uid: str) -> None:
        self._pods.pop(uid, None)
        self._addresses.release(uid)

    def _enqueue(self, uid: str) -> None:
        if uid not in self._queued:
            self._queued.add(uid)
            self._queue.put_nowait(uid)

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            self._queued.discard(uid)
            if uid in self._busy:  # one worker per Pod; the other one looks again when it is done
                await asyncio.sleep(0.01)
                self._enqueue(uid)
                continue
            pod = self._pods.get(uid)
            if pod is None:
                continue
            self._busy.add(uid)
            try:
                await self._handle(pod)
            except ApiStatusError as error:
                if error.status not in (404, 409):  # gone or changed meanwhile: its next event tells
                    await self._again(uid, error)
            except (aiohttp.ClientError, OSError) as error:
                await self._again(uid, error)
            finally:
                self._busy.discard(uid)

    async def _again(self, uid: str, error: Exception) -> None:
        _log.debug("pod %s is tried again: %s", uid, error)
        await asyncio.sleep(RETRY_SECONDS)
        self._enqueue(uid)

    async def _handle(self, pod: Object) -> None:
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        if metadata.get("deletionTimestamp"):
            await asyncio.sleep(min(self._termination, metadata.get("deletionGracePeriodSeconds") or 0))
            await self._api.delete("v1/pods", name, namespace=namespace, grace_seconds=0, uid=uid, missing_ok=True)
            return
        if spec.get("nodeName", self.node) != self.node or spec.get("schedulingGates"):
            return
        if not spec.get("nodeName"):
            await bind(self._api, pod, self.node)
        if not status.get("podIP"):
            address = self._addresses.node if spec.get("hostNetwork") else self._addresses.of(uid)
            running = running_status(pod, address=address, host=self._addresses.node)
            await self._api.patch(
                "v1/pods",
                name,
                {"metadata": {"uid": uid}, "status": running},
                namespace=namespace,
                subresource="status",
                patch_type="strategic",
            )


async def follow_pods(
    api: Api,
    *,
    prepare: Callable[[], Awaitable[None]],
    known: Callable[[], Iterable[str]],
    see: Callable[[Object], None],
    forget: Callable[[str], None],
) -> None:
    """List and watch a member's Pods until cancelled; outages of the API server are retried.

    Args:
        api: of the member.
        prepare: called before each list.
        known: the uids of the Pods that were seen and not forgotten.
        see: called with each existing, new or changed Pod.
        forget: called with the uid of a deleted Pod.
    """
    while True:
        try:
            await prepare()
            listed = await api.list_raw("v1/pods")
            for gone in set(known()) - {pod["metadata"]["uid"] for pod in listed["items"]}:
                forget(gone)
            for pod in listed["items"]:
                see(pod)
            version = listed["metadata"]["resourceVersion"]
            while True:
                async for event in api.watch("v1/pods", resource_version=version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] == "DELETED":
                        forget(event["object"]["metadata"]["uid"])
                    elif event["type"] != "BOOKMARK":
                        see(event["object"])
        except (ApiStatusError, aiohttp.ClientError, OSError) as error:
            _log.debug("watch of %s starts again: %s", api.access.name, error)
        await asyncio.sleep(RETRY_SECONDS)


async def register_node(
    api: Api,
    node: str,
    *,
    pod_cidrs: Sequence[str],
    addresses: Sequence[str],
    reason: str,
    streaming: tuple[str, int] | None = None,
) -> None:
    """Create the Node, ready and with an ``InternalIP`` (kube-proxy waits for it).

    Args:
        api: of the member.
        node: its name.
        pod_cidrs: the ranges of its Pods, at most one of each family.
        addresses: its own ones.
        reason: of its condition Ready.
        streaming: host and port of the endpoints behind ``kubectl exec`` and ``logs``; None if it has none. The host is
            the node's only address of type ``InternalDNS``, which an API server is told to use: it is not inside of the
            network namespace where the ``InternalIP`` is.
    """
    await api.apply(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node, "labels": {"kubernetes.io/hostname": node}},
            "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)},
        }
    )
    internal = [{"type": "InternalIP", "address": each} for each in addresses]
    all_addresses = [*internal, {"type": "Hostname", "address": node}]
    endpoints = {}
    if streaming is not None:
        all_addresses.append({"type": "InternalDNS", "address": streaming[0]})
        endpoints["kubeletEndpoint"] = {"Port": streaming[1]}
    status = {
        "addresses": all_addresses,
        "daemonEndpoints": endpoints,
        "capacity": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
        "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
        "conditions": [{"type": "Ready", "status": "True", "reason": reason, "lastTransitionTime": now()}],
    }
    await api.patch("v1/nodes", node, {"status": status}, subresource="status")


async def bind(api: Api, pod: Object, node: str) -> None:
    """Give a Pod its node, as a scheduler would."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "uid": pod["metadata"]["uid"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    await api.raw("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", binding)


def running_status(
    pod: Object, *, address: str, host: str, ready: bool = True, started: str | None = None
) -> dict[str, Any]:
    """The status of a Pod whose containers all run, ready or not.

    Args:
        pod: the Pod.
        address: its address.
        host: its node's address.
        ready: whether it is ready; it has become so, or ceased to be, now.
        started: when it started; None: now.
    """
    moment = now()
    started = started or moment
    return {
        "phase": "Running",
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": started,
        "conditions": [
            *(
                {"type": kind, "status": "True", "lastTransitionTime": started}
                for kind in ("PodScheduled", "Initialized")
            ),
            *(
                {"type": kind, "status": str(ready), "lastTransitionTime": moment}
                for kind in ("ContainersReady", "Ready")
            ),
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "containerID": f"testbed://{pod['metadata']['uid']}/{container['name']}",
                "ready": ready,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": started}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


def now() -> str:
    """The time in the format of Kubernetes."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
