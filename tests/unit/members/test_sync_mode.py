"""Who serves which cluster: never two, and for each that is there exactly one."""

import pytest

from mcs_controller.members.sync_mode import CONTROL_PLANE, SyncModeFilter
from tests.support.builders import a_cluster

PROCESSES = {"control plane": CONTROL_PLANE, "agent of m1": SyncModeFilter("m1"), "agent of m2": SyncModeFilter("m2")}


def who_serves(name: str, mode: str | None) -> list[str]:
    cluster = a_cluster(name, mode=mode) if mode is not None else None
    return [process for process, sync_modes in PROCESSES.items() if sync_modes.owns(name, cluster)]


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        pytest.param("m1", "Push", ["control plane"], id="case-58-push"),
        pytest.param("m1", "Pull", ["agent of m1"], id="case-60-own-cluster"),
        pytest.param("m2", "Pull", ["agent of m2"], id="case-60-other-cluster"),
        pytest.param("m3", "Pull", [], id="case-58-pull-without-agent"),
        pytest.param("m1", None, ["control plane"], id="gone, to be cleared away"),
    ],
)
def test_a_cluster_has_one_process_to_serve_it(name, mode, expected):
    assert who_serves(name, mode) == expected


def test_an_agent_knows_that_it_is_one():
    assert SyncModeFilter("m1").is_agent
    assert not CONTROL_PLANE.is_agent
