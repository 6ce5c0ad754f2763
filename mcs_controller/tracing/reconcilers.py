"""Reconcilers that name to a tracer the change for which they are about to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from informers.meta import ObjectKey
from mcs_controller.domain.indexes import BY_ORIGIN
from mcs_controller.domain.works import Role, SliceRef
from mcs_controller.tracing.changes import Change, change_of_slice, change_of_work

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from informers.cache.store import Store
    from informers.client.client import WriteTracing
    from mcs_controller.api.core import EndpointSlice
    from mcs_controller.api.work import Work
    from mcs_controller.runtime.reconcile import ClusterRequest, Reconciler, Request, Result


class Tracer(Protocol):
    """The part of `spans.ChangeTracer` that is used here; that module needs an optional dependency."""

    def carry(self, change: Change, *, observed: bool) -> AbstractContextManager[None]:
        """See `spans.ChangeTracer.carry`."""
        ...

    def follow(self, namespace: str, name: str) -> AbstractContextManager[None]:
        """See `spans.ChangeTracer.follow`."""
        ...

    def requests(self, cluster: str = "") -> WriteTracing:
        """See `spans.ChangeTracer.requests`."""
        ...


class TracedSlices:
    """A `Reconciler` of slices. What takes a slice away is not traced."""

    def __init__(
        self,
        reconciler: Reconciler[ClusterRequest],
        tracer: Tracer,
        *,
        slices: Callable[[str], Store[EndpointSlice] | None],
        works: Store[Work],
    ) -> None:
        """`slices` are those of a cluster, or None if they are for another process to watch; `works` are all."""
        self._reconciler = reconciler
        self._tracer = tracer
        self._slices = slices
        self._works = works

    async def reconcile(self, request: ClusterRequest) -> Result | None:
        """See `Reconciler`."""
        change, observed = self._change(SliceRef(*request))
        if change is None:
            return await self._reconciler.reconcile(request)
        with self._tracer.carry(change, observed=observed):
            return await self._reconciler.reconcile(request)

    def _change(self, origin: SliceRef) -> tuple[Change | None, bool]:
        if (slices := self._slices(origin.cluster)) is not None:
            observed = slices.get(ObjectKey(origin.namespace, origin.name))
            return (change_of_slice(origin, observed) if observed is not None else None), True
        collected = self._works.by_index(BY_ORIGIN, (Role.COLLECTED, origin))
        return next((change for work in collected if (change := change_of_work(work)) is not None), None), False


class TracedExecution:
    """A `Reconciler` of Works in members."""

    def __init__(self, reconciler: Reconciler[Request], tracer: Tracer) -> None:
        self._reconciler = reconciler
        self._tracer = tracer

    async def reconcile(self, request: Request) -> Result | None:
        """See `Reconciler`."""
        with self._tracer.follow(request.namespace, request.name):
            return await self._reconciler.reconcile(request)
