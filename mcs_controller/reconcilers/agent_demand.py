"""The slices that an agent collects for MultiClusterServices: those that Works in its execution namespace request.

The MultiClusterServices themselves are out of an agent's sight. It hears of the end of one only by the end of the Work
that asked; and the control plane's controllers, which end it, withdraw what was collected themselves (contract 3.1).
What the agent collected at that very moment would be left behind, so it looks again when they must be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcs_controller.domain.collect import MCS, CollectFeature
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.works import Role, cluster_of, origin_of, role_of, service_of
from mcs_controller.reconcilers.endpointslice_collect import asks_to_collect
from mcs_controller.runtime.reconcile import ClusterRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.work import Work
    from mcs_controller.domain.conditions import StepResult
    from mcs_controller.domain.works import SliceRef

LEFTOVERS_SECONDS: Final = 5.0
"""From the end of a Work that asked until the look at what it left: several times what withdrawing takes."""


class RequestedSource:
    """The slices that the Works of one cluster request to be collected there."""

    feature: CollectFeature = MCS

    def __init__(self, *, works: Store[Work]) -> None:
        self._works = works

    def wants(self, cluster: str, service: tuple[str, str]) -> bool:
        """Whether a Work asks for the service's endpoints here."""
        return asks_to_collect(self._works, cluster, service)

    def report(self, origin: SliceRef, service: tuple[str, str] | None, outcome: StepResult) -> None:
        """No report: conditions of services are written in the control plane. Failures are logged and retried."""

    def orphaned_by(self, event: Event[Work]) -> Iterable[ClusterRequest]:
        """The collected Works of a Work that requests them no longer."""
        work = event.object
        if role_of(work) is not Role.SERVICE or (event.new is not None and not work.metadata.deletion_timestamp):
            return ()
        service, cluster = service_of(work), cluster_of(work)
        others = self._works.by_index(BY_SERVICE, service) if service is not None else ()
        found = {
            ClusterRequest(*origin)
            for other in others
            if role_of(other) is Role.COLLECTED
            and (origin := origin_of(other)) is not None
            and origin.cluster == cluster
        }
        return sorted(found)
