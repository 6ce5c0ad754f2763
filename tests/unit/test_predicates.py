"""Which events are worth a reconcile."""

from typing import Any

import pytest

from informers.cache.event import Event
from mcs_controller.predicates import cluster_changed, content_changed, service_changed
from tests.support.builders import DELETED_AT, a_cluster, a_service, a_work, an_mcs, collected_work, condition

WORTH = [
    pytest.param({"labels": {"l": "1"}}, id="labels"),
    pytest.param({"annotations": {"a": "1"}}, id="annotations"),
    pytest.param({"finalizers": ["f"]}, id="finalizers"),
    pytest.param({"deletionTimestamp": DELETED_AT}, id="being deleted"),
    pytest.param({"generation": 2}, id="generation"),
    pytest.param({"uid": "another"}, id="made anew in a gap of the watch"),
    pytest.param({"ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "x", "uid": "y"}]}, id="owners"),
]


@pytest.mark.parametrize("metadata", WORTH)
def test_a_change_of_content_or_metadata_is_worth_a_look(metadata: dict[str, Any]):
    before, after = an_mcs(), an_mcs(metadata=metadata)
    assert content_changed(Event(old=before, new=after))
    assert service_changed(Event(old=a_service(), new=a_service(metadata=metadata)))


@pytest.mark.parametrize("predicate", [content_changed, service_changed, cluster_changed])
def test_what_came_went_or_is_resynced_is_worth_a_look(predicate: Any):
    one = a_cluster("m1") if predicate is cluster_changed else a_service()
    assert predicate(Event(new=one))
    assert predicate(Event(new=one, initial=True))
    assert predicate(Event(old=one))
    assert predicate(Event(old=one, tombstone=True))
    assert predicate(Event(old=one, new=one)), "a resync"


def test_a_status_is_not_worth_a_look():
    before = an_mcs()
    after = an_mcs(conditions=[condition("ServiceApplied")], metadata={"resourceVersion": "8"})
    assert not content_changed(Event(old=before, new=after))
    applied = collected_work("m1") | {"status": {"conditions": [condition("Applied")]}}
    assert not content_changed(Event(old=a_work(collected_work("m1")), new=a_work(applied)))


def test_a_services_spec_is_worth_a_look_though_no_generation_counts_it():
    assert service_changed(Event(old=a_service(), new=a_service(type="LoadBalancer")))
    status = a_service(metadata={"resourceVersion": "8"})
    assert not service_changed(Event(old=a_service(), new=status))


@pytest.mark.parametrize(
    ("fields", "worth"),
    [
        pytest.param({"metadata": {"resourceVersion": "8", "annotations": {"beat": "1"}}}, False, id="heartbeat"),
        pytest.param({"ready": "Unknown"}, True, id="readiness"),
        pytest.param({"apis": {}}, True, id="API list"),
        pytest.param({"metadata": {"deletionTimestamp": DELETED_AT}}, True, id="leaving"),
        pytest.param({"spec": {"apiEndpoint": "https://new"}}, True, id="endpoint"),
        pytest.param({"spec": {"proxyURL": "http://proxy"}}, True, id="proxy"),
    ],
)
def test_opening_07_a_cluster_is_worth_a_look_only_for_what_it_can_change(fields: dict[str, Any], worth: bool):
    assert cluster_changed(Event(old=a_cluster("m1"), new=a_cluster("m1", **fields))) is worth
