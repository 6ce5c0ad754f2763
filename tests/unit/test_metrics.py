"""What the process shows of itself, and of the services that it works for."""

import asyncio
import platform
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mcs_controller import __version__, metrics
from mcs_controller.api.resources import CLUSTERS, MULTICLUSTERSERVICES, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.endpoint_counts import SliceCounts
from mcs_controller.domain.indexes import WORK_INDEXES
from mcs_controller.features import FEATURES
from mcs_controller.metrics import Metrics, ServiceMetrics
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.runtime.feature_gates import FeatureGates
from tests.support.builders import cluster, collected_work, condition, dispatched_work, endpoint, mcs, slice_
from tests.support.memory import MemoryApi

WEB = slice_("web-a", endpoints=[endpoint("192.0.2.1"), endpoint("192.0.2.2")])
TAKEN = {"status": {"conditions": [condition(wk.APPLIED)]}}


def test_feature_gates_are_shown_as_kubernetes_components_do():
    registry = CollectorRegistry()
    Metrics(registry).show_features(FeatureGates(FEATURES, "MultiClusterService=true,ControllerPriorityQueue=false"))

    def shown(name: str, stage: str) -> float | None:
        return registry.get_sample_value("kubernetes_feature_enabled", {"name": name, "stage": stage})

    assert shown("MultiClusterService", "ALPHA") == 1
    assert shown("ControllerPriorityQueue", "BETA") == 0


def test_the_version_is_shown():
    registry = CollectorRegistry()
    Metrics(registry)
    labels = {"version": __version__, "python_version": platform.python_version()}
    assert registry.get_sample_value("mcs_build_info", labels) == 1


def test_the_process_and_its_python_are_shown():
    registry = CollectorRegistry()
    Metrics(registry)
    names = {family.name for family in registry.collect()}
    assert names >= {"process_resident_memory_bytes", "process_cpu_seconds", "python_info", "python_gc_collections"}


class Services:
    """Metrics of the services `api` and `web`, which have the same providers and consumers, in this order."""

    def __init__(self, limit: int) -> None:
        self.api = MemoryApi()
        self.api.seed(*(cluster(name) for name in ("m1", "m2", "m3")))
        for name, status, reason in (("web", "True", "EndpointsAvailable"), ("api", "False", "NoEndpointSlice")):
            said = condition(wk.ENDPOINTS_AVAILABLE, status, reason)
            self.api.seed(mcs(name, providers=["m1"], consumers=["m2", "m3"], conditions=[said]))
        self.api.seed(collected_work("m1", WEB), dispatched_work("m1", "m2", WEB) | TAKEN)
        self.registry = CollectorRegistry()
        self.leads = True
        shown = ServiceMetrics(
            self.api.informer(MULTICLUSTERSERVICES).store,
            self.api.informer(WORKS, WORK_INDEXES).store,
            RegisteredClusters(self.api.informer(CLUSTERS).store),
            limit=limit,
            leads=lambda: self.leads,
        )
        self.registry.register(shown)
        self.metrics = shown

    def shown(self) -> dict[str, float]:
        """What begins with mcs_: the values of the labels, without the namespace."""
        return {
            " ".join(
                [sample.name, *(value for name, value in sample.labels.items() if name != "namespace")]
            ): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if family.name.startswith("mcs_")
        }


CROWDS = {
    "mcs_services EndpointsAvailable True EndpointsAvailable": 1,
    "mcs_services EndpointsAvailable False NoEndpointSlice": 1,
}


async def test_what_is_prepared_for_a_scrape_is_what_it_shows_and_leaves_others_their_turn():
    world = Services(limit=1000)
    world.api.seed(*(mcs(f"web-{number}", providers=["m1"], consumers=["m2"]) for number in range(200)))
    expected = world.shown()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await world.metrics.prepare()
    task.cancel()
    assert turns >= 3
    world.leads = False
    assert world.shown() == expected, "as it was prepared"
    assert world.shown() == {"mcs_services_not_shown": 0}, "as it is now"


def test_services_are_shown_with_conditions_and_endpoints_of_each_pair():
    assert Services(limit=4).shown() == CROWDS | {
        "mcs_service_condition api EndpointsAvailable": 0,
        "mcs_service_condition web EndpointsAvailable": 1,
        **{f"mcs_endpoints_{kind} api m1 {to}": 0 for kind in ("wanted", "ready", "delivered") for to in ("m2", "m3")},
        **{f"mcs_endpoints_{kind} web m1 m2": 2 for kind in ("wanted", "ready", "delivered")},
        "mcs_endpoints_wanted web m1 m3": 2,
        "mcs_endpoints_ready web m1 m3": 2,
        "mcs_endpoints_delivered web m1 m3": 0,
        "mcs_services_not_shown": 0,
    }


def test_tiers_are_shown_with_the_endpoints_that_they_offer():
    services = Services(limit=9)
    meta = dispatched_work("m1", "m2", WEB)["metadata"]
    marks = {wk.TIER: "same-region", wk.OFFERED: wk.OFFERED_WHOLE}
    services.api.edit("Work", meta["namespace"], meta["name"], {"metadata": {"annotations": marks}})
    assert services.shown()["mcs_tier_endpoints web m2 same-region"] == 2


@pytest.mark.parametrize(("limit", "shown"), [(0, 0), (1, 1), (2, 1), (3, 2)])
def test_services_beyond_the_limit_are_only_counted(limit: int, shown: int):
    found = Services(limit).shown()
    assert {name: value for name, value in found.items() if name in CROWDS} == CROWDS
    assert found["mcs_services_not_shown"] == 2 - shown
    assert len([name for name in found if name.startswith("mcs_service_condition")]) == shown


def test_a_standby_shows_no_service():
    services = Services(limit=4)
    services.leads = False
    assert services.shown() == {"mcs_services_not_shown": 0}


def test_the_content_of_a_work_is_read_again_only_when_it_is_another(monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []

    def counting(work: Any) -> SliceCounts:
        read.append(work.metadata.namespace)
        return SliceCounts(1, 1)

    monkeypatch.setattr(metrics, "endpoints_in", counting)
    services = Services(limit=4)
    services.shown()
    services.shown()
    assert sorted(read) == ["karmada-es-m1", "karmada-es-m2"]
    spec = {"workload": {"manifests": [slice_("web-a", endpoints=[])]}}
    name = services.api.all("Work")[0]["metadata"]
    services.api.edit("Work", name["namespace"], name["name"], {"spec": spec})
    services.shown()
    assert len(read) == 3
