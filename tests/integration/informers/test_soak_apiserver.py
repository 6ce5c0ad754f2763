"""The soak against real API servers: the network between breaks at random, and in the end everybody knows the same.

    SOAK_SEED=<seed>,... pytest tests/integration/informers/test_soak_apiserver.py -rA

What holds after each round is what tests/integration/informers/test_soak.py says. There the server breaks too, which a
real one cannot be made to do; here nobody has to believe that the server is like a real one.
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
from informers.errors import AlreadyExists, KubeError, NotFound
from tests.support.informing import client_for, config_for
from tests.support.objects import CONFIG_MAPS, ConfigMap
from tests.support.soak import FastClock, ImpatientListWatch, Replica, begin, check_memory, seeds, until
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from informers.cache.informer import SharedInformer
    from informers.client.client import ApiClient
    from testbed import Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUNDS = 4
FAULTS_PER_ROUND = ["reset"] * 6 + ["cut in the middle"] * 12 + ["away"] * 3 + ["frozen"]
IDLE_SECONDS = 1.0
NAMES = "abcdefgh"
LABEL = "app=x"


@pytest.mark.parametrize("seed", seeds(new=False))
async def test_informers_know_what_a_real_server_knows_after_a_bad_network(
    seed: int, bed: Bed, namespace: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "informers")  # records would keep frames, and objects with them
    seed = begin(seed, request)
    began = time.monotonic()
    async with (
        TcpProxy(bed.host.access.server) as proxy,
        client_for(config_for(bed.host.access)) as near,
        client_for(config_for(bed.host.access, server=proxy.url, timeout_seconds=2.0)) as far,
    ):
        soak = Soak(seed, namespace, near, far, proxy)
        await soak.run()
    events = sum(replica.events for replica in soak.replicas)
    print(f"{dict(soak.injected)}; {events} events, {soak.changes} writes in {time.monotonic() - began:.1f} s")
    assert soak.injected == Counter(FAULTS_PER_ROUND * ROUNDS)


class Soak:
    """One run. `near` is a client beside the server, `far` one behind the network that breaks."""

    def __init__(self, seed: int, namespace: str, near: ApiClient, far: ApiClient, proxy: TcpProxy) -> None:
        self.rng = random.Random(seed)
        self.namespace = namespace
        self.near = near
        self.far = far
        self.proxy = proxy
        self.factory = InformerFactory(
            ImpatientListWatch(far, IDLE_SECONDS), clock=FastClock(200), rng=random.Random(seed), page_size=3
        )
        self.everything = self.factory.informer(CONFIG_MAPS, namespace=namespace)
        self.labelled = self.factory.informer(CONFIG_MAPS, namespace=namespace, label_selector=LABEL)
        self.single = self.factory.informer(CONFIG_MAPS, namespace=namespace, field_selector="metadata.name=a")
        self.informers = (self.everything, self.labelled, self.single)
        self.written: dict[str, str] = {}  # names by the number of a write
        self.replicas = [self.replica("early", informer) for informer in self.informers]
        self.injected: Counter[str] = Counter()
        self.changes = 0

    def replica(self, name: str, informer: SharedInformer[ConfigMap]) -> Replica:
        return Replica(f"{name} {self.informers.index(informer)}", informer, real=self.real)

    def real(self, obj: ConfigMap) -> bool:
        """Whether somebody wrote this, with one exception that the controllers of the server make."""
        return obj.metadata.name == "kube-root-ca.crt" or self.written.get(obj.data["n"]) == obj.metadata.name

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.factory.run())
            for _ in range(ROUNDS):
                await self.storm()
                await self.quiet()
            running.cancel()

    async def storm(self) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.somebody_writes(over))
            for informer in (self.everything, self.labelled):
                group.create_task(self.we_write(CachedClient(self.far, informer), over))
            faults = self.rng.sample(FAULTS_PER_ROUND, k=len(FAULTS_PER_ROUND))
            for fault in faults:
                await asyncio.sleep(self.rng.uniform(0.0, 0.15))
                await self.strike(fault)
            over.set()

    async def strike(self, fault: str) -> None:
        match fault:
            case "reset":
                self.proxy.reset_all()
            case "cut in the middle":
                self.proxy.cut_after(self.rng.randrange(1, 8000))
            case "away":
                self.proxy.cut()
                await asyncio.sleep(0.1)
                self.proxy.restore()
            case "frozen":
                self.proxy.freeze()
                await asyncio.sleep(IDLE_SECONDS * 1.2)
                self.proxy.restore()
        self.injected[fault] += 1

    def body(self, name: str) -> dict[str, Any]:
        number = str(len(self.written))
        self.written[number] = name
        self.changes += 1
        return {"metadata": {"labels": {"app": self.rng.choice(("x", "y", None))}}, "data": {"n": number}}

    async def somebody_writes(self, over: asyncio.Event) -> None:
        while not over.is_set():
            name = self.rng.choice(NAMES)
            with contextlib.suppress(AlreadyExists, NotFound):
                match self.rng.choice(("create", "patch", "patch", "delete")):
                    case "create":
                        body = self.body(name)
                        body["metadata"]["name"] = name
                        await self.near.create(CONFIG_MAPS, body, self.namespace)
                    case "patch":
                        await self.near.patch(CONFIG_MAPS, name, self.body(name), self.namespace)
                    case "delete":
                        await self.near.delete(CONFIG_MAPS, name, self.namespace)
            await asyncio.sleep(0.002)

    async def we_write(self, cached: CachedClient[ConfigMap], over: asyncio.Event) -> None:
        while not over.is_set():
            name = self.rng.choice(NAMES)
            known = cached.get(self.namespace, name)
            with contextlib.suppress(KubeError):
                if known is None:
                    body = self.body(name)
                    body["metadata"]["name"] = name
                    await cached.create(body, self.namespace)
                elif self.rng.random() < 0.3:
                    await cached.delete(self.namespace, name, uid=known.metadata.uid)
                else:
                    await cached.patch(self.namespace, name, self.body(name))
            await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        self.proxy.restore()
        page = await self.near.list(CONFIG_MAPS, self.namespace)
        there = {obj.metadata.name: obj for obj in page.items}
        selected = (
            there,
            {name: obj for name, obj in there.items() if obj.metadata.labels.get("app") == "x"},
            {name: obj for name, obj in there.items() if name == "a"},
        )

        def in_step() -> bool:
            return all(held(informer) == wanted for informer, wanted in zip(self.informers, selected, strict=True))

        await until(in_step, lambda: f"{[held(informer) for informer in self.informers]} is not {selected}"[:4000])
        late = [self.replica("late", informer) for informer in self.informers]
        for replica in (*self.replicas, *late):
            replica.check()
        for replica in late:
            replica.registration.remove()
        check_memory(self.replicas)


def held(informer: SharedInformer[ConfigMap]) -> dict[str, ConfigMap]:
    return {obj.metadata.name: obj for obj in informer.store.values()}
