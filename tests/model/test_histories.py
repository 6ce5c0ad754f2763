"""Whatever people, members, networks and fate do: in every quiet moment the members have what the rules say.

A hypothesis state machine over the whole pipeline in memory, in one process or in two. What the machine does happens
while requests, answers and watch events of before are still on their way, several at a time, and overtake each other.

`make test-long` runs more and longer histories. A failing one is printed by hypothesis as a program, and what happened
in between, message by message.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace, work_name
from tests.support.builders import condition, export_work, mcs, service, service_export, service_import
from tests.support.fleet_model import Fleet, fresh, marked, namespace
from tests.support.fleet_model_foreign import own, scatter_foreign_objects, strip, strippable
from tests.support.fleet_model_oracle import complaints, expected, has_tiers, present, without_endpoints
from tests.support.fleet_model_oracle import services as services_of
from tests.support.fleet_model_process import AGENT, BESIDE, STANDALONE
from tests.support.scale import LONG, SCALE

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.support.fleet_model_process import Kind

NAMES = ("a", "a-b", "m")
SERVICES = (("shop", "web"), ("shop", "api"), ("bare", "web"))
SLICES = ("b-c", "c")  # of a and of a-b they ask for one name
PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "metrics", "port": 90, "protocol": "TCP"}]
LISTED = (
    None,
    [{"port": 80}],
    [{"port": 90}],
    [{"port": 80}, {"port": 7}],
    [{"name": "http", "port": 1}],
    [{"port": 7}],
)

pytestmark = pytest.mark.timeout(7200 if LONG else 900)
"""Seconds. Making a failing history smaller takes minutes."""

members = st.sampled_from(NAMES)
services = st.sampled_from((SERVICES[0], *SERVICES))
lists: st.SearchStrategy[list[str]] = st.one_of(
    st.just([]), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
)
seeds = st.integers(0, 9999)

_begin: dict[Any, Any] = {}


async def beginning(kinds: tuple[Kind, ...]) -> Any:
    """The servers of a fleet at rest, with objects of others everywhere, and no service. Made once."""
    if kinds not in _begin:
        fleet = Fleet(*NAMES, kinds=kinds)
        fleet.host.seed(marked(namespace("shop")))
        # Nobody brings this one to the members but those who want it there.
        fleet.host.seed(marked(namespace("bare", **{wk.SKIP_AUTO_PROPAGATION: "true"})))
        for name in NAMES:
            fleet.register(name)
        for space, name in SERVICES:
            fleet.host.seed(fresh(marked(service(name, space, ports=PORTS), finalizer=True)))
        fleet.start()
        assert await fleet.rest() == []
        scatter_foreign_objects(fleet, NAMES)
        for name in NAMES:
            fleet.members[name].seed(namespace("bare"))
        assert await fleet.rest() == []
        # What others have is compared with Works at the first lists, and said to be somebody's.
        await fleet.crash()
        assert await fleet.rest() == []
        for server in fleet.servers:
            server.accept()
        await fleet.stop()
        _begin[kinds] = fleet.snapshot()
    return _begin[kinds]


class Histories(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.versions = 0
        self.leftovers: set[str] = set()
        self.stripped = self.ever_stripped = False

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(doing)

    @initialize(
        seed=seeds,
        kinds=st.sampled_from([STANDALONE, BESIDE, AGENT]),
        providers=lists,
        consumers=lists,
        slices=st.lists(st.tuples(members, st.sampled_from(SLICES)), unique=True),
        squatting=st.lists(members, unique=True, max_size=1),
        at_rest=st.booleans(),
    )
    def begin(
        self,
        seed: int,
        kinds: tuple[Kind, ...],
        providers: list[str],
        consumers: list[str],
        slices: list[tuple[str, str]],
        squatting: list[str],
        at_rest: bool,
    ) -> None:
        """There is one service, perhaps at rest."""

        async def begin() -> None:
            snapshot = await beginning(kinds)
            self.fleet = Fleet(*NAMES, rng=random.Random(seed), kinds=kinds)
            self.fleet.restore(snapshot)
            self.fleet.start()
            await self.fleet.rest()
            assert self.fleet.wire.writes == [], "a restart writes nothing"
            self.fleet.history.clear()
            self.agreed = expected(self.fleet)

        self.run(begin())
        for member in squatting:
            self.squat(member, 0)
        for member, name in slices:
            self.provide(member, name, SERVICES[0], 1, 0)
        self.ask(SERVICES[0], providers, consumers, 0)
        if at_rest:
            self.heal()

    # --- people -------------------------------------------------------------------------------------------------------

    @rule(about=services, providers=lists, consumers=lists, steps=st.integers(0, 40))
    def ask(self, about: tuple[str, str], providers: list[str], consumers: list[str], steps: int) -> None:
        """Make a MultiClusterService, or change its lists."""
        space, name = about
        host, there = self.fleet.host, self.fleet.host.find(wk.MCS_KIND, space, name)
        if not self.is_home(space):
            return
        made = mcs(name, space, providers=providers, consumers=consumers, adopted=False, permanent_id="")
        if there is None:
            host.seed(fresh(marked(made, finalizer=True)))
        elif "deletionTimestamp" not in there["metadata"]:
            host.edit(wk.MCS_KIND, space, name, {"spec": made["spec"]})
        self.go(steps)

    @rule(about=services, steps=st.integers(0, 40))
    def withdraw(self, about: tuple[str, str], steps: int) -> None:
        """Delete a MultiClusterService."""
        if self.fleet.host.find(wk.MCS_KIND, *about) is not None:
            self.fleet.host.remove(wk.MCS_KIND, *about)
        self.go(steps)

    @rule(about=services, steps=st.integers(0, 40))
    def toggle_service(self, about: tuple[str, str], steps: int) -> None:
        """Delete a Service, or make it again."""
        if (there := self.fleet.host.find("Service", *about)) is None:
            if not self.is_home(about[0]):
                return
            self.fleet.host.seed(fresh(marked(service(about[1], about[0], ports=PORTS), finalizer=True)))
        elif "deletionTimestamp" not in there["metadata"]:
            self.fleet.host.remove("Service", *about)
        self.go(steps)

    @rule(about=services, listed=st.sampled_from(LISTED), steps=st.integers(0, 40))
    def list_ports(self, about: tuple[str, str], listed: list[Any] | None, steps: int) -> None:
        """Say which ports consumers get."""
        there = self.fleet.host.find(wk.MCS_KIND, *about)
        if there is not None and "deletionTimestamp" not in there["metadata"]:
            self.fleet.host.edit(wk.MCS_KIND, *about, {"spec": {"ports": listed}})
        self.go(steps)

    @rule(
        about=services,
        tiers=st.sampled_from(["", "local", "clusters=a", "clusters=m;clusters=a-b", "local; clusters=a-b,m"]),
        minimum=st.sampled_from(["1", "1", "2"]),
        strict=st.sampled_from(["false", "true"]),
        steps=st.integers(0, 40),
    )
    def prefer(self, about: tuple[str, str], tiers: str, minimum: str, strict: str, steps: int) -> None:
        """Say which clusters consumers prefer."""
        there = self.fleet.host.find(wk.MCS_KIND, *about)
        if there is not None and "deletionTimestamp" not in there["metadata"]:
            marks = {wk.TIERS: tiers or None, wk.TIER_MINIMUM: minimum, wk.TIER_STRICT: strict}
            self.fleet.host.edit(wk.MCS_KIND, *about, {"metadata": {"annotations": marks}})
        self.go(steps)

    @rule(member=members, steps=st.integers(0, 40))
    def toggle_drain(self, member: str, steps: int) -> None:
        """A cluster is drained, or no more."""
        there = self.fleet.host.find("Cluster", "", member)
        if there is not None and "deletionTimestamp" not in there["metadata"]:
            mark = None if wk.DRAIN in there["metadata"].get("labels", {}) else ""
            self.fleet.host.edit("Cluster", "", member, {"metadata": {"labels": {wk.DRAIN: mark}}})
        self.go(steps)

    @rule(member=members, name=st.sampled_from(["web", "api"]), steps=st.integers(0, 40))
    def toggle_export(self, member: str, name: str, steps: int) -> None:
        """Bring a ServiceExport to a member, or take it away."""
        host, space = self.fleet.host, execution_namespace(member)
        there = host.find("Work", space, work_name(wk.SERVICE_EXPORT_KIND, "shop", name))
        found = host.find("Namespace", "", space)
        if there is not None:
            if "deletionTimestamp" not in there["metadata"]:
                host.remove("Work", space, there["metadata"]["name"])
        elif found is not None and "deletionTimestamp" not in found["metadata"]:
            host.seed(fresh(export_work(member, service_export(name, "shop"), applied="")))
        self.go(steps)

    @rule(name=st.sampled_from(["web", "api"]), number=st.integers(0, 2), steps=st.integers(0, 40))
    def say_import(self, name: str, number: int, steps: int) -> None:
        """Make a ServiceImport, change it, or delete it."""
        host = self.fleet.host
        if not self.is_home("shop"):
            return
        made = service_import(name, "shop", ports=[{"name": "http", "port": 80 + number, "protocol": "TCP"}])
        if host.find(wk.SERVICE_IMPORT_KIND, "shop", name) is None:
            host.seed(fresh(marked(made)))
        elif number:
            host.edit(wk.SERVICE_IMPORT_KIND, "shop", name, {"spec": made["spec"]})
        else:
            host.remove(wk.SERVICE_IMPORT_KIND, "shop", name)
        self.go(steps)

    @rule(space=st.sampled_from(["shop", "bare", "bare"]), steps=st.integers(0, 40))
    def toggle_home(self, space: str, steps: int) -> None:
        """A namespace of the control plane goes with all that is in it, or comes."""
        host = self.fleet.host
        if (there := host.find("Namespace", "", space)) is None:
            labels = {wk.SKIP_AUTO_PROPAGATION: "true"} if space == "bare" else {}
            host.seed(marked(namespace(space, **labels)))
        elif "deletionTimestamp" not in there["metadata"]:
            host.remove("Namespace", "", space)
        self.go(steps)

    @rule(seed=seeds)
    def scribble(self, seed: int) -> None:
        """Put marks onto some object that others have made."""
        rng = random.Random(seed)
        server = rng.choice(self.fleet.servers)
        kinds = ("Work", "ResourceBinding", "Service", wk.MCS_KIND, wk.SLICE_KIND, "Namespace", "Cluster")
        objects = [
            (kind, one["metadata"].get("namespace", ""), one["metadata"]["name"])
            for kind in kinds
            for one in server.all(kind)
        ]
        if (found := [one for one in objects if not server.is_theirs(*one)]) != []:
            server.scribble(*rng.choice(found))

    @rule(seed=seeds, steps=st.integers(0, 40))
    def strip(self, seed: int, steps: int) -> None:
        """Take a mark of ours off some object."""
        rng = random.Random(seed)
        server = rng.choice(self.fleet.servers)
        if (found := list(strippable(server))) != []:
            which = rng.choice(found)
            self.fleet.history.append(f"strip {server.name} {which}")
            self.stripped = self.ever_stripped = True
            strip(server, *which)
        self.go(steps)

    # --- members ------------------------------------------------------------------------------------------------------

    @rule(
        member=members,
        name=st.sampled_from(SLICES),
        about=services,
        endpoints=st.integers(0, 2),
        steps=st.integers(0, 40),
    )
    def provide(self, member: str, name: str, about: tuple[str, str], endpoints: int, steps: int) -> None:
        """A member's slice appears, changes, or moves to another service."""
        api = self.fleet.members[member]
        if not self.has_space(member, about[0]):
            return
        self.versions += 1
        addresses = [f"10.{self.versions // 250}.{self.versions % 250}.{number}" for number in range(endpoints)]
        content = own(member, name, about[0], about[1], addresses) | {"ports": PORTS}
        if api.find(wk.SLICE_KIND, about[0], name) is None:
            api.add_theirs(content)
        elif api.is_theirs(wk.SLICE_KIND, about[0], name):
            patch = {"metadata": {"labels": content["metadata"]["labels"]}, "endpoints": content["endpoints"]}
            api.change_theirs(wk.SLICE_KIND, about[0], name, patch)
        self.go(steps)

    @rule(
        member=members, name=st.sampled_from(SLICES), space=st.sampled_from(["shop", "bare"]), steps=st.integers(0, 40)
    )
    def end(self, member: str, name: str, space: str, steps: int) -> None:
        """A member's slice goes."""
        if self.fleet.members[member].is_theirs(wk.SLICE_KIND, space, name):
            self.fleet.members[member].remove_theirs(wk.SLICE_KIND, space, name)
        self.go(steps)

    @rule(member=members, steps=st.integers(0, 40))
    def squat(self, member: str, steps: int) -> None:
        """Somebody has, or had, a slice of the name that a copy would have."""
        api = self.fleet.members[member]
        if api.is_theirs(wk.SLICE_KIND, "shop", "a-c"):
            api.remove_theirs(wk.SLICE_KIND, "shop", "a-c")
        elif api.find(wk.SLICE_KIND, "shop", "a-c") is None and self.has_space(member, "shop"):
            content = own(member, "a-c", "shop", None, [])
            if self.fleet.kinds == BESIDE:
                # Karmada's execution deletes what has its label along with a Work that could not be applied for it.
                del content["metadata"]["labels"][wk.MANAGED]
            api.add_theirs(content)
        self.go(steps)

    @rule(member=members, space=st.sampled_from(["shop", "bare", "bare"]), steps=st.integers(0, 40))
    def toggle_space(self, member: str, space: str, steps: int) -> None:
        """A namespace of a member goes with all that is in it, or comes."""
        api = self.fleet.members[member]
        if (there := api.find("Namespace", "", space)) is not None:
            if "deletionTimestamp" not in there["metadata"]:
                api.remove("Namespace", "", space)
        elif space == "bare":
            api.seed(namespace("bare"))
        self.go(steps)

    @rule(member=members, status=st.sampled_from(["True", "False", "Unknown"]), steps=st.integers(0, 40))
    def fare(self, member: str, status: str, steps: int) -> None:
        """A member becomes ready or not ready."""
        if (there := self.fleet.host.find("Cluster", "", member)) is not None:
            self.set_ready(member, status)
            if "deletionTimestamp" in there["metadata"]:
                self.leftovers.add(member)
        self.go(steps)

    @rule(member=members, steps=st.integers(0, 40))
    def toggle_reach(self, member: str, steps: int) -> None:
        """A member is out of reach, or back."""
        api = self.fleet.members[member]
        if api.down:
            api.down = False
        else:
            api.go_down()
            there = self.fleet.host.find("Cluster", "", member)
            if there is not None and "deletionTimestamp" in there["metadata"]:
                self.leftovers.add(member)
        self.go(steps)

    @rule(member=members, steps=st.integers(0, 40))
    def reconnect(self, member: str, steps: int) -> None:
        """The connection to a member is made anew, as if its credentials had changed."""
        self.fleet.disconnect(member)
        self.go(steps)

    @rule(member=members, steps=st.integers(0, 40))
    def toggle_cluster(self, member: str, steps: int) -> None:
        """A cluster is unregistered, or registered."""
        there = self.fleet.host.find("Cluster", "", member)
        if there is None:
            self.fleet.register(member)
        elif "deletionTimestamp" not in there["metadata"]:
            ready = [one["status"] for one in there["status"]["conditions"] if one["type"] == "Ready"]
            self.fleet.host.remove("Cluster", "", member)
            if ready != ["True"] or self.fleet.members[member].down:
                self.leftovers.add(member)
        self.go(steps)

    # --- fate ---------------------------------------------------------------------------------------------------------

    @rule(steps=st.integers(1, 150))
    def go(self, steps: int) -> None:
        """So many things happen."""
        if steps:
            self.run(self.fleet.drive(steps))

    @rule(
        server=st.integers(0, len(NAMES)),
        fault=st.sampled_from(["500", "409", "unsent", "lost"]),
        verb=st.sampled_from(["", "create", "patch", "delete"]),
        times=st.integers(1, 3),
    )
    def fail(self, server: int, fault: str, verb: str, times: int) -> None:
        """The next requests fail, before or after they took effect."""
        self.fleet.servers[server].spoil(fault, verb, times)

    @rule(seed=seeds, cut=st.booleans())
    def be_late(self, seed: int, cut: bool) -> None:
        """A watch breaks, or tells nothing until the next rest."""
        informers = [one for server in self.fleet.servers for one in server.informers]
        if informers:
            informer = random.Random(seed).choice(informers)
            if cut:
                informer.cut()
            else:
                informer.held = True

    @rule(seed=seeds)
    def crash(self, seed: int) -> None:
        """A process dies, and another one begins. Of what was on its way some arrives."""
        if not self.fleet.running:
            self.run(self.up())
            return
        rng = random.Random(seed)
        which = rng.randrange(len(self.fleet.processes))
        number = self.fleet.processes[which].number
        sent = [one for one in self.fleet.wire.parked if one.do is not None and one.process == number]
        arriving = [one for one in sent if rng.random() < 0.5]
        self.run(self.fleet.crash(which, arriving=arriving))

    @precondition(lambda self: self.fleet.running)
    @rule()
    def stop(self) -> None:
        """All processes die."""
        self.run(self.fleet.stop())

    # --- what holds ---------------------------------------------------------------------------------------------------

    @rule()
    def rest(self) -> None:
        """Wherever nothing is in the way, the members have what they should."""

        async def rest() -> None:
            if not self.fleet.running:
                self.fleet.start()
            await self.fleet.rest()
            self.compare(self.well())

        self.run(rest())

    @rule()
    def heal(self) -> None:
        """All is well again; then everything is as the rules say, and a restart writes nothing."""
        self.run(self.healed())

    async def healed(self) -> None:
        fleet = self.fleet
        for name in NAMES:
            fleet.members[name].down = False
            there = fleet.host.find("Cluster", "", name)
            if there is not None and "deletionTimestamp" not in there["metadata"]:
                self.set_ready(name, "True")
            fleet.members[name].tidy()
            if fleet.members[name].find("Namespace", "", "bare") is None:
                fleet.members[name].seed(namespace("bare"))
        for server in fleet.servers:
            server.faults.clear()
        if not fleet.running:
            fleet.start()
        stuck = await fleet.rest()
        # What was unregistered while it could not be cleaned up, and is there again, is looked after again.
        self.agree()
        hindered = any(one.hindered for wishes in expected(fleet).values() for one in wishes)
        assert hindered or not [one for one in stuck if not self.is_right_to_fail(one)], stuck
        assert fleet.wire.own_conflicts == [], fleet.wire.own_conflicts
        # A status and a spec, and bindings, are written by several; what a Work says only by one at a time. But what
        # was taken off it comes back by whoever looks first.
        both = [one for one in fleet.wire.overlaps if one.count(" works ") == 2 and "delete" not in one]
        assert self.stripped or both == [], both
        self.stripped = False
        fleet.wire.overlaps.clear()
        self.agreed = expected(fleet)
        if not hindered:
            fleet.wire.writes.clear()
            await fleet.crash()
            await fleet.rest()
            needless = [one for one in fleet.wire.writes if not self.is_of_released(one)]
            assert needless == [], f"a restart writes {needless}"
            self.agree()
        fleet.history.clear()

    def agree(self) -> None:
        found = complaints(self.fleet, leftovers=frozenset(self.leftovers), stripped=self.ever_stripped)
        assert found == [], "\n".join(found)

    def compare(self, well: set[str]) -> None:
        """Of members that are well: what they are to have of each other, and what they had before of others."""
        assert [line for server in self.fleet.servers for line in server.touched()] == []
        now = expected(self.fleet)
        # Which tier serves depends on clusters that are not well, too; what is offered is compared when all are.
        tiered = {
            (one["metadata"]["namespace"], one["metadata"]["name"])
            for one in services_of(self.fleet)
            if has_tiers(self.fleet, one)
        }
        for member in sorted(well - self.leftovers):
            there = [without_endpoints(one, tiered) for one in present(self.fleet, member).values()]
            before = [without_endpoints(one.copy, tiered) for one in self.agreed[member]]
            wanted = [without_endpoints(one.copy, tiered) for one in now[member] if not one.hindered]
            for one in wanted:
                assert one in there or (one.provider not in well and one not in before), f"{member} lacks {one}"
            for one in there:
                assert one in wanted or one.provider not in well, f"{member} has {one}, and nobody wants that"

    def well(self) -> set[str]:
        """Clusters that are registered, ready and within reach."""
        found = set()
        for name in NAMES:
            there = self.fleet.host.find("Cluster", "", name)
            if there is not None and "deletionTimestamp" not in there["metadata"] and not self.fleet.members[name].down:
                ready = [one["status"] for one in there["status"]["conditions"] if one["type"] == "Ready"]
                found |= {name} if ready == ["True"] else set()
        return found

    @invariant()
    def forget(self) -> None:
        """What nobody wants for a moment need not be there later without a gap."""
        now = expected(self.fleet) if hasattr(self, "fleet") else {}
        for member, wishes in now.items():
            self.agreed[member] = [one for one in self.agreed[member] if one in wishes]

    def teardown(self) -> None:
        try:
            if hasattr(self, "fleet"):
                self.run(self.end_well())
        finally:
            self.loop.close()

    async def end_well(self) -> None:
        try:
            await self.healed()
        except AssertionError:
            for line in self.fleet.history:
                note(line)
            raise
        finally:
            await self.fleet.stop()

    # --- small things -------------------------------------------------------------------------------------------------

    async def up(self) -> None:
        self.fleet.start()

    def set_ready(self, member: str, status: str) -> None:
        there = self.fleet.host.find("Cluster", "", member)
        assert there is not None
        others = [one for one in there["status"]["conditions"] if one["type"] != "Ready"]
        self.fleet.host.edit("Cluster", "", member, {"status": {"conditions": [*others, condition("Ready", status)]}})

    def is_of_released(self, write: str) -> bool:
        """Whether it is about a Service that goes on running without its MultiClusterService.

        Nobody follows its changes any more; but a process that begins compares it once, as Karmada's does.
        """
        return any(
            write.endswith((f" services {space}/{name}", f"/{work_name('Service', space, name)}"))
            for space, name in SERVICES
            if self.fleet.host.find(wk.MCS_KIND, space, name) is None
        )

    def is_home(self, space: str) -> bool:
        """Whether the control plane has the namespace."""
        there = self.fleet.host.find("Namespace", "", space)
        return there is not None and "deletionTimestamp" not in there["metadata"]

    def is_right_to_fail(self, what: str) -> bool:
        """Whether a reconcile fails for want of something that only people can bring."""
        # A Work of somebody's, or a slice of an export, in a namespace of the control plane that is gone.
        lacking = re.search(r"namespace (\S+) does not exist in cluster|NotFound: namespaces \"(\S+)\" not found", what)
        return _is_right_to_fail(what) or (lacking is not None and not self.is_home(lacking[1] or lacking[2]))

    def has_space(self, member: str, space: str) -> bool:
        there = self.fleet.members[member].find("Namespace", "", space)
        return there is not None and "deletionTimestamp" not in there["metadata"]


def _is_right_to_fail(what: str) -> bool:
    """Whether a reconcile fails for want of something that only people can bring."""
    # A Cluster that went before it got its finalizer has left its execution namespace behind.
    return what.startswith("execution-controller") and re.search(r"cluster \S+ does not exist", what) is not None


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=50 * SCALE,
    stateful_step_count=60 if LONG else 25,
    deadline=None,
    # Without explanations: they trace each line, which takes far longer than the histories.
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
