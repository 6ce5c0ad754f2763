"""What the rules about the way of EndpointSlices share: which slices and Works there are, and how old a change is."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from mcs_controller.api.common import parse_time
from mcs_controller.diagnosis.findings import Severity
from mcs_controller.diagnosis.world import SLICES, WORKS, annotations_of, items, labels_of, mapping, text
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import ADDRESS_RULES
from mcs_controller.domain.naming import execution_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mcs_controller.diagnosis.world import Object, World

YOUNG_SECONDS: Final = 15.0
"""A change that is younger is on its way: nobody need be told that it has not arrived."""


def kubectl(world: World, cluster: str, *words: str) -> str:
    """A call of kubectl that can be pasted."""
    return f"{world.kubectl(cluster)} {shlex.join(words)}"


def by_age(world: World, *objects: Object | None) -> Severity:
    """IN_PROGRESS if one of these objects was changed a moment ago, by anybody and not in its status alone."""
    times = [text(one, "metadata", field) for one in objects for field in ("creationTimestamp", "deletionTimestamp")]
    times += [
        text(entry, "time")
        for one in objects
        for entry in items(one, "metadata", "managedFields")
        if not text(entry, "subresource")
    ]
    return Severity.IN_PROGRESS if any(is_young(world, time) for time in times) else Severity.ERROR


def is_young(world: World, time: str) -> bool:
    """Whether a time of the API is a few seconds ago, by clocks that differ a bit."""
    parsed = parse_time(time)
    return parsed is not None and abs((world.now - parsed).total_seconds()) < YOUNG_SECONDS


def is_about(slice_: Object, service: str) -> bool:
    """Whether a slice belongs to a Service, and stays."""
    return labels_of(slice_).get(wk.SERVICE_NAME) == service and not text(slice_, "metadata", "deletionTimestamp")


def own_slices(world: World, cluster: str) -> Sequence[Object]:
    """The slices of the Service that a cluster has of its own; the others are copies."""
    found = world.snapshot(cluster).list(SLICES, world.namespace)
    return [
        one
        for one in found
        if is_about(one, world.name) and labels_of(one).get(wk.SLICE_MANAGED_BY) not in wk.SLICE_MANAGERS
    ]


def copied_slices(world: World, provider: str, consumer: str) -> Sequence[Object]:
    """The copies of a provider's slices in a consumer."""
    found = world.snapshot(consumer).list(SLICES, world.namespace)
    return [
        one for one in found if is_about(one, world.name) and annotations_of(one).get(wk.PROVISION_CLUSTER) == provider
    ]


def endpoints_of(slice_: Object, provider: str) -> Mapping[str, bool]:
    """Each address that may leave its cluster, and whether it is ready. FQDN and others that are refused stay."""
    content: dict[str, Any] = {
        "addressType": text(slice_, "addressType"),
        "endpoints": [one for one in items(slice_, "endpoints") if isinstance(one, dict)],
    }
    ADDRESS_RULES.restrict(provider, content)
    return {
        address: mapping(one, "conditions").get("ready") is not False
        for one in content["endpoints"]
        for address in items(one, "addresses")
        if isinstance(address, str)
    }


def all_endpoints(slices: Iterable[Object], provider: str) -> dict[str, bool]:
    """Of several slices."""
    return {address: ready for one in slices for address, ready in endpoints_of(one, provider).items()}


def manifest_of(work: Object) -> Mapping[str, Any]:
    """The object that a Work carries; empty if it carries none."""
    return next((one for one in items(work, "spec", "workload", "manifests") if isinstance(one, dict)), {})


def works_in(world: World, cluster: str) -> Sequence[Object]:
    """The Works of a cluster that were read."""
    return world.host.list(WORKS, execution_namespace(cluster))


def collected_work(world: World, provider: str, slice_: Object) -> Object | None:
    """The Work that holds a provider's slice."""
    for work in works_in(world, provider):
        if wk.PROVISION_CLUSTER not in annotations_of(work) and _carries_slice(work, text(slice_, "metadata", "name")):
            return work
    return None


def dispatched_work(world: World, provider: str, consumer: str, slice_: Object) -> Object | None:
    """The Work that brings a provider's slice to a consumer."""
    name = text(slice_, "metadata", "name")
    for work in works_in(world, consumer):
        marks = annotations_of(work)
        if marks.get(wk.PROVISION_CLUSTER) == provider and (
            marks.get(wk.PROVISION_NAME) == name or _carries_slice(work, f"{provider}-{name}")
        ):
            return work
    return None


def offered(work: Object | None) -> str:
    """How much of a provider's slice the consumer of a dispatched Work is offered, by its tiers."""
    return annotations_of(work or {}).get(wk.OFFERED, wk.OFFERED_WHOLE)


def _carries_slice(work: Object, name: str) -> bool:
    manifest = manifest_of(work)
    return text(manifest, "kind") == wk.SLICE_KIND and text(manifest, "metadata", "name") == name
