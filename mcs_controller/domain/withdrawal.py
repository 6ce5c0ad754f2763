"""When copies are withdrawn from consumers although the slice that they are copies of is there.

The endpoints of a provider that is not ready: never, unless somebody asks for it. "Not ready" is what the control plane
thinks of the member's API server. Its pods may well be serving, so Karmada keeps their endpoints, and so does this
controller by default.

Those of a Service that the control plane has no more: after a moment, see `SERVICE_GONE_SECONDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from informers.meta import find_condition
from mcs_controller.api.common import parse_time
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.durations import parse_duration

if TYPE_CHECKING:
    from datetime import datetime

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.multiclusterservice import MultiClusterService

SERVICE_GONE_SECONDS: Final = 10.0
"""How long the copies of a Service that is gone stay: who replaces a Service deletes it and makes it anew.

That takes a second or two; `kubectl replace --force` waits for finalizers in between, and the Service is there as long
as it has some. Consumers whose connections go to a Service that is gone for good can wait that long as well.
"""


def service_gone_due(gone_for: float | None) -> float | None:
    """In how many seconds the copies of a Service are to go: zero or less if they are; None if the Service is there.

    Args:
        gone_for: how many seconds ago it was first missed; None if it is there.
    """
    return SERVICE_GONE_SECONDS - gone_for if gone_for is not None else None


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
