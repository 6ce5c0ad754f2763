"""The conditions and events of MultiClusterServices, from all reconcilers that work for one.

The reconcilers report to a `StatusAggregator`; one reconciler turns what they report into conditions, so those of a
service are written by one hand, in one request, and only when they differ from what the service says already. What
became of the Service and of the copies in the members is read from their Works. Events follow the conditions: one per
change, none per try, and none after a restart in which nothing changed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from informers.errors import Conflict, NotFound
from informers.meta import ObjectKey, find_condition
from mcs_controller.domain import availability, conditions
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import ConditionReport, StepResult
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.naming import binding_name
from mcs_controller.domain.service_delivery import Pending, binding_summary, plan_delivery, refusal, summary
from mcs_controller.domain.validation import faults
from mcs_controller.domain.works import Role, SliceRef, cluster_of, origin_of, role_of, service_of
from mcs_controller.reconcilers.endpoint_selection import FIRST_DECISION_SECONDS, EndpointSelection
from mcs_controller.reconcilers.registered_clusters import RegisteredClusters
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from informers.cache.cached_client import CachedClient
    from informers.cache.informer import Event
    from informers.cache.store import Store
    from mcs_controller.api.cluster import Cluster
    from mcs_controller.api.core import EndpointSlice, Service
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.domain.availability import Families, Problem
    from mcs_controller.domain.conditions import Note
    from mcs_controller.runtime.events import Recorder
    from workqueue.clock import Clock

_EVENTS = {
    wk.SERVICE_APPLIED: (wk.MCS_CONTROLLER, wk.EVENT_SYNC_SERVICE_SUCCEED, wk.EVENT_SYNC_SERVICE_FAILED),
    wk.SLICE_DISPATCHED: (wk.DISPATCH_CONTROLLER, wk.EVENT_DISPATCH_SUCCEED, wk.EVENT_DISPATCH_FAILED),
}

_UNKNOWN: Final = "its own EndpointSlices are not known"

APPLY_GRACE_SECONDS: Final = 5.0
"""How long a Work may be on its way, or fail, before it is told: the first tries often precede the namespace."""


class StatusAggregator:
    """The latest outcome of each piece of work, by service. In memory only: after a restart it fills again."""

    def __init__(self) -> None:
        self._services: dict[Request, StepResult] = {}
        self._slices: defaultdict[Request, dict[SliceRef, StepResult]] = defaultdict(dict)
        self._filed_under: dict[SliceRef, Request] = {}
        self._uncollected: defaultdict[Request, dict[SliceRef, StepResult]] = defaultdict(dict)
        self._deletion_errors: defaultdict[Request, dict[SliceRef | None, tuple[str, ...]]] = defaultdict(dict)
        self._unsaid_ends: set[Request] = set()
        self._listeners: list[Callable[[Request], None]] = []

    def subscribe(self, listener: Callable[[Request], None]) -> None:
        """Call `listener` with each service that got a report."""
        self._listeners.append(listener)

    def report_service(self, service: Request, outcome: StepResult) -> None:
        """How propagating the Service ended."""
        self._services[service] = outcome
        self._tell(service)

    def report_slice(self, origin: SliceRef, service: Request | None, outcome: StepResult) -> None:
        """How dispatching one slice ended; `service` is None if it is not dispatched (any more).

        The same as before goes unheard: it comes with each pass, and of a fleet there are many.
        """
        before = self._filed_under.get(origin)
        if service is not None and before == service and self._slices[service].get(origin) == outcome:
            return
        if before is not None and before != service:
            self._slices[before].pop(origin, None)
            self._tell(before)
        if service is None:
            self._filed_under.pop(origin, None)
            return
        self._filed_under[origin] = service
        self._slices[service][origin] = outcome
        self._tell(service)

    def report_uncollected(self, origin: SliceRef, service: Request | None, outcome: StepResult) -> None:
        """That a slice could not be collected for the service; `service` is None if it could, or need not."""
        for filed in [one for one, slices in self._uncollected.items() if origin in slices and one != service]:
            del self._uncollected[filed][origin]
            if not self._uncollected[filed]:
                del self._uncollected[filed]
            self._tell(filed)
        if service is not None:
            self._uncollected[service][origin] = outcome
            self._tell(service)

    def report_deletion_error(self, service: Request, errors: Sequence[str], origin: SliceRef | None = None) -> None:
        """That undoing a service that is being deleted has failed; `origin` says for which slice, if it was one.

        The errors stay the same from try to try.
        """
        if self._deletion_errors[service].get(origin) != tuple(errors):
            self._deletion_errors[service][origin] = tuple(errors)
            self._unsaid_ends.add(service)
            self._tell(service)

    def take_deletion_error(self, service: Request) -> str | None:
        """The latest failures to undo the service, once."""
        if service not in self._unsaid_ends:
            return None
        self._unsaid_ends.discard(service)
        errors = sorted({error for one in self._deletion_errors[service].values() for error in one})
        return f"Cannot be undone yet: {'; '.join(errors)}"

    def forget(self, service: Request) -> None:
        """The service is gone."""
        self._services.pop(service, None)
        self._deletion_errors.pop(service, None)
        self._unsaid_ends.discard(service)
        self._uncollected.pop(service, None)
        for origin in self._slices.pop(service, {}):
            self._filed_under.pop(origin, None)

    def service_outcome(self, service: Request) -> StepResult | None:
        """The latest report on the Service itself."""
        return self._services.get(service)

    def slice_outcomes(self, service: Request) -> dict[SliceRef, StepResult]:
        """The latest reports on its slices."""
        return self._slices.get(service, {})

    def uncollected(self, service: Request) -> list[StepResult]:
        """What could not be collected, by slice."""
        return [outcome for _, outcome in sorted(self._uncollected.get(service, {}).items())]

    def _tell(self, service: Request) -> None:
        for listener in self._listeners:
            listener(service)


class OwnSlices(Protocol):
    """What members have of their own, as far as they are watched (see `provider_watches`)."""

    def ensure(self, cluster: str, /) -> None:
        """Watch the cluster from now on."""
        ...

    def slices(self, cluster: str, /) -> Store[EndpointSlice] | None:
        """The cluster's slices; None as long as they are not known completely."""
        ...

    def problem(self, cluster: str, /) -> str | None:
        """Why they cannot be known."""
        ...


class ServiceStatusReconciler:
    """Writes the conditions of one MultiClusterService, if they changed, and the events that go with the change."""

    def __init__(
        self,
        *,
        aggregator: StatusAggregator,
        services: CachedClient[MultiClusterService],
        works: Store[Work],
        clusters: Store[Cluster],
        bindings: Store[ResourceBinding] | None,
        templates: Store[Service],
        own: OwnSlices | None,
        selection: EndpointSelection | None = None,
        is_silent: Callable[[str], bool] = lambda _: False,
        families: Callable[[str, Request], Families] = lambda *_: None,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        """Args are the control plane's caches, where outcomes are reported, and where what happens is told.

        Args:
            aggregator: the outcomes.
            services: all MultiClusterServices.
            works: all of them.
            clusters: all of them.
            bindings: all of them; None if somebody else makes them, and says what became of the Service.
            templates: the Services of the control plane.
            own: the slices that consumers have of their own; None if they cannot be watched from here.
            selection: what consumers are offered; None if somebody else decides it.
            is_silent: whether a cluster has not answered for so long that nothing of it is about to settle: what it
                has is stale.
            families: those that the Service has in a consumer, as far as that is known.
            recorder: for events.
            clock: for times, and for what may still be on its way.
        """
        self._aggregator = aggregator
        self._services = services
        self._works = works
        self._clusters = RegisteredClusters(clusters)
        self._bindings = bindings
        self._templates = templates
        self._own = own
        self._selection = selection
        self._is_silent = is_silent
        self._families = families
        self._watched: set[str] = set()
        self._judges = {
            wk.SERVICE_APPLIED: self._service_applied,
            wk.SLICE_DISPATCHED: self._slices_dispatched,
            wk.ENDPOINTS_AVAILABLE: self._endpoints_available,
        }
        self._recorder = recorder
        self._clock = clock
        self._reported: defaultdict[Request, dict[str, tuple[Note, ...]]] = defaultdict(dict)
        """What each condition skips: a cluster that another one skips for the same reason is told once."""
        self._pending: defaultdict[Request, dict[str, dict[str, float]]] = defaultdict(dict)
        """Since when, by the monotonic clock, a condition waits for what no object says since when it is so."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says, except that the service is gone."""
        mcs = self._services.get(request.namespace, request.name)
        if mcs is None:
            self._aggregator.forget(request)
            self._reported.pop(request, None)
            self._pending.pop(request, None)
            return Result()
        if mcs.metadata.deletion_timestamp is not None:
            # Nobody reads the conditions of what is about to go; why it does not go is told by an event.
            if (failure := self._aggregator.take_deletion_error(request)) is not None:
                recorder = self._recorder.for_component(wk.MCS_CONTROLLER)
                recorder.event(_reference(mcs), "Warning", wk.EVENT_SYNC_SERVICE_FAILED, failure)
            return Result()
        if not (mcs.is_cross_cluster or any(fault.stops for fault in faults(mcs))):
            return Result()
        now = self._clock.utcnow()
        judged: list[tuple[ConditionReport | None, float | None]] = []
        for kind, judge in self._judges.items():
            verdict, waits = judge(request, mcs, now)
            if verdict is None and waits is not None and find_condition(mcs.conditions, kind) is None:
                # What a service says first it says in one piece; what that waits for is there in a moment.
                return Result(requeue_after=waits)
            judged.append((verdict, waits))
        settling = min((waits for _, waits in judged if waits is not None), default=None)
        verdicts = [verdict for verdict, _ in judged if verdict is not None]
        wanted = [verdict.condition for verdict in verdicts]
        merged = conditions.merge(mcs.conditions, wanted, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        if merged == mcs.conditions:
            self._remember(request, verdicts)
            return Result(requeue_after=settling)
        body = {
            "metadata": {"resourceVersion": mcs.metadata.resource_version},
            "status": {"conditions": msgspec.to_builtins(merged)},
        }
        try:
            await self._services.patch(request.namespace, request.name, body, subresource="status")
        except NotFound:
            return Result()
        except Conflict:
            # The watch is about to deliver what we have not seen; the same report is then written over it.
            return Result(requeue_after=0.05)
        self._tell(mcs, verdicts, self._reported[request])
        self._remember(request, verdicts)
        return Result(requeue_after=settling)

    def _service_applied(
        self, request: Request, mcs: MultiClusterService, now: datetime
    ) -> tuple[ConditionReport | None, float | None]:
        outcome = self._aggregator.service_outcome(request)
        if outcome is None or self._bindings is None:
            return None, None
        if outcome.errors:
            return conditions.service_applied(outcome), None
        binding = self._bindings.get(ObjectKey(request.namespace, binding_name(wk.SERVICE_KIND, request.name)))
        delivery = plan_delivery(
            mcs, self._clusters, binding, lambda namespace, name: self._works.get(ObjectKey(namespace, name))
        )
        lasting, settling = self._settled(request, wk.SERVICE_APPLIED, delivery.pending, now)
        errors = (*delivery.errors, *lasting)
        if settling is not None:
            # Part of a verdict would be written, and then the whole of it, at each restart.
            return None, settling
        return conditions.service_applied(StepResult((*outcome.skips, *delivery.skips), errors)), settling

    def _slices_dispatched(
        self, request: Request, mcs: MultiClusterService, now: datetime
    ) -> tuple[ConditionReport | None, float | None]:
        works = self._works.by_index(BY_SERVICE, (request.namespace, request.name))
        collected = {
            origin
            for work in works
            if role_of(work) is Role.COLLECTED
            and work.metadata.deletion_timestamp is None
            and (origin := origin_of(work)) is not None
        }
        failed = [error for one in self._aggregator.uncollected(request) for error in one.errors]
        reported = self._aggregator.slice_outcomes(request)
        ever = bool(collected or failed) or find_condition(mcs.conditions, wk.SLICE_DISPATCHED) is not None
        # After a restart the reports come in one by one; a verdict over some of the slices could be wrong.
        if not ever or not collected <= reported.keys():
            return None, None
        refused = [failure for work in works if (failure := _refusal(work)) is not None]
        lasting, settling = self._settled(request, wk.SLICE_DISPATCHED, refused, now)
        slices = {origin: reported[origin] for origin in sorted(collected)}
        return conditions.slices_dispatched(slices, (*failed, *lasting)), settling

    def _endpoints_available(
        self, request: Request, mcs: MultiClusterService, now: datetime
    ) -> tuple[ConditionReport | None, float | None]:
        if self._bindings is None or self._aggregator.service_outcome(request) is None:
            return None, None
        if self._selection is not None and self._selection.is_awaited(mcs):
            return None, FIRST_DECISION_SECONDS
        decisions = self._selection.decisions(mcs) if self._selection is not None else None
        unlisted: list[Pending] = []
        found = availability.judge(
            mcs,
            self._templates.get(ObjectKey(request.namespace, request.name)),
            self._works.by_index(BY_SERVICE, (request.namespace, request.name)),
            self._clusters,
            lambda problem: self._own_slices(problem, request, now, unlisted),
            left_out=lambda origin: _leaves_out(self._aggregator.slice_outcomes(request).get(origin)),
            is_stale=self._is_silent if self._own is not None else lambda _: False,
            is_silent=self._is_silent,
            decision=lambda consumer: decisions.get(consumer) if decisions is not None else None,
            families=lambda consumer: self._families(consumer, request),
        )
        pending = [
            one.pending for one in found.problems if one.pending and not self._is_silent(one.consumer)
        ] + unlisted
        lasting, settling = self._settled(request, wk.ENDPOINTS_AVAILABLE, pending, now)
        problems = [
            one
            for one in found.problems
            if one.pending is None or one.pending.text in lasting or self._is_silent(one.consumer)
        ]
        if settling is not None or found.unwatched:
            return None, settling
        return ConditionReport(found.condition(problems, mcs.metadata.generation)), settling

    def _own_slices(
        self, problem: Problem, request: Request, now: datetime, unlisted: list[Pending]
    ) -> Iterable[EndpointSlice] | str | None:
        """What a consumer has of its own. It is watched from the first time on that this matters.

        What is not listed yet is added to `unlisted`; if it lasts, the problem is told without it.
        """
        consumer, pending, silent = problem.consumer, problem.pending, self._is_silent(problem.consumer)
        if pending is not None and not silent and self._settles_in(request, wk.ENDPOINTS_AVAILABLE, pending, now) > 0:
            return ()
        cluster = self._clusters.get(consumer)
        if self._own is None or cluster is None or not cluster.is_push or not cluster.is_ready:
            return _UNKNOWN
        self._own.ensure(consumer)
        self._watched.add(consumer)
        slices = self._own.slices(consumer)
        if slices is not None:
            return slices.by_index(BY_SERVICE, (request.namespace, request.name))
        if silent:
            return _UNKNOWN
        if (why := self._own.problem(consumer)) is not None:
            return why
        unlisted.append(Pending(f"{consumer}: its own EndpointSlices are being listed", None))
        return None if self._settles_in(request, wk.ENDPOINTS_AVAILABLE, unlisted[-1], now) > 0 else _UNKNOWN

    def requests_for_slice(self, cluster: str) -> Callable[[Event[EndpointSlice]], Iterable[Request]]:
        """Maps events of a consumer's own slices to the service that gains its first endpoint by it, or loses it."""

        def mapper(event: Event[EndpointSlice]) -> Iterable[Request]:
            if cluster not in self._watched:
                return ()
            old, new = (availability.own_summary(one) if one is not None else None for one in (event.old, event.new))
            if old == new:
                return ()
            found = {
                Request(one.metadata.namespace, name)
                for one in (event.old, event.new)
                if one is not None and (name := one.metadata.labels.get(wk.SERVICE_NAME))
            }
            return sorted(request for request in found if self._services.get(request.namespace, request.name))

        return mapper

    def watches_slices(self, cluster: str) -> bool:
        """Whether some service asks what the cluster has of its own."""
        return cluster in self._watched

    def _settled(
        self, request: Request, about: str, pending: Sequence[Pending], now: datetime
    ) -> tuple[tuple[str, ...], float | None]:
        """What has lasted long enough to be told, and in how many seconds the next of the rest is due."""
        monotonic = self._clock.monotonic()
        known, seen = self._pending[request].get(about, {}), {one.text for one in pending if one.since is None}
        self._pending[request][about] = {text: known.get(text, monotonic) for text in seen}
        ages = {one.text: self._settles_in(request, about, one, now) for one in pending}
        lasting = tuple(sorted(text for text, left in ages.items() if left <= 0))
        return lasting, min((left for left in ages.values() if left > 0), default=None)

    def _settles_in(self, request: Request, about: str, pending: Pending, now: datetime) -> float:
        """In how many seconds it has lasted long enough to be told."""
        if pending.since is not None:
            age = (now - pending.since).total_seconds()
        else:
            monotonic = self._clock.monotonic()
            age = monotonic - self._pending[request].get(about, {}).get(pending.text, monotonic)
        # A moment in the future comes from another clock, and is as good as any in the past.
        return APPLY_GRACE_SECONDS - age if 0 <= age < APPLY_GRACE_SECONDS else 0.0

    def _remember(self, request: Request, verdicts: Iterable[ConditionReport]) -> None:
        for verdict in verdicts:
            self._reported[request][verdict.condition.type] = verdict.notes

    def _tell(
        self, mcs: MultiClusterService, verdicts: Iterable[ConditionReport], told: Mapping[str, tuple[Note, ...]]
    ) -> None:
        reference = _reference(mcs)
        known = {note for notes in told.values() for note in notes}
        new: set[Note] = set()
        for verdict in verdicts:
            condition = verdict.condition
            before = find_condition(mcs.conditions, condition.type)
            if condition.type == wk.ENDPOINTS_AVAILABLE and not availability.is_news(before, condition):
                continue
            component, succeed, failed = _EVENTS.get(
                condition.type, (wk.STATUS_CONTROLLER, condition.reason, condition.reason)
            )
            recorder = self._recorder.for_component(component)
            for one in conditions.news(before, verdict, known, new):
                reason = one.reason or (succeed if one.ok else failed)
                recorder.event(reference, "Normal" if one.ok else "Warning", reason, one.message)
            new.update(verdict.notes)


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The service of a Work by which a condition may change: a member takes it or not, what it offers comes or goes.

    How many endpoints a slice has, above none, changes nothing.
    """
    found: set[Request] = set()
    # The content is looked into only if it is another one.
    same = event.old is not None and event.new is not None and event.old.manifests == event.new.manifests
    old, new = (_told_by(work, with_offer=not same) if work is not None else None for work in (event.old, event.new))
    if old != new:
        works = (event.old, event.new)
        found = {request for work in works if work is not None and (request := _request_of(work)) is not None}
    return sorted(found)


def requests_for_binding(event: Event[ResourceBinding]) -> Iterable[Request]:
    """The service whose Service is scheduled elsewhere, or suspended, or no more."""
    old, new = (binding_summary(one) if one is not None else None for one in (event.old, event.new))
    resource = event.object.spec.resource
    return (Request(resource.namespace, resource.name),) if old != new and resource.kind == wk.SERVICE_KIND else ()


def _is_service(work: Work) -> bool:
    return work.ref is not None and (work.ref.api_version, work.ref.kind) == ("v1", wk.SERVICE_KIND)


def _request_of(work: Work) -> Request | None:
    if work.ref is not None and _is_service(work):
        return Request(work.ref.namespace, work.ref.name)
    service = service_of(work)
    return Request(*service) if service is not None else None


def _told_by(work: Work, *, with_offer: bool) -> object:
    """What the conditions say because of the Work; None if nothing."""
    if _is_service(work):
        return summary(work)
    role = role_of(work)
    return availability.summary(work, with_offer=with_offer) if role in (Role.COLLECTED, Role.DISPATCHED) else None


def _refusal(work: Work) -> Pending | None:
    """What a dispatched Work says of having failed to apply; None if it does not."""
    applied = find_condition(work.conditions, wk.APPLIED)
    if applied is None or applied.status != "False" or work.metadata.deletion_timestamp is not None:
        return None
    origin = origin_of(work)
    if role_of(work) is not Role.DISPATCHED or origin is None:
        return None
    return refusal(work, conditions.copy_in(cluster_of(work) or "", origin))


def _leaves_out(outcome: StepResult | None) -> bool:
    return outcome is not None and any(one.left_out for one in outcome.addresses)


def _reference(mcs: MultiClusterService) -> ObjectReference:
    return ObjectReference(
        api_version=wk.MCS_API_VERSION,
        kind=wk.MCS_KIND,
        namespace=mcs.metadata.namespace,
        name=mcs.metadata.name,
        uid=mcs.metadata.uid,
    )
