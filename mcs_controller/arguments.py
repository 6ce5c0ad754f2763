"""A command line as karmada-controller-manager takes it, made one that click takes.

Flags there are pflag's: lists and maps that are given several times accumulate, `-v` may be written in four ways, and
klog's flags have underscores. Karmada's own Deployment can be copied: what means nothing here is left out, and said to
be, once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ACCUMULATING: Final = frozenset({"controllers", "feature-gates", "skipped-propagating-namespaces"})
"""Flags whose values add up: pflag's StringSlice, and its map of booleans, where the later setting of a gate wins."""

_SWITCHES: Final = frozenset(
    {
        "add-dir-header",
        "alsologtostderr",
        "enable-cluster-resource-modeling",
        "enable-no-execute-taint-eviction",
        "enable-pprof",
        "enable-taint-manager",
        "log-json-split-stream",
        "log-text-split-stream",
        "logtostderr",
        "one-output",
        "skip-headers",
        "skip-log-headers",
    }
)
"""Flags of karmada-controller-manager that mean nothing here and need no value."""

_VALUES: Final = frozenset(
    {
        "bind-address",
        "cluster-api-context",
        "cluster-api-kubeconfig",
        "cluster-lease-duration",
        "cluster-lease-renew-interval-fraction",
        "cluster-monitor-grace-period",
        "cluster-monitor-period",
        "cluster-startup-grace-period",
        "concurrent-cluster-propagation-policy-syncs",
        "concurrent-clusterresourcebinding-syncs",
        "concurrent-propagation-policy-syncs",
        "concurrent-resource-template-syncs",
        "failover-eviction-timeout",
        "federated-resource-quota-sync-period",
        "graceful-eviction-timeout",
        "horizontal-pod-autoscaler-cpu-initialization-period",
        "horizontal-pod-autoscaler-downscale-delay",
        "horizontal-pod-autoscaler-downscale-stabilization",
        "horizontal-pod-autoscaler-initial-readiness-delay",
        "horizontal-pod-autoscaler-sync-period",
        "horizontal-pod-autoscaler-tolerance",
        "horizontal-pod-autoscaler-upscale-delay",
        "log-backtrace-at",
        "log-dir",
        "log-file",
        "log-file-max-size",
        "log-flush-frequency",
        "log-json-info-buffer-size",
        "log-text-info-buffer-size",
        "no-execute-taint-eviction-purge-mode",
        "profiling-bind-address",
        "resource-eviction-rate",
        "secure-port",
        "skipped-propagating-apis",
        "stderrthreshold",
        "vmodule",
    }
)
"""Those that need one. Durations, numbers and addresses: nothing that is asked for is left undone without a word."""

IGNORED: Final = _SWITCHES | _VALUES
"""All flags that mean nothing here."""

CONTROLLERS_ELSEWHERE: Final = frozenset(
    {
        "agentcsrApproving",
        "applicationFailover",
        "clusterTaintPolicy",
        "cronFederatedHorizontalPodAutoscaler",
        "deploymentReplicasSyncer",
        "federatedHorizontalPodAutoscaler",
        "federatedResourceQuotaEnforcement",
        "federatedResourceQuotaStatus",
        "federatedResourceQuotaSync",
        "gracefulEviction",
        "hpaScaleTargetMarker",
        "remedy",
        "taintManager",
        "unifiedAuth",
        "workStatus",
        "workloadRebalancer",
    }
)
"""Controllers of karmada-controller-manager that this program does not have."""

GATES_ELSEWHERE: Final = frozenset(
    {
        "ContextualLogging",
        "CustomizedClusterResourceModeling",
        "Failover",
        "FederatedQuotaEnforcement",
        "GracefulEviction",
        "LoggingAlphaOptions",
        "LoggingBetaOptions",
        "MultiplePodTemplatesScheduling",
        "PolicyPreemption",
        "PriorityBasedScheduling",
        "PropagateDeps",
        "PropagationPolicyPreemption",
        "ResourceQuotaEstimate",
        "StatefulFailoverInjection",
        "WorkloadAffinity",
    }
)
"""Feature gates of Karmada that this program does not have."""

_VERBOSITY: Final = re.compile(r"-v(?:=?(\d+))?")
_FLAG: Final = re.compile(r"--([^=]+)(?:=(.*))?", re.DOTALL)


class Arguments(NamedTuple):
    """A command line for click, and the flags of Karmada's that were left out of it."""

    known: list[str]
    ignored: tuple[str, ...]


def as_pflag(args: Sequence[str]) -> Arguments:
    """See the module."""
    known: list[str] = []
    lists: dict[str, list[str]] = {}
    ignored: dict[str, None] = {}
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            known += [arg, *rest]
            break
        if (verbosity := _VERBOSITY.fullmatch(arg)) is not None:
            known.append("--v" if verbosity[1] is None else f"--v={verbosity[1]}")
            continue
        flag = _FLAG.fullmatch(arg)
        name, value = (flag[1].replace("_", "-"), flag[2]) if flag is not None else ("", None)
        if name in IGNORED:
            ignored[f"--{name}"] = None
            if name in _VALUES and value is None:
                next(rest, None)
        elif name in ACCUMULATING and (value is not None or (value := next(rest, None)) is not None):
            lists.setdefault(name, []).append(value)
        else:
            known.append(arg)
    known[:0] = [f"--{name}={','.join(filter(None, values))}" for name, values in lists.items()]
    return Arguments(known, tuple(ignored))


def without(text: str, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """A comma-separated list of `name`, `-name` or `name=value` without those named, and which these were."""
    known: list[str] = []
    left_out: list[str] = []
    for item in text.split(","):
        name = item.strip().removeprefix("-").partition("=")[0].strip()
        (left_out if name in names else known).append(item)
    return ",".join(known), tuple(one.strip() for one in left_out)
