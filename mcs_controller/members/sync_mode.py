"""Which clusters a process serves, so that no two ever serve one (contract 1.4, `spec.syncMode`, and 3.0).

Push clusters are the control plane's controllers', each Pull cluster is its agent's. To serve means here: to do what
takes talking to the member, which is collecting slices, following ServiceExports, execution and status. All else about
every cluster stays with the control plane's controllers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mcs_controller.api.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Charge:
    """The clusters of one process.

    Attributes:
        agent_of: the one cluster that an agent runs in; empty for the control plane's controllers.
    """

    agent_of: str = ""

    @property
    def is_agent(self) -> bool:
        """Whether this is one cluster's agent."""
        return bool(self.agent_of)

    def covers(self, name: str, cluster: Cluster | None) -> bool:
        """Whether the cluster of that name is served here, going by what is known of it.

        What a cluster that is gone leaves behind is the control plane's to clear away.
        """
        if self.is_agent:
            return name == self.agent_of and cluster is not None and not cluster.is_push
        return cluster is None or cluster.is_push


CONTROL_PLANE: Final = Charge()
"""The charge of the control plane's controllers: all Push clusters."""
