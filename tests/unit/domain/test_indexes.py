"""By what objects are found."""

from collections.abc import Hashable
from typing import Any

import pytest

from mcs_controller.domain import indexes
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import Role, SliceRef
from tests.support.builders import (
    a_slice,
    a_work,
    an_mcs,
    collected_work,
    dispatched_work,
    filed,
    mcs_work,
    service,
    work,
)

ORIGIN = SliceRef("m1", "default", "web-1")


def under(index: str, content: dict[str, Any]) -> set[Hashable]:
    return set(indexes.WORK_INDEXES[index](a_work(content)))


@pytest.mark.parametrize(
    ("content", "service", "origin", "provider"),
    [
        pytest.param(mcs_work("m1"), {("default", "web")}, set(), {(Role.SERVICE, "m1")}, id="carries an MCS"),
        pytest.param(
            collected_work("m1"),
            {("default", "web")},
            {(Role.COLLECTED, ORIGIN)},
            {(Role.COLLECTED, "m1")},
            id="collected",
        ),
        pytest.param(
            dispatched_work("m1", "m2"), {("default", "web")}, {(Role.DISPATCHED, ORIGIN)}, set(), id="dispatched"
        ),
        pytest.param(work("m1", "x", service(), labels={}), set(), set(), set(), id="somebody else's"),
        pytest.param(work("m1", "x", 7, labels=filed()), {("default", "web")}, set(), set(), id="garbage"),
        pytest.param(work("m1", "x", labels={wk.MCS_NAME: "web"}), set(), set(), set(), id="half a label pair"),
        pytest.param(mcs_work("m1", namespace="default"), {("default", "web")}, set(), set(), id="a stray namespace"),
    ],
)
def test_works_are_filed(content: Any, service: set[Any], origin: set[Any], provider: set[Any]):
    assert under(indexes.BY_SERVICE, content) == service
    assert under(indexes.BY_ORIGIN, content) == origin
    assert under(indexes.BY_PROVIDER, content) == provider


def test_openings_11_and_12_a_service_finds_the_works_that_carry_it_whatever_their_labels_say():
    assert under(indexes.BY_SERVICE, mcs_work("m1", labels={})) == {("default", "web")}
    assert under(indexes.BY_SERVICE, mcs_work("m1", labels=filed("x"))) == {("default", "web"), ("default", "x")}
    assert under(indexes.BY_SERVICE, collected_work("m1", labels={wk.MCS_PERMANENT_ID: ""})) == set()


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"providers": ["m1"], "consumers": ["m2", "m1"]}, {"m1", "m2"}),
        ({"providers": ["m1"]}, {"m1", "*"}),
        ({"consumers": ["m1"]}, {"m1", "*"}),
        ({}, {"*"}),
        ({"providers": [], "consumers": []}, {"*"}),
    ],
    ids=["both lists", "no consumers", "no providers", "no lists", "empty lists"],
)
def test_services_are_found_by_their_clusters_and_by_every_cluster(fields: dict[str, Any], found: set[str]):
    assert set(indexes.SERVICE_INDEXES[indexes.BY_CLUSTER](an_mcs(**fields))) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [({}, {("default", "web")}), ({"service": None}, set()), ({"service": ""}, set())],
    ids=["labelled", "not labelled", "empty label"],
)
def test_slices_are_found_by_their_service(fields: dict[str, Any], found: set[Any]):
    assert set(indexes.SLICE_INDEXES[indexes.BY_SERVICE](a_slice(**fields))) == found


@pytest.mark.parametrize("index", indexes.WORK_INDEXES)
@pytest.mark.parametrize(
    "content",
    [
        work("m1", "x"),
        work("m1", "x", 7, None, annotations={wk.PROVISION_CLUSTER: "m1"}),
        work("m1", "x", {"apiVersion": "v1", "kind": "Y"}),
        dispatched_work("m1", "m2", annotations={wk.PROVISION_CLUSTER: "other"}),
        work(
            "m1",
            "x",
            {"apiVersion": wk.SLICE_API_VERSION, "kind": wk.SLICE_KIND, "metadata": {"name": "x"}},
            labels=filed(),
        ),
    ],
    ids=["empty", "garbage with an annotation", "no metadata", "annotation and name differ", "no namespace"],
)
def test_no_work_is_too_odd_for_an_index(index: str, content: Any):
    assert isinstance(under(index, content), set)
