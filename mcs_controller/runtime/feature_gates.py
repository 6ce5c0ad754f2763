"""Switches for features that are not for everybody yet.

Rules of Kubernetes' `component-base/featuregate`: each gate has a stage and a default;
`--feature-gates=A=true,B=false` sets some; `AllAlpha` and `AllBeta` set those of a stage that are not set by name; a
locked one cannot be changed. Parsed once, then an immutable value that is passed down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's strconv.ParseBool takes."""


class Stage(Enum):
    """How finished a feature is."""

    ALPHA = "ALPHA"
    BETA = "BETA"
    GA = "GA"


_GROUPS: Final[Mapping[str, Stage]] = MappingProxyType({"AllAlpha": Stage.ALPHA, "AllBeta": Stage.BETA})


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One gate.

    Attributes:
        name: as in the flag.
        stage: alpha features are off and beta features on by custom, but `default` decides.
        default: unless set.
        locked: the default cannot be changed any more.
        description: one sentence for the help text.
    """

    name: str
    stage: Stage
    default: bool
    locked: bool = False
    description: str = ""


class FeatureGates:
    """Which features are on. Immutable."""

    def __init__(self, features: Iterable[Feature], text: str = "") -> None:
        """Parse the value of `--feature-gates`. Of two settings for one name the later wins.

        Raises:
            ValueError: an unknown gate, a value that is no boolean, or a locked gate set to the other value.
        """
        known = {feature.name: feature for feature in features}
        chosen = _parse(known, text)
        enabled = {name: feature.default for name, feature in known.items()}
        for group, stage in _GROUPS.items():
            if group in chosen:
                in_stage = (feature for feature in known.values() if feature.stage is stage and not feature.locked)
                enabled.update((feature.name, chosen[group]) for feature in in_stage)
        enabled.update((name, value) for name, value in chosen.items() if name in known)
        self._enabled: Mapping[str, bool] = MappingProxyType(enabled)

    def enabled(self, name: str) -> bool:
        """Whether the feature is on. Raises KeyError for one that does not exist: that is a mistake in the program."""
        return self._enabled[name]

    def __str__(self) -> str:
        return ",".join(f"{name}={str(value).lower()}" for name, value in sorted(self._enabled.items()))


def feature_gates_help(features: Iterable[Feature]) -> str:
    """One line per gate for the flag's help text, in Kubernetes' format."""
    lines = [f"{group}=true|false ({stage.value} - default=false)" for group, stage in _GROUPS.items()]
    for feature in sorted(features, key=lambda feature: feature.name):
        line = f"{feature.name}=true|false ({feature.stage.value} - default={str(feature.default).lower()})"
        lines.append(f"{line} {feature.description}".rstrip())
    return "\n".join(lines)


def _parse(known: Mapping[str, Feature], text: str) -> dict[str, bool]:
    chosen: dict[str, bool] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = (part.strip() for part in item.partition("="))
        if name not in known and name not in _GROUPS:
            raise ValueError(f"unknown feature gate {name!r}; known are {', '.join(sorted([*known, *_GROUPS]))}")
        if not separator:
            raise ValueError(f"feature gate {name} needs a value: {name}=true or {name}=false")
        if value not in _TRUE | _FALSE:
            raise ValueError(f"feature gate {name}: {value!r} is neither true nor false")
        chosen[name] = value in _TRUE
        feature = known.get(name)
        if feature is not None and feature.locked and chosen[name] != feature.default:
            raise ValueError(f"feature gate {name} is locked to {str(feature.default).lower()}")
    return chosen
