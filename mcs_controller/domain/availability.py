"""Whether Pods of each consumer find endpoints: condition EndpointsAvailable, which is ours alone.

True when every consumer has a ready endpoint that it can reach for each port that the Service offers (of those that the
MultiClusterService lists, if it lists some). A consumer's own endpoints count. Of another cluster's, both ends are
looked at: what the provider offers (the collected Work) and what the consumer was sent and has taken (the dispatched
Work). Readiness is Kubernetes': `ready` is what counts, and absent is true; ports are matched as kube-proxy does, by
name and protocol.

Otherwise it is False, with a `Reason` for programs and a message that names consumers and providers:

    m2, m3: no ready endpoint in m1; m4: slice default/web-1 of m1: not applied yet

Nothing in it counts endpoints, so it changes only when some consumer gains its first endpoint or loses its last.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from informers.errors import UNDECODABLE
from informers.meta import Condition
from informers.metrics import STALE_SECONDS
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import MAX_MESSAGE, by_reason, clip, listed
from mcs_controller.domain.selection import consumers_of, providers_of
from mcs_controller.domain.service_delivery import Pending, refusal, was_taken
from mcs_controller.domain.works import Role, SliceRef, cluster_of, origin_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcs_controller.api.core import EndpointSlice, Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.endpoint_selection import Decision
    from mcs_controller.domain.selection import Clusters

    Families = frozenset[str] | None
    """IP families of a Service in a consumer, as "IPv4"; None if they are not known, or do not matter."""

AVAILABLE_MESSAGE: Final = "Every consumer has ready endpoints."

_FQDN: Final = "FQDN"
_NOT_ANSWERED: Final = f"has not answered for more than {STALE_SECONDS:g} s"
_MAY_HAVE_CHANGED: Final = f"may have changed, the cluster {_NOT_ANSWERED}"
_NAMES: Final = 10


class Reason(enum.StrEnum):
    """Why the condition is False. If consumers lack endpoints for several reasons, the first in this order is given."""

    SERVICE_NOT_FOUND = "ServiceNotFound"
    NO_CONSUMER = "NoConsumer"
    LOCAL_TRAFFIC_POLICY = "LocalTrafficPolicy"
    PORT_MISMATCH = "PortMismatch"
    ADDRESS_FAMILY_MISMATCH = "AddressFamilyMismatch"
    NO_ENDPOINT_SLICE = "NoEndpointSlice"
    NOT_OFFERED = "NotOffered"
    NO_READY_ENDPOINTS = "NoReadyEndpoints"
    PROVIDER_NOT_READY = "ProviderNotReady"
    STALE = "Stale"
    NOT_DELIVERED = "NotDelivered"


_PRECEDENCE: Final = {reason: place for place, reason in enumerate(Reason)}


class Port(NamedTuple):
    """What kube-proxy matches a port of a Service and one of a slice by."""

    name: str
    protocol: str

    def __str__(self) -> str:
        return f'"{self.name}"' if self.protocol == "TCP" else f'"{self.name}" ({self.protocol})'


class Offer(NamedTuple):
    """What a slice offers, without how much of it.

    Attributes:
        proxied: whether its addresses are of a kind that proxies send to.
        ready: whether some endpoint is ready.
        ports: None for all ports.
        hostnames: of ready endpoints.
        zones: those that the hints name, if every ready endpoint has hints.
        family: its addressType.
    """

    proxied: bool
    ready: bool
    ports: frozenset[Port] | None
    hostnames: frozenset[str]
    zones: frozenset[str] | None
    family: str = "IPv4"

    def serves(self, port: Port | None, families: Families = None) -> bool:
        """Whether it has a ready endpoint with that port, of one of these families; None is any of them."""
        proxied = self.proxied and (families is None or self.family in families)
        return proxied and self.ready and (port is None or self.ports is None or port in self.ports)


class Problem(NamedTuple):
    """Why one consumer lacks endpoints. `pending` if it may be over in a moment."""

    consumer: str
    reason: Reason
    text: str
    pending: Pending | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """What is known of each consumer; no problems if all is well.

    Attributes:
        problems: at most one for each consumer.
        skipped: consumers that are not registered, sorted.
        notes: what else people should know, whatever the status is.
        unwatched: consumers that lack endpoints unless they have some of their own, which is not known yet.
    """

    problems: tuple[Problem, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unwatched: tuple[str, ...] = ()

    def condition(self, problems: Sequence[Problem], generation: int) -> Condition:
        """The condition, with these of the problems."""
        message = AVAILABLE_MESSAGE
        reason = wk.ENDPOINTS_AVAILABLE
        if problems:
            reason = min((one.reason for one in problems), key=_PRECEDENCE.__getitem__)
            message = by_reason((one.consumer, one.text) for one in problems if one.consumer)
            message = message or listed(one.text for one in problems)
        sentences = [message if message.endswith(".") else f"{message}."]
        if self.skipped:
            sentences.append(f"Skipped: {_names(self.skipped)}: no such Cluster is registered.")
        sentences += [f"Note: {note}." for note in self.notes]
        return Condition(
            wk.ENDPOINTS_AVAILABLE,
            "False" if problems else "True",
            str(reason),
            clip(" ".join(sentences), MAX_MESSAGE),
            observed_generation=generation,
        )


def judge(
    mcs: MultiClusterService,
    service: Service | None,
    works: Iterable[Work],
    clusters: Clusters,
    own: Callable[[Problem], Iterable[EndpointSlice] | str | None],
    *,
    left_out: Callable[[SliceRef], bool] = lambda _: False,
    is_stale: Callable[[str], bool] = lambda _: False,
    is_silent: Callable[[str], bool] = lambda _: False,
    decision: Callable[[str], Decision | None] = lambda _: None,
    families: Callable[[str], Families] = lambda _: None,
) -> Availability:
    """See the module.

    Args:
        mcs: live and CrossCluster.
        service: the Service in the control plane.
        works: all that are filed under the service.
        clusters: every registered Cluster.
        own: the slices that a consumer with a problem has of its own; None if nobody knows yet, or why nobody will.
            Asked only of consumers that are no providers.
        left_out: whether addresses were left out of the copies of a slice.
        is_stale: whether it is not known if a provider still has the slices that were collected from it.
        is_silent: whether a consumer has not answered for as long, so that its Works may say what is no longer true.
        decision: which endpoints a consumer is offered; None for all.
        families: those that the Service has in a consumer. Where that is not known, it has what is asked for here.
    """
    namespace, name = mcs.metadata.namespace, mcs.metadata.name
    if service is None or service.metadata.deletion_timestamp is not None:
        text = f"Service {namespace}/{name} does not exist in the control plane"
        return Availability((Problem("", Reason.SERVICE_NOT_FOUND, text),))
    asked = _Service.of(mcs, service)
    names = consumers_of(mcs, clusters)
    consumers = [one for one in names if clusters.get(one) is not None]
    skipped = tuple(one for one in names if clusters.get(one) is None)
    if not consumers:
        return Availability((Problem("", Reason.NO_CONSUMER, "no consumer cluster is registered"),), skipped)
    fleet = _Fleet(set(providers_of(mcs, clusters)), clusters, works, left_out, is_stale, decision)
    if asked.unknown:
        text = f"spec.ports lists {', '.join(asked.unknown)}, but the Service has {_quoted(asked.ports)}"
        return Availability(tuple(Problem(one, Reason.PORT_MISMATCH, text) for one in consumers), skipped)
    problems: list[Problem] = []
    unwatched: list[str] = []
    for consumer in consumers:
        usable = None if asked.headless else families(consumer) or asked.families
        problem = _problem(consumer, asked, fleet, (), usable)
        if problem is not None and consumer not in fleet.providers:
            theirs = own(problem)
            if theirs is None:
                unwatched.append(consumer)
                continue
            if isinstance(theirs, str):
                problem = problem._replace(text=f"{problem.text} ({theirs})")
            else:
                natives = [offer for one in theirs if (offer := _native(one))]
                problem = _problem(consumer, asked, fleet, natives, usable)
        if problem is not None:
            problems.append(problem)
    notes = list(_notes(consumers, asked, fleet))
    stale = sorted({origin.cluster for origin in fleet.offers if is_stale(origin.cluster)})
    if stale and not any(one.reason is Reason.STALE for one in problems):
        notes.append(f"endpoints of {_names(stale)} {_MAY_HAVE_CHANGED}")
    if silent := [one for one in consumers if fleet.is_ready(one) and fleet.sent[one] and is_silent(one)]:
        notes.append(f"{_names(silent)} {_NOT_ANSWERED} and may hold an older state")
    return Availability(tuple(problems), skipped, tuple(notes), tuple(unwatched))


def is_news(before: Condition | None, after: Condition) -> bool:
    """Whether a changed condition is worth an event: not that all is well from the first, nor another note on that."""
    return after.status != "True" or (before is not None and before.status != "True")


def summary(work: Work, *, with_offer: bool) -> tuple[object, ...]:
    """What of a slice's Work the verdict depends on: the same for any number of endpoints above none."""
    copied = role_of(work) is Role.DISPATCHED and (was_taken(work) or refusal(work, "").text)
    return copied, work.metadata.deletion_timestamp is not None, offer_of(work) if with_offer else None


def offer_of(work: Work) -> Offer | None:
    """What the slice in a Work offers; None if it holds none that can be read."""
    try:
        return _offer(_slice.decode(work.manifests[0].raw)) if work.manifests else None
    except UNDECODABLE:
        return None


def endpoints_of(work: Work) -> Sequence[_Endpoint]:
    """The endpoints of the slice in a Work; none if it holds none that can be read."""
    try:
        return (_slice.decode(work.manifests[0].raw).endpoints or ()) if work.manifests else ()
    except UNDECODABLE:
        return ()


def own_summary(slice_: EndpointSlice) -> Offer | None:
    """What of a consumer's own slice the verdict depends on; None if nothing."""
    return _native(slice_)


# --- what the Service asks for ----------------------------------------------------------------------------------------


class _ServicePort(msgspec.Struct):
    port: int = 0
    name: str | None = None
    protocol: str | None = None

    @property
    def key(self) -> Port:
        return Port(self.name or "", self.protocol or "TCP")


class _ServiceSpec(msgspec.Struct, rename="camel"):
    ports: tuple[_ServicePort, ...] | None = None
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    internal_traffic_policy: str | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None


class _Wanted(msgspec.Struct):
    spec: _ServiceSpec = msgspec.field(default_factory=_ServiceSpec)


_spec = msgspec.json.Decoder(_ServiceSpec)
_wanted = msgspec.json.Decoder(_Wanted)


@dataclass(frozen=True, slots=True)
class _Service:
    """What has to be reachable.

    Attributes:
        ports: of the Service.
        required: those that consumers are to reach; (None,) for a headless Service, whose names resolve whatever the
            ports are.
        unknown: entries of `spec.ports`, if none of them is a port of the Service.
        families: those that it has in every consumer, because somebody has asked for them.
    """

    ports: tuple[Port, ...]
    required: tuple[Port | None, ...]
    unknown: tuple[str, ...]
    headless: bool
    local: bool
    families: Families

    @classmethod
    def of(cls, mcs: MultiClusterService, service: Service) -> _Service:
        spec = _spec.decode(service.spec)
        offered = spec.ports or ()
        headless = spec.cluster_ip == "None"
        names = {one.key.name for one in offered}
        meant = {
            one.key
            for entry in mcs.ports
            for one in offered
            if (one.key.name == entry.name if entry.name and entry.name in names else one.port == entry.port)
        }
        required: tuple[Port | None, ...] = tuple(one.key for one in offered if not mcs.ports or one.key in meant)
        unknown = tuple(str(entry) for entry in mcs.ports) if mcs.ports and not meant and not headless else ()
        return cls(
            ports=tuple(one.key for one in offered),
            required=(None,) if headless else required or (None,),
            unknown=unknown,
            headless=headless,
            local=spec.internal_traffic_policy == "Local" and not headless,
            families=_asked_families(_wanted.decode(service.raw).spec),
        )


def _asked_families(spec: _ServiceSpec) -> Families:
    """Of a Service without what its server has filled in: clusters differ in what they have when nobody asks."""
    families = spec.ip_families or ()
    if spec.ip_family_policy in (None, "SingleStack") and len(families) == 1:
        return frozenset(families)
    return None  # both, or those that each cluster has


def families_of(spec: object) -> Families:
    """The families that a member's Service has, by its spec; None if it does not tell."""
    found = spec.get("ipFamilies") if isinstance(spec, dict) else None
    return frozenset(one for one in found if isinstance(one, str)) or None if isinstance(found, list) else None


# --- what is offered, and where it is ---------------------------------------------------------------------------------


class _Zone(msgspec.Struct):
    name: str = ""


class _Hints(msgspec.Struct, rename="camel"):
    for_zones: tuple[_Zone, ...] | None = None


class _Conditions(msgspec.Struct):
    ready: bool | None = None


class _Endpoint(msgspec.Struct):
    conditions: _Conditions | None = None
    hostname: str | None = None
    hints: _Hints | None = None

    @property
    def is_ready(self) -> bool:
        return self.conditions is None or self.conditions.ready is not False


class _SlicePort(msgspec.Struct):
    name: str | None = None
    protocol: str | None = None


class _Slice(msgspec.Struct, rename="camel"):
    address_type: str = ""
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_SlicePort, ...] | None = None


_slice = msgspec.json.Decoder(_Slice)
_endpoints = msgspec.json.Decoder(tuple[_Endpoint, ...] | None)
_slice_ports = msgspec.json.Decoder(tuple[_SlicePort, ...] | None)


def _offer(slice_: _Slice) -> Offer:
    ready = [one for one in slice_.endpoints or () if one.is_ready]
    zones = [one.hints.for_zones for one in ready if one.hints is not None and one.hints.for_zones]
    return Offer(
        proxied=slice_.address_type != _FQDN,
        ready=bool(ready),
        ports=_ports(slice_.ports),
        hostnames=frozenset(one.hostname for one in ready if one.hostname),
        zones=frozenset(one.name for each in zones for one in each) if ready and len(zones) == len(ready) else None,
        family=slice_.address_type,
    )


def _ports(ports: Iterable[_SlicePort] | None) -> frozenset[Port] | None:
    # Null means all ports, of a slice without endpoints as well; an empty list is written as null (contract 3.3).
    return frozenset(Port(one.name or "", one.protocol or "TCP") for one in ports) if ports else None


def _native(slice_: EndpointSlice) -> Offer | None:
    if slice_.metadata.labels.get(wk.SLICE_MANAGED_BY) in wk.SLICE_MANAGERS:
        return None
    try:
        endpoints, ports = _endpoints.decode(slice_.endpoints), _slice_ports.decode(slice_.ports)
    except UNDECODABLE:
        return None
    return _offer(_Slice(slice_.address_type, endpoints, ports))


@dataclass(slots=True)
class _Fleet:
    """The Works of the service, sorted."""

    providers: set[str]
    clusters: Clusters
    works: Iterable[Work]
    left_out: Callable[[SliceRef], bool]
    is_stale: Callable[[str], bool]
    decision: Callable[[str], Decision | None]
    offers: dict[SliceRef, Offer] = field(default_factory=dict)
    sent: defaultdict[str, dict[SliceRef, Work]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        for work in self.works:
            origin = origin_of(work)
            if origin is None or work.metadata.deletion_timestamp is not None or origin.cluster not in self.providers:
                continue
            if role_of(work) is Role.DISPATCHED:
                self.sent[cluster_of(work) or ""][origin] = work
            elif (offer := offer_of(work)) is not None:
                self.offers[origin] = offer
        self.offers = dict(sorted(self.offers.items()))

    def is_ready(self, name: str) -> bool:
        cluster = self.clusters.get(name)
        return cluster is not None and cluster.is_ready

    def is_offered(self, consumer: str, origin: SliceRef) -> bool:
        """Whether the consumer is to have endpoints of the slice. As long as that is not decided, all are meant."""
        decision = self.decision(consumer)
        return decision is None or not decision.known or decision.offers(origin) != frozenset()

    def took(self, consumer: str, origin: SliceRef) -> bool:
        """Whether the consumer was sent a copy of the slice, and has taken it."""
        work = self.sent[consumer].get(origin)
        return work is not None and was_taken(work)

    def has(self, consumer: str, origin: SliceRef, port: Port | None, families: Families) -> bool:
        """Whether the consumer was sent a copy of the slice with such an endpoint, and has taken it."""
        offer = offer_of(self.sent[consumer][origin]) if self.took(consumer, origin) else None
        return offer is not None and offer.serves(port, families)


def _problem(consumer: str, asked: _Service, fleet: _Fleet, own: Iterable[Offer], families: Families) -> Problem | None:
    """What keeps the consumer from some port; None if it reaches all."""
    theirs = [*own, *(offer for origin, offer in fleet.offers.items() if origin.cluster == consumer)]
    found: list[tuple[Port | None, Problem]] = []
    for port in asked.required:
        if not any(offer.serves(port, families) for offer in theirs):
            problem = _problem_with(consumer, port, asked, fleet, families)
            found += [(port, problem)] if problem is not None else []
    if not found:
        return None
    problem = min((one for _, one in found), key=lambda one: _PRECEDENCE[one.reason])
    ports = [port for port, one in found if port is not None and one.reason is problem.reason]
    if len(ports) == len(asked.required) or problem.reason is Reason.PORT_MISMATCH:
        return problem
    return problem._replace(text=f"port {_quoted(ports)}: {problem.text}")


def _problem_with(
    consumer: str, port: Port | None, asked: _Service, fleet: _Fleet, families: Families
) -> Problem | None:
    def problem(reason: Reason, text: str, pending: Pending | None = None) -> Problem:
        return Problem(consumer, reason, text, pending)

    others = {origin: offer for origin, offer in fleet.offers.items() if origin.cluster != consumer}
    offers = {origin: offer for origin, offer in others.items() if fleet.is_offered(consumer, origin)}
    serving = [origin for origin, offer in offers.items() if offer.serves(port)]
    if serving and asked.local:
        text = "internalTrafficPolicy: Local keeps Pods from endpoints of other clusters"
        return problem(Reason.LOCAL_TRAFFIC_POLICY, text)
    of_other_family = serving
    serving = [origin for origin in serving if offers[origin].serves(port, families)]
    if of_other_family and not serving:
        other = _names(sorted({offers[origin].family for origin in of_other_family}))
        has = f"the consumer's Service has {_names(sorted(families or ()))}"
        text = f"endpoints of {_clusters(of_other_family)} have {other} addresses, {has}"
        return problem(Reason.ADDRESS_FAMILY_MISMATCH, text)
    live = [origin for origin in serving if fleet.is_ready(origin.cluster)]
    reached = [origin for origin in live if fleet.has(consumer, origin, port, families)]
    if any(not fleet.is_stale(origin.cluster) for origin in reached):
        return None
    if reached:
        return problem(Reason.STALE, f"endpoints of {_clusters(reached)} {_MAY_HAVE_CHANGED}")
    if live:
        whole = [origin for origin in live if not fleet.left_out(origin)]
        if whole or not all(fleet.took(consumer, origin) for origin in live):
            return problem(Reason.NOT_DELIVERED, *_undelivered(consumer, (whole or live)[0], fleet))
        text = f"endpoints in {_clusters(live)} have only addresses that were left out, see {wk.SLICE_DISPATCHED}"
        return problem(Reason.NO_READY_ENDPOINTS, text, Pending(f"{consumer}: {text}", None))
    if serving:
        text = f"{_clusters(serving)} is not ready, whether its endpoints still answer is not known"
        return problem(Reason.PROVIDER_NOT_READY, text)
    withheld = [origin for origin, offer in others.items() if offer.serves(port)]
    if withheld:
        text = f"no ready endpoint in its tiers; those of {_clusters(withheld)} are not offered to it, see {wk.TIERS}"
        return problem(Reason.NOT_OFFERED, text)
    held = _held(consumer, fleet)
    ready = [origin for origin, offer in fleet.offers.items() if offer.serves(None)]
    if ready and port is not None:
        there = {one for origin in ready for one in fleet.offers[origin].ports or ()}
        text = f"no EndpointSlice of {_clusters(ready)} has port {port} of the Service, they have {_quoted(there)}"
        return problem(Reason.PORT_MISMATCH, text)
    if fleet.offers:
        fqdn = any(not offer.proxied for offer in fleet.offers.values())
        odd = " (endpoints of addressType FQDN are not proxied)" if fqdn else ""
        return problem(Reason.NO_READY_ENDPOINTS, f"no ready endpoint in {_clusters(fleet.offers)}{odd}{held}")
    silent = sorted(one for one in fleet.providers if not fleet.is_ready(one) and fleet.clusters.get(one) is not None)
    if silent:
        return problem(Reason.PROVIDER_NOT_READY, f"{_names(silent)} is not ready, its EndpointSlices are not known")
    registered = sorted(one for one in fleet.providers if fleet.clusters.get(one) is not None)
    text = f"no EndpointSlice of the Service in {_names(registered)}" if registered else "no provider is registered"
    return problem(Reason.NO_ENDPOINT_SLICE, f"{text}{held}")


def _undelivered(consumer: str, origin: SliceRef, fleet: _Fleet) -> tuple[str, Pending]:
    """Why a slice with ready endpoints is not in the consumer, and that this may be over in a moment."""
    what = f"slice {origin.namespace}/{origin.name} of {origin.cluster}"
    work = fleet.sent[consumer].get(origin)
    if not fleet.is_ready(consumer):
        held = "holds an older state of it" if work is not None and _was_taken_once(work) else "has never had it"
        pending = Pending(f"{what}: the cluster is not ready and {held}", None)
    elif work is None:
        pending = Pending(f"{what}: not delivered yet", None)
    elif was_taken(work):
        pending = Pending(f"{what}: holds an older state of it", None)
    else:
        refused = refusal(work, what)
        older = " (it holds an older state)" if _was_taken_once(work) else ""
        pending = refused._replace(text=f"{refused.text}{older}")
    return pending.text, pending._replace(text=f"{consumer}: {pending.text}")


def _was_taken_once(work: Work) -> bool:
    """Whether the member has had some state of what the Work holds: its status says what became of it there."""
    return was_taken(work) or work.manifest_statuses not in (b"[]", b"null", b"")


def _held(consumer: str, fleet: _Fleet) -> str:
    """A consumer that is down keeps what it was given, whatever became of that since."""
    held = any(_was_taken_once(work) for work in fleet.sent[consumer].values())
    return ", the cluster is not ready and holds an older state" if held and not fleet.is_ready(consumer) else ""


def _notes(consumers: Sequence[str], asked: _Service, fleet: _Fleet) -> Iterable[str]:
    down = [one for one in consumers if not fleet.is_ready(one) and fleet.sent[one]]
    if down:
        yield f"{_names(down)} is not ready and holds the state that it was last given"
    known = set(asked.ports)
    for provider in sorted({origin.cluster for origin in fleet.offers}):
        theirs = {
            one for origin, offer in fleet.offers.items() if origin.cluster == provider for one in offer.ports or ()
        }
        if known and (odd := theirs - known):
            yield f"EndpointSlices of {provider} have port {_quoted(odd)}, which the Service does not have"
    if asked.headless:
        where: defaultdict[str, set[str]] = defaultdict(set)
        for origin, offer in fleet.offers.items():
            for hostname in offer.hostnames:
                where[hostname].add(origin.cluster)
        twice = sorted(hostname for hostname, there in where.items() if len(there) > 1)
        if twice:
            there = set().union(*(where[hostname] for hostname in twice))
            yield f"hostname {_names(twice)} is in {_names(sorted(there))}, its name resolves to endpoints of each"
    yield from _hints(consumers, fleet)
    yield from _selections(consumers, fleet)


def _selections(consumers: Sequence[str], fleet: _Fleet) -> Iterable[str]:
    """What people who wrote tiers do not get as they wrote it. Nothing that a hand-back changes by itself."""
    decided = {one: decision for one in consumers if (decision := fleet.decision(one)) is not None and decision.known}
    if bad := [one for one, decision in decided.items() if decision.is_short]:
        yield f"no tier of {_names(bad)} is good enough, all of its tiers are offered"
    kept = {cluster: None for decision in decided.values() for cluster in decision.last_resort}
    if kept:
        yield f"{_names(sorted(kept))} is drained, and is offered as no other cluster has a ready endpoint"
    if own := [one for one, decision in decided.items() if decision.own_is_later]:
        yield f"{_names(own)} has endpoints of its own, which answer there whatever the tiers are"


def _hints(consumers: Sequence[str], fleet: _Fleet) -> Iterable[str]:
    """Hints that name no zone of a consumer: kube-proxy ignores them then, other proxies may not."""
    for consumer in consumers:
        cluster = fleet.clusters.get(consumer)
        zones = set(cluster.spec.zones) if cluster is not None else set()
        offers = {origin: offer for origin, offer in fleet.offers.items() if offer.serves(None)}
        hinted = [offer.zones for offer in offers.values()]
        if not zones or not hinted or any(one is None or one & zones for one in hinted):
            continue
        named = sorted(set().union(*(one for one in hinted if one is not None)))
        yield (
            f"every endpoint of {_clusters(offers)} has hints for zones {_names(named)}, none of which {consumer} has "
            "(--strip-topology leaves hints out)"
        )


def _names(names: Iterable[str]) -> str:
    named = list(names)
    return ", ".join(named) if len(named) <= _NAMES else f"{', '.join(named[:_NAMES])} and others"


def _clusters(origins: Iterable[SliceRef]) -> str:
    return _names(sorted({origin.cluster for origin in origins}))


def _quoted(ports: Iterable[Port]) -> str:
    return _names(str(port) for port in sorted(ports))
