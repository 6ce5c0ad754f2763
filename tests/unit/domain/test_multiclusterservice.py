"""What a MultiClusterService asks of the control plane (contract 3.1): the plans, as pure functions."""

from typing import Any

import pytest

from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import ForeignController
from mcs_controller.domain.collect import MCS, remove_managed_by
from mcs_controller.domain.multiclusterservice import (
    plan_adopt,
    plan_binding,
    plan_claim,
    plan_provider_works,
    plan_release,
    plan_release_binding,
    plan_withdraw,
    slices_to_withdraw,
)
from mcs_controller.domain.works import CreateWork, DeleteWork, PatchWork, SliceRef, WorkTerminating
from tests.support.builders import (
    DELETED_AT,
    Json,
    a_binding,
    a_cluster,
    a_service,
    a_work,
    an_mcs,
    as_written,
    binding,
    collected_work,
    decode,
    dispatched_work,
    filed,
    golden,
    golden_work,
    ids,
    mcs,
    mcs_work,
    service,
    slice_,
    work,
)
from tests.support.object_store import merge_patch

WORK = "web-6fd7dbb9c6"
"""Name of the Work that carries MultiClusterService default/web, as `work_name` has it."""


def provide(content: Json, *present: Json, clusters: dict[str, Any] | None = None) -> Any:
    """The plan for the providers' Works, with these Works on the server."""
    service = decode(content)
    if clusters is None:
        clusters = {name: a_cluster(name) for name in ("m1", "m2", "m3")}
    works: list[Work] = [a_work(one) for one in present]
    by_key = {(one.metadata.namespace, one.metadata.name): one for one in works}
    return plan_provider_works(service, clusters, works, lambda *key: by_key.get(key), ids())


def targets(writes: Any, kind: type[Any]) -> list[str]:
    return [f"{one.namespace}/{one.name}" for one in writes if isinstance(one, kind)]


# --- the service itself -----------------------------------------------------------------------------------------------


def test_a_new_service_gets_finalizer_and_id_in_one_patch_at_the_version_that_was_seen():
    content = mcs(adopted=False, permanent_id="", metadata={"finalizers": ["theirs"], "labels": {"l": "1"}})
    patch = plan_adopt(decode(content), ids())
    assert patch == {
        "metadata": {
            "labels": {wk.MCS_PERMANENT_ID: "id-1"},
            "finalizers": ["theirs", wk.MCS_FINALIZER],
            "resourceVersion": "7",
        }
    }
    assert plan_adopt(decode(merge_patch(content, patch)), ids()) is None


def test_case_77_an_empty_permanent_id_is_replaced_and_one_that_is_there_is_kept():
    assert plan_adopt(an_mcs(metadata={"labels": {wk.MCS_PERMANENT_ID: ""}}), ids()) == {
        "metadata": {"labels": {wk.MCS_PERMANENT_ID: "id-1"}, "resourceVersion": "7"}
    }
    assert plan_adopt(an_mcs(permanent_id="given"), ids()) is None


# --- providers' Works -------------------------------------------------------------------------------------------------


def test_case_05_one_ready_provider_gets_one_work():
    plan = provide(mcs(providers=["m1"]))
    [write] = plan.writes
    assert isinstance(write, CreateWork)
    assert (write.namespace, write.name) == ("karmada-es-m1", WORK)
    assert write.body["metadata"]["labels"] == {
        wk.MCS_PERMANENT_ID: "mcs-id",
        wk.MCS_NAMESPACE: "default",
        wk.MCS_NAME: "web",
        wk.WORK_PERMANENT_ID: "id-1",
    }
    assert not {"finalizers", "annotations"} & write.body["metadata"].keys()
    assert write.body["spec"]["suspendDispatching"] is True
    assert plan.skips == ()


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        pytest.param({"ready": "False"}, wk.EVENT_SYNC_SERVICE_FAILED, id="case-06 Ready is False"),
        pytest.param({"apis": {}}, wk.EVENT_API_INCOMPATIBLE, id="case-07 complete API list without slices"),
    ],
)
def test_a_provider_that_cannot_be_used_gets_no_work_and_is_no_error(cluster: dict[str, Any], reason: str):
    plan = provide(mcs(providers=["m1", "m2"]), clusters={"m1": a_cluster("m1", **cluster), "m2": a_cluster("m2")})
    assert targets(plan.writes, CreateWork) == [f"karmada-es-m2/{WORK}"]
    assert [(skip.cluster, skip.reason) for skip in plan.skips] == [("m1", reason)]


def test_case_08_two_good_providers_get_two_works():
    plan = provide(mcs(providers=["m2", "m1", "m1"]))
    assert targets(plan.writes, CreateWork) == [f"karmada-es-m1/{WORK}", f"karmada-es-m2/{WORK}"]


def test_case_94_a_provider_that_is_not_registered_is_named_and_the_others_go_on():
    plan = provide(mcs(providers=["m1", "nowhere"]))
    assert targets(plan.writes, CreateWork) == [f"karmada-es-m1/{WORK}"]
    assert [(skip.cluster, skip.reason) for skip in plan.skips] == [("nowhere", wk.EVENT_CLUSTER_NOT_FOUND)]


def test_case_03_the_work_of_a_cluster_that_provides_no_more_is_deleted():
    plan = provide(mcs(providers=["m2"]), mcs_work("m1"))
    assert targets(plan.writes, DeleteWork) == [f"karmada-es-m1/{WORK}"]


def test_case_04_the_work_of_a_provider_is_kept():
    [create] = provide(mcs(providers=["m1"])).writes
    stored = create.body | {"metadata": create.body["metadata"] | {"resourceVersion": "1", "uid": "u"}}
    assert provide(mcs(providers=["m1"]), stored).writes == ()


@pytest.mark.parametrize("cluster", [{"ready": "False"}, {"apis": {}}], ids=["not ready", "lacks the API"])
def test_the_work_of_a_provider_that_cannot_be_used_now_is_kept_as_it_is(cluster: dict[str, Any]):
    plan = provide(mcs(providers=["m1"]), mcs_work("m1"), clusters={"m1": a_cluster("m1", **cluster)})
    assert plan.writes == ()


def test_a_provider_that_was_removed_by_force_takes_its_works_along():
    plan = provide(mcs(providers=["m1", "m2"]), mcs_work("m1"), collected_work("m1"), clusters={"m2": a_cluster("m2")})
    assert targets(plan.writes, DeleteWork) == [f"karmada-es-m1/{WORK}"]
    assert plan.withdraw == (SliceRef("m1", "default", "web-1"),)
    assert [(skip.cluster, skip.reason) for skip in plan.skips] == [("m1", "ClusterNotFound")]


def test_a_provider_that_left_takes_its_collected_works_along_but_never_a_dispatched_one():
    plan = provide(
        mcs(providers=["m2"]),
        mcs_work("m1"),
        collected_work("m1"),
        dispatched_work("m2", "m1", slice_("other"), labels=filed() | {wk.COLLECTED_BY: "MultiClusterService"}),
        work("m1", "foreign", service(), labels=filed()),
        collected_work("m2"),
    )
    assert targets(plan.writes, DeleteWork) == [f"karmada-es-m1/{WORK}"]
    assert plan.withdraw == (SliceRef("m1", "default", "web-1"),)


def test_opening_13_a_cluster_that_is_leaving_is_neither_provider_nor_failure_when_all_are_meant():
    leaving = a_cluster("m1", metadata={"deletionTimestamp": DELETED_AT}, ready="False")
    plan = provide(mcs(), mcs_work("m1"), clusters={"m1": leaving, "m2": a_cluster("m2")})
    assert targets(plan.writes, CreateWork) == [f"karmada-es-m2/{WORK}"]
    assert targets(plan.writes, DeleteWork) == [f"karmada-es-m1/{WORK}"]
    assert plan.skips == ()


def test_works_outside_the_execution_namespaces_are_nobodys():
    assert plan_withdraw([a_work(mcs_work("m1", namespace="default"))]) == ()


def test_works_that_are_being_deleted_are_left_to_that():
    deleting = [a_work(mcs_work("m1", deleting=True)), a_work(collected_work("m1", deleting=True))]
    assert plan_withdraw(deleting) == ()
    assert slices_to_withdraw(deleting) == ()


def test_what_was_collected_is_for_the_slices_writer_to_withdraw():
    filed_there = [a_work(mcs_work("m1")), a_work(collected_work("m1")), a_work(collected_work("m2"))]
    assert targets(plan_withdraw(filed_there), DeleteWork) == [f"karmada-es-m1/{WORK}"]
    assert slices_to_withdraw(filed_there, keep=["m2"]) == (SliceRef("m1", "default", "web-1"),)


def test_a_providers_work_that_is_being_deleted_is_made_anew_by_the_event_of_its_end():
    plan = provide(mcs(providers=["m1"]), mcs_work("m1", deleting=True))
    assert plan.writes == ()
    assert not plan.blocked


def test_garbage_that_is_being_deleted_in_a_providers_place_is_waited_for():
    # Its end is an event of nobody's Work, which leads nowhere.
    assert provide(mcs(providers=["m1"]), work("m1", WORK, 7, deleting=True, finalizers=["f"])).blocked


def test_a_garbled_work_in_a_providers_place_is_put_right():
    broken = work("m1", WORK, 7, "x", labels={"theirs": "l"}, finalizers=["theirs/f"])
    [write] = provide(mcs(providers=["m1"]), broken).writes
    assert isinstance(write, PatchWork)
    fixed = merge_patch(broken, write.body)
    assert [one["kind"] for one in fixed["spec"]["workload"]["manifests"]] == [wk.MCS_KIND]
    assert fixed["metadata"]["labels"]["theirs"] == "l"
    assert fixed["metadata"]["finalizers"] == ["theirs/f"]


def test_a_shared_collected_work_stays_for_the_service_export():
    shared = collected_work(
        "m1", labels=filed() | {wk.COLLECTED_BY: "ServiceExport.MultiClusterService", wk.EXPORT_NAME: "web"}
    )
    assert slices_to_withdraw([a_work(shared)]) == (SliceRef("m1", "default", "web-1"),)
    write = remove_managed_by(a_work(shared), [MCS])
    assert isinstance(write, PatchWork)
    assert merge_patch(shared, write.body)["metadata"]["labels"] == {
        wk.COLLECTED_BY: "ServiceExport",
        wk.EXPORT_NAME: "web",
    }


# --- the Service ------------------------------------------------------------------------------------------------------


def claimed(content: Json) -> Json:
    patch = plan_claim(decode(content), an_mcs())
    assert patch is not None
    after: Json = merge_patch(content, patch)
    assert plan_claim(decode(after), an_mcs()) is None
    return after


def test_case_10_a_bare_service_gets_two_labels_and_two_annotations():
    after = claimed(service())
    assert after["metadata"]["labels"] == {wk.CLAIMED_BY: "MultiClusterService", wk.MCS_PERMANENT_ID: "mcs-id"}
    assert after["metadata"]["annotations"] == {wk.MCS_NAMESPACE: "default", wk.MCS_NAME: "web"}


def test_case_11_a_services_own_keys_stay_and_a_policys_go():
    after = claimed(
        service(
            labels={"own": "l", **dict.fromkeys(wk.POLICY_LABELS, "policy")},
            annotations={"own": "a", **dict.fromkeys(wk.POLICY_ANNOTATIONS, "policy")},
        )
    )
    assert after["metadata"]["labels"].keys() == {"own", wk.CLAIMED_BY, wk.MCS_PERMANENT_ID}
    assert after["metadata"]["annotations"].keys() == {"own", wk.MCS_NAMESPACE, wk.MCS_NAME}


def test_case_01_releasing_takes_the_claim_off_and_leaves_the_annotations():
    before = claimed(service(labels={"own": "l"}))
    patch = plan_release(decode(before).metadata)
    after = merge_patch(before, patch)
    assert after["metadata"]["labels"] == {"own": "l"}
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert plan_release(decode(after).metadata) is None


def test_a_claim_of_somebody_else_is_not_ours_to_release():
    assert plan_release(a_service(labels={wk.CLAIMED_BY: "SomebodyElse"}).metadata) is None
    assert plan_release_binding(a_binding(labels={wk.BINDING_MANAGED_BY: "SomebodyElse"}).metadata) is None


def test_what_is_being_deleted_keeps_its_marks_until_it_is_gone():
    leaving = {"deletionTimestamp": DELETED_AT}
    there = claimed(service(labels={"own": "l"}))
    assert plan_release(decode(there | {"metadata": there["metadata"] | leaving}).metadata) is None
    bound_there = bound(binding(), "c1")
    assert plan_release_binding(decode(bound_there | {"metadata": bound_there["metadata"] | leaving}).metadata) is None


# --- the binding ------------------------------------------------------------------------------------------------------

OWNER = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "uid-default-web"}


def bind(observed: Json | None, *names: str, content: Json | None = None) -> Any:
    return plan_binding(
        an_mcs(), decode(content or service()), names, decode(observed) if observed is not None else None, ids()
    )


def bound(observed: Json, *names: str) -> Json:
    """The binding after the write; a second look then finds nothing to do."""
    write = bind(observed, *names)
    assert write is not None
    assert not write.create
    after: Json = merge_patch(observed, write.body)
    assert bind(after, *names) is None
    return after


def test_case_09_a_new_binding_names_providers_and_consumers_once_each():
    write = bind(None, "c3", "c1", "c2", "c4", "c1")
    assert write.create
    assert write.body == {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {
            "name": "web-service",
            "namespace": "default",
            "labels": {
                wk.BINDING_MANAGED_BY: "MultiClusterService",
                wk.MCS_PERMANENT_ID: "mcs-id",
                wk.BINDING_PERMANENT_ID: "id-1",
            },
            "annotations": {wk.MCS_NAMESPACE: "default", wk.MCS_NAME: "web"},
            "finalizers": ["karmada.io/binding-controller"],
            "ownerReferences": [OWNER],
        },
        "spec": {
            "resource": {
                "apiVersion": "v1",
                "kind": "Service",
                "namespace": "default",
                "name": "web",
                "uid": "uid-default-web",
                "resourceVersion": "7",
            },
            "placement": {"clusterAffinity": {"clusterNames": ["c1", "c2", "c3", "c4"]}},
            "conflictResolution": "Overwrite",
        },
    }


def test_case_09_an_existing_binding_is_brought_to_the_union():
    after = bound(binding(placed=["c1", "c2"]), "c3", "c4")
    assert after["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["c3", "c4"]}}
    assert after["metadata"]["ownerReferences"] == [OWNER]
    assert after["spec"]["resource"]["uid"] == "uid-default-web"
    assert after["spec"]["resource"]["resourceVersion"] == "7"


def test_conflicts_are_resolved_in_favour_of_the_control_plane():
    assert bound(binding(conflictResolution="Abort"), "c1")["spec"]["conflictResolution"] == "Overwrite"


def test_what_the_scheduler_and_others_wrote_into_a_binding_stays():
    others: dict[str, Any] = {
        "clusters": [{"name": "c1", "replicas": 3}],
        "suspension": {"dispatching": True},
        "requiredBy": [{"namespace": "default", "name": "x", "clusters": [{"name": "c9"}]}],
        "schedulerName": "mine",
        "propagateDeps": True,
        "gracefulEvictionTasks": [{"fromCluster": "c5"}],
    }
    after = bound(binding(placed=["c9"], annotations={wk.APPLIED_PLACEMENT: "x"}, **others), "c1")
    assert {key: after["spec"][key] for key in others} == others
    assert after["metadata"]["annotations"][wk.APPLIED_PLACEMENT] == "x"


def test_opening_06_the_same_clusters_in_another_order_are_no_reason_to_write():
    before = bound(binding(), "c1", "c2", "c3")
    before["spec"]["placement"]["clusterAffinity"]["clusterNames"] = ["c3", "c1", "c2"]
    assert bind(before, "c1", "c2", "c3") is None


def test_opening_27_a_binding_taken_over_from_a_policy_keeps_what_is_not_ours():
    owners = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "other"}]
    before = binding(
        finalizers=["theirs/f"],
        owners=owners,
        labels={"theirs": "l"},
        annotations={"theirs": "a"},
        placement={
            "clusterAffinity": {"clusterNames": ["c1"], "exclude": ["c2"]},
            "spreadConstraints": [{"spreadByField": "cluster"}],
        },
    )
    after = bound(before, "c1")
    assert after["metadata"]["finalizers"] == ["theirs/f", wk.BINDING_FINALIZER]
    assert after["metadata"]["ownerReferences"] == [*owners, OWNER]
    assert after["metadata"]["labels"]["theirs"] == "l"
    assert after["metadata"]["annotations"]["theirs"] == "a"
    assert after["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["c1"]}}, "ours, and nothing else in it"


def test_a_service_that_was_made_anew_replaces_the_former_one_as_owner():
    former = OWNER | {"uid": "former"}
    assert bound(binding(owners=[former]), "c1")["metadata"]["ownerReferences"] == [OWNER]


def test_a_binding_that_another_object_controls_is_left_alone():
    controlled = binding(owners=[OWNER | {"uid": "former", "controller": True}])
    with pytest.raises(ForeignController, match="controlled by Service web"):
        bind(controlled, "c1")


def test_a_binding_that_this_service_controls_is_ours():
    bound(binding(owners=[OWNER | {"controller": True}]), "c1")


def test_a_binding_that_is_being_deleted_is_waited_for():
    with pytest.raises(WorkTerminating, match="default/web-service is being deleted"):
        bind(binding(metadata={"deletionTimestamp": DELETED_AT}), "c1")


@pytest.mark.parametrize("labels", [{}, {wk.BINDING_PERMANENT_ID: ""}], ids=["missing", "empty"])
def test_opening_11_a_binding_without_id_gets_one(labels: dict[str, str]):
    assert bound(binding(labels=labels), "c1")["metadata"]["labels"][wk.BINDING_PERMANENT_ID] == "id-1"
    assert (
        bound(binding(labels={wk.BINDING_PERMANENT_ID: "x"}), "c1")["metadata"]["labels"][wk.BINDING_PERMANENT_ID]
        == "x"
    )


def test_a_binding_without_placement_gets_one():
    before = binding()
    del before["spec"]["placement"]
    assert bound(before, "c1")["spec"]["placement"] == {"clusterAffinity": {"clusterNames": ["c1"]}}


def test_releasing_a_binding_takes_our_marks_off_and_leaves_its_clusters():
    before = bound(binding(labels={"theirs": "l"}, annotations={"theirs": "a"}), "c1")
    after = merge_patch(before, plan_release_binding(decode(before).metadata))
    assert after["metadata"]["labels"] == {"theirs": "l", wk.BINDING_PERMANENT_ID: "id-1"}
    assert after["metadata"]["annotations"] == {"theirs": "a"}
    assert after["spec"] == before["spec"]
    assert plan_release_binding(decode(after).metadata) is None


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------


def test_golden_the_providers_work_is_reproduced_field_by_field():
    expected = golden_work("member1", wk.MCS_KIND)
    clusters: dict[str, Any] = {one["metadata"]["name"]: decode(one) for one in golden("host-clusters")["items"]}
    plan = plan_provider_works(
        decode(golden("host-multiclusterservice")),
        clusters,
        [],
        lambda *_: None,
        lambda: str(expected["metadata"]["labels"][wk.WORK_PERMANENT_ID]),
    )
    [write] = plan.writes
    assert isinstance(write, CreateWork)
    assert write.body == as_written(expected)
    assert plan.skips == ()


def test_golden_works_are_as_intended_already():
    works = [a_work(one) for name in ("member1", "member2") for one in golden(f"host-works-karmada-es-{name}")["items"]]
    clusters: dict[str, Any] = {one["metadata"]["name"]: decode(one) for one in golden("host-clusters")["items"]}
    by_key = {(one.metadata.namespace, one.metadata.name): one for one in works}
    plan = plan_provider_works(
        decode(golden("host-multiclusterservice")), clusters, works, lambda *key: by_key.get(key), ids()
    )
    assert plan.writes == ()


def test_golden_the_service_is_claimed_as_karmada_does():
    expected = golden("host-service")
    unclaimed = merge_patch(
        expected,
        {
            "metadata": {
                "labels": {wk.CLAIMED_BY: None, wk.MCS_PERMANENT_ID: None},
                "annotations": {wk.MCS_NAMESPACE: None, wk.MCS_NAME: None},
            }
        },
    )
    service_ = decode(golden("host-multiclusterservice"))
    assert merge_patch(unclaimed, plan_claim(decode(unclaimed), service_)) == expected
    assert plan_claim(decode(expected), service_) is None


def test_golden_the_binding_is_reproduced_field_by_field():
    expected = golden("host-resourcebinding")
    written = as_written(expected)
    written["metadata"]["annotations"] = {
        key: value for key, value in written["metadata"]["annotations"].items() if key != wk.APPLIED_PLACEMENT
    }
    written["spec"] = {key: value for key, value in written["spec"].items() if key != "clusters"}
    arguments: tuple[Any, Any, list[str]] = (
        decode(golden("host-multiclusterservice")),
        decode(golden("host-service")),
        ["member1", "member2"],
    )
    new_id = expected["metadata"]["labels"][wk.BINDING_PERMANENT_ID]
    write = plan_binding(*arguments, None, lambda: str(new_id))
    assert write is not None
    assert write.body == written
    assert plan_binding(*arguments, decode(expected), ids()) is None, "and one that is there is right already"
