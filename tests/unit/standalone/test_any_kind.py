"""Objects of kinds that only the member's discovery knows, applied and kept in line."""

from typing import Any

import pytest

from informers.rest_mapper import FRESH_SECONDS
from mcs_controller.domain import well_known as wk
from mcs_controller.runtime.reconcile import TerminalError
from tests.support.execution import KEY, MARKS, NAMESPACE, World
from tests.support.object_store import Json

STATUS = "patch works/karmada-es-m1/w/status"
ASKED = "discover apis/apps/v1"
PATH = "deployments/default/web"
APPS = {"/apis/apps/v1": [{"name": "deployments", "kind": "Deployment", "namespaced": True}]}


def deployment(replicas: int = 2, **spec: Any) -> Json:
    container = {"name": "web", "image": "nginx"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}, **spec},
        "status": {"readyReplicas": 7},
    }


def stored(world: World) -> Json:
    return world.member.read("Deployment", "default", "web")


@pytest.fixture
def world() -> World:
    world = World()
    world.member.served = APPS
    return world


async def test_it_is_asked_for_once_applied_followed_and_deleted(world: World) -> None:
    world.carry(deployment())
    assert await world.reconcile() == [ASKED, f"create {PATH}", STATUS]
    assert stored(world)["spec"]["replicas"] == 2
    assert "status" not in stored(world)
    assert await world.reconcile() == []
    world.carry(deployment(5))
    assert await world.reconcile() == [f"patch {PATH}"]
    assert stored(world)["spec"]["replicas"] == 5
    world.host.remove("Work", *KEY)
    assert f"delete {PATH}" in await world.reconcile()
    assert world.member.find("Deployment", "default", "web") is None


async def test_what_is_taken_out_of_the_template_goes(world: World) -> None:
    await world.apply(deployment(paused=True))
    await world.apply(deployment())
    assert "paused" not in stored(world)["spec"]


async def test_nothing_is_written_on_a_restart(world: World) -> None:
    await world.apply(deployment())
    world.restart()
    world.members.leave("m1")
    world.members.join("m1", world.member)
    assert await world.reconcile() == [ASKED]


@pytest.mark.parametrize(
    "drift", [{"spec": {"replicas": 9}}, {"metadata": {"labels": {wk.MANAGED: None}}}], ids=["changed", "unmarked"]
)
async def test_drift_is_noticed_and_repaired(world: World, drift: Json) -> None:
    await world.apply(deployment())
    before = stored(world)
    world.woken.clear()
    world.member.edit("Deployment", "default", "web", drift)
    assert world.woken == [KEY]
    await world.reconcile()
    after = stored(world)
    assert (after["spec"], after["metadata"]["labels"]) == (before["spec"], before["metadata"]["labels"])


async def test_what_others_add_stays(world: World) -> None:
    await world.apply(deployment())
    sidecar = {"name": "sidecar", "image": "proxy"}
    containers = stored(world)["spec"]["template"]["spec"]["containers"]
    theirs = {"spec": {"paused": True, "template": {"spec": {"containers": [*containers, sidecar]}}}}
    world.member.edit("Deployment", "default", "web", theirs)
    assert await world.reconcile() == []
    world.carry(deployment(replicas=3))
    assert await world.reconcile() == [f"patch {PATH}"]
    spec = stored(world)["spec"]
    assert (spec["replicas"], spec["paused"]) == (3, True)
    assert sidecar in spec["template"]["spec"]["containers"]


async def test_a_status_is_no_drift_and_is_not_carried_back(world: World) -> None:
    await world.apply(deployment())
    world.woken.clear()
    world.member.edit("Deployment", "default", "web", {"status": {"readyReplicas": 2}})
    assert world.woken == []
    assert "status" not in world.host.read("Work", *KEY)["status"]["manifestStatuses"][0]


async def test_what_a_member_fills_in_is_not_fought_over(world: World) -> None:
    """A newer Kubernetes than that of the control plane, whose own defaults are in the manifest already."""

    def fill_in(obj: Json, before: Json | None) -> None:
        obj["spec"].setdefault("shiny", "new")
        obj["spec"]["template"]["spec"]["containers"][0].setdefault("policy", "IfNotPresent")

    world.member.store.defaulters = {"Deployment": fill_in}
    await world.apply(deployment())
    assert await world.reconcile() == []
    world.member.edit("Deployment", "default", "web", {"status": {"readyReplicas": 2}})
    assert await world.reconcile() == [], "a version that only the status changed"
    world.member.edit("Deployment", "default", "web", {"spec": {"replicas": 9}})
    assert await world.reconcile() == [f"patch {PATH}"], "drift beside it"
    assert await world.reconcile() == []


async def test_a_kind_that_the_member_does_not_have_is_told_and_comes_to_life_when_it_appears(world: World) -> None:
    world.member.served = {}
    world.carry(deployment())
    await world.refused()
    assert world.asked == [ASKED, STATUS]
    message = "Failed to apply all manifests (0/1): cluster m1 serves no apps/v1 Deployment"
    assert world.condition("Applied") == ("False", "AppliedFailed", message)
    await world.refused()
    assert world.asked == [], "believed for a while"
    world.member.served = APPS
    await world.clock.advance(FRESH_SECONDS)
    assert await world.reconcile() == [ASKED, f"create {PATH}", STATUS]


async def test_a_work_whose_kind_is_gone_from_the_member_can_go(world: World) -> None:
    world.member.served = {}
    world.carry(deployment())
    world.host.remove("Work", *KEY)
    assert await world.reconcile() == [ASKED, f"patch works/{NAMESPACE}/w"]
    assert world.host.find("Work", *KEY) is None


async def test_what_does_not_live_in_namespaces_is_not_applied(world: World) -> None:
    world.member.served = {"/api/v1": [{"name": "nodes", "kind": "Node", "namespaced": False}]}
    world.carry({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}})
    with pytest.raises(TerminalError, match="v1 Node does not live in namespaces"):
        await world.reconcile()


async def test_a_member_that_is_connected_anew_is_asked_anew(world: World) -> None:
    await world.apply(deployment())
    world.members.leave("m1")
    world.members.join("m1", world.member)
    assert ASKED in await world.reconcile()


@pytest.mark.parametrize("kept", [{}, {wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE}], ids=["as it is", "overwrite"])
async def test_what_every_cluster_has_of_its_own_is_refused_whoever_made_the_work(world: World, kept: Json) -> None:
    theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {}}
    theirs["metadata"] |= {"namespace": "default", "annotations": kept}
    world.carry(theirs)
    with pytest.raises(TerminalError, match=r"a ConfigMap default/kube-root-ca\.crt of its own"):
        await world.reconcile()
    assert world.member.calls == []
    assert "of its own" in str(world.host.calls)
    with pytest.raises(TerminalError):
        await world.reconcile()
    assert world.host.calls == [], "told once"


async def test_one_that_an_older_version_applied_is_let_go(world: World) -> None:
    theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {}}
    theirs["metadata"] |= {"namespace": "default", "annotations": dict(MARKS), "labels": {wk.MANAGED: wk.TRUE}}
    world.member.served = {"/api/v1": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}
    world.member.seed(theirs)
    world.carry(theirs)
    with pytest.raises(TerminalError):
        await world.reconcile()
    world.host.remove("Work", *KEY)
    await world.reconcile()
    left = world.member.read("ConfigMap", "default", "kube-root-ca.crt")
    assert wk.MANAGED not in left["metadata"]["labels"]
    assert not MARKS.keys() & left["metadata"]["annotations"].keys()
    assert world.host.find("Work", *KEY) is None
