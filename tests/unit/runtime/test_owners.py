"""References to owners: what is written, who is asked for, and who may not own."""

from dataclasses import replace
from typing import Any

import pytest

from informers import Event, ObjectMeta, OwnerReference, PartialObject, Resource, struct_decoder
from mcs_controller.runtime import (
    AlreadyOwned,
    Request,
    controller_of,
    controller_reference,
    enqueue_owner,
    is_controlled_by,
    owner_reference,
    plan_controller_reference,
)

APPS: Resource[PartialObject] = Resource(
    group="example.org", version="v2", plural="apps", kind="App", decode=struct_decoder(PartialObject)
)
TENANTS = replace(APPS, plural="tenants", kind="Tenant", namespaced=False)
OTHER = OwnerReference(api_version="v1", kind="Node", name="n", uid="node-uid")


def an_app(uid: str = "app-uid", namespace: str = "ns", name: str = "app") -> PartialObject:
    return PartialObject(ObjectMeta(name=name, namespace=namespace, uid=uid))


def a_child(*owners: OwnerReference, namespace: str = "ns") -> PartialObject:
    return PartialObject(ObjectMeta(name="child", namespace=namespace, resource_version="7", owner_references=owners))


def to(app: PartialObject, *, version: str = "example.org/v2", controller: bool | None = True) -> OwnerReference:
    meta = app.metadata
    return OwnerReference(
        api_version=version, kind="App", name=meta.name, uid=meta.uid, controller=controller, block_owner_deletion=True
    )


WANTED = {
    "apiVersion": "example.org/v2",
    "kind": "App",
    "name": "app",
    "uid": "app-uid",
    "controller": True,
    "blockOwnerDeletion": True,
}
NODE = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "node-uid"}


def test_reference_says_who_manages_only_if_asked():
    plain = {key: WANTED[key] for key in ("apiVersion", "kind", "name", "uid")}
    assert owner_reference(an_app(), APPS) == plain
    assert controller_reference(an_app(), APPS) == WANTED


@pytest.mark.parametrize(
    ("owners", "after"),
    [
        ((), [WANTED]),
        ((OTHER,), [NODE, WANTED]),
        ((OTHER, to(an_app())), None),
        ((to(an_app(uid="earlier")), OTHER), [WANTED, NODE]),
        ((to(an_app(), version="example.org/v1"),), [WANTED]),
        ((to(an_app(), controller=None), OTHER), [WANTED, NODE]),
    ],
    ids=["none", "another owner", "it is", "an earlier one of the name", "an older version", "it only owns"],
)
def test_controller_is_set_beside_other_owners(owners: tuple[OwnerReference, ...], after: list[Any] | None):
    patch = after and {"metadata": {"resourceVersion": "7", "ownerReferences": after}}
    assert plan_controller_reference(a_child(*owners), an_app(), APPS) == patch


@pytest.mark.parametrize(
    "controller",
    [
        to(an_app(name="rival", uid="rival-uid")),
        OwnerReference(api_version="apps/v1", kind="App", name="app", uid="x", controller=True),
    ],
    ids=["of the same kind", "of another group"],
)
def test_second_controller_is_refused_and_named(controller: OwnerReference):
    with pytest.raises(AlreadyOwned, match=f"'child' is managed by App '{controller.name}' already"):
        plan_controller_reference(a_child(OTHER, controller), an_app(), APPS)


@pytest.mark.parametrize("namespace", ["elsewhere", ""], ids=["another namespace", "cluster-scoped"])
def test_owner_out_of_reach_is_refused_as_the_garbage_collector_would_delete_the_object(namespace: str):
    with pytest.raises(ValueError, match="is in namespace 'ns' and cannot own"):
        plan_controller_reference(a_child(namespace=namespace), an_app(), APPS)


def test_cluster_scoped_owner_may_own_everything():
    tenant = PartialObject(ObjectMeta(name="t", uid="t-uid"))
    assert plan_controller_reference(a_child(), tenant, TENANTS) is not None
    assert plan_controller_reference(a_child(namespace=""), tenant, TENANTS) is not None


def test_controller_is_this_very_object():
    child = a_child(OTHER, to(an_app()))
    assert controller_of(child) == to(an_app())
    assert is_controlled_by(child, an_app())
    assert not is_controlled_by(child, an_app(uid="later"))
    assert controller_of(a_child(OTHER)) is None
    assert not is_controlled_by(a_child(OTHER), an_app())


APP, RIVAL = Request("ns", "app"), Request("ns", "rival")
OWNED, BY_RIVAL = a_child(to(an_app())), a_child(to(an_app(name="rival")))


@pytest.mark.parametrize(
    ("event", "requests"),
    [
        (Event(new=OWNED), [APP]),
        (Event(old=OWNED), [APP]),
        (Event(old=OWNED, new=OWNED), [APP]),
        (Event(old=OWNED, new=BY_RIVAL), [APP, RIVAL]),
        (Event(new=a_child(to(an_app(), version="example.org/v1"))), [APP]),
        (Event(new=a_child(to(an_app(), version="other.org/v2"))), []),
        (Event(new=a_child(to(an_app(), controller=None))), []),
        (Event(new=a_child(OTHER)), []),
        (Event(new=a_child()), []),
    ],
    ids=["added", "deleted", "updated", "hands change", "older version", "other group", "only owns", "other", "none"],
)
def test_event_of_a_child_asks_for_the_owner_that_manages_it(event: Event[PartialObject], requests: list[Request]):
    assert list(enqueue_owner(APPS)(event)) == requests


def test_all_owners_of_the_kind_are_asked_for_if_wanted():
    child = a_child(to(an_app(), controller=None), to(an_app(name="rival"), controller=False), OTHER)
    assert list(enqueue_owner(APPS, controller_only=False)(Event(new=child))) == [APP, RIVAL]


def test_owner_without_namespace_is_asked_for_without_one():
    reference = OwnerReference(api_version="example.org/v2", kind="Tenant", name="t", uid="t-uid", controller=True)
    assert list(enqueue_owner(TENANTS)(Event(new=a_child(reference)))) == [Request("", "t")]
