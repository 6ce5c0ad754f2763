"""Rules about the consumers: the Service and the EndpointSlices that their Pods use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.diagnosis.findings import Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import SLICES, annotations_of, items, labels_of, text
from mcs_controller.domain import well_known as wk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import Object


def addresses(slices: list[Object]) -> set[str]:
    """All addresses of all endpoints."""
    return {
        address
        for each in slices
        for endpoint in items(each, "endpoints")
        for address in items(endpoint, "addresses")
        if isinstance(address, str)
    }


@rule(
    "MCS072",
    "Endpoints of a provider are missing in a consumer",
    Link.CONSUMER,
    Scope.PAIR,
    symptom=True,
    meaning="The consumer's EndpointSlices do not have the endpoints that the provider has.",
    evidence="The EndpointSlices of the Service in both clusters.",
    fix="Whatever is broken before this in the chain; if nothing is, see the Works of the consumer.",
)
def endpoints_missing(context: Context) -> Iterator[Finding]:
    """It compares addresses, not objects."""
    world = context.world
    own = [one for one in world.snapshot(context.provider).list(SLICES, world.namespace) if _is_about(one, world.name)]
    theirs = [one for one in own if labels_of(one).get(wk.SLICE_MANAGED_BY) not in wk.SLICE_MANAGERS]
    there = [
        one
        for one in world.snapshot(context.cluster).list(SLICES, world.namespace)
        if _is_about(one, world.name) and annotations_of(one).get(wk.PROVISION_CLUSTER) == context.provider
    ]
    if missing := addresses(theirs) - addresses(there):
        yield context.found(
            ObjectRef(context.cluster, "EndpointSlice", "", world.namespace),
            f"{len(missing)} addresses of {context.provider} are not in {context.cluster}",
            evidence=f"missing: {', '.join(sorted(missing)[:5])}",
            fix=f"{world.kubectl()} -n karmada-es-{context.cluster} get works -l {wk.MCS_NAME}={world.name} -o yaml",
            severity=Severity.ERROR,
        )


def _is_about(slice_: Object, service: str) -> bool:
    return labels_of(slice_).get(wk.SERVICE_NAME) == service and text(slice_, "metadata", "deletionTimestamp") == ""
