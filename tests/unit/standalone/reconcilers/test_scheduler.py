"""The scheduler."""

from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, NotFound, ServerError
from mcs_controller.api.resources import CLUSTERS, RESOURCEBINDINGS
from mcs_controller.key_mutex import KeyMutex
from mcs_controller.predicates import cluster_changed
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.scheduling import PLACED_BINDING_INDEXES
from mcs_controller.standalone.reconcilers.scheduler import SchedulerReconciler, binding_changed, requests_for_cluster
from tests.support.clock import FakeClock
from tests.support.clusters import binding, binding_json, cluster, cluster_json
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json

MANAGED_BY = "binding.karmada.io/managed-by"
NGINX = Request("default", "nginx-service")
SUCCEEDED = [("ResourceBinding", "ScheduleBindingSucceed"), ("Service", "ScheduleBindingSucceed")]
FAILED = [("ResourceBinding", "ScheduleBindingFailed"), ("Service", "ScheduleBindingFailed")]


class World:
    def __init__(self) -> None:
        self.api = MemoryApi()
        self.recorder = MemoryRecorder()
        self.bindings = self.api.cached(RESOURCEBINDINGS, PLACED_BINDING_INDEXES)
        self.reconciler = SchedulerReconciler(
            bindings=self.bindings,
            clusters=self.api.informer(CLUSTERS).store,
            recorder=self.recorder,
            clock=FakeClock(),
            binding_locks=KeyMutex(),
        )

    async def reconcile(self) -> Result:
        return await self.reconciler.reconcile(NGINX)

    @property
    def binding(self) -> Json:
        return self.api.read("ResourceBinding", *NGINX)

    @property
    def scheduled(self) -> Json:
        return next(one for one in self.binding["status"]["conditions"] if one["type"] == "Scheduled")


@pytest.fixture
def world() -> World:
    world = World()
    world.api.seed(cluster_json("m1"), cluster_json("m2"))
    return world


async def test_binding_is_placed_acknowledged_and_then_left_alone(world: World) -> None:
    world.api.seed(binding_json("m2", "m1", suspension={"dispatching": True}, conflictResolution="Overwrite"))
    before = world.binding
    await world.reconcile()
    after = world.binding
    assert [str(call) for call in world.api.calls] == [
        "patch resourcebindings/default/nginx-service",
        "patch resourcebindings/default/nginx-service/status",
    ]
    assert after["spec"] == before["spec"] | {"clusters": [{"name": "m1"}, {"name": "m2"}]}
    assert after["status"]["schedulerObservedGeneration"] == after["metadata"]["generation"] == 2
    assert after["status"]["lastScheduledTime"] == "2026-01-01T00:00:00Z"
    assert world.scheduled["message"] == "Binding has been scheduled successfully."
    assert {event[0] for event in world.recorder.events} == {"default-scheduler"}
    assert {event[5] for event in world.recorder.events} == {
        "Binding has been scheduled successfully. Result: {m1:0, m2:0}"
    }
    assert world.recorder.take() == SUCCEEDED
    world.api.calls.clear()
    assert await world.reconcile() == Result()
    assert (world.api.calls, world.recorder.take()) == ([], [])


async def test_binding_that_fits_nowhere_is_told_once_and_placed_when_it_does(world: World) -> None:
    world.api.edit("Cluster", "", "m1", {"status": {"apiEnablements": []}})
    world.api.seed(binding_json("m1"))
    await world.reconcile()
    assert world.scheduled["reason"] == "NoClusterFit"
    assert "schedulerObservedGeneration" not in world.binding["status"]
    assert world.recorder.take() == FAILED
    writes = len(world.api.calls)
    await world.reconcile()
    assert (len(world.api.calls), world.recorder.take()) == (writes, [])
    world.api.edit("Cluster", "", "m1", {"status": cluster_json()["status"]})
    await world.reconcile()
    assert world.binding["spec"]["clusters"] == [{"name": "m1"}]
    assert world.recorder.take() == SUCCEEDED


async def test_leaving_cluster_is_dropped(world: World) -> None:
    world.api.seed(binding_json("m1", "m2"))
    await world.reconcile()
    world.api.remove("Cluster", "", "m1")
    await world.reconcile()
    assert world.binding["spec"]["clusters"] == [{"name": "m2"}]
    world.api.remove("Cluster", "", "m2")
    await world.reconcile()
    assert "clusters" not in world.binding["spec"]
    assert world.scheduled["reason"] == "NoClusterFit"


async def test_cluster_can_leave_a_binding_whose_service_let_go_of_it(world: World) -> None:
    world.api.seed(binding_json("m1", "m2"))
    await world.reconcile()
    world.api.edit("ResourceBinding", *NGINX, {"metadata": {"labels": {MANAGED_BY: None}}})
    placed = [{"name": "m1", "replicas": 2}, {"name": "m2", "replicas": 3}]
    world.api.edit("ResourceBinding", *NGINX, {"spec": {"clusters": placed}})
    world.api.calls.clear()
    await world.reconcile()
    assert world.api.writes == [], "what was placed stays where it is"
    world.api.edit("Cluster", "", "m1", {"metadata": {"finalizers": ["karmada.io/cluster-controller"]}})
    world.api.remove("Cluster", "", "m1")
    await world.reconcile()
    assert world.binding["spec"]["clusters"] == [{"name": "m2", "replicas": 3}]
    world.api.calls.clear()
    await world.reconcile()
    assert world.api.writes == []


@pytest.mark.parametrize("fields", [{"schedulerName": "mine"}, {"suspension": {"scheduling": True}}, {"by hand": True}])
async def test_cluster_leaves_no_binding_that_was_not_ours_to_place(world: World, fields: dict[str, Any]) -> None:
    by_hand = fields.pop("by hand", False)
    world.api.seed(binding_json("m1", **fields))
    applied = None if by_hand else "{}"
    marks = {"labels": {MANAGED_BY: None}, "annotations": {"policy.karmada.io/applied-placement": applied}}
    world.api.edit("ResourceBinding", *NGINX, {"metadata": marks, "spec": {"clusters": [{"name": "m1"}]}})
    world.api.edit("Cluster", "", "m1", {"metadata": {"finalizers": ["karmada.io/cluster-controller"]}})
    world.api.remove("Cluster", "", "m1")
    await world.reconcile()
    assert world.binding["spec"]["clusters"] == [{"name": "m1"}]


async def test_cluster_that_becomes_not_ready_changes_nothing(world: World) -> None:
    world.api.seed(binding_json("m1"))
    await world.reconcile()
    world.api.calls.clear()
    taints = [{"key": "cluster.karmada.io/not-ready", "effect": "NoSchedule"}]
    world.api.edit("Cluster", "", "m1", {"spec": {"taints": taints}, "status": {"conditions": []}})
    await world.reconcile()
    assert world.api.calls == []


async def test_crash_between_the_two_writes_is_mended(world: World) -> None:
    world.api.seed(binding_json("m1"))
    world.api.fail(ServerError(500, "", "gone for a moment"), "patch", times=2)
    with pytest.raises(ServerError):
        await world.reconcile()
    with pytest.raises(ServerError):
        await world.reconcile()
    await world.reconcile()
    world.api.edit("ResourceBinding", *NGINX, {"status": None})
    world.api.calls.clear()
    await world.reconcile()
    assert [str(call) for call in world.api.calls] == ["patch resourcebindings/default/nginx-service/status"]


async def test_decision_about_an_old_state_is_refused(world: World) -> None:
    world.api.seed(binding_json("m1"))
    world.api.hold_watches()
    world.api.edit("ResourceBinding", *NGINX, {"spec": {"replicas": 1}})
    with pytest.raises(Conflict):
        await world.reconcile()


async def test_binding_that_left_meanwhile_is_no_failure(world: World) -> None:
    world.api.seed(binding_json("m1"))
    world.api.fail(NotFound(404, "NotFound", ""), "patch")
    assert await world.reconcile() == Result()
    assert world.recorder.take() == []


@pytest.mark.parametrize("fields", [{"labels": {}}, {"schedulerName": "mine"}, {"suspension": {"scheduling": True}}])
async def test_binding_of_others_is_left_alone(world: World, fields: dict[str, Any]) -> None:
    world.api.seed(binding_json("m1", **fields))
    assert await world.reconcile() == Result()
    assert world.api.calls == []


async def test_binding_that_is_gone() -> None:
    assert await World().reconcile() == Result()


# --- which events matter -------------------------------------------------------------------------------------------


def test_events_of_bindings() -> None:
    one = binding("m1")
    assert binding_changed(Event(new=one))
    assert binding_changed(Event(old=one, new=one))
    assert binding_changed(Event(old=one, new=binding("m1", generation=2)))
    assert binding_changed(Event(old=one, new=binding("m1", labels={})))
    noted = binding("m1", annotations={"policy.karmada.io/applied-placement": "{}"})
    assert binding_changed(Event(old=noted, new=one)), "what we noted on it was taken off"
    assert not binding_changed(Event(old=one, new=binding("m1", status={"schedulerObservedGeneration": 1})))
    assert not binding_changed(Event(old=one))


def test_events_of_clusters_mean_the_bindings_that_name_them() -> None:
    world = World()
    world.api.seed(binding_json("m1"))
    requests = requests_for_cluster(world.bindings.store)
    assert list(requests(Event(new=cluster("m1")))) == [NGINX]
    assert list(requests(Event(new=cluster("m2")))) == []
    one = cluster("m1")
    assert cluster_changed(Event(new=one))
    assert cluster_changed(Event(old=one))
    assert not cluster_changed(Event(old=one, new=cluster("m1")))
    changes: list[dict[str, Any]] = [{"labels": {"a": "b"}}, {"deleting": True}, {"apis": {}}]
    for change in [*changes, {"taints": [{"key": "k", "effect": "NoSchedule"}]}]:
        assert cluster_changed(Event(old=one, new=cluster("m1", **change))), change
