"""What one member's slices may make the control plane hold."""

from typing import Any

import pytest

from mcs_controller.domain.work_limits import Withheld, WorkLimits, WorkUsage, usage_of
from mcs_controller.domain.works import CreateWork, DeleteWork, PatchWork
from tests.support.builders import a_work, collected_work, dispatched_work, mcs_work, slice_, work

CREATE = CreateWork("karmada-es-m1", {"metadata": {"name": "w"}})
DELETE = DeleteWork("karmada-es-m1", "w", "uid", "7")
LABELS = PatchWork("karmada-es-m1", "w", {"metadata": {"labels": {}}})
THERE = a_work(collected_work("m1", slice_(addresses=["10.0.0.1", "10.0.0.2"])))


def content(*addresses: str) -> PatchWork:
    manifest = collected_work("m1", slice_(addresses=addresses))["spec"]["workload"]["manifests"][0]
    return PatchWork("karmada-es-m1", "w", {"metadata": {}, "spec": {"workload": {"manifests": [manifest]}}})


LARGER, SMALLER = content("10.0.0.1", "10.0.0.2", "10.0.0.3"), content("10.0.0.1")


@pytest.mark.parametrize(
    ("limits", "usage", "refused"),
    [
        (WorkLimits(), (10**9, 10**12), []),
        (WorkLimits(10, 1000), (9, 999), []),
        (WorkLimits(10, 1000), (10, 0), [CREATE]),
        (WorkLimits(10, 1000), (0, 1000), [CREATE]),
        (WorkLimits(0, 1000), (10**9, 999), []),
        (WorkLimits(10, 0), (9, 10**12), []),
        (WorkLimits(10, 0), (10**9, 10**12), [CREATE]),
        (WorkLimits(10, 1000), (10, 1999), [CREATE]),
        (WorkLimits(10, 1000), (1, 2000), [CREATE, LARGER]),
    ],
)
def test_at_the_limit_no_works_are_made_and_at_twice_the_bytes_none_becomes_larger(
    limits: WorkLimits, usage: tuple[int, int], refused: list[Any]
):
    writes = (CREATE, LARGER, SMALLER, LABELS, DELETE)
    found = {id(one): limits.withheld("m1", one, lambda: THERE, WorkUsage(*usage)) for one in writes}
    assert [one for one in writes if found[id(one)] is not None] == refused
    assert found[id(CREATE)] in (None, Withheld.SLICE)
    assert found[id(LARGER)] in (None, Withheld.GROWTH)


def test_the_words_name_the_limit_and_not_how_much_there_is():
    limits = WorkLimits(10, 1000)
    texts = {limits.problem(WorkUsage(works, 0)) for works in range(10, 20)}
    assert texts == {"it has the 10 Works that one member may have (--member-max-works)"}
    texts = {limits.problem(WorkUsage(1, size)) for size in range(1000, 1010)}
    assert texts == {"its Works have the 1000 bytes that one member may have (--member-max-work-bytes)"}


def test_there_is_room_of_a_share_only_below_it():
    assert WorkLimits(10).problem(WorkUsage(9), share=0.9) is not None
    assert WorkLimits(10).problem(WorkUsage(8), share=0.9) is None


@pytest.mark.parametrize(
    ("content", "provider"),
    [
        (collected_work("m1"), "m1"),
        (dispatched_work("m1", "m2"), "m1"),
        (mcs_work("m1"), None),
        (work("m1", "other", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}), None),
        (work("m1", "garbage", "x"), None),
        (work("m1", "empty"), None),
    ],
    ids=["collected", "dispatched", "service", "of others", "garbage", "empty"],
)
def test_copies_of_slices_count_toward_their_provider(content: Any, provider: str | None):
    decoded = a_work(content)
    expected = (provider, len(decoded.manifests[0].raw)) if provider is not None else None
    assert usage_of(decoded) == expected
    assert usage_of(None) is None
