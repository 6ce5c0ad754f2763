"""multiclusterservice-controller over an API server in memory, alone and together with the others of its path."""

from collections import Counter
from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, Forbidden, Invalid, NotFound, ServerError
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from mcs_controller.runtime.reconcile import ClusterRequest, Request
from tests.support.builders import (
    a_binding,
    a_cluster,
    a_service,
    a_work,
    binding,
    cluster,
    collected_work,
    condition,
    dispatched_work,
    mcs,
    mcs_work,
    service,
    slice_,
    work,
)
from tests.support.mcs_world import World
from tests.support.object_store import merge_patch
from workqueue.priority import LOW, at_priority

WORK = work_name(wk.MCS_KIND, "default", "web")
WEB = Request("default", "web")


def fresh(**fields: Any) -> dict[str, Any]:
    """A service as a user applies it, where no webhook runs."""
    return mcs(adopted=False, permanent_id="", **fields)


async def running(*names: str, **fields: Any) -> World:
    """A world in which one service is at rest, with one slice in m1."""
    world = World(*names)
    world.host.seed(service(), fresh(**fields))
    world.members["m1"].seed(slice_())
    await world.settle()
    world.forget_calls()
    return world


def reconciler(world: World) -> Any:
    return world.controllers[wk.MCS_CONTROLLER].reconciler


# --- the whole way ----------------------------------------------------------------------------------------------------


async def test_opening_08_a_service_reaches_its_consumer_with_one_write_of_each_object_and_says_so():
    world = World("m1", "m2")
    world.host.seed(service(), fresh(providers=["m1"], consumers=["m2"]))
    world.members["m1"].seed(slice_())
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert world.slices_in("m1") == {}
    assert world.condition(wk.SERVICE_APPLIED) == ("True", "Service is propagated to target clusters.")
    assert world.condition(wk.SLICE_DISPATCHED) == ("True", "EndpointSlice are dispatched successfully")
    assert sorted(world.take_events()) == [
        (wk.MCS_KIND, "DispatchEndpointSliceSucceed"),
        (wk.MCS_KIND, "SyncServiceSucceed"),
    ]
    bound = world.host.read("ResourceBinding", "default", "web-service")
    assert bound["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["m1", "m2"]}}
    assert Counter(world.writes) == Counter(
        [
            "create resourcebindings/default/web-service",
            f"create works/karmada-es-m1/{WORK}",
            "create works/karmada-es-m1/web-1-748bc4d6dc",
            "create works/karmada-es-m2/web-1-748bc4d6dc",
            "patch multiclusterservices/default/web",
            "patch multiclusterservices/default/web/status",
            "patch services/default/web",
        ]
    )


async def test_opening_06_a_second_pass_and_a_restart_write_nothing_and_say_nothing():
    world = await running("m1", "m2", providers=["m1"], consumers=["m2"])
    for name in (wk.MCS_CONTROLLER, wk.STATUS_CONTROLLER):
        world.controllers[name].enqueue(WEB)
    world.controllers[wk.COLLECT_CONTROLLER].enqueue(Request("karmada-es-m1", WORK))
    world.slices.enqueue(ClusterRequest("m1", "default", "web-1"))
    await world.settle()
    world.start()
    await world.settle()
    assert world.writes == []
    assert world.take_events() == []


async def test_opening_08_one_change_of_a_slice_costs_one_write_of_each_of_its_works():
    world = await running("m1", "m2", "m3", providers=["m1"])
    world.members["m1"].edit(
        wk.SLICE_KIND, "default", "web-1", {"endpoints": slice_(addresses=["10.0.0.7"])["endpoints"]}
    )
    await world.settle()
    assert sorted(world.writes) == [f"patch works/karmada-es-{name}/web-1-748bc4d6dc" for name in ("m1", "m2", "m3")]


async def test_opening_07_a_heartbeat_makes_nobody_look():
    world = await running("m1", "m2")
    beat = merge_patch(world.host.find("Cluster", "", "m2"), {})["status"]["conditions"]
    beat[0] |= {"message": "still here", "lastHeartbeatTime": "2026-01-01T00:00:10Z"}
    world.host.edit(
        "Cluster", "", "m2", {"status": {"conditions": beat, "resourceSummary": {"allocated": {"cpu": "1"}}}}
    )
    assert not any(controller.pending for controller in world.controllers.values())


# --- the Service and the binding --------------------------------------------------------------------------------------


async def test_a_missing_service_is_named_and_its_arrival_is_enough():
    world = World("m1")
    world.host.seed(fresh(providers=["m1"]))
    await world.settle()
    assert world.condition(wk.SERVICE_APPLIED) == (
        "False",
        "Service default/web does not exist; create it in the control plane",
    )
    assert world.take_events() == [(wk.MCS_KIND, "SyncServiceFailed")]
    assert WORK in world.works_in("m1"), "the rest goes on"
    world.host.seed(service())
    await world.settle()
    assert world.condition(wk.SERVICE_APPLIED) == ("True", "Service is propagated to target clusters.")


async def test_a_service_on_its_way_out_is_as_good_as_missing():
    world = World("m1")
    world.host.seed(service(metadata={"finalizers": ["theirs/f"], "deletionTimestamp": "2026-01-02T00:00:00Z"}))
    world.host.seed(fresh())
    await world.settle()
    assert "does not exist" in (world.condition(wk.SERVICE_APPLIED) or ("", ""))[1]
    assert world.host.all("ResourceBinding") == []


async def test_a_service_that_goes_and_comes_back_is_claimed_and_bound_again():
    world = await running("m1")
    world.host.remove("Service", "default", "web")
    world.host.remove("ResourceBinding", "default", "web-service")  # the garbage collector
    await world.settle()
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "False"
    world.host.seed(service(metadata={"uid": "another"}))
    await world.settle()
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "True"
    bound = world.host.read("ResourceBinding", "default", "web-service")
    assert [one["uid"] for one in bound["metadata"]["ownerReferences"]] == ["another"]


async def test_a_binding_that_somebody_removes_or_bends_is_put_right():
    world = await running("m1", "m2")
    before = world.host.read("ResourceBinding", "default", "web-service")
    world.host.edit("ResourceBinding", "default", "web-service", {"spec": {"resource": {"kind": "Secret"}}})
    await world.settle()
    assert world.host.read("ResourceBinding", "default", "web-service")["spec"] == before["spec"]
    world.host.remove("ResourceBinding", "default", "web-service")
    await world.settle()
    assert world.host.find("ResourceBinding", "default", "web-service") is not None


async def test_a_binding_under_foreign_control_is_waited_for_and_its_end_is_enough():
    world = World("m1")
    world.host.seed(service())
    world.host.seed(
        binding(
            owners=[{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "former", "controller": True}],
            finalizers=[],
        )
    )
    world.host.seed(fresh(providers=["m1"]))
    await world.settle()
    status, message = world.condition(wk.SERVICE_APPLIED) or ("", "")
    assert status == "False"
    assert "is controlled by Service web (uid former)" in message
    world.host.remove("ResourceBinding", "default", "web-service")
    await world.settle()
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "True"


async def test_a_claim_that_somebody_takes_off_is_put_back():
    world = await running("m1")
    world.host.edit("Service", "default", "web", {"metadata": {"labels": {wk.CLAIMED_BY: None}}})
    await world.settle()
    assert world.host.read("Service", "default", "web")["metadata"]["labels"][wk.CLAIMED_BY] == wk.CLAIMED_BY_MCS


# --- what fails -------------------------------------------------------------------------------------------------------


async def test_opening_09_every_provider_is_tried_and_each_failure_is_named():
    world = World("m1", "m2", "m3", "m4")
    world.host.edit("Cluster", "", "m4", {"status": {"conditions": [condition("Ready", "False")]}})
    world.host.seed(service(), fresh(consumers=["m3"]))
    world.host.create = refusing(world.host.create, "karmada-es-m1", "karmada-es-m2")  # type: ignore[method-assign]
    await world.settle(rounds=3, failures=True)
    status, message = world.condition(wk.SERVICE_APPLIED) or ("", "")
    assert status == "False"
    assert f"Work karmada-es-m1/{WORK}" in message
    assert f"Work karmada-es-m2/{WORK}" in message
    assert WORK in world.works_in("m3")
    assert world.host.find("ResourceBinding", "default", "web-service") is not None
    del world.host.create
    await world.settle()
    assert world.condition(wk.SERVICE_APPLIED) == (
        "True",
        "Service is propagated to target clusters. Skipped: m4: the cluster is not ready, see its condition Ready.",
    )
    assert {WORK} <= world.works_in("m1").keys() & world.works_in("m2").keys()


def refusing(create: Any, *namespaces: str) -> Any:
    """`create`, but not in these namespaces."""

    async def guarded(resource: Any, body: Any, namespace: str = "") -> Any:
        if namespace in namespaces:
            raise Invalid(422, "Invalid", "too long")
        return await create(resource, body, namespace)

    return guarded


async def reconcile_status(world: World) -> None:
    await world.controllers[wk.STATUS_CONTROLLER].run_one(WEB)


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("patch", wk.MCS_KIND), ("create", "Work"), ("patch", "Service"), ("create", "ResourceBinding")],
    ids=["adopting", "a provider's Work", "the claim", "the binding"],
)
async def test_whatever_the_server_refuses_is_said_and_mends_itself(verb: str, kind: str):
    world = World("m1")
    world.host.seed(service(), fresh(providers=["m1"]))
    world.host.fail(Forbidden(403, "Forbidden", "you may not"), verb, kind, times=1)
    request = world.controllers[wk.MCS_CONTROLLER]
    await request.run_one(WEB)
    await reconcile_status(world)
    status, message = world.condition(wk.SERVICE_APPLIED) or ("", "")
    assert status == "False"
    assert "you may not" in message
    assert kind in message
    assert world.take_events() == [(wk.MCS_KIND, "SyncServiceFailed")]
    await world.settle()
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "True"


async def test_the_same_failure_again_is_one_event_and_one_write():
    world = World("m1")
    world.host.seed(service(), fresh(providers=["m1"]))
    world.host.fail(ServerError(500, "InternalError", "etcd is tired"), "create", "ResourceBinding", times=1000)
    await world.settle(rounds=5, failures=True)
    assert [str(call) for call in world.host.writes].count("patch multiclusterservices/default/web/status") == 1
    assert world.take_events() == [(wk.MCS_KIND, "SyncServiceFailed")]


async def test_a_conflict_is_neither_failure_nor_success():
    world = await running("m1", providers=["m1"])
    world.host.fail(Invalid(422, "Invalid", "broken"), "patch", "ResourceBinding")
    world.host.edit("ResourceBinding", "default", "web-service", {"spec": {"conflictResolution": "Abort"}})
    controller = world.controllers[wk.MCS_CONTROLLER]
    await controller.run_one(WEB)
    await reconcile_status(world)
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "False"
    world.host.fail(Conflict(409, "Conflict", "changed"), "patch", "ResourceBinding")
    await controller.run_one(WEB)
    await reconcile_status(world)
    status, message = world.condition(wk.SERVICE_APPLIED) or ("", "")
    assert (status, "broken" in message) == ("False", True), "not yet known to be better"
    await world.settle()
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "True"


async def test_garbage_on_its_way_out_of_a_providers_place_is_replaced_when_it_is_gone():
    world = World("m1")
    world.host.seed(service(), work("m1", WORK, 7, finalizers=["theirs/f"], deleting=True))
    world.host.seed(fresh(providers=["m1"]))
    for _ in range(3):
        await world.controllers[wk.MCS_CONTROLLER].run_one(WEB)
    assert world.controllers[wk.MCS_CONTROLLER].later == {WEB: 1.0}
    world.host.edit("Work", "karmada-es-m1", WORK, {"metadata": {"finalizers": []}})
    await world.settle()
    assert world.carried("m1", wk.MCS_KIND) != []


# --- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (["CrossCluster", "LoadBalancer"], "should not contain more than one type"),
        (["Foo"], 'spec.types[0]: Invalid value: "Foo": ExposureType Error'),
    ],
    ids=["two types", "an unknown type"],
)
async def test_types_that_admission_should_have_refused_are_said_and_mended(types: list[str], said: str):
    world = World("m1")
    world.host.seed(service(), fresh(types=types))
    await world.settle()
    status, message = world.condition(wk.SERVICE_APPLIED) or ("", "")
    assert (status, said in message) == ("False", True)
    assert world.works == []
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"types": ["CrossCluster"]}})
    await world.settle()
    assert (world.condition(wk.SERVICE_APPLIED) or ("",))[0] == "True"


async def test_one_bad_field_is_named_and_all_else_goes_on():
    world = World("m1", "m2")
    world.host.seed(service())
    world.members["m1"].seed(slice_())
    world.host.seed(fresh(providers=["m1", "Not_A_Name"], consumers=["m2"]))
    await world.settle()
    status, message = world.condition(wk.SERVICE_APPLIED) or ("", "")
    assert status == "False"
    assert 'spec.providerClusters[1].name: Invalid value: "Not_A_Name"' in message
    assert world.slices_in("m2").keys() == {"m1-web-1"}


async def test_a_load_balancer_is_left_to_others_entirely():
    world = World("m1")
    world.host.seed(service(), fresh(types=["LoadBalancer"]))
    await world.settle()
    assert world.writes == []
    assert world.condition(wk.SERVICE_APPLIED) is None


async def test_a_service_that_stops_crossing_clusters_is_undone():
    world = await running("m1", "m2")
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"types": ["LoadBalancer"]}})
    await world.settle()
    assert world.works == []
    assert world.host.read(wk.MCS_KIND, "default", "web")["metadata"]["finalizers"] == []
    assert wk.CLAIMED_BY not in world.host.read("Service", "default", "web")["metadata"]["labels"]


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_case_01_a_deleted_service_leaves_nothing_but_two_annotations():
    world = await running("m1", "m2")
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None
    assert world.works == []
    released = world.host.read("Service", "default", "web")
    assert released["metadata"]["labels"] == {}
    assert released["metadata"]["annotations"] == {wk.MCS_NAMESPACE: "default", wk.MCS_NAME: "web"}
    bound = world.host.read("ResourceBinding", "default", "web-service")
    assert bound["metadata"]["labels"].keys() == {wk.BINDING_PERMANENT_ID}
    assert bound["spec"]["placement"]["clusterAffinity"]["clusterNames"] == ["m1", "m2"], "it goes on running there"


async def test_case_02_a_binding_of_another_name_is_not_touched():
    world = await running("m1")
    marked = {wk.BINDING_MANAGED_BY: wk.BINDING_MANAGED_BY_MCS, wk.MCS_PERMANENT_ID: "x"}
    other = world.host.seed(binding("other-service", labels=marked))
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    assert world.host.find("ResourceBinding", "default", "other-service") == other


async def test_case_03_a_provider_that_is_taken_off_the_list_gives_everything_back():
    world = await running("m1", "m2", "m3", providers=["m1", "m2"])
    world.members["m2"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.settle()
    assert world.slices_in("m3").keys() == {"m1-web-1", "m2-web-2"}
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"providerClusters": [{"name": "m2"}]}})
    await world.settle()
    assert world.slices_in("m3").keys() == {"m2-web-2"}
    assert world.works_in("m1").keys() == {work_name(wk.SLICE_KIND, "default", "web-2")}


async def test_a_service_whose_finalizer_was_taken_off_by_force_is_undone_all_the_same():
    world = await running("m1", "m2")
    world.host.edit(wk.MCS_KIND, "default", "web", {"metadata": {"finalizers": []}})
    world.controllers[wk.MCS_CONTROLLER].pending.clear()
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None
    assert world.works == []


async def test_an_end_that_fails_halfway_is_taken_up_again():
    world = await running("m1", "m2")
    world.host.fail(ServerError(500, "InternalError", "x"), "delete", "Work", WORK)
    world.host.fail(ServerError(500, "InternalError", "x"), "patch", "Service")
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.controllers[wk.MCS_CONTROLLER].run_one(WEB)
    assert world.host.find(wk.MCS_KIND, "default", "web") is not None, "the finalizer goes last"
    bound = world.host.find("ResourceBinding", "default", "web-service") or {}
    assert wk.BINDING_MANAGED_BY not in bound["metadata"]["labels"], "everything is tried"
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None
    assert world.works == []


async def test_a_service_waits_until_what_was_collected_for_it_is_withdrawn_and_says_what_keeps_it():
    world = await running("m1", "m2")
    world.take_events()
    collected = work_name(wk.SLICE_KIND, "default", "web-1")
    world.host.fail(Forbidden(403, "Forbidden", "you may not"), "patch", "Work", collected, namespace="karmada-es-m1")
    world.host.remove(wk.MCS_KIND, "default", "web")
    while WEB in world.controllers[wk.MCS_CONTROLLER].pending:
        await world.controllers[wk.MCS_CONTROLLER].run_one(WEB)
    assert world.host.find(wk.MCS_KIND, "default", "web") is not None
    await world.slices.run_one(ClusterRequest("m1", "default", "web-1"))
    await reconcile_status(world)
    assert world.take_events() == [(wk.MCS_KIND, "SyncServiceFailed")]
    assert world.host.find(wk.MCS_KIND, "default", "web") is not None
    await world.slices.run_one(ClusterRequest("m1", "default", "web-1"))
    assert WEB in world.controllers[wk.MCS_CONTROLLER].pending, "the end of the last one leads back to the service"
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None


async def test_what_went_by_itself_in_the_meantime_needs_no_undoing():
    world = await running("m1", "m2")
    for kind, name in (("Service", "web"), ("ResourceBinding", "web-service")):
        world.host.fail(NotFound(404, "NotFound", name), "patch", kind, name)
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.controllers[wk.MCS_CONTROLLER].run_one(WEB)
    assert world.controllers[wk.MCS_CONTROLLER].failed == []
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None


async def test_an_end_that_fails_is_told_by_one_event():
    world = await running("m1", "m2")
    world.take_events()
    world.host.fail(Forbidden(403, "Forbidden", "you may not"), "patch", "Service", times=3)
    world.host.remove(wk.MCS_KIND, "default", "web")
    for _ in range(3):
        await world.controllers[wk.MCS_CONTROLLER].run_one(WEB)
        await reconcile_status(world)
    assert world.take_events() == [(wk.MCS_KIND, "SyncServiceFailed")]
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None


@pytest.mark.parametrize("noticed", [True, False], ids=["end noticed", "end and new beginning in one"])
async def test_a_service_made_anew_under_the_name_starts_without_the_former_ones_verdict(noticed: bool):
    world = await running("m1")
    world.host.remove(wk.MCS_KIND, "default", "web")
    for origin in list(world.slices.pending):
        await world.slices.run_one(origin)
    await world.controllers[wk.MCS_CONTROLLER].run_one(WEB)
    if noticed:
        await world.settle()
    world.host.seed(mcs(metadata={"uid": "second"}))
    await reconcile_status(world)
    assert world.condition(wk.SERVICE_APPLIED) is None


# --- ids --------------------------------------------------------------------------------------------------------------


async def test_opening_12_works_are_found_and_relabelled_when_a_client_drops_the_id():
    world = await running("m1", "m2", "m3", providers=["m1", "m2"])
    before = world.host.read(wk.MCS_KIND, "default", "web")["metadata"]["labels"][wk.MCS_PERMANENT_ID]
    world.host.edit(
        wk.MCS_KIND,
        "default",
        "web",
        {"metadata": {"labels": {wk.MCS_PERMANENT_ID: None}}, "spec": {"providerClusters": [{"name": "m1"}]}},
    )
    await world.settle()
    after = world.host.read(wk.MCS_KIND, "default", "web")["metadata"]["labels"][wk.MCS_PERMANENT_ID]
    assert after != before
    assert world.carried("m2", wk.MCS_KIND) == [], "the Work under the old id was found"
    for content in (
        world.works_in("m1")[WORK],
        world.host.find("Service", "default", "web") or {},
        world.host.find("ResourceBinding", "default", "web-service") or {},
    ):
        assert content["metadata"]["labels"][wk.MCS_PERMANENT_ID] == after


async def test_opening_11_two_services_that_share_an_id_leave_each_other_alone():
    # `kubectl get -o yaml`, another name, `kubectl apply`: the id comes along.
    world = World("m1", "m2")
    for name, provider in (("web", "m1"), ("api", "m2")):
        world.host.seed(service(name), mcs(name, providers=[provider], permanent_id="shared", adopted=False))
    await world.settle()
    assert [one["metadata"]["name"] for one in world.carried("m1", wk.MCS_KIND)] == ["web"]
    assert [one["metadata"]["name"] for one in world.carried("m2", wk.MCS_KIND)] == ["api"]
    world.host.remove(wk.MCS_KIND, "default", "api")
    await world.settle()
    assert [one["metadata"]["name"] for one in world.carried("m1", wk.MCS_KIND)] == ["web"]
    assert world.carried("m2", wk.MCS_KIND) == []


async def test_opening_11_services_without_any_id_get_one_each_and_never_meet():
    world = World("m1", "m2")
    for name, provider in (("web", "m1"), ("api", "m2")):
        world.host.seed(service(name))
        world.host.seed(mcs(name, providers=[provider], adopted=False, metadata={"labels": {wk.MCS_PERMANENT_ID: ""}}))
    await world.settle()
    ids = {one["metadata"]["labels"][wk.MCS_PERMANENT_ID] for one in world.host.all(wk.MCS_KIND)}
    assert len(ids) == 2
    assert "" not in ids


async def test_a_work_whose_labels_were_taken_off_still_goes_with_its_service():
    world = await running("m1", providers=["m1"])
    labels = {wk.MCS_NAME: None, wk.MCS_NAMESPACE: None, wk.MCS_PERMANENT_ID: None}
    world.controllers.clear()
    world.host.edit("Work", "karmada-es-m1", WORK, {"metadata": {"labels": labels}})
    world.host.remove(wk.MCS_KIND, "default", "web")
    world.start()
    await world.settle()
    assert world.works == []


# --- clusters come and go ---------------------------------------------------------------------------------------------


async def test_a_cluster_that_is_not_ready_is_named_keeps_what_it_has_and_is_served_when_it_is_back():
    world = World("m1", "m2")
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready", "False")]}})
    world.host.seed(service(), fresh())
    await world.settle()
    assert "m2: the cluster is not ready" in (world.condition(wk.SERVICE_APPLIED) or ("", ""))[1]
    assert (wk.MCS_KIND, "SyncServiceFailed") in world.take_events()
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready", "True")]}})
    await world.settle()
    assert world.condition(wk.SERVICE_APPLIED) == ("True", "Service is propagated to target clusters.")
    assert WORK in world.works_in("m2")
    world.host.edit("Cluster", "", "m2", {"status": {"conditions": [condition("Ready", "Unknown")]}})
    await world.settle()
    assert WORK in world.works_in("m2")


async def test_a_cluster_that_joins_takes_part_in_services_for_all():
    world = await running("m1", "m2")
    world.members["m9"] = world.members["m2"]
    world.host.seed(cluster("m9"))
    await world.settle()
    assert WORK in world.works_in("m9")
    assert world.slices_in("m9") == {"m1-web-1": ["10.0.0.1"]}


# --- who is asked to look ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "found"),
    [
        pytest.param(["CrossCluster"], [WEB], id="case-12 CrossCluster"),
        pytest.param(["LoadBalancer"], [], id="case-12 another type"),
        pytest.param(None, [], id="case-12 absent"),
    ],
)
def test_a_services_event_asks_for_the_service_of_its_name(types: list[str] | None, found: list[Request]):
    world = World()
    if types is not None:
        world.host.seed(mcs(types=types))
    assert list(reconciler(world).requests_for_service(Event(new=a_service()))) == found
    assert list(reconciler(world).requests_for_service(Event(old=a_service()))) == found
    assert list(reconciler(world).requests_for_binding(Event(old=a_binding()))) == found


@pytest.mark.parametrize(
    ("services", "event", "found"),
    [
        pytest.param(
            [mcs("a", providers=["c1"]), mcs("b", providers=["c2"])],
            "c1",
            ["a", "b"],
            id="case-13 empty consumer lists mean all",
        ),
        pytest.param([], "c1", [], id="case-14 no services"),
        pytest.param([mcs("a", providers=["c1"], consumers=["c2"])], "c1", ["a"], id="case-15 a provider"),
        pytest.param([mcs("a", providers=["c1"], consumers=["c2"])], "c2", ["a"], id="case-15 a consumer"),
        pytest.param([mcs("a", providers=["c1"], consumers=["c2"])], "c3", [], id="case-15 neither"),
        pytest.param([mcs("a")], "c1", ["a"], id="case-16 both lists empty"),
        pytest.param([mcs("a", types=["LoadBalancer"])], "c1", [], id="another type"),
    ],
)
def test_a_clusters_event_asks_for_the_services_that_mean_it(
    services: list[dict[str, Any]], event: str, found: list[str]
):
    world = World()
    for one in services:
        world.host.seed(one)
    asked = reconciler(world).requests_for_cluster(Event(new=a_cluster(event)))
    assert list(asked) == [Request("default", name) for name in found]


def test_a_works_event_asks_for_the_service_that_it_carries_or_carried():
    requests_for_work = World("m1").controllers[wk.MCS_CONTROLLER].reconciler.requests_for_work  # type: ignore[union-attr]
    carries = a_work(mcs_work("m1"))
    garbage = a_work(work("m1", WORK, 7))
    assert list(requests_for_work(Event(old=carries))) == [WEB]
    assert list(requests_for_work(Event(old=carries, new=garbage))) == [WEB]
    assert list(requests_for_work(Event(new=garbage))) == []


def unserved(world: World) -> list[str]:
    found = [one[5] for one in world.recorder.events if one[4] == wk.EVENT_TYPE_NOT_SERVED]
    world.recorder.events.clear()
    return found


async def test_a_type_that_is_not_served_is_told_once_for_each_change():
    world = World("m1", "m2")
    world.host.seed(mcs(types=["LoadBalancer"], adopted=False))
    await world.settle()
    text = "Nothing is done for spec.types: LoadBalancer; CrossCluster is the type that is served here"
    assert unserved(world) == [text]
    world.host.edit(wk.MCS_KIND, "default", "web", {"metadata": {"labels": {"a": "b"}}})
    await world.settle()
    assert unserved(world) == []
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"types": []}})
    await world.settle()
    assert unserved(world) == [text.replace("LoadBalancer", "none")]


async def test_a_restart_tells_no_type_again():
    world = World("m1", "m2")
    world.host.seed(mcs(types=["LoadBalancer"], adopted=False))
    with at_priority(LOW):
        await world.settle()
    assert unserved(world) == []


# --- Services that every cluster has of its own -----------------------------------------------------------------------

OWN = "every cluster has a Service default/kubernetes of its own, which is neither replaced nor shared"


async def test_a_service_that_every_cluster_has_is_refused_and_left_alone():
    world = World("m1", "m2")
    world.host.seed(service("kubernetes"), fresh(name="kubernetes", providers=["m1"], consumers=["m2"]))
    world.members["m1"].seed(slice_("kubernetes", service="kubernetes"))
    await world.settle()
    assert world.writes == ["patch multiclusterservices/default/kubernetes/status"]
    told = world.condition(wk.SERVICE_APPLIED, "kubernetes") or ("", "")
    assert told[0] == "False"
    assert OWN in told[1]
    world.forget_calls()
    world.start()
    await world.settle()
    assert world.writes == []


async def test_one_that_was_propagated_before_is_released():
    world = World("m1", "m2")
    world.host.seed(
        service(
            "kubernetes",
            labels={wk.CLAIMED_BY: wk.CLAIMED_BY_MCS, wk.MCS_PERMANENT_ID: "mcs-id"},
            annotations={wk.MCS_NAMESPACE: "default", wk.MCS_NAME: "kubernetes"},
        )
    )
    there = mcs("kubernetes", providers=["m1"], consumers=["m2"])
    world.host.seed(there, mcs_work("m1", there))
    own = slice_("kubernetes", service="kubernetes")
    world.members["m1"].seed(own)
    world.host.seed(collected_work("m1", own), dispatched_work("m1", "m2", own))
    await world.settle()
    assert world.works_in("m1") == {}
    assert world.works_in("m2") == {}
    assert world.host.read("MultiClusterService", "default", "kubernetes")["metadata"].get("finalizers", []) == []
    assert wk.CLAIMED_BY not in world.host.read("Service", "default", "kubernetes")["metadata"]["labels"]


async def test_the_binding_is_let_go_also_when_the_service_is_gone():
    world = await running("m1", "m2", providers=["m1"], consumers=["m2"])
    world.host.remove("Service", "default", "web")
    world.host.remove(wk.MCS_KIND, "default", "web")
    await world.settle()
    assert world.host.find(wk.MCS_KIND, "default", "web") is None
    bound = world.host.read("ResourceBinding", "default", "web-service")
    assert wk.BINDING_MANAGED_BY not in bound["metadata"]["labels"]
    assert wk.MCS_NAME not in bound["metadata"]["annotations"]


async def test_a_finalizer_or_an_id_that_is_taken_off_is_put_back_at_once():
    world = await running("m1", "m2", providers=["m1"], consumers=["m2"])
    world.host.edit(wk.MCS_KIND, "default", "web", {"metadata": {"finalizers": [], "labels": None}})
    await world.settle()
    there = world.host.read(wk.MCS_KIND, "default", "web")
    assert there["metadata"]["finalizers"] == [wk.MCS_FINALIZER]
    assert there["metadata"]["labels"][wk.MCS_PERMANENT_ID]
