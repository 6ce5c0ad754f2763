"""Clients and informers for tests against servers on real sockets."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from informers.cache.event import Event
from informers.cache.informer import SharedInformer
from informers.client.client import ApiClient
from informers.client.config import ClientConfig
from informers.client.transport import Lines
from informers.client.wire import ListPage
from informers.errors import Invalid
from informers.meta import KubeObject
from informers.resource import Resource
from informers.watch.reflector import ListWatch
from testbed.access import ClusterAccess
from tests.support.mutation import MutationDetector
from tests.support.objects import CONFIG_MAPS, ConfigMap
from workqueue.clock import RealClock

T = TypeVar("T", bound=KubeObject)


def config_for(access: ClusterAccess, **changes: Any) -> ClientConfig:
    """The way to a plane of a test bed, as its administrator."""
    return ClientConfig(
        **{
            "server": access.server,
            "ca_pem": access.ca_pem,
            "client_cert_pem": access.client_cert_pem,
            "client_key_pem": access.client_key_pem,
        }
        | changes
    )


def client_for(config: ClientConfig) -> ApiClient:
    """A client without limits."""
    return ApiClient(config, clock=RealClock(), user_agent="tests")


class InterceptedListWatch:
    """A real client between which and the informer a test may step."""

    def __init__(self, client: ListWatch) -> None:
        self._client = client
        self.requests: list[str] = []
        self.without_streaming_lists = False

    @property
    def host(self) -> str:
        return self._client.host

    async def list(self, resource: Resource[T], namespace: str = "", **options: Any) -> ListPage[T]:
        self.requests.append("list of one" if options["limit"] == 1 else "list")
        return await self._client.list(resource, namespace, **options)

    def watch(self, resource: Resource[T], namespace: str = "", **options: Any) -> AbstractAsyncContextManager[Lines]:
        self.requests.append("stream" if options["send_initial_events"] else "watch")
        if options["send_initial_events"] and self.without_streaming_lists:
            raise Invalid(422, "Invalid", "sendInitialEvents is forbidden")
        return self._client.watch(resource, namespace, **options)


class Observed:
    """A running informer and what it told."""

    def __init__(self, informer: SharedInformer[ConfigMap]) -> None:
        self.informer = informer
        self.events: list[Event[ConfigMap]] = []
        self.detector = MutationDetector()
        informer.add_handler(self._handle)

    def _handle(self, event: Event[ConfigMap]) -> None:
        self.events.append(event)
        self.detector.remember(event.object)

    @property
    def told(self) -> list[str]:
        """The events, each as `added a`, `deleted b tombstone`."""
        return [
            f"{event.kind} {event.key.name}" + " initial" * event.initial + " tombstone" * event.tombstone
            for event in self.events
        ]

    @property
    def held(self) -> dict[str, str]:
        """The store: versions by name."""
        return {obj.metadata.name: obj.metadata.resource_version for obj in self.informer.store.values()}

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> float:
        """Wait for a condition on what was told or stored, and return how many seconds it took."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise AssertionError(
                    f"not within {seconds} s; error: {self.informer.last_error}; told: {self.told[-10:]}; "
                    f"store: {dict(list(self.held.items())[:10])}"
                )
            await asyncio.sleep(0.005)
        return time.monotonic() - began


@asynccontextmanager
async def informing(
    client: ListWatch, *, synced: bool = True, rng: random.Random | None = None, **options: Any
) -> AsyncIterator[Observed]:
    """Run an informer of ConfigMaps."""
    informer = SharedInformer(client, CONFIG_MAPS, clock=RealClock(), rng=rng or random.Random(1), **options)
    observed = Observed(informer)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        if synced:
            await asyncio.wait_for(informer.wait_synced(), 60)
        yield observed
        task.cancel()
    observed.detector.check()
