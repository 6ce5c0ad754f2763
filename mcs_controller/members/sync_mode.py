"""Which clusters a process serves, so that no two ever serve one (contract 1.4, `spec.syncMode`, and 3.0).

Push clusters are the control plane's controllers', each Pull cluster is its agent's. To serve means here: to do what
takes talking to the member, which is collecting slices, following ServiceExports, execution and status. All else about
every cluster stays with the control plane's controllers.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from informers.meta import ObjectKey

if TYPE_CHECKING:
    from informers.cache.informer import SharedInformer
    from mcs_controller.api.cluster import Cluster

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncModeFilter:
    """The clusters of one process.

    Attributes:
        agent_of: the one cluster that an agent runs in; empty for the control plane's controllers.
    """

    agent_of: str = ""

    @property
    def is_agent(self) -> bool:
        """Whether this is one cluster's agent."""
        return bool(self.agent_of)

    def owns(self, name: str, cluster: Cluster | None) -> bool:
        """Whether the cluster of that name is served here, going by what is known of it.

        What a cluster that is gone leaves behind is the control plane's to clear away.
        """
        if self.is_agent:
            return name == self.agent_of and cluster is not None and not cluster.is_push
        return cluster is None or cluster.is_push


CONTROL_PLANE: Final = SyncModeFilter()
"""The charge of the control plane's controllers: all Push clusters."""


class SyncModeLogger:
    """Says in the log whether the agent has anything to do, each time that this changes. A runnable."""

    def __init__(self, clusters: SharedInformer[Cluster], sync_modes: SyncModeFilter) -> None:
        self._clusters = clusters
        self._sync_modes = sync_modes

    async def run(self) -> None:
        """Look at the Cluster until cancelled."""
        changed = asyncio.Event()
        registration = self._clusters.add_handler(lambda _: changed.set(), name="agent")
        said: str | None = None
        try:
            await self._clusters.wait_synced()
            while True:
                changed.clear()
                cluster = self._clusters.store.get(ObjectKey("", self._sync_modes.agent_of))
                mode = cluster.spec.sync_mode if cluster is not None else ""
                if mode != said:
                    self._say(mode)
                    said = mode
                await changed.wait()
        finally:
            registration.remove()

    def _say(self, mode: str) -> None:
        fields = {"cluster": self._sync_modes.agent_of}
        if not mode:
            _log.warning("The control plane has no such Cluster; waiting until it is registered there", extra=fields)
        elif mode == "Push":
            todo = "set its spec.syncMode to Pull to have it served by this agent, or stop the agent"
            _log.warning(
                "The Cluster is served by the control plane's controllers; waiting", extra=fields | {"todo": todo}
            )
        else:
            _log.info("The Cluster is served by this agent", extra=fields)
