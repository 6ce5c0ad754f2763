"""Rules about tiers: which providers' endpoints a consumer is offered (docs/selection.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Link, ObjectRef, Severity
from mcs_controller.diagnosis.rules.chain import (
    by_age,
    collected_work,
    dispatched_work,
    endpoints_of,
    kubectl,
    manifest_of,
    offered,
    own_slices,
)
from mcs_controller.diagnosis.rules.rule import Scope, rule
from mcs_controller.diagnosis.world import MULTICLUSTERSERVICES, annotations_of, condition, text
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.availability import Reason
from mcs_controller.domain.tiers import KEYS, path_of, problem_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcs_controller.diagnosis.findings import Finding
    from mcs_controller.diagnosis.rules.rule import Context
    from mcs_controller.diagnosis.world import World


def _annotate(world: World, *marks: str) -> str:
    command = ("-n", world.namespace, "annotate", "--overwrite", MULTICLUSTERSERVICES.group_resource, world.name)
    return kubectl(world, CONTROL_PLANE, *command, *marks)


def _service(world: World) -> ObjectRef:
    return ObjectRef(CONTROL_PLANE, wk.MCS_KIND, world.name, world.namespace)


@rule(
    "MCS048",
    "An annotation of the tiers cannot be read",
    Link.DECLARATION,
    Scope.SERVICE,
    meaning="The MultiClusterService says with an annotation which clusters its consumers prefer, and it is none of "
    "the values that docs/selection.md names. It is ignored; of strict tiers nothing is offered that was not before.",
    evidence="The annotations of the MultiClusterService.",
    fix="Write it as docs/selection.md says, or take it off.",
)
def tiers_not_read(context: Context) -> Iterator[Finding]:
    """One finding for each annotation. A Namespace's are refused by the admission policies alone."""
    marks = annotations_of(context.world.mcs or {})
    for key in KEYS:
        if key in marks and (problem := problem_with(key, marks[key])) is not None:
            yield context.found(
                _service(context.world),
                f"the annotation {key} cannot be read",
                evidence=f"{path_of(key)}: {problem}",
                fix=_annotate(context.world, f"{key}-"),
            )


@rule(
    "MCS049",
    "No tier of a consumer is good enough",
    Link.DELIVERY,
    Scope.CONSUMER,
    meaning="The tiers of the service offer the consumer no ready endpoint, although other clusters have some (an "
    "error), or in no tier as many as the minimum wants, so that all tiers are offered (a warning).",
    evidence="Condition EndpointsAvailable, and how much of each provider's EndpointSlices the Works for the consumer "
    "hold.",
    fix="Let the consumer go beyond its tiers, lower the minimum, or bring up Pods in the clusters that it prefers.",
)
def no_tier_good_enough(context: Context) -> Iterator[Finding]:
    """By what the Works hold; the condition says it for all consumers together."""
    world, consumer = context.world, context.cluster
    said = condition(world.mcs or {}, wk.ENDPOINTS_AVAILABLE)
    if text(said, "reason") == Reason.NOT_OFFERED:
        yield from _nothing_offered(context)
    elif f"no tier of {consumer}" in text(said, "message") or _is_listed(consumer, text(said, "message")):
        yield context.found(
            _service(world),
            f"no tier of {consumer} has as many ready endpoints as the minimum wants, so all tiers are offered",
            evidence=f"condition {wk.ENDPOINTS_AVAILABLE}: {text(said, 'message')}",
            fix=_annotate(world, f"{wk.TIER_MINIMUM}=1"),
            severity=Severity.WARNING,
        )


def _is_listed(consumer: str, message: str) -> bool:
    """Whether the note names the consumer among several."""
    names, found, _ = message.rpartition("no tier of ")[2].partition(" is good enough")
    return bool(found) and consumer in names.split(", ")


def _nothing_offered(context: Context) -> Iterator[Finding]:
    world, consumer = context.world, context.cluster
    withheld: set[str] = set()
    for provider in world.providers:
        for one in own_slices(world, provider) if provider != consumer else ():
            work = dispatched_work(world, provider, consumer, one)
            if work is None or collected_work(world, provider, one) is None:
                continue
            if any(endpoints_of(manifest_of(work), provider).values()):
                return
            if offered(work) == wk.OFFERED_NONE and any(endpoints_of(one, provider).values()):
                withheld.add(provider)
    if withheld:
        yield context.found(
            _service(world),
            f"the tiers offer {consumer} no ready endpoint",
            evidence=f"ready endpoints of {', '.join(sorted(withheld))} are not offered to it",
            fix=_annotate(world, f"{wk.TIER_STRICT}=false"),
            severity=by_age(world, world.mcs),
        )
