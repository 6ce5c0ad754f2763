"""The time line of a change: which hop is reached by what, in whatever order the watches tell it."""

from __future__ import annotations

from typing import Any

import pytest

from mcs_controller.mcsctl.trace import Seen, seen_in_host, seen_in_member, timeline
from tests.support.builders import collected_work, dispatched_work, mcs_work, slice_

OLD, NEW, NEWER = (slice_(addresses=[address]) for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


def own(content: Any, at: float = 0, *, gone: bool = False) -> Seen:
    return seen_in_member("m1", content, gone=gone, seconds=at)


def work(content: Any, at: float, *, gone: bool = False) -> Seen:
    found = seen_in_host(content, gone=gone, seconds=at)
    assert found is not None
    return found


def copy(content: Any, at: float, *, gone: bool = False) -> Seen:
    carried = dispatched_work("m1", "m2", content)["spec"]["workload"]["manifests"][0]
    metadata = carried["metadata"] | {"annotations": {"endpointslice.karmada.io/provision-cluster": "m1"}}
    return seen_in_member("m2", carried | {"metadata": metadata}, gone=gone, seconds=at)


def milliseconds(*events: Seen, only: str = "") -> Any:
    return [one.milliseconds for one in timeline([own(OLD)], list(events), ["m1", "m2"], only)]


def test_hops_are_timed_from_the_change_of_the_slice():
    events = [
        own(NEW, 1),
        work(collected_work("m1", NEW), 1.01),
        work(dispatched_work("m1", "m2", NEW), 1.03),
        copy(NEW, 1.06),
    ]
    assert milliseconds(*events) == [0, 10, 30, 60]
    assert [(one.object, one.cluster) for one in timeline([own(OLD)], events, ["m2"])] == [
        ("EndpointSlice", "m1"),
        ("collected Work", "m1"),
        ("dispatched Work", "m2"),
        ("EndpointSlice of the consumer", "m2"),
    ]


def test_what_has_other_endpoints_is_not_the_change_and_a_later_change_is():
    stale = [work(collected_work("m1", OLD), 1.01), work(dispatched_work("m1", "m2", OLD), 1.02)]
    assert milliseconds(own(NEW, 1), *stale) == [0, None, None, None]
    assert milliseconds(own(NEW, 1), own(NEWER, 1.1), work(collected_work("m1", NEWER), 1.2)) == [0, 200, None, None]


def test_watch_that_is_ahead_of_that_of_the_slice_counts_too():
    assert milliseconds(work(collected_work("m1", NEW), 0.9), own(NEW, 1))[:2] == [0, -100]


@pytest.mark.parametrize("events", [[], [own(OLD, 1)], [work(collected_work("m1", NEW), 1)]])
def test_without_other_endpoints_there_is_no_change(events: Any):
    assert milliseconds(*events) == []


def test_slice_that_comes_empty_and_one_that_goes_are_changes():
    empty = slice_("web-trace", addresses=[])
    assert milliseconds(own(empty, 1), work(collected_work("m1", empty), 1.1), only="web-trace")[:2] == [0, 100]
    assert milliseconds(own(NEW, 1), only="web-trace") == []
    gone = [own(OLD, 1, gone=True), work(collected_work("m1", OLD), 1.1, gone=True)]
    assert milliseconds(*gone)[:2] == [0, 100]


def test_work_without_a_slice_is_no_hop():
    assert seen_in_host(mcs_work("m1"), gone=False, seconds=0) is None
