"""execution-controller over API servers in memory. Numbers are cases of docs/parity.md."""

import re
from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Forbidden, Invalid, ServerError, TransportError
from informers.resource import Resource
from mcs_controller.api.resources import CLUSTERS, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import Request, Result, TerminalError
from mcs_controller.standalone import member_applier
from mcs_controller.standalone.domain.contention import REPAIRS
from mcs_controller.standalone.domain.execution import plan_update
from mcs_controller.standalone.member_objects import MEMBER_KINDS
from mcs_controller.standalone.reconcilers.execution import cluster_changed, work_changed
from tests.support.builders import a_cluster, a_work, service, slice_, work
from tests.support.clusters import golden
from tests.support.execution import KEY, MARKS, NAMESPACE, World
from tests.support.object_store import Json, merge_patch

STATUS = f"patch works/{NAMESPACE}/w/status"
FINALIZERS = f"patch works/{NAMESPACE}/w"
SUCCEEDED = ("True", "AppliedSuccessful", "Manifest has been successfully applied")


@pytest.fixture
def world() -> World:
    return World()


def _by_hand(manifest: Json, **metadata: Any) -> Json:
    return manifest | {"metadata": manifest["metadata"] | metadata}


# --- applying --------------------------------------------------------------------------------------------------------


async def test_a_new_work_is_applied_and_reported_in_one_write_each(world: World) -> None:
    world.carry(service())
    assert await world.reconcile() == ["create services/default/web", STATUS]
    assert world.condition("Applied") == SUCCEEDED
    assert world.condition("Dispatching") == ("True", "Dispatching", "Work is being dispatched to member clusters.")


async def test_a_second_pass_asks_for_nothing_even_after_a_restart(world: World) -> None:
    await world.apply(service())
    assert await world.reconcile() == []
    world.recorder.take()
    world.restart()
    assert await world.reconcile() == []
    assert world.recorder.take() == []


@pytest.mark.parametrize("cluster", ["member1", "member2"])
async def test_the_walkthroughs_members_and_statuses_are_karmadas_own(cluster: str) -> None:
    world = World()
    namespace = f"karmada-es-{cluster}"
    world.host.seed(golden("host-clusters.json")[0 if cluster == "member1" else 1])
    world.members.join(cluster, world.member)
    expected = {
        one["metadata"]["name"]: one
        for one in golden(f"host-works-{namespace}.json")
        if one["spec"]["workload"]["manifests"][0]["kind"] in ("Service", "EndpointSlice", "MultiClusterService")
    }
    for name, content in expected.items():
        world.host.seed({key: value for key, value in content.items() if key != "status"})
        await world.reconciler.reconcile(Request(namespace, name))
        assert _without_times(world.host.read("Work", namespace, name)["status"]) == _without_times(content["status"])
    applied = [*golden(f"{cluster}-service.json"), *golden(f"{cluster}-endpointslices.json")]
    for content in applied:
        if "work.karmada.io/name" not in content["metadata"].get("annotations", {}):
            continue  # native slices
        found = world.member.read(content["kind"], "default", content["metadata"]["name"])
        for name in ("labels", "annotations", "generateName"):
            assert found["metadata"].get(name) == content["metadata"].get(name)
        assert found.get("endpoints") == content.get("endpoints")
        assert found.get("ports") == content.get("ports")


def _without_times(status: Json) -> Json:
    conditions = [{k: v for k, v in one.items() if k != "lastTransitionTime"} for one in status["conditions"]]
    return status | {"conditions": conditions}


async def test_the_events_of_the_walkthrough(world: World) -> None:
    await world.apply(service())
    assert world.recorder.events == [
        (wk.EXECUTION_CONTROLLER, "Work", f"{NAMESPACE}/w", "Normal", "WorkDispatching",
         "Work is being dispatched to member clusters."),
        (wk.EXECUTION_CONTROLLER, "Service", "default/web", "Normal", "SyncSucceed",
         "Successfully applied resource(default/web) to cluster m1"),
        (wk.EXECUTION_CONTROLLER, "Work", f"{NAMESPACE}/w", "Normal", "SyncSucceed",
         f"Sync work({NAMESPACE}/w) to cluster(m1) successful."),
        (wk.WORK_STATUS_CONTROLLER, "Work", f"{NAMESPACE}/w", "Normal", "ReflectStatusSucceed",
         "Reflect status for object(Service/default/web) succeed."),
        (wk.WORK_STATUS_CONTROLLER, "Work", f"{NAMESPACE}/w", "Normal", "InterpretHealthSucceed",
         "Interpret health of object(Service/default/web) as healthy."),
    ]  # fmt: skip


async def test_a_dispatched_slice_tells_of_no_template(world: World) -> None:
    await world.apply(slice_(), source_uid="")
    told = [("Work", "WorkDispatching"), ("Work", "SyncSucceed"), ("Work", "ReflectStatusSucceed")]
    assert world.recorder.take() == told


async def test_a_changed_manifest_is_one_patch_and_no_status_write(world: World) -> None:
    await world.apply(slice_(addresses=["10.0.0.1"]))
    world.carry(slice_(addresses=["10.0.0.1", "10.0.0.2"]))
    assert await world.reconcile() == ["patch endpointslices/default/web-1"]
    [call] = world.member.calls
    assert sorted(call.body) == ["endpoints", "metadata"]
    assert await world.reconcile() == []


async def test_a_namespace_is_applied(world: World) -> None:
    world.carry({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
    assert await world.reconcile() == ["create namespaces/prod", STATUS]
    assert await world.reconcile() == []


async def test_several_manifests_are_all_tried(world: World) -> None:
    made = world.carry(service("a"))
    manifests = made["spec"]["workload"]["manifests"]
    both = [manifests[0], _by_hand(manifests[0], name="b")]
    world.host.edit("Work", *KEY, {"spec": {"workload": {"manifests": both}}})
    world.member.fail(Invalid(422, "Invalid", "no"), "create", "Service", "a")
    await world.refused()
    assert world.condition("Applied")[2] == "Failed to apply all manifests (1/2): 422 Invalid: no"
    assert await world.reconcile() == ["create services/default/a", STATUS]


async def test_a_work_without_the_finalizer_gets_it_before_anything_is_applied(world: World) -> None:
    world.carry(service(), finalizers=("foreign",))
    assert await world.reconcile() == ["create services/default/web", FINALIZERS, STATUS]
    assert world.host.read("Work", *KEY)["metadata"]["finalizers"] == ["foreign", wk.EXECUTION_FINALIZER]


# --- failing, and getting over it ------------------------------------------------------------------------------------


async def test_a_failure_is_reported_once_and_healed(world: World) -> None:
    world.carry(service())
    world.member.fail(Forbidden(403, "Forbidden", "quota"), "create", "Service", times=2)
    await world.refused()
    assert world.condition("Applied") == (
        "False",
        "AppliedFailed",
        "Failed to apply all manifests (0/1): 403 Forbidden: quota",
    )
    assert world.recorder.take() == [("Work", "WorkDispatching"), ("Service", "SyncFailed"), ("Work", "SyncFailed")]
    await world.refused()
    assert world.asked == ["create services/default/web"]
    assert world.recorder.take() == []
    assert await world.reconcile() == ["create services/default/web", STATUS]
    assert world.condition("Applied") == SUCCEEDED
    assert world.recorder.take()[:2] == [("Service", "SyncSucceed"), ("Work", "SyncSucceed")]


async def test_what_was_known_of_an_object_stays_while_it_cannot_be_reached(world: World) -> None:
    await world.apply(service())
    world.carry(service(selector={"app": "x"}))
    world.member.fail(TransportError("reset"), "patch", "Service")
    await world.refused()
    made = world.host.read("Work", *KEY)
    assert [one["health"] for one in made["status"]["manifestStatuses"]] == ["Healthy"]
    world.recorder.take()
    await world.reconcile()
    assert world.recorder.take() == [("Service", "SyncSucceed"), ("Work", "SyncSucceed")]


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param("garbage", id="no-object"),
        pytest.param(service() | {"spec": "garbage"}, id="malformed"),
        pytest.param({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}, id="no-namespace"),
    ],
)
async def test_what_can_never_be_applied_is_reported_and_not_tried_again(world: World, manifest: Any) -> None:
    world.carry(manifest, finish=False)
    with pytest.raises(TerminalError):
        await world.reconcile()
    assert world.asked == [STATUS]
    assert world.condition("Applied")[1] == "AppliedFailed"
    with pytest.raises(TerminalError):
        await world.reconcile()
    assert world.asked == []
    await world.apply(service())
    assert world.condition("Applied") == SUCCEEDED


async def test_opening_22_a_slice_before_its_namespace_waits_without_requests_until_that_appears(world: World) -> None:
    world.carry(slice_(namespace="prod"))
    await world.refused("namespace prod does not exist in cluster m1")
    assert world.asked == [STATUS]
    world.woken.clear()
    world.member.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    assert world.woken == []
    world.member.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
    assert world.woken == [KEY]
    assert await world.reconcile() == ["create endpointslices/prod/web-1", STATUS]


async def test_objects_that_a_webhook_rewrites_are_not_written_for_ever(world: World) -> None:
    def rewrite(obj: Json, before: Json | None) -> None:
        obj["metadata"].setdefault("labels", {})["shared"] = "member"

    world.member.store.defaulters = {"EndpointSlice": rewrite}
    await world.apply(slice_(labels={"shared": "work"}))
    assert await world.reconcile() == []
    world.carry(slice_(labels={"shared": "new"}))
    assert await world.reconcile() == ["patch endpointslices/default/web-1"]
    assert await world.reconcile() == []


# --- conflicts -------------------------------------------------------------------------------------------------------


async def test_an_unmanaged_object_is_not_overwritten(world: World) -> None:
    world.member.seed(service(selector={"app": "theirs"}))
    world.carry(service())
    await world.refused("not managed by Karmada")
    assert world.asked == ["create services/default/web", "get services/default/web", STATUS]
    assert world.member.read("Service", "default", "web")["spec"]["selector"] == {"app": "theirs"}


async def test_a_native_slice_that_mirrors_the_label_of_its_service_is_not_overwritten(world: World) -> None:
    native = world.member.seed(slice_("a-c", labels={wk.MANAGED: wk.TRUE}))
    world.carry(slice_("a-c", addresses=["10.9.9.9"]))
    await world.refused("is not managed by Karmada")
    assert world.member.find(wk.SLICE_KIND, "default", "a-c") == native


async def test_an_unmanaged_object_is_overwritten_if_the_manifest_says_so(world: World) -> None:
    theirs = world.member.seed(service(selector={"app": "theirs"}, labels={"own": "1"}))
    world.carry(service(), annotations={wk.CONFLICT_RESOLUTION: "overwrite"})
    assert await world.reconcile() == [
        "create services/default/web",
        "get services/default/web",
        "patch services/default/web",
        STATUS,
    ]
    found = world.member.read("Service", "default", "web")
    assert found["spec"]["selector"] == {"app": "web"}
    assert found["spec"]["clusterIP"] == theirs["spec"]["clusterIP"]
    assert found["metadata"]["labels"]["own"] == "1"
    assert await world.reconcile() == []


async def test_a_cache_that_is_behind_costs_one_read(world: World) -> None:
    await world.apply(service())
    world.member.hold_watches()
    world.member.edit("Service", "default", "web", {"metadata": {"annotations": {"theirs": "1"}}})
    world.carry(service(selector={"app": "x"}))
    assert await world.reconcile() == [
        "patch services/default/web",
        "get services/default/web",
        "patch services/default/web",
    ]
    assert world.member.read("Service", "default", "web")["metadata"]["annotations"]["theirs"] == "1"


async def test_an_object_deleted_behind_the_cache_is_made_again(world: World) -> None:
    await world.apply(service())
    world.member.hold_watches()
    world.member.remove("Service", "default", "web")
    world.carry(service(selector={"app": "x"}))
    assert await world.reconcile() == [
        "patch services/default/web",
        "get services/default/web",
        "create services/default/web",
    ]


async def test_two_works_with_one_object_do_not_take_turns(world: World) -> None:
    other = Request(NAMESPACE, "other")
    world.carry(service())
    world.carry(service(), name="other")
    await world.reconcile()
    await world.refused("applied by another Work already", other)
    assert world.asked == [f"patch works/{NAMESPACE}/other/status"]
    assert await world.reconcile() == []

    world.host.remove("Work", *KEY)
    world.woken.clear()
    await world.reconcile()
    assert other in world.woken
    assert (await world.reconcile(other))[0] == "create services/default/web"


# --- suspension ------------------------------------------------------------------------------------------------------


async def test_case_81_a_suspended_work_is_not_applied(world: World) -> None:
    world.carry(slice_(), suspend_dispatching=True)
    assert await world.reconcile() == [STATUS]
    assert world.condition("Dispatching") == (
        "False",
        "SuspendDispatching",
        "Work dispatching is in a suspended state.",
    )
    assert not world.has_condition("Applied")
    assert world.recorder.take() == [("Work", "WorkDispatching")]
    assert await world.reconcile() == []
    assert world.recorder.take() == []


async def test_case_82_a_work_that_gets_suspended_says_so_and_its_object_stays(world: World) -> None:
    await world.apply(service())
    world.carry(service(selector={"app": "x"}), suspend_dispatching=True)
    assert await world.reconcile() == [STATUS]
    assert world.condition("Dispatching")[0] == "False"
    assert world.condition("Applied") == SUCCEEDED
    assert world.member.read("Service", "default", "web")["spec"]["selector"] == {"app": "web"}


async def test_a_suspended_work_needs_no_member(world: World) -> None:
    world.members.leave("m1")
    world.ready("False")
    world.carry(slice_(), suspend_dispatching=True)
    assert await world.reconcile() == [STATUS]


# --- deletion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preserve", "stays"),
    [
        pytest.param(True, True, id="case-83-true"),
        pytest.param(False, False, id="case-83-false"),
        pytest.param(None, False, id="case-83-absent"),
    ],
)
async def test_a_member_object_goes_with_its_work_unless_preserved(
    world: World, preserve: bool | None, stays: bool
) -> None:
    await world.apply(service(labels={"own": "1"}), preserve_resources_on_deletion=preserve)
    world.host.remove("Work", *KEY)
    asked = await world.reconcile()
    assert asked == [f"{'patch' if stays else 'delete'} services/default/web", FINALIZERS]
    assert world.host.find("Work", *KEY) is None
    found = world.member.find("Service", "default", "web")
    assert (found is not None) is stays
    if found is not None:
        assert found["metadata"]["labels"] == {"own": "1"}
        assert not found["metadata"].get("annotations")


async def test_deletion_is_in_the_background_and_of_the_very_object(world: World) -> None:
    await world.apply(service())
    world.host.remove("Work", *KEY)
    world.member.hold_watches()
    world.member.edit("Service", "default", "web", {"metadata": {"annotations": {wk.WORK_NAME: "another"}}})
    assert (await world.reconciler.reconcile(KEY)).requeue_after is not None
    world.member.release_watches()
    assert await world.reconcile() == [FINALIZERS]
    assert world.member.find("Service", "default", "web") is not None


async def test_native_slices_outlive_the_work_that_holds_their_copy(world: World) -> None:
    native = slice_(labels={wk.MANAGED: "true"})
    world.member.seed(native)
    world.carry(native, suspend_dispatching=True, finalizers=(wk.EXECUTION_FINALIZER, wk.DISPATCH_FINALIZER))
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == [FINALIZERS]
    assert world.member.find("EndpointSlice", "default", "web-1") is not None


async def test_a_collected_work_is_let_go_without_a_request(world: World) -> None:
    world.carry(slice_(), suspend_dispatching=True, finalizers=(wk.DISPATCH_FINALIZER,))
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == []


async def test_an_object_that_the_cache_does_not_hold_is_looked_up_before_the_finalizer_goes(world: World) -> None:
    world.carry(service())
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == ["get services/default/web", FINALIZERS]


async def test_a_suspended_work_is_cleaned_up_too(world: World) -> None:
    await world.apply(service())
    world.carry(service(), suspend_dispatching=True)
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == ["delete services/default/web", FINALIZERS]


async def test_the_finalizer_stays_while_the_member_cannot_be_reached(world: World) -> None:
    await world.apply(service())
    world.host.remove("Work", *KEY)
    world.ready("False")
    assert await world.reconcile() == []
    world.ready("True")
    world.members.leave("m1")
    world.members.problems["m1"] = "Secret karmada-cluster/m1 not found"
    assert await world.reconcile() == []
    assert world.host.find("Work", *KEY) is not None


@pytest.mark.parametrize("gone", ["leaving", "leaving-and-not-ready", "leaving-without-client", "gone"])
async def test_a_work_of_a_cluster_that_leaves_can_be_deleted(world: World, gone: str) -> None:
    world.carry(service())
    world.host.edit("Cluster", "", "m1", {"metadata": {"finalizers": ["x"]}})
    world.host.remove("Cluster", "", "m1")
    if gone == "leaving-and-not-ready":
        world.ready("Unknown")
    if gone == "leaving-without-client":
        world.members.leave("m1")
        world.members.problems["m1"] = "its Secret is gone"
    if gone == "gone":
        world.host.edit("Cluster", "", "m1", {"metadata": {"finalizers": None}})
    world.host.remove("Work", *KEY)
    assert (await world.reconcile())[-1] == FINALIZERS
    assert world.host.find("Work", *KEY) is None


PROD: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}}
ASKS = "get namespaces/prod"
DELETED_THERE = ["delete namespaces/prod", ASKS, FINALIZERS]
LET_GO_THERE = ["patch namespaces/prod", FINALIZERS]


def _leave(world: World, kind: str, name: str) -> None:
    """Somebody deletes an object that has something to wait for."""
    world.host.edit(kind, "", name, {"metadata": {"finalizers": ["x"]}})
    world.host.remove(kind, "", name)


async def _namespace_in_member(world: World) -> str:
    """A namespace of the control plane is applied in the member, where somebody puts things into it."""
    uid: str = world.host.seed(PROD)["metadata"]["uid"]
    await world.apply(PROD, source_uid=uid)
    world.member.seed(service("native", "prod"))
    return uid


@pytest.mark.parametrize("asked_to", ["leave", "leave-with-the-namespace", "lose-the-work"])
async def test_a_members_namespace_outlives_a_work_that_goes_for_another_reason(world: World, asked_to: str) -> None:
    await _namespace_in_member(world)
    if asked_to.startswith("leave"):
        _leave(world, "Cluster", "m1")
    if asked_to == "leave-with-the-namespace":
        world.host.remove("Namespace", "", "prod")
    world.host.remove("Work", *KEY)
    release = LET_GO_THERE
    if asked_to == "lose-the-work":  # the cluster stays, so it is the control plane's Namespace that matters
        release = [LET_GO_THERE[0], ASKS, FINALIZERS]
    assert await world.reconcile() == release
    found = world.member.read("Namespace", "", "prod")
    assert not found["metadata"].get("labels")
    assert not found["metadata"].get("annotations")


async def test_a_namespaces_work_waits_for_an_answer_about_the_namespace_of_the_control_plane(world: World) -> None:
    await _namespace_in_member(world)
    world.host.remove("Work", *KEY)
    world.host.fail(Forbidden(403, "Forbidden", 'namespaces "prod" is forbidden'), "get", "Namespace")
    world.member.calls.clear()
    world.host.calls.clear()
    assert (await world.reconciler.reconcile(KEY)).requeue_after is not None
    assert not [call for call in world.asked if not call.startswith("get ")]


@pytest.mark.parametrize("how", ["gone", "terminating", "made-anew"])
async def test_a_members_namespace_goes_with_the_one_of_the_control_plane(world: World, how: str) -> None:
    await _namespace_in_member(world)
    if how == "terminating":
        _leave(world, "Namespace", "prod")
    else:
        world.host.remove("Namespace", "", "prod")
    if how == "made-anew":
        world.host.seed(PROD)
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == DELETED_THERE


# --- clusters --------------------------------------------------------------------------------------------------------


async def test_a_cluster_that_is_not_ready_is_waited_for_and_logged_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("w", "x", "y"):
        world.carry(service(name), name=name)
    for _ in range(2):
        world.ready("False")
        for name in ("w", "x", "y", "w"):
            assert await world.reconciler.reconcile(Request(NAMESPACE, name)) == Result()
        assert world.member.writes == []
        assert [record.message for record in caplog.records] == ["Works wait for their cluster"]
        assert not world.has_condition("Applied")
        caplog.clear()
        world.ready("True")
        await world.reconcile(Request(NAMESPACE, "x"))
        world.host.edit("Work", NAMESPACE, "w", {"status": None})
        world.member.calls.clear()
    assert (await world.reconcile())[0] == "create services/default/w"


async def test_a_member_that_is_being_connected_is_no_failure(world: World) -> None:
    world.carry(service())
    world.members.leave("m1")
    result = await world.reconciler.reconcile(KEY)
    assert result.requeue_after == 5.0
    assert world.host.writes == []
    world.woken.clear()
    world.members.join("m1", world.member)
    assert world.woken == [KEY]
    assert await world.reconcile() == ["create services/default/web", STATUS]


async def test_a_cluster_that_does_not_exist_is_waited_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.host.seed(work("nowhere", "w", service()))
    assert await world.reconciler.reconcile(Request("karmada-es-nowhere", "w")) == Result()
    [record] = caplog.records
    assert (record.message, record.error) == ("Works wait for their cluster", "cluster nowhere does not exist")  # type: ignore[attr-defined]


async def test_pull_clusters_and_other_namespaces_are_not_ours(world: World) -> None:
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": "Pull"}})
    world.carry(service())
    assert await world.reconcile() == []
    world.host.seed(work("m1", "w", service(), namespace="default"))
    assert await world.reconcile(Request("default", "w")) == []
    assert await world.reconcile(Request("default", "absent")) == []


@pytest.mark.parametrize(
    ("event", "matters"),
    [
        pytest.param(Event(new=a_cluster("m1")), True, id="joined"),
        pytest.param(Event(old=a_cluster("m1")), True, id="gone"),
        pytest.param(Event(old=a_cluster("m1", ready="False"), new=a_cluster("m1")), True, id="turned-ready"),
        pytest.param(Event(old=a_cluster("m1"), new=a_cluster("m1", ready="False")), False, id="turned-not-ready"),
        pytest.param(
            Event(old=a_cluster("m1"), new=a_cluster("m1", metadata={"resourceVersion": "9"})), False, id="heartbeat"
        ),
        pytest.param(
            Event(old=a_cluster("m1"), new=a_cluster("m1", metadata={"deletionTimestamp": "x"})), True, id="leaving"
        ),
    ],
)
def test_clusters_matter_when_they_change_what_can_be_done(event: Any, matters: bool) -> None:
    assert cluster_changed(event) is matters


async def test_a_cluster_leads_to_its_works(world: World) -> None:
    world.carry(service())
    world.host.seed(work("m2", "w", service()))
    assert list(world.reconciler.requests_for_cluster(Event(new=a_cluster("m1")))) == [KEY]


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"metadata": {"generation": 2}}, True),
        ({"metadata": {"deletionTimestamp": "x"}}, True),
        ({"metadata": {"uid": "another"}}, True),
        ({"metadata": {"resourceVersion": "9", "labels": {"a": "b"}}}, False),
        ({"status": {"conditions": []}}, False),
    ],
)
def test_works_matter_when_their_generation_changes(change: Json, matters: bool) -> None:
    before = work("m1", "w", service())
    assert work_changed(Event(old=a_work(before), new=a_work(merge_patch(before, change)))) is matters


# --- drift -----------------------------------------------------------------------------------------------------------


async def _applied(world: World, manifest: Json) -> None:
    await world.apply(manifest)
    world.woken.clear()


@pytest.mark.parametrize(
    ("change", "woken"),
    [
        pytest.param({"status": {"loadBalancer": {}}}, [], id="case-85-status-only"),
        pytest.param({"spec": {"selector": {"app": "x"}}}, [KEY], id="case-85-spec"),
        pytest.param({"metadata": {"labels": None}}, [KEY], id="case-85-labels-stripped"),
        pytest.param({"metadata": {"labels": None, "annotations": None}}, [KEY], id="case-85-all-marks-stripped"),
    ],
)
async def test_a_change_of_a_member_object_leads_to_its_work(world: World, change: Json, woken: list[Request]) -> None:
    await _applied(world, service())
    world.member.edit("Service", "default", "web", change)
    assert world.woken == woken


async def test_a_deleted_member_object_is_made_again(world: World) -> None:
    await _applied(world, service())
    world.member.remove("Service", "default", "web")
    assert world.woken == [KEY]
    assert await world.reconcile() == ["create services/default/web"]
    labels = {"result": "success", "apiversion": "v1", "kind": "Service", "member_cluster": "m1"}
    assert world.sample("create_resource_to_cluster", **labels, recreate="true") == 1
    assert world.sample("create_resource_to_cluster", **labels, recreate="false") == 1


async def test_a_changed_member_object_is_put_right_and_keeps_what_others_add(world: World) -> None:
    await _applied(world, service())
    world.member.edit("Service", "default", "web", {"spec": {"selector": {"app": "x"}, "externalIPs": ["1.2.3.4"]}})
    assert await world.reconcile() == ["patch services/default/web"]
    found = world.member.read("Service", "default", "web")
    assert found["spec"]["selector"] == {"app": "web"}
    assert found["spec"]["externalIPs"] == ["1.2.3.4"]


async def test_stripped_labels_are_put_back(world: World) -> None:
    await _applied(world, slice_())
    world.member.edit("EndpointSlice", "default", "web-1", {"metadata": {"labels": None}})
    assert await world.reconcile() == [
        "create endpointslices/default/web-1",
        "get endpointslices/default/web-1",
        "patch endpointslices/default/web-1",
    ]
    assert await world.reconcile() == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(slice_(annotations=MARKS), id="case-84-unmanaged"),
        pytest.param(slice_(labels={wk.MANAGED: "true"}), id="case-84-no-work-annotation"),
        pytest.param(
            slice_(labels={wk.MANAGED: "true"}, annotations={wk.WORK_NAMESPACE: "karmada-es-m2", wk.WORK_NAME: "w"}),
            id="of-another-cluster",
        ),
    ],
)
async def test_member_objects_that_no_work_here_applied_are_ignored(world: World, content: Json) -> None:
    await world.apply(slice_("another"))
    world.member.seed(content)
    world.woken.clear()
    world.member.edit("EndpointSlice", "default", "web-1", {"endpoints": None})
    world.member.remove("EndpointSlice", "default", "web-1")
    assert world.woken == []


async def test_case_84_an_unmanaged_namespace_is_ignored_whatever_its_annotations_say(world: World) -> None:
    await world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
    world.member.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs", "annotations": MARKS}})
    world.woken.clear()
    world.member.edit("Namespace", "", "theirs", {"metadata": {"labels": {"a": "b"}}})
    world.member.remove("Namespace", "", "theirs")
    assert world.woken == []


async def test_addresses_of_a_load_balancer_are_reported(world: World) -> None:
    await _applied(world, service(type="LoadBalancer"))
    ingress = [{"ip": "1.2.3.4"}]
    world.member.edit("Service", "default", "web", {"status": {"loadBalancer": {"ingress": ingress}}})
    assert world.woken == [KEY]
    world.recorder.take()
    assert await world.reconcile() == [STATUS]
    made = world.host.read("Work", *KEY)
    [entry] = made["status"]["manifestStatuses"]
    assert (entry["health"], entry["status"]) == ("Healthy", {"loadBalancer": {"ingress": ingress}})
    assert world.recorder.take() == [("Work", "ReflectStatusSucceed"), ("Work", "InterpretHealthSucceed")]


# --- metrics, caches -------------------------------------------------------------------------------------------------


async def test_what_happens_is_counted(world: World) -> None:
    world.carry(service())
    world.member.fail(ServerError(500, "", "broken"), "create", "Service")
    await world.refused()
    await world.reconcile()
    await world.reconcile()
    await world.apply(service(selector={"app": "x"}))
    world.host.remove("Work", *KEY)
    await world.reconcile()
    what = {"apiversion": "v1", "kind": "Service", "member_cluster": "m1"}
    counted = [
        world.sample("create_resource_to_cluster", result="error", recreate="false", **what),
        world.sample("create_resource_to_cluster", result="success", recreate="false", **what),
        world.sample("update_resource_to_cluster", result="success", operationResult="unchanged", **what),
        world.sample("update_resource_to_cluster", result="success", operationResult="updated", **what),
        world.sample("delete_resource_from_cluster", result="success", **what),
        world.sample("work_sync_workload_duration_seconds_count", result="error"),
        world.sample("work_sync_workload_duration_seconds_count", result="success"),
    ]
    assert counted == [1, 1, 1, 1, 1, 1, 4]


def test_the_kinds_are_where_the_api_server_has_them() -> None:
    by_kind: dict[str, Resource[Any]] = {kind.resource.kind: kind.resource for kind in MEMBER_KINDS.values()}
    assert by_kind["EndpointSlice"].path("a") == "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices"
    assert by_kind["Service"].path("a") == "/api/v1/namespaces/a/services"
    assert by_kind["Namespace"].path("a") == "/api/v1/namespaces"
    assert (CLUSTERS.namespaced, WORKS.namespaced) == (False, True)


# --- what nobody foresaw ---------------------------------------------------------------------------------------------


async def test_an_unforeseen_error_is_that_of_one_object(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(manifest: Json, observed: Any) -> Any:
        if manifest["metadata"]["name"] == "web":
            raise TypeError("unhashable")
        return plan_update(manifest, observed)

    monkeypatch.setattr(member_applier, "plan_update", plan)
    world.host.seed(work("m1", "w", service(), service("other")))
    first = await world.refused("(1/2): TypeError: unhashable")
    assert world.member.find("Service", "default", "other") is not None
    assert await world.refused("TypeError: unhashable") > first


async def test_a_work_whose_object_cannot_be_removed_for_an_unforeseen_reason_waits_for_the_next_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply(service())

    def fail(*_: object, **__: object) -> bool:
        raise TypeError("unhashable")

    monkeypatch.setattr(member_applier, "may_delete", fail)
    world.host.remove("Work", *KEY)
    assert (await world.reconciler.reconcile(KEY)).requeue_after is not None
    assert world.host.find("Work", NAMESPACE, "w") is not None


# --- objects that every cluster has of its own ------------------------------------------------------------------------


def _config(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (service("kubernetes"), "every cluster has a Service default/kubernetes of its own"),
        (slice_("kubernetes"), "every cluster has a EndpointSlice default/kubernetes of its own"),
        (slice_("other", service="kubernetes"), "default/kubernetes of its own, which gets no endpoints of others"),
        (_config("kube-root-ca.crt"), "every cluster has a ConfigMap default/kube-root-ca.crt of its own"),
    ],
)
async def test_what_every_cluster_has_is_not_written_whoever_made_the_work(
    world: World, manifest: Json, told: str
) -> None:
    manifest["metadata"] |= {"annotations": {wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE}}
    carrying = world.carry(manifest)
    with pytest.raises(TerminalError, match=re.escape(told)):
        await world.reconcile()
    assert not world.member.writes
    assert told in world.condition("Applied")[2]
    assert await world.start_writes(a_work(carrying)) == []


async def test_slices_that_an_older_version_gave_to_the_api_service_go_with_their_work(world: World) -> None:
    await world.apply(slice_("m2-kubernetes", service="web"))
    label = {"metadata": {"labels": {wk.SERVICE_NAME: "kubernetes"}}}
    world.member.edit("EndpointSlice", "default", "m2-kubernetes", label)
    world.carry(slice_("m2-kubernetes", service="kubernetes"))
    world.host.remove("Work", *KEY)
    await world.reconcile()
    assert world.member.find("EndpointSlice", "default", "m2-kubernetes") is None


# --- somebody else who writes an object -------------------------------------------------------------------------------

KUBECTL = {"manager": "kubectl-edit", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {}}


def _change_back(world: World) -> None:
    """Somebody replaces what the Work says of the slice."""
    change = {"endpoints": [{"addresses": ["10.9.9.9"]}], "metadata": {"managedFields": [KUBECTL]}}
    world.member.edit("EndpointSlice", "default", "web-1", change)


async def _contend(world: World) -> None:
    """Until the next write has to wait."""
    await world.apply(slice_())
    for _ in range(REPAIRS):
        _change_back(world)
        assert await world.reconcile() == ["patch endpointslices/default/web-1"]
    _change_back(world)


async def test_what_somebody_else_keeps_changing_back_is_written_less_and_less_often(world: World) -> None:
    await _contend(world)
    told = "EndpointSlice default/web-1: somebody else writes it: kubectl-edit; it is written less and less often"
    world.recorder.take()
    assert await world.refused(told) == 5.0
    assert world.asked == ["get endpointslices/default/web-1", STATUS]
    assert world.recorder.take() == [("EndpointSlice", "SyncFailed"), ("Work", "SyncFailed")]
    for seconds in (10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        assert await world.reconcile() == []  # each change of the other leads here
        await world.clock.advance(300)
        assert await world.refused(told) == min(seconds, 30.0)
        assert world.asked == ["patch endpointslices/default/web-1"]
        _change_back(world)
        assert await world.refused(told) == seconds
        assert world.asked == ["get endpointslices/default/web-1"]
    assert world.recorder.take() == []


async def test_when_the_other_stops_the_object_is_as_the_work_says_and_then_the_condition_too(world: World) -> None:
    await _contend(world)
    await world.clock.advance(await world.refused("somebody else writes it"))
    settles = await world.refused("somebody else writes it")
    assert world.asked == ["patch endpointslices/default/web-1"]
    await world.clock.advance(settles)
    assert await world.reconcile() == [STATUS]
    assert world.condition("Applied") == SUCCEEDED
    assert await world.reconcile() == []
    await world.clock.advance(601.0)
    _change_back(world)
    assert await world.reconcile() == ["patch endpointslices/default/web-1"]
    assert world.condition("Applied") == SUCCEEDED


async def test_changed_manifest_does_not_wait_for_the_other(world: World) -> None:
    await _contend(world)
    await world.refused("somebody else writes it")
    world.carry(slice_(addresses=["10.0.0.7"]))
    await world.refused("somebody else writes it")
    assert world.asked == ["patch endpointslices/default/web-1"]
    _change_back(world)
    await world.refused("somebody else writes it")
    assert world.asked == ["get endpointslices/default/web-1"]


async def test_writes_ahead_of_the_work_wait_as_well(world: World) -> None:
    await _contend(world)
    assert await world.start_writes(a_work(world.host.read("Work", *KEY))) == []


async def test_who_deletes_it_each_time_is_unknown(world: World) -> None:
    world.carry(slice_())
    for _ in range(REPAIRS + 1):
        await world.reconcile()
        world.member.remove("EndpointSlice", "default", "web-1")
    assert await world.refused("somebody else writes it: unknown, its managedFields name nobody") == 5.0
    assert world.asked == ["get endpointslices/default/web-1", STATUS]
    await world.clock.advance(5.0)
    await world.refused("somebody else writes it: unknown")
    assert world.asked == ["create endpointslices/default/web-1"]


async def test_who_takes_our_marks_off_as_well_is_named(world: World) -> None:
    """Then no cache holds the object, as it is not managed."""
    manifest = _config("shared") | {"data": {"a": "ours"}}
    world.member.served = {"/api/v1": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}
    manifest["metadata"] |= {"annotations": {wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE}}
    world.carry(manifest)
    theirs = {"data": {"a": "theirs"}, "metadata": {"labels": None, "annotations": None, "managedFields": [KUBECTL]}}
    for _ in range(REPAIRS + 1):
        await world.reconcile()
        world.member.edit("ConfigMap", "default", "shared", theirs)
    await world.refused("ConfigMap default/shared: somebody else writes it: kubectl-edit")
    assert world.asked == ["get configmaps/default/shared", STATUS]


async def test_what_is_remembered_of_writes_has_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_applier, "_MAX_LAST_WRITES", 3)
    remembered = world.reconciler._writer._last_writes
    for number in range(6):
        world.carry(slice_(f"s{number}"), name=f"w{number}")
        await world.reconcile(Request(NAMESPACE, f"w{number}"))
    assert [one.name for one in remembered] == ["s3", "s4", "s5"]
    await world.clock.advance(601.0)
    for number in range(6, 9):
        world.carry(slice_(f"s{number}"), name=f"w{number}")
        await world.reconcile(Request(NAMESPACE, f"w{number}"))
    assert [one.name for one in remembered] == ["s6", "s7", "s8"]
    world.host.remove("Work", NAMESPACE, "w8")
    await world.reconcile(Request(NAMESPACE, "w8"))
    assert [one.name for one in remembered] == ["s6", "s7"]
