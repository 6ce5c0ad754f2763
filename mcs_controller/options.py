"""Command-line flags and options: names and defaults are those of karmada-controller-manager (contract, chapter 7).

Each field of `Options` is a flag; the command line, the environment variables, `--help` and docs/reference/flags.md are
made from them. `Options.of` checks what the flags say, each by itself and together.
"""

from __future__ import annotations

import re
from dataclasses import Field, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from mcs_controller.arguments import CONTROLLERS_ELSEWHERE, GATES_ELSEWHERE, as_pflag, without
from mcs_controller.controllers import AGENT_NAME, STANDALONE, ControllerSet
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.addresses import AddressRules, Range, parse_member_ranges, parse_suspicious
from mcs_controller.domain.durations import parse_duration
from mcs_controller.domain.naming import execution_namespace
from mcs_controller.domain.reserved import ReservedObjects
from mcs_controller.domain.tiers import problem_with
from mcs_controller.features import FEATURES
from mcs_controller.runtime.feature_gates import FeatureGates, feature_gates_help
from mcs_controller.runtime.http import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENVIRONMENT_PREFIX: Final = "MCS"


class InvalidOptions(ValueError):
    """Invalid flags; the text names them, and valid values."""


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

_QUANTITY: Final = re.compile(r"(\d{1,15})(|k|M|G|Ki|Mi|Gi)")
_UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class Bytes(click.ParamType[int]):
    """A Kubernetes quantity ("512Mi", "1Gi", "0"), as bytes."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail with an example."""
        if (found := _QUANTITY.fullmatch(str(value).strip())) is None:
            self.fail(f"{value!r} is not a quantity of bytes like 512Mi", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


BYTES: Final = Bytes()

_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]*(\.[a-z0-9][-.a-z0-9]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        default: as one would write it.
        group: heading in --help.
        help: one or two sentences; what it does, and its unit.
        kind: how its value is parsed.
        parse: makes its value what `Options` has, given all values; raises ValueError.
        positive: whether it has to be more than 0.
    """

    name: str
    default: Any
    group: str
    help: str
    kind: click.ParamType[Any] | type
    parse: Callable[[Any, Mapping[str, Any]], Any]
    positive: bool

    @property
    def field(self) -> str:
        """Its name in `Options`."""
        return self.name.replace("-", "_")

    def checked(self, values: Mapping[str, Any]) -> Any:
        """Its value, as `Options` has it. Raises InvalidOptions."""
        value = values[self.field]
        if self.positive and not value > 0:
            raise InvalidOptions(f"--{self.name} must be more than 0, got {value:g}")
        try:
            return self.parse(value, values)
        except ValueError as error:
            raise InvalidOptions(f"--{self.name}: {error}") from error


def _as_given(value: Any, _: Mapping[str, Any]) -> Any:
    return value


def _not_negative(value: int, _: Mapping[str, Any]) -> int:
    if value < 0:
        raise ValueError(f"must not be negative, got {value}")
    return value


def _controllers(text: str, values: Mapping[str, Any]) -> ControllerSet:
    return ControllerSet.parse(without(text, CONTROLLERS_ELSEWHERE)[0], agent=bool(values["cluster_name"]))


def _gates(text: str, _: Mapping[str, Any]) -> FeatureGates:
    return FeatureGates(FEATURES, without(text, GATES_ELSEWHERE)[0])


def _patterns(text: str, _: Mapping[str, Any]) -> tuple[re.Pattern[str], ...]:
    compiled = []
    for pattern in _items(text):
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return tuple(compiled)


def _reserved(text: str, values: Mapping[str, Any]) -> ReservedObjects:
    return ReservedObjects.parse(_items(text), [values["leader_elect_resource_namespace"]])


def _kinds(text: str, _: Mapping[str, Any]) -> frozenset[str] | None:
    kinds = frozenset(_items(text))
    for kind in sorted(kinds):
        if _KIND.fullmatch(kind) is None:
            raise ValueError(f"{kind!r} is not Kind.group, such as Deployment.apps, or Kind, such as ConfigMap")
    return kinds or None


def _suspicious(text: str, _: Mapping[str, Any]) -> tuple[Range, ...]:
    return tuple(parse_suspicious(_items(text)))


def _member_ranges(text: str, _: Mapping[str, Any]) -> tuple[Range, ...]:
    return tuple(parse_member_ranges(_items(text)))


def _items(text: str) -> list[str]:
    return [item for one in text.split(",") if (item := one.strip())]


def _address(text: str, _: Mapping[str, Any]) -> str:
    parse_address(text)
    return text


def _tracing(wanted: bool, _: Mapping[str, Any]) -> bool:
    try:
        found = not wanted or (find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk"))
    except ImportError:
        found = None
    if not found:
        raise ValueError("the packages of OpenTelemetry are missing: pip install 'mcs-controller[otel]'")
    return wanted


def _file(path: str, _: Mapping[str, Any]) -> str:
    if path and not Path(path).is_file():
        raise ValueError(f"{path} is not a file that can be read")
    return path


def _selection(key: str) -> Callable[[str, Mapping[str, Any]], str]:
    def parse(text: str, _: Mapping[str, Any]) -> str:
        if (problem := problem_with(key, text)) is not None:
            raise ValueError(problem)
        return text

    return parse


def flag(
    default: Any,
    group: str,
    help: str,
    *,
    kind: click.ParamType[Any] | None = None,
    parse: Callable[[Any, Mapping[str, Any]], Any] = _as_given,
    positive: bool = False,
) -> Any:
    """A field of `Options` that is a flag of its name; see `Flag`.

    Its kind, if not given, is that of the default; the text of a number is a duration.
    """
    known = {"default": default, "group": group, "help": help, "kind": kind, "parse": parse, "positive": positive}
    return field(metadata=known)


_WHAT = "What runs"
_WHERE = "Control plane"
_AGENT = "Agent of a Pull cluster"
_LEADER = "Leader election"
_LIMITS = "Request limits"
_MEMBERS = "Members"
_ENDPOINTS = "Endpoints"
_SELECTION = "Which cluster answers"
_PACE = "Pace"
_SIGHT = "Observation"

_FOR_ALL = "For services that do not say it themselves, nor their Namespace, by the annotation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All flags, parsed and checked. Durations are seconds."""

    controllers: ControllerSet = flag(
        "*",
        _WHAT,
        "Comma-separated controllers to run. '*' is every controller that is on by default, 'name' switches one on, "
        f"'-name' off, and the first mention of a name wins. '{STANDALONE}' stands for the controllers that replace "
        "Karmada's own scheduler, binding, execution, cluster and namespace controllers.",
        parse=_controllers,
    )
    feature_gates: FeatureGates = flag(
        "",
        _WHAT,
        f"Comma-separated feature gates: {'; '.join(feature_gates_help(FEATURES).splitlines())}",
        parse=_gates,
    )
    kubeconfig: str = flag(
        "",
        _WHERE,
        "Kubeconfig of the control plane, or with --cluster-name of that cluster. Empty: the service account inside a "
        "pod, else $KUBECONFIG or ~/.kube/config.",
        parse=_file,
    )
    context: str = flag("", _WHERE, "Context in the kubeconfig. Empty: its current context.")
    cluster_name: str = flag(
        "",
        _AGENT,
        "Run as the agent of this Pull cluster: its Cluster's name in the control plane. See docs/agent.md. Empty: run "
        "as the control plane's controllers, which serve all Push clusters.",
    )
    karmada_kubeconfig: str = flag(
        "",
        _AGENT,
        "Kubeconfig of the control plane, for an agent. An agent needs it: what it finds around itself is its own "
        "cluster.",
        parse=_file,
    )
    karmada_context: str = flag(
        "", _AGENT, "Context in the control plane's kubeconfig, for an agent. Empty: its current context."
    )
    leader_elect: bool = flag(
        True, _LEADER, "Work only while holding a Lease, so that of several replicas one works and the others stand by."
    )
    leader_elect_resource_namespace: str = flag(
        "karmada-system",
        _LEADER,
        "Namespace of the Lease, in the control plane. An agent's default is its cluster's execution namespace.",
    )
    leader_elect_resource_name: str = flag(
        "mcs-controller-manager",
        _LEADER,
        "Name of the Lease. Not karmada-controller-manager's own: that one goes on running beside this one, with its "
        f"MultiClusterService gate off. An agent's default is {AGENT_NAME}.",
    )
    leader_elect_lease_duration: float = flag(
        "15s",
        _LEADER,
        "How long a replica that stands by waits after the last renewal it saw before it takes the Lease.",
    )
    leader_elect_renew_deadline: float = flag(
        "10s", _LEADER, "How long the leader tries to renew before it gives up and exits. Less than the lease duration."
    )
    leader_elect_retry_period: float = flag(
        "2s", _LEADER, "Time between tries to take or renew the Lease. Times 1.2 it is less than the renew deadline."
    )
    kube_api_qps: float = flag(40.0, _LIMITS, "Requests a second to the control plane, over time.", positive=True)
    kube_api_burst: int = flag(60, _LIMITS, "Requests to the control plane at once.", positive=True)
    cluster_api_qps: float = flag(40.0, _LIMITS, "Requests a second to each member, over time.", positive=True)
    cluster_api_burst: int = flag(60, _LIMITS, "Requests to each member at once.", positive=True)
    rate_limiter_base_delay: float = flag(
        "5ms", _LIMITS, "First delay before a failed reconcile is tried again; it doubles.", positive=True
    )
    rate_limiter_max_delay: float = flag(
        "1000s", _LIMITS, "Longest delay before a failed reconcile is tried again.", positive=True
    )
    rate_limiter_qps: float = flag(
        10.0, _LIMITS, "Retries a second of each controller and member or namespace, over time.", positive=True
    )
    rate_limiter_bucket_size: int = flag(
        100, _LIMITS, "Retries of each controller and member or namespace at once.", positive=True
    )
    cluster_cache_sync_timeout: float = flag(
        "2m0s",
        _MEMBERS,
        "How long the first complete list of a kind, in a member or in the control plane, may take before it is "
        "reported as a problem: in the log and, of a provider's EndpointSlices, on the services that count on it.",
        positive=True,
    )
    member_cache_memory: int = flag(
        "0",
        _MEMBERS,
        "Memory that the caches of all members may take together, by an estimate that is rather too high. When it is "
        "used up, the member and kind that takes most is not followed for a minute; what consumers have stays. 0: 40 % "
        "of the container's memory limit.",
        kind=BYTES,
    )
    member_cache_max_bytes: int = flag(
        "0", _MEMBERS, "The same for one kind of one member, whatever the others take; 0 is no such limit.", kind=BYTES
    )
    member_cache_max_objects: int = flag(
        0, _MEMBERS, "Objects of one kind of one member that may be in its cache; 0 is no such limit."
    )
    member_max_works: int = flag(
        250_000,
        _MEMBERS,
        "Works that the EndpointSlices of one member may have in the control plane: one for each slice, and one for "
        "each of its consumers. At the limit no further ones are made; those that are there are updated and withdrawn. "
        "0 is no limit.",
        parse=_not_negative,
    )
    member_max_work_bytes: int = flag(
        "1Gi",
        _MEMBERS,
        "The same for the bytes in these Works. Those that are there may grow to twice as many.",
        kind=BYTES,
    )
    cluster_status_update_frequency: float = flag(
        "10s", _MEMBERS, "Time between probes of each member (clusterStatus).", positive=True
    )
    cluster_success_threshold: float = flag(
        "30s", _MEMBERS, "How long a member that was not ready has to answer before it is called ready."
    )
    cluster_failure_threshold: float = flag(
        "30s", _MEMBERS, "How long a ready member has to fail before it is called not ready."
    )
    skipped_propagating_namespaces: tuple[re.Pattern[str], ...] = flag(
        "kube-.*",
        _MEMBERS,
        "Comma-separated regular expressions of namespaces that are not made in members (namespace).",
        parse=_patterns,
    )
    reserved_objects: ReservedObjects = flag(
        "",
        _MEMBERS,
        "Comma-separated Kind/namespace/name of objects that every cluster has of its own, besides those that "
        "Kubernetes makes (docs/reserved-objects.md); '*' as the namespace is any. MultiClusterServices, "
        "ServiceExports, ServiceImports and policies that name one are refused.",
        parse=_reserved,
    )
    policy_kinds: frozenset[str] | None = flag(
        "",
        _MEMBERS,
        "Comma-separated Kind.group of the templates that PropagationPolicies may select, such as "
        "ConfigMap,Deployment.apps (policy); a policy that selects another is refused. Empty: every kind that is "
        "propagated.",
        parse=_kinds,
    )
    propagated_exports_only: bool = flag(
        False,
        _ENDPOINTS,
        "Import a member's EndpointSlices only for ServiceExports that a Work has brought to it, not for those that it "
        "has of its own. Always so on a stand-alone control plane; without it a warning names them.",
    )
    member_ranges: tuple[Range, ...] = flag(
        "",
        _ENDPOINTS,
        "Comma-separated member=CIDR of the members' Pods and Services; a member may be named several times. An "
        "endpoint with an address in another member's range is suspicious.",
        parse=_member_ranges,
    )
    suspicious_endpoint_ranges: tuple[Range, ...] = flag(
        "",
        _ENDPOINTS,
        "Comma-separated CIDRs in which no member's endpoint should have an address, such as those of the control "
        "plane, besides multicast, reserved ranges and clouds' metadata services. A member's own --member-ranges are "
        "excepted.",
        parse=_suspicious,
    )
    drop_suspicious_endpoints: bool = flag(
        False,
        _ENDPOINTS,
        "Leave suspicious addresses out of the slices that consumers get. By default the condition of the service only "
        "names them. Addresses that no API server accepts are always left out.",
    )
    strip_topology: bool = flag(
        False,
        _ENDPOINTS,
        "Leave zone, nodeName and hints of endpoints out of the slices that consumers get. They describe the provider; "
        "a consumer whose own zones or nodes have the same names would route by them. Kept by default, as by Karmada.",
    )
    withdraw_not_ready_after: float = flag(
        "0",
        _ENDPOINTS,
        "How long a provider may be not ready before its endpoints are withdrawn from consumers; they come back when "
        "it is ready. 0 is never, as with Karmada. The annotation "
        "multiclusterservice.karmada.io/withdraw-not-ready-after of a MultiClusterService says it for that service.",
    )
    tiers: str = flag(
        "",
        _SELECTION,
        f"{_FOR_ALL} {wk.TIERS}: clusters whose endpoints a consumer gets, in the order of preference, for example "
        "'local; same-region; any'. See docs/selection.md. Empty: each consumer gets the endpoints of all providers, "
        "as with Karmada.",
        kind=click.STRING,
        parse=_selection(wk.TIERS),
    )
    tier_minimum: str = flag(
        "1",
        _SELECTION,
        f"{_FOR_ALL} {wk.TIER_MINIMUM}: ready endpoints from which on a tier is good enough, as a number or as a share "
        "of those that are listed, like 50%. Below it the next tier is added.",
        kind=click.STRING,
        parse=_selection(wk.TIER_MINIMUM),
    )
    tier_strict: str = flag(
        "false",
        _SELECTION,
        f"{_FOR_ALL} {wk.TIER_STRICT}: whether clusters that are in none of the tiers are never offered, whatever "
        "happens. If not, all others are the last tier.",
        kind=click.STRING,
        parse=_selection(wk.TIER_STRICT),
    )
    hand_back_after: str = flag(
        "30s",
        _SELECTION,
        f"{_FOR_ALL} {wk.HAND_BACK_AFTER}: how long a better tier has to be good enough before the endpoints of later "
        "tiers are taken away.",
        kind=click.STRING,
        parse=_selection(wk.HAND_BACK_AFTER),
    )
    hand_back_step: str = flag(
        "50%",
        _SELECTION,
        f"{_FOR_ALL} {wk.HAND_BACK_STEP}: share of all offered endpoints that is taken away at once, at most 50%.",
        kind=click.STRING,
        parse=_selection(wk.HAND_BACK_STEP),
    )
    hand_back_every: str = flag(
        "10s",
        _SELECTION,
        f"{_FOR_ALL} {wk.HAND_BACK_EVERY}: time between two such steps.",
        kind=click.STRING,
        parse=_selection(wk.HAND_BACK_EVERY),
    )
    resync_period: float = flag("0", _PACE, "Time between reconciles of everything from the caches; 0 is never.")
    concurrent_work_syncs: int = flag(5, _PACE, "Works reconciled at once, per controller and member.", positive=True)
    concurrent_resourcebinding_syncs: int = flag(
        5, _PACE, "ResourceBindings reconciled at once, per controller and namespace.", positive=True
    )
    concurrent_cluster_syncs: int = flag(5, _PACE, "Clusters reconciled at once (cluster).", positive=True)
    concurrent_namespace_syncs: int = flag(1, _PACE, "Namespaces reconciled at once (namespace).", positive=True)
    shutdown_grace_period: float = flag(
        "20s", _PACE, "How long reconciles under way may take to end after SIGTERM, before the Lease is released."
    )
    metrics_bind_address: str = flag(":8080", _SIGHT, "Where /metrics is served; 0 switches it off.", parse=_address)
    metrics_service_pairs: int = flag(
        1000,
        _SIGHT,
        "Pairs of provider and consumer, of all MultiClusterServices together, whose endpoints and conditions have "
        "metrics of their own. Services beyond that are only counted; 0 shows none. mcs_propagation_seconds has as "
        "many pairs of clusters, of 19 series each, and counts others together.",
        parse=_not_negative,
    )
    health_probe_bind_address: str = flag(
        ":10357", _SIGHT, "Where /healthz and /readyz are served; 0 switches it off.", parse=_address
    )
    status_page_bind_address: str = flag(
        "0",
        _SIGHT,
        "Where a read-only page shows services, clusters, caches and the latest warnings, without authentication; "
        "127.0.0.1:8081 is for `kubectl port-forward`. See docs/status-page.md. 0 switches it off.",
        parse=_address,
    )
    tracing: bool = flag(
        False,
        _SIGHT,
        "Send spans of each change of a slice by OTLP over HTTP, as the environment variables OTEL_* say. Needs the "
        "packages of the extra `otel`, which the image has not. See docs/tracing.md.",
        parse=_tracing,
    )
    v: int = flag(
        2,
        _SIGHT,
        "Log level. 0: what changes, warnings and errors; from 2 on also each write; from 4 on also each reconcile, "
        "with outcome and milliseconds; from 6 on also each request, with path, status code and milliseconds.",
    )
    logging_format: str = flag("text", _SIGHT, "How log lines are written.", kind=click.Choice(["text", "json"]))
    ignored: tuple[str, ...] = ()
    """What was said that is for karmada-controller-manager and means nothing here."""

    @property
    def address_rules(self) -> AddressRules:
        """Which addresses members may give their endpoints."""
        ranges = (*self.member_ranges, *self.suspicious_endpoint_ranges)
        return AddressRules(ranges, drop_suspicious=self.drop_suspicious_endpoints)

    @property
    def selection_defaults(self) -> Mapping[str, str]:
        """What holds for services that say nothing of their tiers, by the annotations' keys."""
        return {
            wk.TIERS: self.tiers,
            wk.TIER_MINIMUM: self.tier_minimum,
            wk.TIER_STRICT: self.tier_strict,
            wk.HAND_BACK_AFTER: self.hand_back_after,
            wk.HAND_BACK_STEP: self.hand_back_step,
            wk.HAND_BACK_EVERY: self.hand_back_every,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Validate the flags, each by itself and together.

        Args:
            values: by field name, each parsed by its flag's kind.

        Raises:
            InvalidOptions: something cannot be worked with.
        """
        if values["leader_elect"]:
            _check_lease(values)
        _check_agent(values)
        no_controllers = without(values["controllers"], CONTROLLERS_ELSEWHERE)[1]
        no_gates = without(values["feature_gates"], GATES_ELSEWHERE)[1]
        ignored = (*values.get("ignored", ()), *no_controllers, *no_gates)
        return cls(ignored=ignored, **{one.field: one.checked(values) for one in FLAGS})


def _flag_of(one: Field[Any]) -> Flag:
    default, kind = one.metadata["default"], one.metadata["kind"]
    if kind is None:
        kind = DURATION if one.type == "float" and isinstance(default, str) else type(default)
    return Flag(name=one.name.replace("_", "-"), **{**one.metadata, "kind": kind})


FLAGS: Final = tuple(_flag_of(one) for one in fields(Options) if one.metadata)

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
    lease, renew, retry = (
        values[f"leader_elect_{name}"] for name in ("lease_duration", "renew_deadline", "retry_period")
    )
    if not retry > 0:
        raise InvalidOptions(f"--leader-elect-retry-period must be more than 0, got {retry:g}")
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


class _GroupedCommand(click.Command):
    """A command whose arguments are as pflag's, and whose --help sorts the flags under headings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the known flags; the others are kept for the callback."""
        known, ctx.obj = as_pflag(args)
        return super().parse_args(ctx, known)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        group_of = {one.field: one.group for one in FLAGS}
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
    params: list[click.Parameter] = [
        click.Option(
            [f"--{one.name}"],
            type=one.kind,
            default=one.default,
            show_default=True if one.default != "" else "empty",
            show_envvar=True,
            help=one.help,
            # As with Go's flags, `--leader-elect` alone means true.
            **({"is_flag": False, "flag_value": True} if one.kind is bool else {}),
        )
        for one in FLAGS
    ]
    made = _GroupedCommand(
        name,
        params=params,
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
