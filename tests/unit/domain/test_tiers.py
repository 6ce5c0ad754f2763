"""Which clusters a consumer prefers: the rules as users write them, and the tiers of one consumer."""

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.tiers import (
    DEFAULTS,
    Kind,
    Minimum,
    RulesFound,
    parse_minimum,
    parse_step,
    parse_tiers,
    problem_with,
    rules_for,
    tiers_of,
)
from tests.support.builders import a_cluster

FLAGS = dict(DEFAULTS)


def rules(
    annotations: dict[str, str], *, namespace: dict[str, str] | None = None, draining: bool = False
) -> RulesFound:
    return rules_for(annotations, namespace or {}, FLAGS, draining=draining)


def test_tiers_are_read_in_order() -> None:
    text = "local; clusters=m1, m3 ;selector=env in (prod,stage),!old; same-zone; same-region;same-provider; any;"
    tiers = parse_tiers(text)
    assert [one.kind for one in tiers] == [
        *(Kind.LOCAL, Kind.CLUSTERS, Kind.SELECTOR, Kind.SAME_ZONE, Kind.SAME_REGION, Kind.SAME_PROVIDER, Kind.ANY)
    ]
    assert tiers[1].names == {"m1", "m3"}
    assert tiers[2].selector.matches({"env": "stage"})
    assert not tiers[2].selector.matches({"env": "prod", "old": ""})
    assert parse_tiers("") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("near", 'tier 1: "near" is no tier; write local, same-zone'),
        ("local;;any", 'tier 2: "" is no tier'),
        ("same-region; local", "tier 2: local must be the first, as nobody can take a consumer's own Pods away"),
        ("any; same-zone", "tier 1: any must be the last"),
        ("clusters=", 'tier 1: "" is no name of a Cluster'),
        ("local; clusters=m1,M2", 'tier 2: "M2" is no name of a Cluster'),
        ("selector=a==b==c", "tier 1: label selector"),
        ("selector=", "tier 1: a selector must name a label"),
        ("local=m1", 'tier 1: "local=m1" is no tier'),
        ("same-zone; same-zone", 'tier 2: "same-zone" is there twice'),
        (";".join(f"clusters=m{n}" for n in range(17)), "must have at most 16 tiers"),
        ("clusters=m1\n", ""),
        ("\x1b[31m" + "x" * 500, 'tier 1: "\\x1b[31mxxx'),
    ],
)
def test_a_tier_that_cannot_be_read_is_named(text: str, problem: str) -> None:
    if not problem:
        assert parse_tiers(text)
        return
    with pytest.raises(ValueError, match=r"^") as found:
        parse_tiers(text)
    assert problem in str(found.value)
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("text", ["0", "-1", "101%", "0%", "half", "", "1.5", "1000000"])
def test_a_minimum_is_a_number_or_a_share(text: str) -> None:
    assert parse_minimum("30") == Minimum(30)
    assert parse_minimum("50%") == Minimum(50, percent=True)
    with pytest.raises(ValueError, match="must be a number of endpoints"):
        parse_minimum(text)


def test_no_ready_endpoint_is_never_enough() -> None:
    assert not Minimum(1, percent=True).is_met(0, 0)
    assert Minimum(50, percent=True).is_met(5, 10)
    assert not Minimum(50, percent=True).is_met(4, 10)
    assert Minimum(3).is_met(3, 100)


@pytest.mark.parametrize("text", ["51%", "0%", "25", "x%"])
def test_a_step_is_at_most_half(text: str) -> None:
    assert parse_step("50%") == 0.5
    with pytest.raises(ValueError, match="from 1% to 50%"):
        parse_step(text)


def test_the_service_wins_over_its_namespace_and_this_over_the_flags() -> None:
    found = rules({wk.TIERS: "local"}, namespace={wk.TIERS: "same-zone", wk.TIER_MINIMUM: "3"})
    assert found.rules is not None
    assert [one.text for one in found.rules.tiers] == ["local", "any"]
    assert found.rules.minimum == Minimum(3)
    assert found.problems == ()
    assert rules({wk.TIERS: ""}, namespace={wk.TIERS: "same-zone"}).rules is None


def test_nothing_said_is_no_rule() -> None:
    assert rules({}) == RulesFound(None)
    assert rules({wk.TIER_MINIMUM: "3"}) == RulesFound(None)
    drained = rules({}, draining=True).rules
    assert drained is not None
    assert [one.kind for one in drained.tiers] == [Kind.ANY]


def test_strict_tiers_have_no_end() -> None:
    found = rules({wk.TIERS: "local;clusters=m1", wk.TIER_STRICT: "true"}).rules
    assert found is not None
    assert [one.kind for one in found.tiers] == [Kind.LOCAL, Kind.CLUSTERS]


def test_what_cannot_be_read_is_told_with_its_path_and_ignored() -> None:
    found = rules({wk.TIERS: "nearby", wk.HAND_BACK_STEP: "80%"})
    assert found.rules is None
    assert not found.invalid
    assert [one.partition("]: ")[0] for one in found.problems] == [
        f"metadata.annotations[{wk.TIERS}",
        f"metadata.annotations[{wk.HAND_BACK_STEP}",
    ]


@pytest.mark.parametrize("strict", ["true", "yes"])
def test_strict_tiers_that_cannot_be_read_offer_nothing_new(strict: str) -> None:
    """A typo must not send traffic where data may not go."""
    found = rules({wk.TIERS: "clusters=m1;nearby", wk.TIER_STRICT: strict})
    assert found.invalid


def test_strict_that_cannot_be_read_is_strict() -> None:
    found = rules({wk.TIERS: "clusters=m1", wk.TIER_STRICT: "yes"})
    assert found.rules is not None
    assert found.rules.strict
    assert [one.kind for one in found.rules.tiers] == [Kind.CLUSTERS]


def test_every_default_can_be_read() -> None:
    assert [problem_with(key, text) for key, text in DEFAULTS.items()] == [None] * len(DEFAULTS)


def test_a_cluster_is_in_the_first_tier_that_has_it() -> None:
    clusters = {
        "m1": a_cluster("m1", spec={"region": "eu", "provider": "acme", "zones": ["a", "b"]}),
        "m2": a_cluster("m2", spec={"region": "eu", "zone": "b"}),
        "m3": a_cluster("m3", spec={"region": "us", "provider": "acme"}),
        "m4": a_cluster("m4"),
        "m5": a_cluster("m5", metadata={"labels": {wk.DRAIN: ""}}),
    }
    found = rules({wk.TIERS: "local; same-zone; same-region; same-provider; clusters=m4"}).rules
    assert found is not None
    assert tiers_of(found, "m1", ["m1", "m2", "m3", "m4", "m5", "gone"], clusters).tiers == (
        ("local", ("m1",)),
        ("same-zone", ("m2",)),
        ("same-region", ()),
        ("same-provider", ("m3",)),
        ("clusters=m4", ("m4",)),
        ("any", ()),
    )
    assert tiers_of(found, "m1", clusters, clusters).drained == ("m5",)
    # What a Cluster does not say is the same as nothing, not even as what another does not say.
    assert tiers_of(found, "m4", ["m5"], clusters).tiers[1:4] == (
        *(("same-zone", ()), ("same-region", ()), ("same-provider", ())),
    )


def test_a_drained_consumer_keeps_its_own_pods() -> None:
    taint = {"taints": [{"key": wk.DRAIN, "effect": "NoSchedule"}]}
    clusters = {"m1": a_cluster("m1", spec=taint), "m2": a_cluster("m2")}
    found = rules({wk.TIERS: "local"}).rules
    assert found is not None
    assert tiers_of(found, "m1", ["m1", "m2"], clusters).tiers[0] == ("local", ("m1",))
    assert tiers_of(found, "m2", ["m1", "m2"], clusters).drained == ("m1",)
