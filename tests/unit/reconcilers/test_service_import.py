"""service-import-controller over an API server in memory."""

from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Conflict, Invalid, ServerError
from mcs_controller.api.resources import SERVICEIMPORTS, SERVICES
from mcs_controller.domain import well_known as wk
from mcs_controller.reconcilers.service_import import ServiceImportReconciler
from mcs_controller.runtime.reconcile import Request
from tests.support.builders import a_service, service, service_import
from tests.support.memory import MemoryApi, MemoryRecorder

WEB = Request("default", "web")
SUCCEEDED = ("Normal", wk.EVENT_SYNC_DERIVED_SERVICE_SUCCEED)
FAILED = ("Warning", wk.EVENT_SYNC_DERIVED_SERVICE_FAILED)


class Bench:
    """The reconciler, and what its watches ask for."""

    def __init__(self, api: MemoryApi | None = None) -> None:
        self.api = api or MemoryApi()
        self.recorder = MemoryRecorder()
        self.asked: list[Request] = []
        imports = self.api.cached(SERVICEIMPORTS)
        services = self.api.cached(SERVICES)
        self.reconciler = ServiceImportReconciler(imports=imports.store, services=services, recorder=self.recorder)
        imports.informer.add_handler(lambda event: self.asked.extend(self.reconciler.requests_for_import(event)))
        services.informer.add_handler(lambda event: self.asked.extend(self.reconciler.requests_for_service(event)))

    async def settle(self) -> None:
        """Reconcile what was asked for, until nothing is."""
        for _ in range(20):
            if not self.asked:
                return
            request = self.asked.pop(0)
            self.asked = [one for one in self.asked if one != request]
            await self.reconciler.reconcile(request)
        raise AssertionError(f"no rest: {self.asked}")

    @property
    def derived(self) -> Any:
        return self.api.find("Service", "default", "derived-web")

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(type_, reason) for _, _, _, type_, reason, _ in self.recorder.events]


async def at_rest(**fields: Any) -> Bench:
    bench = Bench()
    bench.api.seed(service_import(**fields))
    await bench.settle()
    bench.api.calls.clear()
    bench.recorder.events.clear()
    return bench


async def test_case_65_it_gets_its_service_its_address_and_one_event():
    bench = Bench()
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    bench.api.seed(service_import(ports=ports, ips=["192.0.2.1"]))
    await bench.settle()
    assert bench.derived["spec"] == {"type": "ClusterIP", "ports": ports}
    assert bench.derived["status"] == {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    assert bench.told == [SUCCEEDED]
    assert bench.recorder.events[0][0] == wk.SERVICE_IMPORT_CONTROLLER


async def test_case_66_its_service_goes_with_it():
    bench = await at_rest()
    bench.api.remove("ServiceImport", "default", "web")
    await bench.settle()
    assert bench.derived is None
    assert [str(call) for call in bench.api.writes] == ["delete services/default/derived-web"]


async def test_case_66_a_service_that_karmada_made_goes_too():
    bench = Bench()
    bench.api.seed(service_import(), service("derived-web", selector=None, type="ClusterIP"))
    await bench.settle()
    bench.api.remove("ServiceImport", "default", "web")
    await bench.settle()
    assert bench.derived is None


async def test_a_removal_that_nobody_saw_is_noticed_at_the_start():
    bench = await at_rest()
    api = bench.api
    api.stop()
    api.remove("ServiceImport", "default", "web")
    after = Bench(api)
    await after.settle()
    assert after.derived is None


async def test_a_service_of_such_a_name_that_nobody_imported_is_left_alone():
    bench = Bench()
    bench.api.seed(service("derived-web"))
    await bench.settle()
    assert bench.asked == []
    assert bench.api.writes == []
    assert bench.derived is not None


async def test_somebodys_own_service_of_such_a_name_is_left_alone_and_told_of_once():
    bench = Bench()
    own = service("derived-web", selector={"app": "theirs"}, type="NodePort")
    bench.api.seed(own, service_import(ips=["192.0.2.1"]))
    await bench.settle()
    bench.api.edit("Service", "default", "derived-web", {"metadata": {"labels": {"team": "a"}}})
    bench.api.edit("ServiceImport", "default", "web", {"spec": {"ports": [{"name": "http", "port": 81}]}})
    await bench.settle()
    assert bench.told == [FAILED]
    assert "derived-web" in bench.recorder.events[0][-1]
    bench.api.remove("ServiceImport", "default", "web")
    await bench.settle()
    assert bench.api.writes == []
    assert bench.derived["spec"] == own["spec"]


async def test_somebodys_own_service_that_goes_makes_room():
    bench = Bench()
    bench.api.seed(service("derived-web", selector={"app": "theirs"}), service_import())
    await bench.settle()
    bench.api.remove("Service", "default", "derived-web")
    await bench.settle()
    assert "selector" not in bench.derived["spec"]
    assert bench.told == [FAILED, SUCCEEDED]


async def test_a_service_that_somebody_deletes_comes_back_and_one_that_somebody_changes_is_restored():
    bench = await at_rest()
    bench.api.remove("Service", "default", "derived-web")
    await bench.settle()
    assert bench.derived is not None
    bench.api.edit("Service", "default", "derived-web", {"spec": {"selector": {"a": "b"}}})
    await bench.settle()
    assert "selector" not in bench.derived["spec"]


async def test_a_service_that_is_being_deleted_is_waited_for():
    bench = await at_rest()
    bench.api.edit("Service", "default", "derived-web", {"metadata": {"finalizers": ["their/own"]}})
    bench.api.remove("Service", "default", "derived-web")
    bench.api.edit("ServiceImport", "default", "web", {"spec": {"ports": [{"name": "http", "port": 81}]}})
    await bench.settle()
    assert bench.api.writes == []
    bench.api.edit("Service", "default", "derived-web", {"metadata": {"finalizers": []}})
    await bench.settle()
    assert "deletionTimestamp" not in bench.derived["metadata"]


async def test_opening_06_a_restart_writes_nothing_and_says_nothing():
    bench = await at_rest(ips=["192.0.2.1"])
    again = Bench(bench.api)
    await again.settle()
    assert bench.api.writes == []
    assert again.told == []


@pytest.mark.parametrize(
    "fields",
    [{"type": "Headless"}, {"metadata": {"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["f"]}}],
    ids=["headless", "being deleted"],
)
async def test_what_is_not_followed_causes_no_write(fields: Any):
    bench = Bench()
    bench.api.seed(service_import(**fields))
    await bench.settle()
    assert bench.api.writes == []


async def test_a_failure_is_told_once_and_its_end_too():
    bench = Bench()
    bench.api.fail(Invalid(422, "Invalid", "no ports"), "create", "Service", times=2)
    bench.api.fail(ServerError(500, "InternalError", "broken"), "create", "Service")
    bench.api.seed(service_import())
    for _ in range(2):
        with pytest.raises(Invalid):
            await bench.reconciler.reconcile(WEB)
    with pytest.raises(ServerError):
        await bench.reconciler.reconcile(WEB)
    assert bench.told == [FAILED, FAILED]
    await bench.reconciler.reconcile(WEB)
    assert bench.told == [FAILED, FAILED, SUCCEEDED]


async def test_a_conflict_is_no_news():
    bench = await at_rest()
    bench.api.edit("ServiceImport", "default", "web", {"spec": {"ports": [{"name": "http", "port": 81}]}})
    bench.api.fail(Conflict(409, "Conflict", "changed"), "patch", "Service")
    with pytest.raises(Conflict):
        await bench.reconciler.reconcile(WEB)
    assert bench.told == []
    await bench.reconciler.reconcile(WEB)
    assert bench.told == [SUCCEEDED]


async def test_a_removal_that_fails_is_tried_again():
    bench = await at_rest()
    there = bench.derived
    del there["metadata"]["ownerReferences"]
    bench.api.edit("Service", "default", "derived-web", {"metadata": {"ownerReferences": []}})
    bench.api.fail(ServerError(500, "InternalError", "broken"), "delete", "Service")
    bench.api.remove("ServiceImport", "default", "web")
    with pytest.raises(ServerError):
        await bench.reconciler.reconcile(WEB)
    await bench.reconciler.reconcile(WEB)
    assert bench.derived is None


def test_other_services_are_nobodys_business():
    reconciler = Bench().reconciler
    assert list(reconciler.requests_for_service(Event(new=a_service("web")))) == []
    assert list(reconciler.requests_for_service(Event(old=a_service("derived-web")))) == [WEB]


async def test_nothing_is_made_of_an_import_of_what_every_cluster_has():
    bench = Bench()
    bench.api.seed(service_import("kubernetes"))
    await bench.settle()
    assert bench.api.writes == []
    assert bench.told == [FAILED]
    assert "every cluster has a Service default/kubernetes of its own" in bench.recorder.events[0][-1]
