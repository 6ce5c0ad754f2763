"""Connections, and relevant changes."""

from typing import Any

import msgspec
import pytest

from mcs_controller.api.resources import CLUSTERS
from mcs_controller.domain.clusters import connection_of, relevant_change
from tests.support.clusters import cluster, cluster_json, golden

GOLDEN = [CLUSTERS.decode(msgspec.json.encode(one)) for one in golden("host-clusters.json")]


# --- connections ---------------------------------------------------------------------------------------------------


def test_proxy_header_with_commas_is_several_values() -> None:
    connection = connection_of(cluster(proxyHeader={"B": "x", "A": "1,2"}))
    assert connection.proxy_header == (("A", ("1", "2")), ("B", ("x",)))


@pytest.mark.parametrize(
    "change",
    [
        {"apiEndpoint": "https://other:6443"},
        {"secretRef": {"namespace": "karmada-cluster", "name": "other"}},
        {"insecureSkipTLSVerification": True},
        {"proxyURL": "http://proxy:3128"},
        {"proxyHeader": {"A": "b"}},
        {"uid": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_opening_14_connection_changes_with(change: dict[str, Any]) -> None:
    assert connection_of(cluster()) != connection_of(cluster(**change))


def test_connection_does_not_change_with_status_labels_or_taints() -> None:
    other = cluster(ready="False", labels={"a": "b"}, taints=[{"key": "k", "effect": "NoSchedule"}])
    assert connection_of(cluster()) == connection_of(other)


# --- relevant changes (opening 7) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"ready": "False"},
        {"ready": None},
        {"apis": {}},
        {"complete": "False"},
        {"apiEndpoint": "https://other:6443"},
        {"secretRef": None},
        {"proxyURL": "socks5://p:1080"},
        {"taints": [{"key": "k", "effect": "NoExecute"}]},
        {"labels": {"zone": "a"}},
        {"deleting": True},
        {"uid": "another"},
    ],
    ids=str,
)
def test_change_that_matters(change: dict[str, Any]) -> None:
    assert relevant_change(cluster(), cluster(**change))


def test_opening_07_heartbeat_does_not_matter() -> None:
    before, after = cluster_json(), cluster_json()
    after["metadata"] |= {"resourceVersion": "8", "annotations": {"seen": "now"}}
    after["status"]["conditions"] = [
        one | {"message": "still fine", "lastTransitionTime": "2026-02-02T00:00:00Z"}
        for one in after["status"]["conditions"]
    ]
    after["status"] |= {"resourceSummary": {"allocated": {"pods": "3"}}, "nodeSummary": {"totalNum": 2}}
    assert not relevant_change(*(CLUSTERS.decode(msgspec.json.encode(one)) for one in (before, after)))


@pytest.mark.parametrize(("before", "after"), [("False", None), ("False", "Unknown"), (None, "Unknown")])
def test_another_way_of_being_not_ready_is_told_by_the_services(before: str | None, after: str | None) -> None:
    assert relevant_change(cluster(ready=before), cluster(ready=after))


def test_other_words_about_the_same_trouble_are_nothing() -> None:
    before, after = cluster_json(ready="False"), cluster_json(ready="False")
    for one in after["status"]["conditions"]:
        one["message"] = "connection refused, this time"
    assert not relevant_change(*(CLUSTERS.decode(msgspec.json.encode(one)) for one in (before, after)))


@pytest.mark.parametrize(
    ("fields", "kind", "expected"),
    [
        pytest.param({}, "Service", "Enabled", id="case-89-found"),
        pytest.param({}, "Pod", "Disabled", id="case-89-absent-in-complete-list"),
        pytest.param({"complete": "False"}, "Pod", "Unknown", id="case-89-absent-in-partial-list"),
        pytest.param({"complete": None}, "Pod", "Unknown", id="case-89-absent-and-no-condition"),
    ],
)
def test_api_check(fields: dict[str, Any], kind: str, expected: str) -> None:
    assert cluster(**fields).serves("v1", kind) == expected
