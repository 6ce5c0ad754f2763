"""Caches that were not confirmed are named, with their age and the reason."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from informers.errors import Forbidden, KubeError, NotFound, TransportError
from mcs_controller.runtime.freshness import Cache, Freshness, ages
from tests.support.clock import FakeClock, settle
from tests.support.objects import CONFIG_MAPS


@dataclass
class Cached:
    """A cache of ConfigMaps."""

    last_confirmed_monotonic: float | None
    last_error: KubeError | None = None
    resource: Any = CONFIG_MAPS
    made_monotonic: float = 1000.0


@pytest.mark.parametrize(
    ("cache", "problem"),
    [
        (Cached(None), ""),
        (Cached(1000), ""),
        (Cached(986), ""),
        (Cached(984.4), "configmaps.v1 not confirmed for 16 s: lists are not answered"),
        (Cached(900, Forbidden(403, "Forbidden", "no")), "configmaps.v1 not confirmed for 100 s: 403 Forbidden: no"),
    ],
    ids=["never listed", "just now", "at the limit", "beyond", "refused"],
)
def test_a_required_cache_that_is_stale_is_named_with_its_age(cache: Cached, problem: str):
    others = [("member1", Cached(0)), ("", Cached(0, NotFound(404, "NotFound", "of a policy")))]
    caches: list[tuple[str, Cache]] = [("", cache), *others]
    assert Freshness(lambda: caches, required=[cache], clock=FakeClock()).check() == problem


@asynccontextmanager
async def looking(*caches: tuple[str, Cache], clock: FakeClock) -> AsyncIterator[Freshness]:
    """What looks at the caches, by and by."""
    freshness = Freshness(lambda: caches, required=[], clock=clock)
    task = asyncio.create_task(freshness.run())
    await settle()
    yield freshness
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("cluster", ["", "m1"])
async def test_the_log_says_once_that_a_cache_is_stale_and_once_that_it_is_not(
    caplog: pytest.LogCaptureFixture, cluster: str
):
    caplog.set_level(logging.INFO)
    clock, cache = FakeClock(), Cached(1000, TransportError("refused"))
    async with looking((cluster, cache), clock=clock) as freshness:
        await clock.advance(14)
        assert not freshness.is_stale(cluster, "configmaps")
        for _ in range(10):
            await clock.advance(1)
        assert freshness.is_stale(cluster, "configmaps")
        cache.last_confirmed_monotonic = clock.monotonic()
        for _ in range(10):
            await clock.advance(1)
        assert not freshness.is_stale(cluster, "configmaps")
    said = [(one.levelname, vars(one).get("cluster", ""), vars(one).get("error")) for one in caplog.records]
    assert said == [("WARNING", cluster, "refused"), ("INFO", cluster, None)]


async def test_what_a_new_connection_does_not_list_is_stale_as_well():
    """Its Secret was rotated, say: what was collected by the connection before stays, and may have changed."""
    clock = FakeClock()
    cache = Cached(None)
    async with looking(("m1", cache), clock=clock) as freshness:
        await clock.advance(14)
        assert not freshness.is_stale("m1", "configmaps")
        await clock.advance(0.5)
        assert freshness.is_stale("m1", "configmaps")
        cache.last_confirmed_monotonic = clock.monotonic()
        await clock.advance(0.5)
        assert not freshness.is_stale("m1", "configmaps")


ABSENT = NotFound(404, "NotFound", "the server could not find the requested resource")


@pytest.mark.parametrize(
    ("caches", "counted"),
    [
        ([Cached(None, ABSENT)], 0),
        ([Cached(900, ABSENT), Cached(995)], 1),
        ([Cached(900, ABSENT), Cached(900, TransportError("x"))], 2),
        ([Cached(900, ABSENT), Cached(900, ABSENT)], 2),
        ([Cached(900, Forbidden(403, "Forbidden", "no")), Cached(995)], 2),
    ],
    ids=["never had it", "its definition was deleted", "nobody answers", "nothing but 404", "refused"],
)
def test_a_kind_that_is_not_there_has_no_age_if_its_server_answers_for_others(caches: list[Cached], counted: int):
    assert len(ages(caches, 1000.0)) == counted


async def test_what_is_stale_of_any_cluster_is_published_twice_a_second():
    clock, published = FakeClock(), list[str]()
    caches = [("", Cached(1010)), ("m2", Cached(1000)), ("m1", Cached(1001)), ("m3", Cached(None, ABSENT))]
    freshness = Freshness(lambda: caches, required=[], clock=clock, publish=published.append)
    task = asyncio.create_task(freshness.run())
    await settle()
    changed: list[tuple[str, str]] = []
    freshness.on_change(lambda *what: changed.append(what))
    for _ in range(28):
        await clock.advance(1)
    each = published[1::2]
    assert each[13] == ""
    assert each[14:16] == ["m2/configmaps.v1=15", "m1/configmaps.v1=15,m2/configmaps.v1=16"]
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
