"""Collected Works that go: they are emptied before, and one that is found empty is finished (contract 4.3)."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.collect import EXPORT, MCS, plan_leaving, plan_unsynced, remove_managed_by
from mcs_controller.domain.import_slices import DeleteSlice
from mcs_controller.domain.naming import collected_names, slice_of_work_name, work_name
from mcs_controller.domain.works import DeleteWork, PatchWork, Role, SliceRef, origin_of, role_of
from tests.support.builders import (
    Json,
    a_work,
    collected_work,
    dispatched_work,
    exported_work,
    filed,
    mcs,
    mcs_work,
    slice_,
    work,
)
from tests.support.object_store import merge_patch
from tests.unit.domain.test_collect import NAME, ORIGIN, collect, collected
from tests.unit.domain.test_dispatch import by_key, dispatch
from tests.unit.domain.test_import_slices import imported, plan

LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


def emptied(there: Json | None = None) -> Json:
    """A collected Work between the two requests that end it."""
    there = there or collected_work("m1")
    write = remove_managed_by(a_work(there), [MCS, EXPORT])
    assert isinstance(write, DeleteWork)
    assert write.emptying is not None
    after: Json = merge_patch(there, write.emptying)
    return after


@given(namespace=LABELS, name=LABELS, turn=st.integers(0, 3))
def test_the_slice_is_known_by_any_name_that_its_work_may_have(namespace: str, name: str, turn: int):
    [chosen] = islice(collected_names(namespace, name), turn, turn + 1)
    assert slice_of_work_name(chosen, namespace) == name
    assert slice_of_work_name(chosen, f"{namespace}x") is None


@pytest.mark.parametrize("name", ["", "web", "web-1", work_name(wk.MCS_KIND, "default", "web")])
def test_other_names_are_of_no_slice(name: str):
    assert slice_of_work_name(name, "default") is None


def test_what_is_emptied_keeps_its_marks_and_the_finalizers_of_others():
    there = collected_work("m1", finalizers=("theirs", wk.DISPATCH_FINALIZER, wk.IMPORT_FINALIZER))
    after = emptied(there)
    assert after["spec"] == {"suspendDispatching": True, "workload": {"manifests": []}}
    assert after["metadata"] == there["metadata"] | {"finalizers": ["theirs"]}


@pytest.mark.parametrize("there", [collected_work("m1"), exported_work("m1")], ids=["service", "export"])
def test_an_emptied_work_is_still_known_for_what_it_is_and_deleted(there: Json):
    left = a_work(emptied(there))
    assert (role_of(left), origin_of(left)) == (Role.COLLECTED, ORIGIN)
    [write] = collect(None, emptied(there))
    assert write == DeleteWork("karmada-es-m1", NAME, left.metadata.uid, left.metadata.resource_version)


@pytest.mark.parametrize(
    "there",
    [
        work("m1", NAME, labels=filed()),
        work("m1", NAME, finalizers=[wk.DISPATCH_FINALIZER]),
        emptied() | {"spec": mcs_work("m1")["spec"]},
        work("m1", NAME, labels={wk.COLLECTED_BY: "x"}, annotations={wk.PROVISION_CLUSTER: "m2"}),
    ],
    ids=["unmarked", "with a finalizer only", "carries something", "a copy"],
)
def test_no_other_work_is_taken_for_an_emptied_one(there: Json):
    assert origin_of(a_work(there)) is None


def test_one_that_names_no_slice_is_left_to_others():
    assert origin_of(a_work(emptied() | {"metadata": emptied()["metadata"] | {"name": "other"}})) is None
    assert origin_of(a_work(work("m1", NAME, labels={wk.COLLECTED_BY: "MultiClusterService"}))) is None


def test_a_slice_that_is_wanted_again_fills_the_emptied_work():
    after = collected(slice_(), emptied())
    assert after["metadata"]["finalizers"] == [wk.DISPATCH_FINALIZER]
    assert after["spec"]["workload"]["manifests"][0]["metadata"]["name"] == "web-1"


@pytest.mark.parametrize("wanted", [True, False, None])
def test_it_is_finished_while_nothing_is_known_of_the_provider(wanted: bool | None):
    [write] = plan_unsynced([a_work(emptied())], {MCS: lambda _: wanted})
    assert isinstance(write, DeleteWork)


def test_its_copies_leave_the_consumers():
    copy = dispatched_work("m1", "m2")
    plan_ = dispatch(mcs(), by_key(emptied(), copy))
    assert [(one.cluster, type(one.write)) for one in plan_.copies] == [("m2", DeleteWork)]
    assert plan_.release == ()


def test_its_slice_leaves_the_control_plane():
    found = plan(emptied(exported_work("m1")), imported())
    assert [one.name for one in found.writes if isinstance(one, DeleteSlice)] == ["imported-m1-web-1"]
    assert found.release is None


def test_a_work_that_others_delete_is_let_go_without_a_change_of_what_it_carries():
    leaving = collected_work("m1", deleting=True)
    [release] = dispatch(mcs(), by_key(leaving)).release
    assert isinstance(release, PatchWork)
    assert "spec" not in release.body
    assert origin_of(a_work(leaving)) == SliceRef("m1", "default", "web-1")


# --- when the Cluster leaves ----------------------------------------------------------------------------------------


def test_what_was_collected_from_a_leaving_cluster_is_emptied_whoever_wants_it():
    there = [collected_work("m1"), exported_work("m1", slice_("web-2"))]
    writes = plan_leaving([a_work(one) for one in there])
    assert [(type(write), write.emptying is not None) for write in writes if isinstance(write, DeleteWork)] == [
        (DeleteWork, True),
        (DeleteWork, True),
    ]
    [write] = plan_leaving([a_work(emptied())])
    assert isinstance(write, DeleteWork)
    assert write.emptying is None


def test_a_work_that_goes_with_the_namespace_already_is_emptied_too_and_then_left_alone():
    there = collected_work("m1", deleting=True, finalizers=("theirs", wk.DISPATCH_FINALIZER))
    [write] = plan_leaving([a_work(there)])
    assert isinstance(write, DeleteWork)
    assert write.terminating
    after = merge_patch(there, write.emptying)
    assert after["spec"] == {"suspendDispatching": True, "workload": {"manifests": []}}
    assert after["metadata"]["finalizers"] == ["theirs"]
    assert plan_leaving([a_work(after)]) == ()
