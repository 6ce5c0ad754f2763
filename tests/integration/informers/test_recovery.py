"""An API server that goes away and comes back, and the informers that follow it."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from informers.cache.factory import InformerFactory
from informers.client.client import ApiClient
from informers.watch.backoff import MIN_TURN_SECONDS
from tests.support.informing import config_for
from tests.support.objects import CONFIG_MAPS, key
from workqueue.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SELECTIONS = ("", "one", "two", "three", "four")


class Attempts:
    """Counts requests that found nobody: a `ClientMetrics`."""

    def __init__(self) -> None:
        self.failed = 0

    def request(self, method: str, host: str, code: str, seconds: float) -> None:
        self.failed += code == "<error>"


async def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


async def test_informers_try_a_killed_api_server_one_at_a_time_and_are_all_live_again_when_it_is_back(
    new_bed: Any,
) -> None:
    bed = await new_bed(members=(), controller_manager=False)
    plane = bed.host
    attempts = Attempts()
    clock = RealClock()
    async with (
        ApiClient(config_for(plane.access), clock=clock, user_agent="tests", metrics=attempts) as client,
        asyncio.TaskGroup() as group,
    ):
        factory = InformerFactory(client, clock=clock, rng=random.Random(1))
        informers = [
            factory.informer(CONFIG_MAPS, namespace=namespace, label_selector=selection)
            for namespace in NAMESPACES
            for selection in SELECTIONS
        ]
        running = group.create_task(factory.run())
        await asyncio.wait_for(factory.wait_synced(), 60)

        await plane.kill_apiserver()
        # From then on all of them wait for their turn.
        await until(lambda: all("refused" in str(one.last_error) for one in informers), "everybody is refused")
        before, began = attempts.failed, time.monotonic()
        await until(lambda: attempts.failed >= before + 4, "they go on trying")
        # A slow machine makes fewer, never more.
        assert attempts.failed - before <= 2 + (time.monotonic() - began) / MIN_TURN_SECONDS

        await plane.start_apiserver()
        began = time.monotonic()
        await until(lambda: not any(informer.last_error for informer in informers), "everybody is live again")
        print(f"{len(informers)} informers live again {time.monotonic() - began:.2f} s after the API server")
        for namespace in NAMESPACES:
            await client.create(CONFIG_MAPS, {"metadata": {"name": "news", "labels": {"one": "1"}}}, namespace)
        expected = [
            informer for number, informer in enumerate(informers) if SELECTIONS[number % len(SELECTIONS)] in ("", "one")
        ]
        await until(
            lambda: all(
                any(key("news", namespace) in informer.store for namespace in NAMESPACES) for informer in expected
            ),
            "everybody has the news",
        )
        running.cancel()
