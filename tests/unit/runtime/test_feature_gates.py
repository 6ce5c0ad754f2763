"""Parsing of --feature-gates, by the rules of Kubernetes."""

import pytest

from mcs_controller.runtime.feature_gates import Feature, FeatureGates, Stage, feature_gates_help

FEATURES = (
    Feature(name="Young", stage=Stage.ALPHA, default=False, description="Does something new."),
    Feature(name="Grown", stage=Stage.BETA, default=True),
    Feature(name="Settled", stage=Stage.GA, default=True),
    Feature(name="Locked", stage=Stage.BETA, default=True, locked=True),
)


@pytest.mark.parametrize(
    ("text", "enabled"),
    [
        pytest.param("", {"Grown", "Settled", "Locked"}, id="defaults"),
        pytest.param("Young=true", {"Young", "Grown", "Settled", "Locked"}, id="one"),
        pytest.param(" Young = T , Grown=0, ", {"Young", "Settled", "Locked"}, id="spaces and Go's booleans"),
        pytest.param("Young=true,Young=false", {"Grown", "Settled", "Locked"}, id="later wins"),
        pytest.param("AllAlpha=true", {"Young", "Grown", "Settled", "Locked"}, id="all alpha"),
        pytest.param("Young=false,AllAlpha=true", {"Grown", "Settled", "Locked"}, id="a name beats its group"),
        pytest.param("AllBeta=false", {"Settled", "Locked"}, id="all beta but locked ones"),
        pytest.param("AllBeta=false,Grown=true", {"Grown", "Settled", "Locked"}, id="one beta"),
        pytest.param("Locked=true", {"Grown", "Settled", "Locked"}, id="locked to what it is"),
    ],
)
def test_gates_are_as_the_flag_says(text: str, enabled: set[str]):
    gates = FeatureGates(FEATURES, text)
    assert {feature.name for feature in FEATURES if gates.enabled(feature.name)} == enabled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Yuong=true", "unknown feature gate 'Yuong'; known are AllAlpha, AllBeta, Grown, Locked, Settled, Young"),
        ("Young", "feature gate Young needs a value: Young=true or Young=false"),
        ("Young=yes", "feature gate Young: 'yes' is neither true nor false"),
        ("Locked=false", "feature gate Locked is locked to true"),
    ],
)
def test_mistakes_are_explained(text: str, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        FeatureGates(FEATURES, text)


def test_asking_for_a_gate_that_does_not_exist_is_a_mistake_in_the_program():
    with pytest.raises(KeyError):
        FeatureGates(FEATURES).enabled("Yuong")


def test_help_lists_gates_with_stage_and_default():
    assert feature_gates_help(FEATURES).splitlines() == [
        "AllAlpha=true|false (ALPHA - default=false)",
        "AllBeta=true|false (BETA - default=false)",
        "Grown=true|false (BETA - default=true)",
        "Locked=true|false (BETA - default=true)",
        "Settled=true|false (GA - default=true)",
        "Young=true|false (ALPHA - default=false) Does something new.",
    ]


def test_effective_gates_can_be_logged():
    assert str(FeatureGates(FEATURES, "Young=true")) == "Grown=true,Locked=true,Settled=true,Young=true"
