"""The diagnosis: all rules over one observed world, and which link of the chain is broken first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Finding, ObjectRef, Severity
from mcs_controller.diagnosis.rules import RULES
from mcs_controller.diagnosis.rules.rule import Context, Rule, Scope
from mcs_controller.diagnosis.world import Unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mcs_controller.diagnosis.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found, in the order of the chain, without mere consequences.

    Attributes:
        findings: the worst of each link first.
        hidden: consequences of findings.
        checked: the codes of the rules that could look.
    """

    findings: Sequence[Finding]
    hidden: Sequence[Finding]
    checked: frozenset[str]

    @property
    def verdict(self) -> Finding | None:
        """The first broken link: the first error; None if there is none."""
        return next((one for one in self.findings if one.severity is Severity.ERROR), None)

    @property
    def severity(self) -> Severity:
        """Of the worst finding."""
        return max((one.severity for one in self.findings), default=Severity.INFO)


def diagnose(world: World, rules: Iterable[Rule] | None = None) -> Diagnosis:
    """Run the rules, all of them by default. A rule that raises Unseen is a finding itself, of severity UNKNOWN."""
    found: list[Finding] = []
    checked: set[str] = set()
    for rule in RULES.values() if rules is None else rules:
        unseen_ones: dict[str, Finding] = {}
        try:
            contexts = list(_contexts(rule, world))
        except Unseen as unseen:
            found.append(_unseen(Context(world=world, rule=rule), unseen))
            continue
        for context in contexts:
            try:
                found.extend(rule.check(context))
            except Unseen as unseen:
                one = _unseen(context, unseen)
                # The same obstacle to many clusters, or to many pairs of one, is said once.
                same = unseen_ones.get(one.evidence, one)
                unseen_ones[one.evidence] = replace(same, clusters=same.clusters | one.clusters)
        found.extend(unseen_ones.values())
        if not unseen_ones:
            checked.add(rule.code)
    shown = [one for one in found if not any(other.explains(one) for other in found)]
    hidden = [one for one in found if one not in shown]
    return Diagnosis(
        findings=sorted(shown, key=lambda one: (one.link, -one.severity, one.symptom, one.code, one.object)),
        hidden=hidden,
        checked=frozenset(checked),
    )


def _contexts(rule: Rule, world: World) -> Iterator[Context]:
    match rule.scope:
        case Scope.WORLD:
            yield Context(world=world, rule=rule)
        case Scope.MEMBER:
            yield from (Context(world=world, rule=rule, cluster=name) for name in sorted(world.members))
        case Scope.SERVICE:
            if world.service is not None and world.mcs is not None:
                yield Context(world=world, rule=rule)
        case Scope.PROVIDER if world.service is not None:
            yield from (Context(world=world, rule=rule, cluster=name) for name in world.providers)
        case Scope.CONSUMER if world.service is not None:
            yield from (Context(world=world, rule=rule, cluster=name) for name in world.consumers)
        case Scope.NEIGHBOURS if world.service is None:
            for one, other in combinations(sorted(world.members), 2):
                yield Context(world=world, rule=rule, cluster=other, provider=one)
        case Scope.PAIR | Scope.NEIGHBOURS if world.service is not None:
            for provider, consumer in world.pairs():
                yield Context(world=world, rule=rule, cluster=consumer, provider=provider)


def _unseen(context: Context, unseen: Unseen) -> Finding:
    """What could not be looked at is nobody's consequence, but one that is broken explains why it cannot be seen."""
    rule = context.rule
    return Finding(
        code=rule.code,
        link=rule.link,
        severity=Severity.UNKNOWN,
        object=ObjectRef(context.cluster or CONTROL_PLANE, "Cluster" if context.cluster else "control plane"),
        problem=f"not checked: {rule.title}",
        evidence=str(unseen),
        clusters=frozenset(name for name in (context.cluster, context.provider) if name),
        symptom=True,
    )
