"""Somebody takes one of our marks off one of our Works: it is back, and no consumer ever lost a slice by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcs_controller.domain import well_known as wk
from tests.support.fleet_model import Fleet
from tests.support.fleet_model_flows import FLOWS, NAMES, at_rest
from tests.support.fleet_model_foreign import marks, take_off
from tests.support.fleet_model_oracle import complaints, imported, present
from tests.support.fleet_model_process import AGENT, BESIDE, STANDALONE

if TYPE_CHECKING:
    from tests.support.fleet_model_process import Kind


WITHDRAWS = (wk.MCS_NAMESPACE, wk.MCS_NAME, wk.EXPORT_NAMESPACE, wk.EXPORT_NAME)
"""A collected Work without them is withdrawn (contract 3.3, step 2, and 3.5), until it is collected again."""


@pytest.mark.parametrize("kinds", [STANDALONE, BESIDE, AGENT], ids=["stand-alone", "beside Karmada", "agent"])
async def test_a_mark_that_is_taken_off_comes_back_and_consumers_keep_their_slices(kinds: tuple[Kind, ...]):
    begin = await at_rest(FLOWS["the export of a service is withdrawn"], kinds)
    fleet = Fleet(*NAMES, kinds=kinds)
    fleet.restore(begin)
    found = list(marks(fleet))
    for mark in found:
        fleet = Fleet(*NAMES, kinds=kinds)
        fleet.restore(begin)
        fleet.start()
        assert await fleet.rest() == []
        before = {name: present(fleet, name) for name in NAMES}, imported(fleet)
        take_off(fleet, mark)
        while not await fleet.drive(1):
            if mark.key not in (*WITHDRAWS, wk.PROVISION_NAME):
                assert ({name: present(fleet, name) for name in NAMES}, imported(fleet)) == before, mark
        assert await fleet.rest() == [], mark
        assert complaints(fleet) == [], mark
        if mark.key != wk.PROVISION_NAME:  # without it nothing tells what it is a copy of, so another one is made
            assert sorted(marks(fleet)) == sorted(found), mark
        await fleet.stop()
    assert {mark.part for mark in found} == {"labels", "annotations", "finalizers"}
