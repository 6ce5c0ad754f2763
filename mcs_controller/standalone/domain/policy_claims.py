"""Whose a template is: the PropagationPolicy of its namespace that has it, if one does.

The policy that claimed it keeps it as long as it selects it, whatever others say (Karmada without preemption).
Otherwise the highest `spec.priority` wins, then the more precise match (by name, by labels, by kind alone), then the
name that comes first.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from informers.resource import GroupVersionKind
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import named_in
from mcs_controller.standalone.domain.policy_spec import PolicyLimits, PolicySpec, UnsupportedPolicy, parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from informers.meta import KubeObject, ObjectKey, ObjectMeta
    from mcs_controller.api.common import Unstructured
    from mcs_controller.api.policy import PropagationPolicy
    from mcs_controller.api.resourcebinding import ResourceBinding

BY_NAMESPACE = "namespace"
"""Policies and templates by their namespace."""

BY_KIND = "kind"
"""Policies by the kinds that they select; ResourceBindings by the kind of a template that a policy has claimed."""

BY_CLAIM = "claim"
"""Templates and ResourceBindings by the (namespace, name) of the policy that has claimed them, if nothing else has."""


_ALL: Final = PolicyLimits()


class ClaimDecision(enum.Enum):
    """The plan for a template to which no policy applies."""

    RELEASE = "no policy has it: take our marks off, leave what runs"
    YIELD = "something else has it: do not touch it, take our marks off its binding"
    LEAVE = "touch nothing"


@dataclass(frozen=True, slots=True)
class ApplyPolicy:
    """The policy that has a template, and what it says: claim it, and bind it so."""

    policy: PropagationPolicy
    spec: PolicySpec


def claimed_by(meta: ObjectMeta) -> ObjectKey | None:
    """The policy that the marks on a template or binding name; None without marks."""
    return named_in(meta.annotations, wk.POLICY_NAMESPACE, wk.POLICY_NAME)


def decide(
    kind: GroupVersionKind, template: KubeObject, policies: Sequence[PropagationPolicy], limits: PolicyLimits = _ALL
) -> ApplyPolicy | ClaimDecision:
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
            spec = limits.parse(holder)
        except UnsupportedPolicy:
            return ClaimDecision.LEAVE
        if spec.precision(kind, meta):
            return ApplyPolicy(holder, spec)
    matching = [
        (policy, spec, precision)
        for policy, spec in _usable(policies, limits)
        if (precision := spec.precision(kind, meta))
    ]
    if not matching:
        return ClaimDecision.RELEASE
    policy, spec, _ = min(matching, key=lambda one: (-one[1].priority, -one[2], one[0].metadata.name))
    # Without its id it cannot claim anything yet; the write that gives it one leads back here.
    return ApplyPolicy(policy, spec) if policy_id(policy) else ClaimDecision.LEAVE


def selecting(
    kind: GroupVersionKind, template: KubeObject, policies: Iterable[PropagationPolicy], limits: PolicyLimits = _ALL
) -> Iterable[PropagationPolicy]:
    """The policies that select a template, whoever has it."""
    return (policy for policy, spec in _usable(policies, limits) if spec.precision(kind, template.metadata))


def policy_id(policy: PropagationPolicy) -> str:
    """The policy's permanent id; empty if it has none yet."""
    return policy.metadata.labels.get(wk.POLICY_PERMANENT_ID, "")


def _holder(meta: ObjectMeta, policies: Iterable[PropagationPolicy]) -> PropagationPolicy | None:
    """The living policy that has claimed the template. A claim of one that was deleted and made anew is void."""
    claimed = meta.labels.get(wk.POLICY_PERMANENT_ID)
    named = claimed_by(meta)
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


def _usable(
    policies: Iterable[PropagationPolicy], limits: PolicyLimits
) -> Iterable[tuple[PropagationPolicy, PolicySpec]]:
    for policy in policies:
        if policy.metadata.deletion_timestamp is not None:
            continue
        try:
            spec = limits.parse(policy)
        except UnsupportedPolicy:
            continue
        yield policy, spec


# --- indexes ---------------------------------------------------------------------------------------------------------


def _namespace(obj: KubeObject) -> Iterable[Hashable]:
    return (obj.metadata.namespace,)


def _policy_kinds(policy: PropagationPolicy) -> Iterable[Hashable]:
    try:
        return parse_policy(policy).kinds
    except UnsupportedPolicy:
        return ()


def _claim(obj: KubeObject) -> Iterable[Hashable]:
    named = claimed_by(obj.metadata)
    return (named,) if named is not None and not obj.metadata.labels.get(wk.CLAIMED_BY) else ()


def _claimed_kind(binding: ResourceBinding) -> Iterable[Hashable]:
    if claimed_by(binding.metadata) is None:
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
