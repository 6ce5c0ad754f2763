"""The way to a member changes while the member lives, is READY, provides and consumes: endpoint, proxy, token, CA.

Each time the next changes arrive by the new way, in both directions, and all that the members' API servers saw the
controller write meanwhile are these changes.
"""

from __future__ import annotations

import base64
import itertools
import ssl
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from testbed.certificates import Authority
from tests.support.fleet import (
    CLUSTERS,
    NAMESPACES,
    SECRETS,
    SLICES,
    Space,
    condition_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)
from tests.support.tcp_proxy import ConnectProxy, TcpProxy
from tests.support.traffic import Asked, Traffic, idle, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.asyncio(loop_scope="session")

MEMBER = "member1"
OTHER = "member2"
ACCOUNT = "v1/serviceaccounts"


class Living:
    """A service that both members provide and consume, and a way to one of them that may change."""

    def __init__(self, space: Space, process: ControllerProcess) -> None:
        self.space = space
        self.process = process
        self.server = space.bed.members[MEMBER].access.server
        self._numbers = itertools.count(1)

    async def use(self, **spec: object) -> None:
        """Change the spec of the member's Cluster."""
        await self.space.host.patch(CLUSTERS, MEMBER, {"spec": spec})

    async def store(self, **data: bytes) -> None:
        """Change the member's Secret."""
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        await self.space.host.patch(SECRETS, MEMBER, {"data": encoded}, namespace=karmada.CLUSTER_NAMESPACE)

    async def change_arrives(self) -> None:
        """What the member provides next reaches the other, and what the other provides next reaches the member."""
        number = next(self._numbers)
        for provider, consumer in ((MEMBER, OTHER), (OTHER, MEMBER)):
            addresses = [f"192.0.2.{number}"]
            await self.space.set_addresses(provider, "web-a", addresses)
            await self.space.dispatched_are(consumer, {f"{provider}-web-a": addresses})

    async def cluster(self) -> tuple[str, str]:
        """Whether the member is READY, and since when."""
        found = await self.space.host.get(CLUSTERS, MEMBER)
        (since,) = [one["lastTransitionTime"] for one in found["status"]["conditions"] if one["type"] == "Ready"]
        return condition_of(found, "Ready")[0], since

    async def copies(self) -> dict[str, str]:
        """Uids of all copies."""
        found = [
            await self.space.member(one).get(SLICES, f"{other}-web-a", namespace=self.space.namespace)
            for one, other in ((MEMBER, OTHER), (OTHER, MEMBER))
        ]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    @asynccontextmanager
    async def nothing_else(self, *, changes: int) -> AsyncIterator[None]:
        """While the block runs, nothing is written in members but so many changes of both copies, nor any Work lost."""
        await idle(self.process, Traffic(self.space.bed))
        traffic, cluster, copies = Traffic(self.space.bed), await self.cluster(), await self.copies()
        assert cluster[0] == "True"
        yield
        await idle(self.process, traffic)
        writes = traffic.writes()
        in_members = Counter({one: count for one, count in writes.items() if one.plane in (MEMBER, OTHER)})
        assert in_members == {Asked(one, "patch", "endpointslices"): changes for one in (MEMBER, OTHER)}, traffic.told()
        assert not [one for one in writes if one.resource == "works" and one.verb in ("create", "delete")]
        assert await self.copies() == copies
        assert await self.cluster() == cluster, "it was READY all the time"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def living(mortal_bed: Bed) -> AsyncIterator[Living]:
    """One for all tests here; each leaves the member where it was."""
    bed = mortal_bed
    # A member that does not answer for a while stays READY: nothing that happens here is due to another condition.
    flags = ["--cluster-status-update-frequency=1s", "--cluster-success-threshold=1s"]
    flags += ["--cluster-failure-threshold=1h", "--v=4"]
    kubeconfig = bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=bed.root, extra_args=flags) as process:
        space = await Space.make(bed)
        await space.create(service("web"), multiclusterservice("web"))
        for member in bed.members:
            await space.create_in(member, endpointslice("web-a", "web", ["192.0.2.200"]))
        made = Living(space, process)
        await made.change_arrives()
        await space.succeeded("web")

        async def is_ready() -> str:
            return condition_of(await space.host.get(CLUSTERS, MEMBER), "Ready")[0]

        await eventually("the member to be ready", is_ready, "True")
        yield made
        await space.remove()
        await gone(space.host, NAMESPACES, space.namespace)
        assert await process.terminate() == 0


async def test_opening_14_another_endpoint_of_a_living_member_is_used_and_the_old_one_not_missed(living: Living):
    async with TcpProxy(living.server) as first, TcpProxy(living.server) as second, living.nothing_else(changes=3):
        await living.use(apiEndpoint=first.url)
        await connected(first)
        await living.change_arrives()
        await living.use(apiEndpoint=second.url)
        await connected(second)
        first.cut()
        await living.change_arrives()
        await living.use(apiEndpoint=living.server)
        await idle(living.process)
        second.cut()
        await living.change_arrives()


async def connected(proxy: TcpProxy | ConnectProxy) -> None:
    async def probe() -> bool:
        if not proxy.connections:
            raise NotYet("nobody came")
        return True

    await wait_for("a connection by the new way", probe)


async def test_opening_14_a_proxy_of_a_living_member_and_the_header_that_it_demands(living: Living):
    port = living.server.rpartition(":")[2]
    async with ConnectProxy(living.server, demanded=("X-Key", "one")) as proxy, living.nothing_else(changes=3):
        # Only the proxy knows where this is.
        endpoint = f"https://kubernetes.default.svc:{port}"
        await living.use(apiEndpoint=endpoint, proxyURL=proxy.url, proxyHeader={"X-Key": "one"})
        await connected(proxy)
        await living.change_arrives()
        assert proxy.refused == 0

        proxy.demanded = ("X-Key", "two")
        proxy.reset_all()
        await wait_for("a refused connection", lambda: refused(proxy))
        await living.use(proxyHeader={"X-Key": "two"})
        await living.change_arrives()

        await living.use(apiEndpoint=living.server, proxyURL=None, proxyHeader=None)
        await idle(living.process)
        proxy.cut()
        await living.change_arrives()


async def refused(proxy: ConnectProxy) -> bool:
    if not proxy.refused:
        raise NotYet("everybody is welcome")
    return True


@pytest.mark.parametrize("first", ["token", "revocation"])
async def test_opening_14_a_new_token_of_a_living_member_whose_old_one_is_revoked(living: Living, first: str):
    member = living.space.bed.members[MEMBER]
    where = (karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
    secret = await living.space.host.get(SECRETS, MEMBER, namespace=karmada.CLUSTER_NAMESPACE)
    old = base64.b64decode(secret["data"]["token"]).decode()
    async with TcpProxy(living.server) as way:
        await living.use(apiEndpoint=way.url)
        async with living.nothing_else(changes=2):
            await living.change_arrives()
            # The account is another one now, and tokens of the old one are worth nothing.
            account = await member.api.get(ACCOUNT, where[1], namespace=where[0])
            await member.api.delete(ACCOUNT, where[1], namespace=where[0])
            kept = {key: account["metadata"][key] for key in ("name", "namespace", "labels")}
            await member.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": kept})
            new = (await karmada.request_token(member, *where)).encode()
            if first == "token":
                await living.store(token=new)
            await wait_for("the old token to be refused", lambda: is_refused(living.server, old), 60)
            way.reset_all()  # a server lets running watches go on
            if first == "revocation":
                await wait_for("the controller to be refused", lambda: was_told(living.process, way, "401"), 60)
                await living.store(token=new)
            await living.change_arrives()
        await living.use(apiEndpoint=living.server)
        await idle(living.process)


async def is_refused(server: str, token: str) -> bool:
    """Whether an API server knows the token no more. It remembers what it knew for some seconds."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server}/version", headers=headers, ssl=False) as answer,
    ):
        if answer.status != 401:
            raise NotYet(f"it answers {answer.status}")
        return True


async def was_told(process: ControllerProcess, way: TcpProxy, code: str) -> bool:
    """Whether an answer with this code, or `<error>`, came by this way."""
    host = way.url.removeprefix("https://")
    told = {
        labels["code"]
        for name, labels, value in await samples(process)
        if name == "rest_client_requests_total" and labels["host"] == host and value
    }
    if code not in told:
        raise NotYet(f"codes {sorted(told)}")
    return True


@pytest.mark.parametrize("first", ["secret", "certificate"])
async def test_opening_14_a_new_ca_of_a_living_member(living: Living, tmp_path: Path, first: str):
    """Its server has another certificate, as seen from here: what ends TLS stands before it."""
    old, new = Authority("old-ca"), Authority("new-ca")
    behind = ssl.create_default_context(cadata=living.space.bed.members[MEMBER].access.ca_pem.decode())
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    present(front, old, tmp_path)
    async with TcpProxy(living.server, front=front, behind=behind) as way:
        await living.store(caBundle=old.certificate_pem)
        await living.use(apiEndpoint=way.url)
        async with living.nothing_else(changes=2):
            await living.change_arrives()
            if first == "secret":
                await living.store(caBundle=new.certificate_pem)
            present(front, new, tmp_path)
            way.reset_all()
            if first == "certificate":
                await wait_for("a failed handshake", lambda: was_told(living.process, way, "<error>"))
                await living.store(caBundle=new.certificate_pem)
            await living.change_arrives()
        await living.store(caBundle=living.space.bed.members[MEMBER].access.ca_pem)
        await living.use(apiEndpoint=living.server)
        await idle(living.process)


async def test_a_member_whose_ca_is_an_intermediate_one_is_trusted(living: Living, tmp_path: Path):
    """The bundle has the cluster's CA alone, as kubeadm writes it, and not the corporate root that signed it."""
    cluster_ca = Authority("cluster-ca", issuer=Authority("corporate-root"))
    behind = ssl.create_default_context(cadata=living.space.bed.members[MEMBER].access.ca_pem.decode())
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    present(front, cluster_ca, tmp_path)
    async with TcpProxy(living.server, front=front, behind=behind) as way:
        await living.store(caBundle=cluster_ca.certificate_pem)
        async with living.nothing_else(changes=1):
            await living.use(apiEndpoint=way.url)
            await connected(way)
            await living.change_arrives()
        await living.store(caBundle=living.space.bed.members[MEMBER].access.ca_pem)
        await living.use(apiEndpoint=living.server)
        await idle(living.process)


async def test_connections_that_swallow_everything_are_found_and_no_change_waits_for_long(living: Living):
    """As after a firewall has lost its memory: nobody is told, and what is sent is acknowledged and goes nowhere."""
    async with TcpProxy(living.server) as way:
        async with living.nothing_else(changes=2):
            await living.use(apiEndpoint=way.url)
            await living.change_arrives()
            await wait_for("the connections to be used for a while", lambda: was_told(living.process, way, "200"))
            way.swallow()
            await living.change_arrives()
        await living.use(apiEndpoint=living.server)
        await idle(living.process)


def present(context: ssl.SSLContext, authority: Authority, directory: Path) -> None:
    """Let a server have a certificate by this authority, and show that one too, for connections from now on."""
    pair = authority.server("127.0.0.1")
    file = directory / "server.pem"
    file.write_bytes(pair.certificate_pem + authority.certificate_pem + pair.key_pem)
    context.load_cert_chain(file)
