"""A Pull cluster that leaves: its agent's rights go with the execution namespace, so it is not waited for for ever."""

from datetime import datetime, timedelta

import pytest

from mcs_controller.standalone.domain.cluster import AGENT_SILENCE_SECONDS, has_given_up, plan_cluster
from tests.support.clusters import cluster, namespace
from tests.unit.standalone.domain.test_cluster import work

LEAVING = namespace("karmada-es-m1", deleting=True)
HELD = work("karmada.io/execution-controller")


def after(seconds: float) -> datetime:
    since = datetime.fromisoformat(LEAVING.metadata.deletion_timestamp or "")
    return since + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("mode", "seconds", "expected"),
    [
        ("Pull", AGENT_SILENCE_SECONDS - 1, False),
        ("Pull", AGENT_SILENCE_SECONDS, True),
        ("Push", AGENT_SILENCE_SECONDS * 10, False),
    ],
)
def test_an_agent_has_its_time(mode, seconds, expected):
    assert has_given_up(cluster(syncMode=mode, deleting=True), LEAVING, after(seconds)) is expected


def test_a_namespace_that_is_not_leaving_is_no_reason():
    one = cluster(syncMode="Pull", deleting=True)
    assert not has_given_up(one, namespace("karmada-es-m1"), after(3600))
    assert not has_given_up(one, None, after(3600))


@pytest.mark.parametrize(
    ("mode", "silent", "released"), [("Pull", True, 1), ("Pull", False, 0), ("Push", True, 0)], ids=str
)
def test_works_of_a_ready_cluster_are_released_only_when_its_agent_is_silent(mode, silent, released):
    plan = plan_cluster(cluster(deleting=True, syncMode=mode), LEAVING, [HELD], (), silent=silent)
    assert len(plan.release) == released
