"""One etcd for all planes of a bed, each under a prefix of its own."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from testbed.access import write_private
from testbed.certificates import Authority
from testbed.ports import PortReservation
from testbed.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdClient:
    """Address and credentials of an etcd client."""

    url: str
    ca: Path
    certificate: Path
    key: Path


class Etcd:
    """An etcd on the loopback address with mutual TLS, which never waits for the disk.

    Args:
        binary: the executable.
        directory: certificates, log and data go here.
        root: the bed's directory.
    """

    def __init__(self, binary: Path, *, directory: Path, root: Path) -> None:
        self._directory = directory
        authority = Authority("etcd")
        member, client = authority.peer("127.0.0.1", "localhost"), authority.client("kube-apiserver")
        files = {
            "ca.crt": authority.certificate_pem,
            "member.crt": member.certificate_pem,
            "member.key": member.key_pem,
            "client.crt": client.certificate_pem,
            "client.key": client.key_pem,
        }
        for name, content in files.items():
            write_private(directory / name, content)
        self._ports = [PortReservation(), PortReservation()]
        url, peer_url = (f"https://127.0.0.1:{reservation.port}" for reservation in self._ports)
        self.client = EtcdClient(
            url=url,
            ca=directory / "ca.crt",
            certificate=directory / "client.crt",
            key=directory / "client.key",
        )
        self.process = Process(
            "etcd",
            [
                str(binary),
                "--name=bed",
                f"--data-dir={directory / 'data'}",
                "--socket-reuse-port=true",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=bed={peer_url}",
                *(f"--{side}trusted-ca-file={directory / 'ca.crt'}" for side in ("", "peer-")),
                *(f"--{side}cert-file={directory / 'member.crt'}" for side in ("", "peer-")),
                *(f"--{side}key-file={directory / 'member.key'}" for side in ("", "peer-")),
                *(f"--{side}client-cert-auth=true" for side in ("", "peer-")),
                "--unsafe-no-fsync",  # a bed's data need not survive a power cut, and fsync is most of a write's time
                "--quota-backend-bytes=2147483648",
                "--auto-compaction-mode=periodic",
                "--auto-compaction-retention=10m",
                "--log-level=warn",
            ],
            log=directory / "etcd.log",
            root=root,
        )

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            ProcessFailed: with the end of its log.
        """
        await self.process.start()
        context = ssl.create_default_context(cafile=str(self.client.ca))
        context.load_cert_chain(self.client.certificate, self.client.key)
        port = urlsplit(self.client.url).port
        assert port is not None

        async def serves() -> bool:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            except OSError:
                return False
            try:
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b'"health":"true"' in await reader.read()
            except OSError:
                return False
            finally:
                writer.close()

        await self.process.until(serves, timeout=READY_SECONDS)

    async def stop(self) -> None:
        """Stop it and release its ports."""
        await self.process.stop()
        for reservation in self._ports:
            reservation.close()
