"""What both soaks have in common: informers that are watched over, and what must hold of them."""

import asyncio
import gc
import os
import random
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

import pytest

from informers.cache.event import Event
from informers.cache.informer import SharedInformer
from informers.client.client import ApiClient
from informers.client.transport import Lines
from informers.client.wire import ListPage
from informers.meta import KubeObject, ObjectKey
from informers.resource import Resource, struct_decoder
from tests.support.objects import ConfigMap
from tests.support.scale import LONG, SCALE
from workqueue.clock import RealClock

T = TypeVar("T", bound=KubeObject)
FIXED_SEED = 20260101
_REPEAT = "SOAK_SEED"


def seeds(*, new: bool = True) -> list[Any]:
    """Of the runs of a soak: those that the environment names ("1,2,3"), or a fixed one and, if `new`, a random one.

    In CI the same every time: a pipeline must not turn red for a change that has nothing to do with it. `make
    test-long` has a random one for each step of the scale.
    """
    if given := os.environ.get(_REPEAT):
        return [pytest.param(int(one), id=one.strip()) for one in given.split(",")]
    fixed = pytest.param(FIXED_SEED, id="fixed")
    further = SCALE if LONG else int(new and not os.environ.get("CI"))
    return [fixed, *(pytest.param(None, id=f"random-{number}") for number in range(further))]


def begin(seed: int | None, request: pytest.FixtureRequest) -> int:
    """The seed of a run, a random one for None. Prints it, and how to repeat the run: pytest shows that if it fails."""
    chosen = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    print(f"seed {chosen}; the same faults again: {_REPEAT}={chosen} python -m pytest -rA {request.node.path}")
    return chosen


WIDGETS = Resource(
    group="soak.example", version="v1", plural="widgets", kind="Widget", decode=struct_decoder(ConfigMap)
)


class FastClock:
    """A clock that runs `speed` times as fast as the machine's, and so do the pauses that are measured by it."""

    def __init__(self, speed: float) -> None:
        self._real = RealClock()
        self._speed = speed

    def monotonic(self) -> float:
        return self._real.monotonic() * self._speed

    def utcnow(self) -> datetime:
        raise AssertionError("no informer needs the wall clock")

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds / self._speed)


class ImpatientListWatch:
    """A client that takes a watch for dead after `idle_seconds`."""

    def __init__(self, client: ApiClient, idle_seconds: float) -> None:
        self._client = client
        self._idle_seconds = idle_seconds

    @property
    def host(self) -> str:
        return self._client.host

    async def list(self, resource: Resource[T], namespace: str = "", **options: Any) -> ListPage[T]:
        return await self._client.list(resource, namespace, **options)

    def watch(self, resource: Resource[T], namespace: str = "", **options: Any) -> AbstractAsyncContextManager[Lines]:
        return self._client.watch(resource, namespace, **options, idle_seconds=self._idle_seconds)


class Replica:
    """A handler that keeps a copy of the store by what it is told, and objects to whatever cannot have happened."""

    def __init__(self, name: str, informer: SharedInformer[ConfigMap], *, real: Callable[[ConfigMap], bool]) -> None:
        self.name = name
        self.informer = informer
        self.objects: dict[ObjectKey, ConfigMap] = {}
        self.complaints: list[str] = []
        self.events = 0
        self._real = real
        self._newest: dict[ObjectKey, int] = {}
        self._seen: list[weakref.ref[ConfigMap]] = []
        self.registration = informer.add_handler(self._handle, name=name)

    def versions_went_back(self) -> None:
        """The server was restored from a backup: older states are news again."""
        self._newest.clear()

    def check(self) -> None:
        """Raises AssertionError if something impossible was told, or the copy differs from the store."""
        assert not self.complaints, f"{self.name}: {self.complaints[:5]}"
        assert self.objects == {key: self.informer.store.get(key) for key in self.informer.store.keys()}, self.name  # noqa: SIM118 - a Store is no dict

    def alive(self) -> int:
        """How many of the states that were told are still in memory."""
        self._seen = [seen for seen in self._seen if seen() is not None]
        return len(self._seen)

    def _handle(self, event: Event[ConfigMap]) -> None:
        try:
            self._take(event)
        except Exception as error:  # an informer would log it and go on
            self._complain(event, repr(error))

    def _take(self, event: Event[ConfigMap]) -> None:
        self.events += 1
        key, old, new = event.key, event.old, event.new
        known = self.objects.get(key)
        if (old is None) != (known is None):
            self._complain(event, f"{event.kind}, but the object was {'unknown' if known is None else 'known'}")
        if old is not None and new is not None and old is not known:
            self._complain(event, "updated from a state that was never told")
        version = int(event.object.metadata.resource_version)
        if version < self._newest.get(key, 0) or (new is not None and version == self._newest.get(key)):
            self._complain(event, f"back from version {self._newest[key]} to {version}")
        self._newest[key] = version
        if not self._real(event.object):
            self._complain(event, "a state that never was")
        if new is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = new
            self._seen.append(weakref.ref(new))

    def _complain(self, event: Event[ConfigMap], what: str) -> None:
        self.complaints.append(f"event {self.events}: {what}: {event}")


async def until(condition: Callable[[], bool], describe: Callable[[], str], seconds: float = 120.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {describe()}")
        await asyncio.sleep(0.005)


def check_memory(replicas: list[Replica]) -> None:
    """No state but those in the stores is kept by anybody. Raises AssertionError otherwise."""
    gc.collect()
    for replica in replicas:
        alive, stored = replica.alive(), len(replica.informer.store)
        # A few may hang on the frames of what runs just now.
        assert alive <= stored + 10, f"{replica.name}: {alive} states in memory, {stored} in the store"
