"""Works that are never applied, and copies that lost the name of their Work, by the execution controller."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from tests.support.builders import filed, mcs, slice_
from tests.support.execution import KEY, World

pytestmark = pytest.mark.asyncio

COLLECTED = filed() | {wk.COLLECTED_BY: wk.COLLECTED_BY_MCS}


@pytest.mark.parametrize("manifest", [slice_(), mcs()], ids=["collected slice", "MultiClusterService"])
async def test_what_only_tells_what_a_provider_has_is_not_applied_though_somebody_resumed_it(manifest: Any):
    world = World()
    world.carry(manifest, labels=COLLECTED, finalizers=())
    assert await world.reconcile() == []


async def test_what_came_of_a_resumed_one_before_is_undone():
    world = World()
    native = slice_(labels={wk.MANAGED: "true"})
    world.member.seed(native)
    world.carry(native, labels=COLLECTED, suspend_dispatching=True)
    refused = {"type": "Applied", "status": "False", "reason": "AppliedFailed", "message": "m"}
    condition = refused | {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    world.host.edit("Work", *KEY, {"status": {"conditions": [condition], "manifestStatuses": [{"health": "Healthy"}]}})
    await world.reconcile()
    there = world.host.read("Work", *KEY)
    assert wk.EXECUTION_FINALIZER not in there["metadata"].get("finalizers", [])
    assert not world.has_condition("Applied")
    assert there["status"]["manifestStatuses"] == []
    assert world.has_condition("Dispatching")
    assert world.member.find("EndpointSlice", "default", "web-1") is not None
    assert await world.reconcile() == []


@pytest.mark.parametrize("lost", [(wk.WORK_NAME,), (wk.WORK_NAMESPACE,), (wk.WORK_NAME, wk.WORK_NAMESPACE)])
async def test_a_copy_that_lost_the_names_of_its_work_is_repaired_updated_and_deleted(lost: tuple[str, ...]):
    world = World()
    copy = slice_("m2-web-1", labels={wk.SLICE_MANAGED_BY: wk.SLICE_DISPATCHER})
    await world.apply(copy)
    strip = {"metadata": {"annotations": dict.fromkeys(lost)}}
    world.woken.clear()
    world.member.edit("EndpointSlice", "default", "m2-web-1", strip)
    assert world.woken == [KEY]
    await world.reconcile()
    there = world.member.read("EndpointSlice", "default", "m2-web-1")
    assert there["metadata"]["annotations"].keys() >= {wk.WORK_NAME, wk.WORK_NAMESPACE}
    assert world.condition("Applied")[0] == "True"
    # Also while nobody watched, and with the end of the Work.
    world.member.edit("EndpointSlice", "default", "m2-web-1", strip)
    world.host.remove("Work", *KEY)
    await world.reconcile()
    assert world.member.find("EndpointSlice", "default", "m2-web-1") is None
