"""Each thing that histories and crash points hold against a fleet can be told: by a fault that is planted for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from mcs_controller.domain import collect as sources
from mcs_controller.domain import works
from mcs_controller.standalone import member_applier as member_writer
from tests.support.fleet_model import Fleet
from tests.support.fleet_model_flows import FLOWS, NAMES, at_rest
from tests.support.fleet_model_oracle import complaints
from tests.support.fleet_model_process import AGENT, BESIDE, STANDALONE

if TYPE_CHECKING:
    from tests.support.fleet_model_process import Kind


def keep(*_: Any, **__: Any) -> bool:
    """Nothing is ever deleted."""
    return False


def say_more(intent: Any, permanent_id: str) -> Any:
    """Whoever wrote a Work before said less."""
    made = finish_manifest(intent, permanent_id)
    made["metadata"]["annotations"]["example.com/more"] = "said"
    return made


finish_manifest = works.finish_manifest

PLANTED = [
    pytest.param(
        STANDALONE, member_writer, "may_delete", keep, "of a Work that is gone", id="objects-whose-work-is-gone"
    ),
    pytest.param(
        AGENT, member_writer, "may_delete", keep, "of a Work that is gone", id="objects-whose-work-is-gone-agent"
    ),
    pytest.param(BESIDE, sources, "delete_collected", works.delete_work, "not {", id="native-slices-deleted"),
]


@pytest.mark.parametrize(("kinds", "module", "name", "fault", "told"), PLANTED)
async def test_a_service_that_ends_leaves_nothing_behind_and_takes_nothing_of_others_along(
    kinds: tuple[Kind, ...], module: Any, name: str, fault: Any, told: str
) -> None:
    flow = FLOWS["a service is deleted"]
    begin = await at_rest(flow, kinds)
    for planted in (False, True):
        fleet = Fleet(*NAMES, kinds=kinds)
        fleet.restore(begin)
        with mock.patch.object(module, name, fault if planted else getattr(module, name)):
            fleet.start()
            flow.change(fleet)
            await fleet.rest()
            found = complaints(fleet)
            await fleet.stop()
        assert bool([one for one in found if told in one]) is planted, found


async def test_a_restart_that_writes_is_told() -> None:
    begin = await at_rest(FLOWS["a service is deleted"], STANDALONE)
    for planted in (False, True):
        fleet = Fleet(*NAMES)
        fleet.restore(begin)
        with mock.patch.object(works, "finish_manifest", say_more if planted else finish_manifest):
            fleet.start()
            await fleet.rest()
            await fleet.stop()
        assert bool(fleet.wire.writes) is planted, fleet.wire.writes
