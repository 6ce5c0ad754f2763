"""What a member's object cannot become in place, it becomes by being deleted and made anew."""

import pytest

from informers.errors import ServerError
from mcs_controller.domain import well_known as wk
from tests.support.builders import service, slice_
from tests.support.execution import KEY, NAMESPACE, World
from tests.support.object_store import Json

STATUS = f"patch works/{NAMESPACE}/w/status"
OVERWRITE = {wk.CONFLICT_RESOLUTION: wk.CONFLICT_OVERWRITE}
HEADLESS: Json = {"clusterIP": "None", "clusterIPs": ["None"]}
V6: Json = {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:db8::9"]}]}
IN_PLACE = "cannot be changed in place"


@pytest.fixture
def world() -> World:
    return World()


async def test_a_slice_of_another_address_type_is_made_anew(world: World) -> None:
    await world.apply(slice_())
    world.restart()
    world.carry(slice_() | V6)
    assert await world.reconcile() == ["delete endpointslices/default/web-1", "create endpointslices/default/web-1"]
    assert world.member.read(wk.SLICE_KIND, "default", "web-1")["addressType"] == "IPv6"
    assert await world.reconcile() == []


@pytest.mark.parametrize(
    ("before", "after", "address"), [({}, HEADLESS, "None"), (HEADLESS, {}, "10.1.1.1")], ids=["to-headless", "back"]
)
async def test_a_service_becomes_headless_and_back_if_it_may_be_overwritten(
    world: World, before: Json, after: Json, address: str
) -> None:
    await world.apply(service(**before), annotations=OVERWRITE)
    world.carry(service(**after), annotations=OVERWRITE)
    assert await world.reconcile() == ["delete services/default/web", "create services/default/web"]
    assert world.member.read("Service", "default", "web")["spec"]["clusterIP"] == address
    assert await world.reconcile() == []


async def test_a_service_that_may_not_be_overwritten_is_never_said_to_be_applied(world: World) -> None:
    await world.apply(service())
    world.carry(service(**HEADLESS))
    await world.refused(IN_PLACE)
    assert world.asked == [STATUS]
    assert world.condition("Applied")[0] == "False"
    assert "spec.clusterIP (10.1.1.1 there, None wanted)" in world.condition("Applied")[2]


async def test_a_service_of_the_members_own_in_the_way_of_a_headless_one_is_replaced(world: World) -> None:
    world.member.seed(service(selector={"app": "theirs"}))
    world.carry(service(**HEADLESS), annotations=OVERWRITE)
    assert await world.reconcile() == [
        "create services/default/web",
        "get services/default/web",
        "delete services/default/web",
        "create services/default/web",
        STATUS,
    ]
    found = world.member.read("Service", "default", "web")
    assert (found["spec"]["clusterIP"], found["spec"]["selector"]) == ("None", {"app": "web"})


async def test_a_process_that_dies_between_the_two_writes_is_completed_by_the_next(world: World) -> None:
    await world.apply(slice_())
    world.carry(slice_() | V6)
    world.member.fail(ServerError(500, "", "gone"), "create", wk.SLICE_KIND)
    await world.refused()
    assert world.member.find(wk.SLICE_KIND, "default", "web-1") is None
    world.restart()
    assert await world.reconcile() == ["create endpointslices/default/web-1", STATUS]


async def test_an_object_that_a_finalizer_holds_is_waited_for(world: World) -> None:
    await world.apply(service(), annotations=OVERWRITE)
    world.member.edit("Service", "default", "web", {"metadata": {"finalizers": ["example.com/balancer"]}})
    world.carry(service(**HEADLESS), annotations=OVERWRITE)
    await world.refused("is being deleted")
    await world.refused("is being deleted")
    assert world.asked == []
    world.woken.clear()
    world.member.edit("Service", "default", "web", {"metadata": {"finalizers": None}})
    assert KEY in world.woken
    assert await world.reconcile() == ["create services/default/web", STATUS]


async def test_nothing_is_deleted_ahead(world: World) -> None:
    await world.apply(slice_())
    world.carry(slice_() | V6)
    work = world.works.get(*KEY)
    assert work is not None
    assert await world.start_writes(work) == []


async def test_a_namespace_of_the_members_own_is_used_as_it_is_and_stays(world: World) -> None:
    there = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}}
    before = world.member.seed(there)
    world.carry(there)
    assert await world.reconcile() == [STATUS]
    assert world.condition("Applied")[0] == "True"
    assert await world.reconcile() == []
    world.host.remove("Work", *KEY)
    await world.reconcile()
    assert world.member.find("Namespace", "", "prod") == before
