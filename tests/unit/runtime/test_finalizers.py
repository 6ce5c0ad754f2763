"""What is patched to add and to remove a finalizer."""

from __future__ import annotations

import pytest

from informers import ObjectMeta, PartialObject
from mcs_controller.runtime import plan_add_finalizer, plan_remove_finalizer

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
    ("before", "after"),
    [((), None), ((OTHER,), None), ((MINE,), []), ((OTHER, MINE, "c"), [OTHER, "c"])],
    ids=str,
)
@pytest.mark.parametrize("going", [False, True])
def test_removing_keeps_those_of_others_and_the_version(before: tuple[str, ...], after: list[str] | None, going: bool):
    patch = None if after is None else {"metadata": {"resourceVersion": "7", "finalizers": after}}
    assert plan_remove_finalizer(an_object(*before, going=going), MINE) == patch
