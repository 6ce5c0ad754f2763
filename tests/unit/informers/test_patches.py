"""Merge patches: what turns one object into another, and what adds and removes finalizers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers import ObjectMeta, PartialObject
from informers.patches import (
    apply_merge_patch,
    changed_marks,
    create_merge_patch,
    metadata_patch,
    plan_add_finalizer,
    plan_remove_finalizer,
    without_nulls,
)

KEYS = st.sampled_from("abc")
VALUES = st.recursive(
    st.booleans() | st.integers(0, 2) | st.text("x", max_size=1) | st.lists(st.integers(0, 1), max_size=2),
    lambda below: st.dictionaries(KEYS, below, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)

MINE, OTHER = "a.example/mine", "b.example/other"


def an_object(*finalizers: str, going: bool = False) -> PartialObject:
    deleted = "2026-01-01T00:00:00Z" if going else None
    return PartialObject(ObjectMeta(resource_version="7", finalizers=finalizers, deletion_timestamp=deleted))


@pytest.mark.parametrize(
    ("before", "after"), [((), [MINE]), ((OTHER,), [OTHER, MINE]), ((MINE,), None), ((MINE, OTHER), None)], ids=str
)
def test_adding_keeps_those_of_others_and_the_version(before: tuple[str, ...], after: list[str] | None):
    patch = after and {"metadata": {"resourceVersion": "7", "finalizers": after}}
    assert plan_add_finalizer(an_object(*before), MINE) == patch


def test_object_that_is_being_deleted_gets_no_new_one():
    assert plan_add_finalizer(an_object(OTHER, going=True), MINE) is None


@pytest.mark.parametrize(
    ("before", "after"), [((), None), ((OTHER,), None), ((MINE,), []), ((OTHER, MINE, "c"), [OTHER, "c"])], ids=str
)
@pytest.mark.parametrize("going", [False, True])
def test_removing_keeps_those_of_others_and_the_version(before: tuple[str, ...], after: list[str] | None, going: bool):
    patch = None if after is None else {"metadata": {"resourceVersion": "7", "finalizers": after}}
    assert plan_remove_finalizer(an_object(*before, going=going), MINE) == patch


@given(OBJECTS, OBJECTS)
def test_patch_turns_one_object_into_the_other_and_is_empty_for_equals(before: dict[str, Any], after: dict[str, Any]):
    assert apply_merge_patch(before, create_merge_patch(before, after)) == after
    assert create_merge_patch(after, after) == {}


def test_patch_names_only_what_differs():
    before = {"same": {"a": 1}, "gone": 1, "below": {"x": 1, "y": 1, "z": 1}, "list": [1, 2]}
    after = {"same": {"a": 1}, "below": {"x": 1, "y": 2}, "list": [1], "new": {"b": 1}}
    patch = {"gone": None, "below": {"z": None, "y": 2}, "list": [1], "new": {"b": 1}}
    assert create_merge_patch(before, after) == patch


def test_applying_leaves_what_it_was_given_as_it_is():
    before, patch = {"a": {"b": 1}}, {"a": {"b": None, "c": {"d": None, "e": 1}}, "f": [None]}
    assert apply_merge_patch(before, patch) == {"a": {"c": {"e": 1}}, "f": [None]}
    assert before == {"a": {"b": 1}}


def test_nulls_go_inside_of_lists_as_well():
    assert without_nulls({"a": [{"b": 1, "c": None}], "d": None}) == {"a": [{"b": 1}]}
    assert without_nulls([None, ()]) == [None, []]


def test_metadata_is_patched_at_the_version_it_was_read_at_and_not_without_a_change():
    meta = ObjectMeta(resource_version="7", labels={"a": "1", "b": "1"}, annotations={"c": "1"})
    changes = changed_marks(meta, {"b": "2"}, {"c": "1"})
    assert changes == {"labels": {"a": None, "b": "2"}}
    assert metadata_patch(meta, changes) == {"metadata": {"resourceVersion": "7"} | changes}
    assert metadata_patch(meta, changed_marks(meta, meta.labels, meta.annotations)) is None
