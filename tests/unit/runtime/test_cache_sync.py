"""A cache that cannot be filled: who waits for it, and what people are told."""

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from informers.errors import Forbidden, KubeError, NotFound, ServerError, TransportError, Unauthorized
from mcs_controller.runtime.controller import Controller, enqueue_object
from mcs_controller.runtime.manager import Manager
from mcs_controller.runtime.reconcile import Request, Result
from tests.support.clock import FakeClock, settle
from tests.support.fake_informer import FakeSource, an_object
from workqueue import ItemExponentialFailureRateLimiter

ABSENT = NotFound(404, "NotFound", "the server could not find the requested resource")


class Informers:
    def __init__(self, *caches: FakeSource) -> None:
        self.informers = caches

    async def run(self) -> None:
        await asyncio.Event().wait()


class Noting:
    def __init__(self, name: str, reconciled: list[str]) -> None:
        self.name, self.reconciled = name, reconciled

    async def reconcile(self, request: Request) -> Result:
        self.reconciled.append(self.name)
        return Result()


class World:
    """Two controllers and two caches, of which `extra` is set apart for the controller "one" only."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.needed, self.extra = FakeSource(synced=False), FakeSource(synced=False)
        self.manager = Manager(clock=self.clock, registry=CollectorRegistry(), manifests="manifests/README.md")
        self.manager.add_informers(Informers(self.needed, self.extra))
        self.reconciled: list[str] = []
        self.one, self.other = self.controller("one"), self.controller("other")
        self.manager.require_only_for(self.extra, self.one)

    def controller(self, name: str) -> Controller[Request]:
        limiter = ItemExponentialFailureRateLimiter[Request](1, 1000)
        controller = Controller(name, Noting(name, self.reconciled), clock=self.clock, rate_limiter=limiter)
        controller.watch(FakeSource(an_object("a")), enqueue_object)
        self.manager.add_controller(controller)
        return controller

    async def start(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.manager.run())
        await settle()
        return task

    async def stop(self, running: asyncio.Task[None]) -> None:
        self.manager.stop()
        await settle()
        assert running.done(), "stopping takes time"
        await running

    def ready(self) -> str:
        return self.manager._ready_checks["informers-synced"]()


@pytest.fixture
async def world() -> World:
    return World()


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        {name: vars(record)[name] for name in ("kind", "error", "waiting", "next_step")}
        for record in caplog.records
        if record.levelno == logging.ERROR
    ]


async def test_one_missing_kind_keeps_only_those_from_working_that_need_it(world: World):
    world.needed.sync()
    world.extra.last_error = ABSENT
    running = await world.start()
    assert world.reconciled == ["other"]
    world.extra.sync()
    await settle()
    assert world.reconciled == ["other", "one"]
    await world.stop(running)


async def test_cache_that_all_need_is_waited_for_without_limit(world: World):
    world.extra.sync()
    running = await world.start()
    await world.clock.advance(3600)
    assert world.reconciled == []
    world.needed.sync()
    await settle()
    assert sorted(world.reconciled) == ["one", "other"]
    await world.stop(running)


async def test_controller_that_still_waits_does_not_delay_the_stop(world: World):
    world.needed.sync()
    running = await world.start()
    await world.stop(running)
    assert world.reconciled == ["other"]


async def test_nothing_is_logged_before_the_time_is_over_or_about_a_list_that_came_in_time(
    world: World, caplog: pytest.LogCaptureFixture
):
    world.needed.sync()
    world.extra.last_error = ABSENT
    running = await world.start()
    await world.clock.advance(119.9)
    world.extra.sync()
    await world.clock.advance(3600)
    assert told(caplog) == []
    await world.stop(running)


async def test_log_names_kind_cause_who_waits_and_the_next_step_once_per_change(
    world: World, caplog: pytest.LogCaptureFixture
):
    world.needed.sync()
    world.extra.last_error = ABSENT
    running = await world.start()
    await world.clock.advance(3600)
    first = {
        "kind": "configmaps.v1",
        "error": str(ABSENT),
        "waiting": "one",
        "next_step": "the server does not serve this kind: "
        "apply its CustomResourceDefinition (see manifests/README.md)",
    }
    assert told(caplog) == [first]
    world.extra.last_error = Forbidden(403, "Forbidden", "no")
    await world.clock.advance(3600)
    assert [line["error"] for line in told(caplog)] == [str(ABSENT), "403 Forbidden: no"]
    world.extra.sync()
    await world.clock.advance(5)
    await world.clock.advance(3600)
    assert len(told(caplog)) == 2
    await world.stop(running)


async def test_each_overdue_cache_has_a_line_of_its_own(world: World, caplog: pytest.LogCaptureFixture):
    running = await world.start()
    await world.clock.advance(120)
    assert [line["waiting"] for line in told(caplog)] == ["every controller", "one"]
    await world.stop(running)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (None, "wait"),
        (ABSENT, "apply its CustomResourceDefinition (see manifests/README.md)"),
        (Forbidden(403, "Forbidden", "no"), "apply the roles (see manifests/README.md)"),
        (Unauthorized(401, "Unauthorized", "no"), "renew those in the kubeconfig"),
        (TransportError("refused"), "check its address and the network"),
        (ServerError(500, "", "etcd"), "look at the server"),
    ],
    ids=["slow", "absent", "forbidden", "unauthorized", "unreachable", "failing"],
)
async def test_readiness_says_at_once_what_is_missing_why_and_what_to_do(
    world: World, error: KubeError | None, advice: str
):
    assert world.ready() == "the first lists have not begun"
    world.needed.sync()
    world.extra.last_error = error
    running = await world.start()
    reason = str(error) if error is not None else "no answer yet"
    assert world.ready().startswith(f"no list of configmaps.v1 yet, so one cannot work: {reason}; ")
    assert advice in world.ready()
    world.extra.sync()
    assert world.ready() == ""
    await world.stop(running)
