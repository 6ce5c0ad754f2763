"""Which policy an object of the control plane belongs to, and the ResourceBinding that follows from it.

Semantics: Karmada's pkg/detector, as far as a PropagationPolicy names resources and clusters. What a policy asks for
beyond that is refused with words (`Refused`), never half obeyed.

Who gets a template: the policy that claimed it keeps it as long as it selects it, whatever others say (Karmada without
preemption). Otherwise the highest `spec.priority` wins, then the more precise match (by name, by labels, by kind
alone), then the name that comes first.

A claim is written on the template first and on the binding second, and taken back in the same order, so the binding
tells which templates still have to be looked at. What a policy brought into the clusters stays when the policy lets
go, as with Karmada: the binding and its Works are left, they only follow nobody any more. They go with the template,
through the binding's owner reference.

Differences from Karmada:

- `spec.replicas` and `spec.replicaRequirements` of the binding are not written: nothing here divides replicas.
- A refused policy keeps what it claimed before it was changed, as it is.
- The marks are taken off the binding of a template that something else claims; Karmada forgets them there, and its
  scheduler would still see a policy's binding in it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from informers.patches import added_finalizer, changed_marks, create_merge_patch, metadata_patch
from informers.resource import GroupVersionKind
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.bindings import BindingWrite, ForeignController
from mcs_controller.domain.naming import binding_name
from mcs_controller.domain.works import WorkTerminating

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from informers.meta import KubeObject, ObjectMeta
    from mcs_controller.api.common import JsonObject, Unstructured
    from mcs_controller.api.policy import PropagationPolicy
    from mcs_controller.api.resourcebinding import ResourceBinding

BY_NAMESPACE = "namespace"
"""Policies and templates by their namespace."""

BY_KIND = "kind"
"""Policies by the kinds that they select; ResourceBindings by the kind of a template that a policy has claimed."""

BY_CLAIM = "claim"
"""Templates and ResourceBindings by the (namespace, name) of the policy that has claimed them, if nothing else has."""

_ABORT: Final = "Abort"
_UNSUPPORTED_GROUPS: Final = ("karmada.io", "events.k8s.io", "coordination.k8s.io")
_UNSUPPORTED_KINDS: Final = frozenset({GroupVersionKind("v1", "Event")})
_RESERVED_NAMESPACES: Final = frozenset({wk.SYSTEM_NAMESPACE, wk.CLUSTER_NAMESPACE})
_SELECTOR_FIELDS: Final = frozenset({"apiVersion", "kind", "namespace", "name", "labelSelector"})
_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


class Refused(Exception):
    """The policy asks for what is not done here, or cannot be understood; only a change of it helps."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector (metav1.LabelSelectorRequirement)."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies it."""
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":  # also of an object without the label
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class Selector:
    """One of `spec.resourceSelectors`.

    Attributes:
        kind: of the templates.
        name: of the one template; empty for all of them.
        labels: what their labels must satisfy; None if there is no label selector. Not looked at if there is a name,
            as Karmada documents it.
    """

    kind: GroupVersionKind
    name: str = ""
    labels: tuple[Requirement, ...] | None = None

    def precision(self, kind: GroupVersionKind, meta: ObjectMeta) -> int:
        """How precisely it matches: 3 by name, 2 by labels, 1 by kind alone; 0 if it does not."""
        if kind != self.kind:
            return 0
        if self.name:
            return 3 if self.name == meta.name else 0
        if self.labels is None:
            return 1
        return 2 if all(one.matches(meta.labels) for one in self.labels) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a policy says, all of it understood.

    Attributes:
        selectors: which templates it means.
        placement: `spec.placement` as the policy has it, without what is empty.
        priority: over other policies.
        scheduler_name: who places the bindings.
        conflict_resolution: what to do about objects that clusters have already, `Abort` or `Overwrite`.
        preserve: `spec.preserveResourcesOnDeletion`, if it is there.
    """

    selectors: tuple[Selector, ...]
    placement: JsonObject
    priority: int = 0
    scheduler_name: str = wk.DEFAULT_SCHEDULER
    conflict_resolution: str = _ABORT
    preserve: bool | None = None

    @property
    def kinds(self) -> frozenset[GroupVersionKind]:
        """The kinds that are selected."""
        return frozenset(selector.kind for selector in self.selectors)

    def precision(self, kind: GroupVersionKind, meta: ObjectMeta) -> int:
        """How precisely the best selector matches; 0 if none does."""
        return max((selector.precision(kind, meta) for selector in self.selectors), default=0)


# --- reading a policy ------------------------------------------------------------------------------------------------


def is_distributed(namespace: str, skipped: Iterable[re.Pattern[str]]) -> bool:
    """Whether policies and templates of this namespace are looked at at all (Karmada: EventFilter)."""
    if namespace in _RESERVED_NAMESPACES or namespace.startswith(wk.EXECUTION_PREFIX):
        return False
    return not any(pattern.fullmatch(namespace) for pattern in skipped)


def rules_of(policy: PropagationPolicy) -> Rules:
    """What the policy says.

    Raises:
        Refused: with every field that is in the way, by its path.
    """
    reader = _Reader(policy)
    rules = reader.read()
    if reader.problems or rules is None:
        raise Refused("; ".join(reader.problems))
    return rules


class _Reader:
    """Reads a spec field by field; whatever is left over is unsupported. Collects all problems."""

    def __init__(self, policy: PropagationPolicy) -> None:
        self.problems: list[str] = []
        self._spec = _given(policy.spec)
        self._namespace = policy.metadata.namespace

    def read(self) -> Rules | None:
        spec = self._spec
        selectors = self._selectors(spec.pop("resourceSelectors", None))
        placement = self._placement(spec.pop("placement", None))
        priority = self._typed(spec, "priority", int, 0)
        scheduler_name = self._typed(spec, "schedulerName", str, wk.DEFAULT_SCHEDULER)
        conflict_resolution = self._one_of(spec, "conflictResolution", _ABORT, "Overwrite")
        self._one_of(spec, "preemption", "Never")
        preserve = self._typed(spec, "preserveResourcesOnDeletion", bool, None)
        for name in sorted(spec):
            self._unsupported(f"spec.{name}")
        if self.problems:
            return None
        return Rules(
            selectors=selectors,
            placement=placement,
            priority=priority,
            scheduler_name=scheduler_name,
            conflict_resolution=conflict_resolution,
            preserve=preserve,
        )

    def _selectors(self, value: Any) -> tuple[Selector, ...]:
        path = "spec.resourceSelectors"
        if not isinstance(value, list):
            self.problems.append(f"{path} has to name at least one kind")
            return ()
        return tuple(self._selector(f"{path}[{number}]", one) for number, one in enumerate(value))

    def _selector(self, path: str, value: Any) -> Selector:
        fields: JsonObject = dict(value) if isinstance(value, dict) else {}
        for name in sorted(fields.keys() - _SELECTOR_FIELDS):
            if not _is_empty(fields[name]):
                self._unsupported(f"{path}.{name}")
        texts = {name: fields.get(name) or "" for name in ("apiVersion", "kind", "namespace", "name")}
        for name, text in texts.items():
            if not isinstance(text, str):
                self.problems.append(f"{path}.{name} has to be a string")
        if any(not isinstance(text, str) for text in texts.values()):
            return Selector(GroupVersionKind("", ""))
        for name in ("apiVersion", "kind"):
            if not texts[name]:
                self.problems.append(f"{path}.{name} is missing")
        kind = GroupVersionKind(texts["apiVersion"], texts["kind"])
        if not _is_template_kind(kind):
            self.problems.append(f"{path}: {kind} is not a kind that is propagated")
        if texts["namespace"] not in ("", self._namespace):
            self.problems.append(
                f"{path}.namespace is {texts['namespace']}: a PropagationPolicy selects in its own namespace only"
            )
        return Selector(kind, texts["name"], self._labels(f"{path}.labelSelector", fields.get("labelSelector")))

    def _labels(self, path: str, value: Any) -> tuple[Requirement, ...] | None:
        if value is None:
            return None
        fields: JsonObject = dict(value) if isinstance(value, dict) else {"": value}
        match_labels, expressions = fields.pop("matchLabels", None) or {}, fields.pop("matchExpressions", None) or []
        for name in sorted(fields):
            self._unsupported(f"{path}.{name}")
        found: list[Requirement] = []
        if isinstance(match_labels, dict) and all(isinstance(one, str) for one in match_labels.values()):
            found += [Requirement(key, "In", frozenset({label})) for key, label in sorted(match_labels.items())]
        else:
            self.problems.append(f"{path}.matchLabels has to be a map of strings")
        try:
            terms = msgspec.convert(expressions, list[_Expression])
        except msgspec.ValidationError as error:
            self.problems.append(f"{path}.matchExpressions: {error}")
            return tuple(found)
        for number, term in enumerate(terms):
            # As metav1: an operator on values without values, or the other way round, would select by accident.
            if term.operator not in _OPERATORS or bool(term.values) != term.operator.endswith("In"):
                self.problems.append(f"{path}.matchExpressions[{number}] is not a requirement on labels")
            found.append(Requirement(term.key, term.operator, frozenset(term.values or ())))
        return tuple(found)

    def _placement(self, value: Any) -> JsonObject:
        path = "spec.placement"
        fields = _given(value) if isinstance(value, dict) else {}
        affinity = _given(fields.get("clusterAffinity")) if isinstance(fields.get("clusterAffinity"), dict) else {}
        names = affinity.get("clusterNames")
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            self.problems.append(f"{path}.clusterAffinity.clusterNames has to name the clusters")
        for name in sorted(affinity.keys() - {"clusterNames"}):
            self._unsupported(f"{path}.clusterAffinity.{name}")
        replicas = fields.get("replicaScheduling")
        if replicas is not None and not is_duplicated(replicas):
            self._unsupported(f"{path}.replicaScheduling other than Duplicated")
        for name in sorted(fields.keys() - {"clusterAffinity", "replicaScheduling"}):
            self._unsupported(f"{path}.{name}")
        placement: JsonObject = {"clusterAffinity": {"clusterNames": names}}
        return placement | ({"replicaScheduling": replicas} if replicas is not None else {})

    def _typed(self, spec: JsonObject, name: str, kind: type, default: Any) -> Any:
        value = spec.pop(name, default)
        if value is not default and type(value) is not kind:
            self.problems.append(f"spec.{name} has to be of type {kind.__name__}")
        return value

    def _one_of(self, spec: JsonObject, name: str, *values: str) -> str:
        value = spec.pop(name, values[0])
        if value not in values:
            self.problems.append(f"spec.{name} {value} is not supported, only {' or '.join(values)}")
        return str(value)

    def _unsupported(self, path: str) -> None:
        self.problems.append(f"{path} is not supported")


class _Expression(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    operator: str
    values: list[str] | None = None


def is_duplicated(replica_scheduling: Any) -> bool:
    """Whether `placement.replicaScheduling` asks for the same replicas in every cluster, which is the default too."""
    if not isinstance(replica_scheduling, dict):
        return False
    given = _given(replica_scheduling)
    return given.pop("replicaSchedulingType", "Duplicated") == "Duplicated" and not given


def _given(value: Any) -> JsonObject:
    """A copy without what is empty: Go writes, and people leave, empty fields where there is nothing to say."""
    return {name: one for name, one in (value or {}).items() if not _is_empty(one)}


def _is_empty(value: Any) -> bool:
    return value in (None, "", False, [], {}) and type(value) is not int


def _is_template_kind(kind: GroupVersionKind) -> bool:
    # Bindings and Works would be propagated by way of bindings and Works of their own, and Events come back.
    group = kind.group
    return kind not in _UNSUPPORTED_KINDS and not any(
        group == one or group.endswith(f".{one}") for one in _UNSUPPORTED_GROUPS
    )


# --- whose is a template ---------------------------------------------------------------------------------------------


class ClaimDecision(enum.Enum):
    """What is to be done about a template that no policy is to be applied to."""

    RELEASE = "no policy has it: take our marks off, leave what runs"
    YIELD = "something else has it: do not touch it, take our marks off its binding"
    LEAVE = "touch nothing"


@dataclass(frozen=True, slots=True)
class Apply:
    """The policy that has a template, and what it says: claim it, and bind it so."""

    policy: PropagationPolicy
    rules: Rules


def claimant(meta: ObjectMeta) -> tuple[str, str] | None:
    """(namespace, name) of the policy that the marks on a template or binding name; None without marks."""
    namespace = meta.annotations.get(wk.POLICY_NAMESPACE)
    name = meta.annotations.get(wk.POLICY_NAME)
    return (namespace, name) if namespace and name else None


def decide(
    kind: GroupVersionKind, template: KubeObject, policies: Sequence[PropagationPolicy]
) -> Apply | ClaimDecision:
    """Whose the template is, given all policies of its namespace. Deterministic, whatever their order."""
    meta = template.metadata
    if meta.labels.get(wk.CLAIMED_BY):
        return ClaimDecision.YIELD
    is_anothers = meta.labels.get(wk.CLUSTER_POLICY_PERMANENT_ID) and not meta.labels.get(wk.POLICY_PERMANENT_ID)
    if is_anothers:
        return ClaimDecision.LEAVE
    holder = _holder(meta, policies)
    if meta.deletion_timestamp is not None:
        # Others may hold it for as long as they like; a policy that goes must not wait for them.
        return ClaimDecision.LEAVE if holder is not None else ClaimDecision.RELEASE
    if holder is not None:
        try:
            rules = rules_of(holder)
        except Refused:
            return ClaimDecision.LEAVE
        if rules.precision(kind, meta):
            return Apply(holder, rules)
    matching = [
        (policy, rules, precision) for policy, rules in _usable(policies) if (precision := rules.precision(kind, meta))
    ]
    if not matching:
        return ClaimDecision.RELEASE
    policy, rules, _ = min(matching, key=lambda one: (-one[1].priority, -one[2], one[0].metadata.name))
    # Without its id it cannot claim anything yet; the write that gives it one leads back here.
    return Apply(policy, rules) if policy_id(policy) else ClaimDecision.LEAVE


def selecting(
    kind: GroupVersionKind, template: KubeObject, policies: Iterable[PropagationPolicy]
) -> Iterable[PropagationPolicy]:
    """The policies that select a template, whoever has it."""
    return (policy for policy, rules in _usable(policies) if rules.precision(kind, template.metadata))


def policy_id(policy: PropagationPolicy) -> str:
    """The policy's permanent id; empty if it has none yet."""
    return policy.metadata.labels.get(wk.POLICY_PERMANENT_ID, "")


def _holder(meta: ObjectMeta, policies: Iterable[PropagationPolicy]) -> PropagationPolicy | None:
    """The living policy that has claimed the template. A claim of one that was deleted and made anew is void."""
    claimed = meta.labels.get(wk.POLICY_PERMANENT_ID)
    named = claimant(meta)
    return next(
        (
            policy
            for policy in policies
            if claimed
            and policy_id(policy) == claimed
            and (policy.metadata.namespace, policy.metadata.name) == named
            and policy.metadata.deletion_timestamp is None
        ),
        None,
    )


def _usable(policies: Iterable[PropagationPolicy]) -> Iterable[tuple[PropagationPolicy, Rules]]:
    for policy in policies:
        if policy.metadata.deletion_timestamp is not None:
            continue
        try:
            rules = rules_of(policy)
        except Refused:
            continue
        yield policy, rules


# --- what to write ---------------------------------------------------------------------------------------------------


def plan_adopt(policy: PropagationPolicy, new_id: Callable[[], str]) -> JsonObject | None:
    """The merge patch that gives a live policy its permanent id, where no webhook did, and its finalizer."""
    meta = policy.metadata
    label = {} if policy_id(policy) else {"labels": {wk.POLICY_PERMANENT_ID: new_id()}}
    return metadata_patch(meta, label | added_finalizer(meta, wk.POLICY_FINALIZER))


def plan_claim(template: Unstructured, policy: PropagationPolicy) -> JsonObject | None:
    """The merge patch that marks a template as the policy's."""
    return metadata_patch(template.metadata, _marks(template.metadata, policy))


def plan_unclaim(meta: ObjectMeta) -> JsonObject | None:
    """The merge patch that takes a policy's marks off a template or a binding, and nothing else."""
    labels = {key: value for key, value in meta.labels.items() if key != wk.POLICY_PERMANENT_ID}
    ours = (wk.POLICY_NAMESPACE, wk.POLICY_NAME)
    annotations = {key: value for key, value in meta.annotations.items() if key not in ours}
    return metadata_patch(meta, changed_marks(meta, labels, annotations))


def plan_binding(
    policy: PropagationPolicy,
    rules: Rules,
    template: Unstructured,
    observed: ResourceBinding | None,
    new_id: Callable[[], str],
) -> BindingWrite | None:
    """The write that makes a claimed template's ResourceBinding say what the policy says.

    Owned are: the policy's marks, our finalizer and owner reference, resource, placement, scheduler, conflict
    resolution and preservation. Everything else, the scheduler's `spec.clusters` above all, stays as it is.

    The owner reference has `controller` and `blockOwnerDeletion`, as Karmada's has it on this path (and not on that of
    a MultiClusterService): the objects that Karmada itself wrote show it.

    Raises:
        ForeignController: another object controls the binding.
        WorkTerminating: the binding is being deleted.
    """
    source = template.metadata
    kind = GroupVersionKind(template.content["apiVersion"], template.content["kind"])
    resource = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "namespace": source.namespace,
        "name": source.name,
        "uid": source.uid,
        "resourceVersion": source.resource_version,
    }
    owner = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": source.name,
        "uid": source.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    spec: JsonObject = {
        "resource": resource,
        "placement": rules.placement,
        "schedulerName": rules.scheduler_name,
        "conflictResolution": rules.conflict_resolution,
        "preserveResourcesOnDeletion": rules.preserve,
    }
    if observed is None:
        marks = {wk.POLICY_PERMANENT_ID: policy_id(policy), wk.BINDING_PERMANENT_ID: new_id()}
        body: JsonObject = {
            "apiVersion": wk.BINDING_API_VERSION,
            "kind": wk.BINDING_KIND,
            "metadata": {
                "name": binding_name(kind.kind, source.name),
                "namespace": source.namespace,
                "labels": marks,
                "annotations": _annotations(policy),
                "finalizers": [wk.BINDING_FINALIZER],
                "ownerReferences": [owner],
            },
            "spec": {key: value for key, value in spec.items() if value is not None},
        }
        return BindingWrite(create=True, body=body)
    meta = observed.metadata
    _check_writable(meta, kind, source)
    metadata = _marks(meta, policy)
    if not meta.labels.get(wk.BINDING_PERMANENT_ID):
        metadata["labels"] = metadata.get("labels", {}) | {wk.BINDING_PERMANENT_ID: new_id()}
    metadata |= added_finalizer(meta, wk.BINDING_FINALIZER)
    before = [msgspec.to_builtins(one) for one in meta.owner_references]
    # Of this template there may be one with other flags, or one of an object of its name that is gone.
    others = [one for one in before if (one["apiVersion"], one["kind"], one["name"]) != (*kind, source.name)]
    if owner not in before or len(others) != len(before) - 1:
        metadata["ownerReferences"] = [*others, owner]
    changes = _changed_spec(observed, spec)
    if not metadata and not changes:
        return None
    body = {"metadata": metadata | {"resourceVersion": meta.resource_version}}
    return BindingWrite(create=False, body=body | ({"spec": changes} if changes else {}))


def speaks_of(binding: ResourceBinding, kind: GroupVersionKind, name: str) -> bool:
    """Whether the binding is about that template: names of bindings leave the API group out."""
    resource = binding.spec.resource
    return (resource.api_version, resource.kind, resource.name) == (*kind, name)


def _check_writable(meta: ObjectMeta, kind: GroupVersionKind, source: ObjectMeta) -> None:
    for reference in meta.owner_references:
        if reference.controller and reference.uid != source.uid:
            raise ForeignController(
                f"ResourceBinding {meta.namespace}/{meta.name} is controlled by {reference.kind} {reference.name} "
                f"(uid {reference.uid}), not by this {kind.kind} (uid {source.uid})"
            )
    if meta.deletion_timestamp is not None:
        raise WorkTerminating(f"ResourceBinding {meta.namespace}/{meta.name} is being deleted")


def _changed_spec(observed: ResourceBinding, spec: JsonObject) -> JsonObject:
    there = observed.spec
    known: JsonObject = {
        "resource": msgspec.to_builtins(there.resource),
        "placement": there.placement or {},
        "schedulerName": there.scheduler_name,
        "conflictResolution": there.conflict_resolution,
        "preserveResourcesOnDeletion": there.preserve_resources_on_deletion,
    }
    changes = {name: value for name, value in spec.items() if value != known[name]}
    if "placement" in changes:
        # A merge patch keeps what it does not name, but the placement is the policy's as a whole.
        changes["placement"] = create_merge_patch(known["placement"], spec["placement"])
    return changes


def _annotations(policy: PropagationPolicy) -> dict[str, str]:
    return {wk.POLICY_NAMESPACE: policy.metadata.namespace, wk.POLICY_NAME: policy.metadata.name}


def _marks(meta: ObjectMeta, policy: PropagationPolicy) -> JsonObject:
    labels = meta.labels | {wk.POLICY_PERMANENT_ID: policy_id(policy)}
    return changed_marks(meta, labels, meta.annotations | _annotations(policy))


# --- indexes ---------------------------------------------------------------------------------------------------------


def _namespace(obj: KubeObject) -> Iterable[Hashable]:
    return (obj.metadata.namespace,)


def _policy_kinds(policy: PropagationPolicy) -> Iterable[Hashable]:
    try:
        return rules_of(policy).kinds
    except Refused:
        return ()


def _claim(obj: KubeObject) -> Iterable[Hashable]:
    named = claimant(obj.metadata)
    return (named,) if named is not None and not obj.metadata.labels.get(wk.CLAIMED_BY) else ()


def _claimed_kind(binding: ResourceBinding) -> Iterable[Hashable]:
    if claimant(binding.metadata) is None:
        return ()
    return (GroupVersionKind(binding.spec.resource.api_version, binding.spec.resource.kind),)


POLICY_INDEXES: Mapping[str, Callable[[PropagationPolicy], Iterable[Hashable]]] = {
    BY_NAMESPACE: _namespace,
    BY_KIND: _policy_kinds,
}
TEMPLATE_INDEXES: Mapping[str, Callable[[Unstructured], Iterable[Hashable]]] = {
    BY_NAMESPACE: _namespace,
    BY_CLAIM: _claim,
}
BINDING_INDEXES: Mapping[str, Callable[[ResourceBinding], Iterable[Hashable]]] = {
    BY_CLAIM: _claim,
    BY_KIND: _claimed_kind,
}
