"""Our agent in a Pull cluster of Karmada's, beside karmada-agent, with the rights that it is given and no more."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
import yaml

from testbed import Bed, ControllerProcess, karmada
from testbed.karmada import MANIFESTS, apply_all, request_token
from tests.integration.beside.conftest import CONTROLLERS, make_karmadas, starting
from tests.integration.product.conftest import UNLIMITED
from tests.support.fake_karmada import FakeKarmada
from tests.support.fake_karmada_aggregated import AggregatedClusters
from tests.support.fake_karmada_history import History, told
from tests.support.fake_karmada_quiet import Writes, at_rest, no_failures, wait_heartbeats
from tests.support.fleet import (
    EXPORTS,
    MCS,
    NAMESPACES,
    SERVICES,
    SLICES,
    Space,
    addresses_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
    serviceexport,
    serviceimport,
)
from tests.support.no_findings import BESIDE
from tests.support.traffic import Refusals, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

PULL = "member3"
SPACE = f"karmada-es-{PULL}"
AGENT = "mcs-controller-agent"
USER = f"system:serviceaccount:{SPACE}:{AGENT}"
OURS = {"mcs-controller-manager", AGENT}
"""Field managers."""
POLICY = "4943a72a-e372-4c3e-bf4e-83659b3278a6"


class Fleet(NamedTuple):
    """Both of ours at work beside Karmada's."""

    bed: Bed
    fake_karmada: FakeKarmada
    history: History
    controller: ControllerProcess
    agent: ControllerProcess
    space: Space


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(binaries: dict[str, Path]) -> AsyncIterator[Fleet]:
    """member1 is a Push cluster; member3 is a Pull cluster, and nobody but its agents can talk to it."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bed = await enter(Bed(members=("member1", PULL), audit=True))
        await make_karmadas(bed, pull=[PULL])
        fake_karmada = await enter(FakeKarmada(bed, pull=[PULL]))
        await fake_karmada.webhook.convert_bindings()
        proxy = await enter(AggregatedClusters(await karmada.controller_access(bed)))
        run = await enter(starting(bed, proxy.kubeconfig(bed.root / "aggregated.kubeconfig")))
        space = await Space.make(bed)
        history = await enter(History(bed))
        controller = await run("controller")
        agent = await install_agent(bed, stack)
        yield Fleet(bed, fake_karmada, history, controller, agent, space)
        assert Refusals.ever(bed, USER).found() == []


async def install_agent(bed: Bed, stack: AsyncExitStack) -> ControllerProcess:
    """Do what docs/agent.md says, and leave both standalone.yaml out."""
    host, member = bed.host, bed.members[PULL]

    async def has_namespace() -> bool:
        return await host.api.find(NAMESPACES, SPACE) is not None

    await eventually("the execution namespace", has_namespace, True)
    rights = (MANIFESTS / "agent" / "control-plane" / "rbac.yaml").read_text().replace("CLUSTER", PULL)
    await apply_all(host.api, yaml.safe_load_all(rights))
    await apply_all(member.api, [*yaml.safe_load_all((MANIFESTS / "member" / "rbac.yaml").read_text())])
    token = await request_token(host, SPACE, AGENT)
    access = host.token_access(token, bed.root / "agent-karmada.kubeconfig")
    proxy = await stack.enter_async_context(AggregatedClusters(access))
    control_plane = proxy.kubeconfig(bed.root / "agent-aggregated.kubeconfig")
    token = await request_token(member, karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
    own = member.token_access(token, bed.root / "agent.kubeconfig").kubeconfig
    flags = [f"--cluster-name={PULL}", f"--karmada-kubeconfig={control_plane}", *UNLIMITED, "--v=4"]
    agent = ControllerProcess(own, root=bed.root, name="agent", controllers=CONTROLLERS, extra_args=flags)
    stack.push_async_callback(agent.kill)
    await agent.start()
    return agent


async def test_a_pull_cluster_of_karmadas_is_served_by_our_agent_with_its_rights_alone(fleet: Fleet):
    space, fake_karmada = fleet.space, fleet.fake_karmada
    # From the Pull cluster, to it, and from it to whoever imports.
    await space.create(service("out"), multiclusterservice("out", [PULL], ["member1"]))
    await space.create(service("in"), multiclusterservice("in", ["member1"], [PULL]))
    await space.create_in(PULL, endpointslice("out-a", "out", ["192.0.2.1"]))
    await space.create_in("member1", endpointslice("in-a", "in", ["192.0.2.2"]))
    await space.create(service("shop"), serviceexport("shop"), serviceimport("shop"))
    for resource in (SERVICES, EXPORTS):
        template = await space.host.get(resource, "shop", namespace=space.namespace)
        await fake_karmada.policies.propagate(template, [PULL], POLICY, "shop")
    await space.create_in(PULL, endpointslice("shop-a", "shop", ["192.0.2.3"]))
    await arrived(space, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    await space.succeeded("out", but=BESIDE)
    await space.succeeded("in", but=BESIDE)

    # Changes arrive as well.
    await space.set_addresses(PULL, "out-a", ["192.0.2.11"])
    await space.set_addresses("member1", "in-a", ["192.0.2.12"])
    await space.set_addresses(PULL, "shop-a", ["192.0.2.13"])
    await arrived(space, "192.0.2.11", "192.0.2.12", "192.0.2.13")

    # Nothing is fought over, and there is an end of writing, also after a restart of both.
    await at_rest(fleet.bed, fake_karmada)
    found = fleet.history.contested().items()
    contested = [(field, names) for field, names in found if OURS & set(names)]
    assert contested == [], told(contested)
    writes = Writes(fleet.bed)
    await wait_heartbeats(fake_karmada, 10)
    for process in (fleet.agent, fleet.controller):
        assert await process.terminate() == 0
        await process.start()
        await idle(process)
    await wait_heartbeats(fake_karmada, 4)
    assert writes.told() == ""

    # It ends as it began.
    for name in ("out", "in"):
        await space.host.delete(MCS, name, namespace=space.namespace)
        await gone(space.host, MCS, name, space.namespace)
    await space.host.delete(EXPORTS, "shop", namespace=space.namespace)
    await arrived(space)

    async def works() -> list[str]:
        pairs = [(member, kind) for member in ("member1", PULL) for kind in ("EndpointSlice", "MultiClusterService")]
        return [name for member, kind in pairs for name in await space.work_names(member, kind)]

    no_names: list[str] = []
    await eventually("no Works of any service", works, no_names)
    assert await space.member(PULL).find(SLICES, "out-a", namespace=space.namespace) is not None
    await no_failures(fake_karmada)


async def arrived(space: Space, out: str = "", into: str = "", imported: str = "") -> None:
    """Wait until these addresses are where they are to be, or nothing is."""
    await space.dispatched_are("member1", {f"{PULL}-out-a": [out]} if out else {}, "out")
    await space.dispatched_are(PULL, {"member1-in-a": [into]} if into else {}, "in")

    async def found() -> dict[str, list[str]]:
        label = "kubernetes.io/service-name=derived-shop"
        slices: list[dict[str, Any]] = await space.host.list(SLICES, namespace=space.namespace, label_selector=label)
        return {one["metadata"]["name"]: addresses_of(one) for one in slices}

    wanted = {f"imported-{PULL}-shop-a": [imported]} if imported else {}
    await eventually("the imported slice", found, wanted)
