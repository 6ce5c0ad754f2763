"""The first list of EndpointSlices from a real API server, by each library.

Those in Go are in ``benchmarks/go/follow.go`` and take the same parameters.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Any

from benchmarks.library.competitors.common import arguments, library, processor_seconds, run, say, status_mib

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from informers import ApiClient

PAGE_SIZE = 500


class Follower:
    """Counts the objects of the first list.

    Args:
        count: of objects in the first list.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._listed = 0
        self.synced = asyncio.Event()
        self.seconds = self.processor = 0.0

    def begin(self) -> None:
        """Record the start: imports and configuration are done, the first request follows."""
        self.seconds, self.processor = time.perf_counter(), processor_seconds()

    def listed(self, *_: Any) -> None:
        """Count an object of the first list."""
        self._listed += 1
        if self._listed == self._count:
            self.synced.set()


async def ours(kubeconfig: str, follower: Follower, *, streaming: bool = True) -> None:
    """Our shared informer."""
    from benchmarks.library.competitors.indexes import INDEXERS
    from informers import ApiClient, SharedInformer, load_kubeconfig
    from mcs_controller.api.resources import ENDPOINTSLICES
    from workqueue import RealClock

    clock = RealClock()

    async with ApiClient(await load_kubeconfig(kubeconfig), clock=clock, user_agent="benchmark") as client:
        source: Any = client if streaming else _OldServer(client)
        informer = SharedInformer(
            source, ENDPOINTSLICES, indexers=INDEXERS, clock=clock, rng=random.Random(), page_size=PAGE_SIZE
        )
        informer.add_handler(follower.listed)
        follower.begin()
        await informer.run()


async def ours_paged(kubeconfig: str, follower: Follower) -> None:
    """The same, on a server without streaming lists."""
    await ours(kubeconfig, follower, streaming=False)


async def kubernetes_asyncio(kubeconfig: str, follower: Follower) -> None:
    """Pages into a dict, as its users write by hand before they watch."""
    from kubernetes_asyncio import client, config

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
                await asyncio.Event().wait()


async def kopf_operator(kubeconfig: str, follower: Follower) -> None:
    """An operator with one event handler, with kopf's default settings, except that it posts no events."""
    kopf = library("kopf")
    os.environ["KUBECONFIG"] = kubeconfig
    registry = kopf.OperatorRegistry()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False

    async def handle(**_: Any) -> None:
        follower.listed()

    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    kopf.on.event("discovery.k8s.io", "v1", "endpointslices", registry=registry)(handle)
    follower.begin()
    await kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True)


FOLLOWERS: dict[str, Callable[[str, Follower], Awaitable[None]]] = {
    "ours": ours,
    "ours-paged": ours_paged,
    "kubernetes-asyncio": kubernetes_asyncio,
    "kopf": kopf_operator,
}


class _OldServer:
    """The API server without streaming lists, as older servers behave."""

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
    """Follow until the first list is complete."""
    who, parameters = arguments()
    follower = Follower(parameters["count"])
    following = asyncio.ensure_future(FOLLOWERS[who](parameters["kubeconfig"], follower))
    synced = asyncio.create_task(follower.synced.wait())
    await asyncio.wait([following, synced], return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        following.result()
        raise SystemExit("it has stopped following")
    took, used = time.perf_counter() - follower.seconds, processor_seconds() - follower.processor
    say({"seconds": took, "cpu": used, "peak": status_mib("VmHWM")})
    os._exit(0)  # libraries differ in how long they take to stop


if __name__ == "__main__":
    run(main())
