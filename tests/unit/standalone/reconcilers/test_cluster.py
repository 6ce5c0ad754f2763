"""The cluster controller: a Cluster comes, is not ready, and leaves."""

from typing import Any, cast

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, Forbidden, NotFound
from mcs_controller.api.resources import CLUSTERS, NAMESPACES, RESOURCEBINDINGS, WORKS
from mcs_controller.domain.collect import plan_leaving
from mcs_controller.domain.works import Role, role_of
from mcs_controller.reconcilers.writes import apply_work
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result
from mcs_controller.standalone.domain.cluster import (
    BY_EXECUTION_CLUSTER,
    EXECUTION_WORK_INDEXES,
    SCHEDULED_BINDING_INDEXES,
)
from mcs_controller.standalone.reconcilers.cluster import (
    EMPTYING_SECONDS,
    ClusterReconciler,
    cluster_changed,
    requests_for_binding,
    requests_for_cluster,
    requests_for_namespace,
)
from tests.support.builders import collected_work, exported_work, mcs_work, slice_
from tests.support.clock import FakeClock
from tests.support.clusters import (
    FINALIZER,
    ControlPlaneApi,
    binding,
    binding_json,
    cluster,
    cluster_json,
    namespace,
    namespace_json,
)
from tests.support.memory import MemoryRecorder

M1 = Request("", "m1")


class World:
    def __init__(self) -> None:
        self.api = ControlPlaneApi()
        self.recorder = MemoryRecorder()
        self.slices: list[ClusterRequest] = []
        self.reconciler = ClusterReconciler(
            clusters=self.api.cached(CLUSTERS),
            namespaces=self.api.cached(NAMESPACES),
            works=self.api.cached(WORKS, EXECUTION_WORK_INDEXES),
            bindings=self.api.informer(RESOURCEBINDINGS, SCHEDULED_BINDING_INDEXES).store,
            enqueue_slice=self.slices.append,
            recorder=self.recorder,
            clock=FakeClock(),
        )

    async def reconcile(self) -> Result:
        return await self.reconciler.reconcile(M1)

    @property
    def cluster(self) -> dict[str, Any]:
        return self.api.read("Cluster", "", "m1")


@pytest.fixture
def world() -> World:
    return World()


async def test_new_cluster_gets_namespace_and_finalizer_and_then_nothing_more(world: World) -> None:
    world.api.seed(cluster_json(finalizers=()))
    assert await world.reconcile() == Result()
    assert world.api.read("Namespace", "", "karmada-es-m1")["metadata"]["labels"] == {"karmada.io/system": "true"}
    assert world.cluster["metadata"]["finalizers"] == [FINALIZER]
    assert world.recorder.take() == [("Cluster", "CreateExecutionSpaceSucceed")]
    world.api.calls.clear()
    assert await world.reconcile() == Result()
    assert world.api.calls == []


async def test_a_namespace_that_cannot_be_made_is_told_and_keeps_no_cluster_from_leaving(world: World) -> None:
    world.api.seed(cluster_json(finalizers=()))
    world.api.fail(Forbidden(403, "Forbidden", "no"), "create", "Namespace")
    with pytest.raises(Forbidden):
        await world.reconcile()
    assert world.recorder.take() == [("Cluster", "CreateExecutionSpaceFailed")]
    world.api.remove("Cluster", "", "m1")
    await world.reconcile()
    assert world.api.find("Cluster", "", "m1") is None


async def test_a_cluster_that_leaves_before_it_has_the_finalizer_leaves_no_namespace_behind(world: World) -> None:
    world.api.seed(cluster_json(finalizers=()))
    world.api.hold_watches()
    world.api.remove("Cluster", "", "m1")
    await world.reconcile()
    assert world.api.all("Namespace") == []


async def test_namespace_that_the_cache_does_not_know_yet_is_no_failure(world: World) -> None:
    world.api.seed(cluster_json(finalizers=()))
    world.api.hold_watches()
    world.api.seed(namespace_json("karmada-es-m1"))
    await world.reconcile()
    assert world.cluster["metadata"]["finalizers"] == [FINALIZER]
    assert world.recorder.take() == []


async def test_cluster_that_is_not_ready_is_tainted_and_untainted(world: World) -> None:
    foreign = {"key": "foreign", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    world.api.seed(cluster_json(finalizers=(), ready="False", taints=[foreign]))
    await world.reconcile()
    not_ready = {"key": "cluster.karmada.io/not-ready", "effect": "NoSchedule"}
    assert world.cluster["spec"]["taints"] == [foreign, not_ready]
    assert world.cluster["metadata"]["finalizers"] == [FINALIZER]
    world.api.edit("Cluster", "", "m1", {"status": {"conditions": cluster_json()["status"]["conditions"]}})
    await world.reconcile()
    assert world.cluster["spec"]["taints"] == [foreign]


async def test_taint_computed_from_an_old_state_is_refused(world: World) -> None:
    world.api.seed(cluster_json(ready="False"), namespace_json("karmada-es-m1"))
    world.api.hold_watches()
    world.api.edit("Cluster", "", "m1", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(Conflict):
        await world.reconcile()


async def test_cluster_leaves_step_by_step(world: World) -> None:
    world.api.seed(cluster_json(), namespace_json("karmada-es-m1"), binding_json("m1", clusters=("m1",)))
    world.api.remove("Cluster", "", "m1")

    assert await world.reconcile() == Result(requeue_after=10.0)
    assert world.recorder.take() == [("Cluster", "RemoveExecutionSpaceSucceed")]
    world.api.calls.clear()
    assert await world.reconcile() == Result(requeue_after=10.0)
    assert world.api.calls == [], "the namespace is terminating: nothing to do but wait"
    assert FINALIZER in world.cluster["metadata"]["finalizers"]

    world.api.edit("Namespace", "", "karmada-es-m1", {"metadata": {"finalizers": []}})
    assert await world.reconcile() == Result(requeue_after=10.0)
    assert world.api.calls == [], "a binding still uses the cluster"

    world.api.edit("ResourceBinding", "default", "nginx-service", {"spec": {"clusters": None}})
    assert await world.reconcile() == Result()
    assert world.api.find("Cluster", "", "m1") is None
    assert await world.reconcile() == Result()


async def test_the_slices_are_taken_out_of_collected_works_before_the_namespace_goes(world: World) -> None:
    """Beside an execution controller of Karmada's, which would delete the member's own slices with them."""
    world.api.seed(cluster_json(), namespace_json("karmada-es-m1"))
    for one in (collected_work("m1"), exported_work("m1", slice_("web-2")), mcs_work("m1")):
        world.api.seed(one)
    world.api.remove("Cluster", "", "m1")
    assert await world.reconcile() == Result(requeue_after=EMPTYING_SECONDS)
    assert world.slices == [ClusterRequest("m1", "default", name) for name in ("web-1", "web-2")]
    assert world.api.calls == [], "that is for the slices' own writer"
    works = world.api.cached(WORKS, EXECUTION_WORK_INDEXES)
    for work in works.store.by_index(BY_EXECUTION_CLUSTER, "m1"):
        for write in plan_leaving([work] if role_of(work) is Role.COLLECTED else []):
            await apply_work(works, write)
    world.api.calls.clear()
    assert await world.reconcile() == Result(requeue_after=10.0)
    assert [(call.verb, call.plural) for call in world.api.calls] == [("delete", "namespaces")]
    world.api.calls.clear()
    assert await world.reconcile() == Result(requeue_after=10.0)
    assert world.api.calls == []


async def test_a_namespace_waits_until_its_collected_works_are_emptied(world: World) -> None:
    world.api.seed(cluster_json(), namespace_json("karmada-es-m1"), collected_work("m1"))
    world.api.remove("Cluster", "", "m1")
    for _ in range(2):
        assert await world.reconcile() == Result(requeue_after=EMPTYING_SECONDS)
    assert world.api.calls == []


async def test_own_writes_are_seen_before_the_watch_tells_of_them(world: World) -> None:
    world.api.seed(cluster_json(ready="False", taints=[{"key": "foreign", "effect": "NoExecute"}]))
    world.api.seed(namespace_json("karmada-es-m1"))
    world.api.hold_watches()
    await world.reconcile()
    assert len(world.api.calls) == 1
    assert await world.reconcile() == Result()
    assert len(world.api.calls) == 1


async def test_cluster_is_not_let_go_while_the_watch_has_not_told_of_its_terminating_namespace(world: World) -> None:
    world.api.seed(cluster_json(), namespace_json("karmada-es-m1"))
    world.api.remove("Cluster", "", "m1")
    world.api.hold_watches()
    assert await world.reconcile() == Result(requeue_after=10.0)
    assert await world.reconcile() == Result(requeue_after=10.0)
    assert world.cluster["metadata"]["finalizers"] == [FINALIZER]


async def test_namespace_that_cannot_be_deleted_is_told_and_tried_again(world: World) -> None:
    world.api.seed(cluster_json(), namespace_json("karmada-es-m1"))
    world.api.remove("Cluster", "", "m1")
    world.api.fail(Forbidden(403, "Forbidden", "no"), "delete")
    with pytest.raises(Forbidden):
        await world.reconcile()
    assert world.recorder.take() == [("Cluster", "RemoveExecutionSpaceFailed")]


async def test_works_of_a_silent_pull_cluster_are_released(world: World) -> None:
    world.api.seed(cluster_json(syncMode="Pull", ready="Unknown"), namespace_json("karmada-es-m1"))
    for name in ("a", "b"):
        metadata = {"name": name, "namespace": "karmada-es-m1", "finalizers": ["karmada.io/execution-controller", "x"]}
        world.api.seed({"apiVersion": "work.karmada.io/v1alpha1", "kind": "Work", "metadata": metadata, "spec": {}})
    world.api.remove("Cluster", "", "m1")
    world.api.fail(NotFound(404, "NotFound", "gone"), "patch", "Work", "a")
    await world.reconcile()
    works = {work["metadata"]["name"]: work["metadata"]["finalizers"] for work in world.api.all("Work")}
    assert works["b"] == ["x"]


async def test_cluster_that_left_meanwhile_is_no_failure(world: World) -> None:
    world.api.seed(cluster_json(finalizers=()))
    world.api.fail(NotFound(404, "NotFound", "gone"), "patch", "Cluster")
    assert await world.reconcile() == Result()


# --- which events matter -------------------------------------------------------------------------------------------


def test_events_of_clusters() -> None:
    one = cluster()
    assert list(requests_for_cluster(Event(new=one))) == [M1]
    assert cluster_changed(Event(new=one))
    assert cluster_changed(Event(old=one, new=one)), "a resync"
    assert not cluster_changed(Event(old=one))
    assert not cluster_changed(Event(old=one, new=cluster(apis={}, labels={"a": "b"})))
    for change in ({"ready": "Unknown"}, {"deleting": True}, {"finalizers": ()}, {"uid": "new"}, {"syncMode": "Pull"}):
        assert cluster_changed(Event(old=one, new=cluster(**cast("Any", change)))), change


def test_events_of_namespaces() -> None:
    assert list(requests_for_namespace(Event(old=namespace("karmada-es-m1")))) == [M1]
    assert list(requests_for_namespace(Event(new=namespace("prod")))) == []


def test_only_bindings_that_left_a_cluster_matter() -> None:
    on_both, on_m1 = binding(clusters=("m1", "m2")), binding(clusters=("m1",))
    assert list(requests_for_binding(Event(old=on_both, new=on_m1))) == [Request("", "m2")]
    assert list(requests_for_binding(Event(old=on_m1))) == [M1]
    assert list(requests_for_binding(Event(old=on_m1, new=on_both))) == []
    assert list(requests_for_binding(Event(new=on_both))) == []
