"""One collected Work for all who want the slice (contract 3.2 and 3.4, opening 19): the plan, as a pure function.

What MultiClusterService alone wants is in `test_collect`.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, TypeAlias

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.collect import (
    EXPORT,
    MCS,
    CollectFeature,
    marks_of,
    plan_collect,
    plan_unsynced,
    remove_managed_by,
)
from mcs_controller.domain.works import CreateWork, DeleteWork, PatchWork, Role, SliceRef, origin_of, role_of
from tests.support.builders import (
    Json,
    a_work,
    as_written,
    collected_work,
    decode,
    exported,
    exported_work,
    filed,
    golden,
    ids,
    slice_,
    work,
)
from tests.support.object_store import merge_patch

ORIGIN = SliceRef("m1", "default", "web-1")
NAME = "web-1-748bc4d6dc"
Said: TypeAlias = Mapping[CollectFeature, bool | None]
ONLY_EXPORT: Said = {EXPORT: True}
BOTH: Said = {MCS: True, EXPORT: True}
NEITHER: Said = {MCS: False, EXPORT: False}


def shared(**fields: Any) -> Json:
    """A Work that both features want."""
    marks = {wk.COLLECTED_BY: "MultiClusterService.ServiceExport", wk.WORK_PERMANENT_ID: "work-id"}
    fields.setdefault("labels", filed() | exported() | marks)
    fields.setdefault("finalizers", sorted([wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER]))
    return collected_work("m1", **fields)


def collect(observed: Json | None, said: Said, *present: Json) -> Any:
    """The plan for one slice, with these Works on the server."""
    works = [a_work(one) for one in present]
    by_key = {(one.metadata.namespace, one.metadata.name): one for one in works}
    copies = [one for one in works if role_of(one) is Role.COLLECTED and origin_of(one) == ORIGIN]
    sources = {feature: (lambda _, wanted=wanted: wanted) for feature, wanted in said.items()}
    seen = decode(observed) if observed is not None else None
    return plan_collect(ORIGIN, seen, sources, copies, lambda *key: by_key.get(key), ids())


def after(observed: Json | None, said: Said, *present: Json) -> Json | None:
    """The Work after the one write that is planned (None: deleted); a second look finds nothing."""
    writes = collect(observed, said, *present)
    if not writes:
        return present[0]
    [write] = writes
    if isinstance(write, DeleteWork):
        return None
    if isinstance(write, CreateWork):
        made: Json = write.body | {"metadata": write.body["metadata"] | {"uid": "u", "resourceVersion": "8"}}
    else:
        assert isinstance(write, PatchWork)
        assert write.body["metadata"]["resourceVersion"] == "7", "computed from what was seen, and from nothing else"
        made = merge_patch(present[0], write.body)
    assert collect(observed, said, made, *present[1:]) == ()
    return made


def brought(observed: Json | None, said: Said, *present: Json) -> Json:
    made = after(observed, said, *present)
    assert made is not None
    return made


# --- making and sharing one -------------------------------------------------------------------------------------------


def test_cases_41_and_47_an_exported_slice_without_work_gets_one():
    made = brought(slice_(), ONLY_EXPORT)
    assert (made["metadata"]["namespace"], made["metadata"]["name"]) == ("karmada-es-m1", NAME)
    assert made["metadata"]["labels"] == exported() | {wk.COLLECTED_BY: "ServiceExport", wk.WORK_PERMANENT_ID: "id-1"}
    assert made["metadata"]["finalizers"] == [wk.IMPORT_FINALIZER]
    assert made["spec"]["suspendDispatching"] is True


def test_case_43_a_work_marked_by_another_with_a_foreign_label_gets_both_marks_and_keeps_the_label():
    there = collected_work("m1", labels=filed() | {wk.COLLECTED_BY: wk.COLLECTED_BY_MCS, "own": "l"})
    made = brought(slice_(), ONLY_EXPORT, there)
    assert marks_of(a_work(made)) == {"MultiClusterService", "ServiceExport"}
    labels = made["metadata"]["labels"]
    assert labels.items() >= (filed() | exported() | {"own": "l"}).items()
    assert made["metadata"]["finalizers"] == sorted([wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER])


def test_opening_19_a_slice_that_both_want_is_one_work_made_by_one_write():
    made = brought(slice_(), BOTH)
    assert marks_of(a_work(made)) == {"MultiClusterService", "ServiceExport"}
    assert made["metadata"]["labels"].items() >= (filed() | exported()).items()
    assert made["metadata"]["finalizers"] == sorted([wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER])


def test_opening_04_a_slice_that_moves_to_another_service_moves_for_both_by_one_write():
    made = brought(slice_(service="other"), BOTH, shared())
    assert made["metadata"]["labels"].items() >= (filed("other") | exported("other")).items()


def test_one_feature_gives_up_while_the_other_goes_on_by_one_write():
    moved = slice_(service="other", addresses=["10.0.0.9"])
    made = brought(moved, {MCS: True, EXPORT: False}, shared())
    labels = made["metadata"]["labels"]
    assert labels == filed("other") | {wk.COLLECTED_BY: "MultiClusterService", wk.WORK_PERMANENT_ID: "work-id"}
    assert made["metadata"]["finalizers"] == sorted([wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER]), (
        "whoever put it to use has to let go of it"
    )


WAYS = [
    pytest.param(mcs, export, before, id=f"mcs {mcs}, export {export}, before {before or 'nothing'}")
    for mcs, export, before in product((True, False), (True, False), ("", "MCS", "export", "both"))
]


@pytest.mark.parametrize(("mcs", "export", "before"), WAYS)
def test_opening_19_from_any_state_to_what_is_wanted(mcs: bool, export: bool, before: str):
    present = {"": [], "MCS": [collected_work("m1")], "export": [exported_work("m1")], "both": [shared()]}[before]
    if not (mcs or export):
        made = after(slice_(), NEITHER, *present) if present else None
        assert made is None
        return
    made = brought(slice_(), {MCS: mcs, EXPORT: export}, *present)
    labels = made["metadata"]["labels"]
    assert marks_of(a_work(made)) == {one.mark for one, wanted in ((MCS, mcs), (EXPORT, export)) if wanted}
    assert (labels.items() >= filed().items()) is mcs
    assert (labels.items() >= exported().items()) is export
    assert (wk.MCS_NAME in labels, wk.EXPORT_NAME in labels) == (mcs, export)


# --- giving one up ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "wanted"),
    [(None, True), (slice_(), False), (slice_(labels={wk.SLICE_MANAGED_BY: wk.SLICE_IMPORTER}), True)],
    ids=["case-36 slice gone", "case-46 no ServiceExport", "became a copy"],
)
def test_case_35_a_work_that_only_an_export_wants_is_deleted(observed: Json | None, wanted: bool):
    assert collect(observed, {EXPORT: wanted}) == (), "and without a Work there is nothing to do"
    assert after(observed, {EXPORT: wanted}, exported_work("m1")) is None


def test_cases_37_and_39_what_another_controller_wants_as_well_stays_without_export_labels_and_mark():
    made = brought(None, ONLY_EXPORT, shared())
    assert made["metadata"]["labels"] == filed() | {
        wk.COLLECTED_BY: "MultiClusterService",
        wk.WORK_PERMANENT_ID: "work-id",
    }


@pytest.mark.parametrize("said", [{EXPORT: False}, ONLY_EXPORT], ids=["export gone", "slice gone"])
def test_case_51_a_work_marked_only_by_another_controller_is_kept_as_it_is(said: Said):
    observed = None if said == ONLY_EXPORT else slice_(addresses=["10.9.9.9"])
    assert collect(observed, said, collected_work("m1")) == ()


def test_case_52_a_labelled_work_without_mark_is_nobodys_orphan():
    unmarked = work("m1", NAME, slice_(), labels=exported())
    assert collect(None, {EXPORT: False}, unmarked) == ()
    assert remove_managed_by(a_work(unmarked), [EXPORT]) is None
    emptied = work("m1", NAME, slice_(), labels=exported() | {wk.COLLECTED_BY: ""})
    assert remove_managed_by(a_work(emptied), []) is None, "nobody has given it up"


def test_a_work_without_labels_that_waits_for_the_importer_is_a_collected_one():
    assert role_of(a_work(work("m1", NAME, slice_(), finalizers=[wk.IMPORT_FINALIZER]))) is Role.COLLECTED


def test_a_slice_that_is_gone_is_wanted_by_nobody_also_if_it_is_not_known_what_is_wanted():
    assert after(None, {MCS: None, EXPORT: None}, shared()) is None


# --- what is not known ------------------------------------------------------------------------------------------------


def test_case_45_who_does_not_know_makes_nothing():
    assert collect(slice_(), {EXPORT: None}) == ()


def test_case_45_who_does_not_know_keeps_what_there_is_up_to_date():
    made = brought(slice_(addresses=["10.0.0.9"]), {EXPORT: None}, exported_work("m1"))
    [manifest] = made["spec"]["workload"]["manifests"]
    assert manifest["endpoints"][0]["addresses"] == ["10.0.0.9"]
    assert marks_of(a_work(made)) == {"ServiceExport"}


def test_who_does_not_know_keeps_its_mark_when_the_other_gives_up_or_moves():
    made = brought(slice_(), {MCS: False, EXPORT: None}, shared())
    assert marks_of(a_work(made)) == {"ServiceExport"}
    made = brought(slice_(service="other"), {MCS: True, EXPORT: None}, shared())
    assert made["metadata"]["labels"].items() >= (filed("other") | exported("web")).items()
    made = brought(slice_(service="other"), {MCS: False, EXPORT: None}, shared())
    assert marks_of(a_work(made)) == {"ServiceExport"}


@pytest.mark.parametrize(
    ("said", "marks"),
    [
        ({MCS: True, EXPORT: True}, {"MultiClusterService", "ServiceExport"}),
        ({MCS: False, EXPORT: None}, {"ServiceExport"}),
        ({MCS: None, EXPORT: False}, {"MultiClusterService"}),
        ({EXPORT: False}, {"MultiClusterService"}),
        ({MCS: False, EXPORT: False}, None),
    ],
)
def test_case_48_while_slices_are_not_known_only_what_nobody_wants_goes(said: Said, marks: set[str] | None):
    there = shared()
    sources = {feature: (lambda _, wanted=wanted: wanted) for feature, wanted in said.items()}
    writes = plan_unsynced([a_work(there)], sources)
    if marks == {"MultiClusterService", "ServiceExport"}:
        assert writes == ()
        return
    [write] = writes
    assert isinstance(write, DeleteWork if marks is None else PatchWork)
    if isinstance(write, PatchWork):
        assert marks_of(a_work(merge_patch(there, write.body))) == marks


# --- as Karmada wrote it ----------------------------------------------------------------------------------------------


def test_golden_the_work_collected_for_an_export_is_reproduced_field_by_field():
    works = golden("serviceexport/host-works-karmada-es-member1")["items"]
    [expected] = [one for one in works if one["spec"]["workload"]["manifests"][0]["kind"] == wk.SLICE_KIND]
    [observed] = golden("serviceexport/member1-endpointslices")["items"]
    origin = SliceRef("member1", "sx", observed["metadata"]["name"])
    work_id = str(expected["metadata"]["labels"][wk.WORK_PERMANENT_ID])
    sources = {EXPORT: lambda service: service == ("sx", "serve")}
    [write] = plan_collect(origin, decode(observed), sources, [], lambda *_: None, lambda: work_id)
    assert isinstance(write, CreateWork)
    assert write.body == as_written(expected)
    assert plan_collect(origin, decode(observed), sources, [decode(expected)], lambda *_: None, ids()) == ()
