"""Start and stop order, and what happens when something fails."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.leader_election import LeaderElectionConfig, LeaderElector, LeadershipLost
from mcs_controller.runtime.manager import Manager
from mcs_controller.runtime.reconcile import Request, Result
from tests.support.clock import FakeClock, settle
from tests.support.fake_informer import FakeSource, an_object
from tests.support.leases import LEASE, LeaseConnection, LeaseServer
from workqueue import ItemExponentialFailureRateLimiter


class Noting:
    """A runnable that notes when it runs."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.crash: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self.log.append(f"+{self.name}")
        try:
            await self.crash
        finally:
            self.log.append(f"-{self.name}")


class NotingInformers(Noting):
    """Two caches that note when somebody has seen them filled."""

    def __init__(self, log: list[str]) -> None:
        super().__init__("informers", log)
        self.needed, self.extra = FakeSource(synced=False), FakeSource(synced=False)

    @property
    def informers(self) -> list[FakeSource]:
        return [self.needed, self.extra]

    def sync(self) -> None:
        self.needed.sync()
        self.extra.sync()


class Leases(LeaseConnection):
    """A connection that notes when the lease changes hands."""

    log: list[str]

    async def _call(self, verb: str, ask: Callable[[], dict[str, Any]]) -> Any:
        before = self.server.holder
        try:
            return await super()._call(verb, ask)
        finally:
            if self.server.holder != before:
                self.log.append(f"lease:{self.server.holder or 'free'}")


class World:
    def __init__(self, grace_seconds: float = 30) -> None:
        self.clock = FakeClock()
        self.log: list[str] = []
        self.leases = Leases(LeaseServer(self.clock))
        self.leases.log = self.log
        self.manager = Manager(
            clock=self.clock,
            registry=CollectorRegistry(),
            elector=LeaderElector(
                self.leases,
                LeaderElectionConfig(namespace="karmada-system", name="the-lease", identity="me"),
                clock=self.clock,
                rng=random.Random(0),
            ),
            grace_seconds=grace_seconds,
        )
        self.background = Noting("background", self.log)
        self.informers = NotingInformers(self.log)
        self.members = Noting("members", self.log)
        self.manager.add_runnable(self.members, needs_leader=True)
        self.manager.add_runnable(self.background, needs_leader=False)
        self.manager.add_informers(self.informers)
        self.source = FakeSource(an_object("a"))
        controller: Controller[Request] = Controller(
            "controller", self, clock=self.clock, rate_limiter=ItemExponentialFailureRateLimiter(1, 1000)
        )
        controller.watch(self.source, enqueue_object)
        self.manager.add_controller(controller)
        self.work_seconds = 0.0

    async def reconcile(self, request: Request) -> Result:
        self.log.append("reconcile")
        try:
            await self.clock.sleep(self.work_seconds)
        except asyncio.CancelledError:
            self.log.append("reconcile cut short")
            raise
        self.log.append("reconciled")
        return Result()

    async def start(self) -> asyncio.Task[None]:
        self.informers.sync()
        task = asyncio.create_task(self.manager.run())
        await settle()
        return task


@pytest.fixture
async def world() -> World:
    return World()


HELD = {"metadata": {"name": "the-lease"}, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15}}
STARTED = ["+background", "+informers", "lease:me", "+members", "reconcile", "reconciled"]


async def test_everything_starts_from_outside_in_and_stops_from_inside_out(world: World):
    running = await world.start()
    assert world.log == STARTED
    world.log.clear()
    world.manager.stop()
    world.manager.stop()
    await running
    assert world.log == ["-members", "lease:free", "-informers", "-background"]
    assert world.source.handlers == []


async def test_nobody_campaigns_before_the_caches_are_warm(world: World):
    running = asyncio.create_task(world.manager.run())
    await world.clock.advance(100)
    assert world.log == ["+background", "+informers"]
    assert world.leases.calls == []
    world.informers.sync()
    await settle()
    assert world.log == STARTED
    world.manager.stop()
    await running


async def test_standby_keeps_warm_and_works_as_soon_as_it_leads(world: World):
    world.leases.server.create(LEASE, HELD)
    running = await world.start()
    await world.clock.advance(10)
    assert world.log == ["+background", "+informers"]
    assert world.source.handlers == []
    await world.clock.advance(10)
    assert world.log == STARTED
    world.manager.stop()
    await running


async def test_manager_without_election_leads_at_once():
    clock = FakeClock()
    manager = Manager(clock=clock, registry=CollectorRegistry())
    log: list[str] = []
    manager.add_runnable(Noting("members", log), needs_leader=True)
    running = asyncio.create_task(manager.run())
    await settle()
    assert log == ["+members"]
    manager.stop()
    await running
    assert log == ["+members", "-members"]


async def test_reconcile_in_hand_is_finished_before_the_lease_is_released(world: World):
    world.work_seconds = 20
    running = await world.start()
    world.log.clear()
    world.manager.stop()
    await world.clock.advance(19.9)
    assert world.log == []
    assert world.leases.server.holder == "me"
    await world.clock.advance(0.1)
    await running
    assert world.log == ["reconciled", "-members", "lease:free", "-informers", "-background"]


async def test_lease_is_renewed_while_reconciles_in_hand_are_finished(world: World):
    """Or it would expire, and another process would lead beside them."""
    world.work_seconds = 25  # longer than the lease lasts
    running = await world.start()
    world.manager.stop()
    renewed = world.leases.server.spec["renewTime"]
    for _ in range(4):
        await world.clock.advance(6)
        assert world.leases.server.spec["renewTime"] > renewed
        renewed = world.leases.server.spec["renewTime"]
    await world.clock.advance(1)
    await running
    assert "reconciled" in world.log


async def test_reconcile_that_outlasts_the_grace_period_is_cut_short(caplog: pytest.LogCaptureFixture):
    world = World(grace_seconds=5)
    world.work_seconds = 20
    running = await world.start()
    world.log.clear()
    world.manager.stop()
    await world.clock.advance(5)
    await running
    assert world.log == ["reconcile cut short", "-members", "lease:free", "-informers", "-background"]
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert vars(record)["controllers"] == "controller"


async def test_lost_lease_ends_the_process_without_grace_and_without_release(world: World):
    world.work_seconds = 20
    running = await world.start()
    world.log.clear()
    world.leases.hangs = True
    calls = len(world.leases.calls)
    await world.clock.advance(12)
    with pytest.raises(LeadershipLost):
        await running
    assert world.log == ["reconcile cut short", "-members", "-informers", "-background"]
    assert world.leases.calls[calls:] == ["update", "update"]
    assert world.leases.server.holder == "me"


async def test_no_reconcile_begins_after_the_process_stood_still_for_longer_than_its_term(world: World):
    """The clock tells the workers, who may have their turn before the renewal has."""
    running = await world.start()
    world.log.clear()
    world.clock.freeze(12)
    world.source.add("b")
    await settle()
    assert world.log == []
    await world.clock.advance(2)
    with pytest.raises(LeadershipLost, match="stood still"):
        await running
    assert "reconcile" not in world.log


@pytest.mark.parametrize("phase", ["syncing", "campaigning"])
async def test_stop_before_leading_is_quick_and_touches_no_lease(world: World, phase: str):
    world.leases.server.create(LEASE, HELD)
    version = world.leases.server.version
    if phase == "campaigning":
        world.informers.sync()
    running = asyncio.create_task(world.manager.run())
    await settle()
    world.log.clear()
    world.manager.stop()
    await running
    assert world.log == ["-informers", "-background"]
    assert world.leases.server.version == version


async def test_stop_before_run_stops_at_once(world: World):
    world.manager.stop()
    await world.manager.run()
    assert "lease:me" not in world.log


@pytest.mark.parametrize("who", ["background", "informers", "members"])
async def test_crash_takes_everything_down_and_is_reported_by_name(
    world: World, caplog: pytest.LogCaptureFixture, who: str
):
    running = await world.start()
    world.log.clear()
    error = ZeroDivisionError("oops")
    getattr(world, who).crash.set_exception(error)
    await settle()
    with pytest.raises(ZeroDivisionError) as caught:
        await running
    assert caught.value is error
    assert set(world.log) == {"-members", "lease:free", "-informers", "-background"}
    assert world.leases.server.holder == ""
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert vars(record)["runnable"] == who
    assert record.exc_info


async def test_several_crashes_at_once_are_all_raised(world: World):
    running = await world.start()
    world.background.crash.set_exception(ZeroDivisionError())
    world.informers.crash.set_exception(KeyError())
    await settle()
    with pytest.raises(ExceptionGroup) as caught:
        await running
    assert caught.group_contains(ZeroDivisionError)
    assert caught.group_contains(KeyError)


async def test_runnable_that_ends_by_itself_is_no_crash(world: World):
    running = await world.start()
    world.members.crash.set_result(None)
    await world.clock.advance(60)
    assert not running.done()
    world.manager.stop()
    await running


async def test_cancelling_the_manager_stops_everything(world: World):
    running = await world.start()
    world.log.clear()
    running.cancel()
    await settle()
    assert running.cancelled()
    assert world.log == ["-members", "lease:free", "-informers", "-background"]


async def test_second_controller_of_a_name_is_refused_when_it_is_added(world: World):
    twin: Controller[Request] = Controller(
        "controller", world, clock=world.clock, rate_limiter=ItemExponentialFailureRateLimiter(1, 1000)
    )
    with pytest.raises(ValueError, match="a controller named 'controller' already"):
        world.manager.add_controller(twin)
    twin.watch(world.source, enqueue_object)
    running = await world.start()
    assert world.log == STARTED  # the first one works, alone
    world.manager.stop()
    await running
