"""The spans of a change."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from mcs_controller.domain.works import SliceRef
from mcs_controller.tracing.changes import Change
from mcs_controller.tracing.spans import ChangeTracer, new_provider

CHANGE = Change(SliceRef("m1", "default", "web-1"), "2026-01-01T00:00:00Z")
WORKS = "/apis/work.karmada.io/v1alpha1/namespaces/karmada-es-{}/works"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


class Process:
    """A tracer, and what it has exported."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = new_provider("mcs", "1.2.3", "me", **options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = ChangeTracer(provider)

    def write(self, cluster: str, method: str, path: str, body: Any = None) -> str:
        """A write; what is sent as `traceparent`."""
        with self.tracer.requests(cluster)(method, path, body) as headers:
            return dict(headers).get("traceparent", "")

    def collect(self) -> str:
        return self.write("", "PATCH", f"{WORKS.format('m1')}/web-abc")

    def dispatch(self) -> str:
        return self.write("", "POST", WORKS.format("m2"), {"metadata": {"name": "web-abc"}})

    def deliver(self) -> str:
        return self.write("m2", "PATCH", f"{SLICES}/m1-web-1")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name, of which each comes once."""
        found = self.exporter.get_finished_spans()
        assert len({one.name for one in found}) == len(found)
        return {one.name: one for one in found}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    return iter(())


@pytest.fixture
def process() -> Process:
    return Process()


def test_the_writes_of_a_change_hang_on_it(process: Process):
    with process.tracer.carry(CHANGE, observed=True):
        process.collect()
        process.dispatch()
        process.deliver()
    spans = process.spans
    first = spans.pop("endpointslice change")
    assert first.context is not None
    assert (first.context.trace_id, first.context.span_id) == CHANGE.ids()
    assert first.parent is None
    assert set(spans) == {"write collected Work", "write dispatched Work", "write EndpointSlice"}
    for one in spans.values():
        assert one.context is not None
        assert one.context.trace_id == first.context.trace_id
        assert one.parent == first.context
    assert (spans["write EndpointSlice"].attributes or {})["mcs.cluster"] == "m2"
    assert (first.attributes or {})["mcs.provider"] == "m1"


def test_the_context_is_sent_to_the_api_server(process: Process):
    with process.tracer.carry(CHANGE, observed=True):
        sent = process.collect()
    found = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-0[13]", sent)  # sampled, and random or not
    assert found is not None
    context = process.spans["write collected Work"].context
    assert context is not None
    assert (int(found[1], 16), int(found[2], 16)) == (context.trace_id, context.span_id)


def test_a_reconcile_that_writes_nothing_has_no_span_and_begins_nothing(process: Process):
    with process.tracer.carry(CHANGE, observed=True):
        pass
    assert process.spans == {}
    with process.tracer.carry(CHANGE, observed=True):
        process.dispatch()
    assert "endpointslice change" in process.spans


def test_what_is_not_about_the_change_has_no_span(process: Process):
    assert process.collect() == "", "nothing is carried"
    with process.tracer.carry(CHANGE, observed=True):
        assert process.write("", "PATCH", f"{WORKS.format('m2')}/web-abc/status") == ""
        assert process.write("", "PATCH", "/apis/apps/v1/namespaces/default/deployments/web") == ""
        assert process.write("m2", "POST", "/api/v1/namespaces/default/services") == ""
        for path in ("/api/v1/namespaces", "/api/v1/namespaces/default", "/api/v1/nodes/a/b/c", ""):
            assert process.write("m2", "POST", path) == ""
    assert process.spans == {}


def test_a_second_try_hangs_on_the_first(process: Process):
    with process.tracer.carry(CHANGE, observed=True):
        process.collect()
    with process.tracer.carry(CHANGE, observed=True):
        process.dispatch()
    again = process.spans["reconcile"]
    assert again.parent is not None
    assert (again.parent.trace_id, again.parent.span_id) == CHANGE.ids()


def test_another_process_adds_to_the_same_trace(process: Process):
    """The one that dispatches what an agent has collected."""
    with process.tracer.carry(CHANGE, observed=False):
        process.dispatch()
    assert set(process.spans) == {"reconcile", "write dispatched Work"}
    parent = process.spans["reconcile"].parent
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == CHANGE.ids()
    assert parent.trace_flags.sampled


@pytest.mark.parametrize(("ratio", "exported"), [(0.0, 0), (1.0, 5)])
def test_all_processes_sample_the_same_changes(ratio: float, exported: int):
    sampler = ParentBased(TraceIdRatioBased(ratio))
    agent, manager = Process(sampler=sampler), Process(sampler=sampler)
    with agent.tracer.carry(CHANGE, observed=True):
        agent.collect()
    with manager.tracer.carry(CHANGE, observed=False):
        manager.dispatch()
        assert manager.deliver().endswith("-01" if ratio else "-00")
    assert len(agent.spans) + len(manager.spans) == exported


def test_the_execution_of_a_work_follows_the_change_that_it_was_written_for(process: Process):
    with process.tracer.carry(CHANGE, observed=True):
        process.dispatch()
    with process.tracer.follow("karmada-es-m2", "web-abc"):
        process.deliver()
        assert process.write("", "PATCH", f"{WORKS.format('m2')}/web-abc") == "", "its finalizer is not of interest"
    with process.tracer.follow("karmada-es-m2", "another"):
        assert process.deliver() == ""
    assert process.spans["write EndpointSlice"].parent == process.spans["endpointslice change"].context


def test_a_write_that_fails_says_why(process: Process):
    write = process.tracer.requests()("PATCH", f"{WORKS.format('m1')}/web-abc", None)
    with process.tracer.carry(CHANGE, observed=True), pytest.raises(ValueError, match="no"), write:
        raise ValueError("no" * 9000)
    status = process.spans["write collected Work"].status
    assert not status.is_ok
    assert status.description is not None
    assert status.description.startswith("ValueError: nono")
    assert len(status.description) == 1024


async def test_changes_that_are_carried_at_the_same_time_do_not_mix(process: Process):
    other = Change(SliceRef("m3", "default", "web-1"), "1")

    async def carry(change: Change, *, ahead: asyncio.TaskGroup) -> None:
        with process.tracer.carry(change, observed=True):
            await asyncio.sleep(0)
            ahead.create_task(deliver())  # as a write ahead, which outlives the reconcile
            process.write("", "PATCH", f"{WORKS.format(change.origin.cluster)}/web-abc")

    async def deliver() -> None:
        await asyncio.sleep(0)
        process.deliver()

    async with asyncio.TaskGroup() as group:
        group.create_task(carry(CHANGE, ahead=group))
        group.create_task(carry(other, ahead=group))
    traces = [one.context.trace_id for one in process.exporter.get_finished_spans() if one.context is not None]
    assert sorted(traces) == sorted([CHANGE.ids()[0]] * 3 + [other.ids()[0]] * 3)


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch):
    assert new_provider("mcs", "1.2.3", "me").resource.attributes["service.name"] == "mcs"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.version=9")
    found = new_provider("mcs", "1.2.3", "me").resource.attributes
    assert (found["service.name"], found["service.version"], found["service.instance.id"]) == ("mine", "9", "me")
    assert found["deployment.environment"] == "test"
