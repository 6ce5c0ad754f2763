"""Whose work the requests of each controller are: one without a flow lets whoever has much to do delay all others."""

from collections.abc import Callable
from typing import Any

import pytest

from informers.meta import ObjectKey
from mcs_controller import flows, start
from mcs_controller.context import ControllerContext
from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.reconcile import ClusterRequest, Request
from mcs_controller.standalone import start as standalone_start
from tests.support.builders import a_slice, a_work, dispatched_work, slice_
from tests.unit.test_context import GATE, context

M1, SHOP = ("Cluster", "m1"), ("Namespace", "shop")

OF_NAMESPACE = (Request("shop", "web"), (SHOP,))
OF_MEMBER = (Request("karmada-es-m1", "web-1"), (M1,))
OF_CLUSTER = (Request("", "m1"), (M1,))

FLOWS: dict[str, tuple[Any, Any] | None] = {
    "multiclusterservice-controller": OF_NAMESPACE,
    "multiclusterservice-status-controller": OF_NAMESPACE,
    "endpoint-selection-controller": OF_NAMESPACE,
    "endpointslice-dispatch-controller": (ClusterRequest("m1", "shop", "web-1"), (M1, "shop", "")),
    "endpointslice-collect-controller": OF_MEMBER,
    "service-export-controller": OF_MEMBER,
    "service-export": (ClusterRequest("m1", "shop", "web"), (M1, "shop")),
    "endpointslice-controller": OF_MEMBER,
    "service-import-controller": OF_NAMESPACE,
    "cluster-controller": None,  # requests to the control plane only, few and small
    "cluster-status-controller": OF_CLUSTER,
    "namespace-sync-controller": None,  # the same
    "resource-detector": OF_NAMESPACE,
    "propagation-policy-controller": OF_NAMESPACE,
    "default-scheduler": OF_NAMESPACE,
    "binding-controller": OF_NAMESPACE,
    "resource-binding-status-controller": OF_NAMESPACE,
    "execution-controller": (Request("karmada-es-m1", "web-1"), (M1, "")),
    "member-ownership-controller": OF_CLUSTER,
    "stale-objects-controller": OF_CLUSTER,
}


async def test_each_controller_knows_whose_work_it_does(monkeypatch: pytest.MonkeyPatch):
    """A new controller must choose: a flow here, or None with a reason."""
    known: dict[str, Callable[[Any], Any] | None] = {}
    make = ControllerContext.controller

    def controller(self: ControllerContext, name: str, reconciler: Any, workers: int, *, flow: Any) -> Any:
        known[name] = flow
        return make(self, name, reconciler, workers, flow=flow)

    monkeypatch.setattr(ControllerContext, "controller", controller)
    ctx, _ = context(GATE, "--controllers=*,standalone")
    ctx.local_execution = standalone_start.start_standalone(ctx)
    start.start_controllers(ctx)
    found = {
        name: (expected[0], flow(expected[0])) if flow is not None and (expected := FLOWS.get(name)) else flow
        for name, flow in known.items()
    }
    assert found == FLOWS


async def test_a_controllers_flow_is_that_of_its_queue():
    ctx, _ = context()
    reconciler: Any = None
    made: Controller[Request] = ctx.controller("test", reconciler, workers=2, flow=flows.by_namespace)
    for name in "abc":
        made.enqueue(Request("shop", name))
    made.enqueue(Request("other", "web"))
    taken = [await made.queue.get() for _ in range(3)]
    assert taken == [Request("shop", "a"), Request("other", "web"), Request("shop", "b")]
    assert made.queue.flow_of(Request("shop", "a")) == (SHOP,)


def test_slices_are_their_services_in_the_provider():
    slices = {ObjectKey("shop", "web-1"): a_slice("web-1", namespace="shop", service="web")}
    flow = flows.by_service(lambda cluster: slices if cluster == "m1" else None)  # type: ignore[arg-type,return-value]
    assert flow(ClusterRequest("m1", "shop", "web-1")) == (M1, "shop", "web")
    assert flow(ClusterRequest("m1", "shop", "gone")) == (M1, "shop", "")
    assert flow(ClusterRequest("m2", "shop", "web-1")) == (("Cluster", "m2"), "shop", "")


def test_works_are_their_objects_namespaces_in_the_member():
    work = a_work(dispatched_work("m2", "m1", slice_("web-1", namespace="shop")))
    flow = flows.by_work({ObjectKey("karmada-es-m1", "web-1"): work})  # type: ignore[arg-type]
    assert flow(Request("karmada-es-m1", "web-1")) == (M1, "shop")
    assert flow(Request("karmada-es-m1", "gone")) == (M1, "")
    assert flow(Request("elsewhere", "web-1")) == (("Namespace", "elsewhere"), "")
