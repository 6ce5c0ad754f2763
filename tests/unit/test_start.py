"""Which controller watches what: a connection that is lost shows as a change that nobody hears of, days later."""

from typing import Any

import pytest

from mcs_controller import start
from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.reconcile import ClusterRequest
from tests.unit.test_context import GATE, context

WATCHED = {
    "multiclusterservice-controller": [
        ("multiclusterservices", "content_changed"),
        ("services", "service_changed"),
        ("clusters", "cluster_changed"),
        ("resourcebindings", "content_changed"),
        ("works", "content_changed"),
    ],
    "endpoint-selection-controller": [
        ("multiclusterservices", "content_changed"),
        ("namespaces", "content_changed"),
        ("clusters", "cluster_changed"),
        ("services", "service_changed"),
        ("works", "content_changed"),
    ],
    "endpointslice-dispatch-controller": [
        ("clusters", "cluster_changed"),  # one that is leaving
        ("works", "content_changed"),
        ("multiclusterservices", "content_changed"),
        ("clusters", "cluster_changed"),
        ("services", "service_changed"),
        ("works", "content_changed"),  # of a service whose own Work ends
        ("multiclusterservices", "content_changed"),
    ],
    "endpointslice-collect-controller": [
        ("works", "content_changed"),
        ("clusters", "cluster_changed"),
        ("multiclusterservices", "content_changed"),
    ],
    "multiclusterservice-status-controller": [("works", ""), ("resourcebindings", "")],
    "service-export-controller": [("works", "asking_changed"), ("clusters", "cluster_changed")],
    "endpointslice-controller": [
        ("works", "content_changed"),
        ("works", ""),  # that bring ServiceExports to members
        ("endpointslices", "slice_changed"),
        ("namespaces", ""),
    ],
    "service-import-controller": [("serviceimports", "content_changed"), ("services", "service_changed")],
}


COLLECT_ALONE = {
    "endpointslice-collect": [
        ("clusters", "cluster_changed"),
        ("works", "content_changed"),
        ("works", "content_changed"),  # of a service whose own Work ends
        ("multiclusterservices", "content_changed"),
    ],
    "endpointslice-collect-controller": WATCHED["endpointslice-collect-controller"],
}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param((), WATCHED, id="everything"),
        pytest.param(("--controllers=endpointsliceCollect",), COLLECT_ALONE, id="collection alone"),
    ],
)
async def test_each_controller_watches_what_matters_to_it(
    flags: tuple[str, ...], expected: dict[str, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
):
    watched: dict[str, list[tuple[str, str]]] = {}

    def watch(self: Controller[Any], source: Any, mapper: Any, predicate: Any = None, **_: Any) -> None:
        watched.setdefault(self.name, []).append((source.resource.plural, predicate.__name__ if predicate else ""))

    monkeypatch.setattr(Controller, "watch", watch)
    ctx, _ = context(GATE, *flags)
    start.start_controllers(ctx)
    assert watched == expected


@pytest.mark.parametrize(
    ("controllers", "writer"),
    [
        pytest.param("*", "endpointslice-dispatch-controller", id="both halves"),
        pytest.param("endpointsliceDispatch", "endpointslice-dispatch-controller", id="dispatch alone"),
        pytest.param("endpointsliceCollect", "endpointslice-collect", id="collection alone"),
        pytest.param("serviceExport", "endpointslice-collect", id="exports alone"),
        pytest.param("multiclusterservice", "endpointslice-collect", id="what ends is withdrawn"),
        pytest.param("endpointSlice", "endpointslice-collect", id="what was imported is let go of"),
    ],
)
async def test_slices_have_one_writer_to_whom_requests_lead(
    controllers: str, writer: str, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[str, ClusterRequest]] = []
    monkeypatch.setattr(Controller, "enqueue", lambda self, request, *_: asked.append((self.name, request)))
    ctx, _ = context(GATE, f"--controllers={controllers}")
    start.start_controllers(ctx)
    request = ClusterRequest("m1", "default", "web-1")
    ctx.slice_requests.send(request)
    assert asked == [(writer, request)]


async def test_without_a_controller_of_slices_nobody_waits_for_requests():
    ctx, _ = context("--controllers=serviceImport")
    start.start_controllers(ctx)
    with pytest.raises(RuntimeError):
        ctx.slice_requests.send(ClusterRequest("m1", "default", "web-1"))


async def test_the_writer_of_slices_knows_the_execution_controller_of_its_process(monkeypatch: pytest.MonkeyPatch):
    given: list[Any] = []
    monkeypatch.setattr(start, "EndpointSliceReconciler", lambda **parts: given.append(parts["execution"]))
    ctx, _ = context(GATE)
    execution: Any = object()
    ctx.local_execution = execution
    start.start_controllers(ctx)
    assert given == [execution]
