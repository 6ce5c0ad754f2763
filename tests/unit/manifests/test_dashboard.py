"""The dashboard asks for metrics that there are, and people who know Karmada's find what they know."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.promql import check, filled, metrics
from tools.dashboard import dashboard, dashboard_manifest

ROOT = Path(__file__).parents[3]
DASHBOARD = dashboard()
PANELS = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
QUERIES = [
    pytest.param(query, id=f"{panel['title']} {query['refId']}") for panel in PANELS for query in panel["targets"]
]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}


@pytest.mark.parametrize("query", QUERIES)
def test_metrics_and_labels_exist(query: dict[str, Any]):
    assert set(re.findall(r"\$(\w+)", query["expr"])) <= {*VARIABLES, "__rate_interval"}
    left = check(filled(query["expr"]))
    assert set(re.findall(r"{{(\w+)}}", query["legendFormat"])) <= left
    assert 'job=~"$job"' in query["expr"], "other processes have metrics of these names, too"


@pytest.mark.parametrize("name", ["job", "namespace", "cluster"])
def test_variables_have_labels_that_exist(name: str):
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["query"]["query"])
    assert found is not None
    assert found[2] in check(filled(found[1]))


def test_what_is_committed_is_a_config_map_that_grafanas_sidecar_finds():
    text = (ROOT / "manifests/observability/dashboard.yaml").read_text()
    assert text == dashboard_manifest()
    committed = yaml.safe_load(text)
    assert committed["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(committed["data"]["mcs-controller.json"]) == DASHBOARD


def test_panels_have_places_of_their_own_and_say_what_to_think():
    places = [one["gridPos"] for one in DASHBOARD["panels"]]
    across = [(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])) for at in places]
    taken = [place for xs, ys in across for place in product(xs, ys)]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert all(one["description"] for one in PANELS)
    assert len({one["id"] for one in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len(PANELS) <= 24, "few"


CONTROLLER_RUNTIME = {
    *("controller_runtime_reconcile_total", "controller_runtime_reconcile_errors_total"),
    *("controller_runtime_reconcile_time_seconds_bucket", "controller_runtime_active_workers"),
    *("controller_runtime_max_concurrent_reconciles", "workqueue_depth", "workqueue_adds_total"),
    *("workqueue_retries_total", "workqueue_queue_duration_seconds_bucket", "workqueue_work_duration_seconds_bucket"),
    *("workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds"),
    *("rest_client_requests_total", "process_cpu_seconds_total", "process_resident_memory_bytes"),
}
"""What the dashboard of Kubebuilder's Grafana plugin asks for, and those made after it."""
KARMADA = {
    *("karmada_build_info", "leader_election_master_status", "cluster_ready_state"),
    *("cluster_sync_status_duration_seconds_bucket", "cluster_sync_status_duration_seconds_sum"),
    *("binding_sync_work_duration_seconds_bucket", "work_sync_workload_duration_seconds_bucket"),
    *("create_resource_to_cluster", "update_resource_to_cluster", "delete_resource_from_cluster"),
    *("process_open_fds", "process_start_time_seconds"),
}
"""What Karmada's dashboards ask for, of what the controllers do that are here."""


def test_dashboards_of_controller_runtime_and_karmada_find_their_metrics():
    known = metrics()
    assert known.keys() >= CONTROLLER_RUNTIME | KARMADA
    assert all("controller" in known[name] for name in CONTROLLER_RUNTIME if name.startswith("controller_runtime_"))
    assert all({"name", "controller"} <= known[name] for name in CONTROLLER_RUNTIME if name.startswith("workqueue_"))
    page = (ROOT / "docs/alerts.md").read_text()
    assert {name for name in CONTROLLER_RUNTIME | KARMADA if re.sub("_(bucket|sum)$", "", name) not in page} == set()
