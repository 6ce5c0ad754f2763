"""Services, imports and slices that are legal and unusual, as public bug reports describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from testbed import NotYet, wait_for
from tests.support.fleet import (
    BINDINGS,
    IMPORTS,
    MCS,
    NAMESPACES,
    PATIENCE_SECONDS,
    POLICIES,
    SERVICES,
    SLICES,
    WORKS,
    Space,
    condition_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    propagationpolicy,
    serve_exports,
    service,
    serviceimport,
)
from tests.support.traffic import idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testbed import ControllerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]

LONG_NAME = "payments-reconciliation-batch-worker-internal-api-v2-canary"
"""58 characters, which "derived-" makes too long for a Service."""


# --- headless or not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("becomes_headless", [True, False], ids=["becomes headless", "ceases to be headless"])
async def test_a_service_that_is_made_anew_as_headless_or_not_is_made_anew_in_the_members(
    space: Space, becomes_headless: bool
):
    plain, headless = service("flip"), service("flip")
    headless["spec"]["clusterIP"] = "None"
    before, after = (plain, headless) if becomes_headless else (headless, plain)
    await space.create(before, multiclusterservice("flip", ["member1"], ["member2"]))

    async def are_headless() -> dict[str, bool | None]:
        found: dict[str, bool | None] = {}
        for name in ("member1", "member2"):
            there = await space.member(name).find(SERVICES, "flip", namespace=space.namespace)
            found[name] = there["spec"]["clusterIP"] == "None" if there is not None else None
        return found

    expected: dict[str, bool | None] = dict.fromkeys(("member1", "member2"), not becomes_headless)
    await eventually("the Services", are_headless, expected)
    # As `kubectl replace --force` does.
    await space.host.delete(SERVICES, "flip", namespace=space.namespace)
    await gone(space.host, SERVICES, "flip", space.namespace)
    await space.create(after)
    expected = dict.fromkeys(("member1", "member2"), becomes_headless)
    await eventually("the Services", are_headless, expected)
    applied = ("True", "ServiceAppliedSucceed")

    async def says() -> tuple[str, str]:
        return (await space.condition("flip", "ServiceApplied"))[:2]

    await eventually("the condition", says, applied)


# --- names ------------------------------------------------------------------------------------------------------------


async def test_an_import_whose_derived_name_is_too_long_says_so_in_one_event(
    space: Space, controller: ControllerProcess
):
    await space.create(serviceimport(LONG_NAME))

    async def told() -> list[tuple[str, str]]:
        found = await space.events("ServiceImport", LONG_NAME)
        if not found:
            raise NotYet("no event")
        return sorted((reason, message) for _, reason, message in found)

    [(reason, message)] = await wait_for("an event", told, PATIENCE_SECONDS)
    assert reason == "SyncDerivedServiceFailed"
    assert f"derived-{LONG_NAME}" in message
    assert "must be no more than 63" in message
    await idle(controller)
    assert len(await told()) == 1
    await space.create(serviceimport("short"))

    async def derived() -> bool:
        return await space.host.find(SERVICES, "derived-short", namespace=space.namespace) is not None

    await eventually("the derived Service of another import", derived, True)
    await space.host.delete(IMPORTS, LONG_NAME, namespace=space.namespace)


# --- slices -----------------------------------------------------------------------------------------------------------


def odd(name: str, **content: Any) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "odd"}},
        "addressType": "IPv4",
        **content,
    }


ODD = [
    odd(
        "odd-a",
        endpoints=[{"addresses": ["10.9.9.1", "10.9.9.2"]}, {"addresses": ["10.9.9.3"], "conditions": {}}],
        ports=[{"name": "http", "port": 8080}],
    ),
    odd(
        "odd-b",
        endpoints=[{"addresses": ["10.9.9.3"], "conditions": {"ready": False}}],
        ports=[{"name": "grpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"}, {"name": "any"}],
    ),
    odd("odd-c", endpoints=[{"addresses": ["10.9.9.4"]}]),
    odd(
        "odd-d",
        addressType="FQDN",
        endpoints=[{"addresses": ["db.example.com"]}],
        ports=[{"name": "http", "port": 5432}],
    ),
]
"""Several addresses, one address twice, unset and unready conditions, any port, no ports, a host name."""


async def test_slices_of_every_legal_shape_arrive_as_they_are(space: Space):
    headless = service("odd")
    headless["spec"]["clusterIP"] = "None"
    await space.create(headless, multiclusterservice("odd", ["member1"], ["member2"]))
    await space.create_in("member1", *ODD)

    async def arrived() -> dict[str, Object]:
        selector = "endpointslice.kubernetes.io/managed-by=endpointslice-dispatch-controller.karmada.io"
        found = await space.member("member2").list(SLICES, namespace=space.namespace, label_selector=selector)
        return {one["metadata"]["name"]: shape(one) for one in found}

    sent = {}
    for one in await space.member("member1").list(SLICES, namespace=space.namespace):
        if one["metadata"]["name"].startswith("odd-"):
            sent[f"member1-{one['metadata']['name']}"] = shape(one)
    assert len(sent) == len(ODD)
    await eventually("all slices in member2", arrived, sent)


def shape(slice_: Object) -> Object:
    return {key: slice_.get(key) for key in ("addressType", "endpoints", "ports")}


# --- marks that somebody takes off ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["name", "namespace", "both"])
async def test_a_copy_that_lost_what_names_its_work_is_repaired_updated_and_deleted(space: Space, lost: str):
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    keys = [f"work.karmada.io/{one}" for one in ("name", "namespace") if lost in (one, "both")]

    async def strip() -> None:
        body = {"metadata": {"annotations": dict.fromkeys(keys)}}
        await space.member("member2").patch(SLICES, "member1-web-a", body, namespace=space.namespace)

    async def named() -> bool:
        there = await space.member("member2").get(SLICES, "member1-web-a", namespace=space.namespace)
        return all(there["metadata"]["annotations"].get(key) for key in keys)

    await strip()
    await eventually("the names to be back", named, True)
    await strip()
    await space.set_addresses("member1", "web-a", ["192.0.2.2"])
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})
    await strip()
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await space.dispatched_are("member2", {})


async def test_what_only_tells_what_a_provider_has_is_suspended_again_and_never_applied(
    space: Space, controller: ControllerProcess
):
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})

    async def are() -> list[tuple[bool, bool, str]]:
        works = [*await space.works("member1", "MultiClusterService"), *await space.works("member1", "EndpointSlice")]
        return [
            (
                bool(one["spec"].get("suspendDispatching")),
                "karmada.io/execution-controller" in one["metadata"].get("finalizers", ()),
                condition_of(one, "Applied")[0],
            )
            for one in works
        ]

    await eventually("both Works", are, [(True, False, "")] * 2)
    for kind in ("MultiClusterService", "EndpointSlice"):
        (name,) = await space.work_names("member1", kind)
        resumed = {"spec": {"suspendDispatching": False}}
        await space.host.patch(WORKS, name, resumed, namespace="karmada-es-member1")
    await eventually("both Works", are, [(True, False, "")] * 2)
    await idle(controller)
    assert await are() == [(True, False, "")] * 2


# --- a Cluster that is removed by force -------------------------------------------------------------------------------


async def test_what_a_cluster_left_that_was_removed_by_force_leaves_its_consumers(
    space: Space, controller: ControllerProcess
):
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    # Its finalizers were stripped, so nobody has deleted its namespace: it still says what the cluster had.
    ghost = f"ghost-{space.namespace.removeprefix('test-')}"
    namespace = f"karmada-es-{ghost}"
    await space.host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    left = [*await space.works("member1", "MultiClusterService"), *await space.works("member1", "EndpointSlice")]
    await space.patch_mcs("web", {"providerClusters": [{"name": "member1"}, {"name": ghost}]})
    for work in left:
        meta = work["metadata"]
        kept = {"name": meta["name"], "labels": meta["labels"], "finalizers": meta.get("finalizers", [])}
        await space.host.create(work | {"metadata": kept, "status": {}}, namespace=namespace)

    async def works() -> list[str]:
        return [one["metadata"]["name"] for one in await space.host.list(WORKS, namespace=namespace)]

    nothing: list[str] = []
    await eventually("no Works of the ghost", works, nothing)
    await idle(controller)
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    await space.host.delete(NAMESPACES, namespace)


# --- what every cluster has of its own --------------------------------------------------------------------------------

KUBERNETES = "every cluster has a Service default/kubernetes of its own, which is neither replaced nor shared"


@pytest_asyncio.fixture(loop_scope="session")
async def default(space: Space) -> AsyncIterator[Space]:
    """The namespace in which every API server has a Service `kubernetes`."""
    there = Space(space.bed, "default")
    yield there
    for resource in (MCS, IMPORTS, POLICIES):
        await there.host.delete(resource, "kubernetes", namespace="default", missing_ok=True)
        await gone(there.host, resource, "kubernetes", "default")


async def test_the_api_servers_own_service_is_neither_claimed_nor_propagated(default: Space):
    async def found() -> Object:
        planes = [default.bed.host, *default.bed.members.values()]
        services = [await one.api.get(SERVICES, "kubernetes", namespace="default") for one in planes]
        selector = "kubernetes.io/service-name=kubernetes"
        slices = [await one.api.list(SLICES, namespace="default", label_selector=selector) for one in planes]
        return {
            "services": [(one["metadata"].get("labels"), one["metadata"]["uid"], one["spec"]) for one in services],
            "slices": [[(one["metadata"]["name"], one["endpoints"]) for one in each] for each in slices],
        }

    before = await found()
    await serve_exports(default.bed)
    await default.create(
        multiclusterservice("kubernetes", ["member1"], ["member2"]),
        serviceimport("kubernetes"),
        propagationpolicy(
            "kubernetes", ["member1", "member2"], {"apiVersion": "v1", "kind": "Service", "name": "kubernetes"}
        ),
    )

    async def says() -> tuple[str, str, bool]:
        status, reason, message = condition_of(await default.mcs("kubernetes"), "ServiceApplied")
        return status, reason, KUBERNETES in message

    await eventually("the condition", says, ("False", "ServiceAppliedFailed", True))
    for kind, reason in (("ServiceImport", "SyncDerivedServiceFailed"), ("PropagationPolicy", "PolicyRefused")):

        async def told(kind: str = kind, reason: str = reason) -> bool:
            events = await default.events(kind, "kubernetes")
            return any(one[1] == reason and KUBERNETES in one[2] for one in events)

        await eventually(f"an event of {kind}", told, True)
    assert await found() == before
    assert await default.host.find(BINDINGS, "kubernetes-service", namespace="default") is None
    works = await default.host.list(WORKS)
    assert not [one for one in works if "kubernetes" in one["metadata"]["name"]]
