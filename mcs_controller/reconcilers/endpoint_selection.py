"""endpoint-selection: which providers' endpoints each consumer of a service with tiers is offered.

Key: the service. Writes nothing: what is decided is kept here, and slices whose copies are to change are given to
their one writer, whose `SliceDispatch` asks for the decision. Watches MultiClusterServices, Namespaces, Works, Clusters
and slices of the consumers themselves. A service without tiers costs a look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from informers.meta import ObjectKey, key_of
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.dispatch import endpoints_to_dispatch
from mcs_controller.domain.endpoint_selection import (
    UNDECIDED,
    ConsumerView,
    Counts,
    Decided,
    decide,
    endpoints_in,
    endpoints_of_slice,
)
from mcs_controller.domain.indexes import BY_CLUSTER, BY_DRAIN, BY_NAMESPACE, BY_SERVICE, EVERY_CLUSTER
from mcs_controller.domain.selection import consumers_of, providers_of, selects_cluster, skip_reason
from mcs_controller.domain.service_delivery import was_taken
from mcs_controller.domain.tiers import rules_for, tiers_of
from mcs_controller.domain.withdrawal import withdrawal_due, withdrawal_period
from mcs_controller.domain.works import Role, cluster_of, origin_of, role_of, service_of
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.runtime.reconcile import ClusterRequest, Request, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import EndpointSlice, Namespace, Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.dispatch import DispatchPolicy
    from mcs_controller.domain.endpoint_selection import Decision, Endpoint
    from mcs_controller.domain.tiers import RulesFound
    from mcs_controller.domain.works import SliceRef
    from mcs_controller.members.provider_informers import ProviderInformers
    from workqueue.clock import Clock

FIRST_DECISION_SECONDS: Final = 0.25
"""From a service's first news to its first decision. Its providers' slices come within some milliseconds of each other;
whoever came first would serve until the hand-back."""

TAKEN_SECONDS: Final = 5.0
"""A condition Applied that is True may be older than what the Work holds. After so long it would be False by now."""

_NONE: Final = Counts()


class EndpointSelection:
    """The rules and the decisions of all services. Not thread-safe."""

    def __init__(
        self,
        *,
        services: Store[MultiClusterService],
        works: Store[Work],
        clusters: Store[Cluster],
        namespaces: Store[Namespace],
        own: ProviderInformers | None,
        templates: Store[Service],
        flags: Mapping[str, str],
        policy: DispatchPolicy,
        enqueue_slice: Callable[[ClusterRequest], None],
        clock: Clock,
    ) -> None:
        """Args.

        Args:
            services: all MultiClusterServices.
            works: all Works.
            clusters: all Clusters, indexed by `BY_DRAIN`.
            namespaces: of the control plane, for defaults.
            own: slices of members, for those of consumers; None where nothing is collected.
            templates: Services of the control plane.
            flags: values of annotations, for services that do not say them.
            policy: what of a slice may be dispatched, and until when.
            enqueue_slice: has a slice looked at again.
            clock: for periods.
        """
        self._services = services
        self._works = works
        self._cluster_store = clusters
        self._clusters = RegisteredClusters(clusters)
        self._namespaces = namespaces
        self._own = own
        self._flags = flags
        self._templates = templates
        self._policy = policy
        self._enqueue_slice = enqueue_slice
        self._clock = clock
        self._decided: dict[Request, dict[str, Decided]] = {}
        self._read: dict[Request, dict[SliceRef, tuple[object, tuple[Endpoint, ...]]]] = {}
        """Endpoints that were read before, with what they were read from: most are the same the next time."""
        self._copied: dict[Request, dict[ObjectKey, tuple[object, float]]] = {}
        """What each dispatched Work holds, and since when, as far as this process knows."""
        self._begun: dict[Request, float] = {}
        self._listeners: list[Callable[[Request], None]] = []

    def subscribe(self, listener: Callable[[Request], None]) -> None:
        """Call `listener` with each service of which another decision was made."""
        self._listeners.append(listener)

    def rules(self, mcs: MultiClusterService) -> RulesFound:
        """What was written for the service."""
        namespace = self._namespaces.get(ObjectKey("", mcs.metadata.namespace))
        said = namespace.metadata.annotations if namespace is not None else {}
        draining = any(selects_cluster(one.name, mcs.providers) for one in self._cluster_store.by_index(BY_DRAIN, True))
        return rules_for(mcs.metadata.annotations, said, self._flags, draining=draining)

    def decisions(self, mcs: MultiClusterService) -> Mapping[str, Decision] | None:
        """What the consumers of the service are offered; None without rules: everything.

        Empty until the first decision. For a consumer that is missing nothing is decided yet.
        """
        found = self.rules(mcs)
        if found.rules is None and not found.invalid:
            return None
        return {consumer: one.decision for consumer, one in self._decided.get(_key(mcs), {}).items()}

    def is_awaited(self, mcs: MultiClusterService) -> bool:
        """Whether the first decision for the service is still to come."""
        return self.decisions(mcs) == {} and _key(mcs) not in self._decided

    async def reconcile(self, request: Request) -> Result:
        """Decide anew, and have the copies written that differ by it."""
        mcs = self._services.get(ObjectKey(*request))
        found = self.rules(mcs) if mcs is not None and mcs.metadata.deletion_timestamp is None else None
        if mcs is None or found is None or (found.rules is None and not found.invalid):
            self._begun.pop(request, None)
            self._read.pop(request, None)
            self._copied.pop(request, None)
            if self._decided.pop(request, None) is not None:
                self._tell(request, self._origins(request))
            return Result()
        now = self._clock.monotonic()
        if (
            request not in self._decided
            and (rest := self._begun.setdefault(request, now) - now) > -FIRST_DECISION_SECONDS
        ):
            return Result(requeue_after=FIRST_DECISION_SECONDS + rest)
        self._begun.pop(request, None)
        before = self._decided.get(request, {})
        after = self._decide(mcs, found, before, now)
        self._decided[request] = after
        changed = {
            consumer: (before[consumer].decision if consumer in before else UNDECIDED, decided.decision)
            for consumer, decided in after.items()
            if consumer not in before or before[consumer].decision != decided.decision
        }
        if changed:
            origins = self._origins(request)
            self._tell(
                request,
                (origin for origin in origins if any(new.differs(old, origin) for old, new in changed.values())),
            )
        return Result(
            requeue_after=min((one.look_again for one in after.values() if one.look_again is not None), default=None)
        )

    def _decide(
        self, mcs: MultiClusterService, found: RulesFound, before: Mapping[str, Decided], now: float
    ) -> dict[str, Decided]:
        consumers = consumers_of(mcs, self._clusters)
        if found.rules is None or found.invalid:
            return {consumer: before.get(consumer, Decided(UNDECIDED, None)) for consumer in consumers}
        source, held, withdrawn_in = self._endpoints(mcs)
        providers = providers_of(mcs, self._clusters)
        decided: dict[str, Decided] = {}
        for consumer in consumers:
            tiers = tiers_of(found.rules, consumer, providers, self._clusters)
            theirs = held.get(consumer, {})
            view = ConsumerView(
                name=consumer,
                tiers=tiers,
                source=source,
                own=self._own_counts(mcs, consumer, providers, source),
                held={origin: addresses for origin, (addresses, _) in theirs.items()},
                delivered=frozenset(origin for origin, (_, taken) in theirs.items() if taken),
                takes_writes=skip_reason(consumer, self._clusters) is None,
            )
            one = decide(found.rules, view, before.get(consumer), now)
            waits = [each for each in (one.look_again, withdrawn_in) if each is not None]
            decided[consumer] = one._replace(look_again=min(waits, default=None))
        return decided

    def _endpoints(
        self, mcs: MultiClusterService
    ) -> tuple[tuple[Endpoint, ...], Mapping[str, Mapping[SliceRef, tuple[frozenset[str], bool]]], float | None]:
        """What providers have, and what each consumer holds: (ready addresses, whether it took them).

        And in how many seconds the next provider's are withdrawn.
        """
        period, _ = withdrawal_period(mcs, self._policy.withdraw_after)
        template = self._templates.get(ObjectKey(*_key(mcs)))
        read = self._read.get(_key(mcs), {})
        self._read[_key(mcs)] = kept = {}
        copied, now = self._copied.get(_key(mcs), {}), self._clock.monotonic()
        self._copied[_key(mcs)] = copies = {}
        utcnow = self._clock.utcnow()
        source: list[Endpoint] = []
        dues: list[float] = []
        held: dict[str, dict[SliceRef, tuple[frozenset[str], bool]]] = {}
        for work in self._filed(_key(mcs)):
            origin, role = origin_of(work), role_of(work)
            if origin is None or work.metadata.deletion_timestamp is not None:
                continue
            if role is Role.COLLECTED:
                made_of = (work.manifests, mcs.ports, template.spec if mcs.ports and template is not None else b"")
                before, endpoints = read.get(origin, (None, ()))
                if before != made_of:
                    endpoints = endpoints_to_dispatch(work, origin, mcs, template, self._policy)
                kept[origin] = (made_of, endpoints)
                due = withdrawal_due(self._clusters.get(origin.cluster), period, utcnow)
                source += endpoints if due is None or due > 0 else ()
                dues += [due] if due is not None and due > 0 else []
            elif role is Role.DISPATCHED:
                addresses = frozenset(one.address for one in endpoints_in(work, origin) if one.ready)
                content, since = copied.get(key_of(work), (None, now))
                since = since if content == work.manifests else now
                copies[key_of(work)] = work.manifests, since
                taken = was_taken(work) and now - since >= TAKEN_SECONDS
                held.setdefault(cluster_of(work) or "", {})[origin] = addresses, taken
        return tuple(source), held, min(dues, default=None)

    def _own_counts(
        self, mcs: MultiClusterService, consumer: str, providers: Sequence[str], source: Iterable[Endpoint]
    ) -> Counts | None:
        """What the consumer has itself; None if that will be known in a moment."""
        if consumer in providers:
            return _count(one for one in source if one.origin.cluster == consumer)
        cluster = self._clusters.get(consumer)
        if self._own is None or cluster is None or not cluster.is_push:
            return _NONE  # an agent's member tells only what it provides
        self._own.ensure(consumer)
        slices = self._own.slices(consumer)
        if slices is None:
            # One that is not ready will be asked again. What was known of it before counts until then.
            return _NONE if cluster.is_ready and self._own.problem(consumer) is not None else None
        found = slices.by_index(BY_SERVICE, _key(mcs))
        return _count(one for each in found for one in endpoints_of_slice(each, consumer))

    def _filed(self, request: Request) -> Sequence[Work]:
        return self._works.by_index(BY_SERVICE, (request.namespace, request.name))

    def _origins(self, request: Request) -> list[SliceRef]:
        found = {
            origin
            for work in self._filed(request)
            if role_of(work) is Role.COLLECTED and (origin := origin_of(work)) is not None
        }
        return sorted(found)

    def _tell(self, request: Request, origins: Iterable[SliceRef]) -> None:
        for origin in origins:
            self._enqueue_slice(ClusterRequest(*origin))
        for listener in self._listeners:
            listener(request)

    # --- what to look at when something changes -----------------------------------------------------------------------

    def requests_for_work(self, event: Event[Work]) -> Iterable[Request]:
        """The service with rules of which a provider's slice changed."""
        works = (work for work in (event.old, event.new) if work is not None and role_of(work) is Role.COLLECTED)
        found = {Request(*service) for work in works if (service := service_of(work)) is not None}
        return sorted(request for request in found if request in self._decided)

    def requests_for_template(self, event: Event[Service]) -> Iterable[Request]:
        """The service with rules of that name, if it lists ports: by the Service their numbers are understood."""
        mcs = self._services.get(event.key)
        return (_key(mcs),) if mcs is not None and mcs.ports and _key(mcs) in self._decided else ()

    def requests_for_cluster(self, event: Event[Cluster]) -> Iterable[Request]:
        """See `requests_in`: it may be drained from now on, or be in another tier."""
        return self.requests_in(event.object.name)

    def requests_in(self, cluster: str) -> list[Request]:
        """The services that name the cluster, or mean all."""
        found = {_key(mcs) for name in (cluster, EVERY_CLUSTER) for mcs in self._services.by_index(BY_CLUSTER, name)}
        return sorted(found)

    def requests_for_namespace(self, event: Event[Namespace]) -> Iterable[Request]:
        """All services of the namespace."""
        name = event.object.metadata.name
        return [_key(mcs) for mcs in self._services.by_index(BY_NAMESPACE, name)]

    def requests_for_slice(self, cluster: str) -> Callable[[Event[EndpointSlice]], Iterable[Request]]:
        """Maps events of a consumer's own slices to the service with rules that they are of."""

        def mapper(event: Event[EndpointSlice]) -> Iterable[Request]:
            found = {
                Request(one.metadata.namespace, name)
                for one in (event.old, event.new)
                if one is not None and (name := one.metadata.labels.get(wk.SERVICE_NAME))
            }
            return sorted(request for request in found if cluster in self._decided.get(request, ()))

        return mapper


def _key(mcs: MultiClusterService) -> Request:
    return Request(mcs.metadata.namespace, mcs.metadata.name)


def _count(endpoints: Iterable[Endpoint]) -> Counts:
    ready = [one.ready for one in endpoints]
    return Counts(sum(ready), len(ready))
