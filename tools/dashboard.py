"""manifests/observability/dashboard.yaml: a Grafana dashboard, as a ConfigMap that Grafana's sidecar finds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

JOB: Final = 'job=~"$job"'
SERVICE: Final = f'{JOB}, namespace=~"$namespace"'
PAIR: Final = 'provider_cluster=~"$cluster", consumer_cluster=~"$cluster"'
WAY: Final = "{{provider_cluster}} → {{consumer_cluster}}"
_WIDTH, _HEIGHT = 24, 7


class Query(NamedTuple):
    """PromQL, and the name of each of its series (`{{label}}`)."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """What one panel shows.

    Attributes:
        title: a question or a quantity.
        about: what to think of it.
        queries: whose series it shows.
        unit: Grafana's name of the unit.
        kind: timeseries, stat or table.
        limit: what is drawn red from there on.
        below: whether less than the limit is red.
    """

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    limit: float | None = None
    below: bool = False


def _rate(metric: str, labels: str = JOB) -> str:
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def _quantile(quantile: float, metric: str, by: str, labels: str = JOB) -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) ({_rate(f'{metric}_bucket', labels)}))"


def _by(labels: str, expression: str) -> str:
    return f"sum by ({labels}) ({expression})"


ROWS: Final[dict[str, Sequence[Panel]]] = {
    "Is it alive, and does one lead?": (
        Panel(
            "Leaders",
            "1 for each Lease: the controller's, and that of each agent.",
            [Query(_by("name", f"leader_election_master_status{{{JOB}}}"), "{{name}}")],
            kind="stat",
            limit=1,
            below=True,
        ),
        Panel(
            "Replicas by version",
            "More than one version: an upgrade is under way.",
            [Query(f"count by (version) (mcs_build_info{{{JOB}}})", "{{version}}")],
            kind="stat",
        ),
        Panel(
            "Feature gates",
            "1 is on. Without MultiClusterService no MultiClusterService is served.",
            [Query(f"max by (name) (kubernetes_feature_enabled{{{JOB}}})", "{{name}}")],
            kind="stat",
        ),
        Panel(
            "Who leads",
            "A change of the line that is at 1 is a change of the leader.",
            [Query(f"leader_election_master_status{{{JOB}}}", "{{instance}} {{name}}")],
        ),
    ),
    "Do the services work?": (
        Panel(
            "Services with a condition that is False",
            "By condition and reason; docs/troubleshooting.md explains these.",
            [Query(_by("type, reason", f'mcs_services{{{JOB}, status="False"}}'), "{{type}} {{reason}}")],
            limit=1,
        ),
        Panel(
            "Services without endpoints in a consumer",
            "mcsctl doctor NAME -n NAMESPACE names the broken link.",
            [
                Query(
                    f'max by (namespace, service) (mcs_service_condition{{{SERVICE}, type="EndpointsAvailable"}}) == 0',
                    "{{namespace}}/{{service}}",
                )
            ],
            kind="table",
        ),
        Panel(
            "Endpoints",
            "Of all pairs of provider and consumer together.",
            [
                Query(f"sum(mcs_endpoints_wanted{{{SERVICE}, {PAIR}}})", "wanted"),
                Query(f"sum(mcs_endpoints_ready{{{SERVICE}, {PAIR}}})", "ready"),
                Query(f"sum(mcs_endpoints_delivered{{{SERVICE}, {PAIR}}})", "delivered"),
            ],
        ),
        Panel(
            "Ready endpoints that are not delivered",
            "Other than for a moment: condition Applied of the dispatched Work has the consumer's error.",
            [
                Query(
                    _by(
                        "provider_cluster, consumer_cluster",
                        f"mcs_endpoints_ready{{{SERVICE}, {PAIR}}} - mcs_endpoints_delivered{{{SERVICE}, {PAIR}}}",
                    ),
                    WAY,
                )
            ],
            limit=1,
        ),
    ),
    "Is anything stale?": (
        Panel(
            "Time since what we know was confirmed",
            "Up to 14 s is normal. Without a cluster: the control plane.",
            [
                Query(
                    f'max by (cluster, resource) (informer_unconfirmed_seconds{{{JOB}, cluster=~"$cluster"}})',
                    "{{cluster}} {{resource}}",
                )
            ],
            unit="s",
            limit=15,
        ),
        Panel(
            "Failed lists and watches; changes that a watch missed",
            "A second. What was missed was listed afterwards; a proxy or a balancer between may drop events.",
            [
                Query(
                    _by("cluster, resource", _rate("informer_failures_total", f'{JOB}, cluster=~"$cluster"')),
                    "failed {{cluster}} {{resource}}",
                ),
                Query(
                    _by("cluster, resource", _rate("informer_missed_total", f'{JOB}, cluster=~"$cluster"')),
                    "missed {{cluster}} {{resource}}",
                ),
            ],
            unit="ops",
        ),
        Panel(
            "Members that are not ready",
            "1 is not ready. Stand-alone only.",
            [
                Query(
                    f'1 - max by (member_cluster) (cluster_ready_state{{{JOB}, member_cluster=~"$cluster"}})',
                    "{{member_cluster}}",
                )
            ],
            limit=1,
        ),
        Panel(
            "Slices that wait for room, caches that were dropped",
            "A member is at its limits; docs/security.md.",
            [
                Query(
                    f'sum by (member_cluster) (mcs_member_slices_withheld{{{JOB}, member_cluster=~"$cluster"}})',
                    "withheld {{member_cluster}}",
                ),
                Query(f"sum(increase(mcs_member_caches_dropped_total{{{JOB}}}[$__rate_interval]))", "caches dropped"),
            ],
            limit=1,
        ),
    ),
    "How long do changes take?": tuple(
        Panel(
            f"Propagation, p{int(quantile * 100)}",
            "From the change of endpoints to the consumer's write. A change of a Pod's readiness is dated in whole "
            "seconds, so this is up to a second too much.",
            [
                Query(
                    _quantile(
                        quantile, "mcs_propagation_seconds", "provider_cluster, consumer_cluster", f"{JOB}, {PAIR}"
                    ),
                    WAY,
                )
            ],
            unit="s",
        )
        for quantile in (0.5, 0.99)
    ),
    "Does the work get done?": (
        Panel(
            "Queues",
            "Requests that wait. Growth for minutes: the next panels tell what holds them.",
            [Query(_by("controller", f"workqueue_depth{{{JOB}}}"), "{{controller}}")],
        ),
        Panel(
            "Wait in the queue, p99",
            "In powers of ten.",
            [Query(_quantile(0.99, "workqueue_queue_duration_seconds", "controller"), "{{controller}}")],
            unit="s",
        ),
        Panel(
            "Reconcile, p99",
            "Most of it is waiting for API servers.",
            [Query(_quantile(0.99, "controller_runtime_reconcile_time_seconds", "controller"), "{{controller}}")],
            unit="s",
        ),
        Panel(
            "Errors and retries",
            "A second. The log has each error.",
            [
                Query(_by("controller", _rate("controller_runtime_reconcile_errors_total")), "errors {{controller}}"),
                Query(_by("controller", _rate("workqueue_retries_total")), "retries {{controller}}"),
            ],
            unit="ops",
        ),
        Panel(
            "Reconciles, and those that had nothing to write",
            "A second.",
            [
                Query(f"sum({_rate('controller_runtime_reconcile_total')})", "reconciles"),
                Query(f"sum({_rate('mcs_reconciles_without_write_total')})", "nothing to write"),
            ],
            unit="ops",
        ),
    ),
    "What do API servers and the process say?": (
        Panel(
            "Requests by API server",
            "A second.",
            [Query(_by("host", _rate("rest_client_requests_total")), "{{host}}")],
            unit="reqps",
        ),
        Panel(
            "Requests that were refused or not answered",
            "A second. 409 is a conflict, which is tried again at once; 429 the server's own limit.",
            [Query(_by("host, code", _rate("rest_client_requests_total", f'{JOB}, code!~"2.."')), "{{host}} {{code}}")],
            unit="reqps",
        ),
        Panel(
            "Memory",
            "Caches of members give way at their limit.",
            [
                Query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"),
                Query(f"max(mcs_member_cache_bytes{{{JOB}}})", "caches of members"),
                Query(f"max(mcs_member_cache_limit_bytes{{{JOB}}})", "their limit"),
            ],
            unit="bytes",
        ),
        Panel("CPU", "Cores.", [Query(_rate("process_cpu_seconds_total"), "{{instance}}")]),
    ),
}


def dashboard() -> Json:
    """The dashboard, as Grafana reads it."""
    panels: list[Json] = []
    top = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1}, "panels": []})
        top += 1
        for line in _lines(row):
            width = _WIDTH // len(line)
            for place, panel in enumerate(line):
                panels.append(_panel(panel, {"x": place * width, "y": top, "w": width, "h": _HEIGHT}))
            top += _HEIGHT
    for number, one in enumerate(panels, start=1):
        one["id"] = number
    return {
        "uid": "mcs-controller",
        "title": "mcs-controller",
        "tags": ["mcs-controller"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _variable("job", "Job", "label_values(mcs_build_info, job)"),
                _variable("namespace", "Namespace", f"label_values(mcs_service_condition{{{JOB}}}, namespace)"),
                _variable("cluster", "Cluster", f"label_values(informer_objects{{{JOB}}}, cluster)"),
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _lines(row: Sequence[Panel]) -> list[Sequence[Panel]]:
    """Lines of three or four panels, the last of what is left."""
    size = len(row) if len(row) <= 4 else 3
    return [row[start : start + size] for start in range(0, len(row), size)]


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Also what has no such label: an empty one is that of the control plane. Of all jobs, only ours.
        **({"allValue": ".*"} if name != "job" else {}),
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _panel(panel: Panel, place: Json) -> Json:
    source = {"type": "prometheus", "uid": "${datasource}"}
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        first, then = ("red", "green") if panel.below else ("green", "red")
        steps = [{"color": first, "value": None}, {"color": then, "value": panel.limit}]
    once = panel.kind != "timeseries"
    made: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": source,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": once,
                "range": not once,
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {},
    }
    if panel.kind == "timeseries":
        shown = "line" if panel.limit is not None else "off"
        made["fieldConfig"]["defaults"]["custom"] = {"thresholdsStyle": {"mode": shown}, "fillOpacity": 5}
        made["options"] = {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}}
    elif panel.kind == "stat":
        made["options"] = {"textMode": "value_and_name", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return made


def dashboard_manifest() -> str:
    """manifests/observability/dashboard.yaml."""
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False)
    lines = [
        "# Made from tools/dashboard.py by `make docs`. The sidecar of Grafana's chart loads what has this label.",
        "# docs/alerts.md says how to import it by hand.",
        "apiVersion: v1",
        "kind: ConfigMap",
        "metadata:",
        "  name: mcs-controller-dashboard",
        "  namespace: karmada-system",
        "  labels:",
        "    app.kubernetes.io/name: mcs-controller",
        "    app.kubernetes.io/component: observability",
        "    app.kubernetes.io/part-of: mcs-controller",
        '    grafana_dashboard: "1"',
        "data:",
        "  mcs-controller.json: |",
        *(f"    {line}" for line in text.splitlines()),
    ]
    return "\n".join(lines) + "\n"
