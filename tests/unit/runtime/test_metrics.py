"""What a scrape shows: names, labels and buckets of controller-runtime and client-go."""

import asyncio
import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from informers.cache.factory import InformerFactory
from mcs_controller.runtime.controller import Outcome
from mcs_controller.runtime.metrics import PrometheusInformerMetrics, RuntimeMetrics, render_metrics, render_parts
from tests.support.clock import FakeClock, settle
from tests.support.list_watch import ScriptedListWatch
from tests.support.objects import CONFIG_MAPS, bookmark_line, config_map
from workqueue import LOW, DelayingQueue


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> RuntimeMetrics:
    return RuntimeMetrics(registry)


def scrape(registry: CollectorRegistry) -> dict[str, float]:
    """Every series and its value."""
    lines = render_metrics(registry).decode().splitlines()
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_series_of_a_controller_exist_from_the_start(registry: CollectorRegistry, metrics: RuntimeMetrics):
    metrics.controllers.created("c", 5)
    series = {name: value for name, value in scrape(registry).items() if "_bucket" not in name}
    assert series == {
        'controller_runtime_active_workers{controller="c"}': 0,
        'controller_runtime_max_concurrent_reconciles{controller="c"}': 5,
        'controller_runtime_reconcile_errors_total{controller="c"}': 0,
        'controller_runtime_reconcile_panics_total{controller="c"}': 0,
        'controller_runtime_reconcile_time_seconds_count{controller="c"}': 0,
        'controller_runtime_reconcile_time_seconds_sum{controller="c"}': 0,
        'controller_runtime_reconcile_timeouts_total{controller="c"}': 0,
        'controller_runtime_reconcile_total{controller="c",result="error"}': 0,
        'controller_runtime_reconcile_total{controller="c",result="requeue"}': 0,
        'controller_runtime_reconcile_total{controller="c",result="requeue_after"}': 0,
        'controller_runtime_reconcile_total{controller="c",result="success"}': 0,
        'controller_runtime_terminal_reconcile_errors_total{controller="c"}': 0,
        'mcs_reconciles_without_write_total{controller="c"}': 0,
    }


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        ("success", {"reconcile_total:success"}),
        ("requeue_after", {"reconcile_total:requeue_after"}),
        ("error", {"reconcile_total:error", "reconcile_errors_total"}),
        ("terminal", {"reconcile_total:error", "reconcile_errors_total", "terminal_reconcile_errors_total"}),
        ("timeout", {"reconcile_total:error", "reconcile_errors_total", "reconcile_timeouts_total"}),
        ("panic", {"reconcile_total:error", "reconcile_errors_total", "reconcile_panics_total"}),
        ("cancelled", set()),
    ],
)
def test_outcomes_are_counted_as_controller_runtime_does(
    registry: CollectorRegistry, metrics: RuntimeMetrics, outcome: str, counted: set[str]
):
    metrics.controllers.created("c", 1)
    metrics.controllers.began("c")
    assert scrape(registry)['controller_runtime_active_workers{controller="c"}'] == 1
    metrics.controllers.ended("c", outcome, 0.3, wrote=True)  # type: ignore[arg-type]
    series = scrape(registry)
    assert series['controller_runtime_active_workers{controller="c"}'] == 0
    assert series['controller_runtime_reconcile_time_seconds_count{controller="c"}'] == (outcome != "cancelled")
    names = {
        name.removeprefix("controller_runtime_")
        .replace('{controller="c"}', "")
        .replace('{controller="c",result="', ":")
        .replace('"}', "")
        for name, value in series.items()
        if value and "_total" in name
    }
    assert names == counted


@pytest.mark.parametrize(
    ("outcome", "wrote", "avoided"), [("success", False, 1), ("success", True, 0), ("error", False, 0)]
)
def test_reconciles_that_write_nothing_are_counted(
    registry: CollectorRegistry, metrics: RuntimeMetrics, outcome: Outcome, wrote: bool, avoided: int
):
    metrics.controllers.created("c", 1)
    metrics.controllers.began("c")
    metrics.controllers.ended("c", outcome, 0.3, wrote=wrote)
    assert scrape(registry)['mcs_reconciles_without_write_total{controller="c"}'] == avoided


def bucket_bounds(registry: CollectorRegistry, name: str) -> list[float]:
    return [
        float(series.split('le="')[1].split('"')[0]) for series in scrape(registry) if series.startswith(f"{name}_bu")
    ]


def test_buckets_are_those_of_the_models(registry: CollectorRegistry, metrics: RuntimeMetrics):
    metrics.controllers.created("c", 1)
    queue: DelayingQueue[str] = DelayingQueue("c", clock=FakeClock(), metrics=metrics.queues)
    assert queue.name == "c"
    reconcile = bucket_bounds(registry, "controller_runtime_reconcile_time_seconds")
    assert (reconcile[0], reconcile[-2], len(reconcile)) == (0.005, 60, 41)
    for name in ("workqueue_queue_duration_seconds", "workqueue_work_duration_seconds"):
        assert bucket_bounds(registry, name) == pytest.approx([*(10.0**e for e in range(-8, 4)), float("inf")])


async def test_queue_shows_its_state_when_scraped(registry: CollectorRegistry, metrics: RuntimeMetrics):
    clock = FakeClock()
    queue: DelayingQueue[str] = DelayingQueue("c", clock=clock, metrics=metrics.queues)
    labels = '{controller="c",name="c"}'
    assert scrape(registry)[f"workqueue_retries_total{labels}"] == 0
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 60)
    await clock.advance(2)
    await queue.get()
    await clock.advance(3)
    series = scrape(registry)
    assert series['workqueue_depth{controller="c",name="c",priority="0"}'] == 1
    assert series[f"workqueue_adds_total{labels}"] == 2
    assert series[f"workqueue_retries_total{labels}"] == 1
    assert series[f"workqueue_queue_duration_seconds_sum{labels}"] == 2
    assert series[f"workqueue_unfinished_work_seconds{labels}"] == 3
    assert series[f"workqueue_longest_running_processor_seconds{labels}"] == 3
    queue.done("a")
    series = scrape(registry)
    assert series[f"workqueue_work_duration_seconds_sum{labels}"] == 3
    assert series[f"workqueue_unfinished_work_seconds{labels}"] == 0


async def test_depth_of_a_queue_is_shown_by_priority(registry: CollectorRegistry, metrics: RuntimeMetrics):
    queue: DelayingQueue[str] = DelayingQueue("c", clock=FakeClock(), metrics=metrics.queues)
    DelayingQueue[str]("other", clock=FakeClock(), metrics=metrics.queues)

    def depths() -> dict[str, float]:
        return {name: value for name, value in scrape(registry).items() if name.startswith("workqueue_depth")}

    nothing = {
        'workqueue_depth{controller="c",name="c",priority="0"}': 0,
        'workqueue_depth{controller="other",name="other",priority="0"}': 0,
    }
    assert depths() == nothing
    for item in ("a", "b"):
        queue.add(item, priority=LOW)
    assert depths() == nothing | {'workqueue_depth{controller="c",name="c",priority="-100"}': 2}
    queue.add("b")
    queue.done(await queue.get())
    assert depths() == nothing | {'workqueue_depth{controller="c",name="c",priority="-100"}': 1}


def test_requests_are_counted_by_code_method_and_host(registry: CollectorRegistry, metrics: RuntimeMetrics):
    metrics.client.request("PUT", "10.0.0.1:6443", "409", 0.1)
    metrics.client.request("WATCH", "10.0.0.1:6443", "200", 0.1)
    assert scrape(registry) == {
        'rest_client_requests_total{code="409",host="10.0.0.1:6443",method="PUT"}': 1,
        'rest_client_requests_total{code="200",host="10.0.0.1:6443",method="GET"}': 1,
    }


def test_leader_shows_as_one(registry: CollectorRegistry, metrics: RuntimeMetrics):
    for leads in (False, True, False):
        metrics.leader_election.leading("lease", leads)
        assert scrape(registry) == {'leader_election_master_status{name="lease"}': leads}


def test_two_managers_in_one_process_do_not_meet():
    RuntimeMetrics(CollectorRegistry())
    RuntimeMetrics(CollectorRegistry())


async def test_caches_are_shown_by_cluster_as_they_are_until_the_cluster_is_gone(
    registry: CollectorRegistry, metrics: RuntimeMetrics
):
    families, clock = metrics.informer_families, FakeClock()
    own, member = (
        InformerFactory(ScriptedListWatch(), clock=clock, rng=random.Random(1), metrics=counts)
        for counts in (metrics.informers, PrometheusInformerMetrics(families, "m1"))
    )
    own.informer(CONFIG_MAPS).observe(config_map("a", 1))
    for namespace in ("shop", "till"):
        member.informer(CONFIG_MAPS, namespace=namespace).observe(config_map("a", 1, namespace=namespace))
    families.show(own, clock)
    families.show(member, clock, "m1")
    resource = 'resource="configmaps.v1"'
    shown = scrape(registry)
    assert shown[f'informer_objects{{cluster="",{resource}}}'] == 1
    assert shown[f'informer_objects{{cluster="m1",{resource}}}'] == 2
    assert shown[f'informer_cache_bytes{{cluster="m1",{resource}}}'] == 0
    assert shown[f'informer_events_total{{cluster="m1",kind="added",{resource}}}'] == 2
    assert shown[f'informer_unconfirmed_seconds{{cluster="m1",{resource}}}'] == 0, "as old as it is"
    families.forget("m1")
    assert not [name for name in scrape(registry) if 'cluster="m1"' in name]


async def test_age_of_a_cache_is_that_of_the_oldest_collection(registry: CollectorRegistry, metrics: RuntimeMetrics):
    clock, server = FakeClock(), ScriptedListWatch()
    factory = InformerFactory(server, clock=clock, rng=random.Random(1), metrics=metrics.informers)
    metrics.informer_families.show(factory, clock)
    running = asyncio.ensure_future(factory.run())
    for namespace in ("shop", "till"):
        factory.informer(CONFIG_MAPS, namespace=namespace)
        await settle()
        server.pending.open(bookmark_line(10, initial_events_end=True))
        await clock.advance(20)
    series = 'informer_unconfirmed_seconds{cluster="",resource="configmaps.v1"}'
    assert scrape(registry)[series] == 40
    assert scrape(registry)['informer_watches_total{cluster="",resource="configmaps.v1"}'] == 2
    running.cancel()
    await asyncio.wait([running])


def test_a_large_family_is_rendered_in_parts_that_make_the_same_text():
    registry = CollectorRegistry()
    gauge, counter = Gauge("many", "Of each.", ("n",), registry=registry), Counter("few", "All.", registry=registry)
    counter.inc()
    for number in range(450):
        gauge.labels(str(number)).set(number)
    parts = list(render_parts(registry))
    assert [part.count(b"\n") for part in parts] == [202, 200, 50, 3]
    whole = generate_latest(registry).decode().splitlines()
    assert b"".join(parts).decode().splitlines() == [line for line in whole if "_created" not in line]
