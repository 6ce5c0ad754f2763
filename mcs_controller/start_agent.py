"""The agent of one Pull cluster: which controller watches what.

Continues `wiring`. An agent has the controllers that talk to the member, and they are the control plane's own: only
what it is in charge of, what it watches, and how it learns what is wanted differ.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from informers.meta import ObjectKey
from mcs_controller.features import MULTI_CLUSTER_SERVICE
from mcs_controller.predicates import content_changed
from mcs_controller.reconcilers.agent_demand import LEFTOVERS_SECONDS, RequestedDemand
from mcs_controller.start import follow_providers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.event import Event
    from informers.cache.informer import SharedInformer
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.work import Work
    from mcs_controller.members.sync_mode import Charge
    from mcs_controller.runtime.reconcile import ClusterRequest
    from mcs_controller.start import Wiring

_log = logging.getLogger(__name__)


def wire_agent(wiring: Wiring) -> None:
    """What an agent does for MultiClusterServices, and what it says about itself."""
    wiring.manager.add_runnable(Notice(wiring.clusters.informer, wiring.charge), needs_leader=False)
    if not wiring.options.feature_gates.enabled(MULTI_CLUSTER_SERVICE):
        return
    if "endpointsliceCollect" in wiring.options.controllers:
        demand = RequestedDemand(works=wiring.works.store)
        _, collector, slices = wiring.collection
        collector.serve(demand)

        def look_later(event: Event[Work]) -> Iterable[ClusterRequest]:
            for request in demand.left_behind(event):
                slices.enqueue_after(request, LEFTOVERS_SECONDS)
            return ()

        slices.watch(wiring.works.informer, look_later, content_changed)
        follow_providers(wiring)


class Notice:
    """Says in the log whether the agent has anything to do, each time that this changes. A runnable."""

    def __init__(self, clusters: SharedInformer[Cluster], charge: Charge) -> None:
        self._clusters = clusters
        self._charge = charge

    async def run(self) -> None:
        """Look at the Cluster until cancelled."""
        changed = asyncio.Event()
        registration = self._clusters.add_handler(lambda _: changed.set(), name="agent")
        said: str | None = None
        try:
            await self._clusters.wait_synced()
            while True:
                changed.clear()
                cluster = self._clusters.store.get(ObjectKey("", self._charge.agent_of))
                mode = cluster.spec.sync_mode if cluster is not None else ""
                if mode != said:
                    self._say(mode)
                    said = mode
                await changed.wait()
        finally:
            registration.remove()

    def _say(self, mode: str) -> None:
        fields = {"cluster": self._charge.agent_of}
        if not mode:
            _log.warning("The control plane has no such Cluster; waiting until it is registered there", extra=fields)
        elif mode == "Push":
            todo = "set its spec.syncMode to Pull to have it served by this agent, or stop the agent"
            _log.warning(
                "The Cluster is served by the control plane's controllers; waiting", extra=fields | {"todo": todo}
            )
        else:
            _log.info("The Cluster is served by this agent", extra=fields)
