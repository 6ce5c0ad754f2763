"""A thousand faults and more, at random places, and in the end everybody knows what the server knows.

    SOAK_SEED=<seed>,... pytest tests/integration/informers/test_soak.py -rA     repeats runs with the same faults

Six informers of one client, two handlers each, follow a faithful API server on a real socket while its objects change
at random and while a fault plan breaks lists, watches, writes and the server as a whole. The faults come in rounds.
After each, when all is quiet:

- every store equals the server's collection;
- every handler, by what it was told, has the same, and was told nothing impossible: no state that never was, no object
  going back, no deletion of what it did not have, no addition of what it had;
- a handler that comes late is replayed the same;
- there is one watch for each informer and no more, no task more than at the first quiet, and of the states of objects
  only those in the stores are in memory.

What one has written is seen at once by whoever wrote it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from informers.cache.cached_client import CachedClient
from informers.cache.factory import InformerFactory
from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from informers.errors import KubeError
from informers.meta import ObjectKey
from tests.support.fake_apiserver import FakeApiServer, ObjectHistory
from tests.support.fault_plan import FAULTS, FaultPlan
from tests.support.fault_plan import Place as FaultPlace
from tests.support.object_store import Selection
from tests.support.objects import CONFIG_MAPS, ConfigMap
from tests.support.soak import WIDGETS, FastClock, ImpatientListWatch, Replica, begin, check_memory, seeds, until

if TYPE_CHECKING:
    from informers.cache.informer import SharedInformer

ROUNDS = 8
RESTORED = "whole server: restored from a backup"
CLOCK_SPEED = 500  # the longest back-off takes 0.06 s

SELECTIONS = [
    Selection("configmaps"),
    Selection("configmaps", label="app=x"),
    Selection("configmaps", namespace="ns-1"),
    Selection("configmaps", field="metadata.name=a"),
    Selection("widgets"),
    Selection("widgets", namespace="ns-0", label="app=y"),
]
NAMES = "abcdefghijklmnop"
NAMESPACES = ("ns-0", "ns-1", "ns-2")


def test_plan_is_a_function_of_its_seed_and_has_every_kind() -> None:
    plan, same, other = FaultPlan(1, rounds=ROUNDS), FaultPlan(1, rounds=ROUNDS), FaultPlan(2, rounds=ROUNDS)
    assert plan.faults == same.faults != other.faults
    assert sum(map(len, plan.faults.values())) >= 1000
    for place, kinds in FAULTS.items():
        assert Counter(fault.kind for fault in plan.faults[place]) == kinds


@pytest.mark.parametrize("seed", seeds())
async def test_informers_know_what_the_server_knows_after_a_thousand_faults(
    seed: int | None, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    # Thousands of records would be kept, and with their errors the frames and objects that saw them.
    caplog.set_level(logging.CRITICAL, "informers")
    seed = begin(seed, request)
    before = asyncio.all_tasks()
    began = time.monotonic()
    plan = FaultPlan(seed, rounds=ROUNDS)
    try:
        async with FakeApiServer(ObjectHistory(), plan) as server:
            config = ClientConfig(server=server.url, timeout_seconds=0.5)
            clock = FastClock(CLOCK_SPEED)
            async with ApiClient(config, clock=clock, user_agent="soak") as client:
                soak = Soak(seed, server, client, clock)
                await soak.run()
    finally:
        print(plan.table())
    seconds = time.monotonic() - began
    events = sum(replica.events for replica in soak.replicas)
    print(f"{plan.injected.total()} faults and {events} events in {seconds:.1f} s, {soak.writes} writes of our own")
    await until(lambda: asyncio.all_tasks() == before, lambda: f"tasks left: {asyncio.all_tasks() - before}")
    assert plan.never == []
    assert plan.injected.total() >= 1000


class Soak:
    """One run."""

    def __init__(self, seed: int, server: FakeApiServer, client: ApiClient, clock: FastClock) -> None:
        self.rng = random.Random(seed)
        self.server = server
        self.world = server.world
        self.plan = server.plan
        self.client = client
        self.factory = InformerFactory(
            ImpatientListWatch(client, 0.25), clock=clock, rng=random.Random(seed), page_size=7
        )
        self.informers: dict[Selection, SharedInformer[ConfigMap]] = {
            selection: self.factory.informer(
                CONFIG_MAPS if selection.plural == "configmaps" else WIDGETS,
                namespace=selection.namespace,
                label_selector=selection.label,
                field_selector=selection.field,
            )
            for selection in SELECTIONS
        }
        self.replicas = [self.replica(selection, "early") for selection in SELECTIONS]
        self.writes = 0
        self.tasks = 0

    def replica(self, selection: Selection, name: str) -> Replica:
        return Replica(f"{name} handler of {selection}", self.informers[selection], real=self.real)

    def real(self, obj: ConfigMap) -> bool:
        """Whether the object was ever in that state. Its version may be that of its deletion."""
        meta, state = obj.metadata, self.world.states.get(obj.data["n"])
        return (
            state is not None
            and (*state.key[1], state.uid) == (meta.namespace, meta.name, meta.uid)
            and int(meta.resource_version) >= state.version
        )

    async def run(self) -> None:
        for _ in range(100):
            self.somebody_writes()
        async with asyncio.TaskGroup() as self.group:
            self.running = self.group.create_task(self.factory.run())
            for number in range(ROUNDS):
                if number:
                    await self.restore()
                self.plan.begin_round(number)
                await self.storm()
                await self.quiet()
            self.running.cancel()

    # --- storm ---

    async def storm(self) -> None:
        """Changes and faults, until all faults of the round have happened."""
        over = asyncio.Event()
        late = [self.replica(selection, "late") for selection in SELECTIONS]
        async with asyncio.TaskGroup() as group:
            for selection in (SELECTIONS[0], SELECTIONS[1], SELECTIONS[4]):
                group.create_task(self.we_write(selection, over))
            group.create_task(self.world_breaks(over))
            deadline = time.monotonic() + 120
            while self.plan.left and time.monotonic() < deadline:
                for _ in range(self.rng.randrange(4)):
                    self.somebody_writes()
                await asyncio.sleep(self.rng.choice((0, 0, 0.001, 0.004)))
            over.set()
        for replica in late:
            replica.registration.remove()
            assert not replica.complaints, f"{replica.name}: {replica.complaints[:5]}"

    def somebody_writes(self) -> None:
        rng, world = self.rng, self.world
        key = rng.choice(("configmaps", "widgets")), ObjectKey(rng.choice(NAMESPACES), rng.choice(NAMES))
        new = {"metadata": {"name": key[1].name, "labels": {"app": rng.choice("xy")}}}
        match rng.choice(("create", "change", "change", "label", "label", "delete", "recreate")):
            case "create" if key not in world.objects:
                world.create(key, new)
            case "change" if key in world.objects:
                world.patch(key, {})
            case "label" if key in world.objects:
                world.patch(key, {"metadata": {"labels": {"app": rng.choice(("x", "y", None))}}})
            case "delete" if key in world.objects:
                world.delete(key)
            case "recreate":
                if key in world.objects:
                    world.delete(key)
                world.create(key, new)

    async def we_write(self, selection: Selection, over: asyncio.Event) -> None:
        rng, informer = self.rng, self.informers[selection]
        cached = CachedClient(self.client, informer)
        while not over.is_set():
            namespace, name = rng.choice(NAMESPACES), rng.choice(NAMES)
            known = cached.get(namespace, name)
            with contextlib.suppress(KubeError):
                if known is None:
                    body = {"metadata": {"name": name, "labels": {"app": rng.choice("xy")}}}
                    self.visible(selection, await cached.create(body, namespace), cached)
                elif rng.random() < 0.3:
                    await cached.delete(namespace, name, uid=rng.choice((known.metadata.uid, "")))
                else:
                    metadata: dict[str, Any] = {"labels": {"app": rng.choice(("x", "y", None))}}
                    if rng.random() < 0.5:
                        metadata["resourceVersion"] = known.metadata.resource_version
                    self.visible(selection, await cached.patch(namespace, name, {"metadata": metadata}), cached)
            self.writes += 1
            await asyncio.sleep(rng.choice((0, 0.001, 0.01)))

    def visible(self, selection: Selection, answered: ConfigMap, cached: CachedClient[ConfigMap]) -> None:
        """What was just written is in the cache, unless the server has something newer."""
        meta = answered.metadata
        held = cached.get(meta.namespace, meta.name)
        if held is not None:
            assert int(held.metadata.resource_version) >= int(meta.resource_version)
        elif not selection.label:
            key = selection.plural, ObjectKey(meta.namespace, meta.name)
            assert self.world.deleted.get(key, 0) > int(meta.resource_version), f"{answered} is not in the cache"

    async def world_breaks(self, over: asyncio.Event) -> None:
        server = self.server
        while not over.is_set():
            await asyncio.sleep(0.01)
            fault = self.plan.next(FaultPlace.WORLD)
            if fault is None:
                if self.plan.left.keys() == {FaultPlace.PAGE.value}:  # somebody has to list by pages for them
                    server.streaming_lists = False
                    server.compact()
                    server.reset_all()
                continue
            self.plan.inject(fault)
            match fault.kind:
                case "history compacted":
                    server.compact()
                case "all connections cut":
                    server.reset_all()
                case "listener closed and reopened":
                    await server.hang_up()
                    await asyncio.sleep(0.02)
                    await server.listen()
                case "bookmarks switched":
                    server.bookmarks = not server.bookmarks
                case "streaming lists switched":
                    server.streaming_lists = not server.streaming_lists
                case "informers stopped and run again":
                    self.running.cancel()
                    await asyncio.wait([self.running])
                    await asyncio.sleep(0.01)
                    self.running = self.group.create_task(self.factory.run())

    async def restore(self) -> None:
        """Restore a backup of some changes ago.

        Nothing is written until all have noticed. A server whose versions overtake its clients' before they do cannot
        be told from one that was never restored, which is why etcd's own restore has --bump-revision.
        """
        backup = self.world.backup()
        for _ in range(50):
            self.somebody_writes()
        await self.quiet()
        await self.server.hang_up()
        self.world.restore(backup)
        self.server.compact()
        await self.server.listen()
        self.plan.inject(RESTORED)
        for replica in self.replicas:
            replica.versions_went_back()
        await self.quiet()
        for replica in self.replicas:
            replica.versions_went_back()  # they were told of deletions with versions that are yet to come

    # --- quiet ---

    async def quiet(self) -> None:
        """All is in step. Raises AssertionError if it does not become so."""
        server = self.server
        await until(self.in_step, self.differences)
        await until(lambda: server.watches == len(SELECTIONS), lambda: f"{server.watches} watches")
        late = [self.replica(selection, "late") for selection in SELECTIONS]
        for replica in (*self.replicas, *late):
            replica.check()
        for replica in late:
            replica.registration.remove()
        check_memory(self.replicas)

    def in_step(self) -> bool:
        return all(self.held(selection) == self.there(selection) for selection in SELECTIONS)

    def held(self, selection: Selection) -> dict[tuple[str, str], tuple[str, str, str]]:
        return {
            (obj.metadata.namespace, obj.metadata.name): (
                obj.metadata.uid,
                obj.metadata.resource_version,
                obj.data["n"],
            )
            for obj in self.informers[selection].store.values()
        }

    def there(self, selection: Selection) -> dict[tuple[str, str], tuple[str, str, str]]:
        return {
            (obj["metadata"]["namespace"], obj["metadata"]["name"]): (
                obj["metadata"]["uid"],
                obj["metadata"]["resourceVersion"],
                obj["data"]["n"],
            )
            for obj in self.world.items(selection)
        }

    def differences(self) -> str:
        found = []
        for selection in SELECTIONS:
            held, there = self.held(selection), self.there(selection)
            keys = [key for key in sorted(held.keys() | there.keys()) if held.get(key) != there.get(key)]
            if keys:
                states = [f"{key}: cached {held.get(key)}, there {there.get(key)}" for key in keys[:5]]
                found.append(f"{selection}, {self.informers[selection].last_error!r}: {states}")
        return f"version {self.world.version}, faults left {self.plan.left}; " + "; ".join(found)
