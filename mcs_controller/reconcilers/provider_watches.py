"""Which members' slices are watched: one watch per provider, begun when a Work first asks for it.

A watch lasts as long as the member does. When a member's connection is rebuilt its watch begins anew, and nothing is
withdrawn meanwhile: until the first complete list is in, its slices count as unknown.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain.indexes import SLICE_INDEXES
from mcs_controller.reconcilers.changes import slice_changed
from mcs_controller.reconcilers.endpointslice_collect import requests_for_slice
from workqueue.clock import time_limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from informers.informer import SharedInformer
    from informers.store import Store
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.clusters import MemberCluster, MemberClusters
    from mcs_controller.runtime.controller import Controller, Registration
    from mcs_controller.runtime.reconcile import ClusterRequest
    from workqueue.clock import Clock


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Watch:
    informer: SharedInformer[EndpointSlice]
    registration: Registration


class ProviderWatches:
    """The slice watches of all providers. A Runnable: what it waits for is waited for in its own tasks."""

    def __init__(self, members: MemberClusters, *, clock: Clock, sync_timeout: float) -> None:
        """Watches nothing yet.

        Args:
            members: who has the connections.
            clock: for the time limit.
            sync_timeout: seconds after which a first list that is not complete is reported; it goes on being tried.
        """
        self._members = members
        self._clock = clock
        self._sync_timeout = sync_timeout
        self._controller: Controller[ClusterRequest] | None = None
        self._watches: dict[str, _Watch] = {}
        self._on_synced: list[Callable[[str], None]] = []
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._begun: asyncio.Queue[tuple[str, _Watch]] = asyncio.Queue()
        members.add_listener(joined=self._joined, left=self._left)

    def feed(self, controller: Controller[ClusterRequest]) -> None:
        """Let this controller reconcile the slices that change. To be called once, before anything is watched."""
        self._controller = controller

    def on_synced(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the cluster's name each time a watch has its first complete list."""
        self._on_synced.append(listener)

    def ensure(self, cluster: str) -> None:
        """Watch the cluster's slices from now on. One watch per cluster, however often it is asked for."""
        member = self._members.get(cluster)
        if member is None or self._controller is None or cluster in self._watches:
            return
        informer = member.informers.informer(ENDPOINTSLICES, indexers=SLICE_INDEXES)
        registration = self._controller.add_source(informer, requests_for_slice(cluster), slice_changed)
        watch = _Watch(informer, registration)
        self._watches[cluster] = watch
        self._begun.put_nowait((cluster, watch))

    def slices(self, cluster: str) -> Store[EndpointSlice] | None:
        """The cluster's slices; None as long as they are not known completely."""
        watch = self._watches.get(cluster)
        return watch.informer.store if watch is not None and watch.informer.has_synced else None

    async def run(self) -> None:
        """Tell the listeners of each watch that has its first list. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                cluster, watch = await self._begun.get()
                if self._watches.get(cluster) is watch:
                    task = group.create_task(self._announce(cluster, watch), name=f"first list of {cluster}")
                    self._waiting[cluster] = task

    async def _announce(self, cluster: str, watch: _Watch) -> None:
        try:
            async with time_limit(self._clock, self._sync_timeout):
                await watch.informer.wait_synced()
        except TimeoutError:
            error = watch.informer.last_error
            fields = {"cluster": cluster, "error": str(error) if error is not None else "the list is still under way"}
            _log.warning("Slices of a provider cannot be listed; what was collected from it stays", extra=fields)
            await watch.informer.wait_synced()
        self._waiting.pop(cluster, None)
        for listener in self._on_synced:
            listener(cluster)

    def _joined(self, member: MemberCluster) -> None:
        # Whether anybody wants its slices is for the Works to say.
        for listener in self._on_synced:
            listener(member.name)

    def _left(self, cluster: str) -> None:
        watch = self._watches.pop(cluster, None)
        if watch is not None:
            watch.registration.remove()
        if (task := self._waiting.pop(cluster, None)) is not None:
            task.cancel()  # the first list of a connection that is closed never comes
