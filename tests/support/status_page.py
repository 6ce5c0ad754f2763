"""A status page of a process with caches that a test fills."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any, cast

from mcs_controller.api.resources import CLUSTERS, ENDPOINTSLICES, MULTICLUSTERSERVICES, WORKS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import WORK_INDEXES
from mcs_controller.statuspage.errors import RecentErrors
from mcs_controller.statuspage.model import Gate, Overview, ProcessView, Query
from mcs_controller.statuspage.server import StatusPage
from tests.support.builders import cluster, collected_work, condition, dispatched_work, endpoint, mcs, slice_
from tests.support.clock import FakeClock
from tests.support.memory import MemoryApi

if TYPE_CHECKING:
    from informers.cache.factory import InformerFactory
    from informers.resource import Resource
    from tests.support.memory import MemoryInformer

PROCESS = ProcessView(
    name="mcs-controller-manager",
    version="0.2.0",
    identity="mcs-controller-manager-7d9c5b4f6-x2x7p_5f0c",
    leads=True,
    leader="mcs-controller-manager-7d9c5b4f6-x2x7p_5f0c",
    agent_of="",
    uptime=93_784.0,
    gates=(Gate(name="ControllerPriorityQueue", enabled=True), Gate(name="MultiClusterService", enabled=True)),
    controllers=("endpointsliceCollect", "endpointsliceDispatch", "multiclusterservice"),
)

TAKEN = {"status": {"conditions": [condition(wk.APPLIED)]}}

WELL = [
    condition(wk.SERVICE_APPLIED, "True", "ServiceAppliedSucceed", "Service is propagated to target clusters."),
    condition(wk.SLICE_DISPATCHED, "True", "EndpointSliceDispatchedSucceed", "EndpointSlice are dispatched"),
    condition(wk.ENDPOINTS_AVAILABLE, "True", "EndpointsAvailable", "Every consumer has ready endpoints."),
]


class PageWorld:
    """A control plane, members, and the page of a process that watches them."""

    def __init__(self, process: ProcessView = PROCESS, *, serves: bool = True) -> None:
        self.api = MemoryApi()
        self.clock = FakeClock()
        self.errors = RecentErrors()
        self.members: dict[str, list[Any]] = {}
        self.informers = [self._informer(self.api, CLUSTERS), self._informer(self.api, WORKS, WORK_INDEXES)]
        if serves:
            self.informers.append(self._informer(self.api, MULTICLUSTERSERVICES))
        self.page = StatusPage(
            process=lambda: process,
            informers=_factory(self.informers),
            clusters=lambda: {name: _factory(informers) for name, informers in self.members.items()},
            errors=self.errors,
            clock=self.clock,
            unserved="" if serves else "the feature gate is off",
        )

    def overview(self, query: Query) -> Overview:
        """What the page shows; nothing is waited for."""
        return asyncio.run(self.page.overview(query))

    def member(self, name: str, *, age: float | None = 0.4, slices: int = 0, **fields: Any) -> None:
        """Register a Cluster, and watch its slices, last confirmed so many seconds ago."""
        self.api.seed(cluster(name, **fields))
        api = MemoryApi()
        for number in range(slices):
            api.seed(slice_(f"s-{number}"))
        self.members[name] = [self._informer(api, ENDPOINTSLICES, age=age)]

    def deliver(
        self, service: str, provider: str, ready: int, *taken: str, namespace: str = "default", unready: int = 0
    ) -> None:
        """One slice of a provider, with so many endpoints, that these consumers have taken."""
        endpoints = [endpoint(f"10.{number // 250}.0.{number % 250 + 1}") for number in range(ready + unready)]
        for one in endpoints[ready:]:
            one["conditions"] = {"ready": False}
        content = slice_(f"{service}-{provider}", service=service, namespace=namespace, endpoints=endpoints)
        copies = (dispatched_work(provider, consumer, content) | TAKEN for consumer in taken)
        self.api.seed(collected_work(provider, content), *copies)

    def _informer(
        self, api: MemoryApi, resource: Resource[Any], indexers: Any = None, *, age: float | None = 0.4
    ) -> MemoryInformer[Any]:
        informer = api.informer(resource, indexers)
        informer.made_monotonic = self.clock.monotonic() - 60
        informer.last_confirmed_monotonic = None if age is None else self.clock.monotonic() - age
        return informer


def _factory(informers: list[Any]) -> InformerFactory:
    for one in informers:
        one.cached_bytes = 1720 * len(one.store)
    return cast("InformerFactory", types.SimpleNamespace(informers=informers))


def a_day_in_the_life() -> PageWorld:
    """Three clusters, one of which is in trouble, and services in all states. For people who look at it."""
    world = PageWorld()
    world.member("eu-west", slices=42)
    world.member("us-east", slices=37)
    world.member("ap-south", age=73.0, slices=12, ready="False")
    not_yet = condition(
        wk.ENDPOINTS_AVAILABLE,
        "False",
        "NotDelivered",
        'us-east: endpoints of eu-west have not arrived: namespaces "payments" not found (create the namespace there)',
    )
    pair: dict[str, Any] = {"providers": ["eu-west"], "consumers": ["us-east", "ap-south"]}
    world.api.seed(
        mcs("checkout", "payments", providers=["eu-west"], consumers=["us-east"], conditions=[*WELL[:2], not_yet]),
        mcs("catalog", "shop", **pair, conditions=WELL),
        mcs("search", "shop", providers=["eu-west", "us-east"], consumers=["eu-west", "us-east"], conditions=WELL),
        mcs("reviews", "shop", **pair),
        mcs("legacy", "shop", types=["LoadBalancer"]),
    )
    world.deliver("checkout", "eu-west", 12, namespace="payments")
    world.deliver("catalog", "eu-west", 3, "us-east", "ap-south", namespace="shop")
    world.deliver("search", "eu-west", 1240, "us-east", namespace="shop", unready=8)
    world.deliver("search", "us-east", 980, "eu-west", namespace="shop")
    return world
