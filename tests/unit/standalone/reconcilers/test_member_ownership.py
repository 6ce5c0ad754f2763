"""Members that belong to this control plane, to another one, or to nobody knows whom."""

from dataclasses import dataclass, field

import pytest

from informers.errors import Forbidden, KubeError, ServerError
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.domain import well_known as wk
from mcs_controller.members.sync_mode import CONTROL_PLANE
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain.member_ownership import OBJECT, Standing
from mcs_controller.standalone.member_objects import NotSynced
from mcs_controller.standalone.reconcilers.member_ownership import MemberOwnershipReconciler
from tests.support.builders import cluster, service
from tests.support.clock import FakeClock
from tests.support.execution import KEY, MARKS, World
from tests.support.members import MemoryMembers
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json

M1, M2 = Request("", "m1"), Request("", "m2")
READ = ["get namespaces/kube-system", f"get configmaps/karmada-system/{OBJECT}"]


def _member(uid: str) -> MemoryApi:
    api = MemoryApi(strict_namespaces=True)
    for name in ("kube-system", "karmada-system"):
        api.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": f"{uid}-{name}"}})
    return api


@dataclass
class Fleet:
    """One control plane with two Clusters, and members that it is connected to."""

    uid: str = "here"
    host: MemoryApi = field(default_factory=MemoryApi)
    members: MemoryMembers = field(default_factory=MemoryMembers)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)
    m1: MemoryApi = field(default_factory=lambda: _member("m1"))
    told: list[str] = field(default_factory=list)
    woken: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("m1", "m2"):
            self.host.seed(cluster(name))
        self.restart()
        self.members.join("m1", self.m1)

    def restart(self) -> None:
        self.reconciler = MemberOwnershipReconciler(
            clusters=self.host.cached(CLUSTERS),
            members=self.members,
            control_plane=self._uid,
            recorder=self.recorder,
            clock=FakeClock(),
            sync_modes=CONTROL_PLANE,
            enqueue=self.woken.append,
        )
        self.reconciler.subscribe(self.told.append)

    async def _uid(self) -> str:
        return self.uid

    async def look(self, request: Request = M1) -> list[str]:
        """What a look at a member asked of it."""
        self.m1.calls.clear()
        await self.reconciler.reconcile(request)
        return [str(call) for call in self.m1.calls]

    def condition(self, name: str = "m1") -> tuple[str, str, str] | None:
        found = self.host.read("Cluster", "", name)
        for one in found["status"]["conditions"]:
            if one["type"] == wk.MEMBER_OWNED:
                return one["status"], one["reason"], one["message"]
        return None

    def data(self) -> Json:
        found = self.m1.find("ConfigMap", "karmada-system", OBJECT)
        assert found is not None
        return dict(found["data"])


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def test_a_member_nobody_owns_is_ours_from_then_on_and_a_restart_only_reads(fleet: Fleet) -> None:
    with pytest.raises(NotSynced):
        fleet.reconciler.of("m1")
    assert await fleet.look() == [*READ, f"create configmaps/karmada-system/{OBJECT}"]
    assert fleet.reconciler.of("m1").owned
    assert fleet.data() == {"controlPlane": "here", "cluster": "m1", "member": "m1-kube-system"}
    fleet.restart()
    assert await fleet.look() == READ
    assert fleet.reconciler.of("m1").owned
    assert fleet.host.writes == []
    assert fleet.recorder.take() == []
    assert fleet.told == ["m1", "m1"]


async def test_a_new_connection_is_read_anew(fleet: Fleet) -> None:
    await fleet.look()
    fleet.members.leave("m1")
    fleet.members.join("m1", fleet.m1)
    with pytest.raises(NotSynced):
        fleet.reconciler.of("m1")
    assert await fleet.look() == READ


async def test_another_control_planes_member_is_said_to_be_and_taken_over_on_demand(fleet: Fleet) -> None:
    await fleet.look()
    other = Fleet(uid="other", m1=fleet.m1)
    assert await other.look() == READ
    assert other.reconciler.of("m1").foreign
    condition = other.condition()
    assert condition is not None
    assert condition[:2] == ("False", wk.OWNED_BY_ANOTHER)
    assert "belongs to control plane here" in condition[2]
    assert [reason for _, reason in other.recorder.take()] == [wk.OWNED_BY_ANOTHER]
    assert await other.look() == READ
    assert other.recorder.take() == []

    other.host.edit("Cluster", "", "m1", {"metadata": {"annotations": {wk.TAKE_OVER: "here"}}})
    assert await other.look() == [*READ, f"patch configmaps/karmada-system/{OBJECT}"]
    assert other.reconciler.of("m1").owned
    assert other.told == ["m1", "m1"]
    condition = other.condition()
    assert condition is not None
    assert condition[:2] == ("True", wk.OWNED)
    assert [reason for _, reason in other.recorder.take()] == [wk.OWNED]
    # The other one finds out as soon as it is about to do what the new owner would resent.
    assert fleet.reconciler.of("m1").owned
    assert (await fleet.reconciler.verify("m1")).foreign
    assert fleet.reconciler.of("m1").foreign


async def test_a_member_that_lets_nobody_see_is_of_unknown_ownership_until_it_does(fleet: Fleet) -> None:
    fleet.m1.fail(Forbidden(403, "Forbidden", "no configmaps for you"), "get", "ConfigMap")
    result = await fleet.reconciler.reconcile(M1)
    assert result.requeue_after is not None
    assert fleet.reconciler.of("m1").standing is Standing.UNKNOWN
    condition = fleet.condition()
    assert condition is not None
    assert condition[:2] == ("Unknown", wk.OWNERSHIP_UNKNOWN)
    assert "no configmaps for you" in condition[2]
    await fleet.look()
    assert fleet.reconciler.of("m1").owned
    condition = fleet.condition()
    assert condition is not None
    assert condition[:2] == ("True", wk.OWNED)


async def test_a_member_that_does_not_answer_is_neither_ours_nor_anothers(fleet: Fleet) -> None:
    fleet.m1.fail(ServerError(503, "Unavailable", "later"), "get", "ConfigMap")
    with pytest.raises(KubeError):
        await fleet.look()
    with pytest.raises(NotSynced):
        fleet.reconciler.of("m1")


async def test_the_same_member_registered_twice_is_said_on_both_and_survives_a_restart(fleet: Fleet) -> None:
    await fleet.look()
    fleet.members.join("m2", fleet.m1)
    await fleet.look(M2)
    assert fleet.woken == [M1]
    await fleet.look(M1)
    for name, twin in (("m1", "m2"), ("m2", "m1")):
        condition = fleet.condition(name)
        assert condition is not None
        assert condition[:2] == ("True", wk.REGISTERED_TWICE)
        assert f"registered as Cluster {twin}, too" in condition[2]
    assert fleet.data()["cluster"] == "m1", "who came first"
    assert [reason for _, reason in fleet.recorder.take()] == [wk.REGISTERED_TWICE] * 2
    fleet.restart()
    fleet.host.calls.clear()
    for request in (M1, M2, M1):
        await fleet.look(request)
    assert fleet.host.writes == []
    assert fleet.recorder.take() == []

    fleet.host.remove("Cluster", "", "m1")
    fleet.members.leave("m1")
    await fleet.look(M1)
    await fleet.look(M2)
    condition = fleet.condition("m2")
    assert condition is not None
    assert condition[:2] == ("True", wk.OWNED)
    assert (fleet.data()["cluster"], fleet.data()["earlierClusters"]) == ("m2", "m1")
    assert fleet.reconciler.of("m2").earlier == {"m1"}


# --- what execution makes of it ---------------------------------------------------------------------------------------


def _foreign(world: World) -> None:
    world.ownerships.told["m1"] = world.ownerships.of("m1").__class__(Standing.FOREIGN, owner="other")


async def test_nothing_is_written_to_anothers_member_and_the_work_says_why() -> None:
    world = World()
    _foreign(world)
    world.carry(service())
    assert await world.reconcile() == [f"patch works/{KEY.namespace}/w/status"]
    status, _, message = world.condition("Applied")
    assert status == "False"
    assert "belongs to control plane other" in message
    assert await world.reconcile() == [], "and it is not tried again before that changes"


async def test_the_work_says_whose_the_object_in_its_way_is() -> None:
    world = World()
    _foreign(world)
    labels = {wk.MANAGED: "true", wk.WORK_PERMANENT_ID: "theirs"}
    world.member.seed(service(labels=labels, annotations=MARKS))
    await world.apply(service())
    said = f"Service default/web belongs to Work {KEY.namespace}/w of another control plane (permanent-id theirs)"
    assert said in world.condition("Applied")[2]
    before = world.member.find("Service", "default", "web")
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == [f"patch works/{KEY.namespace}/w"], "its end needs no leave of the member"
    assert world.member.find("Service", "default", "web") == before


async def test_an_object_of_an_earlier_work_is_taken_over_after_a_look_at_the_owner() -> None:
    world = World()
    labels = {wk.MANAGED: "true", wk.WORK_PERMANENT_ID: "earlier"}
    world.member.seed(service(labels=labels, annotations=MARKS))
    world.carry(service())
    assert "patch services/default/web" in await world.reconcile()
    assert world.ownerships.verified == ["m1"]
    assert world.member.read("Service", "default", "web")["metadata"]["labels"][wk.WORK_PERMANENT_ID] == "id-of-w"
    await world.reconcile()
    assert world.ownerships.verified == ["m1"]
