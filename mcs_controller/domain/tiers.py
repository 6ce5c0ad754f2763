"""Which clusters a consumer prefers: the rules that users write, and the tiers that they make for one consumer.

Written as annotations on a MultiClusterService, on its Namespace in the control plane, or as flags; the first that says
something of a key wins. docs/selection.md explains them to users:

    multiclusterservice.karmada.io/tiers            local; clusters=member1,member3; same-region; any
    multiclusterservice.karmada.io/tier-minimum     1, or 50%
    multiclusterservice.karmada.io/tier-strict      true
    multiclusterservice.karmada.io/hand-back-after  30s
    multiclusterservice.karmada.io/hand-back-step   50%
    multiclusterservice.karmada.io/hand-back-every  10s
    multiclusterservice.karmada.io/drain            member1,member3

On a Cluster the last one, as a label or the key of a taint, drains the cluster for all services.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from informers.selectors import LabelSelector
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.conditions import printable
from mcs_controller.domain.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mcs_controller.api.cluster import Cluster
    from mcs_controller.domain.selection import Clusters

T = TypeVar("T")

MAX_TIERS: Final = 16

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,46}[a-z0-9])?")
_MINIMUM: Final = re.compile(r"([0-9]{1,6})(%?)")
_MAX_SHOWN: Final = 64


_EVERYTHING: Final = LabelSelector()


class Kind(enum.StrEnum):
    """How a tier says which clusters it means."""

    LOCAL = "local"
    CLUSTERS = "clusters"
    SELECTOR = "selector"
    SAME_ZONE = "same-zone"
    SAME_REGION = "same-region"
    SAME_PROVIDER = "same-provider"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Tier:
    """One entry of the list.

    Attributes:
        kind: see there.
        names: clusters, of a tier of kind CLUSTERS.
        selector: of a tier of kind SELECTOR.
        text: as it is written.
    """

    kind: Kind
    text: str
    names: frozenset[str] = frozenset()
    selector: LabelSelector = _EVERYTHING

    def has(self, cluster: Cluster, consumer: Cluster) -> bool:
        """Whether the cluster is in this tier of the consumer. A zone or region that is not said equals no other."""
        here, there = cluster.spec, consumer.spec
        match self.kind:
            case Kind.LOCAL:
                return cluster.name == consumer.name
            case Kind.CLUSTERS:
                return cluster.name in self.names
            case Kind.SELECTOR:
                return self.selector.matches(cluster.metadata.labels)
            case Kind.SAME_ZONE:
                return bool({*here.zones, here.zone} & {*there.zones, there.zone} - {""})
            case Kind.SAME_REGION:
                return bool(here.region) and here.region == there.region
            case Kind.SAME_PROVIDER:
                return bool(here.provider) and here.provider == there.provider
            case Kind.ANY:
                return True


_ANY: Final = Tier(Kind.ANY, Kind.ANY)


@dataclass(frozen=True, slots=True)
class Minimum:
    """How many ready endpoints make a tier good enough: a number, or a share of those that are listed, in percent."""

    number: int
    percent: bool = False

    def is_met(self, ready: int, listed: int) -> bool:
        """Whether that many are enough; none never are."""
        return ready > 0 and (ready * 100 >= listed * self.number if self.percent else ready >= self.number)

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


_ONE: Final = Minimum(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRules:
    """What was written for one service.

    Attributes:
        tiers: in order. If they are not strict, the last one is `any`.
        minimum: of ready endpoints, for a tier to be good enough.
        strict: nothing is ever offered that is in none of the tiers.
        hand_back_after: seconds that a better tier has to be good before the endpoints of later ones are taken away.
        hand_back_step: share of the offered endpoints that is taken away at once, 0 to 0.5.
        hand_back_every: seconds between two such steps.
        drained: clusters that are not to be offered for this service.
    """

    tiers: tuple[Tier, ...] = (_ANY,)
    minimum: Minimum = _ONE
    strict: bool = False
    hand_back_after: float = 30.0
    hand_back_step: float = 0.5
    hand_back_every: float = 10.0
    drained: frozenset[str] = frozenset()


DEFAULTS: Final[Mapping[str, str]] = {
    wk.TIERS: "",
    wk.TIER_MINIMUM: "1",
    wk.TIER_STRICT: "false",
    wk.HAND_BACK_AFTER: "30s",
    wk.HAND_BACK_STEP: "50%",
    wk.HAND_BACK_EVERY: "10s",
}
"""What holds if nobody says anything: no tiers, so each consumer gets the endpoints of all providers."""

KEYS: Final = (*DEFAULTS, wk.DRAIN)


class RulesFound(NamedTuple):
    """The rules for a service.

    Attributes:
        rules: None if there are none: each consumer gets the endpoints of all providers.
        problems: what cannot be understood, with the annotation's path.
        invalid: the tiers cannot be understood and are strict: nothing may be offered that is not offered already.
    """

    rules: SelectionRules | None
    problems: tuple[str, ...] = ()
    invalid: bool = False


def rules_for(
    annotations: Mapping[str, str], namespace: Mapping[str, str], flags: Mapping[str, str], *, draining: bool
) -> RulesFound:
    """The rules from a service's annotations, those of its Namespace, and the flags.

    `draining` says whether some Cluster is drained for all services.
    """
    said = tuple(next((where[key] for where in (annotations, namespace, flags) if key in where), None) for key in KEYS)
    tiers, *_, drained = said
    return _read(said, draining) if tiers or drained or draining else _NONE


_NONE: Final = RulesFound(None)


@lru_cache(maxsize=1024)
def _read(said: tuple[str | None, ...], draining: bool) -> RulesFound:
    texts = dict(DEFAULTS) | {key: text for key, text in zip(KEYS, said, strict=True) if text is not None}
    problems: list[str] = []

    def read(key: str, parse: Callable[[str], T], otherwise: T) -> T:
        try:
            return parse(texts[key]) if key in texts else otherwise
        except ValueError as error:
            problems.append(f"{path_of(key)}: Invalid value: {_shown(texts[key])}: {error}")
            return otherwise

    tiers = read(wk.TIERS, parse_tiers, None)
    strict = read(wk.TIER_STRICT, parse_strict, True)  # whoever wrote something here cared
    rules = SelectionRules(
        tiers=(tiers or ()) if strict and tiers else (*(one for one in tiers or () if one != _ANY), _ANY),
        minimum=read(wk.TIER_MINIMUM, parse_minimum, _ONE),
        strict=strict,
        hand_back_after=read(wk.HAND_BACK_AFTER, parse_duration, 30.0),
        hand_back_step=read(wk.HAND_BACK_STEP, parse_step, 0.5),
        hand_back_every=read(wk.HAND_BACK_EVERY, parse_every, 10.0),
        drained=read(wk.DRAIN, parse_drained, frozenset()),
    )
    invalid = tiers is None and strict
    needed = tiers or rules.drained or draining or invalid
    return RulesFound(rules if needed else None, tuple(problems), invalid)


def path_of(key: str) -> str:
    """Where an annotation is in an object, as validation errors of Kubernetes name it."""
    return f"metadata.annotations[{key}]"


def parse_tiers(text: str) -> tuple[Tier, ...]:
    """Tiers as they are written, in order.

    Raises:
        ValueError: which entry is wrong, and what would do.
    """
    entries = [one.strip() for one in text.split(";")]
    if entries and not entries[-1]:
        entries.pop()
    if len(entries) > MAX_TIERS:
        raise ValueError(f"must have at most {MAX_TIERS} tiers")
    tiers = tuple(_parse_tier(index, entry) for index, entry in enumerate(entries))
    for index, tier in enumerate(tiers):
        if tier.kind is Kind.LOCAL and index > 0:
            raise ValueError(
                f"tier {index + 1}: local must be the first, as nobody can take a consumer's own Pods away"
            )
        if tier.kind is Kind.ANY and index < len(tiers) - 1:
            raise ValueError(f"tier {index + 1}: any must be the last, as no cluster is left after it")
        if tier.text in {one.text for one in tiers[:index]}:
            raise ValueError(f"tier {index + 1}: {_shown(tier.text)} is there twice")
    return tiers


def _parse_tier(index: int, entry: str) -> Tier:
    kind, given, value = (part.strip() for part in entry.partition("="))
    try:
        match kind:
            case Kind.CLUSTERS if given:
                return Tier(Kind.CLUSTERS, entry, names=parse_names(value))
            case Kind.SELECTOR if given:
                selector = LabelSelector.parse(value)
                if not selector.requirements:
                    raise ValueError("a selector must name a label")
                return Tier(Kind.SELECTOR, entry, selector=selector)
            case _ if not given and kind in _PLAIN:
                return Tier(Kind(kind), entry)
    except ValueError as error:
        raise ValueError(f"tier {index + 1}: {error}") from error
    known = f"{', '.join(_PLAIN)}, clusters=NAME,NAME or selector=LABEL=VALUE"
    raise ValueError(f"tier {index + 1}: {_shown(entry)} is no tier; write {known}, with ';' between tiers")


_PLAIN: Final = tuple(str(one) for one in Kind if one not in (Kind.CLUSTERS, Kind.SELECTOR))


def parse_names(text: str) -> frozenset[str]:
    """Names of clusters, with commas between them.

    Raises:
        ValueError: one is no name of a Cluster, or there is none.
    """
    names = [one.strip() for one in text.split(",")]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{_shown(name)} is no name of a Cluster")
    return frozenset(names)


def parse_minimum(text: str) -> Minimum:
    """A number of endpoints, or a share of those that are listed.

    Raises:
        ValueError: it is neither.
    """
    found = _MINIMUM.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= (100 if found[2] else 999_999):
        raise ValueError("must be a number of endpoints from 1 on like 30, or a share of those listed like 50%")
    return Minimum(int(found[1]), percent=bool(found[2]))


def parse_strict(text: str) -> bool:
    """True or false.

    Raises:
        ValueError: it is neither.
    """
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def parse_step(text: str) -> float:
    """A share from 1% to 50%, as 0.01 to 0.5.

    Raises:
        ValueError: it is no such share.
    """
    found = _MINIMUM.fullmatch(text.strip())
    if found is None or not found[2] or not 1 <= int(found[1]) <= 50:
        raise ValueError("must be from 1% to 50%: a larger step would give some Pod more than twice its share")
    return int(found[1]) / 100


def parse_every(text: str) -> float:
    """Seconds, more than none.

    Raises:
        ValueError: it is no such duration.
    """
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError("must be more than 0")
    return seconds


def parse_drained(text: str) -> frozenset[str]:
    """As `parse_names`; there may be none.

    Raises:
        ValueError: one is no name of a Cluster.
    """
    return parse_names(text) if text.strip() else frozenset()


_PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    wk.TIERS: parse_tiers,
    wk.TIER_MINIMUM: parse_minimum,
    wk.TIER_STRICT: parse_strict,
    wk.HAND_BACK_AFTER: parse_duration,
    wk.HAND_BACK_STEP: parse_step,
    wk.HAND_BACK_EVERY: parse_every,
    wk.DRAIN: parse_drained,
}


def problem_with(key: str, text: str) -> str | None:
    """Why the value of a key cannot be understood; None if it can."""
    try:
        _PARSERS[key](text)
    except ValueError as error:
        return str(error)
    return None


def is_drained(cluster: Cluster) -> bool:
    """Whether the Cluster is drained for all services, by a label or a taint, whatever their values are."""
    return wk.DRAIN in cluster.metadata.labels or any(taint.key == wk.DRAIN for taint in cluster.spec.taints)


@dataclass(frozen=True, slots=True)
class ConsumerTiers:
    """The tiers of one consumer.

    Attributes:
        tiers: (as it is written, clusters), in order. A cluster is in the first tier that has it.
        drained: clusters that are in some tier, and are not to be offered.
        own_tier: the place of the consumer itself; None if it is in no tier.
    """

    tiers: tuple[tuple[str, tuple[str, ...]], ...]
    drained: tuple[str, ...] = ()
    own_tier: int | None = None


def tiers_of(rules: SelectionRules, consumer: str, providers: Iterable[str], clusters: Clusters) -> ConsumerTiers:
    """Who of the providers is in which tier of the consumer. Itself it is in one, whether it provides or not.

    A cluster that is drained for its own Pods keeps them: they are nobody's to take.
    """
    here = clusters.get(consumer)
    members: list[list[str]] = [[] for _ in rules.tiers]
    drained: list[str] = []
    own: int | None = None
    for name in sorted({*providers, consumer}):
        cluster = clusters.get(name)
        if cluster is None or here is None:
            continue
        place = next((index for index, tier in enumerate(rules.tiers) if tier.has(cluster, here)), None)
        if name == consumer:
            own = place
        if place is None:
            continue
        if name != consumer and (name in rules.drained or is_drained(cluster)):
            drained.append(name)
        else:
            members[place].append(name)
    tiers = tuple((tier.text, tuple(names)) for tier, names in zip(rules.tiers, members, strict=True))
    return ConsumerTiers(tiers, tuple(drained), own)


def _shown(text: str) -> str:
    return f'"{printable(text[:_MAX_SHOWN])}{"…" if len(text) > _MAX_SHOWN else ""}"'
