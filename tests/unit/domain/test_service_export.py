"""Which Works ask for a member's ServiceExports to be followed (contract 3.4)."""

from typing import Any

import pytest

from informers.cache.event import Event
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.serviceexport import EXPORT_WORK_INDEXES, asking_changed, asks_for_exports, carries_export
from tests.support.builders import (
    Json,
    a_work,
    collected_work,
    condition,
    export_work,
    exported_work,
    golden,
    mcs_work,
    service_export,
    slice_,
    work,
)


@pytest.mark.parametrize(
    ("content", "asks"),
    [
        pytest.param(export_work("m1"), True, id="applied"),
        pytest.param(export_work("m1", applied="False"), False, id="case-55 not applied"),
        pytest.param(export_work("m1", applied=""), False, id="case-55 not applied yet"),
        pytest.param(export_work("m1", deleting=True), False, id="case-55 being deleted"),
        pytest.param(export_work("m1", slice_()), False, id="case-55 without a ServiceExport"),
        pytest.param(export_work("m1", suspended=True), False, id="case-58 suspended"),
        pytest.param(export_work("m1", suspended=False), True, id="case-58 not suspended"),
        pytest.param(export_work("m1", service_export() | {"apiVersion": "other/v1"}), False, id="another group"),
        pytest.param(exported_work("m1"), True, id="opening-20 collected for an export"),
        pytest.param(exported_work("m1", deleting=True), False, id="collected, being deleted"),
        pytest.param(collected_work("m1"), False, id="collected for a MultiClusterService"),
        pytest.param(mcs_work("m1"), False, id="a MultiClusterService"),
        pytest.param(work("m1", "x"), False, id="nothing"),
    ],
)
def test_which_works_ask(content: Json, asks: bool):
    assert asks_for_exports(a_work(content)) is asks


def test_a_work_with_several_manifests_may_carry_an_export_among_them():
    assert carries_export(a_work(work("m1", "x", slice_(), service_export())))


@pytest.mark.parametrize(
    ("old", "new", "matters"),
    [
        pytest.param(None, export_work("m1", applied=""), True, id="opening-20 created"),
        pytest.param(export_work("m1"), None, True, id="deleted"),
        pytest.param(export_work("m1", applied=""), export_work("m1"), True, id="case-59 only the new one asks"),
        pytest.param(export_work("m1"), export_work("m1", suspended=True), True, id="case-59 only the old one asks"),
        pytest.param(export_work("m1"), export_work("m1", annotations={"a": "b"}), False, id="asks as before"),
        pytest.param(exported_work("m1"), collected_work("m1"), True, id="no longer exported"),
        pytest.param(exported_work("m1"), exported_work("m1", slice_(service="x")), True, id="for another"),
        pytest.param(collected_work("m1"), collected_work("m1", annotations={"a": "b"}), False, id="not exported"),
    ],
)
def test_what_is_worth_a_look(old: Json | None, new: Json | None, matters: bool):
    event: Event[Any] = Event(old=a_work(old) if old else None, new=a_work(new) if new else None)
    assert asking_changed(event) is matters


def test_a_resync_is_worth_a_look():
    same = a_work(export_work("m1"))
    assert asking_changed(Event(old=same, new=same))


def test_works_are_found_by_what_they_export_and_by_cluster():
    by_export, by_exporter = EXPORT_WORK_INDEXES["export"], EXPORT_WORK_INDEXES["exporter"]
    collected = a_work(exported_work("m1"))
    assert list(by_export(collected)) == [("m1", "default", "web")]
    assert list(by_exporter(collected)) == ["m1"]
    assert list(by_export(a_work(export_work("m1")))) == []
    assert list(by_exporter(a_work(export_work("m1")))) == ["m1"]
    for other in (collected_work("m1"), exported_work("m1", namespace="elsewhere"), work("m1", "x", slice_())):
        assert list(by_export(a_work(other))) == []
        assert list(by_exporter(a_work(other))) == []


def test_golden_what_karmada_applied_asks_and_what_it_collected_does():
    works = golden("serviceexport/host-works-karmada-es-member1")["items"]
    asking = [one["spec"]["workload"]["manifests"][0]["kind"] for one in works if asks_for_exports(a_work(one))]
    assert sorted(asking) == [wk.SLICE_KIND, wk.SERVICE_EXPORT_KIND]
    [bringing] = [a_work(one) for one in works if carries_export(a_work(one))]
    assert condition(wk.APPLIED)["status"] == bringing.conditions[1].status
