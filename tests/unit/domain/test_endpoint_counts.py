"""Endpoints of a service, by provider and consumer."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.endpoint_counts import count_endpoints, count_tiers
from tests.support.builders import (
    a_cluster,
    a_work,
    an_mcs,
    collected_work,
    condition,
    dispatched_work,
    endpoint,
    slice_,
)

UNREADY = {"addresses": ["192.0.2.9"], "conditions": {"ready": False}}
UNKNOWN = {"addresses": ["192.0.2.8"]}
TAKEN = {"status": {"conditions": [condition(wk.APPLIED)]}}
REFUSED = {"status": {"conditions": [condition(wk.APPLIED, "False")]}}
FLEET = {name: a_cluster(name) for name in ("m1", "m2", "m3")}


def web(name: str, *endpoints: Any) -> Any:
    return slice_(name, endpoints=list(endpoints))


def at(provider: str, content: Any) -> Any:
    return a_work(collected_work(provider, content))


def to(consumer: str, provider: str, content: Any, status: Any) -> Any:
    return a_work(dispatched_work(provider, consumer, content) | status)


TWO = web("a", endpoint("192.0.2.1"), UNREADY)
ONE = web("b", UNKNOWN)


@pytest.mark.parametrize(
    ("lists", "works", "expected"),
    [
        ({}, [], {("m1", "m2"): (0, 0, 0)}),
        ({}, [at("m1", TWO)], {("m1", "m2"): (2, 1, 0)}),
        ({}, [at("m1", TWO), to("m2", "m1", TWO, REFUSED)], {("m1", "m2"): (2, 1, 0)}),
        ({}, [at("m1", TWO), at("m1", ONE), to("m2", "m1", TWO, TAKEN)], {("m1", "m2"): (3, 2, 1)}),
        # Of a slice that is gone a copy may still be there.
        ({}, [at("m1", TWO), to("m2", "m1", ONE, TAKEN)], {("m1", "m2"): (2, 1, 0)}),
        # Somebody who is no provider any more does not count.
        ({}, [at("m3", TWO), to("m2", "m3", TWO, TAKEN)], {("m1", "m2"): (0, 0, 0)}),
        (
            {"providers": ["m1", "m3"], "consumers": ["m1", "m2", "away"]},
            [at("m3", ONE), to("m1", "m3", ONE, TAKEN)],
            {("m1", "m2"): (0, 0, 0), ("m3", "m1"): (1, 1, 1), ("m3", "m2"): (1, 1, 0)},
        ),
    ],
    ids=[
        "nothing collected",
        "nothing sent",
        "refused",
        "one of two slices taken",
        "taken, and gone",
        "not listed",
        "both ways, and a cluster that nobody registered",
    ],
)
def test_endpoints_are_counted(lists: Any, works: list[Any], expected: dict[tuple[str, str], tuple[int, int, int]]):
    mcs = an_mcs(**({"providers": ["m1"], "consumers": ["m2"]} | lists))
    assert count_endpoints(mcs, works, FLEET) == expected


def test_a_slice_that_cannot_be_read_has_no_endpoints():
    broken = web("a", {"conditions": 7})
    assert count_endpoints(an_mcs(providers=["m1"], consumers=["m2"]), [at("m1", broken)], FLEET) == {
        ("m1", "m2"): (0, 0, 0)
    }


def test_a_work_that_is_being_deleted_does_not_count():
    work = collected_work("m1", TWO)
    work["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = count_endpoints(an_mcs(providers=["m1"], consumers=["m2"]), [a_work(work)], FLEET)
    assert found == {("m1", "m2"): (0, 0, 0)}


def test_of_what_a_consumer_is_offered_in_part_the_part_is_wanted():
    works = [at("m1", TWO), at("m1", ONE)]
    for content, how in ((web("a"), wk.OFFERED_NONE), (ONE, wk.OFFERED_WHOLE)):
        work = dispatched_work("m1", "m2", content) | TAKEN
        work["metadata"]["annotations"] |= {wk.TIER: "any", wk.OFFERED: how}
        works.append(a_work(work))
    assert count_endpoints(an_mcs(providers=["m1"], consumers=["m2"]), works, FLEET) == {("m1", "m2"): (1, 1, 1)}
    assert count_tiers(works) == {("m2", "any"): 1}
