"""What a rule is, and the decorators that register one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from mcs_controller.diagnosis.findings import CONTROL_PLANE, Finding, Link, ObjectRef, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mcs_controller.diagnosis.world import World


class Scope(Enum):
    """For what a rule is called once."""

    WORLD = "world"
    """Once. `cluster` is `CONTROL_PLANE`."""
    MEMBER = "member"
    """Each member that was looked at: with a service, its providers and consumers."""
    SERVICE = "service"
    """Once, if a service was asked for and its MultiClusterService is there."""
    PROVIDER = "provider"
    """Each registered provider of the service."""
    CONSUMER = "consumer"
    """Each registered consumer of the service."""
    NEIGHBOURS = "neighbours"
    """Each two clusters between which traffic goes: the pairs of the service, without one every two members."""
    PAIR = "pair"
    """Each provider with each other consumer; `cluster` is the consumer, `provider` the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a rule is called with.

    Attributes:
        world: what was observed.
        rule: the rule itself.
        cluster: see `Scope`.
        provider: see `Scope`.
    """

    world: World
    rule: Rule
    cluster: str = CONTROL_PLANE
    provider: str = ""

    def found(
        self,
        ref: ObjectRef,
        problem: str,
        *,
        evidence: str = "",
        fix: str = "",
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this rule, about the clusters that it was called for."""
        clusters = frozenset(name for name in (self.cluster, self.provider) if name)
        return Finding(
            code=self.rule.code,
            link=self.rule.link,
            severity=self.rule.severity if severity is None else severity,
            object=ref,
            problem=problem,
            evidence=evidence,
            fix=fix,
            clusters=clusters,
            symptom=self.rule.symptom,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, with what the documentation says of it.

    Attributes:
        code: `MCS0nn`, for ever.
        title: what is wrong, as a heading.
        link: where in the chain.
        scope: for what it is called.
        severity: of its findings, unless they say otherwise.
        symptom: see `Finding.symptom`.
        meaning: for the documentation: what it means for users.
        evidence: for the documentation: what is looked at.
        fix: for the documentation: what to do.
        no_command: for the documentation, after "no command mends it": when that is so, and why. Empty if the command
            that is printed always does.
        check: the rule itself.
    """

    code: str
    title: str
    link: Link
    scope: Scope
    severity: Severity
    symptom: bool
    meaning: str
    evidence: str
    fix: str
    check: Callable[[Context], Iterator[Finding]]
    no_command: str = ""


RULES: Final[dict[str, Rule]] = {}
"""Every rule by its code."""


def rule(
    code: str,
    title: str,
    link: Link,
    scope: Scope,
    *,
    meaning: str,
    evidence: str,
    fix: str,
    no_command: str = "",
    severity: Severity = Severity.ERROR,
    symptom: bool = False,
) -> Callable[[Callable[[Context], Iterator[Finding]]], Callable[[Context], Iterator[Finding]]]:
    """Register a function as a rule; see `Rule` for the parameters."""

    def register(check: Callable[[Context], Iterator[Finding]]) -> Callable[[Context], Iterator[Finding]]:
        if code in RULES:
            raise ValueError(f"{code} is taken by {RULES[code].title!r}")
        RULES[code] = Rule(
            code=code,
            title=title,
            link=link,
            scope=scope,
            severity=severity,
            symptom=symptom,
            meaning=meaning,
            evidence=evidence,
            fix=fix,
            no_command=no_command,
            check=check,
        )
        return check

    return register
