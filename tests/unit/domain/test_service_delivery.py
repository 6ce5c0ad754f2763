"""Whether the Service is where it is wanted: condition ServiceApplied is about the members."""

from typing import Any

import pytest

from mcs_controller.domain import well_known as wk
from mcs_controller.domain.naming import work_name
from mcs_controller.domain.service_delivery import Delivery, binding_summary, plan_delivery, summary
from tests.support.builders import Json, a_cluster, a_work, an_mcs, binding, condition, decode, service, work

NAME = work_name(wk.SERVICE_KIND, "default", "web")
BINDING = "ResourceBinding default/web-service"
CLUSTERS = {"m1": a_cluster("m1"), "m2": a_cluster("m2"), "m3": a_cluster("m3", ready="False")}


def placed(*names: str, status: Json | None = None, **spec: Any) -> Any:
    content = binding(placed=["m1", "m2"], clusters=[{"name": one} for one in names], **spec)
    return decode(content | ({"status": status} if status is not None else {}))


def held(cluster: str, *conditions: Json, **fields: Any) -> Any:
    content = work(cluster, NAME, service(), **fields)
    return a_work(content | ({"status": {"conditions": list(conditions)}} if conditions else {}))


def deliver(*works: Any, bound: Any = None, **fields: Any) -> Delivery:
    found = {(one.metadata.namespace, one.metadata.name): one for one in works}
    mcs = an_mcs(**({"providers": ["m1"], "consumers": ["m2"]} | fields))
    return plan_delivery(mcs, CLUSTERS, bound or placed("m1", "m2"), lambda *key: found.get(key))


TAKEN = condition(wk.APPLIED)
M1 = held("m1", TAKEN)


def refused(message: str) -> Json:
    return condition(wk.APPLIED, "False", message=message)


@pytest.mark.parametrize(
    ("works", "bound", "errors", "pending"),
    [
        ([M1, held("m2", TAKEN)], placed("m1", "m2"), (), ()),
        (
            [M1, held("m2", refused("provided port is already allocated"))],
            placed("m1", "m2"),
            (),
            ("Service default/web in m2: provided port is already allocated, retrying",),
        ),
        (
            [M1, held("m2", refused('namespaces "default" not found'))],
            placed("m1", "m2"),
            (),
            ('Service default/web in m2: namespaces "default" not found (create the namespace there), retrying',),
        ),
        ([M1, held("m2")], placed("m1", "m2"), (), ("Service default/web in m2: not applied yet",)),
        ([M1], placed("m1", "m2"), (), ("Service default/web in m2: not delivered yet",)),
        (
            [M1, held("m2", TAKEN, deleting=True)],
            placed("m1", "m2"),
            (),
            ("Service default/web in m2: not delivered yet",),
        ),
        (
            [M1, held("m2", TAKEN, suspended=True)],
            placed("m1", "m2"),
            ("Service default/web in m2: dispatching is suspended, it keeps what it has",),
            (),
        ),
        (
            [M1, held("m2", TAKEN)],
            placed("m1", "m2", suspension={"dispatchingOnClusters": {"clusterNames": ["m2"]}}),
            ("Service default/web in m2: dispatching is suspended, it keeps what it has",),
            (),
        ),
        ([M1], placed("m1"), (), (f"{BINDING} is not scheduled to m2",)),
        (
            [],
            placed(status={"conditions": [condition(wk.SCHEDULED, "False", message="0/2 clusters are available")]}),
            (),
            (f"{BINDING} is not scheduled to m1, m2: 0/2 clusters are available",),
        ),
        (
            [M1],
            placed("m1", suspension={"scheduling": True}),
            (f"{BINDING} is not scheduled to m2: scheduling is suspended (spec.suspension)",),
            (),
        ),
        ([M1, held("m2", TAKEN)], placed("m1", "m2", suspension={"scheduling": True}), (), ()),
    ],
    ids=[
        "both have it",
        "one refuses it",
        "the namespace is missing",
        "one has not been tried",
        "one has no Work",
        "one's Work is going",
        "a Work is suspended",
        "the binding is suspended in one",
        "not scheduled to one",
        "not scheduled at all",
        "scheduling is suspended before it began",
        "scheduling is suspended afterwards",
    ],
)
def test_what_stands_between_the_service_and_a_cluster(
    works: list[Any], bound: Any, errors: tuple[str, ...], pending: tuple[str, ...]
):
    found = deliver(*works, bound=bound)
    assert (found.skips, found.errors) == ((), errors)
    assert tuple(one.text for one in found.pending) == pending


def test_clusters_that_cannot_be_given_anything_are_skipped():
    found = deliver(M1, held("m2", TAKEN), consumers=["m2", "m3", "m9"])
    assert [(one.cluster, one.reason) for one in found.skips] == [
        ("m3", wk.EVENT_SYNC_SERVICE_FAILED),
        ("m9", wk.EVENT_CLUSTER_NOT_FOUND),
    ]
    assert (found.errors, found.pending) == ((), ())


def test_without_a_binding_there_is_one_thing_to_wait_for():
    found = plan_delivery(an_mcs(consumers=["m2"], providers=["m1"]), CLUSTERS, None, lambda *_: None)
    assert [one.text for one in found.pending] == [f"{BINDING} does not exist yet"]


def test_only_what_is_told_is_looked_at():
    assert summary(M1) == summary(held("m1", TAKEN | {"lastTransitionTime": "2026-01-01T00:00:09Z"}))
    assert len({summary(one) for one in (M1, held("m1"), held("m1", refused("a")), held("m1", refused("b")))}) == 4
    assert summary(M1) != summary(held("m1", TAKEN, suspended=True))
    assert summary(held("m1", TAKEN, suspended=False)) == summary(M1)
    aggregated = placed("m1", "m2", status={"aggregatedStatus": [{"clusterName": "m1"}]})
    assert binding_summary(aggregated) == binding_summary(placed("m1", "m2"))
    assert binding_summary(placed("m1")) != binding_summary(placed("m1", "m2"))
