"""What Works are for, and the one write that makes a Work hold a manifest (contract 2.3)."""

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import (
    CreateWork,
    DeleteWork,
    PatchWork,
    Role,
    SliceRef,
    WorkIntent,
    WorkTerminating,
    cluster_of,
    delete_work,
    origin_of,
    plan_work,
    predict_result,
    prune,
    role_of,
    same_json,
    service_of,
)
from tests.support.builders import (
    a_work,
    collected_work,
    dispatched_work,
    filed,
    ids,
    mcs,
    mcs_work,
    service,
    slice_,
    work,
)
from tests.support.object_store import Json, apply_json_patch, merge_patch

MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}, "data": {"k": "v"}}


def intent(**fields: Any) -> WorkIntent:
    return WorkIntent(**({"namespace": "karmada-es-m1", "name": "a-1", "manifest": MANIFEST} | fields))


def stored(write: CreateWork | PatchWork | None, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The Work on the server after the write."""
    assert write is not None
    if isinstance(write, CreateWork):
        return write.body | {"metadata": write.body["metadata"] | {"uid": "u", "resourceVersion": "1"}}
    assert before is not None
    request = write.request
    return (
        apply_json_patch(before, request) if isinstance(request, list) else cast("Json", merge_patch(before, request))
    )


# --- what a Work is for -----------------------------------------------------------------------------------------------

GARBAGE: list[Any] = [
    pytest.param(7, id="a number"),
    pytest.param("text", id="a string"),
    pytest.param(None, id="null"),
    pytest.param([], id="a list"),
    pytest.param({}, id="an empty object"),
    pytest.param({"apiVersion": "discovery.k8s.io/v1", "metadata": {"name": "x"}}, id="no kind"),
    pytest.param({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}, id="no metadata"),
    pytest.param({"apiVersion": 1, "kind": "EndpointSlice", "metadata": {"name": "x"}}, id="numeric apiVersion"),
    pytest.param({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {}}, id="no name"),
    pytest.param(
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "x"}}, id="no namespace"
    ),
    pytest.param(
        {"apiVersion": "networking.karmada.io/v1alpha1", "kind": "MultiClusterService", "metadata": {"name": "x"}},
        id="an MCS without namespace",
    ),
]


@pytest.mark.parametrize("manifest", GARBAGE)
@pytest.mark.parametrize("deleting", [False, True], ids=["live", "deleting"])
def test_a_work_with_an_unreadable_manifest_decodes_and_is_nobodys(manifest: Any, deleting: bool):
    found = a_work(
        work(
            "m1",
            "x",
            manifest,
            labels=filed() | {wk.COLLECTED_BY: "MultiClusterService"},
            finalizers=[wk.DISPATCH_FINALIZER],
            deleting=deleting,
        )
    )
    assert role_of(found) is Role.OTHER
    assert origin_of(found) is None
    assert service_of(found) == ("default", "web")


def test_a_work_without_manifests_is_nobodys():
    assert role_of(a_work(work("m1", "x"))) is Role.OTHER


def test_only_the_first_of_two_manifests_says_what_a_work_is_for():
    assert role_of(a_work(work("m1", "x", mcs(), slice_()))) is Role.SERVICE
    assert role_of(a_work(work("m1", "x", service(), slice_(), labels=filed()))) is Role.OTHER


@pytest.mark.parametrize(
    ("content", "role", "origin"),
    [
        pytest.param(mcs_work("m1"), Role.SERVICE, None, id="carries an MCS"),
        pytest.param(collected_work("m1"), Role.COLLECTED, SliceRef("m1", "default", "web-1"), id="collected"),
        pytest.param(
            collected_work("m1", labels={wk.COLLECTED_BY: "ServiceExport", wk.EXPORT_NAME: "web"}),
            Role.COLLECTED,
            SliceRef("m1", "default", "web-1"),
            id="collected for a ServiceExport",
        ),
        pytest.param(
            collected_work("m1", labels={}),
            Role.COLLECTED,
            SliceRef("m1", "default", "web-1"),
            id="labels gone, dispatcher's finalizer there",
        ),
        pytest.param(dispatched_work("m1", "m2"), Role.DISPATCHED, SliceRef("m1", "default", "web-1"), id="dispatched"),
        pytest.param(work("m1", "x", slice_()), Role.OTHER, None, id="a slice that somebody propagates himself"),
        pytest.param(work("m1", "x", service(), labels=filed()), Role.OTHER, None, id="a Service"),
        pytest.param(
            work("m1", "x", slice_() | {"apiVersion": "example.com/v1"}, labels=filed()),
            Role.OTHER,
            None,
            id="a kind of the same name in another group",
        ),
    ],
)
def test_a_works_role_is_read_from_manifest_and_marks(content: Any, role: Role, origin: SliceRef | None):
    assert role_of(a_work(content)) is role
    assert origin_of(a_work(content)) == origin


def test_a_work_outside_the_execution_namespaces_is_in_no_cluster():
    stray = a_work(collected_work("m1", namespace="default"))
    assert cluster_of(stray) is None
    assert origin_of(stray) is None


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {wk.MCS_NAME: "web"},
        {wk.MCS_NAMESPACE: "default"},
        {wk.MCS_NAMESPACE: "default", wk.MCS_NAME: ""},
        {wk.MCS_NAMESPACE: "", wk.MCS_NAME: "web"},
    ],
    ids=["none", "name only", "namespace only", "empty name", "empty namespace"],
)
def test_a_missing_or_empty_label_files_a_work_under_no_service(labels: dict[str, str]):
    assert service_of(a_work(collected_work("m1", labels=labels))) is None


# --- one write --------------------------------------------------------------------------------------------------------


def test_case_61_an_absent_work_is_created():
    write = plan_work(
        intent(
            labels={"l": "1"},
            annotations={"a": "1"},
            finalizers=("z", "b"),
            suspend_dispatching=True,
            source_uid="source",
        ),
        None,
        ids(),
    )
    assert isinstance(write, CreateWork)
    assert (write.namespace, write.name) == ("karmada-es-m1", "a-1")
    assert write.body["metadata"] == {
        "name": "a-1",
        "namespace": "karmada-es-m1",
        "labels": {"l": "1", wk.WORK_PERMANENT_ID: "id-1"},
        "annotations": {"a": "1"},
        "finalizers": ["b", "z"],
    }
    assert write.body["spec"]["suspendDispatching"] is True
    assert "preserveResourcesOnDeletion" not in write.body["spec"]
    [manifest] = write.body["spec"]["workload"]["manifests"]
    assert manifest["metadata"]["labels"] == {wk.MANAGED: "true", wk.WORK_PERMANENT_ID: "id-1"}
    assert manifest["metadata"]["annotations"] == {
        wk.TEMPLATE_UID: "source",
        wk.WORK_NAMESPACE: "karmada-es-m1",
        wk.WORK_NAME: "a-1",
        wk.MANAGED_LABELS: f"{wk.MANAGED},{wk.WORK_PERMANENT_ID}",
        wk.MANAGED_ANNOTATIONS: ",".join(
            sorted([wk.TEMPLATE_UID, wk.WORK_NAMESPACE, wk.WORK_NAME, wk.MANAGED_LABELS, wk.MANAGED_ANNOTATIONS])
        ),
    }


def test_case_61_a_different_work_is_patched_at_the_version_that_was_seen():
    before = stored(plan_work(intent(), None, ids()))
    write = plan_work(intent(manifest=MANIFEST | {"data": {"k": "w"}}), a_work(before), ids())
    assert isinstance(write, PatchWork)
    assert write.body["metadata"] == {"resourceVersion": "1"}
    assert stored(write, before)["spec"]["workload"]["manifests"][0]["data"] == {"k": "w"}


def test_case_61_an_equal_work_is_not_written():
    before = stored(plan_work(intent(labels={"l": "1"}, finalizers=("z",), suspend_dispatching=True), None, ids()))
    assert (
        plan_work(intent(labels={"l": "1"}, finalizers=("z",), suspend_dispatching=True), a_work(before), ids()) is None
    )


@pytest.mark.parametrize("flag", ["suspend_dispatching", "preserve_resources_on_deletion"])
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_that_is_not_given_is_absent_afterwards(flag: str, value: bool):
    before = stored(plan_work(intent(**{flag: value}), None, ids()))
    after = stored(plan_work(intent(), a_work(before), ids()), before)
    assert after["spec"].keys() == {"workload"}
    assert plan_work(intent(), a_work(after), ids()) is None


def test_a_list_that_became_empty_is_written_as_null_into_a_work_without_labels():
    before = work("m1", "a-1", MANIFEST | {"endpoints": [1]}, metadata={"resourceVersion": "1"})
    before["spec"]["theirs"] = 1
    write = plan_work(intent(manifest=MANIFEST | {"endpoints": None}, finalizers=("f",)), a_work(before), ids())
    after = stored(write, before)
    assert after["spec"].keys() == {"workload"}
    assert after["spec"]["workload"]["manifests"][0]["endpoints"] is None
    assert after["metadata"]["finalizers"] == ["f"]
    assert after["metadata"]["labels"].keys() == {wk.WORK_PERMANENT_ID}


def test_what_others_put_on_a_work_stays():
    before = work("m1", "a-1", 7, labels={"theirs": "l"}, annotations={"theirs": "a"}, finalizers=["theirs/f"])
    after = stored(
        plan_work(
            intent(labels={"ours": "l"}, annotations={"ours": "a"}, finalizers=("ours/f",)), a_work(before), ids()
        ),
        before,
    )
    assert after["metadata"]["labels"] == {"theirs": "l", "ours": "l", wk.WORK_PERMANENT_ID: "id-1"}
    assert after["metadata"]["annotations"] == {"theirs": "a", "ours": "a"}
    assert after["metadata"]["finalizers"] == ["ours/f", "theirs/f"]
    assert after["spec"]["workload"]["manifests"][0]["kind"] == "ConfigMap"


def test_our_value_of_a_label_or_annotation_wins():
    before = work("m1", "a-1", MANIFEST, labels={"l": "theirs"}, annotations={"a": "theirs"})
    after = stored(plan_work(intent(labels={"l": "ours"}, annotations={"a": "ours"}), a_work(before), ids()), before)
    assert after["metadata"]["labels"]["l"] == "ours"
    assert after["metadata"]["annotations"]["a"] == "ours"


def test_the_order_of_finalizers_is_no_reason_to_write():
    before = stored(plan_work(intent(finalizers=("b",)), None, ids()))
    before["metadata"]["finalizers"] = ["z", "b"]
    assert plan_work(intent(finalizers=("b",)), a_work(before), ids()) is None


@pytest.mark.parametrize("permanent_id", [{}, {wk.WORK_PERMANENT_ID: ""}], ids=["missing", "empty"])
def test_a_missing_or_empty_permanent_id_is_set_on_work_and_manifest(permanent_id: dict[str, str]):
    before = stored(plan_work(intent(), None, ids("old")))
    before["metadata"]["labels"] = permanent_id
    after = stored(plan_work(intent(), a_work(before), ids("new")), before)
    assert after["metadata"]["labels"] == {wk.WORK_PERMANENT_ID: "new-1"}
    [manifest] = after["spec"]["workload"]["manifests"]
    assert manifest["metadata"]["labels"][wk.WORK_PERMANENT_ID] == "new-1"


def test_an_id_that_a_webhook_gave_is_taken_over_into_the_manifest():
    before = stored(plan_work(intent(), None, ids("ours")))
    before["metadata"]["labels"][wk.WORK_PERMANENT_ID] = "theirs"
    after = stored(plan_work(intent(), a_work(before), ids()), before)
    [manifest] = after["spec"]["workload"]["manifests"]
    assert manifest["metadata"]["labels"][wk.WORK_PERMANENT_ID] == "theirs"


def test_a_work_that_is_being_deleted_takes_nothing():
    with pytest.raises(WorkTerminating, match="karmada-es-m1/a-1 is being deleted"):
        plan_work(intent(), a_work(work("m1", "a-1", deleting=True, finalizers=["f"])), ids())


def test_a_second_manifest_is_removed():
    before = stored(plan_work(intent(), None, ids()))
    before["spec"]["workload"]["manifests"].append(slice_())
    after = stored(plan_work(intent(), a_work(before), ids()), before)
    assert [one["kind"] for one in after["spec"]["workload"]["manifests"]] == ["ConfigMap"]


def test_how_conflicts_are_resolved_is_copied_onto_the_manifest():
    write = plan_work(intent(annotations={wk.CONFLICT_RESOLUTION: "overwrite"}), None, ids())
    [manifest] = stored(write)["spec"]["workload"]["manifests"]
    assert manifest["metadata"]["annotations"][wk.CONFLICT_RESOLUTION] == "overwrite"
    assert wk.CONFLICT_RESOLUTION in manifest["metadata"]["annotations"][wk.MANAGED_ANNOTATIONS].split(",")


def test_a_delete_names_exactly_the_object_that_was_seen():
    assert delete_work(a_work(work("m1", "x"))) == DeleteWork("karmada-es-m1", "x", "uid-karmada-es-m1-x", "7")


# --- manifests --------------------------------------------------------------------------------------------------------


def test_pruning_drops_what_only_a_server_may_set():
    manifest = MANIFEST | {
        "status": {"x": 1},
        "metadata": {
            "name": "a",
            "namespace": "ns",
            "generateName": "a-",
            "labels": {"l": "1"},
            "annotations": {"a": "1"},
            "creationTimestamp": "t",
            "deletionTimestamp": "t",
            "deletionGracePeriodSeconds": 1,
            "generation": 1,
            "managedFields": [],
            "resourceVersion": "1",
            "selfLink": "/x",
            "uid": "u",
            "ownerReferences": [],
            "finalizers": [],
        },
    }
    assert prune(manifest) == MANIFEST | {
        "metadata": {
            "name": "a",
            "namespace": "ns",
            "generateName": "a-",
            "labels": {"l": "1"},
            "annotations": {"a": "1"},
        }
    }


@pytest.mark.parametrize(
    ("spec", "pruned"),
    [
        pytest.param(
            {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "type": "X"}, {"type": "X"}, id="cluster ip"
        ),
        pytest.param(
            {"clusterIP": "None", "clusterIPs": ["None"]}, {"clusterIP": "None", "clusterIPs": ["None"]}, id="headless"
        ),
        pytest.param(
            {"nodePort": 1, "healthCheckNodePort": 2, "ipFamilies": ["IPv4"], "externalIPs": ["1.1.1.1"]},
            {"nodePort": 1, "healthCheckNodePort": 2, "ipFamilies": ["IPv4"], "externalIPs": ["1.1.1.1"]},
            id="what stays",
        ),
    ],
)
def test_case_86_a_services_own_address_is_pruned_and_none_is_kept(spec: dict[str, Any], pruned: dict[str, Any]):
    assert prune({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": spec})["spec"] == pruned


def test_pruning_leaves_the_given_manifest_alone():
    given_manifest = service(clusterIP="10.0.0.1")
    prune(given_manifest)
    assert given_manifest["spec"]["clusterIP"] == "10.0.0.1"
    assert "uid" in given_manifest["metadata"]


def test_a_key_that_the_server_dropped_because_it_was_null_is_no_difference():
    # A merge patch prunes nulls inside of lists too (seen on kube-apiserver 1.37), a create keeps them.
    assert same_json(b'{"a":[{"b":1}]}', {"a": [{"b": 1, "endpoints": None}], "ports": None})
    assert same_json(b'{"a":[{"b":1,"endpoints":null}]}', {"a": [{"b": 1}]})
    assert not same_json(b'{"a":[1]}', {"a": [1, None]})


given_intents = given(
    st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.sampled_from(["x", "y"]), st.text(max_size=2), max_size=2),
    st.sets(st.sampled_from(["f/a", "f/b"])),
    st.sampled_from([None, True, False]),
)


@given_intents
def test_a_plan_that_was_applied_is_empty_afterwards(
    data: dict[str, Any], labels: dict[str, str], finalizers: set[str], suspend: bool | None
):
    wanted = intent(
        manifest=MANIFEST | {"data": data}, labels=labels, finalizers=tuple(finalizers), suspend_dispatching=suspend
    )
    foreign = work("m1", "a-1", {"kind": 3}, labels={"x": "theirs"}, finalizers=["f/b", "other"], suspended=False)
    for before in (None, foreign):
        after = stored(plan_work(wanted, a_work(before) if before else None, ids()), before)
        assert plan_work(wanted, a_work(after), ids()) is None


@given_intents
def test_what_is_foreseen_is_what_the_server_will_have(
    data: dict[str, Any], labels: dict[str, str], finalizers: set[str], suspend: bool | None
):
    wanted = intent(
        manifest=MANIFEST | {"data": data}, labels=labels, finalizers=tuple(finalizers), suspend_dispatching=suspend
    )
    foreign = work("m1", "a-1", {"kind": 3}, labels={"x": "theirs"}, finalizers=["f/b", "other"], suspended=False)
    for before in (None, foreign):
        observed = a_work(before) if before else None
        write = plan_work(wanted, observed, ids())
        assert write is not None
        after = a_work(stored(write, before))
        foreseen = predict_result(write, observed)
        assert plan_work(wanted, foreseen, ids()) is None
        assert [one.ref for one in foreseen.manifests] == [one.ref for one in after.manifests]
        given_by_server = {name: getattr(after.metadata, name) for name in ("uid", "resource_version", "generation")}
        assert msgspec.structs.replace(foreseen.metadata, **given_by_server) == after.metadata
        assert (foreseen.suspend_dispatching, foreseen.conditions) == (after.suspend_dispatching, after.conditions)


def test_a_label_that_a_patch_removes_is_foreseen_gone_and_the_manifest_stays():
    there = a_work(collected_work("m1", labels={"keep": "1", wk.MCS_NAME: "web"}))
    write = PatchWork("karmada-es-m1", there.metadata.name, {"metadata": {"labels": {wk.MCS_NAME: None, "new": "2"}}})
    after = predict_result(write, there)
    assert wk.MCS_NAME not in after.metadata.labels
    assert after.metadata.labels["keep"] == "1"
    assert after.metadata.labels["new"] == "2"
    assert after.manifests == there.manifests


def test_what_is_sent_names_the_version_and_removes_single_keys():
    body = {"metadata": {"resourceVersion": "5", "labels": {"ours": "1", "theirs": None}}, "spec": {"workload": {}}}
    assert PatchWork("karmada-es-m1", "a-1", body).request == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "5"},
        {"op": "add", "path": "/metadata/labels/ours", "value": "1"},
        {"op": "remove", "path": "/metadata/labels/theirs"},
        {"op": "replace", "path": "/spec", "value": {"workload": {}}},
    ]
