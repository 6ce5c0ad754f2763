"""PropagationPolicies at work: templates claimed and bound (Karmada's resource detector; key `policy`).

Two controllers. `resource-detector` decides about one template, `propagation-policy-controller` looks after one policy
and tells the first one what to look at. Watches, all of the control plane:

    PropagationPolicies   itself                  if `content_changed`; indexed by `domain.policy_claims.POLICY_INDEXES`
    ResourceBindings      `requests_for_binding`  if `content_changed`: repairs what somebody does to a binding;
                                                  indexed by `domain.policy_claims.BINDING_INDEXES`
    templates             `follow_templates` joins them to both queues, for the kinds that policies select or have
                          claimed; any other kind is not watched

Reads only from caches, writes only what differs: a second pass over an unchanged world writes nothing.

A policy's finalizer (Karmada's own) stays until no template and no binding has its marks. What the policy brought into
the clusters stays there when it goes, see `domain.policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from informers.errors import AlreadyExists, Conflict, KubeError, NotFound
from informers.meta import ObjectKey
from informers.patches import plan_remove_finalizer
from informers.resource import GroupVersionKind
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import ForeignController
from mcs_controller.domain.naming import binding_name
from mcs_controller.domain.works import WorkTerminating
from mcs_controller.runtime.events import ObjectReference
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.execution import has_drifted
from mcs_controller.standalone.domain.policy import is_for, plan_adopt, plan_binding, plan_claim, plan_unclaim
from mcs_controller.standalone.domain.policy_claims import (
    BY_CLAIM,
    BY_KIND,
    BY_NAMESPACE,
    ApplyPolicy,
    ClaimDecision,
    claimed_by,
    decide,
    selecting,
)
from mcs_controller.standalone.domain.policy_spec import PolicyLimits, PolicySpec, UnsupportedPolicy, is_distributed
from workqueue.priority import LOW, current_priority

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

    from informers.cache.cached_client import CachedClient
    from informers.cache.event import Event
    from informers.cache.store import Store
    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.policy import PropagationPolicy
    from mcs_controller.api.resourcebinding import ResourceBinding
    from mcs_controller.key_mutex import KeyMutex
    from mcs_controller.runtime.events import EventType, Recorder
    from mcs_controller.standalone.templates import TemplateInformers

_LOOK_AGAIN_SECONDS: Final = 5.0
"""While templates cannot be listed: that is tried again and again, and only success is announced."""

_OVERTAKEN: Final = (AlreadyExists, Conflict, NotFound)
"""Somebody else was faster, and their change leads back here: nothing that people need to hear of."""

_USER: Final = "policy"
_ALL: Final = PolicyLimits()


class TemplateRequest(NamedTuple):
    """A template to look at."""

    kind: GroupVersionKind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def _want_kinds(
    templates: TemplateInformers,
    policies: Store[PropagationPolicy],
    bindings: Store[ResourceBinding],
    limits: PolicyLimits,
) -> frozenset[GroupVersionKind]:
    """Have all kinds watched that policies select and may or, by the marks on bindings, have selected before."""
    wanted = frozenset(
        kind
        for store in (policies, bindings)
        for kind in store.index_values(BY_KIND)
        if isinstance(kind, GroupVersionKind) and (store is bindings or limits.allows(kind))
    )
    templates.want(_USER, wanted)
    return wanted


class ResourceDetector:
    """Gives each template to the policy that it belongs to, and binds it as that policy says."""

    def __init__(
        self,
        *,
        policies: Store[PropagationPolicy],
        bindings: CachedClient[ResourceBinding],
        templates: TemplateInformers,
        recorder: Recorder,
        new_id: Callable[[], str],
        skipped: tuple[re.Pattern[str], ...],
        binding_locks: KeyMutex[Request],
        limits: PolicyLimits = _ALL,
    ) -> None:
        """`skipped`: `--skipped-propagating-namespaces`. `binding_locks` says who writes a binding when.

        Templates that are reserved by `limits` belong to no policy, silently: whole kinds may be selected.
        """
        self._limits = limits
        self._policies = policies
        self._bindings = bindings
        self._templates = templates
        self._recorder = recorder.for_component(wk.RESOURCE_DETECTOR)
        self._new_id = new_id
        self._skipped = skipped
        self._binding_locks = binding_locks
        self._failing: dict[TemplateRequest, str] = {}
        """What was last reported about templates that could not be bound, so that it is reported once."""
        self._reported: dict[TemplateRequest, frozenset[str]] = {}
        """Uids of the policies that were told that a template is not theirs."""

    async def reconcile(self, request: TemplateRequest) -> Result:
        """See the class. Raises what the API server says."""
        _want_kinds(self._templates, self._policies, self._bindings.store, self._limits)
        objects = self._templates.get(request.kind)
        if objects is None or not is_distributed(request.namespace, self._skipped):
            return Result()  # once they are listed, all templates of the kind are looked at
        template = objects.get(request.namespace, request.name)
        if template is None:
            self._failing.pop(request, None)
            self._reported.pop(request, None)
            await self._clean_up_orphan(request)
            return Result()
        meta = template.metadata
        reserved = self._limits.reserved.problem(request.kind.kind, request.namespace, request.name, meta.labels)
        policies = self._policies.by_index(BY_NAMESPACE, request.namespace) if reserved is None else ()
        decision = decide(request.kind, template, policies, self._limits)
        if isinstance(decision, ApplyPolicy):
            await self._apply(request, objects, template, decision)
        elif decision is ClaimDecision.RELEASE:
            await self._release(request, objects, template)
        elif decision is ClaimDecision.YIELD:
            self._tell_policies(request, template)
            await self._unmark_binding(request)
        if decision is not ClaimDecision.YIELD:
            self._reported.pop(request, None)
        return Result()

    def _tell_policies(self, request: TemplateRequest, template: Unstructured) -> None:
        """Say to each policy that selects the template that it has no say; once, and not again after a restart."""
        there = self._policies.by_index(BY_NAMESPACE, request.namespace)
        policies = list(selecting(request.kind, template, there, self._limits))
        told = self._reported.get(request, frozenset())
        self._reported[request] = frozenset(policy.metadata.uid for policy in policies)
        if current_priority() <= LOW:
            return
        for policy in policies:
            if policy.metadata.uid not in told:
                owner = template.metadata.labels[wk.CLAIMED_BY]
                text = f"{request} is claimed by a {owner}, which says where it goes; the policy does not apply to it"
                self._recorder.event(_reference(policy), "Warning", wk.EVENT_TEMPLATE_CLAIMED, text)

    async def _apply(
        self,
        request: TemplateRequest,
        objects: CachedClient[Unstructured],
        template: Unstructured,
        decision: ApplyPolicy,
    ) -> None:
        about = f"policy({decision.policy.metadata.namespace}/{decision.policy.metadata.name})"
        try:
            if (claim := plan_claim(template, decision.policy)) is not None:
                template = await objects.patch(request.namespace, request.name, claim)
            wrote = await self._bind(request, template, decision)
        except (KubeError, ForeignController, WorkTerminating) as error:
            if not isinstance(error, _OVERTAKEN):
                self._report(request, template, f"Apply {about} failed: {error}")
            if isinstance(error, KubeError):
                raise
            return  # the binding's deletion leads back here
        had_failed = self._failing.pop(request, None) is not None
        if wrote or had_failed:
            self._tell(template, request, "Normal", wk.EVENT_APPLY_POLICY_SUCCEED, f"Apply {about} succeed")

    async def _bind(self, request: TemplateRequest, template: Unstructured, decision: ApplyPolicy) -> bool:
        name = binding_name(request.kind.kind, request.name)
        async with self._binding_locks.hold(Request(request.namespace, name)):
            observed = self._bindings.get(request.namespace, name)
            planned = plan_binding(decision.policy, decision.spec, template, observed, self._new_id)
            if planned is None:
                return False
            if planned.create:
                await self._bindings.create(planned.body, request.namespace)
            else:
                await self._bindings.patch(request.namespace, name, planned.body)
            return True

    async def _release(
        self, request: TemplateRequest, objects: CachedClient[Unstructured], template: Unstructured
    ) -> None:
        self._failing.pop(request, None)
        if (patch := plan_unclaim(template.metadata)) is not None:
            await objects.patch(request.namespace, request.name, patch)
        await self._unmark_binding(request)

    async def _clean_up_orphan(self, request: TemplateRequest) -> None:
        """The template is gone, and its binding is garbage; a policy that is being deleted does not wait for that."""
        binding = self._binding(request)
        claim = claimed_by(binding.metadata) if binding is not None else None
        policy = self._policies.get(ObjectKey(*claim)) if claim is not None else None
        if policy is None or policy.metadata.deletion_timestamp is not None:
            await self._unmark_binding(request)

    async def _unmark_binding(self, request: TemplateRequest) -> None:
        name = binding_name(request.kind.kind, request.name)
        async with self._binding_locks.hold(Request(request.namespace, name)):
            binding = self._binding(request)
            if binding is not None and (patch := plan_unclaim(binding.metadata)) is not None:
                await self._bindings.patch(request.namespace, name, patch)

    def _binding(self, request: TemplateRequest) -> ResourceBinding | None:
        binding = self._bindings.get(request.namespace, binding_name(request.kind.kind, request.name))
        return binding if binding is not None and is_for(binding, request.kind, request.name) else None

    def _report(self, request: TemplateRequest, template: Unstructured, text: str) -> None:
        if self._failing.get(request) != text:
            self._failing[request] = text
            self._tell(template, request, "Warning", wk.EVENT_APPLY_POLICY_FAILED, text)

    def _tell(
        self, template: Unstructured, request: TemplateRequest, type_: EventType, reason: str, message: str
    ) -> None:
        reference = ObjectReference(
            api_version=request.kind.api_version,
            kind=request.kind.kind,
            namespace=request.namespace,
            name=request.name,
            uid=template.metadata.uid,
        )
        self._recorder.event(reference, type_, reason, message)


class PolicyReconciler:
    """Looks after one policy: accepts or refuses it, has its templates looked at, and lets it go."""

    def __init__(
        self,
        *,
        policies: CachedClient[PropagationPolicy],
        bindings: Store[ResourceBinding],
        templates: TemplateInformers,
        recorder: Recorder,
        new_id: Callable[[], str],
        skipped: tuple[re.Pattern[str], ...],
        enqueue_template: Callable[[TemplateRequest], None],
        limits: PolicyLimits = _ALL,
    ) -> None:
        """`skipped` and `limits` as for ResourceDetector; `enqueue_template` has a template looked at."""
        self._limits = limits
        self._policies = policies
        self._bindings = bindings
        self._templates = templates
        self._recorder = recorder.for_component(wk.POLICY_CONTROLLER)
        self._new_id = new_id
        self._skipped = skipped
        self._enqueue_template = enqueue_template
        self._reported: dict[Request, tuple[str, int, str]] = {}
        """What was last reported about a policy, with its uid and generation, so that it is reported once a change."""

    async def reconcile(self, request: Request) -> Result:
        """See the class. Raises what the API server says."""
        wanted = _want_kinds(self._templates, self._policies.store, self._bindings, self._limits)
        policy = self._policies.get(request.namespace, request.name)
        if policy is None:
            self._reported.pop(request, None)
            self._look_at(self._claimed(request, wanted))
            return Result()
        if policy.metadata.deletion_timestamp is not None:
            return await self._let_go(request, policy, wanted)
        try:
            if not is_distributed(request.namespace, self._skipped):
                raise UnsupportedPolicy(
                    f"metadata.namespace: nothing is propagated of the namespace {request.namespace}"
                )
            spec = self._limits.parse(policy)
        except UnsupportedPolicy as refusal:
            message = f"The policy is refused, and nothing is done for it: {refusal}"
            self._report(request, policy, wk.EVENT_POLICY_REFUSED, message)
            return Result()
        if (adopt := plan_adopt(policy, self._new_id)) is not None:
            policy = await self._policies.patch(request.namespace, request.name, adopt)
        self._look_at({*self._selected(request.namespace, spec), *self._claimed(request, wanted)})
        return self._check_kinds(request, policy, spec)

    def _check_kinds(self, request: Request, policy: PropagationPolicy, spec: PolicySpec) -> Result:
        problems = [problem for kind in sorted(spec.kinds) if (problem := self._templates.problem(kind)) is not None]
        if problems:
            self._report(request, policy, wk.EVENT_APPLY_POLICY_FAILED, "; ".join(problems))
        else:
            self._reported.pop(request, None)
        known = all(self._templates.get(kind) is not None for kind in spec.kinds)
        return Result() if known else Result(requeue_after=_LOOK_AGAIN_SECONDS)

    async def _let_go(self, request: Request, policy: PropagationPolicy, wanted: frozenset[GroupVersionKind]) -> Result:
        release = plan_remove_finalizer(policy, wk.POLICY_FINALIZER)
        if release is None:
            return Result()
        claimed = self._claimed(request, wanted) if is_distributed(request.namespace, self._skipped) else set()
        self._look_at(claimed)
        try:
            kinds = self._limits.parse(policy).kinds
        except UnsupportedPolicy:
            kinds = frozenset()
        # The templates of a kind that cannot be listed may have marks; those of one that does not exist have none.
        unknown = [kind for kind in kinds if self._templates.get(kind) is None and not self._templates.is_absent(kind)]
        if unknown:
            problems = [problem for kind in sorted(unknown) if (problem := self._templates.problem(kind)) is not None]
            if problems:
                self._report(request, policy, wk.EVENT_APPLY_POLICY_FAILED, "; ".join(problems))
            return Result(requeue_after=_LOOK_AGAIN_SECONDS)
        if not claimed:
            await self._policies.patch(request.namespace, request.name, release)
        return Result()  # whatever is unmarked leads back here

    def _look_at(self, templates: Iterable[TemplateRequest]) -> None:
        for template in sorted(templates):
            self._enqueue_template(template)

    def _claimed(self, policy: Request, kinds: Iterable[GroupVersionKind]) -> set[TemplateRequest]:
        """What has the policy's marks, on the template or on the binding."""
        key = (policy.namespace, policy.name)
        found = {_template_of(binding) for binding in self._bindings.by_index(BY_CLAIM, key)}
        for kind in kinds:
            if (objects := self._templates.get(kind)) is not None:
                found |= {TemplateRequest(kind, *one) for one in objects.store.index_keys(BY_CLAIM, key)}
        return found

    def _selected(self, namespace: str, spec: PolicySpec) -> set[TemplateRequest]:
        found = set[TemplateRequest]()
        for kind in spec.kinds:
            if (objects := self._templates.get(kind)) is not None:
                there = (one.metadata for one in objects.store.by_index(BY_NAMESPACE, namespace))
                found |= {TemplateRequest(kind, namespace, meta.name) for meta in there if spec.precision(kind, meta)}
        return found

    def _report(self, request: Request, policy: PropagationPolicy, reason: str, message: str) -> None:
        meta = policy.metadata
        what = (meta.uid, meta.generation, message)
        if self._reported.get(request) == what:
            return
        self._reported[request] = what
        self._recorder.event(_reference(policy), "Warning", reason, message)

    # --- what to look at when something changes ----------------------------------------------------------------------

    def requests_for_kind(self, kind: GroupVersionKind) -> Iterable[Request]:
        """Policies that select the kind, of which more is known now."""
        return [Request(*key) for key in sorted(self._policies.store.index_keys(BY_KIND, kind))]

    def requests_for_marks(self, event: Event[Unstructured] | Event[ResourceBinding]) -> Iterable[Request]:
        """A policy that is being deleted, or is gone, when something loses its marks."""
        if event.old is None or (named := claimed_by(event.old.metadata)) is None:
            return ()
        if event.new is not None and claimed_by(event.new.metadata) == named:
            return ()
        return (Request(*named),)


def follow_templates(
    templates: TemplateInformers,
    bindings: Store[ResourceBinding],
    policies: PolicyReconciler,
    *,
    enqueue_template: Callable[[TemplateRequest], None],
    enqueue_policy: Callable[[Request], None],
) -> None:
    """Enqueue what changes of templates, and kinds that come within reach, ask to be looked at."""

    def changed(kind: GroupVersionKind, event: Event[Unstructured]) -> None:
        if event.old is not None and event.new is not None and not has_drifted(event.old, event.new):
            return
        meta = event.object.metadata
        enqueue_template(TemplateRequest(kind, meta.namespace, meta.name))
        for request in policies.requests_for_marks(event):
            enqueue_policy(request)

    def available(kind: GroupVersionKind) -> None:
        for binding in bindings.by_index(BY_KIND, kind):
            enqueue_template(_template_of(binding))
        for request in policies.requests_for_kind(kind):
            enqueue_policy(request)

    templates.subscribe(changed=changed, available=available)


def _reference(policy: PropagationPolicy) -> ObjectReference:
    meta = policy.metadata
    return ObjectReference(
        api_version=wk.POLICY_API_VERSION,
        kind=wk.POLICY_KIND,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )


def requests_for_binding(event: Event[ResourceBinding]) -> Iterable[TemplateRequest]:
    """The template that the binding speaks of, and spoke of before. One without marks may have been in the way."""
    return sorted({_template_of(binding) for binding in (event.old, event.new) if binding is not None})


def _template_of(binding: ResourceBinding) -> TemplateRequest:
    resource = binding.spec.resource
    return TemplateRequest(GroupVersionKind(resource.api_version, resource.kind), resource.namespace, resource.name)
