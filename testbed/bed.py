"""A bed: one etcd, a control plane, some members, all up together and all gone together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from testbed import temporary
from testbed.commands import HOST_CONTROLLERS, MEMBER_CONTROLLERS
from testbed.controlplane import ControlPlane, PlaneSpec
from testbed.dataplane import DataPlane, leftovers
from testbed.dataplane.names import ipv6_of
from testbed.errors import BedError
from testbed.etcd import Etcd
from testbed.identity import ProcessIdentity, kill_leftovers
from testbed.kubelet import KubeletFactory, StandInKubelet
from testbed.tasks import together
from tools.components import KUBERNETES_VERSION, apiserver, resolve

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from testbed.etcd import EtcdClient
    from testbed.processes import Process

HOST_NAME = "karmada"
MAX_MEMBERS = 70

OnProgress = Callable[[str], None]


def required_components(
    *, controller_manager: bool = True, dataplane: bool = False, versions: Iterable[str] = ()
) -> list[str]:
    """The names of the components that a bed needs.

    Args:
        controller_manager: as for :class:`Bed`.
        dataplane: as for :class:`Bed`.
        versions: of API servers, beside the newest.

    Raises:
        ComponentError: no kube-apiserver of such a version is pinned.
    """
    return [
        "etcd",
        *dict.fromkeys(apiserver(version) for version in (KUBERNETES_VERSION, *versions)),
        *(["kube-controller-manager"] if controller_manager else []),
        *(["kube-proxy", "coredns", "kubelet-streaming"] if dataplane else []),
    ]


class Bed:
    """Real control planes for as long as the ``async with`` block lasts.

    Beds are independent: several can be up at once, in one process or in many.

    Args:
        members: names of the member clusters; may be empty for a lone API server.
        controller_manager: whether planes get a kube-controller-manager, and members somebody who runs their Pods.
            Without, a plane is ready sooner and nothing but the test writes to it.
        audit: whether every plane logs its requests (:mod:`testbed.audit` reads them).
        root: the directory to use, made if need be; None for one in the system's temporary directory.
        keep_on_failure: keep the directory if the block ends with an exception, which then gets a note with the path.
            After a failure during the start it is always kept, and the exception says where it is.
        kubelet: makes what runs the Pods of a member; of no account with ``dataplane``.
        dataplane: whether Pods really run, each in a network namespace, with kube-proxy and CoreDNS between them
            (:mod:`testbed.dataplane`). Needs root and nftables, and takes some seconds more.
        dual_stack: whether Pods, Services and nodes have IPv6 addresses beside the IPv4 ones; only with ``dataplane``.
            A Service has one only if its ``ipFamilyPolicy`` or ``ipFamilies`` say so. The control plane's API server
            takes such Services, too.
        versions: the API server's version by plane, ``{"member1": "v1.32.13"}``; the others run the newest. A plane's
            kube-controller-manager is always the newest: Kubernetes does not promise that this works with an older
            API server, but the controllers that run here do.
        apiserver_flags: for every API server of the bed; a repeated one wins over ours.
        on_progress: called with a short sentence when something has been reached.

    Raises (on entering):
        ProcessFailed: a component did not become ready; the end of its log is in the text.
        ComponentError: a binary is missing and cannot be built, or no API server of a version is pinned.
        BedError: a data plane is asked for, and this machine cannot carry one.
    """

    def __init__(
        self,
        *,
        members: Sequence[str] = ("member1", "member2"),
        controller_manager: bool = True,
        audit: bool = False,
        root: Path | None = None,
        keep_on_failure: bool = False,
        kubelet: KubeletFactory = StandInKubelet,
        dataplane: bool = False,
        dual_stack: bool = False,
        versions: Mapping[str, str] | None = None,
        apiserver_flags: Sequence[str] = (),
        on_progress: OnProgress = lambda _: None,
    ) -> None:
        if len(members) > MAX_MEMBERS or len({HOST_NAME, *members}) != len(members) + 1:
            raise ValueError(f"members must be at most {MAX_MEMBERS} different names, none of them {HOST_NAME!r}")
        if dataplane and not controller_manager:
            raise ValueError("a data plane without controller managers would have no Pods and no EndpointSlices")
        if dual_stack and not dataplane:
            raise ValueError("only Pods of a data plane have IPv6 addresses")
        if unknown := set(versions or ()) - {HOST_NAME, *members}:
            raise ValueError(f"versions are given for planes that there are not: {', '.join(sorted(unknown))}")
        self._names = list(members)
        self._controller_manager = controller_manager
        self._audit = audit
        self._wanted_root = root
        self._keep_on_failure = keep_on_failure
        self._kubelet = kubelet
        self._wants_dataplane = dataplane
        self._dual_stack = dual_stack
        self._versions = dict(versions or {})
        self._apiserver_flags = tuple(apiserver_flags)
        self._dataplane: DataPlane | None = None
        self._on_progress = on_progress
        self._stack = AsyncExitStack()
        self._etcd: Etcd | None = None
        self._planes: dict[str, ControlPlane] = {}

    @property
    def root(self) -> Path:
        """The bed's directory: kubeconfigs, logs, data."""
        if self._wanted_root is None:
            raise BedError("the bed has not been started")
        return self._wanted_root

    @property
    def host(self) -> ControlPlane:
        """The control plane of the fleet."""
        return self._planes[HOST_NAME]

    @property
    def etcd(self) -> EtcdClient:
        """How to reach the etcd behind all planes, as they do. Each keeps its objects below ``/<name of the plane>/``.

        Raises:
            BedError: the bed has not been started.
        """
        if self._etcd is None:
            raise BedError("the bed has not been started")
        return self._etcd.client

    @property
    def members(self) -> dict[str, ControlPlane]:
        """The member clusters by name."""
        return {name: self._planes[name] for name in self._names if name in self._planes}

    @property
    def dataplane(self) -> DataPlane:
        """What carries traffic between Pods.

        Raises:
            BedError: this bed has none.
        """
        if self._dataplane is None:
            raise BedError("this bed has no data plane: make it with Bed(dataplane=True)")
        return self._dataplane

    def processes(self) -> Iterator[Process]:
        """Every process of the bed, running or not."""
        if self._etcd is not None:
            yield self._etcd.process
        for plane in self._planes.values():
            yield from plane.processes()
        if self._dataplane is not None:
            yield from self._dataplane.processes()

    async def __aenter__(self) -> Self:
        """Start everything; what can start at the same time does."""
        began = time.monotonic()
        wanted = required_components(
            controller_manager=self._controller_manager,
            dataplane=self._wants_dataplane,
            versions=self._versions.values(),
        )
        # A thread: a first build takes minutes. Children are started from this thread, not from that one.
        binaries = await asyncio.to_thread(resolve, wanted)
        await asyncio.to_thread(leftovers.sweep)
        if self._wanted_root is None:
            owner = ProcessIdentity.of(os.getpid())
            assert owner is not None
            self._wanted_root = temporary.make(owner)
        root = self._wanted_root = self._wanted_root.resolve()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._etcd = Etcd(binaries["etcd"], directory=root / "etcd", root=root)
            self._stack.push_async_callback(self._etcd.stop)
            await self._etcd.start()
            self._on_progress(f"etcd is up ({time.monotonic() - began:.1f} s)")
            for index, name in enumerate([HOST_NAME, *self._names]):
                plane = ControlPlane(self._spec(index, name), binaries=binaries, etcd=self._etcd.client, root=root)
                self._planes[name] = plane
                self._stack.push_async_callback(plane.stop)
            await self._start_planes(began)
            if self._wants_dataplane:
                self._dataplane = await self._stack.enter_async_context(
                    DataPlane(
                        self.members,
                        binaries=binaries,
                        root=root,
                        dual_stack=self._dual_stack,
                        on_progress=self._on_progress,
                    )
                )
                self._kubelet = self._dataplane.kubelet
            if self._controller_manager and self._names:
                await self._stack.enter_async_context(_running(self._kubelets))
        except BaseException as error:
            await self._stack.aclose()
            if isinstance(error, BedError):
                temporary.keep(root)
                error.add_note(f"all logs are kept in {root}")
            else:  # cancelled: there is nothing to be learned from the logs
                shutil.rmtree(root, ignore_errors=True)
            raise
        self._on_progress(f"{len(self._planes)} planes are ready ({time.monotonic() - began:.1f} s)")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything and remove the directory, unless it is to be kept. Processes are gone even if this fails."""
        try:
            await self._stack.aclose()
        finally:
            kill_leftovers(self.root)
            if error is not None and self._keep_on_failure:
                temporary.keep(self.root)
                error.add_note(f"the bed's logs are kept in {self.root}")
            else:
                shutil.rmtree(self.root, ignore_errors=True)

    def _spec(self, index: int, name: str) -> PlaneSpec:
        controllers = HOST_CONTROLLERS if index == 0 else MEMBER_CONTROLLERS
        service_cidr = f"10.{160 + index}.0.0/16"
        both = [f"--service-cluster-ip-range={service_cidr},{ipv6_of(service_cidr)}"] if self._dual_stack else []
        return PlaneSpec(
            name=name,
            pod_cidr=f"10.{80 + index}.0.0/16",
            service_cidr=service_cidr,
            controllers=controllers if self._controller_manager else (),
            audit=self._audit,
            version=self._versions.get(name, KUBERNETES_VERSION),
            apiserver_flags=(*both, *self._apiserver_flags),
        )

    async def _start_planes(self, began: float) -> None:
        async def start(plane: ControlPlane) -> None:
            await plane.start()
            self._on_progress(f"{plane.name} is ready ({time.monotonic() - began:.1f} s)")

        await together(start(plane) for plane in self._planes.values())

    async def _kubelets(self) -> None:
        await together(self._kubelet(plane).run() for plane in self.members.values())


@contextlib.asynccontextmanager
async def _running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run something beside the block, and cancel it at its end; its own failure is raised there.

    Not a TaskGroup: fixtures enter and leave a bed in different tasks, which a TaskGroup does not allow.
    """
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
