"""What is served, without a server."""

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mcs_controller.runtime.http import metrics_routes


async def test_of_many_scrapes_each_is_a_turn_of_its_own_on_the_event_loop():
    order: list[str] = []

    class Caches(Collector):
        def collect(self) -> Iterable[Metric]:
            order.append("scrape")
            return ()

    async def renew() -> None:
        while order.count("scrape") < 5:
            order.append("lease")
            await asyncio.sleep(0)

    registry = CollectorRegistry()
    registry.register(Caches())
    order.clear()
    (route,) = metrics_routes(registry)
    await asyncio.gather(*(route.handler(None) for _ in range(5)), renew())  # type: ignore[arg-type]
    assert "scrape scrape" not in " ".join(order)
