"""What a CachedResource makes of the answers to its writes. Against a real API server: test_apiserver.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from informers.cached import CachedResource
from tests.support.informer_bench import Bench
from tests.support.objects import CONFIG_MAPS, ConfigMap, key, manifest

if TYPE_CHECKING:
    from informers.client import ApiClient


class Patched:
    """A client whose every patch is answered with this object."""

    def __init__(self, **metadata: Any) -> None:
        answer = manifest("a", 12)
        answer["metadata"] |= metadata
        self._answer = CONFIG_MAPS.decode(msgspec.json.encode(answer))

    async def patch(self, *args: Any, **options: Any) -> ConfigMap:
        return self._answer


@pytest.mark.parametrize(
    ("metadata", "gone"),
    [
        ({}, True),
        ({"deletionGracePeriodSeconds": None}, True),
        ({"deletionGracePeriodSeconds": 0}, True),
        ({"deletionGracePeriodSeconds": 30}, False),
        ({"finalizers": ["another"]}, False),
        ({"deletionTimestamp": None}, False),
    ],
    ids=str,
)
async def test_object_is_gone_with_its_last_finalizer_unless_it_has_time_left(
    metadata: dict[str, Any], gone: bool
) -> None:
    """As in apiserver's ShouldDeleteDuringUpdate (registry/generic/registry/store.go)."""
    bench = Bench()
    client = cast("ApiClient", Patched(**{"deletionTimestamp": "2026-01-01T00:00:00Z"} | metadata))
    await CachedResource(client, bench.informer).patch("ns", "a", {"metadata": {"finalizers": []}})
    assert (key("a") not in bench.informer.store.keys()) is gone  # noqa: SIM118 - a Store is no dict
