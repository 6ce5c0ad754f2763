"""Informers on demand: who is told of first lists, and that one key holds up no other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from informers.cache.event import Event
from informers.cache.informer import SharedInformer
from informers.cache.registration import Registration
from informers.dynamic import DynamicInformers
from mcs_controller.api.resources import SERVICES
from tests.support.builders import service
from tests.support.clock import FakeClock, settle
from tests.support.members import MemoryFactory
from tests.support.memory import MemoryApi


class World:
    """Informers of Services by cluster, each of an API server of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.apis = {name: MemoryApi() for name in ("m1", "m2")}
        self.factories = {name: MemoryFactory(api, listing=True) for name, api in self.apis.items()}
        self.told: list[str] = []
        self.informers = DynamicInformers[str, Any](
            clock=self.clock,
            register=self._register,
            synced=lambda key: self.told.append(f"synced {key}"),
            sync_timeout=60,
            overdue=lambda key, informer: self.told.append(f"overdue {key} {informer.last_error}"),
            stop=self._stop,
        )

    def informer(self, cluster: str) -> Any:
        return self.factories[cluster].informer(SERVICES)

    def find(self, cluster: str, found: asyncio.Event) -> Callable[[], Any]:
        async def find() -> Any:
            await found.wait()
            return self.informer(cluster)

        return find

    def _register(self, cluster: str, informer: SharedInformer[Any]) -> tuple[Registration[Any]]:
        def handle(event: Event[Any]) -> None:
            self.told.append(f"{cluster}/{event.object.metadata.name}")

        return (informer.add_handler(handle),)

    async def _stop(self, informer: Any) -> None:
        self.told.append("stopped")
        for factory in self.factories.values():
            if informer in factory.informers.values():
                await factory.stop(informer)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.informers.run())
        yield made
        task.cancel()


async def test_each_key_is_told_of_when_its_first_list_is_there(world: World) -> None:
    for cluster in ("m1", "m2"):
        world.informers.add(cluster, world.informer(cluster))
    await settle()
    assert world.informers.get_synced("m2") is None
    world.informer("m2").synced.set()
    await settle()
    assert world.told == ["synced m2"]
    assert world.informers.get_synced("m2") is world.informers.get("m2") is world.informer("m2")
    assert ("m1" in world.informers, world.informers.get_synced("m1")) == (True, None)
    world.apis["m2"].seed(service("web"))
    assert world.told == ["synced m2", "m2/web"]


async def test_an_overdue_list_is_told_of_once_and_waited_for(world: World) -> None:
    world.informers.add("m1", world.informer("m1"))
    await world.clock.advance(59)
    assert world.told == []
    await world.clock.advance(1000)
    assert world.told == ["overdue m1 None"]
    world.informer("m1").synced.set()
    await settle()
    assert world.told == ["overdue m1 None", "synced m1"]


async def test_a_key_that_was_dropped_is_told_of_again(world: World) -> None:
    informer = world.informer("m1")
    world.informers.add("m1", informer)
    informer.synced.set()
    await settle()
    informer.synced.clear()
    informer.dropped.set()
    await settle()
    assert (world.told, world.informers.get_synced("m1")) == (["synced m1"], None)
    informer.synced.set()
    await settle()
    assert world.told == ["synced m1", "synced m1"]


async def test_what_is_being_found_holds_up_nobody(world: World) -> None:
    found = asyncio.Event()
    world.informers.find("m1", world.find("m1", found))
    world.informers.add("m2", world.informer("m2"))
    world.informer("m2").synced.set()
    await settle()
    assert (world.told, world.informers.get("m1")) == (["synced m2"], None)
    found.set()
    await settle()
    assert world.informers.get("m1") is world.informer("m1")
    world.apis["m1"].seed(service("web"))
    assert world.told == ["synced m2", "m1/web"]


async def test_nobody_hears_of_a_key_that_was_removed(world: World) -> None:
    found, informer = asyncio.Event(), world.informer("m2")
    world.informers.find("m1", world.find("m1", found))
    world.informers.add("m2", informer)
    await settle()
    assert list(world.informers) == ["m1", "m2"]
    for cluster in world.informers:
        world.informers.remove(cluster)
    world.informers.remove("m3")
    informer.synced.set()
    found.set()
    world.apis["m2"].seed(service("web"))
    await settle()
    assert world.told == ["stopped"]
    assert list(world.informers) == []
    assert not informer.handlers


async def test_a_key_that_is_removed_before_its_turn_is_never_begun(world: World) -> None:
    world.informers.find("m1", world.find("m1", asyncio.Event()))
    world.informers.remove("m1")
    await settle()
    assert not any(task.get_name() == "first list of m1" for task in asyncio.all_tasks())


async def test_a_key_that_is_wanted_again_at_once_has_a_new_informer(world: World) -> None:
    found = asyncio.Event()
    found.set()
    world.informers.find("m1", world.find("m1", found))
    await settle()
    before = world.informer("m1")
    world.informers.remove("m1")
    world.informers.find("m1", world.find("m1", found))
    await settle()
    after = world.informers.get("m1")
    assert after is world.informer("m1")
    assert after is not before
