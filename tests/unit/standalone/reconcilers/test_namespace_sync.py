"""The namespace sync controller."""

import re
from itertools import count

import pytest

from informers.cache.event import Event
from informers.errors import Forbidden
from mcs_controller.api.resources import CLUSTERS, NAMESPACES, WORKS
from mcs_controller.reconcilers.writes import AggregateError
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.standalone.reconcilers.namespace_sync import (
    NamespaceSyncReconciler,
    cluster_appeared,
    requests_for_cluster,
    requests_for_namespace,
    requests_for_work,
    work_changed,
)
from tests.support.clusters import cluster, cluster_json, namespace, namespace_json
from tests.support.memory import MemoryApi

PROD = Request("", "prod")
NAME = "prod-f968896c4"


class World:
    def __init__(self, *clusters: str) -> None:
        self.api = MemoryApi(strict_namespaces=True)
        for name in clusters:
            self.api.seed(cluster_json(name), namespace_json(f"karmada-es-{name}"))
        self.ids = count()
        self.namespaces = self.api.informer(NAMESPACES).store
        self.works = self.api.cached(WORKS)
        self.reconciler = NamespaceSyncReconciler(
            namespaces=self.namespaces,
            clusters=self.api.informer(CLUSTERS).store,
            works=self.works,
            skipped=(re.compile("kube-.*"),),
            new_id=lambda: f"id-{next(self.ids)}",
        )

    async def reconcile(self, request: Request = PROD) -> Result:
        return await self.reconciler.reconcile(request)

    @property
    def found(self) -> list[tuple[str, str]]:
        return [(work["metadata"]["namespace"], work["metadata"]["name"]) for work in self.api.all("Work")]


async def test_namespace_gets_a_work_in_every_cluster_and_then_nothing_is_written() -> None:
    world = World("m1", "m2")
    world.api.seed(namespace_json("prod"))
    await world.reconcile()
    assert world.found == [("karmada-es-m1", NAME), ("karmada-es-m2", NAME)]
    world.api.calls.clear()
    assert await world.reconcile() == Result()
    assert world.api.calls == []


async def test_changed_labels_reach_the_work() -> None:
    world = World("m1")
    world.api.seed(namespace_json("prod"))
    await world.reconcile()
    world.api.edit("Namespace", "", "prod", {"metadata": {"labels": {"team": "a"}}})
    await world.reconcile()
    work = world.api.read("Work", "karmada-es-m1", NAME)
    assert work["spec"]["workload"]["manifests"][0]["metadata"]["labels"]["team"] == "a"


@pytest.mark.parametrize(
    ("name", "labels", "deleting"),
    [
        pytest.param("kube-public", {}, False, id="case-87-kube"),
        pytest.param("default", {}, False, id="case-87-default"),
        pytest.param("karmada-system", {}, False, id="case-87-reserved"),
        pytest.param("prod", {"namespace.karmada.io/skip-auto-propagation": "true"}, False, id="case-87-skip-label"),
        pytest.param("prod", {}, True, id="case-87-deleted"),
    ],
)
async def test_skipped_namespace_gets_no_work(name: str, labels: dict[str, str], deleting: bool) -> None:
    world = World("m1")
    world.api.seed(namespace_json(name, labels=labels, deleting=deleting))
    assert await world.reconcile(Request("", name)) == Result()
    assert world.api.calls == []


async def test_namespace_that_gets_the_skip_label_later_keeps_its_works() -> None:
    world = World("m1")
    world.api.seed(namespace_json("prod"))
    await world.reconcile()
    world.api.edit(
        "Namespace", "", "prod", {"metadata": {"labels": {"namespace.karmada.io/skip-auto-propagation": "true"}}}
    )
    world.api.calls.clear()
    await world.reconcile()
    assert (world.found, world.api.calls) == ([("karmada-es-m1", NAME)], [])


async def test_clusters_without_a_living_execution_namespace_are_left_out() -> None:
    world = World("m1")
    world.api.seed(cluster_json("joining"), cluster_json("leaving", deleting=True))
    world.api.seed(namespace_json("karmada-es-leaving"), cluster_json("gone"))
    world.api.seed(namespace_json("karmada-es-gone", deleting=True), namespace_json("prod"))
    await world.reconcile()
    assert world.found == [("karmada-es-m1", NAME)]


async def test_one_cluster_that_refuses_does_not_keep_the_others_back() -> None:
    world = World("m1", "m2", "m3")
    world.api.seed(namespace_json("prod"))
    world.api.fail(Forbidden(403, "Forbidden", "quota"), "create", "Work")
    with pytest.raises(AggregateError, match=r"karmada-es-m1.*quota"):
        await world.reconcile()
    assert world.found == [("karmada-es-m2", NAME), ("karmada-es-m3", NAME)]


async def test_work_that_is_being_deleted_is_made_anew_once_it_is_gone() -> None:
    world = World("m1")
    world.api.seed(namespace_json("prod"))
    await world.reconcile()
    world.api.remove("Work", "karmada-es-m1", NAME)
    world.api.calls.clear()
    assert await world.reconcile() == Result()
    assert world.api.calls == []
    world.api.edit("Work", "karmada-es-m1", NAME, {"metadata": {"finalizers": []}})
    await world.reconcile()
    assert world.found == [("karmada-es-m1", NAME)]


async def test_namespace_that_is_gone_is_left_to_garbage_collection() -> None:
    world = World("m1")
    assert await world.reconcile() == Result()
    assert world.api.calls == []


# --- which events matter -------------------------------------------------------------------------------------------


def test_event_of_a_namespace_means_itself_and_of_an_execution_namespace_all() -> None:
    world = World("m1")
    for name in ("b", "a"):
        world.api.seed(namespace_json(name))
    requests = requests_for_namespace(world.namespaces)
    assert list(requests(Event(new=namespace("prod")))) == [PROD]
    assert list(requests(Event(new=namespace("karmada-es-m1")))) == [Request("", "a"), Request("", "b")]
    space = namespace("karmada-es-m1")
    assert list(requests(Event(old=space, new=space))) == []
    assert list(requests(Event(old=space))) == []


def test_only_a_cluster_that_appears_matters() -> None:
    world = World()
    world.api.seed(namespace_json("a"))
    one = cluster()
    assert list(requests_for_cluster(world.namespaces)(Event(new=one))) == [Request("", "a")]
    assert cluster_appeared(Event(new=one))
    assert cluster_appeared(Event(old=one, new=cluster(uid="another")))
    assert not cluster_appeared(Event(old=one, new=cluster(ready="False")))
    assert not cluster_appeared(Event(old=one))


async def test_work_that_somebody_deletes_or_changes_brings_its_namespace_back() -> None:
    world = World("m1")
    world.api.seed(namespace_json("prod"))
    await world.reconcile()
    (work,) = world.works.store.values()
    assert list(requests_for_work(Event(old=work))) == [PROD]
    assert work_changed(Event(old=work))
    assert not work_changed(Event(new=work))
    world.api.edit("Work", "karmada-es-m1", NAME, {"status": {"conditions": [{"type": "Applied", "status": "True"}]}})
    (applied,) = world.works.store.values()
    assert not work_changed(Event(old=work, new=applied))
    world.api.edit("Work", "karmada-es-m1", NAME, {"spec": {"suspendDispatching": True}})
    (changed,) = world.works.store.values()
    assert work_changed(Event(old=applied, new=changed))


def test_work_of_another_kind_is_none_of_our_business() -> None:
    world = World("m1")
    metadata = {"name": "w", "namespace": "karmada-es-m1"}
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "prod", "namespace": "prod"}}
    world.api.seed(
        {
            "apiVersion": "work.karmada.io/v1alpha1",
            "kind": "Work",
            "metadata": metadata,
            "spec": {"workload": {"manifests": [manifest]}},
        }
    )
    (work,) = world.works.store.values()
    assert list(requests_for_work(Event(new=work))) == []
