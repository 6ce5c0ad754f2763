"""What a Work says about its objects in the member: two conditions, and one entry per object (contract 4.3, 4.6).

Semantics: Karmada's execution controller, its work status controller, and the default interpreter's rules on health.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from informers.meta import Condition, find_condition
from mcs_controller.api.common import JsonObject, canonical
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.work import ManifestRef, Work

SUSPENDED_MESSAGE = "Work dispatching is in a suspended state."
DISPATCHING_MESSAGE = "Work is being dispatched to member clusters."
APPLIED_MESSAGE = "Manifest has been successfully applied"
_HEALTHY = "Healthy"
_UNHEALTHY = "Unhealthy"
_MAX_MESSAGE = 8192
"""Characters of a condition's message; the API allows 32,768."""


def dispatching(work: Work) -> Condition:
    """Condition Dispatching."""
    if work.suspend_dispatching:
        return Condition(
            type=wk.DISPATCHING, status="False", reason=wk.DISPATCHING_SUSPENDED, message=SUSPENDED_MESSAGE
        )
    return Condition(type=wk.DISPATCHING, status="True", reason=wk.DISPATCHING_ACTIVE, message=DISPATCHING_MESSAGE)


def applied(total: int, errors: Sequence[str]) -> Condition:
    """Condition Applied, after `total` manifests were tried; one text for each that failed."""
    if not errors:
        return Condition(type=wk.APPLIED, status="True", reason=wk.APPLIED_SUCCESSFUL, message=APPLIED_MESSAGE)
    message = f"Failed to apply all manifests ({total - len(errors)}/{total}): {'; '.join(errors)}"
    if len(message) > _MAX_MESSAGE:
        message = f"{message[: _MAX_MESSAGE - 1]}…"
    return Condition(type=wk.APPLIED, status="False", reason=wk.APPLIED_FAILED, message=message)


def was_applied(work: Work) -> bool:
    """Whether the Work's objects were applied when it was last tried."""
    condition = find_condition(work.conditions, wk.APPLIED)
    return condition is not None and condition.status == "True"


def reflected(obj: Unstructured) -> JsonObject | None:
    """The part of a member object's status that is carried back; None for kinds of which nothing is."""
    content = obj.content
    if (content.get("apiVersion"), content.get("kind")) != ("v1", wk.SERVICE_KIND):
        return None
    if (content.get("spec") or {}).get("type") != "LoadBalancer":
        return None
    return {"loadBalancer": (content.get("status") or {}).get("loadBalancer") or {}}


def health_of(obj: Unstructured) -> str:
    """Healthy, unless it is a load balancer without an address."""
    status = reflected(obj)
    if status is None:
        return _HEALTHY
    addresses = (
        ingress.get("ip") or ingress.get("hostname") for ingress in status["loadBalancer"].get("ingress") or ()
    )
    return _HEALTHY if any(addresses) else _UNHEALTHY


def manifest_status(ordinal: int, ref: ManifestRef, obj: Unstructured) -> JsonObject:
    """The entry of `status.manifestStatuses` for one applied object."""
    group, _, version = ref.api_version.rpartition("/")
    identifier: JsonObject = {
        "ordinal": ordinal,
        "version": version,
        "kind": ref.kind,
        "resource": "",
        "name": ref.name,
    }
    if group:
        identifier["group"] = group
    if ref.namespace:
        identifier["namespace"] = ref.namespace
    entry: JsonObject = {"identifier": identifier, "health": health_of(obj)}
    status = reflected(obj)
    return entry if status is None else entry | {"status": status}


def kept_status(ordinal: int, work: Work) -> JsonObject | None:
    """What the Work says already about one of its objects, for when nothing new is known of it."""
    return next((one for one in work.statuses() if (one.get("identifier") or {}).get("ordinal") == ordinal), None)


def plan_never_applied(work: Work) -> JsonObject | None:
    """The merge patch that takes off a Work's status that it was applied; None if it does not say so."""
    kept = [one for one in work.conditions if one.type != wk.APPLIED]
    if len(kept) == len(work.conditions) and not work.statuses():
        return None
    status: JsonObject = {"conditions": msgspec.to_builtins(kept), "manifestStatuses": []}
    return {"metadata": {"resourceVersion": work.metadata.resource_version}, "status": status}


def plan_status(
    work: Work, conditions: Sequence[Condition], statuses: Sequence[JsonObject] | None, now: str
) -> JsonObject | None:
    """The merge patch for the Work's status; None if it says all that already.

    `statuses` None leaves them as they are. `now` is RFC 3339 in UTC.
    """
    changes: JsonObject = {}
    merged = merge(work.conditions, conditions, now)
    if merged != work.conditions:
        changes["conditions"] = msgspec.to_builtins(merged)
    if statuses is not None and canonical(list(statuses)) != canonical(work.statuses()):
        changes["manifestStatuses"] = list(statuses)
    if not changes:
        return None
    return {"metadata": {"resourceVersion": work.metadata.resource_version}, "status": changes}
