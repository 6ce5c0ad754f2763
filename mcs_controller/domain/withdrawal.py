"""When the endpoints of a provider that is not ready are withdrawn from consumers: never, unless somebody asks for it.

"Not ready" is what the control plane thinks of the member's API server. Its pods may well be serving, so Karmada keeps
their endpoints, and so does this controller by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.api.common import find_condition, parse_time
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.durations import parse_duration

if TYPE_CHECKING:
    from datetime import datetime

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multiclusterservice import MultiClusterService


def withdrawal_period(mcs: MultiClusterService, default: float) -> tuple[float, str | None]:
    """(seconds, problem): how long a provider of the service may be not ready; 0 is for ever.

    Args:
        mcs: its annotation `WITHDRAW_AFTER` wins.
        default: seconds, for services without the annotation, or with one that cannot be read. That is the problem.
    """
    text = mcs.metadata.annotations.get(wk.WITHDRAW_AFTER)
    if text is None:
        return default, None
    try:
        return parse_duration(text), None
    except ValueError as error:
        return default, f"annotation {wk.WITHDRAW_AFTER} is ignored: {error}"


def withdrawal_due(provider: Cluster | None, period: float, now: datetime) -> float | None:
    """In how many seconds the provider's endpoints are to go: zero or less if they are; None if nothing is under way.

    Counted from the condition's own `lastTransitionTime`, so a restart neither prolongs nor shortens it. A Cluster that
    has never said whether it is ready, or does not say since when, keeps its endpoints.
    """
    ready = find_condition(provider.conditions, wk.READY) if provider is not None else None
    if not period or ready is None or ready.status == "True":
        return None
    since = parse_time(ready.last_transition_time)
    return period - (now - since).total_seconds() if since is not None else None
