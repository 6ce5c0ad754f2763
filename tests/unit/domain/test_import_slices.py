"""From slices collected for a ServiceExport to slices of the control plane (contract 3.5): the plan."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import AddressRules, Finding, Kind, parse_member_ranges
from mcs_controller.domain.import_slices import CreateSlice, DeleteSlice, ImportPlan, PatchSlice, plan_import, work_of
from mcs_controller.domain.naming import imported_slice_names
from tests.support.builders import (
    Json,
    a_slice,
    a_work,
    as_written,
    collected_work,
    decode,
    endpoint,
    exported,
    exported_work,
    filed,
    golden,
    slice_,
)
from tests.support.object_store import merge_patch

NAME = "web-1-748bc4d6dc"
"""WN(EndpointSlice, default, web-1)."""
ES = "karmada-es-m1"


def imported(name: str = "imported-m1-web-1", *, work: str = NAME, service: str = "web", **fields: Any) -> Json:
    """An imported slice, as the controller leaves it."""
    fields.setdefault("labels", {wk.WORK_PERMANENT_ID: "work-id", wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER})
    fields.setdefault("annotations", {wk.WORK_NAMESPACE: ES, wk.WORK_NAME: work})
    return slice_(name, service=f"derived-{service}", **fields)


def plan(work: Json | None, *present: Json) -> ImportPlan:
    """The plan for one Work, with these slices in the control plane."""
    slices = [decode(one) for one in present]
    by_key = {(one.metadata.namespace, one.metadata.name): one for one in slices}
    key = (ES, work["metadata"]["name"]) if work is not None else (ES, NAME)
    return plan_import(
        a_work(work) if work is not None else None,
        [one for one in slices if work_of(one) == key],
        lambda *key: by_key.get(key),
    )


def brought(work: Json, *present: Json) -> Json:
    """The slice after its one write, a create or a patch of the first of `present`; a second look finds nothing."""
    [write] = plan(work, *present).writes
    if isinstance(write, CreateSlice):
        after, rest = write.body | {"metadata": write.body["metadata"] | {"resourceVersion": "8"}}, present
    else:
        assert isinstance(write, PatchSlice)
        assert write.body["metadata"]["resourceVersion"] == "7", "computed from what was seen, and from nothing else"
        after, rest = merge_patch(present[0], write.body), present[1:]
    assert plan(work, after, *rest) == ImportPlan((), None)
    return after


def test_cases_61_and_63_a_collected_slice_gets_its_counterpart():
    endpoints = [endpoint("10.0.0.1") | {"zone": "a", "nodeName": "n", "hints": {"forZones": [{"name": "a"}]}}]
    after = brought(exported_work("m1", slice_(endpoints=endpoints, annotations={"own": "a"})))
    assert after["metadata"] == {
        "name": "imported-m1-web-1",
        "namespace": "default",
        "resourceVersion": "8",
        "labels": {
            wk.WORK_PERMANENT_ID: "work-id",
            wk.SERVICE_NAME: "derived-web",
            wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER,
        },
        "annotations": {wk.WORK_NAMESPACE: ES, wk.WORK_NAME: NAME},
    }
    assert (after["addressType"], after["endpoints"]) == ("IPv4", endpoints)
    assert after["ports"] == slice_()["ports"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"addresses": ["10.9.9.9"]}, id="case-61 endpoints"),
        pytest.param({"ports": [{"name": "x", "port": 1, "protocol": "UDP"}]}, id="case-61 ports"),
        pytest.param({"labels": {wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}}, id="case-61 no id"),
        pytest.param({"service": "other"}, id="case-61 another service"),
        pytest.param({"labels": {}}, id="case-61 labels taken away"),
    ],
)
def test_what_is_different_is_made_right(fields: dict[str, Any]):
    after = brought(exported_work("m1"), imported(**fields))
    assert after["metadata"]["labels"] == imported()["metadata"]["labels"]
    assert (after["endpoints"], after["ports"]) == (slice_()["endpoints"], slice_()["ports"])


def test_case_61_what_is_equal_is_not_written():
    assert plan(exported_work("m1"), imported()) == ImportPlan((), None)


def test_opening_21_labels_and_annotations_of_others_stay():
    labels = imported()["metadata"]["labels"] | {wk.POLICY_PERMANENT_ID: "p"}
    annotations = imported()["metadata"]["annotations"] | {"their": "own"}
    there = imported(labels=labels, annotations=annotations)
    assert plan(exported_work("m1"), there).writes == ()
    after = brought(exported_work("m1", slice_(addresses=["10.0.0.2"])), there)
    assert after["metadata"]["labels"] == there["metadata"]["labels"]
    assert after["metadata"]["annotations"] == annotations


@pytest.mark.parametrize("nothing", [None, []], ids=["null", "empty"])
def test_a_slice_without_endpoints_comes_to_rest(nothing: Any):
    work = exported_work("m1", slice_(endpoints=nothing, ports=nothing))
    assert not brought(work)["endpoints"]
    assert brought(work, imported())["endpoints"] == []
    assert plan(work, imported(endpoints=None, ports=None)).writes == ()
    assert plan(work, imported(endpoints=[], ports=[])).writes == ()


def test_nulls_that_the_server_drops_are_no_difference():
    work = exported_work("m1", slice_(endpoints=[endpoint("10.0.0.1") | {"hostname": None}]))
    assert plan(work, imported()).writes == ()


def test_an_address_type_cannot_be_changed_so_the_slice_is_made_anew():
    there = imported(addressType="IPv6")
    [write] = plan(exported_work("m1"), there).writes
    assert write == DeleteSlice("default", "imported-m1-web-1", "uid-default-imported-m1-web-1")


def test_a_slice_that_is_being_deleted_is_waited_for():
    there = imported(
        metadata={"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["f"]}, addresses=["10.0.0.9"]
    )
    assert plan(exported_work("m1"), there) == ImportPlan((), None)
    assert plan(None, there) == ImportPlan((), None)


# --- going ------------------------------------------------------------------------------------------------------------


def test_case_64_a_work_that_is_no_longer_exported_loses_its_slice_and_is_let_go():
    shared = collected_work(
        "m1",
        labels=filed() | {wk.COLLECTED_BY: wk.COLLECTED_BY_MCS, wk.WORK_PERMANENT_ID: "work-id"},
        finalizers=[wk.IMPORT_FINALIZER, wk.DISPATCH_FINALIZER],
    )
    found = plan(shared, imported())
    assert found.writes == (DeleteSlice("default", "imported-m1-web-1", "uid-default-imported-m1-web-1"),)
    assert found.release == {"metadata": {"finalizers": [wk.DISPATCH_FINALIZER], "resourceVersion": "7"}}


def test_a_work_that_is_being_deleted_loses_its_slice_and_is_let_go():
    found = plan(exported_work("m1", deleting=True), imported())
    assert [type(one) for one in found.writes] == [DeleteSlice]
    assert found.release == {"metadata": {"finalizers": [], "resourceVersion": "7"}}


def test_opening_03_a_slice_whose_work_has_gone_unseen_goes_too():
    assert [type(one) for one in plan(None, imported()).writes] == [DeleteSlice]


def test_a_work_without_our_finalizer_is_not_written():
    assert plan(exported_work("m1", deleting=True, finalizers=["f"])) == ImportPlan((), None)


def test_opening_11_an_empty_id_selects_no_slices_of_others():
    labels = {wk.COLLECTED_BY: wk.COLLECTED_BY_EXPORT}
    others = imported("imported-m1-web-2", work="web-2-x", labels={wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER})
    assert plan(exported_work("m1", labels=labels, deleting=True), others).writes == ()


@pytest.mark.parametrize("value", ["", None], ids=["empty", "absent"])
def test_half_a_service_is_none(value: str | None):
    labels = exported() | {wk.COLLECTED_BY: wk.COLLECTED_BY_EXPORT}
    labels = {key: one for key, one in (labels | {wk.EXPORT_NAME: value}).items() if one is not None}
    assert [type(one) for one in plan(exported_work("m1", labels=labels), imported()).writes] == [DeleteSlice]


# --- whose slice is it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "occupant",
    [
        pytest.param(slice_("imported-m1-web-1"), id="somebody's own"),
        pytest.param(imported(work="another-work"), id="opening-17 another cluster's and slice's"),
    ],
)
def test_a_name_that_is_taken_makes_a_slice_take_another_and_keep_it(occupant: Json):
    [write] = plan(exported_work("m1"), occupant).writes
    assert isinstance(write, CreateSlice)
    assert write.body["metadata"]["name"].startswith("imported-m1-web-1-")
    made = write.body | {"metadata": write.body["metadata"] | {"resourceVersion": "8"}}
    assert plan(exported_work("m1"), occupant, made).writes == ()
    assert plan(exported_work("m1"), made).writes == (), "also when the usual name is free again"


def test_a_provider_cannot_take_all_names_of_an_imported_slice_of_another():
    *squatted, last = imported_slice_names("m1", "web-1")
    [write] = plan(exported_work("m1"), *(imported(name, work="another-work") for name in squatted)).writes
    assert isinstance(write, CreateSlice)
    assert write.body["metadata"]["name"] == last


def test_no_slice_is_imported_into_a_reserved_namespace_and_the_work_is_left_as_its_maker_wants_it():
    carrier = exported_work("m1", slice_(namespace="kube-system"))
    assert plan_import(a_work(carrier), [], lambda *_: None) == ImportPlan((), None)
    [write] = plan_import(a_work(carrier), [decode(imported())], lambda *_: None).writes
    assert isinstance(write, DeleteSlice)


def test_of_two_slices_of_one_work_the_one_under_the_usual_name_stays():
    [write] = plan(exported_work("m1"), imported("imported-a"), imported()).writes
    assert isinstance(write, DeleteSlice)
    assert write.name == "imported-a"


def test_a_slice_that_was_applied_by_execution_is_not_taken_for_one_of_ours():
    applied = imported(labels={wk.MANAGED: wk.TRUE, wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER})
    assert work_of(decode(applied)) is None
    assert work_of(a_slice(annotations=imported()["metadata"]["annotations"])) is None
    assert work_of(decode(imported())) == (ES, NAME)


def stripped(*, name: str = "imported-m1-web-1", labels: dict[str, str], annotations: dict[str, str]) -> Json:
    """A slice that names no Work any more."""
    return slice_(name, service=None, labels=labels, annotations=annotations)


@pytest.mark.parametrize(
    ("labels", "annotations"),
    [
        pytest.param({}, {}, id="nothing is left"),
        pytest.param({wk.WORK_PERMANENT_ID: "other", wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}, {}, id="another id"),
        pytest.param({wk.SLICE_MANAGED_BY: "others"}, {wk.WORK_NAME: NAME}, id="another manager"),
        pytest.param({wk.SERVICE_NAME: "web", wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}, {}, id="another service"),
        pytest.param({wk.MANAGED: wk.TRUE, wk.WORK_PERMANENT_ID: "work-id"}, {}, id="applied by execution"),
        pytest.param({wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}, {wk.WORK_NAME: "other"}, id="another Work"),
    ],
)
def test_a_slice_whose_marks_do_not_say_that_it_is_ours_is_not_claimed(labels: Any, annotations: Any):
    there = stripped(labels=labels, annotations=annotations)
    assert [type(one) for one in plan(exported_work("m1"), there).writes] == [CreateSlice]
    assert plan(exported_work("m1", deleting=True), there).writes == ()


def test_a_stripped_slice_goes_with_its_work():
    there = stripped(labels={wk.WORK_PERMANENT_ID: "work-id"}, annotations={})
    assert [type(one) for one in plan(exported_work("m1", deleting=True), there).writes] == [DeleteSlice]


def test_of_two_slices_the_second_that_was_made_for_a_stripped_one_goes():
    there = stripped(labels={wk.WORK_PERMANENT_ID: "work-id"}, annotations={})
    patch, gone = plan(exported_work("m1"), there, imported("imported-m1-web-1-6cb65f8b96")).writes
    assert isinstance(patch, PatchSlice)
    assert patch.name == "imported-m1-web-1"
    assert isinstance(gone, DeleteSlice)
    assert gone.name == "imported-m1-web-1-6cb65f8b96"


def test_a_stripped_slice_that_may_be_another_works_is_left_to_it_by_one_that_has_its_own():
    there = stripped(labels={wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}, annotations={})
    assert plan(exported_work("m1"), there, imported("imported-m1-web-1-6cb65f8b96")) == ImportPlan((), None)


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------


def golden_export() -> tuple[Json, Json]:
    """The collected Work and the imported slice."""
    works = golden("serviceexport/host-works-karmada-es-member1")["items"]
    [work] = [one for one in works if one["spec"]["workload"]["manifests"][0]["kind"] == wk.SLICE_KIND]
    [found] = golden("serviceexport/host-endpointslices")["items"]
    return work, found


def test_golden_the_imported_slice_is_reproduced_field_by_field():
    work, expected = golden_export()
    [write] = plan_import(a_work(work), [], lambda *_: None).writes
    assert isinstance(write, CreateSlice)
    assert write.body == as_written(expected)


def test_golden_what_karmada_imported_is_adopted_without_a_write():
    work, expected = golden_export()
    assert plan_import(a_work(work), [decode(expected)], lambda *_: None) == ImportPlan((), None)


def test_addresses_that_api_servers_refuse_are_left_out_alone():
    carrier = exported_work("m1", slice_(addresses=["10.0.0.1", "127.0.0.1", "10.2.0.1"]))
    made = plan(carrier)
    [write] = made.writes
    assert isinstance(write, CreateSlice)
    assert write.body["endpoints"] == [endpoint("10.0.0.1"), endpoint("10.2.0.1")]
    assert made.addresses == (Finding(True, 1, Kind.REFUSED, "127.0.0.1", "loopback"),)
    again = plan(carrier, imported(addresses=["10.0.0.1", "10.2.0.1"]))
    assert again == ImportPlan((), None, made.addresses)


def test_suspicious_addresses_are_left_out_by_a_flag():
    carrier = exported_work("m1", slice_(addresses=["10.0.0.1", "10.2.0.1"]))
    rules = AddressRules(parse_member_ranges(["m2=10.2.0.0/16"]), drop_suspicious=True)
    [write] = plan_import(a_work(carrier), [], lambda *_: None, addresses=rules).writes
    assert isinstance(write, CreateSlice)
    assert write.body["endpoints"] == [endpoint("10.0.0.1")]
