"""What an agent does on a stand-alone control plane: execution and status, of its own cluster and while it is Pull."""

import random
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from mcs_controller.api.resources import CLUSTERS
from mcs_controller.key_mutex import ReconcileMutex
from mcs_controller.members.sync_mode import CONTROL_PLANE, SyncModeFilter
from mcs_controller.reconcilers.retries import Retries
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.domain.cluster_status import Thresholds
from mcs_controller.standalone.metrics import PrometheusClusterMetrics
from mcs_controller.standalone.reconcilers.cluster_status import ClusterStatusReconciler
from mcs_controller.standalone.reconcilers.execution import ExecutionReconciler, namespace_finder
from tests.support.builders import service
from tests.support.clock import FakeClock
from tests.support.clusters import cluster_json
from tests.support.execution import NAMESPACE, World
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.unit.standalone.reconcilers.test_cluster_status import FakeMembers

SERVED = [
    pytest.param(CONTROL_PLANE, "Push", True, id="push, control plane"),
    pytest.param(CONTROL_PLANE, "Pull", False, id="pull, control plane"),
    pytest.param(SyncModeFilter("m1"), "Pull", True, id="pull, its agent"),
    pytest.param(SyncModeFilter("m1"), "Push", False, id="push, its agent"),
    pytest.param(SyncModeFilter("m2"), "Pull", False, id="pull, another's agent"),
]


@pytest.mark.parametrize(("sync_modes", "mode", "served"), SERVED)
async def test_works_are_applied_by_whoever_serves_the_cluster(sync_modes, mode, served):
    world = World()
    world.host.edit("Cluster", "", "m1", {"spec": {"syncMode": mode}})
    world.reconciler = ExecutionReconciler(
        works=world.works,
        clusters=world.clusters.store,
        objects=world.objects,
        ownerships=world.ownerships,
        recorder=world.recorder,
        clock=world.clock,
        turns=ReconcileMutex(lambda _: None),
        find_namespace=namespace_finder(cast("Any", world.host)),
        retries=Retries(clock=world.clock, rng=random.Random(1), member_qps=40.0),
        sync_modes=sync_modes,
    )
    world.carry(service())
    applied = ["create services/default/web", f"patch works/{NAMESPACE}/w/status"]
    assert await world.reconcile() == (applied if served else [])


@pytest.mark.parametrize(("sync_modes", "mode", "served"), SERVED)
@pytest.mark.parametrize("secret", [True, False], ids=["secret", "no-secret"])
async def test_a_cluster_is_probed_by_whoever_serves_it_and_an_agent_needs_no_secret(sync_modes, mode, served, secret):
    api, clock = MemoryApi(), FakeClock()
    content = cluster_json(ready=None, complete=None, apis={}, syncMode=mode)
    if not secret:
        del content["spec"]["secretRef"]
    api.seed(content)
    reconciler = ClusterStatusReconciler(
        clusters=api.cached(CLUSTERS),
        members=FakeMembers(),
        clock=clock,
        rng=random.Random(1),
        metrics=PrometheusClusterMetrics(CollectorRegistry()),
        recorder=MemoryRecorder(),
        thresholds=Thresholds(success=30, failure=30),
        sync_modes=sync_modes,
    )
    result = await reconciler.reconcile(Request("", "m1"))
    if served and (secret or sync_modes.is_agent):
        assert [str(call) for call in api.writes] == ["patch clusters/m1/status"]
    else:
        assert result == Result()
        assert api.writes == []
