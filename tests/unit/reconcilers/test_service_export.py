"""The ServiceExport path over API servers in memory: what members export, as the control plane has it (contract 3.4).

The peer's queue items hold a kind and may be of a foreign type (case 53); ours are typed, so that cannot come up.
"""

import asyncio
from typing import Any

import pytest

from informers.errors import Forbidden, NotFound, ServerError
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from mcs_controller.runtime.reconcile import ClusterRequest, Request, TerminalError
from tests.support.builders import (
    cluster,
    collected_work,
    export_work,
    exported,
    exported_work,
    filed,
    mcs,
    service,
    service_export,
    service_import,
    slice_,
)
from tests.support.clock import settle
from tests.support.mcs_world import CONTROLLERS, EXPORT_CONTROLLERS, World

NAME = work_name(wk.SLICE_KIND, "default", "web-1")
EXPORT_WORK = work_name(wk.SERVICE_EXPORT_KIND, "default", "web")
ALL = CONTROLLERS | EXPORT_CONTROLLERS
SLICE = ClusterRequest("m1", "default", "web-1")


def exporting(*names: str, enabled: frozenset[str] = EXPORT_CONTROLLERS) -> World:
    """A world in which m1 has service web with one slice, and is to export it."""
    world = World(*names, enabled=enabled)
    world.members["m1"].seed(slice_(), service_export())
    world.host.seed(export_work("m1"))
    return world


async def running(*names: str, enabled: frozenset[str] = EXPORT_CONTROLLERS) -> World:
    """The same, at rest."""
    world = exporting(*names, enabled=enabled)
    await world.settle()
    world.forget_calls()
    return world


def collected(world: World, name: str = "m1") -> dict[str, set[str]]:
    """Slice to marks, as collected from a cluster."""
    return {
        one["spec"]["workload"]["manifests"][0]["metadata"]["name"]: set(marks.split("."))
        for one in world.works_in(name).values()
        if (marks := one["metadata"].get("labels", {}).get(wk.COLLECTED_BY))
    }


def imported(world: World) -> dict[str, list[str]]:
    """Addresses of the control plane's slices."""
    return {
        one["metadata"]["name"]: [each["addresses"][0] for each in one["endpoints"] or ()]
        for one in world.host.all("EndpointSlice")
    }


EXPORT = {"ServiceExport"}
MCS = {"MultiClusterService"}
IMPORTED = {"imported-m1-web-1": ["10.0.0.1"]}


# --- following the members --------------------------------------------------------------------------------------------


async def test_cases_47_and_49_the_slices_of_an_exported_service_are_collected_and_no_others():
    world = exporting("m1", "m2")
    world.members["m1"].seed(slice_("web-2"), slice_("api-1", service="api"), slice_("loose", service=None))
    world.members["m1"].seed(slice_("web-3", "elsewhere"))
    world.members["m1"].seed(slice_("copy", labels={wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}))
    world.members["m2"].seed(slice_("web-4"), service_export())
    await world.settle()
    assert collected(world) == {"web-1": EXPORT, "web-2": EXPORT}
    assert collected(world, "m2") == {}, "nothing was brought there that would be followed"
    assert imported(world).keys() == {"imported-m1-web-1", "imported-m1-web-2"}


async def test_every_export_of_a_member_that_is_followed_counts():
    world = await running("m1")
    world.members["m1"].seed(slice_("api-1", service="api"), service_export("api"))
    await world.settle()
    assert collected(world) == {"web-1": EXPORT, "api-1": EXPORT}


async def test_a_slice_event_reaches_the_control_plane():
    world = await running("m1")
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"endpoints": []})
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.settle()
    assert imported(world) == {"imported-m1-web-1": [], "imported-m1-web-2": ["10.0.0.2"]}
    assert world.writes == [
        f"patch works/karmada-es-m1/{NAME}",
        f"create works/karmada-es-m1/{work_name(wk.SLICE_KIND, 'default', 'web-2')}",
        "patch endpointslices/default/imported-m1-web-1",
        "create endpointslices/default/imported-m1-web-2",
    ]


async def test_cases_35_and_46_a_slice_that_goes_takes_its_copies_with_it():
    world = await running("m1")
    world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    await world.settle()
    assert collected(world) == {}
    assert imported(world) == {}


async def test_cases_39_and_40_an_export_that_goes_takes_its_own_and_nothing_else():
    world = exporting("m1")
    world.members["m1"].seed(slice_("api-1", service="api"), service_export("api"), slice_("web-2"))
    await world.settle()
    world.members["m1"].remove("ServiceExport", "default", "web")
    await world.settle()
    assert collected(world) == {"api-1": EXPORT}
    assert imported(world).keys() == {"imported-m1-api-1"}


async def test_an_export_that_comes_late_finds_what_is_there():
    world = exporting("m1")
    world.members["m1"].remove("ServiceExport", "default", "web")
    await world.settle()
    assert collected(world) == {}
    world.members["m1"].seed(service_export())
    await world.settle()
    assert collected(world) == {"web-1": EXPORT}


async def test_opening_04_a_slice_that_is_relabelled_moves():
    world = exporting("m1")
    world.members["m1"].seed(service_export("api"))
    await world.settle()
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"metadata": {"labels": {wk.SERVICE_NAME: "api"}}})
    await world.settle()
    [one] = world.host.all("EndpointSlice")
    assert one["metadata"]["labels"][wk.SERVICE_NAME] == "derived-api"
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"metadata": {"labels": {wk.SERVICE_NAME: "no"}}})
    await world.settle()
    assert collected(world) == {}


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "applied"),
    [({}, ""), ({}, "False"), ({"suspended": True}, "True")],
    ids=["case-55 not applied yet", "case-55 refused", "case-58 suspended"],
)
async def test_an_export_that_has_not_arrived_begins_no_watch(fields: Any, applied: str):
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    world.members["m1"].seed(slice_(), service_export())
    world.host.seed(export_work("m1", applied=applied, **fields))
    await world.settle()
    assert world.connections.factories["m1"].informers == {}
    changed = {"spec": {"suspendDispatching": False}} if fields else {"status": export_work("m1")["status"]}
    world.host.edit("Work", "karmada-es-m1", EXPORT_WORK, changed)
    await world.settle()
    assert imported(world) == IMPORTED, "its status is watched"


async def test_case_55_a_work_that_is_gone_is_nothing_to_do():
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    await world.controllers[wk.EXPORT_CONTROLLER].run_one(Request("karmada-es-m1", "gone"))
    assert not world.controllers[wk.EXPORT_CONTROLLER].failed


async def test_case_56_a_work_in_no_clusters_namespace_is_an_error():
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    world.host.seed(export_work("", namespace="default"))
    queue = world.controllers[wk.EXPORT_CONTROLLER]
    await queue.run_one(Request("default", EXPORT_WORK))
    [(_, error)] = queue.failed
    assert isinstance(error, TerminalError)


async def test_cases_57_and_58_a_cluster_that_is_not_there_is_waited_for():
    world = exporting("m1")
    world.host.remove("Cluster", "", "m1")
    world.connections.leave("m1")
    await world.settle()
    assert imported(world) == {}
    world.host.seed(cluster("m1"))
    world.connections.join("m1")
    await world.settle()
    assert imported(world) == IMPORTED


async def test_case_57_a_cluster_that_is_not_ready_keeps_what_it_has_and_nothing_is_withdrawn():
    world = await running("m1")
    world.host.edit("Cluster", "", "m1", {"status": cluster("m1", ready="False")["status"]})
    await world.settle()
    assert world.writes == []
    assert imported(world) == IMPORTED


# --- what is not known ------------------------------------------------------------------------------------------------


def member_informer(world: World, plural: str) -> Any:
    return world.connections.factories["m1"].informers[plural, ""]


async def test_case_44_a_member_whose_exports_are_not_watched_exports_nothing():
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    world.members["m1"].seed(slice_(), service_export())
    await world.slices.run_one(SLICE)
    await world.settle()
    assert world.writes == []


@pytest.mark.parametrize("plural", ["serviceexports", "endpointslices"], ids=["case-45", "case-48"])
async def test_nothing_is_made_or_withdrawn_before_the_lists_are_complete(plural: str):
    world = await running("m1")
    world.connections.leave("m1")
    world.connections.join("m1")
    await world.controllers[wk.EXPORT_CONTROLLER].run_one(Request("karmada-es-m1", EXPORT_WORK))
    member_informer(world, plural).synced.clear()
    if plural == "serviceexports":
        world.members["m1"].remove("ServiceExport", "default", "web")
    else:
        world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    world.members["m1"].seed(service_export("api"), slice_("api-1", service="api"))
    await world.settle()
    assert world.writes == []
    member_informer(world, plural).synced.set()
    await announced(world, of_slices=plural == "endpointslices")
    await world.settle()
    assert collected(world) == {"api-1": EXPORT}


async def announced(world: World, *, of_slices: bool) -> None:
    """Let the watches of one kind tell whose first list is there."""
    [watches] = [one for one in world.runnables if (one is world.watches) is of_slices]
    task = asyncio.create_task(watches.run())
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


SERVED = {wk.SLICE_API_VERSION: [wk.SLICE_KIND], wk.MULTICLUSTER_API_VERSION: ["ServiceExport"]}


@pytest.mark.parametrize(
    ("refused", "served", "left"),
    [
        (NotFound(404, "NotFound", "no such kind"), False, {}),
        (NotFound(404, "NotFound", "no such page"), True, IMPORTED),
        (ServerError(500, "InternalError", "down"), False, IMPORTED),
        (None, False, IMPORTED),
    ],
    ids=["both say so", "only the member says so", "only the Cluster says so", "the Cluster says so, and no answer"],
)
async def test_a_member_that_has_lost_the_kind_exports_nothing(refused: Any, served: bool, left: Any):
    world = await running("m1")
    world.host.edit("Cluster", "", "m1", {"status": cluster("m1", apis=SERVED)["status"]})
    world.start()
    await world.controllers[wk.EXPORT_CONTROLLER].run_one(Request("karmada-es-m1", EXPORT_WORK))
    informer = member_informer(world, "serviceexports")
    informer.synced.clear()
    informer.last_error = refused
    await world.settle()
    assert world.writes == [], "as long as it may be otherwise"
    if not served:
        world.host.edit("Cluster", "", "m1", {"status": cluster("m1")["status"]})
    await world.settle()
    assert imported(world) == left


# --- what happened while nobody looked --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["slice", "export", "export and its Work"])
async def test_openings_03_and_20_and_case_54_what_went_while_the_controller_was_down_is_withdrawn(what: str):
    world = await running("m1")
    world.stop()
    if what == "slice":
        world.members["m1"].remove(wk.SLICE_KIND, "default", "web-1")
    else:
        world.members["m1"].remove("ServiceExport", "default", "web")
    if what == "export and its Work":
        world.host.edit("Work", "karmada-es-m1", EXPORT_WORK, {"metadata": {"finalizers": []}})
        world.host.remove("Work", "karmada-es-m1", EXPORT_WORK)
    world.start()
    await world.settle()
    assert collected(world) == {}
    assert imported(world) == {}


async def test_openings_06_and_20_a_restart_follows_at_once_and_writes_nothing():
    world = await running("m1")
    world.start()
    await world.settle()
    assert world.writes == []
    world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", {"endpoints": []})
    await world.settle()
    assert imported(world) == {"imported-m1-web-1": []}


@pytest.mark.parametrize("stale", ["no slice", "another service"])
async def test_cases_49_and_50_a_stale_work_is_withdrawn(stale: str):
    world = exporting("m1")
    if stale == "another service":
        world.members["m1"].seed(slice_("web-9", service="api"))
    world.host.seed(exported_work("m1", slice_("web-9")))
    await world.settle()
    assert collected(world) == {"web-1": EXPORT}


async def test_case_51_a_stale_work_of_another_controller_is_kept_as_it_is():
    world = exporting("m1")
    world.host.seed(collected_work("m1", slice_("web-9")))
    await world.settle()
    assert collected(world) == {"web-1": EXPORT, "web-9": MCS}


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_cases_38_and_42_what_cannot_be_written_is_an_error_and_is_tried_again():
    world = exporting("m1")
    world.host.fail(ServerError(500, "InternalError", "down"), "create", "Work", NAME)
    await world.settle()
    assert imported(world) == IMPORTED
    world.host.fail(Forbidden(403, "Forbidden", "no"), "delete", "Work", NAME)
    world.members["m1"].remove("ServiceExport", "default", "web")
    await world.settle()
    assert collected(world) == {}


# --- with a MultiClusterService ---------------------------------------------------------------------------------------


async def both_running() -> World:
    world = exporting("m1", "m2", enabled=ALL)
    world.host.seed(service(), mcs(providers=["m1"], consumers=["m2"]), service_import())
    await world.settle()
    world.forget_calls()
    return world


async def test_opening_19_one_work_serves_both_and_each_endpoint_arrives_once():
    world = await both_running()
    assert collected(world) == {"web-1": EXPORT | MCS}
    assert imported(world) == IMPORTED
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    world.members["m1"].edit(
        wk.SLICE_KIND, "default", "web-1", {"endpoints": slice_(addresses=["10.0.0.9"])["endpoints"]}
    )
    await world.settle()
    assert sorted(world.writes) == sorted(
        [
            f"patch works/karmada-es-m1/{NAME}",
            f"patch works/karmada-es-m2/{NAME}",
            "patch endpointslices/default/imported-m1-web-1",
        ]
    )


@pytest.mark.parametrize(
    ("stays", "finalizers", "labels_gone"),
    [(MCS, [wk.DISPATCH_FINALIZER], exported()), (EXPORT, [wk.IMPORT_FINALIZER], filed()), (None, [], {})],
    ids=["the MultiClusterService stays", "the export stays", "nothing is left"],
)
async def test_opening_19_one_goes_or_both(stays: Any, finalizers: list[str], labels_gone: dict[str, str]):
    world = await both_running()
    if stays != MCS:
        world.host.remove(wk.MCS_KIND, "default", "web")
    if stays != EXPORT:
        world.members["m1"].remove("ServiceExport", "default", "web")
    await world.settle()
    assert collected(world) == ({"web-1": stays} if stays else {})
    assert imported(world) == (IMPORTED if stays == EXPORT else {})
    assert world.slices_in("m2") == ({"m1-web-1": ["10.0.0.1"]} if stays == MCS else {})
    for one in world.works_in("m1").values():
        if wk.COLLECTED_BY in one["metadata"].get("labels", {}):
            assert one["metadata"]["finalizers"] == finalizers
            assert labels_gone.keys().isdisjoint(one["metadata"]["labels"])


async def test_opening_06_a_restart_of_both_writes_nothing():
    world = await both_running()
    world.start()
    await world.settle()
    assert world.writes == []
    assert world.recorder.events == []


@pytest.mark.parametrize("alone", ["serviceExport", "endpointsliceCollect"])
async def test_a_controller_that_works_alone_leaves_the_others_marks_alone(alone: str):
    world = await both_running()
    world.stop()
    world.enabled = frozenset({alone})
    world.host.edit(wk.MCS_KIND, "default", "web", {"metadata": {"finalizers": []}})
    world.host.remove(wk.MCS_KIND, "default", "web")
    world.members["m1"].remove("ServiceExport", "default", "web")
    world.start()
    await world.settle()
    assert collected(world) == {"web-1": MCS if alone == "serviceExport" else EXPORT}


async def test_a_kind_that_a_member_has_lost_while_the_controller_was_down_is_given_up_when_its_list_is_overdue():
    world = await running("m1")
    world.start()
    await world.controllers[wk.EXPORT_CONTROLLER].run_one(Request("karmada-es-m1", EXPORT_WORK))
    informer = member_informer(world, "serviceexports")
    informer.synced.clear()
    await world.settle()
    informer.last_error = NotFound(404, "NotFound", "no such kind")
    [exports] = [one for one in world.runnables if one is not world.watches]
    task = asyncio.create_task(exports.run())
    await world.clock.advance(121)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.settle()
    assert imported(world) == {}


# --- Services that every cluster has of its own -----------------------------------------------------------------------


async def test_a_service_that_every_cluster_has_is_not_exported_and_the_work_says_why():
    world = World("m1", enabled=EXPORT_CONTROLLERS)
    world.members["m1"].seed(slice_("kubernetes", service="kubernetes"), service_export("kubernetes"))
    world.host.seed(export_work("m1", service_export("kubernetes")))
    await world.settle()
    assert world.writes == []
    told = [(kind, reason, message) for _, kind, _, _, reason, message in world.recorder.events]
    assert told == [
        (
            "Work",
            "ReservedObject",
            "ServiceExport default/kubernetes has no effect: every cluster has a Service default/kubernetes of its "
            "own, which is neither replaced nor shared",
        )
    ]


async def test_a_member_exports_nothing_into_the_namespaces_of_the_control_plane_itself():
    world = await running("m1")
    for namespace in ("kube-system", "karmada-system", "karmada-es-m1"):
        world.members["m1"].seed(slice_("theirs", namespace), service_export("web", namespace))
        # As an agent of that member may write it.
        world.host.seed(exported_work("m1", slice_("own", namespace)))
    await world.settle()
    assert imported(world) == IMPORTED
    assert collected(world) == {"web-1": EXPORT}


@pytest.mark.parametrize("only", [True, False])
async def test_a_members_own_export_is_named_once_and_left_out_if_only_propagated_ones_count(
    only: bool, caplog: pytest.LogCaptureFixture
):
    world = World("m1", enabled=EXPORT_CONTROLLERS, flags={"propagated_exports_only": only})
    world.members["m1"].seed(slice_(), service_export())
    world.host.seed(export_work("m1"))
    world.members["m1"].seed(slice_("api-1", service="api"), service_export("api"))
    await world.settle()
    assert imported(world).keys() == {"imported-m1-web-1"} | (set() if only else {"imported-m1-api-1"})
    world.members["m1"].edit(wk.SLICE_KIND, "default", "api-1", {"endpoints": []})
    await world.settle()
    told = [vars(one)["service_export"] for one in caplog.records if "not propagated" in one.message]
    assert told == ["default/api"]
    world.host.seed(export_work("m1", service_export("api")))
    await world.settle()
    assert imported(world).keys() == {"imported-m1-web-1", "imported-m1-api-1"}
    world.host.edit("Work", "karmada-es-m1", EXPORT_WORK, {"metadata": {"finalizers": None}})
    world.host.remove("Work", "karmada-es-m1", EXPORT_WORK)
    await world.settle()
    assert imported(world).keys() == {"imported-m1-api-1"} | (set() if only else {"imported-m1-web-1"})


# --- Clusters that are removed by force -------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [CONTROLLERS, EXPORT_CONTROLLERS, ALL], ids=["service", "export", "both"])
async def test_what_was_collected_from_a_cluster_that_is_removed_by_force_leaves_everywhere(enabled: frozenset[str]):
    world = exporting("m1", "m2", enabled=enabled)
    world.host.seed(service(), mcs(providers=["m1"], consumers=["m2"]))
    await world.settle()
    assert collected(world)
    world.host.remove("Cluster", "", "m1")
    await world.settle()
    assert collected(world) == {}
    assert imported(world) == {}
    assert world.slices_in("m2") == {}
    # The namespace is left behind, and so is what it holds of others.
    assert set(world.works_in("m1")) == {EXPORT_WORK}
