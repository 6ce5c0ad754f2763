"""Rules about tiers, by a world with one broken link, and what other rules say of copies with fewer endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from mcs_controller.diagnosis import world as w
from mcs_controller.diagnosis.findings import Severity
from mcs_controller.domain import well_known as wk
from tests.unit.diagnosis.healthy import COPY, OLD, SLICE, chain, copy, dispatched, found, healthy, one, slice_, work


def offering(how: str, *addresses: str, provider: tuple[str, ...] = ("10.1.0.5",)) -> w.World:
    """member2 is offered so much of what member1 has, and holds it."""
    world = healthy()
    assert world.mcs is not None
    world.mcs["metadata"]["annotations"] = {wk.TIERS: "clusters=member2", wk.TIER_STRICT: "true"}
    own = slice_(SLICE, *provider)
    there = copy(COPY, "member1", *addresses)
    sent = dispatched("member2", "member1", there)
    sent["metadata"]["annotations"] |= {wk.OFFERED: how, wk.TIER: "any"}
    collected = work("member1", "EndpointSlice", own, spec={"suspendDispatching": True})
    world.members["member1"].add(w.SLICES, [own])
    world.members["member2"].add(w.SLICES, [there])
    world.host.add(w.WORKS, [sent, collected])
    return world


def said(world: w.World, status: str, reason: str, message: str) -> w.World:
    assert world.mcs is not None
    each = {"type": wk.ENDPOINTS_AVAILABLE, "status": status, "reason": reason, "message": message}
    others = [one for one in world.mcs["status"]["conditions"] if one["type"] != wk.ENDPOINTS_AVAILABLE]
    world.mcs["status"]["conditions"] = [*others, each | {"lastTransitionTime": OLD}]
    return world


def errors(world: w.World) -> list[str]:
    return [each.code for each in chain(world).findings if each.severity > Severity.INFO]


def test_a_copy_without_the_endpoints_that_are_not_offered_is_no_finding() -> None:
    assert errors(offering(wk.OFFERED_NONE)) == []


def test_a_part_of_the_endpoints_is_no_finding() -> None:
    assert errors(offering(wk.OFFERED_PART, "10.1.0.6", provider=("10.1.0.5", "10.1.0.6"))) == []


@pytest.mark.parametrize("how", [wk.OFFERED_PART, wk.OFFERED_WHOLE])
def test_an_address_that_the_provider_has_no_more_is_found(how: str) -> None:
    assert "MCS061" in errors(offering(how, "10.1.0.7"))


def test_what_is_offered_and_not_in_the_consumer_is_found() -> None:
    world = offering(wk.OFFERED_PART, "10.1.0.5")
    world.members["member2"].add(w.SLICES, [copy(COPY, "member1")])
    assert "MCS072" in errors(world)


def test_tiers_that_offer_nothing_ready() -> None:
    world = said(offering(wk.OFFERED_NONE), "False", "NotOffered", "member2: no ready endpoint in its tiers")
    finding = one(world, "MCS049")
    assert finding.severity is Severity.ERROR
    assert finding.fix.endswith(f"{wk.TIER_STRICT}=false")
    assert chain(world).verdict == finding


def test_tiers_of_which_none_is_good_enough() -> None:
    note = (
        "Every consumer has ready endpoints. Note: no tier of m1, member2 is good enough, all of its tiers are offered."
    )
    world = said(offering(wk.OFFERED_WHOLE, "10.1.0.5"), "True", wk.ENDPOINTS_AVAILABLE, note)
    finding = one(world, "MCS049")
    assert finding.severity is Severity.WARNING
    assert finding.fix.endswith(f"{wk.TIER_MINIMUM}=1")
    others = said(world, "True", wk.ENDPOINTS_AVAILABLE, note.replace("member2", "member22"))
    assert found(others, "MCS049") == []


def test_an_annotation_that_cannot_be_read() -> None:
    world = healthy()
    assert world.mcs is not None
    marks: dict[str, Any] = {wk.TIERS: "local;near by", wk.HAND_BACK_STEP: "25%", wk.TIER_STRICT: "yes"}
    world.mcs["metadata"]["annotations"] = marks
    findings = found(world, "MCS048")
    assert [each.fix.rpartition(" ")[2] for each in findings] == [f"{wk.TIERS}-", f"{wk.TIER_STRICT}-"]
    assert 'tier 2: "near by" is no tier' in findings[0].evidence
