"""The parsed spec of a PropagationPolicy: the part that is supported here.

Semantics: Karmada's pkg/detector, as far as a PropagationPolicy names resources and clusters. What a policy asks for
beyond that is refused with words (`UnsupportedPolicy`), never half obeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from informers.patches import without_nulls
from informers.resource import GroupVersionKind
from informers.selectors import LabelSelector, Requirement
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.reserved import RESERVED

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator

    from informers.meta import ObjectMeta
    from informers.selectors import Operator
    from mcs_controller.api.common import JsonObject
    from mcs_controller.api.policy import PropagationPolicy
    from mcs_controller.domain.reserved import ReservedObjects

_CONFLICT_RESOLUTIONS: Final = ("Abort", "Overwrite")
_UNSUPPORTED_GROUPS: Final = ("karmada.io", "events.k8s.io", "coordination.k8s.io")
_UNSUPPORTED_KINDS: Final = frozenset({GroupVersionKind("v1", "Event")})
_RESERVED_NAMESPACES: Final = frozenset({wk.SYSTEM_NAMESPACE, wk.CLUSTER_NAMESPACE})
_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


class UnsupportedPolicy(Exception):
    """The policy asks for something unsupported, or is invalid; only a change of it helps."""


@dataclass(frozen=True, slots=True)
class ResourceSelector:
    """One of `spec.resourceSelectors`.

    Attributes:
        kind: of the templates.
        name: of the one template; empty for all of them.
        labels: what their labels must satisfy; None if there is no label selector. Not looked at if there is a name,
            as Karmada documents it.
    """

    kind: GroupVersionKind
    name: str = ""
    labels: LabelSelector | None = None

    def precision(self, kind: GroupVersionKind, meta: ObjectMeta) -> int:
        """How precisely it matches: 3 by name, 2 by labels, 1 by kind alone; 0 if it does not."""
        if kind != self.kind:
            return 0
        if self.name:
            return 3 if self.name == meta.name else 0
        if self.labels is None:
            return 1
        return 2 if self.labels.matches(meta.labels) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """A parsed PropagationPolicy.

    Attributes:
        selectors: which templates it means.
        placement: `spec.placement` as the policy has it, without what is empty.
        priority: over other policies.
        scheduler_name: who places the bindings.
        conflict_resolution: what to do about objects that clusters have already, `Abort` or `Overwrite`.
        preserve: `spec.preserveResourcesOnDeletion`, if it is there.
    """

    selectors: tuple[ResourceSelector, ...]
    placement: JsonObject
    priority: int
    scheduler_name: str
    conflict_resolution: str
    preserve: bool | None

    @property
    def kinds(self) -> frozenset[GroupVersionKind]:
        """The kinds that are selected."""
        return frozenset(selector.kind for selector in self.selectors)

    def precision(self, kind: GroupVersionKind, meta: ObjectMeta) -> int:
        """How precisely the best selector matches; 0 if none does."""
        return max((selector.precision(kind, meta) for selector in self.selectors), default=0)


@dataclass(frozen=True, slots=True)
class PolicyLimits:
    """The kinds and namespaces that policies may select.

    Attributes:
        kinds: "Kind.group" of the templates, "Kind" in the core group; None is every kind that is propagated.
        reserved: objects that belong to no policy.
    """

    kinds: frozenset[str] | None = None
    reserved: ReservedObjects = RESERVED

    def allows(self, kind: GroupVersionKind) -> bool:
        """Whether policies may select templates of that kind."""
        return self.kinds is None or _with_group(kind) in self.kinds

    def parse(self, policy: PropagationPolicy) -> PolicySpec:
        """What the policy says, as `parse_policy`. Raises UnsupportedPolicy also for what it may not select."""
        spec = parse_policy(policy)
        if problems := [*self._problems(spec, policy.metadata.namespace)]:
            raise UnsupportedPolicy("; ".join(problems))
        return spec

    def _problems(self, spec: PolicySpec, namespace: str) -> Iterator[str]:
        for number, selector in enumerate(spec.selectors):
            path = f"spec.resourceSelectors[{number}]"
            if not self.allows(selector.kind):
                yield f"{path}: policies may not select {_with_group(selector.kind)} here (--policy-kinds)"
            problem = self.reserved.problem(selector.kind.kind, namespace, selector.name) if selector.name else None
            if problem is not None:
                yield f"{path}: {problem}"


def _with_group(kind: GroupVersionKind) -> str:
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind


def is_distributed(namespace: str, skipped: Iterable[re.Pattern[str]]) -> bool:
    """Whether policies and templates of this namespace are looked at at all (Karmada: EventFilter)."""
    if namespace in _RESERVED_NAMESPACES or namespace.startswith(wk.EXECUTION_PREFIX):
        return False
    return not any(pattern.fullmatch(namespace) for pattern in skipped)


def parse_policy(policy: PropagationPolicy) -> PolicySpec:
    """What the policy says.

    Raises:
        UnsupportedPolicy: with every field that is in the way, by its path; of fields of a wrong type only the first.
    """
    content = without_nulls(policy.spec)
    try:
        spec = msgspec.convert(content, _Spec)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise UnsupportedPolicy(f"spec{where.rstrip('`')}: {message}") from error
    if problems := [*_problems(spec, policy.metadata.namespace), *_unsupported(content)]:
        raise UnsupportedPolicy("; ".join(problems))
    placement: JsonObject = {"clusterAffinity": {"clusterNames": spec.placement.cluster_affinity.cluster_names}}
    if spec.placement.replica_scheduling:
        placement["replicaScheduling"] = spec.placement.replica_scheduling
    return PolicySpec(
        selectors=tuple(
            ResourceSelector(
                GroupVersionKind(one.api_version, one.kind),
                one.name,
                one.label_selector.parsed() if one.label_selector is not None else None,
            )
            for one in spec.resource_selectors
        ),
        placement=placement,
        priority=spec.priority,
        scheduler_name=spec.scheduler_name or wk.DEFAULT_SCHEDULER,
        conflict_resolution=spec.conflict_resolution or _CONFLICT_RESOLUTIONS[0],
        preserve=spec.preserve_resources_on_deletion or None,
    )


def is_duplicated(replica_scheduling: Any) -> bool:
    """Whether `placement.replicaScheduling` asks for the same replicas in every cluster, which is the default too."""
    if not isinstance(replica_scheduling, dict):
        return False
    given = {name: one for name, one in replica_scheduling.items() if not _is_empty(one)}
    return given.pop("replicaSchedulingType", "Duplicated") == "Duplicated" and not given


# --- the fields that are known, and what may be wrong with them -----------------------------------------------------


class _Expression(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    operator: str
    values: list[str] = []


class _LabelSelector(msgspec.Struct, rename="camel"):
    match_labels: dict[str, str] = {}
    match_expressions: list[_Expression] = []

    def parsed(self) -> LabelSelector:
        equal = (Requirement(key, "In", frozenset({label})) for key, label in sorted(self.match_labels.items()))
        others = (
            Requirement(one.key, cast("Operator", one.operator), frozenset(one.values))
            for one in self.match_expressions
        )
        return LabelSelector((*equal, *others))


class _ResourceSelector(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    label_selector: _LabelSelector | None = None


class _ClusterAffinity(msgspec.Struct, rename="camel"):
    cluster_names: list[str] = []


class _Placement(msgspec.Struct, rename="camel"):
    cluster_affinity: _ClusterAffinity = msgspec.field(default_factory=_ClusterAffinity)
    replica_scheduling: dict[str, Any] = {}


class _Spec(msgspec.Struct, rename="camel"):
    resource_selectors: list[_ResourceSelector] = []
    placement: _Placement = msgspec.field(default_factory=_Placement)
    priority: int = 0
    scheduler_name: str = ""
    conflict_resolution: str = ""
    preemption: str = ""
    preserve_resources_on_deletion: bool = False


def _problems(spec: _Spec, namespace: str) -> Iterator[str]:
    """What is wrong with the fields that are known, in words for whoever wrote the policy."""
    if not spec.resource_selectors:
        yield "spec.resourceSelectors has to name at least one kind"
    for number, selector in enumerate(spec.resource_selectors):
        path = f"spec.resourceSelectors[{number}]"
        for name, value in (("apiVersion", selector.api_version), ("kind", selector.kind)):
            if not value:
                yield f"{path}.{name} is missing"
        kind = GroupVersionKind(selector.api_version, selector.kind)
        if not _is_template_kind(kind):
            yield f"{path}: {kind} is not a kind that is propagated"
        if selector.namespace not in ("", namespace):
            yield f"{path}.namespace is {selector.namespace}: a PropagationPolicy selects in its own namespace only"
        expressions = selector.label_selector.match_expressions if selector.label_selector is not None else ()
        for index, term in enumerate(expressions):
            # As metav1: an operator on values without values, or the other way round, would select by accident.
            if term.operator not in _OPERATORS or bool(term.values) != term.operator.endswith("In"):
                yield f"{path}.labelSelector.matchExpressions[{index}] is not a requirement on labels"
    names = spec.placement.cluster_affinity.cluster_names
    if not names or not all(names):
        yield "spec.placement.clusterAffinity.clusterNames has to name the clusters"
    if not is_duplicated(spec.placement.replica_scheduling):
        yield "spec.placement.replicaScheduling other than Duplicated is not supported"
    if spec.conflict_resolution not in ("", *_CONFLICT_RESOLUTIONS):
        allowed = " or ".join(_CONFLICT_RESOLUTIONS)
        yield f"spec.conflictResolution {spec.conflict_resolution} is not supported, only {allowed}"
    if spec.preemption not in ("", "Never"):
        yield f"spec.preemption {spec.preemption} is not supported, only Never"


def _unsupported(spec: JsonObject) -> Iterator[str]:
    """The fields that are not known and say something."""
    for number, selector in enumerate(spec.get("resourceSelectors", ())):
        path = f"spec.resourceSelectors[{number}]"
        yield from _unknown(selector, _ResourceSelector, path)
        yield from _unknown(selector.get("labelSelector", {}), _LabelSelector, f"{path}.labelSelector")
    placement = spec.get("placement", {})
    yield from _unknown(placement.get("clusterAffinity", {}), _ClusterAffinity, "spec.placement.clusterAffinity")
    yield from _unknown(placement, _Placement, "spec.placement")
    yield from _unknown(spec, _Spec, "spec")


def _unknown(content: JsonObject, known: type[msgspec.Struct], path: str) -> Iterator[str]:
    names = {field.encode_name for field in msgspec.structs.fields(known)}
    for name in sorted(content.keys() - names):
        if not _is_empty(content[name]):
            yield f"{path}.{name} is not supported"


def _is_empty(value: Any) -> bool:
    # Go writes, and people leave, empty fields where there is nothing to say.
    return value in (None, "", False, [], {}) and type(value) is not int


def _is_template_kind(kind: GroupVersionKind) -> bool:
    # Bindings and Works would be propagated by way of bindings and Works of their own, and Events come back.
    group = kind.group
    return kind not in _UNSUPPORTED_KINDS and not any(
        group == one or group.endswith(f".{one}") for one in _UNSUPPORTED_GROUPS
    )
