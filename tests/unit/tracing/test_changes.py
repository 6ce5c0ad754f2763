"""Which trace a change has."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import SliceRef
from mcs_controller.tracing.changes import Change, change_of_slice, change_of_work
from tests.support.builders import a_slice, a_work, collected_work, dispatched_work, slice_

ORIGIN = SliceRef("m1", "default", "web-1")
TRIGGERED = {wk.TRIGGER_TIME: "2026-01-01T00:00:00Z"}


def triggered(name: str = "web-1") -> dict[str, Any]:
    content = slice_(name)
    content["metadata"]["annotations"] = dict(TRIGGERED)
    return content


def test_who_collects_and_who_dispatches_agree_on_the_trace_without_telling_each_other():
    observed = a_slice(metadata={"annotations": TRIGGERED, "uid": "u", "resourceVersion": "7"})
    collected = a_work(collected_work("m1", triggered()))
    assert change_of_slice(ORIGIN, observed) == change_of_work(collected)


def test_each_change_of_each_slice_has_a_trace_of_its_own():
    changes = [
        Change(ORIGIN, "1"),
        Change(ORIGIN, "2"),
        Change(SliceRef("m1", "default", "web-2"), "1"),
        Change(SliceRef("m1", "web-1", "default"), "1"),
        Change(SliceRef("m2", "default", "web-1"), "1"),
    ]
    assert len({change.ids() for change in changes}) == len(changes)
    # The ids are a contract between processes of different versions.
    assert Change(ORIGIN, "1").ids() == (0x7C6BBC0A3A25431CD14F86CFB7A7A022, 0xD360D301EC947AB3)


def test_a_slice_without_trigger_time_goes_by_its_version():
    assert change_of_slice(ORIGIN, a_slice(metadata={"uid": "u", "resourceVersion": "7"})).version == "u/7"


@pytest.mark.parametrize(
    "work",
    [
        collected_work("m1", slice_()),
        dispatched_work("m1", "m2", triggered()),
        collected_work("m1", slice_() | {"metadata": slice_()["metadata"] | {"annotations": [5]}}),
        collected_work("m1", slice_()) | {"spec": {"workload": {"manifests": []}}},
    ],
    ids=["without-trigger-time", "dispatched", "garbage", "empty"],
)
def test_a_work_that_does_not_say_so_brings_no_change(work: dict[str, Any]):
    assert change_of_work(a_work(work)) is None
