"""Every token and certificate that the controller uses is renewed under traffic, and the old one is worth nothing then.

Probes and metrics are served without TLS: there is no certificate to renew.
"""

from __future__ import annotations

import base64
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from testbed import NotYet, karmada, wait_for
from testbed.api import Api
from testbed.certificates import Authority
from testbed.errors import ApiStatusError
from tests.integration.product.test_living_clusters import is_refused, present
from tests.support.fleet import CLUSTERS, SECRETS
from tests.support.tcp_proxy import TcpProxy
from tests.support.upgrading import CONSUMER, PROVIDER, REQUESTS, Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from testbed.access import ClusterAccess
    from testbed.controlplane import ControlPlane
    from tests.upgrade.conftest import Asking

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIFETIME = timedelta(seconds=90)
WHERE = (karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)


class TlsEnd:
    """A server as it is seen from here: the certificate is by an authority that can be changed."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.authority = Authority(f"{plane.name}-1")
        self.front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        present(self.front, self.authority, directory)
        behind = ssl.create_default_context(cadata=plane.access.ca_pem.decode())
        self.way = TcpProxy(plane.access.server, front=self.front, behind=behind)

    def renew(self) -> bytes:
        """Another authority from now on; both certificates, as a bundle that is good before and after."""
        old, self.authority = self.authority, Authority(f"{self._directory.name}-2")
        return old.certificate_pem + self.authority.certificate_pem

    def use(self) -> None:
        """Show the certificate by the new authority, to everybody anew."""
        present(self.front, self.authority, self._directory)
        self.way.reset_all()


async def revocable(plane: ControlPlane) -> tuple[str, Callable[[], Awaitable[None]]]:
    """A token of the controller, and what makes it worth nothing: it is bound to a Secret."""
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "token-"}}
    made = (await plane.api.create(body, namespace=WHERE[0]))["metadata"]
    bound = {"apiVersion": "v1", "kind": "Secret", "name": made["name"], "uid": made["uid"]}
    request = {"spec": {"expirationSeconds": 7200, "boundObjectRef": bound}}
    path = f"/api/v1/namespaces/{WHERE[0]}/serviceaccounts/{WHERE[1]}/token"
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    token = (await plane.api.raw("POST", path, kind | request))["status"]["token"]

    async def revoke() -> None:
        await plane.api.delete(SECRETS, made["name"], namespace=WHERE[0])
        await wait_for("the old token to be refused", lambda: is_refused(plane.access.server, token), 60)

    return token, revoke


async def store(made: Fleet, member: str, **data: bytes) -> None:
    """Change a member's Secret."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    await made.bed.host.api.patch(SECRETS, member, {"data": encoded}, namespace=karmada.CLUSTER_NAMESPACE)


WRITTEN = frozenset(
    {
        *((plane, "patch", "endpointslices") for plane in (PROVIDER, CONSUMER)),
        *(("karmada", "patch", resource) for resource in ("works", "works/status", "multiclusterservices/status")),
        *(("karmada", verb, "events") for verb in ("create", "patch")),
    }
)
"""By a change that comes while connections are cut: a write without an answer is repeated, and a delay is told."""


@asynccontextmanager
async def only_changes(made: Fleet) -> AsyncIterator[None]:
    """While the block runs, nothing is created or deleted but events, and nothing written but what changes."""
    async with made.writes() as writes:
        yield
    assert set(writes) <= WRITTEN, made.told


@pytest.mark.parametrize("member", [PROVIDER, CONSUMER])
async def test_token_and_authority_of_a_member(made: Fleet, asking: Asking, tmp_path: Path, member: str):
    plane, host = made.bed.members[member], made.bed.host.api
    end = TlsEnd(plane, tmp_path / member)
    secret = (await host.get(SECRETS, member, namespace=karmada.CLUSTER_NAMESPACE))["data"]
    try:
        async with end.way, asking() as loop:
            old, revoke = await revocable(plane)
            await store(made, member, token=old.encode(), caBundle=end.authority.certificate_pem)
            await host.patch(CLUSTERS, member, {"spec": {"apiEndpoint": end.way.url}})
            await made.change_arrives()
            async with only_changes(made):
                await store(made, member, caBundle=end.renew())
                end.use()
                await made.change_arrives()
                await store(made, member, caBundle=end.authority.certificate_pem)
                await store(made, member, token=(await karmada.request_token(plane, *WHERE)).encode())
                await revoke()
                end.way.reset_all()
                await made.change_arrives()
            await loop.goes_on(REQUESTS)
            await back(made, member, secret)
    finally:
        await back(made, member, secret)


async def back(made: Fleet, member: str, secret: dict[str, str]) -> None:
    """The member's endpoint and Secret are as they were."""
    host = made.bed.host.api
    await host.patch(SECRETS, member, {"data": secret}, namespace=karmada.CLUSTER_NAMESPACE)
    await host.patch(CLUSTERS, member, {"spec": {"apiEndpoint": made.bed.members[member].access.server}})
    await made.change_arrives()


def kubeconfig(server: str, ca: Path, **user: str) -> bytes:
    """One whose secrets are in files of their own, as in a Pod."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "a", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    return yaml.safe_dump(content).encode()


@asynccontextmanager
async def configured(made: Fleet, content: bytes) -> AsyncIterator[None]:
    """The replicas have this kubeconfig while the block runs."""
    path = made.bed.root / "controller.kubeconfig"
    path.write_bytes(content)
    await made.replicas.roll("rotated", leader_first=False)
    try:
        yield
    finally:
        await karmada.controller_kubeconfig(made.bed)
        await made.replicas.roll("new", leader_first=False)


async def test_token_and_authority_of_the_control_plane(made: Fleet, asking: Asking, tmp_path: Path):
    host = made.bed.host
    end = TlsEnd(host, tmp_path / "host")
    ca, token = tmp_path / "ca.crt", tmp_path / "token"
    ca.write_bytes(end.authority.certificate_pem)
    old, revoke = await revocable(host)
    token.write_text(old)
    async with end.way, asking() as loop, configured(made, kubeconfig(end.way.url, ca, tokenFile=str(token))):
        async with only_changes(made):
            ca.write_bytes(end.renew())
            end.use()
            await made.change_arrives()
            ca.write_bytes(end.authority.certificate_pem)
            token.write_text(await karmada.request_token(host, *WHERE))
            await revoke()
            end.way.reset_all()
            await made.change_arrives()
        await loop.goes_on(REQUESTS)


async def test_client_certificate_of_the_controller_that_expires(
    made: Fleet, asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    host = made.bed.host
    ca, cert, key = (tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key"))
    ca.write_bytes(host.access.ca_pem)

    def renew() -> ClusterAccess:
        access = host.make_client(karmada.CONTROLLER_USER)
        cert.write_bytes(access.client_cert_pem)
        key.write_bytes(access.client_key_pem)
        return access

    with monkeypatch.context() as patch:
        patch.setattr("testbed.certificates.LIFETIME", LIFETIME)
        first = renew()
    files = {"client-certificate": str(cert), "client-key": str(key)}
    async with asking() as loop, configured(made, kubeconfig(host.access.server, ca, **files)):
        async with only_changes(made):
            await made.change_arrives()
            renew()

            async def expired() -> bool:
                async with Api(first) as api:
                    try:
                        await api.raw("GET", "/version")
                    except ApiStatusError as error:
                        if error.status == 401:
                            return True
                        raise
                raise NotYet("it is good")

            await wait_for("the first certificate to expire", expired, 2 * LIFETIME.total_seconds())
            await made.change_arrives()
        await loop.goes_on(REQUESTS)
