"""Which events are worth a reconcile."""

import pytest

from informers import Event, ObjectMeta, PartialObject
from mcs_controller.runtime import generation_changed


def an_object(generation: int) -> PartialObject:
    return PartialObject(ObjectMeta(name="a", generation=generation))


@pytest.mark.parametrize(
    ("event", "passes"),
    [
        (Event(new=an_object(1)), True),
        (Event(old=an_object(1)), True),
        (Event(old=an_object(1), new=an_object(2)), True),
        (Event(old=an_object(1), new=an_object(1)), False),
    ],
    ids=["added", "deleted", "spec", "status"],
)
def test_updates_pass_with_a_new_generation_only(event: Event[PartialObject], passes: bool):
    assert generation_changed(event) is passes
