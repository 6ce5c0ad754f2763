"""Rows of services from what the control plane has, and the tables that show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mcs_controller.diagnosis.world import CLUSTERS, MULTICLUSTERSERVICES, WORKS, Snapshot, Unseen, World
from mcs_controller.domain import well_known as wk
from mcs_controller.mcsctl.chain import Endpoints, ServiceRow, age, endpoints, rows, written
from mcs_controller.mcsctl.describe import chain
from mcs_controller.mcsctl.get import _narrow, _wide
from mcs_controller.mcsctl.tables import console
from tests.support.builders import cluster, collected_work, condition, dispatched_work, mcs, slice_

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TWO = slice_(addresses=["10.0.0.1", "10.0.0.2"])


def applied(content: Any = None) -> Any:
    return dispatched_work("m1", "m2", content) | {"status": {"conditions": [condition(wk.APPLIED)]}}


def world(*works: Any, ready: str = "True", conditions: Any = None, **about: Any) -> World:
    host = Snapshot()
    host.add(CLUSTERS, [cluster("m1", ready=ready), cluster("m2")])
    said = [condition(wk.SERVICE_APPLIED)] if conditions is None else conditions
    host.add(MULTICLUSTERSERVICES, [mcs(providers=["m1"], consumers=["m2"], conditions=said)])
    host.add(WORKS, works)
    return World(now=NOW, host=host, **about)


def the_row(observed: World) -> ServiceRow:
    (row,) = rows(observed)
    return row


@pytest.mark.parametrize(
    ("works", "state", "delivered"),
    [
        ([], "no slice collected", (0, 0)),
        ([collected_work("m1", TWO)], "not dispatched", (0, 0)),
        ([collected_work("m1", TWO), dispatched_work("m1", "m2", TWO)], "not applied: no answer yet", (0, 0)),
        (
            [collected_work("m1", TWO), applied()],
            "differs from what is offered",
            (1, 1),
        ),
        ([collected_work("m1", TWO), applied(TWO)], "ok", (2, 2)),
    ],
)
def test_route_says_what_stands_between_provider_and_consumer(works: Any, state: str, delivered: tuple[int, int]):
    row = the_row(world(*works))
    assert row.routes is not None
    (route,) = row.routes
    assert (route.provider, route.consumer, route.state, route.delivered) == ("m1", "m2", state, delivered)


@pytest.mark.parametrize(
    ("content", "how", "state", "fine"),
    [
        (TWO, wk.OFFERED_WHOLE, "ok", True),
        (slice_(addresses=["10.0.0.2"]), wk.OFFERED_PART, "offered in part: handed back, or drained", True),
        (slice_(addresses=[]), wk.OFFERED_NONE, "not offered by its tiers", True),
        (slice_(addresses=["10.0.0.2"]), wk.OFFERED_WHOLE, "differs from what is offered", False),
        (slice_(addresses=["10.0.0.9"]), wk.OFFERED_PART, "differs from what is offered", False),
    ],
)
def test_route_says_its_tier_and_how_much_of_it_is_offered(content: Any, how: str, state: str, fine: bool):
    sent = applied(content)
    sent["metadata"]["annotations"] |= {wk.TIER: "same-region", wk.OFFERED: how}
    row = the_row(world(collected_work("m1", TWO), sent))
    assert row.routes is not None
    (route,) = row.routes
    assert (route.tier, route.state, route.is_fine) == ("same-region", state, fine)


def test_route_says_first_that_a_cluster_is_not_ready():
    row = the_row(world(ready="False"))
    assert row.routes is not None
    assert [one.state for one in row.routes] == ["m1 is not ready"]


def test_notes_are_what_fails_and_what_is_left_out_although_the_condition_is_true():
    said = [
        condition(wk.SERVICE_APPLIED, message="All is well. Skipped: m4: no such Cluster is registered."),
        condition(wk.SLICE_DISPATCHED, "False", message="denied"),
        condition(wk.ENDPOINTS_AVAILABLE, message="2 endpoints"),
    ]
    assert the_row(world(conditions=said)).notes == [
        "Skipped: m4: no such Cluster is registered.",
        "EndpointSliceDispatched False: denied",
    ]
    assert the_row(world(conditions=[])).notes == ["no conditions: no controller reconciles it"]


def test_works_that_were_not_read_are_not_taken_for_missing():
    observed = world()
    observed.host.unseen(WORKS, "403")
    row = the_row(observed)
    assert row.routes is None
    assert row.as_json()["routes"] is None
    observed.host.unseen(MULTICLUSTERSERVICES, "403")
    with pytest.raises(Unseen):
        list(rows(observed))


def test_an_endpoint_of_two_address_families_counts_once():
    pod = {"targetRef": {"kind": "Pod", "name": "web-0"}, "conditions": {"ready": False}}
    both = [{"endpoints": [pod | {"addresses": [address]}]} for address in ("10.0.0.1", "fd00::1")]
    assert endpoints(both) == Endpoints(0, 1)


def test_status_is_no_change_of_an_object():
    obj = {
        "metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [
                {"time": "2026-01-01T01:00:00Z"},
                {"time": "2026-01-01T02:00:00Z", "subresource": "status"},
                {"time": 7},
            ],
        }
    }
    assert written(obj) == datetime(2026, 1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (86400 * 3, "3d")])
def test_age(seconds: int, text: str):
    assert age(NOW - timedelta(seconds=seconds), NOW) == text


def test_table_in_a_pipe_is_complete_and_plain(capsys: pytest.CaptureFixture[str]):
    hostile = f"[red]{'long ' * 100}\x1b[31m\nnext"
    row = the_row(world(conditions=[condition(wk.SERVICE_APPLIED, "False", message=hostile)]))
    for made in (_narrow([row], NOW, terminal=False), _wide([row], NOW)):
        console().print(made)
        heading, line, *rest = capsys.readouterr().out.splitlines()
        assert rest == []
        assert heading.startswith("NAMESPACE")
        assert f"[red]{'long ' * 100}" in line
        assert "\x1b" not in line


def test_describe_says_of_what_it_could_not_read_that_it_could_not():
    member = Snapshot(name="m1")
    member.unseen(None, "timed out")
    steps = list(chain(world(service=("default", "web"), members={"m1": member})))
    assert {one.status for one in steps if one.section == "m1, provider" and one.kind == "Service"} == {
        "services of m1: timed out"
    }
    works = [one for one in steps if one.kind == "Work"]
    assert works
    assert {one.status for one in works} == {"missing"}
