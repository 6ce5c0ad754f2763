"""Which controller watches what: a connection that is lost shows as a change that nobody hears of, days later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcs_controller import start
from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.reconcile import ClusterRequest
from tests.unit.test_context import GATE, context

if TYPE_CHECKING:
    import pytest

WATCHED = {
    "multiclusterservice-controller": [
        ("multiclusterservices", "content_changed"),
        ("services", "service_changed"),
        ("clusters", "cluster_changed"),
        ("resourcebindings", "content_changed"),
        ("works", "content_changed"),
    ],
    "endpointslice-dispatch-controller": [
        ("works", "content_changed"),
        ("multiclusterservices", "content_changed"),
        ("clusters", "cluster_changed"),
        ("services", "service_changed"),
    ],
    "endpointslice-collect": [
        ("works", "content_changed"),
        ("clusters", "cluster_changed"),
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
        ("endpointslices", "slice_changed"),
        ("namespaces", ""),
    ],
    "service-import-controller": [("serviceimports", "content_changed"), ("services", "service_changed")],
}


async def test_each_controller_watches_what_matters_to_it(monkeypatch: pytest.MonkeyPatch):
    watched: dict[str, list[tuple[str, str]]] = {}

    def watch(self: Controller[Any], source: Any, mapper: Any, predicate: Any = None, **_: Any) -> None:
        watched.setdefault(self.name, []).append((source.resource.plural, predicate.__name__ if predicate else ""))

    monkeypatch.setattr(Controller, "watch", watch)
    ctx, _ = context(GATE)
    start.start_multi_cluster_service(ctx)
    start.start_service_export(ctx)
    assert watched == WATCHED


async def test_a_slice_is_collected_after_somebody_else_has_written_its_work():
    ctx, _ = context(GATE)
    start.start_multi_cluster_service(ctx)
    assert ctx.collection is not None
    request = ClusterRequest("m1", "default", "web-1")
    with ctx.slice_locks.ahead(request):
        pass
    assert len(ctx.collection.controller.queue) == 1
    assert await ctx.collection.controller.queue.get() == request
