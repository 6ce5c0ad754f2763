"""Command lines as pflag takes them, and what of karmada-controller-manager's means nothing here."""

import pytest

from mcs_controller.arguments import ACCUMULATING, CONTROLLERS_ELSEWHERE, GATES_ELSEWHERE, as_pflag, without
from mcs_controller.controllers import CONTROLLERS
from mcs_controller.features import FEATURES
from mcs_controller.options import FLAGS


@pytest.mark.parametrize(
    ("args", "known"),
    [
        (["--controllers=a", "--controllers=b"], ["--controllers=a,b"]),
        (["--controllers", "a", "--v=4", "--controllers=b"], ["--controllers=a,b", "--v=4"]),
        (["--controllers=a,b", "--controllers="], ["--controllers=a,b"]),
        (["--controllers="], ["--controllers="]),
        (["--feature-gates=A=true", "--feature-gates=B=false"], ["--feature-gates=A=true,B=false"]),
        (["--v=1", "--v=2"], ["--v=1", "--v=2"]),
        (["-v=4"], ["--v=4"]),
        (["-v4"], ["--v=4"]),
        (["-v", "4"], ["--v", "4"]),
        (["--controllers"], ["--controllers"]),
        (["--", "--enable-pprof"], ["--", "--enable-pprof"]),
        (["stray", "-x", "--nope=1"], ["stray", "-x", "--nope=1"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_is_repeated_adds_up(args: list[str], known: list[str]):
    assert as_pflag(args) == (known, ())


@pytest.mark.parametrize(
    ("args", "known", "ignored"),
    [
        (["--enable-pprof"], [], ["--enable-pprof"]),
        (["--enable-pprof=true", "--v=2"], ["--v=2"], ["--enable-pprof"]),
        (["--enable-pprof", "--v=2"], ["--v=2"], ["--enable-pprof"]),
        (["--profiling-bind-address=:6060"], [], ["--profiling-bind-address"]),
        (["--cluster-monitor-period", "5s", "--v=2"], ["--v=2"], ["--cluster-monitor-period"]),
        (["--log_file", "x", "--log_file=y", "--log-dir=z"], [], ["--log-file", "--log-dir"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_is_for_karmada_alone_is_left_out_with_its_value(args: list[str], known: list[str], ignored: list[str]):
    assert as_pflag(args) == (known, tuple(ignored))


@pytest.mark.parametrize(
    ("text", "left", "out"),
    [
        (
            "*,hpaScaleTargetMarker,-gracefulEviction, remedy",
            "*",
            ("hpaScaleTargetMarker", "-gracefulEviction", "remedy"),
        ),
        ("*,nope", "*,nope", ()),
        ("", "", ()),
    ],
)
def test_controllers_that_are_elsewhere_are_left_out(text: str, left: str, out: tuple[str, ...]):
    assert without(text, CONTROLLERS_ELSEWHERE) == (left, out)


def test_gates_that_are_elsewhere_are_left_out_with_their_values():
    found = without("Failover=true, MultiClusterService=true,PropagateDeps=false", GATES_ELSEWHERE)
    assert found == (" MultiClusterService=true", ("Failover=true", "PropagateDeps=false"))


def test_nothing_of_ours_counts_as_elsewhere():
    assert not CONTROLLERS_ELSEWHERE & {info.key for info in CONTROLLERS}
    assert not GATES_ELSEWHERE & {feature.name for feature in FEATURES}
    ours = [flag.name for flag in FLAGS]
    assert as_pflag([f"--{name}=x" for name in ours]).ignored == ()
    assert ours
    assert set(ours) > ACCUMULATING
