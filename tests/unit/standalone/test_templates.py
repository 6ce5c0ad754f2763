"""Informers of the control plane's templates: started when wanted, stopped when not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from informers.cache.event import Event
from informers.cache.factory import InformerFactory
from informers.client.client import ApiClient
from informers.client.transport import RawResponse
from informers.errors import Forbidden
from informers.resource import GroupVersionKind
from informers.rest_mapper import RESTMapper
from mcs_controller.api.common import Unstructured
from mcs_controller.standalone.templates import TemplateInformers
from tests.support.clock import FakeClock, settle
from tests.support.discovery import VERBS, DiscoveryClient
from tests.support.members import MemoryFactory
from tests.support.memory import MemoryApi
from tests.support.policies import DEPLOYMENT, NAMESPACE, template

STATEFULSET = GroupVersionKind("apps/v1", "StatefulSet")


class World:
    def __init__(self) -> None:
        self.api = MemoryApi()
        self.factory = MemoryFactory(self.api)
        self.clock = FakeClock()
        self.discovery = DiscoveryClient(
            {
                "/apis/apps/v1": [
                    {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": VERBS},
                    {"name": "statefulsets", "kind": "StatefulSet", "namespaced": True, "verbs": VERBS},
                ],
                "/api/v1": [{"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": VERBS}],
            }
        )
        self.templates = TemplateInformers(
            cast("ApiClient", self.api),
            cast("InformerFactory", self.factory),
            RESTMapper(self.discovery, clock=self.clock),
            clock=self.clock,
        )
        self.changed: list[tuple[str, str]] = []
        self.available: list[GroupVersionKind] = []

        def changed(kind: GroupVersionKind, event: Event[Unstructured]) -> None:
            self.changed.append((kind.kind, event.object.metadata.name))

        self.templates.subscribe(changed=changed, available=self.available.append)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.templates.run())
            await settle()
            yield
            task.cancel()

    @property
    def watched(self) -> list[str]:
        return sorted(plural for plural, _ in self.factory.informers)


@pytest.fixture
def world() -> World:
    return World()


async def test_only_what_is_wanted_is_watched_and_only_as_long_as_somebody_wants_it(world: World) -> None:
    async with world.running():
        assert world.watched == []
        world.templates.want("one", {DEPLOYMENT, STATEFULSET})
        world.templates.want("two", {DEPLOYMENT})
        await settle()
        assert world.watched == ["deployments", "statefulsets"]
        world.templates.want("one", ())
        await settle()
        assert world.watched == ["deployments"]
        assert world.templates.get(STATEFULSET) is None
        world.templates.want("two", ())
        await settle()
        assert world.watched == []
        world.templates.want("two", {DEPLOYMENT})
        await settle()
        assert world.watched == ["deployments"]


async def test_templates_are_told_as_they_are_listed_and_followed_then(world: World) -> None:
    world.api.seed(template())
    world.factory.listing = True
    world.templates.want("one", {DEPLOYMENT})
    async with world.running():
        assert world.templates.get(DEPLOYMENT) is None
        assert world.available == []
        (informer,) = world.factory.informers.values()
        informer.synced.set()
        await settle()
        assert (world.available, world.changed) == ([DEPLOYMENT], [("Deployment", "web")])
        objects = world.templates.get(DEPLOYMENT)
        assert objects is not None
        assert objects.get(NAMESPACE, "web") is not None
        world.api.edit("Deployment", NAMESPACE, "web", {"spec": {"replicas": 3}})
        assert world.changed == [("Deployment", "web")] * 2


async def test_a_list_that_fails_is_told_on_request(world: World) -> None:
    world.factory.listing = True
    world.templates.want("one", {DEPLOYMENT})
    async with world.running():
        assert world.templates.problem(DEPLOYMENT) is None
        (informer,) = world.factory.informers.values()
        informer.last_error = Forbidden(403, "Forbidden", "no")
        assert world.templates.problem(DEPLOYMENT) == "apps/v1 Deployment cannot be listed: 403 Forbidden: no"
        assert not world.templates.is_absent(DEPLOYMENT)


@pytest.mark.parametrize(
    "kind", [GroupVersionKind("example.org/v1", "Thing"), GroupVersionKind("v1", "Namespace")], ids=str
)
async def test_a_kind_that_is_not_served_is_told_and_asked_for_again(world: World, kind: GroupVersionKind) -> None:
    world.templates.want("one", {kind})
    async with world.running():
        assert world.available == [kind]
        assert world.templates.problem(kind) == f"the control plane serves no {kind} that lives in namespaces"
        assert world.templates.is_absent(kind)
        await world.clock.advance(10)
        assert world.available == [kind]  # no news
        served = {"name": "things", "kind": kind.kind, "namespaced": True, "verbs": VERBS}
        world.discovery.documents["/apis/example.org/v1"] = [served]
        await world.clock.advance(20)
        if kind.kind == "Thing":
            assert world.available == [kind, kind]
            assert world.templates.problem(kind) is None
            assert not world.templates.is_absent(kind)
            assert world.templates.get(kind) is not None


async def test_a_server_that_does_not_tell_leaves_it_open(world: World) -> None:
    world.discovery.answers["/apis/apps/v1"] = RawResponse(503, b"busy", {})
    world.templates.want("one", {DEPLOYMENT})
    async with world.running():
        problem = world.templates.problem(DEPLOYMENT)
        assert problem is not None
        assert problem.startswith("the control plane does not tell whether it serves apps/v1 Deployment: 503")
        assert not world.templates.is_absent(DEPLOYMENT)
        world.discovery.answers.clear()
        await world.clock.advance(10)
        assert world.templates.get(DEPLOYMENT) is not None
