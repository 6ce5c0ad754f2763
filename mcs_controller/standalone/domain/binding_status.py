"""What the clusters say about a ResourceBinding's resource, put together (contract 4.6).

Semantics: Karmada's pkg/controllers/status and the aggregation of its default interpreter for Services.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import msgspec

from informers.meta import Condition, find_condition
from mcs_controller.api.common import JsonObject, canonical
from mcs_controller.api.shapes import Ingress
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import merge
from mcs_controller.domain.works import cluster_of
from mcs_controller.standalone.domain.binding import occupied

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work

_FULLY_APPLIED_MESSAGE = "All works have been successfully applied"
_NOT_FULLY_APPLIED_MESSAGE = "Failed to apply all works, see status.aggregatedStatus for details"
_UNKNOWN = "Unknown"
_HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)


def aggregate(binding: ResourceBinding, works: Iterable[Work]) -> list[JsonObject]:
    """`status.aggregatedStatus`: one entry for each of the binding's Works, by cluster."""
    entries = {}
    for work in works:
        cluster = cluster_of(work)
        if cluster is not None and work.metadata.deletion_timestamp is None:
            entries[cluster] = _entry(cluster, work, binding)
    return [entries[cluster] for cluster in sorted(entries)]


def plan_status(binding: ResourceBinding, works: Iterable[Work], now: str) -> JsonObject | None:
    """The merge patch for the binding's status; None if it says all that already. `now` is RFC 3339 in UTC."""
    aggregated = aggregate(binding, works)
    status = binding.status
    if not aggregated and find_condition(status.conditions, wk.FULLY_APPLIED) is None:
        return None  # not scheduled yet, or its Works are about to be made: nothing to say
    conditions = merge(status.conditions, (_fully_applied(binding, aggregated),), now)
    changes: JsonObject = {}
    if canonical(aggregated) != canonical(status.aggregated_status):
        changes["aggregatedStatus"] = aggregated
    if conditions != status.conditions:
        changes["conditions"] = msgspec.to_builtins(conditions)
    if not changes:
        return None
    # The scheduler writes conditions of its own into the same list: the version keeps us from undoing that.
    return {"metadata": {"resourceVersion": binding.metadata.resource_version}, "status": changes}


def plan_ingress(works: Iterable[Work], observed: Sequence[JsonObject]) -> list[JsonObject] | None:
    """`status.loadBalancer.ingress` of a Service of type LoadBalancer: what all clusters have, each entry once.

    Ordered by hostname (empty ones last), ip and ipMode. None if it is so already.
    """
    found: dict[bytes, JsonObject] = {}
    for work in works:
        if work.metadata.deletion_timestamp is not None:
            continue
        for one in work.statuses():
            for ingress in _addresses(one.get("status")):
                found[canonical(ingress)] = ingress
    wanted = sorted(found.values(), key=_ingress_order)
    return None if canonical(wanted) == canonical(list(observed)) else wanted


def _entry(cluster: str, work: Work, binding: ResourceBinding) -> JsonObject:
    # Empty fields are left out, as Karmada's encoder does: "applied: false" is the absence of "applied".
    entry: JsonObject = {"clusterName": cluster}
    applied = find_condition(work.conditions, wk.APPLIED)
    if applied is not None and applied.status == "True":
        entry["applied"] = True
    elif applied is not None and applied.message:
        entry["appliedMessage"] = applied.message
    reported = _status_of_template(work, binding) if "applied" in entry else {}
    entry["health"] = reported.get("health") or _UNKNOWN
    if reported.get("status"):
        entry["status"] = reported["status"]
    return entry


def _status_of_template(work: Work, binding: ResourceBinding) -> JsonObject:
    resource = binding.spec.resource
    wanted = (resource.kind, resource.namespace, resource.name)
    for one in work.statuses():
        identifier = one.get("identifier") or {}
        if (identifier.get("kind"), identifier.get("namespace", ""), identifier.get("name")) == wanted:
            return one
    return {}


def _addresses(status: Any) -> list[JsonObject]:
    """The load balancer's addresses in what a member reports; not those that no API server takes.

    The control plane would refuse the addresses of all members for one of them.
    """
    load_balancer = status.get("loadBalancer") if isinstance(status, dict) else None
    ingress = load_balancer.get("ingress") if isinstance(load_balancer, dict) else None
    return [one for one in ingress if _is_address(one)] if isinstance(ingress, list) else []


def _is_address(ingress: object) -> bool:
    try:
        one = msgspec.convert(ingress, Ingress)
        if one.ip:
            ip_address(one.ip)
    except ValueError:  # msgspec.ValidationError is one
        return False
    if one.ip_mode not in (("", "VIP", "Proxy") if one.ip and "%" not in one.ip else ("",)):
        return False
    return _HOSTNAME.fullmatch(one.hostname) is not None if one.hostname else bool(one.ip)


def _fully_applied(binding: ResourceBinding, aggregated: Sequence[JsonObject]) -> Condition:
    wanted = occupied(binding)
    applied = {entry["clusterName"] for entry in aggregated if entry.get("applied")}
    if wanted and applied == wanted and len(aggregated) == len(wanted):
        return Condition(
            type=wk.FULLY_APPLIED, status="True", reason=wk.FULLY_APPLIED_SUCCESS, message=_FULLY_APPLIED_MESSAGE
        )
    return Condition(
        type=wk.FULLY_APPLIED, status="False", reason=wk.FULLY_APPLIED_FAILED, message=_NOT_FULLY_APPLIED_MESSAGE
    )


def _ingress_order(ingress: JsonObject) -> tuple[Any, ...]:
    hostname = ingress.get("hostname", "")
    # canonical() last: entries that differ only in their ports need an order too, or every pass would write.
    return (not hostname, hostname, ingress.get("ip", ""), ingress.get("ipMode", ""), canonical(ingress))
