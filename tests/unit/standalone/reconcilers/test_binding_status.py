"""resource-binding-status-controller over an API server in memory."""

from dataclasses import dataclass, field

import pytest

from informers.errors import NotFound, ServerError
from mcs_controller.api.resources import RESOURCEBINDINGS, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.key_mutex import KeyMutex
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain.binding import BINDING_INDEXES, WORK_INDEXES
from mcs_controller.standalone.reconcilers.binding_status import (
    LOADBALANCER_SELECTOR,
    LOADBALANCERS,
    BindingStatusReconciler,
)
from tests.support.builders import binding, condition, service, work
from tests.support.clock import FakeClock
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json

KEY = Request("default", "web-service")


@dataclass
class World:
    """A control plane and the reconciler under test."""

    api: MemoryApi = field(default_factory=MemoryApi)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)

    def __post_init__(self) -> None:
        self.loadbalancers = self.api.cached(LOADBALANCERS, field_selector=LOADBALANCER_SELECTOR)
        self.reconciler = BindingStatusReconciler(
            bindings=self.api.cached(RESOURCEBINDINGS, BINDING_INDEXES),
            works=self.api.cached(WORKS, WORK_INDEXES).store,
            loadbalancers=self.loadbalancers,
            recorder=self.recorder,
            clock=FakeClock(),
            binding_locks=KeyMutex(),
        )
        content = binding(labels={wk.BINDING_PERMANENT_ID: "rb-id"})
        content["spec"]["clusters"] = [{"name": "m1"}, {"name": "m2"}]
        self.api.seed(content)

    def works(self, *clusters: str, **status: Json) -> None:
        identifier = {"ordinal": 0, "version": "v1", "kind": "Service", "namespace": "default", "name": "web"}
        for cluster in clusters:
            content = work(cluster, "web", service(), labels={wk.BINDING_PERMANENT_ID: "rb-id"})
            entry = {"identifier": identifier, "health": "Healthy"} | status
            content["status"] = {"conditions": [condition("Applied")], "manifestStatuses": [entry]}
            self.api.seed(content)

    async def reconcile(self) -> list[str]:
        """One pass; what it asked of the API server."""
        self.api.calls.clear()
        await self.reconciler.reconcile(KEY)
        return [str(call) for call in self.api.calls]


@pytest.fixture
def world() -> World:
    return World()


async def test_the_status_is_written_once(world: World) -> None:
    world.works("m1", "m2")
    assert await world.reconcile() == ["patch resourcebindings/default/web-service/status"]
    assert await world.reconcile() == []
    assert world.recorder.take() == [("ResourceBinding", "AggregateStatusSucceed")]
    stored = world.api.read("ResourceBinding", *KEY)
    assert [one["clusterName"] for one in stored["status"]["aggregatedStatus"]] == ["m1", "m2"]
    assert stored["metadata"]["generation"] == 1


async def test_addresses_reach_a_load_balancer_once(world: World) -> None:
    world.api.seed(service(type="LoadBalancer"))
    world.works("m1", status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})
    assert await world.reconcile() == [
        "patch resourcebindings/default/web-service/status",
        "patch services/default/web/status",
    ]
    assert await world.reconcile() == []
    stored = world.api.read("Service", "default", "web")
    assert stored["status"] == {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    assert stored["spec"]["type"] == "LoadBalancer"
    assert world.recorder.take() == [
        ("ResourceBinding", "AggregateStatusSucceed"),
        ("Service", "AggregateStatusSucceed"),
    ]


async def test_addresses_that_somebody_changed_are_put_right(world: World) -> None:
    world.api.seed(service(type="LoadBalancer"))
    world.works("m1", status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})
    await world.reconcile()
    woken: list[Request] = []
    world.loadbalancers.informer.add_handler(lambda event: woken.extend(world.reconciler.requests_for_service(event)))
    woken.clear()
    world.api.edit("Service", "default", "web", {"status": {"loadBalancer": None}})
    assert woken == [KEY]
    assert await world.reconcile() == ["patch services/default/web/status"]


async def test_services_of_other_types_are_left_alone(world: World) -> None:
    world.api.seed(service(type="NodePort"))
    world.works("m1", "m2", status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})
    assert await world.reconcile() == ["patch resourcebindings/default/web-service/status"]


async def test_a_failure_to_write_addresses_is_told(world: World) -> None:
    world.api.seed(service(type="LoadBalancer"))
    world.works("m1", "m2", status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})
    world.api.fail(ServerError(500, "", "broken"), "patch", "Service")
    with pytest.raises(ServerError):
        await world.reconcile()
    assert world.recorder.take()[-1] == ("Service", "AggregateStatusFailed")
    assert await world.reconcile() == ["patch services/default/web/status"]


async def test_objects_that_are_gone_meanwhile_are_no_failure(world: World) -> None:
    world.works("m1")
    world.api.fail(NotFound(404, "NotFound", "gone"), "patch", "ResourceBinding")
    assert await world.reconcile() == ["patch resourcebindings/default/web-service/status"]
    assert world.recorder.take() == []


async def test_a_binding_that_is_being_deleted_is_left_alone(world: World) -> None:
    world.works("m1")
    world.api.remove("ResourceBinding", *KEY)
    assert await world.reconcile() == []
