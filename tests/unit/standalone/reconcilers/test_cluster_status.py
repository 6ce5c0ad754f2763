"""The cluster status controller, over time."""

import random
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from informers.cache.event import Event
from informers.errors import Conflict, NotFound, ServerError, TransportError
from mcs_controller.api.resources import CLUSTERS
from mcs_controller.members.registry import MemberCluster
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.cluster_status import Thresholds
from mcs_controller.standalone.metrics import PrometheusClusterMetrics
from mcs_controller.standalone.reconcilers.cluster_status import (
    ClusterStatusReconciler,
    cluster_changed,
    requests_for_cluster,
)
from tests.support.clock import FakeClock
from tests.support.clusters import FakeMember, cluster, cluster_json
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json

M1 = Request("", "m1")


class FakeMembers:
    def __init__(self) -> None:
        self.member: FakeMember | None = FakeMember.healthy()
        self.trouble: str | None = None

    def get(self, name: str) -> MemberCluster | None:
        return MemberCluster(name, cast("Any", self.member), cast("Any", None)) if self.member else None

    def problem(self, name: str) -> str | None:
        return self.trouble


class World:
    def __init__(self) -> None:
        self.api = MemoryApi()
        self.clock = FakeClock()
        self.members = FakeMembers()
        self.registry = CollectorRegistry()
        self.recorder = MemoryRecorder()
        self.restart()

    def restart(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciler = ClusterStatusReconciler(
            clusters=self.api.cached(CLUSTERS),
            members=self.members,
            clock=self.clock,
            rng=random.Random(1),
            metrics=PrometheusClusterMetrics(self.registry),
            recorder=self.recorder,
            thresholds=Thresholds(success=30, failure=30),
            frequency_seconds=10.0,
        )

    async def reconcile(self, after: float = 0.0) -> Result:
        await self.clock.advance(after)
        return await self.reconciler.reconcile(M1)

    @property
    def member(self) -> FakeMember:
        assert self.members.member is not None
        return self.members.member

    @property
    def status(self) -> Json:
        return cast("Json", self.api.read("Cluster", "", "m1")["status"])

    @property
    def ready(self) -> tuple[str, str]:
        return next((one["status"], one["reason"]) for one in self.status["conditions"] if one["type"] == "Ready")

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name, {"member_cluster": "m1"})


@pytest.fixture
def world() -> World:
    world = World()
    world.api.seed(cluster_json(ready=None, complete=None, apis={}))
    return world


async def test_first_look_is_published_at_once_and_the_second_writes_nothing(world: World) -> None:
    result = await world.reconcile()
    assert result.requeue_after is not None
    assert 9.0 <= result.requeue_after <= 11.0
    assert world.status["kubernetesVersion"] == "v1.36.1"
    assert [one["groupVersion"] for one in world.status["apiEnablements"]] == ["discovery.k8s.io/v1", "v1"]
    conditions = {one["type"]: one for one in world.status["conditions"]}
    assert conditions["Ready"]["reason"] == "ClusterReady"
    assert conditions["CompleteAPIEnablements"]["reason"] == "Complete"
    assert [str(call) for call in world.api.calls] == ["patch clusters/m1/status"]
    await world.reconcile(after=10)
    assert len(world.api.calls) == 1


@pytest.mark.parametrize("down_for", [pytest.param(20, id="case-88-not-over"), pytest.param(30, id="case-88-over")])
async def test_member_that_goes_down_is_believed_after_the_threshold(world: World, down_for: int) -> None:
    await world.reconcile()
    world.member.down()
    for seconds in range(0, down_for + 1, 10):
        await world.reconcile(after=10)
        assert world.ready[0] == ("False" if seconds >= 30 else "True")
    assert world.status["kubernetesVersion"] == "v1.36.1", "what was collected stays"


async def test_member_that_comes_back_is_not_collected_before_it_is_believed(world: World) -> None:
    world.member.down()
    await world.reconcile()
    assert world.ready == ("False", "ClusterNotReachable")
    world.members.member = FakeMember.healthy()
    await world.reconcile(after=10)
    assert world.ready[0] == "False"
    assert world.member.asked == ["/readyz"]
    await world.reconcile(after=30)
    assert world.ready == ("True", "ClusterReady")
    assert "apiEnablements" in world.status


@pytest.mark.parametrize("lost", [["/api", "/apis"], ["/apis"]], ids=["everything", "a half"])
async def test_discovery_that_fails_once_is_not_told(world: World, lost: list[str]) -> None:
    """As when the connections of a member are given up in the middle of a probe, for other credentials."""
    await world.reconcile()
    before, answers = world.status, dict(world.member.answers)
    world.member.answers |= dict.fromkeys(lost, TransportError("given up"))
    await world.reconcile(after=10)
    world.members.member = FakeMember(answers)
    await world.reconcile(after=10)
    assert world.status == before
    assert len(world.api.calls) == 1
    world.member.answers |= dict.fromkeys(lost, TransportError("refused"))
    await world.reconcile(after=10)
    await world.reconcile(after=10)
    conditions = {one["type"]: one for one in world.status["conditions"]}
    assert conditions["CompleteAPIEnablements"]["status"] == "False"


async def test_after_a_restart_the_wait_begins_anew(world: World) -> None:
    await world.reconcile()
    world.member.down()
    await world.reconcile(after=20)
    world.restart()
    await world.reconcile()
    await world.reconcile(after=20)
    assert world.ready[0] == "True"
    await world.reconcile(after=10)
    assert world.ready[0] == "False"


async def test_cluster_registered_anew_under_its_name_starts_afresh(world: World) -> None:
    await world.reconcile()
    world.api.edit("Cluster", "", "m1", {"metadata": {"finalizers": []}})
    world.api.remove("Cluster", "", "m1")
    world.api.seed({**cluster_json(uid="another"), "status": {}})
    world.member.down()
    await world.reconcile(after=10)
    assert world.ready[0] == "False"


async def test_client_that_cannot_be_built_is_told_at_once_and_heals(world: World) -> None:
    await world.reconcile()
    healthy, world.members.member = world.members.member, None
    world.members.trouble = "Secret karmada-cluster/m1 not found"
    await world.reconcile(after=10)
    assert world.ready == ("False", "StatusCollectionFailed")
    ready = next(one for one in world.status["conditions"] if one["type"] == "Ready")
    assert ready["message"] == "Secret karmada-cluster/m1 not found"
    writes = len(world.api.calls)
    await world.reconcile(after=10)
    assert len(world.api.calls) == writes
    world.members.member, world.members.trouble = healthy, None
    await world.reconcile(after=30)
    assert world.ready[0] == "True"


async def test_member_that_is_still_being_connected_is_waited_for(world: World) -> None:
    world.members.member = None
    assert await world.reconcile() == Result(requeue_after=1.0)
    assert world.api.calls == []


@pytest.mark.parametrize(
    "fields", [{"finalizers": ()}, {"syncMode": "Pull"}, {"secretRef": None}], ids=["no-finalizer", "pull", "no-secret"]
)
async def test_cluster_that_is_not_probed(fields: dict[str, Any]) -> None:
    world = World()
    world.api.seed(cluster_json(**fields))
    assert await world.reconcile() == Result()
    assert world.member.asked == []
    assert world.api.calls == []


async def test_write_that_lost_a_race_is_repeated_soon(world: World) -> None:
    world.api.fail(Conflict(409, "Conflict", ""), "patch")
    assert await world.reconcile() == Result(requeue_after=0.05)
    await world.reconcile()
    assert world.ready[0] == "True"


async def test_trouble_of_the_control_plane_does_not_slow_down_the_probes(world: World) -> None:
    world.api.fail(ServerError(500, "", "no"), "patch")
    result = await world.reconcile()
    assert result.requeue_after is not None
    assert result.requeue_after <= 11


async def test_cluster_that_left_meanwhile_is_no_failure(world: World) -> None:
    world.api.fail(NotFound(404, "NotFound", ""), "patch")
    assert await world.reconcile() == Result()


async def test_change_during_a_probe_is_taken_into_account(world: World) -> None:
    member = world.member
    raw = member.raw

    async def slow(method: str, path: str, **more: Any) -> Any:
        if path == "/apis":
            world.api.edit("Cluster", "", "m1", {"metadata": {"labels": {"while": "probing"}}})
        return await raw(method, path, **more)

    member.raw = slow  # type: ignore[method-assign]
    await world.reconcile()
    assert world.ready[0] == "True"


async def test_metrics(world: World) -> None:
    await world.reconcile()
    assert world.metric("cluster_ready_state") == 1
    assert world.metric("cluster_sync_status_duration_seconds_count") == 1
    world.api.edit("Cluster", "", "m1", {"metadata": {"finalizers": []}})
    world.api.remove("Cluster", "", "m1")
    assert await world.reconcile() == Result()
    assert world.metric("cluster_ready_state") is None
    assert world.metric("cluster_sync_status_duration_seconds_count") is None


def test_heartbeats_cause_no_probes_of_their_own() -> None:
    one = cluster()
    assert list(requests_for_cluster(Event(new=one))) == [M1]
    assert not cluster_changed(Event(old=one, new=cluster(ready="False", labels={"a": "b"}, apis={})))
    assert cluster_changed(Event(new=one))
    assert cluster_changed(Event(old=one))
    assert cluster_changed(Event(old=one, new=one))
    for change in ({"finalizers": ()}, {"apiEndpoint": "https://x"}, {"secretRef": None}, {"syncMode": "Pull"}):
        assert cluster_changed(Event(old=one, new=cluster(**cast("Any", change)))), change


async def test_an_event_tells_each_transition_once(world: World) -> None:
    await world.reconcile()
    assert world.recorder.take() == [], "a member that is well from the beginning is nothing to tell"
    world.member.down()
    for _ in range(6):
        await world.reconcile(after=10)
    assert world.recorder.take() == [("Cluster", "ClusterNotReachable")]
    world.members.member = FakeMember.healthy()
    for _ in range(6):
        await world.reconcile(after=10)
    assert world.recorder.take() == [("Cluster", "ClusterReady")]


async def test_an_event_tells_of_a_member_that_never_was_ready(world: World) -> None:
    world.member.down()
    await world.reconcile()
    assert [event[:4] for event in world.recorder.events] == [
        ("cluster-status-controller", "Cluster", "/m1", "Warning")
    ]
