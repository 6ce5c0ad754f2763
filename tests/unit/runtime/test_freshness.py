"""Caches that were not confirmed are named, with their age and the reason."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from informers.errors import Forbidden, KubeError, NotFound
from mcs_controller.runtime.freshness import Freshness
from tests.support.clock import FakeClock, settle
from tests.support.objects import CONFIG_MAPS


@dataclass
class Cached:
    """A cache of ConfigMaps."""

    last_confirmed_monotonic: float | None
    last_error: KubeError | None = None
    resource: Any = CONFIG_MAPS


@pytest.mark.parametrize(
    ("cache", "problem"),
    [
        (Cached(None), ""),
        (Cached(1000), ""),
        (Cached(985), ""),
        (Cached(984.4), "configmaps.v1 not confirmed for 16 s: lists are not answered"),
        (Cached(900, Forbidden(403, "Forbidden", "no")), "configmaps.v1 not confirmed for 100 s: 403 Forbidden: no"),
    ],
    ids=["never listed", "just now", "at the limit", "beyond", "refused"],
)
def test_a_required_cache_that_is_stale_is_named_with_its_age(cache: Cached, problem: str):
    others = [("member1", Cached(0)), ("", Cached(0, NotFound(404, "NotFound", "of a policy")))]
    caches = [("", cache), *others]
    assert Freshness(lambda: caches, required=[cache], stale_seconds=15, clock=FakeClock()).check() == problem


async def test_the_log_says_once_that_a_cache_is_stale_and_once_that_it_is_not(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    clock, cache = FakeClock(), Cached(1000)
    task = asyncio.create_task(Freshness(lambda: [("", cache)], required=[], stale_seconds=15, clock=clock).run())
    await settle()
    for _ in range(30):
        await clock.advance(1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    cache.last_confirmed_monotonic = clock.monotonic()
    for _ in range(10):
        await clock.advance(1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_stale_of_any_cluster_is_published_twice_a_second():
    clock, published = FakeClock(), list[str]()
    caches = [("", Cached(1010)), ("m2", Cached(1000)), ("m1", Cached(1001)), ("m3", Cached(None))]
    freshness = Freshness(lambda: caches, required=[], stale_seconds=15, clock=clock, publish=published.append)
    task = asyncio.create_task(freshness.run())
    await settle()
    changed: list[tuple[str, str]] = []
    freshness.on_change(lambda *what: changed.append(what))
    for _ in range(28):
        await clock.advance(1)
    each = published[1::2]
    assert each[14] == ""
    assert each[15:17] == ["m2/configmaps.v1=16", "m1/configmaps.v1=16,m2/configmaps.v1=17"]
    assert published[-1] == "/configmaps.v1=18,m1/configmaps.v1=27,m2/configmaps.v1=28"
    assert changed == [("m2", "configmaps"), ("m1", "configmaps"), ("", "configmaps")]
    assert freshness.is_stale("m1", "configmaps")
    assert not freshness.is_stale("m3", "configmaps")
    caches[:] = [("", Cached(0)), *((f"m{number}", Cached(900)) for number in range(1000))]
    await clock.advance(1)
    assert published[-1].count(",") == 19
    assert "/configmaps.v1=1029" in published[-1].split(","), "those that are stale for longest"
    caches[:] = [("m1", Cached(clock.monotonic())), ("m2", Cached(0))]
    changed.clear()
    await clock.advance(1)
    assert not freshness.is_stale("m1", "configmaps")
    assert ("m1", "configmaps") in changed
    assert ("m2", "configmaps") not in changed
    task.cancel()
    await asyncio.wait([task])
