"""binding-controller over an API server in memory."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from informers.cache.cached_client import CachedClient
from informers.cache.event import Event
from informers.errors import ServerError
from mcs_controller.api.core import Service
from mcs_controller.api.resourcebinding import ResourceBinding
from mcs_controller.api.resources import RESOURCEBINDINGS, SERVICES, WORKS
from mcs_controller.api.work import Work
from mcs_controller.domain import well_known as wk
from mcs_controller.key_mutex import KeyMutex
from mcs_controller.reconcilers.writes import AggregateError
from mcs_controller.runtime.reconcile import Request
from mcs_controller.standalone.domain.binding import BINDING_INDEXES, WORK_INDEXES
from mcs_controller.standalone.metrics import PrometheusPropagationMetrics
from mcs_controller.standalone.reconcilers.binding import (
    BindingReconciler,
    follow_templates,
    requests_for_work,
    work_changed,
)
from mcs_controller.standalone.templates import TemplateInformers
from tests.support.builders import a_work, binding, ids, service, work
from tests.support.clock import FakeClock
from tests.support.memory import MemoryApi, MemoryRecorder
from tests.support.object_store import Json
from tests.support.policies import DEPLOYMENT, MemoryTemplates, template

KEY = Request("default", "web-service")
NAME = "web-5df7d8bb9f"
SUCCEED = [("ResourceBinding", "SyncWorkSucceed"), ("Service", "SyncWorkSucceed")]
FAILED = [("ResourceBinding", "SyncWorkFailed"), ("Service", "SyncWorkFailed")]


@dataclass
class World:
    """A control plane and the reconciler under test."""

    api: MemoryApi = field(default_factory=MemoryApi)
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.bindings: CachedClient[ResourceBinding] = self.api.cached(RESOURCEBINDINGS, BINDING_INDEXES)
        self.works: CachedClient[Work] = self.api.cached(WORKS, WORK_INDEXES)
        self.services: CachedClient[Service] = self.api.cached(SERVICES)
        self.metrics = PrometheusPropagationMetrics(self.registry)
        self.restart()

    def restart(self) -> None:
        self.templates = MemoryTemplates(self.api)
        self.reconciler = BindingReconciler(
            bindings=self.bindings,
            works=self.works,
            services=self.services.store,
            templates=cast("TemplateInformers", self.templates),
            recorder=self.recorder,
            new_id=ids(),
            clock=FakeClock(),
            binding_locks=KeyMutex(),
            metrics=self.metrics,
        )
        self.woken = list[Request]()
        follow_templates(cast("TemplateInformers", self.templates), self.reconciler, self.woken.append)

    def schedule(self, *clusters: str, **spec: object) -> None:
        self.api.seed(service())
        content = binding(labels={wk.BINDING_PERMANENT_ID: "rb-id"})
        content["spec"] |= {"clusters": [{"name": cluster} for cluster in clusters], **spec}
        self.api.seed(content)

    async def reconcile(self) -> list[str]:
        """One pass; what it asked of the API server."""
        self.api.calls.clear()
        await self.reconciler.reconcile(KEY)
        return sorted(f"{call.verb} {call.plural} {call.namespace}" for call in self.api.calls)

    @property
    def places(self) -> list[str]:
        """Namespaces of the Works that are to stay: the execution controller's finalizer holds the others."""
        return [one["metadata"]["namespace"] for one in self.living]

    @property
    def living(self) -> list[Json]:
        return [one for one in self.api.all("Work") if "deletionTimestamp" not in one["metadata"]]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_scheduled_service_gets_a_work_in_each_cluster_and_a_second_pass_asks_nothing(world: World) -> None:
    world.schedule("m2", "m1")
    assert await world.reconcile() == ["create works karmada-es-m1", "create works karmada-es-m2"]
    assert world.recorder.take() == SUCCEED
    assert await world.reconcile() == []
    world.restart()
    assert await world.reconcile() == []
    assert world.recorder.take() == []


async def test_a_work_of_a_cluster_that_is_no_longer_scheduled_goes(world: World) -> None:
    world.schedule("m1", "m2")
    await world.reconcile()
    world.api.edit("ResourceBinding", *KEY, {"spec": {"clusters": [{"name": "m1"}]}})
    assert await world.reconcile() == ["delete works karmada-es-m2"]


async def test_works_of_other_bindings_are_never_touched(world: World) -> None:
    world.api.seed(work("m3", "foreign", service("other")))
    world.api.seed(work("m3", "empty", service("other"), labels={wk.BINDING_PERMANENT_ID: ""}))
    world.schedule("m1")
    await world.reconcile()
    world.api.remove("ResourceBinding", *KEY)
    await world.reconcile()
    assert world.places == ["karmada-es-m3", "karmada-es-m3"]


async def test_deletion_takes_all_works_along_and_drops_only_our_finalizer(world: World) -> None:
    world.schedule("m1", "m2")
    world.api.edit("ResourceBinding", *KEY, {"metadata": {"finalizers": ["foreign", wk.BINDING_FINALIZER]}})
    await world.reconcile()
    world.api.remove("ResourceBinding", *KEY)
    assert await world.reconcile() == [
        "delete works karmada-es-m1",
        "delete works karmada-es-m2",
        "patch resourcebindings default",
    ]
    assert world.api.read("ResourceBinding", *KEY)["metadata"]["finalizers"] == ["foreign"]
    assert await world.reconcile() == []


async def test_the_finalizer_stays_until_every_work_could_be_deleted(world: World) -> None:
    world.schedule("m1", "m2")
    await world.reconcile()
    world.recorder.take()
    world.api.remove("ResourceBinding", *KEY)
    world.api.fail(ServerError(500, "", "broken"), "delete", "Work")
    with pytest.raises(AggregateError):
        await world.reconcile()
    assert world.recorder.take() == [("ResourceBinding", "CleanupWorkFailed")]
    assert world.api.find("ResourceBinding", *KEY) is not None
    await world.reconcile()
    assert world.api.find("ResourceBinding", *KEY) is None
    assert world.places == []


async def test_works_under_an_id_that_was_wiped_off_are_found_and_relabelled(world: World) -> None:
    world.schedule("m1", "m2")
    await world.reconcile()
    world.api.edit("ResourceBinding", *KEY, {"metadata": {"labels": None}, "spec": {"clusters": [{"name": "m1"}]}})
    await world.reconcile()
    [left] = world.living
    assert left["metadata"]["namespace"] == "karmada-es-m1"
    assert left["metadata"]["labels"][wk.BINDING_PERMANENT_ID].startswith("id-")
    assert await world.reconcile() == []


async def test_foreign_labels_and_finalizers_of_a_work_stay(world: World) -> None:
    world.schedule("m1")
    await world.reconcile()
    [made] = world.api.all("Work")
    name = made["metadata"]["name"]
    foreign = {"metadata": {"labels": {"own": "1"}, "finalizers": ["a-foreign", wk.EXECUTION_FINALIZER]}}
    world.api.edit("Work", "karmada-es-m1", name, foreign)
    assert await world.reconcile() == []
    world.api.edit("Work", "karmada-es-m1", name, {"spec": {"suspendDispatching": True}})
    assert await world.reconcile() == ["patch works karmada-es-m1"]
    [repaired] = world.api.all("Work")
    assert repaired["spec"]["suspendDispatching"] is False
    assert repaired["metadata"]["labels"]["own"] == "1"
    assert repaired["metadata"]["finalizers"] == ["a-foreign", wk.EXECUTION_FINALIZER]


async def test_a_missing_service_leaves_the_works_as_they_are(world: World) -> None:
    world.schedule("m1")
    await world.reconcile()
    world.api.remove("Service", "default", "web")
    assert await world.reconcile() == []
    assert world.places == ["karmada-es-m1"]


async def test_a_binding_waits_for_the_service_that_it_speaks_of(world: World) -> None:
    world.schedule("m1")
    world.api.hold_watches()
    newer = world.api.edit("Service", "default", "web", {"spec": {"selector": {"app": "new"}}})
    world.api.release_watches_of("resourcebindings")
    world.api.edit(
        "ResourceBinding", *KEY, {"spec": {"resource": {"resourceVersion": newer["metadata"]["resourceVersion"]}}}
    )
    world.api.release_watches_of("resourcebindings")
    assert await world.reconcile() == []

    woken: list[Request] = []
    world.services.informer.add_handler(lambda event: woken.extend(world.reconciler.requests_for_template(event)))
    woken.clear()
    world.api.release_watches()
    assert woken == [KEY]
    assert await world.reconcile() == ["create works karmada-es-m1"]
    world.api.edit("Service", "default", "web", {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}})
    assert woken == [KEY], "its status does not travel"


async def test_a_service_is_followed_though_nobody_writes_its_binding(world: World) -> None:
    world.schedule("m1")
    await world.reconcile()
    world.services.informer.add_handler(lambda event: world.woken.extend(world.reconciler.requests_for_template(event)))
    world.woken.clear()
    world.api.edit("Service", "default", "web", {"spec": {"selector": {"app": "new"}}})
    assert world.woken == [KEY]
    assert await world.reconcile() == ["patch works karmada-es-m1"]


async def test_people_hear_of_a_service_that_is_brought_somewhere_and_not_of_each_change(world: World) -> None:
    world.schedule("m1")
    await world.reconcile()
    assert world.recorder.take() == SUCCEED
    for number in (1, 2):
        world.api.edit("Service", "default", "web", {"spec": {"selector": {"app": f"new-{number}"}}})
        assert await world.reconcile() == ["patch works karmada-es-m1"]
        assert world.recorder.take() == []
    world.api.edit("ResourceBinding", *KEY, {"spec": {"clusters": [{"name": "m1"}, {"name": "m2"}]}})
    assert await world.reconcile() == ["create works karmada-es-m2"]
    assert world.recorder.take() == SUCCEED


async def test_a_template_of_any_kind_is_followed_though_nobody_writes_its_binding(world: World) -> None:
    world.api.seed(template())
    about_deployment(world)
    await world.reconcile()
    world.woken.clear()
    world.api.edit("Deployment", "default", "web", {"status": {"replicas": 1}})
    assert world.woken == []
    world.api.edit("Deployment", "default", "web", {"spec": {"replicas": 5}})
    assert world.woken == [KEY]
    assert await world.reconcile() == ["patch works karmada-es-m1"]


async def test_a_work_that_is_being_deleted_is_waited_for_and_reported_once(world: World) -> None:
    world.schedule("m1", "m2")
    await world.reconcile()
    world.recorder.take()
    [first, _] = world.api.all("Work")
    world.api.remove("Work", "karmada-es-m1", first["metadata"]["name"])
    assert await world.reconcile() == []
    assert await world.reconcile() == []
    assert world.recorder.take() == FAILED
    world.api.edit("Work", "karmada-es-m1", first["metadata"]["name"], {"metadata": {"finalizers": None}})
    assert await world.reconcile() == ["create works karmada-es-m1"]
    assert world.recorder.take() == SUCCEED


async def test_one_cluster_that_fails_keeps_no_other_back_and_is_reported_once(world: World) -> None:
    world.schedule("m1", "m2")
    world.api.fail(ServerError(500, "", "broken"), "create", "Work", times=2)
    world.api.fail(ServerError(500, "", "broken"), "create", "Work", times=1)
    with pytest.raises(AggregateError):
        await world.reconcile()
    with pytest.raises(AggregateError):
        await world.reconcile()
    assert await world.reconcile() == ["create works karmada-es-m1"]
    assert world.recorder.take() == [*FAILED, *FAILED, *SUCCEED]


def about_deployment(world: World, **resource: str) -> None:
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "web"} | resource
    world.schedule("m1", resource=about)


async def test_a_template_of_any_kind_gets_its_works(world: World) -> None:
    world.api.seed(template(metadata={"generation": 3}))
    about_deployment(world)
    assert await world.reconcile() == ["create works karmada-es-m1"]
    assert world.templates.wanted["binding"] == {DEPLOYMENT}
    (made,) = world.living
    (manifest,) = made["spec"]["workload"]["manifests"]
    assert made["metadata"]["name"].startswith("web-")
    assert (manifest["kind"], manifest["spec"]) == ("Deployment", {"replicas": 2})
    assert manifest["metadata"]["annotations"][wk.TEMPLATE_GENERATION] == "3"
    assert "status" not in manifest
    assert world.recorder.take() == [("ResourceBinding", "SyncWorkSucceed"), ("Deployment", "SyncWorkSucceed")]
    assert await world.reconcile() == []


async def test_services_need_no_other_watch(world: World) -> None:
    world.schedule("m1")
    await world.reconcile()
    assert world.templates.wanted["binding"] == frozenset()


async def test_a_kind_that_cannot_be_had_is_reported_once_and_followed_when_it_can(world: World) -> None:
    about_deployment(world)
    world.templates.problems[DEPLOYMENT] = "the control plane serves no apps/v1 Deployment"
    for _ in range(2):
        assert (await world.reconciler.reconcile(KEY)).requeue_after is not None
    assert world.recorder.events[0][-1].endswith("the control plane serves no apps/v1 Deployment")
    assert world.recorder.take() == [("ResourceBinding", "SyncWorkFailed"), ("Deployment", "SyncWorkFailed")]
    world.templates.problems.clear()
    world.templates.absent.add(DEPLOYMENT)
    await world.reconcile()
    assert world.recorder.take() == [], "neither failed nor succeeded: it is being listed"
    world.api.seed(template())
    world.woken.clear()
    world.templates.become_available(DEPLOYMENT)
    assert world.woken == [KEY]
    assert await world.reconcile() == ["create works karmada-es-m1"]
    assert world.recorder.take() == [("ResourceBinding", "SyncWorkSucceed"), ("Deployment", "SyncWorkSucceed")]


async def test_a_template_that_is_being_listed_is_waited_for_without_a_word(world: World) -> None:
    about_deployment(world)
    world.templates.absent.add(DEPLOYMENT)
    assert (await world.reconciler.reconcile(KEY)).requeue_after is not None
    assert world.recorder.take() == []


async def test_a_binding_waits_for_the_state_of_the_template_that_it_speaks_of(world: World) -> None:
    world.api.seed(template())
    about_deployment(world)
    await world.reconcile()
    world.api.hold_watches()
    changed = world.api.edit("Deployment", "default", "web", {"spec": {"replicas": 5}})
    version = changed["metadata"]["resourceVersion"]
    world.api.edit("ResourceBinding", *KEY, {"spec": {"resource": {"resourceVersion": version}}})
    world.api.release_watches_of("resourcebindings")
    assert await world.reconcile() == []
    world.woken.clear()
    world.api.release_watches()
    assert world.woken == [KEY]
    assert await world.reconcile() == ["patch works karmada-es-m1"]


async def test_time_is_measured_by_result(world: World) -> None:
    world.schedule("m1")
    await world.reconcile()
    world.api.remove("Work", "karmada-es-m1", world.api.all("Work")[0]["metadata"]["name"])
    await world.reconcile()
    count = "binding_sync_work_duration_seconds_count"
    assert world.registry.get_sample_value(count, {"result": "success"}) == 2
    assert world.registry.get_sample_value(count, {"result": "error"}) == 0


async def test_an_absent_binding_needs_nothing(world: World) -> None:
    assert await world.reconcile() == []


def test_events_of_works_lead_to_the_binding_they_name() -> None:
    annotations = {wk.BINDING_NAMESPACE: "default", wk.BINDING_NAME: "web-service"}
    before = a_work(work("m1", NAME, service(), annotations=annotations, metadata={"generation": 1}))
    spec = a_work(work("m1", NAME, service(), annotations=annotations, metadata={"generation": 2}))
    stripped = a_work(work("m1", NAME, service(), metadata={"generation": 1}))
    status = a_work(work("m1", NAME, service(), annotations=annotations, metadata={"resourceVersion": "9"}))
    assert list(requests_for_work(Event(old=before, new=stripped))) == [KEY]
    assert list(requests_for_work(Event(new=stripped))) == []
    assert work_changed(Event(old=before, new=spec))
    assert work_changed(Event(old=before, new=stripped))
    assert work_changed(Event(old=before))
    assert not work_changed(Event(new=before))
    assert not work_changed(Event(old=before, new=status))
    applied, refused = (
        a_work(work("m1", NAME, service(), annotations=annotations) | {"status": {"conditions": [one]}})
        for one in ({"type": wk.APPLIED, "status": "True"}, {"type": wk.APPLIED, "status": "False"})
    )
    assert work_changed(Event(old=applied, new=refused))
    assert not work_changed(Event(old=refused, new=applied))
