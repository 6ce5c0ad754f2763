"""What a Cluster's status should say, given what its probes saw (contract 4.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from informers.meta import Condition, find_condition
from mcs_controller.domain import conditions
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from informers.discovery import Discovery
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.common import JsonObject

_MAX_MESSAGE = 512
"""Characters of a foreign error text in a condition."""

_AWAY_SECONDS = 2.0
"""Between two looks at a member that is away. One small request, which mostly is not even answered."""

READY_MESSAGE = "cluster is healthy and ready to accept workloads"
NOT_READY_MESSAGE = "cluster is reachable but health endpoint responded without ok"
NOT_REACHABLE_MESSAGE = "cluster is not reachable"
COMPLETE_MESSAGE = "collected complete APIEnablements from the cluster"
EMPTY_MESSAGE = "collected empty APIEnablements from the cluster"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """For how many seconds a new state must last before it is published."""

    success: float = 30.0
    failure: float = 30.0


@dataclass(frozen=True, slots=True)
class ProbeHistory:
    """How long the probes have been saying the same.

    Attributes:
        status: of condition Ready, as the probes see it.
        since: monotonic time of the first of them.
    """

    status: str
    since: float


DISCOVERY_ROOTS: Final = ("/api", "/apis")


@dataclass(frozen=True, slots=True)
class Collected:
    """What is read from a healthy member.

    Attributes:
        version: None if `/version` could not be read.
        discovery: what it serves.
    """

    version: str | None
    discovery: Discovery

    @property
    def is_cut_off(self) -> bool:
        """Whether a root of discovery could not be read, so that everything below it is missing."""
        return not self.discovery.failed.isdisjoint(DISCOVERY_ROOTS)


def from_probe(path: str, status: int, credentials: str = "") -> Condition:
    """Condition Ready for an answer of the health endpoint; `credentials` are those that it was asked with, in words.

    A server that refuses us is not away: whoever reads it looks for another cause.
    """
    if status == 200:
        return Condition(type=wk.READY, status="True", reason=wk.CLUSTER_READY, message=READY_MESSAGE)
    if 200 < status <= 206:
        return Condition(type=wk.READY, status="False", reason=wk.CLUSTER_NOT_READY, message=NOT_READY_MESSAGE)
    if status in (401, 403):
        words = "refused" if status == 401 else f"does not let anybody read {path} with"
        message = _cap(f"cluster {words} {credentials} ({path} answered {status})")
        return Condition(type=wk.READY, status="False", reason=wk.CREDENTIALS_REFUSED, message=message)
    return not_reachable(f"{path} answered {status}")


def not_reachable(why: str) -> Condition:
    """Condition Ready when no health endpoint gave a usable answer."""
    message = _cap(f"{NOT_REACHABLE_MESSAGE}: {why}")
    return Condition(type=wk.READY, status="False", reason=wk.CLUSTER_NOT_REACHABLE, message=message)


def collection_failed(problem: str) -> Condition:
    """Condition Ready when there is no client to probe with."""
    return Condition(type=wk.READY, status="False", reason=wk.STATUS_COLLECTION_FAILED, message=_cap(problem))


def apply_thresholds(
    observed: Condition, published: Condition | None, streak: ProbeHistory | None, now: float, thresholds: Thresholds
) -> tuple[Condition, ProbeHistory]:
    """The Ready condition to publish, and the streak to remember.

    A flip between True and anything else waits until the probes have agreed on it for long enough. Without a published
    condition there is nothing to protect, so it counts at once; so does a success without a streak (the first probe
    since a start). A failure then is no better reason than any other to call a cluster not ready.

    Semantics: Karmada's clusterConditionStore, for which the first failure counts at once (opening 29).
    """
    if streak is None and observed.status == "True":
        return observed, ProbeHistory(observed.status, now)
    if streak is None or streak.status != observed.status:
        streak = ProbeHistory(observed.status, now)
    if published is None:
        return observed, streak
    flips = (observed.status == "True") != (published.status == "True")
    threshold = thresholds.success if observed.status == "True" else thresholds.failure
    return (published if flips and now - streak.since < threshold else observed), streak


def next_probe(
    observed: Condition,
    published: Condition,
    streak: ProbeHistory,
    now: float,
    thresholds: Thresholds,
    frequency: float,
) -> float:
    """In how many seconds to probe again: when a flip that is waited for may be published, and soon after a failure.

    Karmada looks every `frequency` seconds: a member that is back waits for up to two rounds more than the threshold.
    """
    if (observed.status == "True") != (published.status == "True"):
        threshold = thresholds.success if observed.status == "True" else thresholds.failure
        return min(frequency, max(0.0, streak.since + threshold - now))
    return frequency if observed.status == "True" else min(frequency, _AWAY_SECONDS)


def enablements_condition(discovery: Discovery) -> Condition:
    """Condition CompleteAPIEnablements for what was discovered."""
    if not discovery.apis:
        status, reason, message = "False", wk.API_ENABLEMENTS_EMPTY, EMPTY_MESSAGE
    elif discovery.failed:
        missing = ", ".join(sorted(discovery.failed))
        status, reason = "False", wk.API_ENABLEMENTS_PARTIAL
        message = _cap(f"might collect partial APIEnablements({len(discovery.apis)}) from the cluster: no {missing}")
    else:
        status, reason, message = "True", wk.API_ENABLEMENTS_COMPLETE, COMPLETE_MESSAGE
    return Condition(type=wk.COMPLETE_API_ENABLEMENTS, status=status, reason=reason, message=message)


def plan_status(cluster: Cluster, ready: Condition, collected: Collected | None, now: str) -> JsonObject | None:
    """Merge patch of the status; None if it says all this already.

    When discovery failed altogether, a list that was published before stays, marked as not complete: it is still the
    best that is known, and clearing it would make the scheduler think the member serves nothing.

    Args:
        cluster: as it is.
        ready: condition Ready to publish.
        collected: None if the member is not ready.
        now: RFC 3339, in UTC.
    """
    wanted = [ready]
    status: JsonObject = {}
    if collected is not None:
        discovery = collected.discovery
        condition = enablements_condition(discovery)
        if not discovery.apis and discovery.failed and cluster.api_enablements:
            message = _cap(f"discovery failed, the list is an earlier one: no {', '.join(sorted(discovery.failed))}")
            condition = msgspec.structs.replace(condition, reason=wk.API_ENABLEMENTS_PARTIAL, message=message)
        elif discovery.kinds() != cluster.api_enablements:
            status["apiEnablements"] = discovery.enablements()
        wanted.insert(0, condition)
        if collected.version is not None and collected.version != cluster.kubernetes_version:
            status["kubernetesVersion"] = collected.version
    merged = conditions.merge(cluster.conditions, wanted, now)
    if merged != cluster.conditions:
        status["conditions"] = msgspec.to_builtins(merged)
    if not status:
        return None
    return {"metadata": {"resourceVersion": cluster.metadata.resource_version}, "status": status}


def published_ready(cluster: Cluster) -> Condition | None:
    """Condition Ready as the Cluster has it."""
    return find_condition(cluster.conditions, wk.READY)


def _cap(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 1]}…"
