"""Label selectors, evaluated here as the API server evaluates them.

An informer with a selector needs this for the answers to its owner's writes: an object may have left the selection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIREMENT: Final = re.compile(
    r"""\s*(?:
        (?P<absent>!)?\s*(?P<key>[\w./-]+)\s*(?:
            (?P<op>==?|!=)\s*(?P<value>[\w.-]*)
          | (?P<set>in|notin)\s*\((?P<values>[^()]*)\)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE | re.ASCII,
)


Operator: TypeAlias = Literal["In", "NotIn", "Exists", "DoesNotExist"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector (metav1.LabelSelectorRequirement)."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":  # an object without the label matches
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements of a selector; the empty one matches everything (metav1.LabelSelector)."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read the form of a list request: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.

        Raises:
            ValueError: it is not of that form. (`gt` and `lt`, of node affinity only, are not.)
        """
        requirements: list[Requirement] = []
        position = 0
        while text[position:].strip():
            match = _REQUIREMENT.match(text, position)
            if match is None or (match["absent"] and (match["op"] or match["set"])):
                raise ValueError(f"label selector {text!r}: cannot read it from {text[position:]!r} on")
            position = match.end()
            key = match["key"]
            if match["op"]:
                operator: Operator = "NotIn" if match["op"] == "!=" else "In"
                requirements.append(Requirement(key, operator, frozenset({match["value"]})))
            elif match["set"]:
                values = frozenset(value.strip() for value in match["values"].split(","))
                requirements.append(Requirement(key, "In" if match["set"] == "in" else "NotIn", values))
            else:
                requirements.append(Requirement(key, "DoesNotExist" if match["absent"] else "Exists"))
        return cls(tuple(requirements))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)
