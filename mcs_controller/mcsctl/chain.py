"""The chain of services as the control plane shows it, from observed objects to rows; without I/O.

A route leads from one provider to one consumer. What a provider offers is in its collected Works, what a consumer was
sent in its dispatched Works (docs/wire-format.md 3.2, 3.3), so that no member has to be asked.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mcs_controller.diagnosis.world import (
    CLUSTERS,
    MULTICLUSTERSERVICES,
    WORKS,
    annotations_of,
    condition,
    dig,
    items,
    labels_of,
    text,
)
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import execution_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mcs_controller.diagnosis.world import Object, World

NOT_SELECTED: Final = "not offered by its tiers"
PARTLY_SELECTED: Final = "offered in part: handed back, or drained"

_LEFT_OUT = ("Skipped:", "Note:")
"""How messages of conditions begin what is true although the condition is True."""


class Endpoints(NamedTuple):
    """How many endpoints are ready, of how many."""

    ready: int
    total: int

    def __str__(self) -> str:
        return f"{self.ready}/{self.total}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """From a provider to a consumer.

    Attributes:
        provider: where the endpoints are.
        consumer: where they are sent.
        offered: what was collected of the provider.
        delivered: what the consumer has applied.
        tier: of a service with tiers, the consumer's tier that the provider is in; else empty.
        state: `ok`, what the tiers decide, or what stands between the two.
        collected: when a collected Work was last written.
        dispatched: when a dispatched Work was.
    """

    provider: str
    consumer: str
    offered: Endpoints
    delivered: Endpoints
    tier: str
    state: str
    collected: datetime | None
    dispatched: datetime | None

    @property
    def is_fine(self) -> bool:
        """Whether the consumer has what it is to have of this provider."""
        return self.state in ("ok", NOT_SELECTED, PARTLY_SELECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """One MultiClusterService.

    Attributes:
        namespace: of it.
        name: of it.
        providers: the registered ones.
        consumers: the registered ones.
        routes: each provider with each other consumer; None if the Works could not be read.
        changed: when anything of it was last written in the control plane.
        notes: what is skipped, or fails, and why.
    """

    namespace: str
    name: str
    providers: Sequence[str]
    consumers: Sequence[str]
    routes: Sequence[Route] | None
    changed: datetime | None
    notes: Sequence[str] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        row = asdict(self)
        for one in [row, *(row["routes"] or ())]:
            one.update({key: value.isoformat() for key, value in one.items() if isinstance(value, datetime)})
            one.update({key: value._asdict() for key, value in one.items() if isinstance(value, Endpoints)})
        return row


def rows(world: World, namespace: str = "", name: str = "") -> Iterator[ServiceRow]:
    """The MultiClusterServices that were observed, in order.

    Raises:
        Unseen: the control plane's MultiClusterServices or Clusters were not read.
    """
    clusters = {text(one, "metadata", "name"): one for one in world.host.list(CLUSTERS)}
    works = None if world.host.why_unseen(WORKS) else _by_service(world.host.list(WORKS))
    services = [(text(one, "metadata", "namespace"), text(one, "metadata", "name"), one) for one in
                world.host.list(MULTICLUSTERSERVICES, namespace)]  # fmt: skip
    for space, called, mcs in sorted(services, key=lambda each: each[:2]):
        if name and called != name:
            continue
        providers, consumers = (_selected(mcs, field, clusters) for field in ("providerClusters", "consumerClusters"))
        own = works[space, called] if works is not None else None
        yield ServiceRow(
            namespace=space,
            name=called,
            providers=providers,
            consumers=consumers,
            routes=list(_routes(own, providers, consumers, clusters)) if own is not None else None,
            changed=latest([written(one) for one in [mcs, *(own or ())]]),
            notes=list(_notes(mcs)),
        )


def endpoints(slices: Iterable[Object]) -> Endpoints:
    """How many endpoints slices have; one in several slices, as with two address families, counts once."""
    found: dict[object, bool] = {}
    for each in slices:
        for one in items(each, "endpoints"):
            target = text(one, "targetRef", "name")
            key = target or str(next(iter(items(one, "addresses")), ""))
            found[key] = dig(one, "conditions", "ready") is not False
    return Endpoints(sum(found.values()), len(found))


def fingerprint(slices: Iterable[Object]) -> frozenset[tuple[str, bool]]:
    """Each address, and whether it is ready."""
    return frozenset(
        (address, dig(one, "conditions", "ready") is not False)
        for each in slices
        for one in items(each, "endpoints")
        for address in items(one, "addresses")
        if isinstance(address, str)
    )


def manifest(work: Object) -> Object:
    """The one object in a Work; empty if there is none."""
    return next((one for one in items(work, "spec", "workload", "manifests") if isinstance(one, dict)), {})


def provision_cluster(work: Object) -> str:
    """The provider of a dispatched Work or slice; empty for a collected one."""
    return annotations_of(work).get(wk.PROVISION_CLUSTER, "")


def has_slice(cluster: str, provider: str, work: Object) -> bool:
    """Whether a Work has a slice that was collected in a cluster or, with a provider, dispatched from there to it."""
    return (
        text(work, "metadata", "namespace") == execution_namespace(cluster)
        and text(manifest(work), "kind") == wk.SLICE_KIND
        and provision_cluster(work) == provider
        and not text(work, "metadata", "deletionTimestamp")
    )


def written(obj: Object) -> datetime | None:
    """When something but the status of an object was last written, by its managed fields."""
    times = [
        text(one, "time") for one in items(obj, "metadata", "managedFields") if text(one, "subresource") != "status"
    ]
    return latest([_time(each) for each in [*times, text(obj, "metadata", "creationTimestamp")]])


def latest(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of those that are known."""
    return max((one for one in times if one is not None), default=None)


def age(then: datetime | None, now: datetime) -> str:
    """As kubectl prints ages; `?` if it is not known."""
    if then is None:
        return "?"
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _by_service(works: Iterable[Object]) -> Mapping[tuple[str, str], list[Object]]:
    found: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for one in works:
        labels = labels_of(one)
        found[labels.get(wk.MCS_NAMESPACE, ""), labels.get(wk.MCS_NAME, "")].append(one)
    return found


def _selected(mcs: Object, field_name: str, clusters: Iterable[str]) -> Sequence[str]:
    named = [text(one, "name") for one in items(mcs, "spec", field_name)]
    return sorted(name for name in clusters if not named or name in named)


def _routes(
    works: Sequence[Object], providers: Sequence[str], consumers: Sequence[str], clusters: Mapping[str, Object]
) -> Iterator[Route]:
    for provider in providers:
        collected = [one for one in works if has_slice(provider, "", one)]
        theirs = [manifest(one) for one in collected]
        for consumer in consumers:
            if consumer == provider:
                continue
            sent = [one for one in works if has_slice(consumer, provider, one)]
            applied = [manifest(one) for one in sent if text(condition(one, wk.APPLIED), "status") == "True"]
            yield Route(
                provider=provider,
                consumer=consumer,
                offered=endpoints(theirs),
                delivered=endpoints(applied),
                tier=next((marks[wk.TIER] for one in sent if wk.TIER in (marks := annotations_of(one))), ""),
                state=_state(theirs, sent, [clusters[provider], clusters[consumer]]),
                collected=latest(map(written, collected)),
                dispatched=latest(map(written, sent)),
            )


def _state(offered: Sequence[Object], sent: Sequence[Object], clusters: Sequence[Object]) -> str:
    """What stands between a provider and a consumer, the first along the way."""
    for cluster in clusters:
        if text(condition(cluster, wk.READY), "status") != "True":
            return f"{text(cluster, 'metadata', 'name')} is not ready"
    if not offered:
        return "no slice collected"
    if not sent:
        return "not dispatched"
    for work in sent:
        applied = condition(work, wk.APPLIED)
        if text(applied, "status") != "True":
            return f"not applied: {text(applied, 'message') or 'no answer yet'}"
    how = {annotations_of(work).get(wk.OFFERED, wk.OFFERED_WHOLE) for work in sent}
    held, there = fingerprint(map(manifest, sent)), fingerprint(offered)
    if not (held <= there if how - {wk.OFFERED_WHOLE} else held == there):
        return "differs from what is offered"
    return "ok" if how == {wk.OFFERED_WHOLE} else NOT_SELECTED if how == {wk.OFFERED_NONE} else PARTLY_SELECTED


def _notes(mcs: Object) -> Iterator[str]:
    if text(mcs, "metadata", "deletionTimestamp"):
        yield "is being deleted"
    conditions = items(mcs, "status", "conditions")
    if not conditions:
        yield "no conditions: no controller reconciles it"
    for one in conditions:
        message = text(one, "message")
        if text(one, "status") != "True":
            yield f"{text(one, 'type')} {text(one, 'status')}: {message}"
        elif found := [message.find(mark) for mark in _LEFT_OUT if mark in message]:
            yield message[min(found) :]


def _time(written_as: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(written_as)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
