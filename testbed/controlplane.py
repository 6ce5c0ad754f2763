"""One plane: a kube-apiserver under its own etcd prefix and, if asked for, a kube-controller-manager."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from testbed.access import ClusterAccess, write_private
from testbed.api import Api
from testbed.certificates import Authority, KeyPair, token_signing_key
from testbed.commands import (
    AUDIT_POLICY,
    KUBELET_CLIENT,
    PlaneFiles,
    apiserver_command,
    controller_manager_command,
)
from testbed.errors import ApiStatusError
from testbed.ports import PortReservation
from testbed.processes import Process
from tools.components import apiserver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from testbed.etcd import EtcdClient

READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSpec:
    """The configuration of a plane.

    Attributes:
        name: of the plane; also its etcd prefix and its kubeconfig's context.
        pod_cidr: where its Pods' addresses come from. Without a data plane, nothing is ever sent to them.
        service_cidr: where its Services' cluster IPs come from.
        controllers: what its kube-controller-manager runs; empty: it has none.
        audit: whether requests are logged to :attr:`ControlPlane.audit_log`.
        version: of its kube-apiserver.
        apiserver_flags: what its kube-apiserver is told beside our own flags.
    """

    name: str
    pod_cidr: str
    service_cidr: str
    controllers: Sequence[str]
    audit: bool
    version: str
    apiserver_flags: Sequence[str]


class ControlPlane:
    """The API server and controllers of one cluster.

    Args:
        spec: what it shall be.
        binaries: paths of its kube-apiserver and, if needed, ``kube-controller-manager``, by component.
        etcd: where it keeps its objects.
        root: the bed's directory; the plane's files go to ``<name>/`` there, its kubeconfig to ``<name>.kubeconfig``.
    """

    def __init__(self, spec: PlaneSpec, *, binaries: Mapping[str, Path], etcd: EtcdClient, root: Path) -> None:
        self.name = spec.name
        self.version = spec.version
        self.pod_cidr = spec.pod_cidr
        self.service_cidr = spec.service_cidr
        self._root = root
        self._files = PlaneFiles(directory=root / spec.name)
        self.audit_log: Path = self._files.audit_log
        self._authority = Authority(f"{spec.name}-ca")
        self._reservation = PortReservation()
        self._write_files()
        self.access: ClusterAccess = self._certificate_access(
            "kubernetes-admin", ["system:masters"], root / f"{spec.name}.kubeconfig"
        )
        self.api: Api = Api(self.access)
        self.apiserver: Process = Process(
            f"kube-apiserver of {spec.name}",
            apiserver_command(
                binaries[apiserver(spec.version)],
                etcd=etcd,
                prefix=spec.name,
                port=self._reservation.port,
                service_cidr=spec.service_cidr,
                files=self._files,
                audit=spec.audit,
                further=spec.apiserver_flags,
            ),
            log=self._files.directory / "kube-apiserver.log",
            root=root,
        )
        self.controller_manager: Process | None = None
        if spec.controllers:
            manager = self._certificate_access(
                "system:kube-controller-manager", [], self._files.directory / "kube-controller-manager.kubeconfig"
            )
            self.controller_manager = Process(
                f"kube-controller-manager of {spec.name}",
                controller_manager_command(
                    binaries["kube-controller-manager"],
                    kubeconfig=manager.kubeconfig,
                    controllers=spec.controllers,
                    files=self._files,
                ),
                log=self._files.directory / "kube-controller-manager.log",
                root=root,
            )

    async def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            ProcessFailed: with the end of the log of what failed.
        """
        await self.start_apiserver()
        await self.start_controller_manager()

    async def stop(self) -> None:
        """Stop everything and release the port."""
        await self.api.close()
        if self.controller_manager is not None:
            # It keeps no state that a polite stop would save.
            await self.controller_manager.kill()
        await self.apiserver.kill()
        self._reservation.close()

    async def start_apiserver(self) -> None:
        """Start the API server, on the same port and data as before, and wait for ``/readyz``."""
        await self.apiserver.start()
        await self.apiserver.until(self._ready, timeout=READY_SECONDS)

    async def stop_apiserver(self) -> None:
        """Send SIGTERM to the API server and wait: it closes its watches. The port stays reserved."""
        await self.apiserver.stop()

    async def kill_apiserver(self) -> None:
        """Send SIGKILL to the API server: connections break, and new ones are refused."""
        await self.apiserver.kill()

    async def start_controller_manager(self) -> None:
        """Start the kube-controller-manager, if this plane has one, and wait until it works."""
        if self.controller_manager is None:
            return
        # Gone before it starts, so that its being there afterwards is the new process's doing.
        await self.api.delete("v1/serviceaccounts", "default", namespace="default", missing_ok=True)
        await self.controller_manager.start()
        await self.controller_manager.until(self._controllers_work, timeout=READY_SECONDS)

    async def restart_controller_manager(self) -> None:
        """Restart the kube-controller-manager, if this plane has one.

        Its garbage collector looks for new kinds every 30 s only: after new CRDs this is the fast way to make owner
        references of the new kinds count.
        """
        if self.controller_manager is not None:
            await self.controller_manager.kill()
            await self.start_controller_manager()

    def make_client(self, common_name: str, organizations: Sequence[str] = ()) -> ClusterAccess:
        """Create a user with a client certificate; RBAC decides about its rights.

        Args:
            common_name: the user's name; unique per plane, as the kubeconfig is named after it.
            organizations: the user's groups.
        """
        name = common_name.replace(":", "-").replace("/", "-")
        return self._certificate_access(
            common_name, organizations, self._root / "users" / f"{self.name}-{name}.kubeconfig"
        )

    def server_certificate(self, *names: str) -> KeyPair:
        """A certificate for another server of this cluster, for these host names and IP addresses."""
        return self._authority.server(*names)

    def token_access(self, token: str, kubeconfig: Path) -> ClusterAccess:
        """Access with a bearer token, written to ``kubeconfig``."""
        access = ClusterAccess(
            name=self.name,
            server=f"https://127.0.0.1:{self._reservation.port}",
            ca_pem=self._authority.certificate_pem,
            client_cert_pem=b"",
            client_key_pem=b"",
            kubeconfig=kubeconfig,
            token=token,
        )
        access.write_kubeconfig()
        return access

    def processes(self) -> Iterator[Process]:
        """The processes of this plane, running or not."""
        yield self.apiserver
        if self.controller_manager is not None:
            yield self.controller_manager

    def _certificate_access(self, common_name: str, organizations: Sequence[str], kubeconfig: Path) -> ClusterAccess:
        pair = self._authority.client(common_name, organizations)
        access = ClusterAccess(
            name=self.name,
            server=f"https://127.0.0.1:{self._reservation.port}",
            ca_pem=self._authority.certificate_pem,
            client_cert_pem=pair.certificate_pem,
            client_key_pem=pair.key_pem,
            kubeconfig=kubeconfig,
        )
        access.write_kubeconfig()
        return access

    def _write_files(self) -> None:
        server = self._authority.server("localhost", "127.0.0.1", "kubernetes.default.svc")
        kubelet_client = self._authority.client(KUBELET_CLIENT)
        token_key, token_public = token_signing_key()
        for path, content in (
            (self._files.ca, self._authority.certificate_pem),
            (self._files.server_certificate, server.certificate_pem),
            (self._files.server_key, server.key_pem),
            (self._files.kubelet_client_certificate, kubelet_client.certificate_pem),
            (self._files.kubelet_client_key, kubelet_client.key_pem),
            (self._files.token_key, token_key),
            (self._files.token_public_key, token_public),
            (self._files.audit_policy, AUDIT_POLICY.encode()),
        ):
            write_private(path, content)

    async def _ready(self) -> bool:
        with contextlib.suppress(ApiStatusError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(10.0):
                await self.api.raw("GET", "/readyz")
                # "default" is made by a loop of the server itself, a moment after it calls itself ready.
                await self.api.get("v1/namespaces", "default")
            return True
        return False

    async def _controllers_work(self) -> bool:
        """Whether the service-account controller has created ``default/default``: then it has caches and rights."""
        with contextlib.suppress(ApiStatusError, aiohttp.ClientError, OSError):
            return await self.api.find("v1/serviceaccounts", "default", namespace="default") is not None
        return False
