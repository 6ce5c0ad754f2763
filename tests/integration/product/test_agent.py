"""Pull clusters: served by an agent in the member, which has only its own cluster's rights on the control plane."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest
import pytest_asyncio

from mcs_controller.domain.naming import work_name
from testbed import Bed, ControllerProcess, karmada
from testbed.karmada import CONTROLLER_USER
from tests.integration.product.conftest import IMPATIENT
from tests.support.agents import agents_user, install_agent
from tests.support.fleet import (
    CLUSTERS,
    MCS,
    NAMESPACES,
    SERVICES,
    SLICES,
    WORKS,
    Space,
    at_rest,
    condition_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    propagationpolicy,
    serve_exports,
    service,
    serviceexport,
)
from tests.support.traffic import Refusals, Traffic, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Write(NamedTuple):
    """One kind of write: where, by whom, of what."""

    plane: str
    by: str
    verb: str
    resource: str


class Everybodys(Traffic):
    """The requests of the control plane's controllers and of all agents, whose user in a member is the controller's."""

    def __init__(self, bed: Bed) -> None:
        super().__init__(bed)
        self._users |= set(map(agents_user, bed.members))

    def written(self) -> Counter[Write]:
        """Writes by who made them: the controller, or a cluster's agent."""
        found: Counter[Write] = Counter()
        for plane, event in self.events():
            if event.is_write:
                agent = event.user.split(":")[2].removeprefix("karmada-es-") if event.user != CONTROLLER_USER else ""
                by = f"agent of {agent}" if agent else "controller"
                resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
                found[Write(plane, by, event.verb, resource)] += 1
        return found


class Fleet:
    """A bed whose member3 is a Pull cluster, and the processes that serve it."""

    def __init__(self, bed: Bed, stack: AsyncExitStack) -> None:
        self.bed = bed
        self.controller = ControllerProcess(
            bed.root / "controller.kubeconfig", root=bed.root, extra_args=[*IMPATIENT, "--v=4"]
        )
        self.agents: dict[str, ControllerProcess] = {}
        self._stack = stack

    async def start(self) -> None:
        self._stack.push_async_callback(self.controller.kill)
        await self.controller.start()

    async def install_agent(self, cluster: str) -> None:
        agent = await install_agent(self.bed, cluster, *IMPATIENT, "--v=4")
        self._stack.push_async_callback(agent.kill)
        await agent.start()
        self.agents[cluster] = agent

    async def rest(self, traffic: Traffic | None = None) -> None:
        """Wait until nobody has anything to do."""
        traffic = traffic or Everybodys(self.bed)
        for process in (self.controller, *self.agents.values(), self.controller):
            if process.pid is not None:
                await idle(process, traffic)

    def refusals(self) -> list[str]:
        """What anybody asked for in vain since the planes were started."""
        return Refusals.ever(self.bed, *map(agents_user, self.bed.members)).found()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(binaries: dict[str, Path]) -> AsyncIterator[Fleet]:
    """member1 and member2 are Push clusters; member3 is a Pull cluster, and nobody but its agent can talk to it."""
    async with Bed(members=("member1", "member2", "member3"), audit=True) as bed, AsyncExitStack() as stack:
        await karmada.install(bed)
        for name in ("member1", "member2"):
            await karmada.join(bed, name)
        await karmada.controller_kubeconfig(bed)
        body = {"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "member3"}}
        await bed.host.api.create(body | {"spec": {"syncMode": "Pull"}})
        await serve_exports(bed)
        made = Fleet(bed, stack)
        await made.start()
        await made.install_agent("member3")
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def space(fleet: Fleet) -> AsyncIterator[Space]:
    """A namespace that the agent has made in its member, too. Nothing is left of earlier tests."""
    made = await Space.make(fleet.bed)
    await at_rest(fleet.bed, but=made)
    yield made
    await made.remove()


def a_change(collector: str) -> Counter[Write]:
    """What the change of one slice costs, for one consumer."""
    return Counter(
        [
            Write("karmada", collector, "patch", "works"),
            Write("karmada", "controller", "patch", "works"),
            Write("member2", "controller", "patch", "endpointslices"),
        ]
    )


async def test_a_pull_cluster_is_served_by_its_agent_as_a_push_cluster_is_by_the_controller(fleet, space):
    agent = fleet.agents["member3"]
    await space.create(service("web"), multiclusterservice("web", ["member1", "member3"], ["member2"]))
    await space.create(service("in"), multiclusterservice("in", ["member1"], ["member3"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.create_in("member3", endpointslice("web-a", "web", ["192.0.2.3"]))
    await space.create_in("member1", endpointslice("in-a", "in", ["192.0.2.4"]))
    both = {"member1-web-a": ["192.0.2.1"], "member3-web-a": ["192.0.2.3"]}
    await space.dispatched_are("member2", both, "web")
    await space.dispatched_are("member3", {"member1-in-a": ["192.0.2.4"]}, "in")
    await space.succeeded("web")
    await space.succeeded("in")

    async def ready() -> tuple[str, str]:
        return condition_of(await space.host.get(CLUSTERS, "member3"), "Ready")[:2]

    await eventually("member3 to be ready", ready, ("True", "ClusterReady"))

    # One change costs the same, wherever it is. The agent writes what the control plane's controller does elsewhere.
    await fleet.rest()
    for provider, by in (("member3", "agent of member3"), ("member1", "controller")):
        traffic = Everybodys(fleet.bed)
        await space.set_addresses(provider, "web-a", ["192.0.2.9"])
        both[f"{provider}-web-a"] = ["192.0.2.9"]
        await space.dispatched_are("member2", both, "web")
        await fleet.rest(traffic)
        assert traffic.written() == a_change(by), traffic.told()
        assert traffic.requests().total() == 3, "nothing is read"

    # Without the agent its endpoints stay, and a change waits.
    assert await agent.terminate() == 0
    traffic = Everybodys(fleet.bed)
    await space.set_addresses("member3", "web-a", ["192.0.2.33"])
    await space.host.patch(CLUSTERS, "member1", {"metadata": {"labels": {"touched": "yes"}}})
    await fleet.rest(traffic)
    assert traffic.told() == ""
    assert await space.dispatched("member2", "web") == both
    await agent.start()
    await space.dispatched_are("member2", both | {"member3-web-a": ["192.0.2.33"]}, "web")

    # A restart in a steady world writes nothing.
    await fleet.rest()
    assert await agent.terminate() == 0
    traffic = Everybodys(fleet.bed)
    await agent.start()
    await fleet.rest(traffic)
    assert traffic.told() == ""

    # A slice that goes while the agent is there, one that goes while it is not, and a service that ends.
    await space.create_in("member3", endpointslice("web-b", "web", ["192.0.2.5"]))
    await space.dispatched_are(
        "member2", both | {"member3-web-a": ["192.0.2.33"], "member3-web-b": ["192.0.2.5"]}, "web"
    )
    await space.member("member3").delete(SLICES, "web-b", namespace=space.namespace)
    await space.dispatched_are("member2", both | {"member3-web-a": ["192.0.2.33"]}, "web")
    assert await agent.terminate() == 0
    await space.member("member3").delete(SLICES, "web-a", namespace=space.namespace)
    await agent.start()
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.9"]}, "web")
    await space.host.delete(MCS, "in", namespace=space.namespace)
    await space.dispatched_are("member3", {}, "in")

    await exports(space)
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await gone(space.host, MCS, "web", space.namespace)
    await space.dispatched_are("member2", {})
    await fleet.rest()


async def exports(space: Space) -> None:
    """A ServiceExport brought to member3 by its agent, which then collects what it exports."""
    await space.create(
        service("shop"),
        serviceexport("shop"),
        propagationpolicy("shop", ["member3"], service("shop"), serviceexport("shop")),
    )
    await space.create_in("member3", endpointslice("shop-a", "shop", ["192.0.2.10"]))

    async def imported() -> list[str]:
        selector = "kubernetes.io/service-name=derived-shop"
        found = await space.host.list(SLICES, namespace=space.namespace, label_selector=selector)
        return [each["metadata"]["name"] for each in found]

    await eventually("the imported slice", imported, ["imported-member3-shop-a"])
    await space.host.delete("multicluster.x-k8s.io/v1alpha1/serviceexports", "shop", namespace=space.namespace)
    nothing: list[str] = []
    await eventually("no imported slice", imported, nothing)
    await space.host.delete(SERVICES, "shop", namespace=space.namespace)


async def test_the_agents_rights_are_its_own_clusters_and_no_others(fleet):
    """Asked of the API server: what RBAC lets the agent do, beside what its life needs."""

    async def allowed(verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
        subresource = resource.partition("/")[2]
        attributes = {"verb": verb, "group": group, "resource": resource.partition("/")[0], "subresource": subresource}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": agents_user("member3"),
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": attributes | {"namespace": namespace, "name": name},
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await fleet.bed.host.api.raw("POST", path, body)
        return bool(answer["status"]["allowed"])

    async def granted(verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> None:
        """The API server's authorizer takes a moment to learn of new roles."""
        right = (verb, group, resource, namespace, name)
        await eventually(f"{right} to be granted", partial(allowed, *right), True)

    own = "karmada-es-member3"
    for verb in ("list", "watch", "create", "patch", "delete"):
        await granted(verb, "work.karmada.io", "works", own)
        for namespace in ("karmada-es-member1", "default", ""):
            assert not await allowed(verb, "work.karmada.io", "works", namespace)
    await granted("watch", "cluster.karmada.io", "clusters", name="member3")
    assert not await allowed("watch", "cluster.karmada.io", "clusters")
    assert not await allowed("watch", "cluster.karmada.io", "clusters", name="member1")
    assert not await allowed("patch", "cluster.karmada.io", "clusters", name="member3")
    assert not await allowed("patch", "cluster.karmada.io", "clusters/status", name="member1")
    for namespace in (own, "karmada-cluster", ""):
        assert not await allowed("get", "", "secrets", namespace)
    assert not await allowed("list", "networking.karmada.io", "multiclusterservices")
    await granted("get", "", "namespaces")
    assert not await allowed("list", "", "namespaces")
    assert not await allowed("create", "coordination.k8s.io", "leases", "karmada-system")
    assert not await allowed("update", "coordination.k8s.io", "leases", own, "somebody-elses")


async def test_a_cluster_whose_mode_changes_is_handed_over_without_a_write(fleet, space):
    """From the controller to an agent, and back: consumers see nothing, and each change has exactly one writer."""
    await space.create(service("api"), multiclusterservice("api", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("api-a", "api", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-api-a": ["192.0.2.1"]}, "api")
    await space.succeeded("api")
    await fleet.install_agent("member1")
    await fleet.rest()

    for mode, by, address in (("Pull", "agent of member1", "192.0.2.2"), ("Push", "controller", "192.0.2.3")):
        before = await space.dispatched("member2", "api")
        traffic = Everybodys(fleet.bed)
        await space.host.patch(CLUSTERS, "member1", {"spec": {"syncMode": mode}})
        await fleet.rest(traffic)
        assert traffic.told() == ""
        assert await space.dispatched("member2", "api") == before

        traffic = Everybodys(fleet.bed)
        await space.set_addresses("member1", "api-a", [address])
        await space.dispatched_are("member2", {"member1-api-a": [address]}, "api")
        await fleet.rest(traffic)
        assert traffic.written() == a_change(by), traffic.told()

    # While changes are under way each may find another writer, but no copy is ever taken away.
    traffic = Everybodys(fleet.bed)
    for number, mode in enumerate(("Pull", "Push", "Pull"), start=10):
        await space.set_addresses("member1", "api-a", [f"192.0.2.{number}"])
        await space.host.patch(CLUSTERS, "member1", {"spec": {"syncMode": mode}})
        await space.set_addresses("member1", "api-a", [f"192.0.2.{number}0"])
        await space.dispatched_are("member2", {"member1-api-a": [f"192.0.2.{number}0"]}, "api")
    await fleet.rest(traffic)
    assert {write.verb for write in traffic.written()} == {"patch"}, traffic.told()


async def test_a_members_namespace_stays_when_somebody_deletes_its_work_and_goes_with_the_control_planes(fleet, space):
    """All that others have in the namespace would go along, so the agent asks the control plane about it."""
    member = fleet.bed.members["member3"].api

    async def has(name: str) -> bool:
        return await member.find(NAMESPACES, name) is not None

    await eventually("the namespace in member3", partial(has, space.namespace), True)
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}}
    await member.create(theirs, namespace=space.namespace)
    work = work_name("Namespace", "", space.namespace)
    before = await space.host.get(WORKS, work, namespace="karmada-es-member3")
    await space.host.delete(WORKS, work, namespace="karmada-es-member3")

    async def is_another() -> bool:
        found = await space.host.find(WORKS, work, namespace="karmada-es-member3")
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await eventually("another Work of the namespace", is_another, True)
    there = await member.get(NAMESPACES, space.namespace)
    assert there["status"]["phase"] == "Active"

    name = f"{space.namespace}-gone"
    await space.host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await eventually("the other namespace in member3", partial(has, name), True)
    await space.host.delete(NAMESPACES, name)
    await eventually("no other namespace in member3", partial(has, name), False)
    await member.delete(NAMESPACES, space.namespace)  # which nobody here would do


async def test_a_pull_cluster_leaves_though_its_agents_rights_go_before_it(fleet, space):
    """And what it was given is taken away from it, which the agent does with its rights there."""
    assert fleet.refusals() == [], "nobody ever asked for more than was granted"
    await space.create(service("last"), multiclusterservice("last", ["member2"], ["member3"]))
    await space.create_in("member2", endpointslice("last-a", "last", ["192.0.2.1"]))
    await space.dispatched_are("member3", {"member2-last-a": ["192.0.2.1"]}, "last")
    await karmada.unjoin(fleet.bed, "member3", timeout=150.0)
    assert await space.host.find(NAMESPACES, "karmada-es-member3") is None
    await space.dispatched_are("member3", {})
