"""No false alarms: whatever healthy histories lead to, at rest the rules of diagnosis find nothing.

People declare services, change who provides and who consumes, Pods come and go, processes crash and connections break,
while messages are on their way. The worlds that are diagnosed are made of what the servers of the fleet then have;
what the model has not, such as nodes, is that of the healthy world of the unit tests. `make test-long` runs 1,000.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Severity
from mcs_controller.diagnosis.verdict import diagnose
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace
from tests.model.test_histories import NAMES, PORTS, SERVICES, beginning
from tests.support.builders import mcs
from tests.support.fleet_model import Fleet, fresh, marked
from tests.support.fleet_model_foreign import own
from tests.support.fleet_model_process import AGENT, BESIDE, STANDALONE
from tests.support.scale import LONG, SCALE
from tests.unit.diagnosis import healthy

if TYPE_CHECKING:
    from tests.support.fleet_model_server import Server

HISTORIES = 25 * SCALE
CHANGES = 6
SLICE = "-abc"
OURS = [about for about in SERVICES if about[0] == "shop"]
KINDS = (
    (w.MULTICLUSTERSERVICES, wk.MCS_KIND),
    (w.CLUSTERS, wk.CLUSTER_KIND),
    (w.WORKS, wk.WORK_KIND),
    (w.BINDINGS, wk.BINDING_KIND),
    (w.SERVICES, wk.SERVICE_KIND),
    (w.SLICES, wk.SLICE_KIND),
    (w.NAMESPACES, wk.NAMESPACE_KIND),
)
_TIME = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"')

pytestmark = pytest.mark.timeout(7200 if LONG else 900)


def at_rest(server: Server, snapshot: w.Snapshot) -> None:
    """Put what a server has into a snapshot. All of it was written long ago: it is at rest."""
    for kind in (one for one in vars(w).values() if isinstance(one, w.Kind)):
        snapshot.add(kind, [])
    for kind, name in KINDS:
        system = [one for one in snapshot.list(kind) if w.text(one, "metadata", "namespace") == "kube-system"]
        snapshot._objects[kind].clear()
        snapshot.add(kind, [*system, *json.loads(_TIME.sub(f'"{healthy.OLD}"', json.dumps(server.all(name))))])


def pods(snapshot: w.Snapshot) -> list[Any]:
    """A Pod for each address of a provider's own slices."""
    found = []
    for each in snapshot.list(w.SLICES, "shop"):
        name = w.labels_of(each).get(wk.SERVICE_NAME, "")
        if w.labels_of(each).get(wk.SLICE_MANAGED_BY) not in wk.SLICE_MANAGERS:
            for endpoint in w.items(each, "endpoints"):
                address = endpoint["addresses"][0]
                status = healthy.conditions(Ready="True") | {"phase": "Running", "podIP": address}
                ports = [{"containerPort": one["port"]} for one in PORTS]
                spec = {"containers": [{"name": name, "ports": ports}]}
                found.append(healthy.obj(f"{name}-{address}", "shop", labels={"app": name}, spec=spec, status=status))
    return found


def world_of(fleet: Fleet, about: tuple[str, str]) -> w.World:
    """What `mcsctl doctor` would observe."""
    base = healthy.healthy()
    at_rest(fleet.host, base.host)
    for cluster in base.host.list(w.CLUSTERS):  # the model needs no Secret to connect, and its agents no Lease to lead
        name = cluster["metadata"]["name"]
        if cluster["spec"]["syncMode"] == "Push":
            cluster["spec"]["secretRef"] = {"namespace": wk.CLUSTER_NAMESPACE, "name": name}
            secret = healthy.obj(name, wk.CLUSTER_NAMESPACE, data={"token": "", "caBundle": ""})
            base.host.add(w.SECRETS, [secret])
        else:
            held = base.host.list(w.LEASES, wk.SYSTEM_NAMESPACE)[0]["spec"]
            base.host.add(w.LEASES, [healthy.obj(w.AGENT_LEASE, execution_namespace(name), spec=held)])
    members = {name: healthy.member(name, f"10.{200 + number}") for number, name in enumerate(fleet.names)}
    for name, member in members.items():
        at_rest(fleet.members[name], member)
        member.add(w.PODS, pods(member))
        if any(kind.agent_of == name for kind in fleet.kinds):
            member.login = None
    return replace(base, members=members, service=about)


class History:
    """A fleet in which everybody does what is in order."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.kinds = self.rng.choice([STANDALONE, BESIDE, AGENT])
        self.versions = 0
        self.providers: dict[tuple[str, str], list[str]] = {}

    def some(self) -> list[str]:
        """Clusters; none means all."""
        return self.rng.sample(NAMES, self.rng.randint(0, len(NAMES)))

    async def run(self) -> list[w.World]:
        """All of it, with a look at every service whenever all is at rest. Returns the last worlds."""
        self.fleet = Fleet(*NAMES, rng=self.rng, kinds=self.kinds)
        self.fleet.restore(await beginning(self.kinds))
        self.fleet.start()
        for about in OURS:
            self.declare(about)
        for _ in range(CHANGES):
            await self.change()
            await self.fleet.drive(self.rng.randint(0, 40))
            if self.rng.random() < 0.2:
                await self.look()
        await self.look()
        worlds = [world_of(self.fleet, about) for about in OURS]
        await self.fleet.stop()
        return worlds

    async def change(self) -> None:
        """Something ordinary."""
        match self.rng.randrange(5):
            case 0 | 1:
                about = self.rng.choice(OURS)
                self.scale(self.rng.choice(self.providers[about]), about)
            case 2:
                self.declare(self.rng.choice(OURS))
            case 3:
                await self.fleet.crash()
            case 4:
                self.fleet.disconnect(self.rng.choice(NAMES))

    def scale(self, member: str, about: tuple[str, str]) -> None:
        """The Service has other Pods in a provider, at least one."""
        self.versions += 1
        addresses = [f"10.{self.versions // 250}.{self.versions % 250}.{at}" for at in range(self.rng.randint(1, 3))]
        name = f"{about[1]}{SLICE}"
        content = own(member, name, *about, addresses) | {"ports": PORTS}
        if self.fleet.members[member].find(wk.SLICE_KIND, about[0], name) is None:
            self.fleet.members[member].add_theirs(content)
        else:
            patch = {"endpoints": content["endpoints"]}
            self.fleet.members[member].change_theirs(wk.SLICE_KIND, about[0], name, patch)

    def declare(self, about: tuple[str, str]) -> None:
        """Other providers and consumers; the providers alone have Pods. There is a consumer besides a provider."""
        space, name = about
        providers, consumers = self.some(), self.some()
        if len(providers) == 1 and providers == consumers:
            consumers = []
        made = mcs(name, space, providers=providers, consumers=consumers, adopted=False, permanent_id="")
        if self.fleet.host.find(wk.MCS_KIND, space, name) is None:
            self.fleet.host.seed(fresh(marked(made, finalizer=True)))
        else:
            self.fleet.host.edit(wk.MCS_KIND, space, name, {"spec": made["spec"]})
        self.providers[about] = providers or list(NAMES)
        for member in NAMES:
            has_pods = self.fleet.members[member].find(wk.SLICE_KIND, space, f"{name}{SLICE}") is not None
            if member in self.providers[about] and not has_pods:
                self.scale(member, about)
            elif has_pods and member not in self.providers[about]:
                self.fleet.members[member].remove_theirs(wk.SLICE_KIND, space, f"{name}{SLICE}")

    async def look(self) -> None:
        """At rest no rule finds anything, and all could look."""
        # Messages overtake each other before; now they come as they were sent, which is found out faster.
        self.fleet.rng = None
        assert await self.fleet.rest() == []
        self.fleet.rng = self.rng
        for about in OURS:
            worse = [one for one in diagnose(world_of(self.fleet, about)).findings if one.severity > Severity.INFO]
            assert worse == [], (about, [(one.code, one.severity.name, one.problem, one.evidence) for one in worse])


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_healthy_history_ends_in_a_world_without_findings(seed: int):
    asyncio.run(History(seed).run())


def test_the_same_world_without_what_was_dispatched_is_broken():
    world, *_ = asyncio.run(History(0).run())
    for member in world.members.values():
        for key, one in list(member._objects[w.SLICES].items()):
            if w.labels_of(one).get(wk.SLICE_MANAGED_BY) in wk.SLICE_MANAGERS:
                del member._objects[w.SLICES][key]
    assert diagnose(world).verdict is not None
