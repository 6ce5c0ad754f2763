"""Flags: names and defaults against the contract (chapter 7), and what cannot be worked with."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mcs_controller.domain.reserved import RESERVED
from mcs_controller.features import MULTI_CLUSTER_SERVICE
from mcs_controller.options import ENVIRONMENT_PREFIX, FLAGS, InvalidOptions, Options, command

COMMAND = command("mcs-controller-manager", "1.2.3", "The end.")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith(f"{ENVIRONMENT_PREFIX}_"):
            monkeypatch.delenv(name)


def values(*args: str) -> dict[str, Any]:
    """What the command line says."""
    found = COMMAND.main(args=list(args), standalone_mode=False)
    assert isinstance(found, dict)
    return found


def options(*args: str) -> Options:
    return Options.of(values(*args))


def refusal(*args: str) -> str:
    with pytest.raises(InvalidOptions) as caught:
        options(*args)
    return str(caught.value)


# --- defaults ---------------------------------------------------------------------------------------------------------

CONTRACT: dict[str, Any] = {
    "kubeconfig": "",
    "leader_elect": True,
    "leader_elect_resource_namespace": "karmada-system",
    "leader_elect_lease_duration": 15.0,
    "leader_elect_renew_deadline": 10.0,
    "leader_elect_retry_period": 2.0,
    "kube_api_qps": 40.0,
    "kube_api_burst": 60,
    "cluster_api_qps": 40.0,
    "cluster_api_burst": 60,
    "cluster_cache_sync_timeout": 120.0,
    "resync_period": 0.0,
    "concurrent_work_syncs": 5,
    "concurrent_resourcebinding_syncs": 5,
    "concurrent_cluster_syncs": 5,
    "concurrent_namespace_syncs": 1,
    "rate_limiter_base_delay": 0.005,
    "rate_limiter_max_delay": 1000.0,
    "rate_limiter_qps": 10.0,
    "rate_limiter_bucket_size": 100,
    "cluster_status_update_frequency": 10.0,
    "cluster_success_threshold": 30.0,
    "cluster_failure_threshold": 30.0,
    "metrics_bind_address": ":8080",
    "metrics_service_pairs": 1000,
    "status_page_bind_address": "0",
    "tracing": False,
    "health_probe_bind_address": ":10357",
    "logging_format": "text",
    # Ours; the defaults are what Karmada does.
    "member_cache_memory": 0,
    "member_cache_max_bytes": 0,
    "member_cache_max_objects": 0,
    "strip_topology": False,
    "withdraw_not_ready_after": 0.0,
    "tiers": "",
    "tier_minimum": "1",
    "tier_strict": "false",
    "hand_back_after": "30s",
    "hand_back_step": "50%",
    "hand_back_every": "10s",
}
OURS = {
    "controllers",  # an object; below
    "feature_gates",  # an object; below
    "skipped_propagating_namespaces",  # patterns; below
    "v",  # the contract has no default
    "context",  # ours
    "cluster_name",  # karmada-agent's, as the next two; see test_agent_options.py
    "karmada_kubeconfig",
    "karmada_context",
    "leader_elect_resource_name",  # ours: Karmada's own goes on running beside this one
    "shutdown_grace_period",  # ours
    "propagated_exports_only",  # ours: Karmada follows all of them
    "reserved_objects",  # ours; an object, below
    "policy_kinds",  # ours; None, below
    "member_max_works",  # ours; below
    "member_max_work_bytes",  # ours; below
    "member_ranges",  # ours; below
    "suspicious_endpoint_ranges",  # ours; below
    "drop_suspicious_endpoints",  # ours; below
}


@pytest.mark.parametrize("name", CONTRACT)
def test_defaults_are_karmadas(name: str):
    assert getattr(options(), name) == CONTRACT[name]
    assert isinstance(getattr(options(), name), type(CONTRACT[name]))


def test_every_flag_has_its_default_tested():
    assert {flag.name.replace("-", "_") for flag in FLAGS} == CONTRACT.keys() | OURS
    assert {field.replace("_", "-") for field in Options.__slots__} - {"ignored"} == {flag.name for flag in FLAGS}


def test_defaults_that_are_more_than_a_value():
    made = options()
    assert "multiclusterservice" in made.controllers
    assert "execution" not in made.controllers
    assert not made.feature_gates.enabled(MULTI_CLUSTER_SERVICE)
    assert [pattern.pattern for pattern in made.skipped_propagating_namespaces] == ["kube-.*"]
    assert made.leader_elect_resource_name != "karmada-controller-manager"
    assert made.shutdown_grace_period > 0
    assert made.reserved_objects == RESERVED
    assert made.policy_kinds is None
    assert (made.member_max_works, made.member_max_work_bytes) == (250_000, 1 << 30)
    assert (made.member_ranges, made.suspicious_endpoint_ranges, made.drop_suspicious_endpoints) == ((), (), False)


# --- ways of saying it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["--kube-api-qps=7.5"], "kube_api_qps", 7.5),
        (["--kube-api-qps", "7.5"], "kube_api_qps", 7.5),
        (["--v=4"], "v", 4),
        (["--leader-elect=false"], "leader_elect", False),
        (["--leader-elect=true"], "leader_elect", True),
        (["--leader-elect"], "leader_elect", True),
        (["--leader-elect", "--v=4"], "leader_elect", True),
        (["--metrics-bind-address=0"], "metrics_bind_address", "0"),
        (["--context=karmada"], "context", "karmada"),
        (["--kube-api-burst=1", "--kube-api-burst=2"], "kube_api_burst", 2),
        (["-v=6"], "v", 6),
        (["-v", "6"], "v", 6),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_is_given_as_go_programs_take_it(args: list[str], name: str, value: Any):
    assert getattr(options(*args), name) == value


KARMADAS_OWN = (
    "--kubeconfig={path}",
    "--metrics-bind-address=127.0.0.1:8080",
    "--health-probe-bind-address=127.0.0.1:10357",
    "--cluster-status-update-frequency=10s",
    "--controllers=*,hpaScaleTargetMarker,deploymentReplicasSyncer",
    "--feature-gates=PropagationPolicyPreemption=true,MultiClusterService=true",
    "--failover-eviction-timeout=30s",
    "--cluster-monitor-grace-period=40s",
    "--cluster-lease-duration=40s",
    "--enable-pprof",
    "--profiling-bind-address=:6060",
    "-v=4",
)
"""The arguments of karmada-controller-manager in its own Deployment, and others that people give it."""


def test_the_arguments_of_karmadas_own_deployment_are_taken(tmp_path: Path):
    path = tmp_path / "config"
    path.write_text("x")
    made = options(*(arg.format(path=path) for arg in KARMADAS_OWN))
    assert made.feature_gates.enabled(MULTI_CLUSTER_SERVICE)
    assert made.v == 4
    assert made.ignored == (
        "--failover-eviction-timeout",
        "--cluster-monitor-grace-period",
        "--cluster-lease-duration",
        "--enable-pprof",
        "--profiling-bind-address",
        "hpaScaleTargetMarker",
        "deploymentReplicasSyncer",
        "PropagationPolicyPreemption=true",
    )
    assert options().ignored == ()


def test_lists_and_maps_that_are_given_again_add_up():
    made = options("--controllers=-serviceExport", "--controllers=*", "--controllers=execution")
    assert "serviceExport" not in made.controllers
    assert "multiclusterservice" in made.controllers
    assert "execution" in made.controllers
    gates = options("--feature-gates=MultiClusterService=true", "--feature-gates=ControllerPriorityQueue=false")
    assert str(gates.feature_gates) == "ControllerPriorityQueue=false,MultiClusterService=true"
    last = options("--feature-gates=MultiClusterService=true", "--feature-gates=MultiClusterService=false")
    assert not last.feature_gates.enabled(MULTI_CLUSTER_SERVICE)
    skipped = options("--skipped-propagating-namespaces=a", "--skipped-propagating-namespaces=b,c")
    assert [one.pattern for one in skipped.skipped_propagating_namespaces] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["", " ", ","])
def test_no_controller_at_all_is_refused(text: str):
    assert refusal(f"--controllers={text}").startswith("--controllers: no controller is named; leave the flag out")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15.0),
        ("2m0s", 120.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("5ms", 0.005),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("1000000000ns", 1.0),
    ],
)
def test_durations_are_gos(text: str, seconds: float):
    assert values(f"--resync-period={text}")["resync_period"] == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["15", "s", "", "-1s", "15 s", "1d", "abc", "1s2", "1.s", "1..5s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str):
    with pytest.raises(click.BadParameter, match="15s"):
        values(f"--cluster-status-update-frequency={text}")


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("MCS_KUBE_API_QPS", "9", "kube_api_qps", 9.0),
        ("MCS_LEADER_ELECT", "false", "leader_elect", False),
        ("MCS_LEADER_ELECT_LEASE_DURATION", "30s", "leader_elect_lease_duration", 30.0),
        ("MCS_LOGGING_FORMAT", "json", "logging_format", "json"),
    ],
)
def test_every_flag_has_an_environment_twin_that_the_flag_overrules(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: Any
):
    default = getattr(options(), name)
    monkeypatch.setenv(variable, text)
    assert getattr(options(), name) == value
    shown = {True: "true", 15.0: "15s"}.get(default, str(default))
    assert getattr(options(f"--{name.replace('_', '-')}={shown}"), name) == default


@pytest.mark.parametrize(
    "args",
    [["--no-such-flag"], ["--kube-api-burst=many"], ["--logging-format=xml"], ["--leader-elect=maybe"], ["stray"]],
    ids=lambda args: args[0],
)
def test_what_no_flag_takes_is_refused(args: list[str]):
    with pytest.raises(click.UsageError):
        values(*args)


# --- what cannot be worked with ---------------------------------------------------------------------------------------


def test_an_unknown_controller_is_refused_with_the_known_ones():
    text = refusal("--controllers=*,nope")
    assert text.startswith("--controllers: unknown controller 'nope'")
    assert "endpointsliceCollect" in text


def test_an_unknown_gate_is_refused_with_the_known_ones():
    text = refusal("--feature-gates=Nope=true")
    assert text.startswith("--feature-gates:")
    assert MULTI_CLUSTER_SERVICE in text


@pytest.mark.parametrize("text", ["MultiClusterService=true", "AllAlpha=true"])
def test_the_gate_is_switched_by_its_name_or_its_stage(text: str):
    assert options(f"--feature-gates={text}").feature_gates.enabled(MULTI_CLUSTER_SERVICE)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--leader-elect-lease-duration=10s"], ["--leader-elect-lease-duration (10s)", "renew-deadline (10s)"]),
        (["--leader-elect-renew-deadline=20s"], ["--leader-elect-lease-duration (15s)", "renew-deadline (20s)"]),
        (["--leader-elect-retry-period=9s"], ["--leader-elect-renew-deadline (10s)", "retry-period (9s)"]),
        (["--leader-elect-retry-period=0"], ["--leader-elect-retry-period must be more than 0"]),
        (["--leader-elect-resource-name="], ["--leader-elect-resource-name must not be empty"]),
        (["--leader-elect-resource-namespace="], ["--leader-elect-resource-namespace must not be empty"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--leader-elect-") and "=" in value[0] else "",
)
def test_an_election_that_could_have_two_winners_or_none_is_refused(args: list[str], named: list[str]):
    text = refusal(*args)
    assert all(one in text for one in named)
    options(*args, "--leader-elect=false")


@pytest.mark.parametrize(
    "name",
    [
        "kube-api-qps",
        "kube-api-burst",
        "cluster-api-qps",
        "cluster-api-burst",
        "rate-limiter-base-delay",
        "rate-limiter-max-delay",
        "rate-limiter-qps",
        "rate-limiter-bucket-size",
        "cluster-cache-sync-timeout",
        "cluster-status-update-frequency",
        "concurrent-work-syncs",
        "concurrent-resourcebinding-syncs",
        "concurrent-cluster-syncs",
        "concurrent-namespace-syncs",
    ],
)
def test_a_limit_of_nothing_is_refused(name: str):
    assert refusal(f"--{name}=0") == f"--{name} must be more than 0, got 0"


@pytest.mark.parametrize("name", ["kube-api-qps", "cluster-api-qps", "rate-limiter-qps"])
def test_a_limit_that_is_no_number_is_refused(name: str):
    assert "must be more than 0" in refusal(f"--{name}=nan")


def test_a_pattern_that_is_none_is_refused_and_named():
    text = refusal("--skipped-propagating-namespaces=kube-.*,(")
    assert text.startswith("--skipped-propagating-namespaces:")
    assert "'(' is not a regular expression" in text


def test_patterns_are_separated_by_commas():
    made = options("--skipped-propagating-namespaces=a-.*, b ,,c")
    assert [pattern.pattern for pattern in made.skipped_propagating_namespaces] == ["a-.*", "b", "c"]
    assert options("--skipped-propagating-namespaces=").skipped_propagating_namespaces == ()


def test_a_kubeconfig_that_is_not_there_is_refused(tmp_path: Path):
    assert refusal(f"--kubeconfig={tmp_path}/nope") == f"--kubeconfig: {tmp_path}/nope is not a file that can be read"
    assert "is not a file" in refusal(f"--kubeconfig={tmp_path}")
    there = tmp_path / "config"
    there.write_text("x")
    assert options(f"--kubeconfig={there}").kubeconfig == str(there)


@pytest.mark.parametrize("name", ["metrics-bind-address", "health-probe-bind-address"])
@pytest.mark.parametrize("text", ["8080", "localhost", ":http", ":99999", "::1:80"])
def test_an_address_that_is_none_is_refused_before_anything_starts(name: str, text: str):
    found = refusal(f"--{name}={text}")
    assert found.startswith(f"--{name}:")
    assert repr(text) in found


@pytest.mark.parametrize("text", ["0", ":8080", "127.0.0.1:0", "[::1]:80"])
def test_addresses_that_are_some_are_taken(text: str):
    assert options(f"--metrics-bind-address={text}").metrics_bind_address == text


# --- help -------------------------------------------------------------------------------------------------------------


def help_text() -> str:
    result = CliRunner().invoke(COMMAND, ["--help"], terminal_width=100)
    assert result.exit_code == 0
    return result.output


def test_help_names_every_flag_its_variable_and_its_default():
    text = help_text()
    for flag in FLAGS:
        assert f"--{flag.name} " in text
        assert f"MCS_{flag.name.replace('-', '_').upper()}" in text
    squeezed = " ".join(text.split())
    for default in ("karmada-system", "2m0s", ":10357", "kube-.*", "1000s"):
        assert f"default: {default}" in squeezed
    assert "The end." in text


def test_help_sorts_the_flags_under_headings():
    text = help_text()
    headings = list(dict.fromkeys(flag.group for flag in FLAGS))
    places = [text.index(f"\n{heading}:\n") for heading in headings]
    assert places == sorted(places)
    assert len(headings) > 3
    assert (
        text.index("\nLeader election:\n")
        < text.index("--leader-elect-retry-period")
        < text.index("\nRequest limits:\n")
    )


def test_every_flag_is_explained_in_a_sentence():
    for flag in FLAGS:
        assert flag.help.endswith("."), flag.name
        assert len(flag.help) > 20, flag.name


def test_the_version_is_told():
    result = CliRunner().invoke(COMMAND, ["--version"])
    assert result.exit_code == 0
    assert "1.2.3" in result.output


# --- objects that every cluster has -----------------------------------------------------------------------------------


def test_reserved_objects_are_added_to_those_of_kubernetes():
    reserved = options("--reserved-objects=Service/shop/web, ConfigMap/*/ca").reserved_objects
    assert reserved.problem("Service", "shop", "web") is not None
    assert reserved.problem("ConfigMap", "x", "ca") is not None
    assert reserved.problem("Service", "default", "kubernetes") is not None
    assert reserved.export_problem("karmada-system", "web") is not None
    own = options("--leader-elect-resource-namespace=own").reserved_objects
    assert own.export_problem("own", "web") is not None
    assert refusal("--reserved-objects=web").startswith("--reserved-objects: 'web' is not Kind/namespace/name")


def test_kinds_that_policies_may_select():
    assert options("--policy-kinds=ConfigMap, Deployment.apps").policy_kinds == frozenset(
        ["ConfigMap", "Deployment.apps"]
    )
    assert refusal("--policy-kinds=configmaps") == (
        "--policy-kinds: 'configmaps' is not Kind.group, such as Deployment.apps, or Kind, such as ConfigMap"
    )


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("1000", 1000), ("64k", 64_000), ("512Mi", 512 << 20), ("1Gi", 1 << 30)]
)
def test_quantities_of_memory(text: str, value: int):
    assert options("--member-cache-memory", text).member_cache_memory == value


@pytest.mark.parametrize("text", ["much", "1.5Gi", "-1", "1Ti", ""])
def test_what_is_no_quantity_of_memory_is_refused(text: str):
    with pytest.raises(click.BadParameter, match="is not a quantity of bytes like 512Mi"):
        options("--member-cache-memory", text)


def test_ranges_are_those_of_members_and_those_that_are_suspicious():
    flags = ("--member-ranges=m1=10.1.0.0/16, m2=10.2.0.0/16", "--suspicious-endpoint-ranges=10.0.0.0/8")
    content = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1", "10.2.0.1", "10.3.0.1"]}]}
    [found] = options(*flags).address_rules.restrict("m1", content)
    assert (found.left_out, found.total) == (False, 2)
    [found] = options(*flags, "--drop-suspicious-endpoints").address_rules.restrict("m1", content)
    assert (found.left_out, found.total) == (True, 2)
    assert content["endpoints"] == [{"addresses": ["10.1.0.1"]}]
    assert refusal("--member-ranges=10.0.0.0/8").startswith("--member-ranges: '10.0.0.0/8' is not member=CIDR")
    assert refusal("--member-max-works=-1") == "--member-max-works: must not be negative, got -1"
    assert refusal("--suspicious-endpoint-ranges=10.0.0.1/8").startswith("--suspicious-endpoint-ranges: '10.0.0.1/8'")


class _Missing:
    """A finder of modules that has none of OpenTelemetry's."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)


def test_tracing_needs_its_packages(monkeypatch: pytest.MonkeyPatch):
    assert options("--tracing").tracing
    for name in [one for one in sys.modules if one.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing, *sys.meta_path])
    assert refusal("--tracing").endswith("pip install 'mcs-controller[otel]'")
    assert not options().tracing
