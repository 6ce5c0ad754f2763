"""What a CachedClient makes of the answers to its writes. Against a real API server: test_apiserver.py."""

from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest

from informers.cache.cached_client import CachedClient
from informers.client.client import ApiClient
from tests.support.informer_bench import Bench
from tests.support.objects import CONFIG_MAPS, ConfigMap, config_map, key, manifest

GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


class Patched:
    """A client whose every patch, of whatever sort, is answered with this object."""

    def __init__(self, **metadata: Any) -> None:
        answer = manifest("a", 12)
        answer["metadata"] |= metadata
        self._answer = CONFIG_MAPS.decode(msgspec.json.encode(answer))

    async def patch(self, *args: Any, **options: Any) -> ConfigMap:
        return self._answer

    apply = patch


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
    client = cast("ApiClient", Patched(**GOING | metadata))
    await CachedClient(client, bench.informer).patch("ns", "a", {"metadata": {"finalizers": []}})
    assert (key("a") not in bench.informer.store.keys()) is gone  # noqa: SIM118 - a Store is no dict


@pytest.mark.parametrize(
    ("operation", "gone"),
    [
        ({"op": "remove", "path": "/metadata/finalizers/0"}, True),
        ({"op": "replace", "path": "/metadata/finalizers", "value": []}, True),
        ({"op": "remove", "path": "/data"}, False),
    ],
    ids=str,
)
async def test_json_patch_of_the_last_finalizer_is_understood_too(operation: dict[str, Any], gone: bool) -> None:
    bench = Bench()
    await CachedClient(cast("ApiClient", Patched(**GOING)), bench.informer).patch("ns", "a", [operation])
    assert (key("a") not in bench.informer.store.keys()) is gone  # noqa: SIM118 - a Store is no dict


@pytest.mark.parametrize("finalizers", [[], ["mine"]], ids=["without", "with"])
async def test_object_is_gone_by_an_apply_only_if_it_had_finalizers(finalizers: list[str]) -> None:
    bench = Bench()
    held = manifest("a", 11)
    held["metadata"] |= GOING | {"finalizers": finalizers}
    bench.informer.observe(CONFIG_MAPS.decode(msgspec.json.encode(held)))
    cached = CachedClient(cast("ApiClient", Patched(**GOING)), bench.informer)
    await cached.apply("ns", "a", {}, field_manager="mine")
    assert (cached.get("ns", "a") is None) is bool(finalizers)


async def test_namespace_without_finalizers_in_its_metadata_may_have_some_in_its_spec() -> None:
    bench = Bench()
    bench.informer.resource = replace(CONFIG_MAPS, plural="namespaces", kind="Namespace")
    cached = CachedClient(cast("ApiClient", Patched(**GOING)), bench.informer)
    await cached.patch("ns", "a", {"metadata": {"finalizers": []}})
    assert cached.get("ns", "a") is not None


class Answering:
    """A client that creates what it is sent, and remembers what it was asked to delete."""

    def __init__(self) -> None:
        self.deleted: list[dict[str, Any]] = []

    async def create(self, *_: Any) -> ConfigMap:
        return config_map("a", 12)

    async def delete(self, *_: Any, **conditions: Any) -> None:
        self.deleted.append(conditions)


async def test_created_object_is_in_the_cache_with_the_answer() -> None:
    cached = CachedClient(cast("ApiClient", Answering()), Bench().informer)
    created = await cached.create({"metadata": {"name": "a"}}, "ns")
    assert cached.get("ns", "a") is created


async def test_only_the_very_object_that_was_seen_is_deleted() -> None:
    client = Answering()
    await CachedClient(cast("ApiClient", client), Bench().informer).delete("ns", "a", uid="u", resource_version="12")
    assert client.deleted == [{"uid": "u", "resource_version": "12"}]
