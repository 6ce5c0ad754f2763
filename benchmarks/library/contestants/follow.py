"""Followers of EndpointSlices on a real API server: a first list, and then updates.

Those in Go are in ``benchmarks/go/follow.go`` and take the same parameters.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from typing import TYPE_CHECKING, Any

from benchmarks.library.contestants.common import arguments, library, processor_seconds, questions, run, say, status_mib

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from informers import ApiClient, Event

PAGE_SIZE = 500


class Follower:
    """What is told of objects, and how far it is.

    Args:
        count: objects in the first list.
        annotation: of an update: when it was sent, in nanoseconds.
    """

    def __init__(self, count: int, annotation: str) -> None:
        self._count = count
        self.annotation = annotation
        self._listed = 0
        self._latencies: list[float] = []
        self._news = asyncio.Event()
        self.synced = asyncio.Event()
        self.seconds = self.processor = 0.0

    def begin(self) -> None:
        """Everything is imported and configured; the first request comes next."""
        self.seconds, self.processor = time.perf_counter(), processor_seconds()

    def listed(self) -> None:
        """An object of the first list has come."""
        self._listed += 1
        if self._listed == self._count:
            self.synced.set()

    def updated(self, annotations: Any) -> None:
        """An update has come, with these annotations."""
        self._latencies.append((time.time_ns() - int(annotations[self.annotation])) / 1e6)
        self._news.set()

    async def latencies(self, expected: int) -> list[float]:
        """Those of so many updates, in milliseconds; begins anew."""
        while len(self._latencies) < expected:
            self._news.clear()
            await self._news.wait()
        found, self._latencies = self._latencies, []
        return found


async def ours(kubeconfig: str, follower: Follower, *, streaming: bool = True) -> None:
    """A shared informer of ours."""
    from benchmarks.library.contestants.indexes import INDEXERS
    from informers import ApiClient, SharedInformer, load_kubeconfig
    from mcs_controller.api.resources import ENDPOINTSLICES
    from workqueue import RealClock

    clock = RealClock()

    def handle(event: Event[Any]) -> None:
        if event.initial:
            follower.listed()
        else:
            follower.updated(event.object.metadata.annotations)

    async with ApiClient(await load_kubeconfig(kubeconfig), clock=clock, user_agent="benchmark") as client:
        source: Any = client if streaming else _OldServer(client)
        informer = SharedInformer(
            source, ENDPOINTSLICES, indexers=INDEXERS, clock=clock, rng=random.Random(), page_size=PAGE_SIZE
        )
        informer.add_handler(handle)
        follower.begin()
        await informer.run()


async def ours_paged(kubeconfig: str, follower: Follower) -> None:
    """The same, on a server without streaming lists."""
    await ours(kubeconfig, follower, streaming=False)


async def kubernetes_asyncio(kubeconfig: str, follower: Follower) -> None:
    """Pages into a dict, and then the watch: what its users write by hand."""
    from kubernetes_asyncio import client, config, watch

    await config.load_kube_config(config_file=kubeconfig)
    objects: dict[tuple[str, str], Any] = {}
    async with client.ApiClient() as connection:
        api = client.DiscoveryV1Api(connection)
        follower.begin()
        following = ""
        while True:
            page = await api.list_endpoint_slice_for_all_namespaces(limit=PAGE_SIZE, _continue=following)
            for item in page.items:
                objects[item.metadata.namespace, item.metadata.name] = item
                follower.listed()
            following = page.metadata._continue
            if not following:
                break
        version = page.metadata.resource_version
        stream = watch.Watch().stream(api.list_endpoint_slice_for_all_namespaces, resource_version=version)
        async for event in stream:
            item = event["object"]
            objects[item.metadata.namespace, item.metadata.name] = item
            follower.updated(item.metadata.annotations)


async def kopf_operator(kubeconfig: str, follower: Follower) -> None:
    """An operator with one event handler, with kopf's default settings, except that it posts no events."""
    kopf = library("kopf")
    os.environ["KUBECONFIG"] = kubeconfig
    registry = kopf.OperatorRegistry()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    seen: set[str] = set()

    async def handle(uid: str, annotations: Any, **_: Any) -> None:
        if uid in seen:
            follower.updated(annotations)
        else:
            seen.add(uid)
            follower.listed()

    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    kopf.on.event("discovery.k8s.io", "v1", "endpointslices", registry=registry)(handle)
    follower.begin()
    await kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True)


async def bare(kubeconfig: str, follower: Follower) -> None:
    """The watch alone: of its lines nothing is read but the annotation, and nothing is kept."""
    from informers import ApiClient, load_kubeconfig
    from mcs_controller.api.resources import ENDPOINTSLICES
    from workqueue import RealClock

    clock = RealClock()
    pattern = re.compile(rf'"({re.escape(follower.annotation)})":"(\d+)"'.encode())
    async with (
        ApiClient(await load_kubeconfig(kubeconfig), clock=clock, user_agent="benchmark") as client,
        client.watch(ENDPOINTSLICES, timeout_seconds=600, send_initial_events=True) as stream,
    ):
        async for lines in stream:
            for line in lines:
                if line.startswith(b'{"type":"ADDED"'):
                    follower.listed()
                elif line.startswith(b'{"type":"MODIFIED"') and (found := pattern.search(line)):
                    follower.updated({found[1].decode(): found[2]})


FOLLOWERS: dict[str, Callable[[str, Follower], Awaitable[None]]] = {
    "ours": ours,
    "ours-paged": ours_paged,
    "kubernetes-asyncio": kubernetes_asyncio,
    "kopf": kopf_operator,
    "bare": bare,
}


class _OldServer:
    """The API server as one that knows no streaming lists shows itself."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self.host = client.host
        self.list = client.list

    def watch(
        self, *arguments: Any, send_initial_events: bool = False, **others: Any
    ) -> AbstractAsyncContextManager[Any]:
        """A watch; a streaming list is refused."""
        if send_initial_events:
            from informers import Invalid

            raise Invalid(422, "Invalid", "sendInitialEvents is forbidden")
        return self._client.watch(*arguments, **others)


async def main() -> None:
    """Follow until the first list is in, or until standard input ends."""
    who, parameters = arguments()
    follower = Follower(parameters["count"], parameters.get("annotation", ""))
    following = asyncio.ensure_future(FOLLOWERS[who](parameters["kubeconfig"], follower))
    synced = asyncio.create_task(follower.synced.wait())
    await asyncio.wait([following, synced], return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        following.result()
        raise SystemExit("it has stopped following")
    if parameters["what"] == "cold_sync":
        took, used = time.perf_counter() - follower.seconds, processor_seconds() - follower.processor
        say({"seconds": took, "cpu": used, "peak": status_mib("VmHWM")})
    else:
        await answer_questions(follower)
    os._exit(0)  # whatever it takes a library to stop


async def answer_questions(follower: Follower) -> None:
    """Each line asks for what has come since the last one: so many have been sent."""
    processor = processor_seconds()
    say({"ready": True})
    async for line in await questions():
        found = await follower.latencies(int(line))
        say({"latencies": found, "cpu": processor_seconds() - processor})
        processor = processor_seconds()


if __name__ == "__main__":
    run(main())
