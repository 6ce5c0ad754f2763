"""What the page shows of services, flows, clusters and caches."""

from typing import Any

import msgspec
import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.statuspage.model import (
    MAX_PAIRS,
    MAX_ROWS,
    MAX_SERVICES,
    MAX_SIDE,
    MAX_TEXT,
    CacheView,
    Overview,
    PairView,
    Query,
    ServiceView,
    clip,
    count_pairs,
    select_services,
    view_caches,
)
from tests.support.builders import an_mcs, condition, mcs
from tests.support.status_page import PROCESS, WELL, PageWorld

UNAVAILABLE = condition(wk.ENDPOINTS_AVAILABLE, "False", "NoEndpointSlice", "m2: nothing to send to.")


def shown(world: PageWorld, **query: object) -> Overview:
    return world.overview(Query(**query))  # type: ignore[arg-type]


def services(world: PageWorld, **query: object) -> dict[str, ServiceView]:
    found = shown(world, **query).services
    assert found is not None
    return {f"{one.namespace}/{one.name}": one for one in found.shown}


@pytest.fixture
def world() -> PageWorld:
    """Three clusters, and a service in each state."""
    world = PageWorld()
    for name in ("m1", "m2", "m3"):
        world.member(name)
    pair: dict[str, Any] = {"providers": ["m1"], "consumers": ["m2", "m3"]}
    world.api.seed(
        mcs("web", **pair, conditions=WELL),
        mcs("api", **pair, conditions=[*WELL[:2], UNAVAILABLE]),
        mcs("new", "other", **pair),
        mcs("going", **pair, conditions=WELL, deleting=True),
        mcs("lb", types=["LoadBalancer"]),
    )
    return world


def test_a_service_is_ready_when_all_its_conditions_are_true(world: PageWorld):
    assert {name: one.state for name, one in services(world).items()} == {
        "default/api": "not ready",
        "default/going": "deleting",
        "default/lb": "not served",
        "default/web": "ready",
        "other/new": "pending",
    }
    found = shown(world).services
    assert found is not None
    assert found.states == {"deleting": 1, "not ready": 1, "not served": 1, "pending": 1, "ready": 1}


def test_each_pair_has_what_is_wanted_ready_and_delivered_and_those_that_lack_endpoints_come_first(world: PageWorld):
    world.deliver("web", "m1", 2, "m2", unready=1)
    assert services(world)["default/web"].pairs.shown == (
        PairView(provider="m1", consumer="m3", wanted=3, ready=2, delivered=0),
        PairView(provider="m1", consumer="m2", wanted=3, ready=2, delivered=2),
    )


def test_flows_are_the_sum_of_the_services_that_are_shown(world: PageWorld):
    world.deliver("web", "m1", 2, "m2", "m3")
    world.deliver("api", "m1", 3, "m2")
    flows = {(one.provider, one.consumer): one for one in shown(world).flows.shown}
    to_m2, to_m3 = flows["m1", "m2"], flows["m1", "m3"]
    assert (to_m2.services, to_m2.wanted, to_m2.ready, to_m2.delivered) == (4, 5, 5, 5)
    assert (to_m3.services, to_m3.wanted, to_m3.ready, to_m3.delivered) == (4, 5, 5, 2)
    assert to_m2.age == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"namespace": "other"}, ["other/new"]),
        ({"not_ready": True}, ["default/api", "default/going", "other/new"]),
        ({"namespace": "default", "not_ready": True}, ["default/api", "default/going"]),
        ({"namespace": "nowhere"}, []),
    ],
)
def test_services_are_filtered_by_namespace_and_by_state(world: PageWorld, query: dict[str, object], names: list[str]):
    assert list(services(world, **query)) == names
    found = shown(world, **query).services
    assert found is not None
    assert (found.total, found.matching) == (5, len(names))


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, Query()),
        ({"namespace": " web ", "not-ready": "true", "page": "3"}, Query(namespace="web", not_ready=True, page=3)),
        ({"page": "-1", "not-ready": "false"}, Query()),
        ({"page": "²"}, Query()),
        ({"page": "9" * 5000}, Query()),
        ({"page": "0"}, Query()),
        ({"namespace": "x" * 9000}, Query(namespace="x" * 253)),
    ],
)
def test_what_makes_no_sense_in_the_address_is_as_if_it_were_not_there(parameters: dict[str, str], query: Query):
    assert Query.parse(parameters) == query


def test_of_ten_thousand_services_one_page_is_shown_and_the_last_one_for_a_number_beyond_it():
    many = [an_mcs(f"web-{number:05}", conditions=WELL) for number in range(10_000)]

    first, last = (select_services(many, Query(page=page)) for page in (1, 999_999))
    assert (first.total, first.pages, len(first.shown)) == (10_000, 10_000 // MAX_SERVICES, MAX_SERVICES)
    assert (last.page, last.shown[-1].metadata.name) == (first.pages, "web-09999")


def test_of_two_hundred_clusters_few_pairs_are_counted_among_them_those_that_have_endpoints():
    world = PageWorld()
    for number in range(200):
        world.member(f"m{number:03}")
    world.api.seed(mcs("web"))
    world.deliver("web", "m150", 3)
    pairs = services(world)["default/web"].pairs
    assert len(pairs.shown) == MAX_PAIRS
    assert pairs.more == 200 * 199 - MAX_PAIRS
    assert {pair.provider for pair in pairs.shown} == {"m150"}
    registered = RegisteredClusters(world.informers[0].store)
    assert len(count_pairs(an_mcs(), [], registered)) == MAX_SIDE * (MAX_SIDE - 1)
    assert len(shown(world).clusters.shown) == MAX_ROWS
    assert shown(world).clusters.more == 200 - MAX_ROWS


def test_clusters_in_trouble_come_first():
    world = PageWorld()
    world.member("a")
    world.member("b", ready="False")
    world.member("c", age=16.0)
    world.member("d", ready=None, age=None)
    found = shown(world).clusters.shown
    assert [(one.name, one.state, one.stale) for one in found] == [
        ("b", "not ready", False),
        ("c", "ready", True),
        ("d", "unknown", True),
        ("a", "ready", False),
    ]


def test_a_cluster_without_connection_is_not_connected():
    world = PageWorld()
    world.member("a")
    world.member("b")
    del world.members["b"]
    assert [(one.name, one.connected, one.age is None) for one in shown(world).clusters.shown] == [
        ("a", True, False),
        ("b", False, True),
    ]


@pytest.mark.parametrize(("age", "stale"), [(None, False), (14.0, False), (14.1, True)])
def test_a_cache_is_stale_after_fourteen_seconds_and_not_without_its_kind(age: float | None, stale: bool):
    cache = CacheView(cluster="m1", resource="works", objects=1, bytes=0, age=age)
    assert cache.is_stale is stale
    fresh = CacheView(cluster="a", resource="works", objects=1, bytes=0, age=0.0)
    assert view_caches([fresh, cache]).shown[0 if stale else 1] is cache


def test_a_process_that_serves_no_service_says_why():
    page = shown(PageWorld(serves=False))
    assert (page.services, page.unserved) == (None, "the feature gate is off")


def test_long_texts_are_cut():
    assert clip("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert clip("x" * 9000) == "x" * MAX_TEXT + "… (8400 more characters)"


def test_the_json_has_the_names_of_kubernetes_style(world: PageWorld):
    found = msgspec.json.decode(msgspec.json.encode(shown(world)))
    assert set(found) == {"at", "process", "query", "services", "unserved", "flows", "clusters", "caches", "errors"}
    assert found["query"] == {"namespace": "", "notReady": False, "page": 1}
    assert found["process"]["agentOf"] == PROCESS.agent_of
