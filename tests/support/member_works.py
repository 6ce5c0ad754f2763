"""The Works of members' slices, for tests in which there is no limit to them."""

from informers.cache.store import Store
from mcs_controller.api.cluster import Cluster
from mcs_controller.domain.work_limits import WorkLimits
from mcs_controller.reconcilers.member_works import MemberWorks


def unlimited() -> MemberWorks:
    """Nobody is told, and nothing waits."""
    return MemberWorks(WorkLimits(), enqueue_slice=lambda _: None, clusters=Store[Cluster](), recorder=None)
