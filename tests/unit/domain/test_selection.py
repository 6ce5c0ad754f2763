"""Which clusters a service means, and which of them can be used (contract 1.1, 1.4, 3.1)."""

from typing import Any, cast

import pytest

from mcs_controller.api.cluster import Cluster
from mcs_controller.domain import well_known as wk
from mcs_controller.domain.selection import SkippedCluster, consumers_of, providers_of, selects_cluster, skip_reason
from tests.support.builders import DELETED_AT, a_cluster, an_mcs, cluster, condition, decode


def by_name(*clusters: Cluster) -> dict[str, Cluster]:
    return {cluster.name: cluster for cluster in clusters}


def test_repeated_names_collapse_and_order_means_nothing():
    service = an_mcs(providers=["m2", "m1", "m2"], consumers=["m2", "m2"])
    assert providers_of(service, {}) == ("m1", "m2")
    assert consumers_of(service, {}) == ("m2",)


@pytest.mark.parametrize("names", [None, []], ids=["absent", "empty"])
def test_no_names_mean_every_cluster_in_whatever_state(names: list[str] | None):
    registered = by_name(a_cluster("m3", mode="Pull"), a_cluster("m1", ready="False"), a_cluster("m2", ready=None))
    service = an_mcs(providers=names, consumers=names)
    assert providers_of(service, registered) == ("m1", "m2", "m3")
    assert consumers_of(service, registered) == ("m1", "m2", "m3")


def test_a_cluster_that_is_leaving_is_not_among_every_cluster():
    registered = by_name(a_cluster("m1"), a_cluster("m2", metadata={"deletionTimestamp": DELETED_AT}))
    assert providers_of(an_mcs(), registered) == ("m1",)
    assert providers_of(an_mcs(providers=["m2"]), registered) == ("m2",), "a cluster named explicitly is meant"


def test_an_empty_list_names_every_cluster():
    assert selects_cluster("m1", None)
    assert selects_cluster("m1", frozenset({"m1"}))
    assert not selects_cluster("m1", frozenset({"m2"}))


SERVED = {"discovery.k8s.io/v1": ["EndpointSlice"]}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({}, None, id="ready, serves slices"),
        pytest.param({"ready": "False"}, wk.EVENT_SYNC_SERVICE_FAILED, id="case-06 not ready"),
        pytest.param({"ready": "Unknown"}, wk.EVENT_SYNC_SERVICE_FAILED, id="ready unknown"),
        pytest.param({"ready": None}, wk.EVENT_SYNC_SERVICE_FAILED, id="never reported"),
        pytest.param(
            {"apis": {"v1": ["Service"]}}, wk.EVENT_API_INCOMPATIBLE, id="case-07 complete list without slices"
        ),
        pytest.param(
            {"apis": {"discovery.k8s.io/v1beta1": ["EndpointSlice"]}}, wk.EVENT_API_INCOMPATIBLE, id="old version"
        ),
        pytest.param({"apis": {}, "complete": "False"}, None, id="partial list without slices"),
        pytest.param({"apis": {}, "complete": None}, None, id="no word on completeness"),
        pytest.param({"apis": SERVED, "complete": "False"}, None, id="partial list with slices"),
        pytest.param({"mode": "Pull"}, None, id="pull mode"),
        pytest.param({"metadata": {"deletionTimestamp": DELETED_AT}}, wk.EVENT_SYNC_SERVICE_FAILED, id="being removed"),
    ],
)
def test_a_cluster_is_usable_unless_it_is_known_not_to_be(fields: dict[str, Any], reason: str | None):
    skip = skip_reason("m1", {"m1": a_cluster("m1", **fields)})
    assert (skip.reason if skip else None) == reason


@pytest.mark.parametrize(
    ("fields", "status", "reason", "message"),
    [
        ({}, "False", "ClusterNotReady", "the cluster is not ready, see its condition Ready"),
        ({}, "False", "ClusterNotReachable", "the cluster is not reachable, see its condition Ready"),
        ({}, "False", "CredentialsRefused", "the cluster refused the token in Secret karmada-cluster/m1"),
        ({"mode": "Pull"}, "False", "CredentialsRefused", "the cluster refused its agent's credentials"),
        ({}, "False", "StatusCollectionFailed", "there is no way to connect to the cluster, see its condition Ready"),
        ({"mode": "Pull"}, "Unknown", "ClusterStatusUnknown", "the agent of this Pull cluster has stopped reporting; "),
        ({"mode": "Pull"}, None, "", "no agent reports for this Pull cluster; run one in it, see docs/agent.md"),
        ({}, None, "", "nobody has probed the cluster yet, so it has no condition Ready"),
    ],
    ids=["unwell", "away", "401", "401-of-an-agent", "no-client", "agent-gone", "no-agent", "not-probed"],
)
def test_the_words_of_a_skip_tell_causes_apart(fields: dict[str, Any], status: str | None, reason: str, message: str):
    made = cluster("m1", ready=None, **fields)
    made["spec"]["secretRef"] = {"namespace": "karmada-cluster", "name": "m1"}
    if status is not None:
        made["status"]["conditions"].append(condition("Ready", status, reason, "words that change with each probe"))
    skip = skip_reason("m1", {"m1": cast("Cluster", decode(made))})
    assert skip is not None
    assert skip.message.startswith(message)


def test_a_cluster_that_is_not_registered_is_skipped_by_name():
    assert skip_reason("m9", {"m1": a_cluster("m1")}) == SkippedCluster(
        "m9", "ClusterNotFound", "no such Cluster is registered"
    )


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        pytest.param({"apis": SERVED}, "Enabled", id="case-89 found"),
        pytest.param({"apis": {}}, "Disabled", id="case-89 absent in a complete list"),
        pytest.param({"apis": {}, "complete": "False"}, "Unknown", id="case-89 absent in a partial list"),
        pytest.param({"apis": {}, "complete": None}, "Unknown", id="case-89 no condition"),
    ],
)
def test_whether_an_api_is_served_has_three_answers(fields: dict[str, Any], answer: str):
    assert a_cluster("m1", **fields).serves("discovery.k8s.io/v1", "EndpointSlice") == answer
