"""From a provider's slice to its Work in the control plane (contract 3.2): the plan, as a pure function."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.collect import EXPORT, MCS, is_managed_by_peer, plan_collect, remove_managed_by
from mcs_controller.domain.works import (
    CreateWork,
    DeleteWork,
    PatchWork,
    Role,
    SliceRef,
    WorkTerminating,
    origin_of,
    role_of,
)
from tests.support.builders import (
    Json,
    a_slice,
    a_work,
    as_written,
    collected_work,
    decode,
    dispatched_work,
    endpoint,
    filed,
    golden,
    golden_work,
    ids,
    slice_,
    work,
)
from tests.support.object_store import merge_patch

ORIGIN = SliceRef("m1", "default", "web-1")
NAME = "web-1-748bc4d6dc"
"""WN(EndpointSlice, default, web-1)."""
MARKED = {wk.COLLECTED_BY: "MultiClusterService"}


def collect(observed: Json | None, *present: Json, origin: SliceRef = ORIGIN, wanted: bool = True) -> Any:
    """The plan for one slice, with these Works on the server."""
    works = [a_work(one) for one in present]
    by_key = {(one.metadata.namespace, one.metadata.name): one for one in works}
    copies = [one for one in works if role_of(one) is Role.COLLECTED and origin_of(one) == origin]
    return plan_collect(
        origin,
        decode(observed) if observed is not None else None,
        {MCS: lambda _: wanted},
        copies,
        lambda *key: by_key.get(key),
        ids(),
    )


def collected(observed: Json, *present: Json, origin: SliceRef = ORIGIN) -> Json:
    """The Work after its one write, a create or a patch of the first of `present`; a second look finds nothing."""
    [write] = collect(observed, *present, origin=origin)
    if isinstance(write, CreateWork):
        after = write.body | {"metadata": write.body["metadata"] | {"uid": "u", "resourceVersion": "8"}}
        rest: tuple[Json, ...] = present
    else:
        assert isinstance(write, PatchWork)
        assert write.name == present[0]["metadata"]["name"]
        after, rest = merge_patch(present[0], write.body), present[1:]
    assert collect(observed, after, *rest, origin=origin) == ()
    return after


# --- making one -------------------------------------------------------------------------------------------------------


def test_case_21_a_slice_without_work_gets_one():
    after = collected(slice_())
    assert (after["metadata"]["namespace"], after["metadata"]["name"]) == ("karmada-es-m1", NAME)
    assert after["metadata"]["labels"] == filed() | MARKED | {wk.WORK_PERMANENT_ID: "id-1"}
    assert after["metadata"]["finalizers"] == [wk.DISPATCH_FINALIZER]
    assert "annotations" not in after["metadata"]
    assert after["spec"]["suspendDispatching"] is True


def test_case_22_a_work_marked_by_another_controller_gets_both_marks():
    there = collected_work("m1", labels={wk.COLLECTED_BY: "ServiceExport", wk.EXPORT_NAME: "web", "own": "l"})
    labels = collected(slice_(), there)["metadata"]["labels"]
    assert set(labels[wk.COLLECTED_BY].split(".")) == {"ServiceExport", "MultiClusterService"}
    assert {key: labels[key] for key in (*filed(), wk.EXPORT_NAME, "own")} == filed() | {
        wk.EXPORT_NAME: "web",
        "own": "l",
    }


@pytest.mark.parametrize("marks", ["ServiceExport.MultiClusterService", "MultiClusterService.ServiceExport"])
def test_the_order_of_marks_is_no_reason_to_write(marks: str):
    there = collected(slice_())
    there["metadata"]["labels"][wk.COLLECTED_BY] = marks
    assert collect(slice_(), there) == ()


def test_case_23_two_foreign_finalizers_make_three_sorted_ones():
    there = collected_work("m1", finalizers=["z.io/f", "a.io/f"])
    assert collected(slice_(), there)["metadata"]["finalizers"] == ["a.io/f", wk.DISPATCH_FINALIZER, "z.io/f"]


def test_case_24_a_work_with_finalizers_and_no_labels_gets_the_labels_of_a_new_one():
    there = work("m1", NAME, slice_(), finalizers=["a.io/f"])
    after = collected(slice_(), there)
    assert after["metadata"]["finalizers"] == ["a.io/f", wk.DISPATCH_FINALIZER]
    assert after["metadata"]["labels"] == filed() | MARKED | {wk.WORK_PERMANENT_ID: "id-1"}


@pytest.mark.parametrize("labels", [None, {"own": "l"}], ids=["bare", "with labels and annotations"])
def test_the_slice_travels_as_found_and_nothing_of_the_server_with_it(labels: dict[str, str] | None):
    observed = slice_(
        labels=labels,
        annotations={"own": "a"} if labels else None,
        metadata={
            "generateName": "web-",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "x"}],
            "managedFields": [{"manager": "m"}],
            "generation": 3,
        },
        endpoints=[endpoint("10.0.0.1") | {"hints": {"forZones": [{"name": "z"}]}, "futureField": {"a": [1]}}],
    )
    [manifest] = collected(observed)["spec"]["workload"]["manifests"]
    assert {key: value for key, value in manifest.items() if key != "metadata"} == {
        key: value for key, value in observed.items() if key != "metadata"
    }
    metadata = manifest["metadata"]
    assert metadata.keys() == {"name", "namespace", "generateName", "labels", "annotations"}
    assert metadata["labels"].items() >= observed["metadata"]["labels"].items()
    assert metadata["annotations"][wk.TEMPLATE_UID] == "uid-default-web-1"


@pytest.mark.parametrize("endpoints", [None, []], ids=["null", "empty"])
def test_a_slice_without_endpoints_is_collected_and_then_at_rest(endpoints: Any):
    observed = slice_(endpoints=endpoints, ports=None)
    created = collected(observed)
    assert created["spec"]["workload"]["manifests"][0]["endpoints"] == endpoints
    patched = collected(observed, collected(slice_()))
    assert not patched["spec"]["workload"]["manifests"][0].get("endpoints")


def test_a_slice_of_a_thousand_endpoints_is_collected_whole():
    observed = slice_(addresses=[f"10.0.{n // 250}.{n % 250}" for n in range(1000)])
    assert len(collected(observed)["spec"]["workload"]["manifests"][0]["endpoints"]) == 1000


def test_a_name_that_is_too_long_for_a_work_is_planned_all_the_same():
    name = "n" * 250
    [write] = collect(slice_(name), origin=SliceRef("m1", "default", name))
    assert len(write.name) > 253


# --- which slices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "peers"),
    [
        pytest.param({wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER}, True, id="case-62 dispatched"),
        pytest.param({wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}, True, id="case-62 imported"),
        pytest.param({wk.SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"}, False, id="case-62 kubernetes' own"),
        pytest.param({}, False, id="case-62 nobody's"),
    ],
)
def test_a_copy_is_never_collected_again_and_every_other_slice_is(labels: dict[str, str], peers: bool):
    assert is_managed_by_peer(a_slice(labels=labels)) is peers
    assert bool(collect(slice_(labels=labels))) is not peers


@pytest.mark.parametrize("name", [None, ""], ids=["no label", "empty label"])
def test_a_slice_of_no_service_is_not_collected_and_withdrawn_if_it_was(name: str | None):
    assert collect(slice_(service=name)) == ()
    [write] = collect(slice_(service=name), collected_work("m1"))
    assert isinstance(write, DeleteWork)


def test_a_slice_that_nobody_asks_for_is_not_collected():
    assert collect(slice_(), wanted=False) == ()


# --- withdrawing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "wanted"),
    [(None, True), (slice_(), False), (slice_(labels={wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER}), True)],
    ids=["gone from the provider", "opening-05 nobody asks any more", "became a copy"],
)
def test_case_25_a_work_that_only_this_feature_wants_is_deleted(observed: Json | None, wanted: bool):
    [write] = collect(observed, collected_work("m1"), wanted=wanted)
    emptying = {"metadata": {"resourceVersion": "7", "finalizers": []}, "spec": {"workload": {"manifests": []}}}
    assert write == DeleteWork("karmada-es-m1", NAME, f"uid-karmada-es-m1-{NAME}", "7", emptying)


def test_a_shared_work_loses_our_mark_and_labels_only():
    there = collected_work(
        "m1",
        labels=filed()
        | {wk.COLLECTED_BY: "MultiClusterService.ServiceExport", wk.EXPORT_NAME: "web", wk.WORK_PERMANENT_ID: "w"},
    )
    [write] = collect(None, there)
    assert isinstance(write, PatchWork)
    after = merge_patch(there, write.body)
    assert after["metadata"]["labels"] == {
        wk.COLLECTED_BY: "ServiceExport",
        wk.EXPORT_NAME: "web",
        wk.WORK_PERMANENT_ID: "w",
    }
    assert collect(None, after) == ()


def test_a_work_without_any_mark_is_not_ours_to_delete():
    assert remove_managed_by(a_work(collected_work("m1", labels=filed(), finalizers=[])), [MCS]) is None
    assert remove_managed_by(a_work(collected_work("m1", labels={})), [MCS]) is None


def test_a_work_that_lost_the_label_as_it_was_withdrawn_goes_by_what_else_is_on_it():
    # Else nobody would take it away, nor the copies in the consumers, which no service wants any more.
    lost = a_work(collected_work("m1", labels=filed()))
    assert isinstance(remove_managed_by(lost, [MCS]), DeleteWork)
    assert remove_managed_by(lost, [EXPORT]) is None
    shared = {**filed(), wk.EXPORT_NAMESPACE: "default", wk.EXPORT_NAME: "web"}
    both = a_work(collected_work("m1", labels=shared, finalizers=[wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER]))
    left = remove_managed_by(both, [MCS])
    assert isinstance(left, PatchWork)
    changes = {wk.MCS_NAMESPACE: None, wk.MCS_NAME: None, wk.COLLECTED_BY: "ServiceExport"}
    assert left.body["metadata"]["labels"] == changes


def test_a_work_that_is_being_deleted_is_waited_for_and_not_written():
    # The event of its end leads back to the slice.
    assert collect(slice_(), collected_work("m1", deleting=True)) == ()
    assert collect(None, collected_work("m1", deleting=True)) == ()


def test_opening_04_a_slice_that_moves_to_another_service_moves():
    after = collected(slice_(service="other"), collected(slice_()))
    assert after["metadata"]["labels"][wk.MCS_NAME] == "other"
    assert after["metadata"]["name"] == NAME


# --- whose place is it ------------------------------------------------------------------------------------------------


def test_opening_02_a_dispatched_work_in_its_place_makes_a_slice_take_another_name():
    occupant = dispatched_work("m2", "m1")
    assert occupant["metadata"]["name"] == NAME
    [write] = collect(slice_(), occupant)
    assert isinstance(write, CreateWork)
    assert write.name != NAME
    again = collect(slice_(), occupant, write.body | {"metadata": write.body["metadata"] | {"resourceVersion": "8"}})
    assert again == ()


def test_a_work_of_a_propagation_policy_is_not_taken_over():
    propagated = work("m1", NAME, slice_(), labels={wk.BINDING_PERMANENT_ID: "b"})
    [write] = collect(slice_(), propagated)
    assert isinstance(write, CreateWork)


def test_a_garbled_dispatched_work_is_not_taken_over():
    garbled = work("m1", NAME, 7, annotations={wk.PROVISION_CLUSTER: "m2"})
    [write] = collect(slice_(), garbled)
    assert isinstance(write, CreateWork)


@pytest.mark.parametrize("manifests", [[], [7], [{"kind": "EndpointSlice"}], [slice_("another"), slice_()]])
def test_garbage_in_its_place_is_replaced(manifests: list[Any]):
    after = collected(slice_(), work("m1", NAME, *manifests, labels={"theirs": "l"}))
    assert [one["metadata"]["name"] for one in after["spec"]["workload"]["manifests"]] == ["web-1"]
    assert after["metadata"]["labels"]["theirs"] == "l"


def test_garbage_in_its_place_that_is_being_deleted_is_reported_because_its_end_leads_nowhere():
    with pytest.raises(WorkTerminating):
        collect(slice_(), work("m1", NAME, 7, deleting=True, finalizers=["f"]))


def test_two_slices_whose_work_names_collide_get_two_works():
    # The names hash alike: found by trying, since 32 bits are few.
    first, second = SliceRef("m1", "nepokc", "web-1"), SliceRef("m1", "dljhph", "web-1")
    one = collected(slice_(namespace="nepokc"), origin=first)
    assert one["metadata"]["name"] == "web-1-85bc48b84b"
    two = collected(slice_(namespace="dljhph"), one, origin=second)
    assert two["metadata"]["name"] != one["metadata"]["name"]
    assert collect(slice_(namespace="nepokc"), one, two, origin=first) == ()


def test_of_two_works_for_one_slice_the_one_under_the_usual_name_stays():
    spare = collected_work("m1", name="a-spare")
    usual = collected(slice_())
    [write] = collect(slice_(), spare, usual)
    assert isinstance(write, DeleteWork)
    assert write.name == "a-spare"


def test_one_work_under_an_odd_name_stays_there():
    there = collected_work("m1", name="odd")
    assert collected(slice_(), there)["metadata"]["name"] == "odd"


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------


def test_golden_the_collected_work_is_reproduced_field_by_field():
    expected = golden_work("member1", wk.SLICE_KIND)
    [observed] = golden("member1-endpointslices")["items"]
    work_id = expected["metadata"]["labels"][wk.WORK_PERMANENT_ID]
    origin = SliceRef("member1", "default", observed["metadata"]["name"])
    [write] = plan_collect(origin, decode(observed), {MCS: lambda _: True}, [], lambda *_: None, lambda: str(work_id))
    assert isinstance(write, CreateWork)
    assert write.body == as_written(expected)
    assert (
        plan_collect(origin, decode(observed), {MCS: lambda _: True}, [decode(expected)], lambda *_: None, ids()) == ()
    )
