"""Whether the Service of a MultiClusterService is where it is wanted: what condition ServiceApplied is made of.

The ResourceBinding says where the scheduler put it, and the Works made from it (contract 4.2) whether each member took
it (4.3). Karmada's own condition says only that the binding was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from informers.meta import find_condition
from mcs_controller.api.common import parse_time
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import is_suspended, targets
from mcs_controller.domain.naming import binding_name, execution_namespace, work_name
from mcs_controller.domain.selection import SkippedCluster, consumers_of, providers_of, skip_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.domain.selection import Clusters


_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class Pending(NamedTuple):
    """What is not as it should be, and may well be in a moment.

    Attributes:
        text: what to say of it once it has lasted.
        since: since when it is so; None if no object tells.
    """

    text: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What stands between the Service and its clusters; all of it empty if nothing does.

    Attributes:
        skips: clusters that cannot be given anything now.
        errors: what will not change by itself.
        pending: what may be settled in a moment.
    """

    skips: tuple[SkippedCluster, ...] = ()
    errors: tuple[str, ...] = ()
    pending: tuple[Pending, ...] = ()


def plan_delivery(
    mcs: MultiClusterService,
    clusters: Clusters,
    binding: ResourceBinding | None,
    find: Callable[[str, str], Work | None],
) -> Delivery:
    """Compare where the Service is wanted with where it is.

    Args:
        mcs: live and CrossCluster.
        clusters: every registered Cluster.
        binding: the ResourceBinding of its Service.
        find: looks up a Work by namespace and name.
    """
    namespace, name = mcs.metadata.namespace, mcs.metadata.name
    wanted = sorted({*providers_of(mcs, clusters), *consumers_of(mcs, clusters)})
    skips: list[SkippedCluster] = []
    errors: list[str] = []
    pending: list[Pending] = []
    usable: list[str] = []
    for cluster in wanted:
        skip = skip_reason(cluster, clusters)
        if skip is None or skip.reason == wk.EVENT_API_INCOMPATIBLE:  # that is about slices
            usable.append(cluster)
        else:
            skips.append(skip)
    what = f"ResourceBinding {namespace}/{binding_name(wk.SERVICE_KIND, name)}"
    if binding is None:
        return Delivery(tuple(skips), (), (Pending(f"{what} does not exist yet", None),) if usable else ())
    scheduled = set(targets(binding))
    left = [cluster for cluster in usable if cluster not in scheduled]
    if left and binding.spec.suspension is not None and binding.spec.suspension.scheduling:
        errors.append(f"{what} is not scheduled to {', '.join(left)}: scheduling is suspended (spec.suspension)")
    elif left:
        pending.append(_unscheduled(binding, what, left))
    for cluster in usable:
        if cluster not in scheduled:
            continue
        work = find(execution_namespace(cluster), work_name(wk.SERVICE_KIND, namespace, name))
        before = f"Service {namespace}/{name} in {cluster}"
        if is_suspended(binding, cluster) or (work is not None and work.suspend_dispatching):
            errors.append(f"{before}: dispatching is suspended, it keeps what it has")
        elif work is None or work.metadata.deletion_timestamp is not None:
            pending.append(Pending(f"{before}: not delivered yet", None))
        else:
            pending += [] if was_taken(work) else [refusal(work, before)]
    return Delivery(tuple(skips), tuple(errors), tuple(pending))


def was_taken(work: Work) -> bool:
    """Whether the member has what the Work holds, by its condition Applied."""
    applied = find_condition(work.conditions, wk.APPLIED)
    return applied is not None and applied.status == "True"


def refusal(work: Work, before: str) -> Pending:
    """Why the member has not taken what the Work holds, in its own words, behind `before` and a colon."""
    applied = find_condition(work.conditions, wk.APPLIED)
    if applied is None or applied.status != "False":
        return Pending(f"{before}: not applied yet", None)
    text = f"{before}: {applied.message}"
    namespace = work.ref.namespace if work.ref is not None else ""
    # As API servers say it, which Karmada's execution controller passes on, and as ours does.
    if any(
        said in text for said in (f'namespaces "{namespace}" not found', f"namespace {namespace} does not exist in")
    ):
        text += " (create the namespace there)"
    return Pending(f"{text}, retrying", parse_time(applied.last_transition_time) or _LONG_AGO)


def summary(work: Work) -> tuple[object, ...]:
    """What of a Service's Work the delivery depends on."""
    gone = work.metadata.deletion_timestamp is not None
    return gone, work.suspend_dispatching or False, was_taken(work) or refusal(work, "").text


def binding_summary(binding: ResourceBinding) -> tuple[object, ...]:
    """What of a ResourceBinding the delivery depends on."""
    scheduled = find_condition(binding.status.conditions, wk.SCHEDULED)
    said = (scheduled.status, scheduled.message) if scheduled is not None else None
    return targets(binding), binding.spec.suspension, said


def _unscheduled(binding: ResourceBinding, what: str, clusters: list[str]) -> Pending:
    condition = find_condition(binding.status.conditions, wk.SCHEDULED)
    text = f"{what} is not scheduled to {', '.join(clusters)}"
    if condition is None or condition.status == "True":
        return Pending(text, None)
    return Pending(f"{text}: {condition.message}", parse_time(condition.last_transition_time) or _LONG_AGO)
