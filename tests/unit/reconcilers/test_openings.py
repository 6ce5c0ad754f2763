"""Where this implementation does more than the peer: with all controllers of the path, over API servers in memory."""

from collections import Counter
from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from tests.support.builders import condition, endpoint, mcs, service, slice_
from tests.support.mcs_world import World

NAME = work_name(wk.SLICE_KIND, "default", "web-1")
HTTP, GRPC = {"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "grpc", "port": 9000, "protocol": "TCP"}
OK = "EndpointSlice are dispatched successfully"
STATUS = "patch multiclusterservices/default/web/status"


async def running(
    *names: str, flags: dict[str, Any] | None = None, listed: Any = None, slices: Any = None, **fields: Any
) -> World:
    """A world in which one service is at rest, with one slice in m1."""
    world = World(*names, flags=flags)
    world.host.seed(service(ports=[{"name": "http", "port": 80}, {"name": "grpc", "port": 90}]))
    content = mcs(**{"providers": ["m1"], **fields})
    if listed is not None:
        content["spec"]["ports"] = listed
    world.host.seed(content)
    for one in slices or [slice_(ports=[HTTP, GRPC])]:
        world.members["m1"].seed(one)
    await world.settle()
    world.forget_calls()
    return world


def manifest(world: World, cluster: str = "m2", name: str = NAME) -> Any:
    """The slice in that Work of the cluster."""
    return world.works_in(cluster)[name]["spec"]["workload"]["manifests"][0]


def said(world: World) -> tuple[str, str]:
    """Status and message of the condition on slices."""
    return world.condition(wk.SLICE_DISPATCHED) or ("", "")


def events(world: World) -> list[tuple[str, str]]:
    """(reason, message) of what was told since the last call, but for the availability of endpoints."""
    found = [event[4:] for event in world.recorder.events if event[0] != wk.STATUS_CONTROLLER]
    world.recorder.events.clear()
    return found


def ready(world: World, cluster: str, status: str = "True", since: str = "2026-01-01T00:00:00Z") -> None:
    """The Cluster says so."""
    found = condition("Ready", status) | {"lastTransitionTime": since}
    world.host.edit("Cluster", "", cluster, {"status": {"conditions": [found]}})


# --- 16: where an endpoint is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strip", [False, True])
async def test_opening_16_zone_node_and_hints_travel_unless_the_flag_says_otherwise(strip: bool):
    whereabouts = {"zone": "z", "nodeName": "n", "hints": {"forZones": [{"name": "z"}]}}
    full = endpoint("10.0.0.1") | whereabouts
    world = await running("m1", "m2", flags={"strip_topology": strip}, slices=[slice_(endpoints=[full])])
    assert manifest(world)["endpoints"] == [endpoint("10.0.0.1") if strip else full]
    assert manifest(world, "m1")["endpoints"] == [full]


# --- 18: which ports --------------------------------------------------------------------------------------------------


async def test_opening_18_consumers_get_the_listed_ports_and_follow_the_services_numbers():
    world = await running("m1", "m2", listed=[{"port": 80}])
    assert manifest(world)["ports"] == [HTTP]
    ports = [{"name": "http", "port": 8080}, {"name": "grpc", "port": 80}]
    world.host.edit("Service", "default", "web", {"spec": {"ports": ports}})
    await world.settle()
    assert manifest(world)["ports"] == [GRPC]
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"ports": None}})
    await world.settle()
    assert manifest(world)["ports"] == [HTTP, GRPC]


async def test_opening_18_a_service_that_lists_no_ports_is_not_looked_at_when_its_service_changes():
    world = await running("m1", "m2")
    world.host.edit("Service", "default", "web", {"spec": {"ports": [{"name": "http", "port": 81}]}})
    assert not world.slices.pending


async def test_opening_18_when_no_port_matches_it_is_said_once_and_everything_else_goes_on():
    world = await running("m1", "m2", listed=[{"name": "http", "port": 80}])
    world.host.seed(service("api"), mcs("api", providers=["m1"]))
    world.members["m1"].seed(slice_("api-1", service="api"))
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"ports": [{"port": 443}, {"name": "tls", "port": 8443}]}})
    await world.settle()
    text = "spec.ports lists 443, tls (8443), but the slices have grpc (9000/TCP), http (8080/TCP)"
    assert said(world) == ("False", f"{text}")
    assert world.slices_in("m2").keys() == {"m1-api-1"}
    told = [one for one in world.recorder.events if one[2] == "default/web" and one[0] != wk.STATUS_CONTROLLER]
    assert [event[3:] for event in told] == [("Warning", "DispatchEndpointSliceFailed", text)]
    world.recorder.events.clear()
    world.start()
    await world.settle()
    assert events(world) == [], "nor after a restart"
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"ports": [{"port": 90}]}})
    await world.settle()
    assert manifest(world)["ports"] == [GRPC]
    assert said(world) == ("True", OK)
    assert events(world) == [("DispatchEndpointSliceSucceed", OK)]


async def test_opening_18_one_of_two_ports_that_matches_nothing_is_noted_and_the_other_exposed():
    world = await running("m1", "m2", listed=[{"port": 80}, {"port": 443}])
    assert manifest(world)["ports"] == [HTTP]
    note = "spec.ports lists 443, but the slices have grpc (9000/TCP), http (8080/TCP)"
    assert said(world) == ("True", f"{OK}. Note: {note}.")


# --- 23: what fails in a consumer -------------------------------------------------------------------------------------


def applied(world: World, status: str, message: str = "", since: str = "2026-01-01T00:00:00Z", to: str = "m2") -> None:
    """Execution says so of the copy."""
    found = condition(wk.APPLIED, status, message=message) | {"lastTransitionTime": since}
    world.host.edit("Work", f"karmada-es-{to}", NAME, {"status": {"conditions": [found]}})


async def test_opening_23_a_copy_that_fails_to_apply_is_named_with_cluster_and_error_and_heals():
    world = await running("m1", "m2", "m3")
    applied(world, "True")
    applied(world, "True", to="m3")
    assert not any(one.pending for one in world.controllers.values()), "a success is what everybody expects"
    applied(world, "False", "quota exceeded")
    await world.settle()
    text = "slice default/web-1 of m1 in m2: quota exceeded, retrying"
    assert said(world) == ("False", f"{text}")
    assert events(world) == [("DispatchEndpointSliceFailed", text)]
    assert world.writes == [STATUS]
    applied(world, "False", "quota exceeded", since="2026-01-01T00:00:07Z")
    world.start()
    await world.settle()
    assert world.writes == [STATUS], "neither is said again, nor after a restart"
    assert events(world) == []
    applied(world, "True")
    await world.settle()
    assert said(world) == ("True", OK)
    assert events(world) == [("DispatchEndpointSliceSucceed", OK)]


async def test_opening_23_each_failure_is_one_event():
    world = await running("m1", "m2", "m3")
    applied(world, "False", "no room")
    await world.settle()
    events(world)
    applied(world, "False", "denied", to="m3")
    await world.settle()
    text = "slice default/web-1 of m1 in m2: no room, retrying; slice default/web-1 of m1 in m3: denied, retrying"
    assert said(world) == ("False", text)
    assert events(world) == [("DispatchEndpointSliceFailed", text)]
    applied(world, "True")
    await world.settle()
    text = "slice default/web-1 of m1 in m3: denied, retrying"
    assert said(world) == ("False", text)
    assert events(world) == [("DispatchEndpointSliceFailed", text)]


async def test_opening_23_a_copy_that_is_withdrawn_fails_no_more():
    world = await running("m1", "m2", "m3")
    applied(world, "False", "no room")
    await world.settle()
    assert said(world)[0] == "False"
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"consumerClusters": [{"name": "m3"}]}})
    await world.settle()
    assert said(world) == ("True", OK)


async def test_opening_23_what_fails_at_first_and_then_applies_is_no_news():
    world = await running("m1", "m2")
    applied(world, "False", "namespaces default not found")
    [request] = world.controllers[wk.STATUS_CONTROLLER].pending
    await world.controllers[wk.STATUS_CONTROLLER].run_one(request)
    applied(world, "True")
    await world.settle()
    assert world.writes == []
    assert events(world) == []


# --- 24: a provider that is not ready ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flag", "annotation"])
async def test_opening_24_endpoints_go_after_the_period_and_come_back_with_the_provider(how: str):
    annotations = {wk.WITHDRAW_AFTER: "5m"} if how == "annotation" else {}
    flags = {"withdraw_not_ready_after": 300.0} if how == "flag" else {}
    world = await running("m1", "m2", flags=flags, consumers=["m2"], metadata={"annotations": annotations})
    now = world.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
    ready(world, "m1", "False", now)
    dispatch = world.slices
    await world._drain()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert list(dispatch.later.values()) == [300.0], "nobody polls"
    await world.clock.advance(200)
    world.start()
    await world._drain()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert list(world.slices.later.values()) == [100.0], "a restart gains nothing"
    events(world)
    await world.settle()
    assert world.slices_in("m2") == {}
    text = "m1: its endpoints are withdrawn, as it has been not ready for 300 s"
    assert said(world)[0] == "True"
    assert said(world)[1].endswith(text + ".")
    assert ("EndpointsWithdrawn", text) in events(world)
    world.forget_calls()
    world.start()
    await world.settle()
    assert world.writes == []
    ready(world, "m1")
    await world.settle()
    assert world.slices_in("m2") == {"m1-web-1": ["10.0.0.1"]}
    assert said(world) == ("True", OK)


# --- how much is said -------------------------------------------------------------------------------------------------


async def test_a_change_in_the_number_of_endpoints_costs_its_works_and_no_status():
    world = await running("m1", "m2")
    works = [f"patch works/karmada-es-{name}/{NAME}" for name in ("m1", "m2")]
    for count in (2, 3, 4):
        addresses = [f"10.0.0.{number}" for number in range(count)]
        world.members["m1"].edit(wk.SLICE_KIND, "default", "web-1", slice_(addresses=addresses, ports=[HTTP, GRPC]))
        await world._drain()
    assert not world.controllers[wk.STATUS_CONTROLLER].later
    await world.settle()
    assert Counter(world.writes) == Counter(works * 3)
    assert said(world) == ("True", OK)
    assert events(world) == []


async def test_a_restart_does_not_write_a_message_that_is_right():
    world = await running("m1", "m2", "m3")
    world.start()
    await world.settle()
    assert world.writes == []


async def test_a_service_that_grows_is_told_by_no_event():
    world = await running("m1", "m2", "m3", "m4", providers=["m1", "m3"], consumers=["m2"])
    world.members["m1"].seed(slice_("web-2", addresses=["10.0.0.2"]))
    await world.settle()
    world.members["m3"].seed(slice_("web-1", addresses=["10.0.0.3"]))
    await world.settle()
    world.host.edit(wk.MCS_KIND, "default", "web", {"spec": {"consumerClusters": [{"name": "m2"}, {"name": "m4"}]}})
    await world.settle()
    assert said(world) == ("True", OK)
    assert events(world) == []


async def test_a_cluster_that_flaps_is_one_event_when_it_goes_and_one_for_each_condition_when_it_is_back():
    world = await running("m1", "m2", providers=["m1", "m2"])
    for _ in range(3):
        ready(world, "m2", "False")
        await world.settle()
        assert world.writes == [STATUS], "both conditions in one write"
        assert events(world) == [("SyncServiceFailed", "m2: the cluster is not ready, see its condition Ready")]
        ready(world, "m2")
        await world.settle()
        assert world.writes == [STATUS, STATUS]
        assert events(world) == [
            ("SyncServiceSucceed", "Service is propagated to target clusters."),
            ("DispatchEndpointSliceSucceed", OK),
        ]
        world.forget_calls()
