"""The conditions and events of MultiClusterServices, from all reconcilers that work for one.

The reconcilers report outcomes to a `StatusBoard`; one reconciler turns them into conditions, so the two conditions of
a service are written by one hand, in one request, and only when they differ from what the service says already. What
became of the copies in the consumers is read from their Works. Events follow the conditions: one per change, none per
try, and none after a restart in which nothing changed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from informers.errors import Conflict, NotFound
from mcs_controller.api.common import find_condition, parse_time
from mcs_controller.domain import conditions
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.indexes import BY_SERVICE
from mcs_controller.domain.validation import faults
from mcs_controller.domain.works import Role, SliceRef, cluster_of, origin_of, role_of, service_of
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from informers.cached import CachedResource
    from informers.informer import Event
    from informers.store import Store
    from mcs_controller.api.multiclusterservice import MultiClusterService
    from mcs_controller.api.work import Work
    from mcs_controller.domain.conditions import Outcome, Remark, Verdict
    from mcs_controller.runtime.events import Recorder
    from workqueue.clock import Clock

_EVENTS = {
    wk.SERVICE_APPLIED: (wk.MCS_CONTROLLER, wk.EVENT_SYNC_SERVICE_SUCCEED, wk.EVENT_SYNC_SERVICE_FAILED),
    wk.SLICE_DISPATCHED: (wk.DISPATCH_CONTROLLER, wk.EVENT_DISPATCH_SUCCEED, wk.EVENT_DISPATCH_FAILED),
}

SETTLING_SECONDS: Final = 5.0
"""How long a copy may fail to apply before it is told: the first tries often precede the namespace they need."""


class StatusBoard:
    """The latest outcome of each piece of work, by service. In memory only: after a restart it fills again."""

    def __init__(self) -> None:
        self._services: dict[Request, Outcome] = {}
        self._slices: defaultdict[Request, dict[SliceRef, Outcome]] = defaultdict(dict)
        self._filed_under: dict[SliceRef, Request] = {}
        self._uncollected: defaultdict[Request, dict[SliceRef, Outcome]] = defaultdict(dict)
        self._ends: dict[Request, str] = {}
        self._unsaid_ends: set[Request] = set()
        self._listeners: list[Callable[[Request], None]] = []

    def subscribe(self, listener: Callable[[Request], None]) -> None:
        """Call `listener` with each service that got a report."""
        self._listeners.append(listener)

    def report_service(self, service: Request, outcome: Outcome) -> None:
        """How propagating the Service ended."""
        self._services[service] = outcome
        self._tell(service)

    def report_slice(self, origin: SliceRef, service: Request | None, outcome: Outcome) -> None:
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

    def report_uncollected(self, origin: SliceRef, service: Request | None, outcome: Outcome) -> None:
        """That a slice could not be collected for the service; `service` is None if it could, or need not."""
        for filed in [one for one, slices in self._uncollected.items() if origin in slices and one != service]:
            del self._uncollected[filed][origin]
            if not self._uncollected[filed]:
                del self._uncollected[filed]
            self._tell(filed)
        if service is not None:
            self._uncollected[service][origin] = outcome
            self._tell(service)

    def report_end(self, service: Request, error: str) -> None:
        """That undoing a service that is being deleted has failed, in words that stay the same from try to try."""
        if self._ends.get(service) != error:
            self._ends[service] = error
            self._unsaid_ends.add(service)
            self._tell(service)

    def take_end(self, service: Request) -> str | None:
        """The latest failure to undo the service, once."""
        if service not in self._unsaid_ends:
            return None
        self._unsaid_ends.discard(service)
        return self._ends[service]

    def forget(self, service: Request) -> None:
        """The service is gone."""
        self._services.pop(service, None)
        self._ends.pop(service, None)
        self._unsaid_ends.discard(service)
        self._uncollected.pop(service, None)
        for origin in self._slices.pop(service, {}):
            self._filed_under.pop(origin, None)

    def service_outcome(self, service: Request) -> Outcome | None:
        """The latest report on the Service itself."""
        return self._services.get(service)

    def slice_outcomes(self, service: Request) -> dict[SliceRef, Outcome]:
        """The latest reports on its slices."""
        return self._slices.get(service, {})

    def uncollected(self, service: Request) -> list[Outcome]:
        """What could not be collected, by slice."""
        return [outcome for _, outcome in sorted(self._uncollected.get(service, {}).items())]

    def _tell(self, service: Request) -> None:
        for listener in self._listeners:
            listener(service)


class ServiceStatusReconciler:
    """Writes the conditions of one MultiClusterService, if they changed, and the events that go with the change."""

    def __init__(
        self,
        *,
        board: StatusBoard,
        services: CachedResource[MultiClusterService],
        works: Store[Work],
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._board = board
        self._services = services
        self._works = works
        self._recorder = recorder
        self._clock = clock
        self._told: defaultdict[Request, dict[str, tuple[Remark, ...]]] = defaultdict(dict)
        """What each condition skips: a cluster that another one skips for the same reason is told once."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says, except that the service is gone."""
        mcs = self._services.get(request.namespace, request.name)
        if mcs is None:
            self._board.forget(request)
            self._told.pop(request, None)
            return Result()
        if mcs.metadata.deletion_timestamp is not None:
            # Nobody reads the conditions of what is about to go; why it does not go is told by an event.
            if (failure := self._board.take_end(request)) is not None:
                recorder = self._recorder.for_component(wk.MCS_CONTROLLER)
                recorder.event(_reference(mcs), "Warning", wk.EVENT_SYNC_SERVICE_FAILED, failure)
            return Result()
        if not (mcs.is_cross_cluster or any(fault.stops for fault in faults(mcs))):
            return Result()
        now = self._clock.utcnow()
        failing, settling = self._failing(request, now)
        verdicts = self._verdicts(request, mcs, failing)
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
        self._tell(mcs, verdicts, self._told[request])
        self._remember(request, verdicts)
        return Result(requeue_after=settling)

    def _verdicts(self, request: Request, mcs: MultiClusterService, failing: tuple[str, ...]) -> list[Verdict]:
        outcome = self._board.service_outcome(request)
        collected = {
            origin
            for work in self._works.by_index(BY_SERVICE, (request.namespace, request.name))
            if role_of(work) is Role.COLLECTED
            and work.metadata.deletion_timestamp is None
            and (origin := origin_of(work)) is not None
        }
        failed = [error for one in self._board.uncollected(request) for error in one.errors]
        verdicts = [conditions.service_applied(outcome)] if outcome is not None else []
        ever = bool(collected or failed) or find_condition(mcs.conditions, wk.SLICE_DISPATCHED) is not None
        reported = self._board.slice_outcomes(request)
        # After a restart the reports come in one by one; a verdict over some of the slices could be wrong.
        if ever and collected <= reported.keys():
            slices = {origin: reported[origin] for origin in sorted(collected)}
            verdicts.append(conditions.slices_dispatched(slices, (*failed, *failing)))
        return verdicts

    def _failing(self, request: Request, now: datetime) -> tuple[tuple[str, ...], float | None]:
        """What failed to apply in consumers, and in how many seconds what fails just now is due to be told."""
        failing: list[str] = []
        settling: list[float] = []
        for work in self._works.by_index(BY_SERVICE, (request.namespace, request.name)):
            failure = _failure(work)
            if failure is None:
                continue
            age = (now - failure.since).total_seconds() if failure.since is not None else SETTLING_SECONDS
            # A moment in the future comes from another clock, and is as good as any in the past.
            if 0 <= age < SETTLING_SECONDS:
                settling.append(SETTLING_SECONDS - age)
            else:
                failing.append(failure.text)
        return tuple(sorted(failing)), min(settling, default=None)

    def _remember(self, request: Request, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self._told[request][verdict.condition.type] = verdict.remarks

    def _tell(
        self, mcs: MultiClusterService, verdicts: Iterable[Verdict], told: Mapping[str, tuple[Remark, ...]]
    ) -> None:
        reference = _reference(mcs)
        known = {remark for remarks in told.values() for remark in remarks}
        new: set[Remark] = set()
        for verdict in verdicts:
            component, succeed, failed = _EVENTS[verdict.condition.type]
            recorder = self._recorder.for_component(component)
            for one in conditions.news(find_condition(mcs.conditions, verdict.condition.type), verdict, known, new):
                reason = one.reason or (succeed if one.ok else failed)
                recorder.event(reference, "Normal" if one.ok else "Warning", reason, one.message)
            new.update(verdict.remarks)


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The service of a copy that begins or ceases to fail in its consumer, or fails for another reason."""
    old = _failure(event.old) if event.old is not None else None
    new = _failure(event.new) if event.new is not None else None
    if (old and old.text) == (new and new.text):
        return ()
    works = (event.old, event.new)
    return sorted({Request(*service) for work in works if work is not None and (service := service_of(work))})


class _Failure(NamedTuple):
    text: str
    since: datetime | None


def _failure(work: Work) -> _Failure | None:
    """What a dispatched Work says of having failed to apply; None if it does not."""
    applied = find_condition(work.conditions, wk.APPLIED)
    if applied is None or applied.status != "False" or work.metadata.deletion_timestamp is not None:
        return None
    origin = origin_of(work)
    if role_of(work) is not Role.DISPATCHED or origin is None:
        return None
    text = f"{conditions.copy_in(cluster_of(work) or '', origin)}: {applied.message}"
    if f'namespaces "{origin.namespace}" not found' in applied.message:
        text += " (create the namespace there)"
    text += ", retrying"
    return _Failure(text, parse_time(applied.last_transition_time))


def _reference(mcs: MultiClusterService) -> ObjectReference:
    return ObjectReference(
        api_version=wk.MCS_API_VERSION,
        kind=wk.MCS_KIND,
        namespace=mcs.metadata.namespace,
        name=mcs.metadata.name,
        uid=mcs.metadata.uid,
    )
