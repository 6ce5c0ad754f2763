"""Label selectors, evaluated here as the API server evaluates them.

An informer with a selector needs this for the answers to its owner's writes: an object may have left the selection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

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


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":  # an object without the label matches
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements of a selector; the empty one matches everything."""

    requirements: tuple[_Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read the form of a list request: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.

        Raises:
            ValueError: it is not of that form. (`gt` and `lt`, of node affinity only, are not.)
        """
        requirements: list[_Requirement] = []
        position = 0
        while text[position:].strip():
            match = _REQUIREMENT.match(text, position)
            if match is None or (match["absent"] and (match["op"] or match["set"])):
                raise ValueError(f"label selector {text!r}: cannot read it from {text[position:]!r} on")
            position = match.end()
            key = match["key"]
            if match["op"]:
                operator: Literal["in", "notin"] = "notin" if match["op"] == "!=" else "in"
                requirements.append(_Requirement(key, operator, frozenset({match["value"]})))
            elif match["set"]:
                values = frozenset(value.strip() for value in match["values"].split(","))
                requirements.append(_Requirement(key, "in" if match["set"] == "in" else "notin", values))
            else:
                requirements.append(_Requirement(key, "absent" if match["absent"] else "exists"))
        return cls(tuple(requirements))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)
