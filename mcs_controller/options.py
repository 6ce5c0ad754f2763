"""What the flags mean: names and defaults are those of karmada-controller-manager (contract, chapter 7).

`FLAGS` is the one list of flags; the command line, the environment variables, `--help` and docs/reference/flags.md are
made from it. `Options.of` checks what no single flag can tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from mcs_controller.arguments import CONTROLLERS_ELSEWHERE, GATES_ELSEWHERE, as_pflag, without
from mcs_controller.controllers import AGENT_NAME, STANDALONE, ControllerSet, InvalidControllers
from mcs_controller.domain.durations import parse_duration
from mcs_controller.domain.namespaces import DEFAULT_SKIPPED, compile_skipped
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.reserved import ReservedObjects
from mcs_controller.features import FEATURES
from mcs_controller.runtime.feature_gates import FeatureGates, feature_gates_help
from mcs_controller.runtime.http import parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENVIRONMENT_PREFIX: Final = "MCS"


class InvalidOptions(ValueError):
    """Flags that cannot be worked with; the text says which, and what would do."""


class Duration(click.ParamType[float]):
    """A Go duration ("15s", "2m0s", "1h30m", "500ms", "0"), as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with an example."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION: Final = Duration()


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        default: as one would write it.
        kind: how its value is parsed.
        group: heading in --help.
        help: one or two sentences; what it does, and its unit.
    """

    name: str
    default: Any
    kind: click.ParamType[Any] | type
    group: str
    help: str


_WHAT = "What runs"
_WHERE = "Control plane"
_AGENT = "Agent of a Pull cluster"
_LEADER = "Leader election"
_LIMITS = "Request limits"
_MEMBERS = "Members"
_ENDPOINTS = "Endpoints"
_PACE = "Pace"
_SIGHT = "Observation"

FLAGS: Final[tuple[Flag, ...]] = (
    Flag(
        "controllers",
        "*",
        str,
        _WHAT,
        "Comma-separated controllers to run. '*' is every controller that is on by default, 'name' switches one on, "
        f"'-name' off, and the first mention of a name wins. '{STANDALONE}' stands for the controllers that replace "
        "Karmada's own scheduler, binding, execution, cluster and namespace controllers.",
    ),
    Flag(
        "feature-gates",
        "",
        str,
        _WHAT,
        f"Comma-separated feature gates: {'; '.join(feature_gates_help(FEATURES).splitlines())}",
    ),
    Flag(
        "kubeconfig",
        "",
        str,
        _WHERE,
        "Kubeconfig of the control plane, or with --cluster-name of that cluster. Empty: the service account inside a "
        "pod, else $KUBECONFIG or ~/.kube/config.",
    ),
    Flag("context", "", str, _WHERE, "Context in the kubeconfig. Empty: its current context."),
    Flag(
        "cluster-name",
        "",
        str,
        _AGENT,
        "Run as the agent of this Pull cluster: its Cluster's name in the control plane. See docs/agent.md. Empty: run "
        "as the control plane's controllers, which serve all Push clusters.",
    ),
    Flag(
        "karmada-kubeconfig",
        "",
        str,
        _AGENT,
        "Kubeconfig of the control plane, for an agent. An agent needs it: what it finds around itself is its own "
        "cluster.",
    ),
    Flag(
        "karmada-context",
        "",
        str,
        _AGENT,
        "Context in the control plane's kubeconfig, for an agent. Empty: its current context.",
    ),
    Flag(
        "leader-elect",
        True,
        bool,
        _LEADER,
        "Work only while holding a Lease, so that of several replicas one works and the others stand by.",
    ),
    Flag(
        "leader-elect-resource-namespace",
        "karmada-system",
        str,
        _LEADER,
        "Namespace of the Lease, in the control plane. An agent's default is its cluster's execution namespace.",
    ),
    Flag(
        "leader-elect-resource-name",
        "mcs-controller-manager",
        str,
        _LEADER,
        "Name of the Lease. Not karmada-controller-manager's own: that one goes on running beside this one, with its "
        f"MultiClusterService gate off. An agent's default is {AGENT_NAME}.",
    ),
    Flag(
        "leader-elect-lease-duration",
        "15s",
        DURATION,
        _LEADER,
        "How long a replica that stands by waits after the last renewal it saw before it takes the Lease.",
    ),
    Flag(
        "leader-elect-renew-deadline",
        "10s",
        DURATION,
        _LEADER,
        "How long the leader tries to renew before it gives up and exits. Less than the lease duration.",
    ),
    Flag(
        "leader-elect-retry-period",
        "2s",
        DURATION,
        _LEADER,
        "Time between tries to take or renew the Lease. Times 1.2 it is less than the renew deadline.",
    ),
    Flag("kube-api-qps", 40.0, float, _LIMITS, "Requests a second to the control plane, over time."),
    Flag("kube-api-burst", 60, int, _LIMITS, "Requests to the control plane at once."),
    Flag("cluster-api-qps", 40.0, float, _LIMITS, "Requests a second to each member, over time."),
    Flag("cluster-api-burst", 60, int, _LIMITS, "Requests to each member at once."),
    Flag(
        "rate-limiter-base-delay",
        "5ms",
        DURATION,
        _LIMITS,
        "First delay before a failed reconcile is tried again; it doubles.",
    ),
    Flag(
        "rate-limiter-max-delay", "1000s", DURATION, _LIMITS, "Longest delay before a failed reconcile is tried again."
    ),
    Flag("rate-limiter-qps", 10.0, float, _LIMITS, "Retries a second of each controller, over time."),
    Flag("rate-limiter-bucket-size", 100, int, _LIMITS, "Retries of each controller at once."),
    Flag(
        "cluster-cache-sync-timeout",
        "2m0s",
        DURATION,
        _MEMBERS,
        "How long the first complete list of a kind, in a member or in the control plane, may take before it is "
        "reported as a problem: in the log and, of a provider's EndpointSlices, on the services that count on it.",
    ),
    Flag(
        "cluster-status-update-frequency",
        "10s",
        DURATION,
        _MEMBERS,
        "Time between probes of each member (clusterStatus).",
    ),
    Flag(
        "cluster-success-threshold",
        "30s",
        DURATION,
        _MEMBERS,
        "How long a member that was not ready has to answer before it is called ready.",
    ),
    Flag(
        "cluster-failure-threshold",
        "30s",
        DURATION,
        _MEMBERS,
        "How long a ready member has to fail before it is called not ready.",
    ),
    Flag(
        "skipped-propagating-namespaces",
        ",".join(DEFAULT_SKIPPED),
        str,
        _MEMBERS,
        "Comma-separated regular expressions of namespaces that are not made in members (namespace).",
    ),
    Flag(
        "reserved-objects",
        "",
        str,
        _MEMBERS,
        "Comma-separated Kind/namespace/name of objects that every cluster has of its own, besides those that "
        "Kubernetes makes (docs/reserved-objects.md); '*' as the namespace is any. MultiClusterServices, "
        "ServiceExports, ServiceImports and policies that name one are refused.",
    ),
    Flag(
        "strip-topology",
        False,
        bool,
        _ENDPOINTS,
        "Leave zone, nodeName and hints of endpoints out of the slices that consumers get. They describe the provider; "
        "a consumer whose own zones or nodes have the same names would route by them. Kept by default, as by Karmada.",
    ),
    Flag(
        "withdraw-not-ready-after",
        "0",
        DURATION,
        _ENDPOINTS,
        "How long a provider may be not ready before its endpoints are withdrawn from consumers; they come back when "
        "it is ready. 0 is never, as with Karmada. The annotation "
        "multiclusterservice.karmada.io/withdraw-not-ready-after of a MultiClusterService says it for that service.",
    ),
    Flag("resync-period", "0", DURATION, _PACE, "Time between reconciles of everything from the caches; 0 is never."),
    Flag("concurrent-work-syncs", 5, int, _PACE, "Works reconciled at once, per controller."),
    Flag("concurrent-resourcebinding-syncs", 5, int, _PACE, "ResourceBindings reconciled at once (binding)."),
    Flag("concurrent-cluster-syncs", 5, int, _PACE, "Clusters reconciled at once (cluster, clusterStatus)."),
    Flag("concurrent-namespace-syncs", 1, int, _PACE, "Namespaces reconciled at once (namespace)."),
    Flag(
        "shutdown-grace-period",
        "20s",
        DURATION,
        _PACE,
        "How long reconciles under way may take to end after SIGTERM, before the Lease is released.",
    ),
    Flag("metrics-bind-address", ":8080", str, _SIGHT, "Where /metrics is served; 0 switches it off."),
    Flag(
        "health-probe-bind-address", ":10357", str, _SIGHT, "Where /healthz and /readyz are served; 0 switches it off."
    ),
    Flag("v", 2, int, _SIGHT, "Log level: 2 tells what happens, 4 each reconcile, 6 each request."),
    Flag("logging-format", "text", click.Choice(["text", "json"]), _SIGHT, "How log lines are written."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All flags, parsed and checked. Durations are seconds."""

    controllers: ControllerSet
    feature_gates: FeatureGates
    kubeconfig: str
    context: str
    cluster_name: str
    karmada_kubeconfig: str
    karmada_context: str
    leader_elect: bool
    leader_elect_resource_namespace: str
    leader_elect_resource_name: str
    leader_elect_lease_duration: float
    leader_elect_renew_deadline: float
    leader_elect_retry_period: float
    kube_api_qps: float
    kube_api_burst: int
    cluster_api_qps: float
    cluster_api_burst: int
    rate_limiter_base_delay: float
    rate_limiter_max_delay: float
    rate_limiter_qps: float
    rate_limiter_bucket_size: int
    cluster_cache_sync_timeout: float
    cluster_status_update_frequency: float
    cluster_success_threshold: float
    cluster_failure_threshold: float
    skipped_propagating_namespaces: tuple[re.Pattern[str], ...]
    reserved_objects: ReservedObjects
    strip_topology: bool
    withdraw_not_ready_after: float
    resync_period: float
    concurrent_work_syncs: int
    concurrent_resourcebinding_syncs: int
    concurrent_cluster_syncs: int
    concurrent_namespace_syncs: int
    shutdown_grace_period: float
    metrics_bind_address: str
    health_probe_bind_address: str
    v: int
    logging_format: str
    ignored: tuple[str, ...] = ()
    """What was said that is for karmada-controller-manager and means nothing here."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Check what the flags say together.

        Args:
            values: by field name, each parsed by its flag's kind.

        Raises:
            InvalidOptions: something cannot be worked with.
        """
        checked = dict(values)
        controllers, no_controllers = without(values["controllers"], CONTROLLERS_ELSEWHERE)
        gates, no_gates = without(values["feature_gates"], GATES_ELSEWHERE)
        checked["ignored"] = (*values.get("ignored", ()), *no_controllers, *no_gates)
        try:
            checked["controllers"] = ControllerSet.parse(controllers, agent=bool(values["cluster_name"]))
        except InvalidControllers as error:
            raise InvalidOptions(f"--controllers: {error}") from error
        try:
            checked["feature_gates"] = FeatureGates(FEATURES, gates)
        except ValueError as error:
            raise InvalidOptions(f"--feature-gates: {error}") from error
        checked["skipped_propagating_namespaces"] = _patterns(values["skipped_propagating_namespaces"])
        try:
            items = (one.strip() for one in values["reserved_objects"].split(","))
            checked["reserved_objects"] = ReservedObjects.parse(one for one in items if one)
        except ValueError as error:
            raise InvalidOptions(f"--reserved-objects: {error}") from error
        if values["leader_elect"]:
            _check_lease(values)
        _check_positive(values)
        _check_addresses(values)
        _check_agent(values)
        for name in ("kubeconfig", "karmada_kubeconfig"):
            path = values[name]
            if path and not Path(path).is_file():
                raise InvalidOptions(f"--{name.replace('_', '-')}: {path} is not a file that can be read")
        return cls(**checked)


_CLUSTER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,46}[a-z0-9])?")
"""Contract 1.4."""


def _check_agent(values: Mapping[str, Any]) -> None:
    name, karmada = values["cluster_name"], values["karmada_kubeconfig"]
    if not name:
        for flag in ("karmada_kubeconfig", "karmada_context"):
            if values[flag]:
                raise InvalidOptions(
                    f"--{flag.replace('_', '-')} is for the agent of a cluster: name the cluster with --cluster-name, "
                    f"or say --{flag.removeprefix('karmada_')} for the control plane"
                )
        return
    if not _CLUSTER_NAME.fullmatch(name):
        raise InvalidOptions(
            f"--cluster-name: {name!r} is no name of a Cluster (at most 48 of a-z, 0-9 and '-'); "
            "`kubectl get clusters` in the control plane lists them"
        )
    if not karmada:
        raise InvalidOptions(
            "--karmada-kubeconfig must not be empty with --cluster-name: it is the agent's way to the control plane; "
            "docs/agent.md shows how to make one"
        )
    if (karmada, values["karmada_context"]) == (values["kubeconfig"], values["context"]):
        raise InvalidOptions(
            "--kubeconfig is the same as --karmada-kubeconfig: with --cluster-name it is that cluster's own; "
            "leave it out inside a pod of the cluster"
        )


def _check_lease(values: Mapping[str, Any]) -> None:
    for name in ("leader_elect_resource_namespace", "leader_elect_resource_name"):
        if not values[name]:
            raise InvalidOptions(f"--{name.replace('_', '-')} must not be empty")
    _check_positive(values, ("leader_elect_retry_period",))
    lease, renew, retry = (
        values[f"leader_elect_{name}"] for name in ("lease_duration", "renew_deadline", "retry_period")
    )
    if not lease > renew:
        raise InvalidOptions(
            f"--leader-elect-lease-duration ({lease:g}s) must be longer than --leader-elect-renew-deadline "
            f"({renew:g}s), or a leader could still work while another takes over"
        )
    if not renew > retry * 1.2:
        raise InvalidOptions(
            f"--leader-elect-renew-deadline ({renew:g}s) must be longer than 1.2 times --leader-elect-retry-period "
            f"({retry:g}s), or a leader would give up before its second try"
        )


_POSITIVE: Final = (
    "kube_api_qps",
    "kube_api_burst",
    "cluster_api_qps",
    "cluster_api_burst",
    "rate_limiter_base_delay",
    "rate_limiter_max_delay",
    "rate_limiter_qps",
    "rate_limiter_bucket_size",
    "cluster_cache_sync_timeout",
    "cluster_status_update_frequency",
    "concurrent_work_syncs",
    "concurrent_resourcebinding_syncs",
    "concurrent_cluster_syncs",
    "concurrent_namespace_syncs",
)


def _check_positive(values: Mapping[str, Any], names: Sequence[str] = _POSITIVE) -> None:
    for name in names:
        if not values[name] > 0:
            raise InvalidOptions(f"--{name.replace('_', '-')} must be more than 0, got {values[name]:g}")


def _check_addresses(values: Mapping[str, Any]) -> None:
    for name in ("metrics_bind_address", "health_probe_bind_address"):
        try:
            parse_address(values[name])
        except ValueError as error:
            raise InvalidOptions(f"--{name.replace('_', '-')}: {error}") from error


def _patterns(text: str) -> tuple[re.Pattern[str], ...]:
    try:
        return compile_skipped(one.strip() for one in text.split(",") if one.strip())
    except ValueError as error:
        raise InvalidOptions(f"--skipped-propagating-namespaces: {error}") from error


class _GroupedCommand(click.Command):
    """A command whose arguments are as pflag's, and whose --help sorts the flags under headings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what means something here; what else there was is kept for the callback."""
        known, ctx.obj = as_pflag(args)
        return super().parse_args(ctx, known)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        group_of = {flag.name.replace("-", "_"): flag.group for flag in FLAGS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(group_of.get(param.name or "", "Help"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _values(**values: Any) -> dict[str, Any]:
    """The values as given; the defaults of some depend on whether this is an agent."""
    context = click.get_current_context()
    values["ignored"] = context.obj
    cluster = values["cluster_name"]
    if not cluster:
        return values
    defaults = {
        "leader_elect_resource_namespace": execution_namespace(cluster),
        "leader_elect_resource_name": AGENT_NAME,
    }
    said = {name for name in defaults if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    return values | {name: default for name, default in defaults.items() if name not in said}


def command(name: str, version: str, epilog: str) -> click.Command:
    """The click command whose callback returns the parsed values by field name."""
    params: list[click.Parameter] = []
    for flag in FLAGS:
        is_bool = flag.kind is bool
        params.append(
            click.Option(
                [f"--{flag.name}"],
                type=flag.kind,
                default=flag.default,
                show_default=True if flag.default != "" else "empty",
                show_envvar=True,
                help=flag.help,
                # As with Go's flags, `--leader-elect` alone means true.
                **({"is_flag": False, "flag_value": True} if is_bool else {}),
            )
        )
    options: Sequence[click.Parameter] = params
    made = _GroupedCommand(
        name,
        params=list(options),
        callback=_values,
        help=(
            "Make Services of some member clusters answer in others, as their MultiClusterService objects say.\n\n"
            "Runs beside Karmada, taking over its MultiClusterService controllers, or on its own with "
            f"--controllers=*,{STANDALONE}; with --cluster-name, as the agent of a Pull cluster. "
            "The MultiClusterService gate is off by default."
        ),
        epilog=epilog,
        context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "max_content_width": 100},
    )
    return click.version_option(version, prog_name=name)(made)
