"""Informers of members' objects, started on source."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from informers.errors import Forbidden
from informers.resource import GroupVersionKind
from mcs_controller.standalone.member_objects import (
    MEMBER_KINDS,
    NAMESPACES,
    MemberObjectInformers,
    MemberUnavailable,
    NotListed,
    NotSynced,
)
from tests.support.builders import service, slice_
from tests.support.clock import FakeClock, settle
from tests.support.execution import KEY, World
from tests.support.members import MemoryMembers
from tests.support.memory import MemoryApi

SERVICES = MEMBER_KINDS[GroupVersionKind("v1", "Service")]


@asynccontextmanager
async def running(objects: MemberObjectInformers) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(objects.run())
        yield
        task.cancel()


async def test_nothing_is_watched_before_it_is_needed() -> None:
    members, api = MemoryMembers(), MemoryApi()
    objects = MemberObjectInformers(members, clock=FakeClock())
    members.join("m1", api)
    assert members.factories["m1"].informers == {}
    objects.open("m1", SERVICES)
    objects.open("m1", SERVICES)
    assert list(members.factories["m1"].informers) == [("services", "karmada.io/managed=true")]
    objects.open("m1", NAMESPACES)
    assert list(members.factories["m1"].informers)[1] == ("namespaces", "")


async def test_only_managed_objects_are_kept() -> None:
    members, api = MemoryMembers(), MemoryApi()
    objects = MemberObjectInformers(members, clock=FakeClock())
    api.seed(service("theirs"), service("ours", labels={"karmada.io/managed": "true"}))
    members.join("m1", api)
    assert [one.metadata.name for one in objects.open("m1", SERVICES).store.values()] == ["ours"]


async def test_a_member_that_cannot_be_talked_to_is_named_with_its_problem() -> None:
    members = MemoryMembers()
    objects = MemberObjectInformers(members, clock=FakeClock())
    with pytest.raises(NotSynced, match="cluster m1 is being connected to"):
        objects.open("m1", SERVICES)
    members.problems["m1"] = "spec.apiEndpoint is empty"
    with pytest.raises(MemberUnavailable, match=r"spec\.apiEndpoint is empty"):
        objects.client("m1")


async def test_listeners_hear_when_the_first_list_is_there() -> None:
    members, available = MemoryMembers(), list[str]()
    objects = MemberObjectInformers(members, clock=FakeClock())
    objects.subscribe(changed=lambda _cluster, _event: None, available=available.append)
    async with running(objects):
        members.join("m1", MemoryApi(), listing=True)
        assert available == ["m1"]
        with pytest.raises(NotSynced):
            objects.open("m1", SERVICES)
        await settle()
        assert available == ["m1"]
        members.factories["m1"].informers["services", "karmada.io/managed=true"].synced.set()
        await settle()
        assert available == ["m1", "m1"]
        objects.open("m1", SERVICES)


async def test_a_list_that_is_refused_is_an_error_with_words() -> None:
    members = MemoryMembers()
    objects = MemberObjectInformers(members, clock=FakeClock())
    members.join("m1", MemoryApi(), listing=True)
    with pytest.raises(NotSynced):
        objects.open("m1", SERVICES)
    informer = members.factories["m1"].informers["services", "karmada.io/managed=true"]
    informer.last_error = Forbidden(403, "Forbidden", "no")
    with pytest.raises(NotListed, match=r"cannot list services\.v1 of cluster m1: 403 Forbidden: no"):
        objects.open("m1", SERVICES)


async def test_a_member_that_joins_again_has_new_informers_and_the_old_ones_are_not_waited_for() -> None:
    members, available = MemoryMembers(), list[str]()
    objects = MemberObjectInformers(members, clock=FakeClock())
    async with running(objects):
        members.join("m1", MemoryApi(), listing=True)
        with pytest.raises(NotSynced):
            objects.open("m1", SERVICES)
        await settle()
        old = members.factories["m1"].informers["services", "karmada.io/managed=true"]
        objects.subscribe(changed=lambda _cluster, _event: None, available=available.append)
        members.leave("m1")
        await settle()
        old.synced.set()
        await settle()
        assert available == []
        members.join("m1", MemoryApi())
        objects.open("m1", SERVICES)
        assert members.factories["m1"].informers["services", "karmada.io/managed=true"] is not old


async def test_a_work_whose_members_objects_are_being_listed_comes_back_when_they_are_there() -> None:
    world = World(listing=True)
    world.carry(slice_())
    async with running(world.objects):
        assert await world.reconcile() == []
        await settle()
        world.woken.clear()
        for informer in world.members.factories["m1"].informers.values():
            informer.synced.set()
        await settle()
        assert KEY in world.woken
        assert await world.reconcile() == []  # now the namespaces are being listed
        await settle()
        world.woken.clear()
        for informer in world.members.factories["m1"].informers.values():
            informer.synced.set()
        await settle()
        assert KEY in world.woken
        assert (await world.reconcile())[0] == "create endpointslices/default/web-1"


async def test_a_list_that_is_refused_shows_in_the_work() -> None:
    world = World(listing=True)
    await world.apply(slice_())
    for informer in world.members.factories["m1"].informers.values():
        informer.last_error = Forbidden(403, "Forbidden", "no")
    await world.refused("cannot list endpointslices")
