"""Findings: what is wrong with one object, how that was seen, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

CONTROL_PLANE: Final = ""
"""The cluster of objects in the control plane."""


class Link(IntEnum):
    """The links of the chain from the installation to an answer in the consumer, in the order of diagnosis."""

    INSTALLATION = 1
    """Control plane, CustomResourceDefinitions, controllers and their rights."""
    CLUSTERS = 2
    """Registration, credentials, reachability and rights of each member."""
    DECLARATION = 3
    """What users wrote: MultiClusterService, Service, policies."""
    PROVIDER = 4
    """Service, Pods and EndpointSlices in the providers."""
    DELIVERY = 5
    """Works: from the providers to the control plane, and to the consumers."""
    CONSUMER = 6
    """Service and EndpointSlices in the consumers."""
    TRAFFIC = 7
    """kube-proxy, DNS and network."""


class Severity(IntEnum):
    """How bad a finding is, the worst last."""

    INFO = 0
    """Nothing is wrong; users ask about it."""
    WARNING = 1
    """It works, and will not for long, or not for all."""
    IN_PROGRESS = 2
    """A change is on its way; look again."""
    UNKNOWN = 3
    """It could not be looked at, for want of rights or of an answer."""
    ERROR = 4
    """Requests fail, or will get answers that are out of date."""


class ObjectRef(NamedTuple):
    """An object of a cluster. All of it may be unknown but the kind."""

    cluster: str
    kind: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return " ".join(part for part in (self.kind, name, f"in {self.cluster or 'the control plane'}") if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found about one object.

    Attributes:
        code: the rule's, `MCS0nn`: it never gets another meaning.
        link: where in the chain.
        severity: how bad it is.
        object: what is wrong, or is missing.
        problem: one sentence that says what is wrong.
        evidence: what was observed, and where; for people who doubt it.
        fix: a command that can be pasted: it mends this, or shows what people need to know who mend it. Empty if
            nothing is to be done.
        clusters: the members that it concerns; empty means all.
        symptom: whether it is a consequence of whatever is broken before it in the chain, if anything is.
    """

    code: str
    link: Link
    severity: Severity
    object: ObjectRef
    problem: str
    evidence: str = ""
    fix: str = ""
    clusters: frozenset[str] = frozenset()
    symptom: bool = False

    def explains(self, other: Finding) -> bool:
        """Whether the other one is a mere consequence of this one."""
        earlier = (self.link, self.symptom, self.code) < (other.link, other.symptom, other.code)
        shared = not self.clusters or not other.clusters or bool(self.clusters & other.clusters)
        return other.symptom and earlier and shared and self.severity in (Severity.ERROR, Severity.IN_PROGRESS)
