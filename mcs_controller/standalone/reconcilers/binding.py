"""binding-controller: the Works of scheduled ResourceBindings (contract 4.2).

Key: the ResourceBinding. Watches, all of the control plane:

    ResourceBindings   itself                    if `content_changed`; indexed by `domain.binding.BINDING_INDEXES`
    Works              `requests_for_work`       if `work_changed`: repairs what somebody does to a Work;
                                                 indexed by `domain.binding.WORK_INDEXES`
    Services           `requests_for_template`   closes the gap between two watches, see `domain.binding.is_older`; and
                                                 nobody writes a binding that is claimed no more when its Service
                                                 changes, but it goes on carrying it
    other templates    `follow_templates`        the same, for the kinds that bindings speak of

Reads only from caches, writes only what differs: a second pass over an unchanged world writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from informers.meta import ObjectKey, key_of
from informers.patches import plan_remove_finalizer
from informers.resource import GroupVersionKind
from mcs_controller.api.common import Unstructured, decode_unstructured
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.works import CreateWork, DeleteWork, WorkTerminating
from mcs_controller.predicates import content_changed, service_changed
from mcs_controller.reconcilers.writes import Failures, apply_work, gather_writes
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.binding import (
    BY_BINDING,
    BY_BINDING_ID,
    BY_TEMPLATE,
    BY_TEMPLATE_KIND,
    SERVICE,
    binding_of,
    is_older,
    kind_of,
    plan_adopt,
    plan_bound_work,
    plan_cleanup,
    plan_works,
)
from mcs_controller.standalone.domain.execution import has_drifted
from mcs_controller.standalone.domain.work_status import was_applied
from mcs_controller.standalone.metrics import NO_PROPAGATION_METRICS, PropagationMetrics
from workqueue import LOW, at_priority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.core import Service
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.api.work import Work
    from mcs_controller.key_mutex import KeyMutex
    from mcs_controller.runtime.events import Recorder
    from mcs_controller.standalone.templates import TemplateInformers
    from workqueue.clock import Clock

_LOOK_AGAIN_SECONDS: Final = 5.0
"""While templates cannot be listed: that is tried again and again, and only success is announced."""

_USER: Final = "binding"


class _Ensured(NamedTuple):
    """The result of writing a binding's Works.

    Attributes:
        problem: what has to change before this can go on; empty if nothing does.
        placed: whether a cluster got its Work just now. That the Work of one is written again is no news: people
            hear of a Service that is brought somewhere, not of each change of it.
        unknown: whether the template is not known yet.
    """

    problem: str = ""
    placed: bool = False
    unknown: bool = False


class BindingReconciler:
    """Keeps one Work per target cluster of a ResourceBinding, and none elsewhere."""

    def __init__(
        self,
        *,
        bindings: CachedClient[ResourceBinding],
        works: CachedClient[Work],
        services: Store[Service],
        templates: TemplateInformers,
        recorder: Recorder,
        new_id: Callable[[], str],
        clock: Clock,
        binding_locks: KeyMutex[Request],
        metrics: PropagationMetrics = NO_PROPAGATION_METRICS,
    ) -> None:
        """`services` and `templates` have what bindings speak of; the latter are told which kinds that is.

        `new_id` makes permanent ids for objects that no webhook gave one; `binding_locks` guard writes to a binding.
        """
        self._bindings = bindings
        self._works = works
        self._services = services
        self._templates = templates
        self._recorder = recorder.for_component(wk.BINDING_CONTROLLER)
        self._new_id = new_id
        self._clock = clock
        self._binding_locks = binding_locks
        self._metrics = metrics
        self._failing: dict[Request, str] = {}
        """What was last reported about bindings that could not be synced, so that it is reported once."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says."""
        kinds = self._bindings.store.index_values(BY_TEMPLATE_KIND)
        self._templates.want(_USER, (kind for kind in kinds if isinstance(kind, GroupVersionKind)))
        binding = self._bindings.get(request.namespace, request.name)
        if binding is None:
            self._failing.pop(request, None)
            return Result()
        if binding.metadata.deletion_timestamp is not None:
            await self._withdraw(binding)
            return Result()
        started = self._clock.monotonic()
        ok = False
        try:
            result = await self._sync(request)
            ok = True
        finally:
            self._metrics.binding_synced(self._clock.monotonic() - started, ok=ok)
        return result

    async def _sync(self, request: Request) -> Result:
        async with self._binding_locks.hold(request):
            binding = self._bindings.get(request.namespace, request.name)
            if binding is None or binding.metadata.deletion_timestamp is not None:
                return Result()  # it is news that leads back here
            if (adopt := plan_adopt(binding, self._new_id)) is not None:
                binding = await self._bindings.patch(request.namespace, request.name, adopt)
        deletes = plan_cleanup(binding, works_of(binding, self._works.store))
        failures = Failures()
        await gather_writes(((_name(one), apply_work(self._works, one)) for one in deletes), failures)
        if failures.reportable:
            self._report(request, binding, wk.EVENT_CLEANUP_WORK_FAILED, "; ".join(failures.reportable))
        ensured = await self._ensure(binding, failures)
        texts = (*failures.reportable, *((ensured.problem,) if ensured.problem else ()))
        if texts:
            self._report(request, binding, wk.EVENT_SYNC_WORK_FAILED, "; ".join(texts))
        failures.raise_if_any()
        if not texts and not ensured.unknown and (ensured.placed or request in self._failing):
            self._succeeded(request, binding)
        return Result(requeue_after=_LOOK_AGAIN_SECONDS if ensured.unknown else None)

    async def _ensure(self, binding: ResourceBinding, failures: Failures) -> _Ensured:
        """Bring the Works into the target clusters."""
        kind, resource = kind_of(binding), binding.spec.resource
        if kind == SERVICE:
            service = self._services.get(ObjectKey(resource.namespace, resource.name))
            template = decode_unstructured(service.raw) if service is not None else None
        elif (objects := self._templates.get(kind)) is not None:
            template = objects.get(resource.namespace, resource.name)
        else:
            return _Ensured(self._templates.problem(kind) or "", unknown=True)
        if template is None or is_older(template, binding):
            return _Ensured()
        writes: list[tuple[str, Awaitable[object]]] = []
        placed = False
        waiting: list[str] = []
        for intent in plan_works(binding, template):
            try:
                write = plan_bound_work(intent, self._works.get(intent.namespace, intent.name), self._new_id)
            except WorkTerminating as error:
                waiting.append(str(error))  # its deletion is an event that leads back here
                continue
            if write is not None:
                writes.append((f"Work {intent.namespace}/{intent.name}", apply_work(self._works, write)))
                placed |= isinstance(write, CreateWork)
        await gather_writes(writes, failures)
        return _Ensured("; ".join(waiting), placed)

    async def _withdraw(self, binding: ResourceBinding) -> None:
        """Delete all Works of a binding that is being deleted, then let it go."""
        request = Request(binding.metadata.namespace, binding.metadata.name)
        failures = Failures()
        deletes = plan_cleanup(binding, works_of(binding, self._works.store))
        await gather_writes(((_name(one), apply_work(self._works, one)) for one in deletes), failures)
        if failures.reportable:
            self._report(request, binding, wk.EVENT_CLEANUP_WORK_FAILED, "; ".join(failures.reportable))
        failures.raise_if_any()
        async with self._binding_locks.hold(request):
            left = self._bindings.get(request.namespace, request.name)
            if left is None or left.metadata.uid != binding.metadata.uid:
                return
            if (release := plan_remove_finalizer(left, wk.BINDING_FINALIZER)) is not None:
                await self._bindings.patch(request.namespace, request.name, release)

    def _report(self, request: Request, binding: ResourceBinding, reason: str, text: str) -> None:
        if self._failing.get(request) == text:
            return
        self._failing[request] = text
        message = f"Failed to sync work of ResourceBinding({request}): {text}"
        self._recorder.event(binding_reference(binding), "Warning", reason, message)
        if reason == wk.EVENT_SYNC_WORK_FAILED:
            self._recorder.event(template_reference(binding), "Warning", reason, message)

    def _succeeded(self, request: Request, binding: ResourceBinding) -> None:
        self._failing.pop(request, None)
        message = f"Sync work of ResourceBinding({request}) successful."
        for reference in (binding_reference(binding), template_reference(binding)):
            self._recorder.event(reference, "Normal", wk.EVENT_SYNC_WORK_SUCCEED, message)

    def requests_for_template(self, event: Event[Service]) -> Iterable[Request]:
        """Bindings whose Service was changed, or that could not be acted on before this state of it arrived."""
        return self._requests_about(SERVICE, event, changed=service_changed(event))

    def requests_for_object(self, kind: GroupVersionKind, event: Event[Unstructured]) -> Iterable[Request]:
        """The same, for a template of any kind."""
        old, new = event.old, event.new
        return self._requests_about(kind, event, changed=old is None or new is None or has_drifted(old, new))

    def _requests_about(
        self, kind: GroupVersionKind, event: Event[Service] | Event[Unstructured], *, changed: bool
    ) -> Iterable[Request]:
        new, old = event.new, event.old
        if new is None:
            return ()
        meta = new.metadata
        found = self._bindings.store.by_index(BY_TEMPLATE, (*kind, meta.namespace, meta.name))
        return [
            Request(binding.metadata.namespace, binding.metadata.name)
            for binding in found
            if changed or old is None or is_older(Unstructured(metadata=old.metadata, content={}), binding)
        ]

    def requests_for_kind(self, kind: GroupVersionKind) -> Iterable[Request]:
        """Bindings of a kind of which more is known now."""
        return [Request(*key) for key in sorted(self._bindings.store.index_keys(BY_TEMPLATE_KIND, kind))]


def follow_templates(
    templates: TemplateInformers, reconciler: BindingReconciler, enqueue: Callable[[Request], None]
) -> None:
    """Enqueue what templates other than Services, and kinds that come within reach, ask to be looked at."""

    def changed(kind: GroupVersionKind, event: Event[Unstructured]) -> None:
        if kind != SERVICE:
            for request in reconciler.requests_for_object(kind, event):
                enqueue(request)

    def available(kind: GroupVersionKind) -> None:
        with at_priority(LOW):
            for request in reconciler.requests_for_kind(kind):
                enqueue(request)

    templates.subscribe(changed=changed, available=available)


def works_of(binding: ResourceBinding, works: Store[Work]) -> list[Work]:
    """The binding's Works: by its id, and by its name for those made under an id that somebody wiped off since."""
    meta = binding.metadata
    found = {key_of(work): work for work in works.by_index(BY_BINDING, (meta.namespace, meta.name))}
    if permanent_id := meta.labels.get(wk.BINDING_PERMANENT_ID):
        found |= {key_of(work): work for work in works.by_index(BY_BINDING_ID, permanent_id)}
    return [found[key] for key in sorted(found)]


def binding_reference(binding: ResourceBinding) -> ObjectReference:
    """The binding, as the subject of an event."""
    meta = binding.metadata
    return ObjectReference(
        api_version=wk.BINDING_API_VERSION,
        kind=wk.BINDING_KIND,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )


def template_reference(binding: ResourceBinding) -> ObjectReference:
    """What the binding speaks of, as the subject of an event."""
    resource = binding.spec.resource
    return ObjectReference(
        api_version=resource.api_version,
        kind=resource.kind,
        namespace=resource.namespace,
        name=resource.name,
        uid=resource.uid,
    )


def requests_for_work(event: Event[Work]) -> Iterable[Request]:
    """The ResourceBinding that the Work was made from, by what it says now and said before."""
    bindings = {binding_of(work) for work in (event.old, event.new) if work is not None}
    return [Request(*binding) for binding in sorted(one for one in bindings if one is not None)]


def work_changed(event: Event[Work]) -> bool:
    """Whether the Work is gone, more than its status changed, or its member does not take it any more.

    New ones are our own. What a member does not take may be what older versions put into the Work.
    """
    old, new = event.old, event.new
    if old is None:
        return False
    return content_changed(event) or (new is not None and was_applied(old) and not was_applied(new))


def _name(write: DeleteWork) -> str:
    return f"Work {write.namespace}/{write.name}"
