"""Case 52, where a Work is marked as collected and somebody has taken its suspension off."""

import pytest

from mcs_controller.domain.collect import EXPORT, plan_collect
from mcs_controller.domain.works import DeleteWork, PatchWork, SliceRef, origin_of
from tests.support.builders import Json, a_work, decode, exported_work, ids, slice_
from tests.support.object_store import merge_patch

ORIGIN = SliceRef("m1", "default", "web-1")


def resumed(flag: bool | None) -> Json:
    made = exported_work("m1")
    if flag is None:
        del made["spec"]["suspendDispatching"]
    else:
        made["spec"]["suspendDispatching"] = flag
    return made


@pytest.mark.parametrize("flag", [False, None], ids=["false", "absent"])
def test_case_52_a_collected_work_that_somebody_resumed_is_suspended_again_or_goes_with_its_slice(flag: bool | None):
    """The peer leaves it as it is, so its slice would be imported for ever: here it is an orphan like any other."""
    there = resumed(flag)

    def collect(observed: Json | None) -> object:
        seen = decode(observed) if observed is not None else None
        copies = [work for work in [a_work(there)] if origin_of(work) == ORIGIN]
        [write] = plan_collect(ORIGIN, seen, {EXPORT: lambda _: True}, copies, lambda *_: None, ids())
        return write

    patch = collect(slice_())
    assert isinstance(patch, PatchWork)
    assert merge_patch(there, patch.body)["spec"]["suspendDispatching"] is True
    assert isinstance(collect(None), DeleteWork)
