"""Wrong endpoints in a consumer are gone or named, whatever breaks; docs/staleness.md says by what, and how soon.

The flags are the defaults. Faults of which other tests show the same are for `make test-long`.
"""

from __future__ import annotations

import base64
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from informers.metrics import STALE_SECONDS
from testbed import ControllerProcess, NotYet, karmada, wait_for
from testbed.certificates import Authority
from tests.integration.informers.test_proxies import expire
from tests.integration.product.test_availability import FINE, asked, says
from tests.integration.product.test_living_clusters import present
from tests.support.fleet import CLUSTERS, PATIENCE_SECONDS, SECRETS, Space, endpointslice, eventually
from tests.support.tcp_proxy import TcpProxy
from tests.support.traffic import samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROVIDER, CONSUMER = "member1", "member2"
ROLES = "rbac.authorization.k8s.io/v1/clusterroles"
RIGHTS = ("mcs-controller-manager-member", "mcs-controller-manager-member-standalone")
STALE = "False Stale member2: endpoints of member1 may have changed, the cluster has not answered for more than 14 s."


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def controller(fleet_bed: Bed) -> AsyncIterator[ControllerProcess]:
    """One that is refused something, cut off, and told lies. A member that is back is believed at once."""
    flags = ("--cluster-success-threshold=1s", "--v=4")
    kubeconfig = fleet_bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=fleet_bed.root, extra_args=flags) as process:
        yield process


class Way:
    """What lies between the controller and a member; each fault is one of it."""

    def __init__(self, bed: Bed, member: str, directory: Path) -> None:
        self._bed, self._member, self._directory = bed, member, directory
        self._plane = bed.members[member]
        self._before: list[tuple[str, Any]] = []
        self.authority = Authority("way")
        self.front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        behind = ssl.create_default_context(cadata=self._plane.access.ca_pem.decode())
        self.proxy = TcpProxy(self._plane.access.server, front=self.front, behind=behind)

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """The controller takes this way while the block runs."""
        host = self._bed.host.api
        secret = (await host.get(SECRETS, self._member, namespace=karmada.CLUSTER_NAMESPACE))["data"]
        present(self.front, self.authority, self._directory)
        async with self.proxy:
            try:
                data = {"caBundle": base64.b64encode(self.authority.certificate_pem).decode()}
                await host.patch(SECRETS, self._member, {"data": data}, namespace=karmada.CLUSTER_NAMESPACE)
                await host.patch(CLUSTERS, self._member, {"spec": {"apiEndpoint": self.proxy.url}})
                yield
            finally:
                await host.patch(SECRETS, self._member, {"data": secret}, namespace=karmada.CLUSTER_NAMESPACE)
                endpoint = {"spec": {"apiEndpoint": self._plane.access.server}}
                await host.patch(CLUSTERS, self._member, endpoint)
                await eventually("nobody to go this way", self.connections, 0)

    async def connections(self) -> int:
        return self.proxy.open_ends

    # --- faults, and what mends them ------------------------------------------------------------------------------

    async def cut(self) -> None:
        self.proxy.cut()

    async def freeze(self) -> None:
        self.proxy.freeze()

    async def restore(self) -> None:
        self.proxy.restore()

    async def swallow(self) -> None:
        self.proxy.swallow()

    async def deafen(self) -> None:
        """Watches go on, and tell of no change: a bookmark comes in its place."""
        self.proxy.instead = (b'{"type":"MODIFIED"', b'{"type":"BOOKMARK"')

    async def hear(self) -> None:
        self.proxy.instead = None

    async def expire(self) -> None:
        """The server's certificate is of last year, for everybody who comes anew."""
        pair = self.authority.server("127.0.0.1")
        file = self._directory / "expired.pem"
        file.write_bytes(expire(self.authority, pair.certificate_pem) + pair.key_pem)
        self.front.load_cert_chain(file)
        self.proxy.reset_all()

    async def renew(self) -> None:
        present(self.front, self.authority, self._directory)

    async def forbid(self) -> None:
        """The controller may not see EndpointSlices any more."""
        for name in RIGHTS:
            rules = (await self._plane.api.get(ROLES, name))["rules"]
            self._before.append((name, rules))
            kept = [rule for rule in rules if rule.get("resources") != ["endpointslices"]]
            await self._plane.api.patch(ROLES, name, {"rules": kept})

    async def allow(self) -> None:
        while self._before:
            name, rules = self._before.pop()
            await self._plane.api.patch(ROLES, name, {"rules": rules})


class Fault(NamedTuple):
    """What is planted before which member, what mends it, and how the condition names it; not if it heals by itself."""

    member: str
    plant: Callable[[Way], Awaitable[None]]
    mend: Callable[[Way], Awaitable[None]]
    named: str = ""


NOT_DELIVERED = "False NotDelivered member2: slice "
SILENT = "Note: member2 has not answered for more than 14 s and may hold an older state."
FAULTS = {
    "the provider's watch and list disagree": Fault(PROVIDER, Way.deafen, Way.hear),
    "the provider takes rights away": Fault(PROVIDER, Way.forbid, Way.allow, STALE),
    "the consumer's API server is away": Fault(CONSUMER, Way.cut, Way.restore, NOT_DELIVERED),
}
ALIKE = {
    "packets to the provider are swallowed": Fault(PROVIDER, Way.freeze, Way.restore, STALE),
    "the provider's API server is away": Fault(PROVIDER, Way.cut, Way.restore, STALE),
    "connections to the provider are half open": Fault(PROVIDER, Way.swallow, Way.restore),
    "the provider's certificate has expired": Fault(PROVIDER, Way.expire, Way.renew, STALE),
    "packets to the consumer are swallowed": Fault(CONSUMER, Way.freeze, Way.restore, SILENT),
}


async def age(controller: ControllerProcess) -> float:
    """Of the provider's slices: of the older of two lists, one for collection and one for what is applied there."""
    found = [
        value
        for _, labels, value in await samples(controller, ("informer_unconfirmed_seconds",))
        if labels["cluster"] == PROVIDER and labels["resource"].startswith("endpointslices.")
    ]
    return max(found, default=STALE_SECONDS + 1)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=name) for name, fault in FAULTS.items()]
    + [pytest.param(fault, id=name, marks=pytest.mark.long) for name, fault in ALIKE.items()],
)
async def test_wrong_endpoints_are_gone_or_named(
    fleet_bed: Bed, space: Space, controller: ControllerProcess, tmp_path: Path, fault: Fault
):
    way = Way(fleet_bed, fault.member, tmp_path)
    async with way.used():
        await asked(space)
        await space.create_in(PROVIDER, endpointslice("web-a", "web", ["192.0.2.1"]))
        await says(space, "EndpointsAvailable", FINE)
        await space.dispatched_are(CONSUMER, {"member1-web-a": ["192.0.2.1"]})
        await fault.plant(way)
        try:
            await space.set_addresses(PROVIDER, "web-a", ["192.0.2.2"])
            if fault.named:

                async def named() -> bool:
                    said = " ".join(await space.condition("web", "EndpointsAvailable"))
                    if fault.named not in said:
                        raise NotYet(said)
                    return True

                await wait_for("a condition that names it", named, PATIENCE_SECONDS)
                assert set(await space.dispatched(CONSUMER)) == {"member1-web-a"}, "it stays"
                assert fault.named is not STALE or await age(controller) > STALE_SECONDS
            else:
                await space.dispatched_are(CONSUMER, {"member1-web-a": ["192.0.2.2"]})
        finally:
            await fault.mend(way)
        await space.dispatched_are(CONSUMER, {"member1-web-a": ["192.0.2.2"]})
        await says(space, "EndpointsAvailable", FINE)

        async def is_stale() -> bool:
            return await age(controller) > STALE_SECONDS

        await eventually("the age of the oldest list", is_stale, False)
