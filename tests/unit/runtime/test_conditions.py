"""Conditions change as `meta.SetStatusCondition` changes them."""

from datetime import UTC, datetime

import msgspec
import pytest

from informers import Condition, ObjectMeta, PartialObject
from mcs_controller.runtime import find_condition, is_condition_true, plan_conditions, set_condition
from mcs_controller.runtime.conditions import remove_condition

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
THEN, STAMP = "2026-01-01T00:00:00Z", "2026-02-03T04:05:06Z"
READY = Condition("Ready", "True", "AllDone", "3 of 3", THEN, 1)
OTHERS = Condition("Others", "False", "NotOurs", "", None)


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        (Condition("Ready", "True", "AllDone", "3 of 3", observed_generation=1), READY),
        (
            Condition("Ready", "True", "AllDone", "4 of 4", observed_generation=2),
            Condition("Ready", "True", "AllDone", "4 of 4", THEN, 2),
        ),
        (Condition("Ready", "True", "AllDone", "3 of 3", "2020-01-01T00:00:00Z", 1), READY),
        (
            Condition("Ready", "False", "Waiting", "2 of 3", observed_generation=1),
            Condition("Ready", "False", "Waiting", "2 of 3", STAMP, 1),
        ),
        (
            Condition("Ready", "Unknown", "Waiting", "", "2020-01-01T00:00:00Z"),
            Condition("Ready", "Unknown", "Waiting", "", "2020-01-01T00:00:00Z"),
        ),
    ],
    ids=["equal", "other message and generation", "time does not count", "other status", "time of its own"],
)
def test_time_changes_with_the_status_only_and_all_else_is_taken_over(wanted: Condition, after: Condition):
    assert set_condition((OTHERS, READY), wanted, now=NOW) == (OTHERS, after)


def test_new_type_comes_last():
    wanted = Condition("Ready", "True", "AllDone")
    assert set_condition((OTHERS,), wanted, now=NOW) == (OTHERS, Condition("Ready", "True", "AllDone", "", STAMP))


def test_zero_time_stays_while_the_status_does():
    assert set_condition((OTHERS,), Condition("Others", "False", "NotOurs"), now=NOW) == (OTHERS,)


def test_conditions_are_found_and_removed_by_type():
    assert find_condition((OTHERS, READY), "Ready") is READY
    assert find_condition((OTHERS,), "Ready") is None
    assert is_condition_true((OTHERS, READY), "Ready")
    assert not is_condition_true((OTHERS, READY), "Others")
    assert not is_condition_true((), "Ready")
    assert remove_condition((OTHERS, READY), "Ready") == (OTHERS,)


def test_patch_has_the_whole_list_and_the_version_and_there_is_none_without_a_difference():
    obj = PartialObject(ObjectMeta(resource_version="7"))
    same = Condition("Ready", "True", "AllDone", "3 of 3", observed_generation=1)
    assert plan_conditions(obj, (OTHERS, READY), [same], now=NOW) is None
    assert plan_conditions(obj, [OTHERS, READY], [same], now=NOW) is None
    patch = plan_conditions(obj, (OTHERS,), [same, Condition("New", "Unknown", "NotKnown")], now=NOW)
    assert patch == {
        "metadata": {"resourceVersion": "7"},
        "status": {
            "conditions": [
                {"type": "Others", "status": "False", "reason": "NotOurs", "message": "", "lastTransitionTime": None},
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "AllDone",
                    "message": "3 of 3",
                    "lastTransitionTime": STAMP,
                    "observedGeneration": 1,
                },
                {"type": "New", "status": "Unknown", "reason": "NotKnown", "message": "", "lastTransitionTime": STAMP},
            ]
        },
    }


def test_condition_of_others_comes_out_as_it_went_in():
    wire = b'{"type":"Others","status":"False","reason":"","message":"","lastTransitionTime":null}'
    assert msgspec.json.encode(msgspec.json.decode(wire, type=Condition)) == wire
