"""Which members' slices are watched: one watch per provider, begun when a Work first asks for it.

Nothing is withdrawn from a provider as long as its slices are unknown: see `mcs_controller.members.informers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.api.core import EndpointSlice
from mcs_controller.api.resources import ENDPOINTSLICES
from mcs_controller.domain.indexes import SLICE_INDEXES
from mcs_controller.members.informers import MemberInformers, requests_in
from mcs_controller.predicates import endpoints_in_use_changed, slice_changed

if TYPE_CHECKING:
    from informers.cache.store import Store
    from mcs_controller.members.registry import MemberClusters
    from mcs_controller.runtime.controller import Controller
    from mcs_controller.runtime.reconcile import ClusterRequest
    from workqueue.clock import Clock


class ProviderInformers(MemberInformers[EndpointSlice]):
    """The slice watches of all providers."""

    def __init__(self, members: MemberClusters, *, clock: Clock, sync_timeout: float) -> None:
        """Watches nothing yet; see `MemberInformers`."""
        super().__init__(members, ENDPOINTSLICES, clock=clock, sync_timeout=sync_timeout, indexers=SLICE_INDEXES)

    def add_slice_queue(self, controller: Controller[ClusterRequest]) -> None:
        """Let a controller reconcile the slices that change."""
        # Somebody sends to endpoints in use: that they changed must not wait while hundreds of services are made.
        self.add_queue(controller, requests_in, slice_changed, urgent=endpoints_in_use_changed)

    def slices(self, cluster: str) -> Store[EndpointSlice] | None:
        """The cluster's slices; None until their cache has synced."""
        return self.objects(cluster)
