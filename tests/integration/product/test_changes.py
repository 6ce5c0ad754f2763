"""A world that changes: what the consumers have follows, and what is no longer wanted goes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from mcs_controller.domain.withdrawal import SERVICE_GONE_SECONDS
from testbed import NotYet, wait_for
from tests.support.fleet import (
    BINDINGS,
    DEPLOYMENTS,
    MCS,
    SERVICES,
    SLICES,
    Object,
    Space,
    deployment,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPLACEMENTS = 5
"""How often a test tries to replace a Service in time."""
PERMANENT_ID = "multiclusterservice.karmada.io/permanent-id"
CLAIM = {"resourcetemplate.karmada.io/claimed-by", PERMANENT_ID}
ONE, TWO = {"providerClusters": [{"name": "member1"}]}, {"providerClusters": [{"name": "member2"}]}


async def offered(
    space: Space, *, providers: Sequence[str] = ("member1",), consumers: Sequence[str] = ("member2",)
) -> None:
    """A service `web` whose slice `web-a` in each provider has an address of its own; all dispatched."""
    await space.create(service("web"), multiclusterservice("web", providers, consumers))
    for provider in space.bed.members:
        if not providers or provider in providers:
            await space.create_in(provider, endpointslice("web-a", "web", [ADDRESS[provider]]))
    for consumer in space.bed.members:
        if not consumers or consumer in consumers:
            await space.dispatched_are(
                consumer,
                {
                    f"{provider}-web-a": [ADDRESS[provider]]
                    for provider in space.bed.members
                    if provider != consumer and (not providers or provider in providers)
                },
            )
    await space.succeeded("web")


ADDRESS = {"member1": "192.0.2.1", "member2": "192.0.2.2"}


async def service_in(space: Space, cluster: str) -> Object | None:
    return await space.member(cluster).find(SERVICES, "web", namespace=space.namespace)


async def test_the_consumer_follows_from_two_pods_to_three_to_one_to_none(space):
    await space.create(service("web", selector={"app": "web"}), multiclusterservice("web", ["member1"], ["member2"]))
    await space.create_in("member1", deployment("web", 2))
    addresses = await space.ready_addresses("member1", 2, "web")
    name = await space.dispatched_name("member2")
    await space.dispatched_are("member2", {name: addresses})
    for replicas in (3, 1, 0):
        body = {"spec": {"replicas": replicas}}
        await space.member("member1").patch(DEPLOYMENTS, "web", body, namespace=space.namespace)
        await space.dispatched_are("member2", {name: await space.ready_addresses("member1", replicas, "web")})


async def test_a_removed_provider_takes_its_endpoints_and_the_service_with_it(space):
    await offered(space)
    await space.patch_mcs("web", TWO)
    await space.dispatched_are("member2", {})
    await eventually("the Works about the service in member1", lambda: space.work_names("member1"), [])
    assert await service_in(space, "member2")
    await gone(space.member("member1"), SERVICES, "web", space.namespace)
    # Its own slice is not the controller's, though it reflectors the labels of the Service that was.
    assert await space.member("member1").find(SLICES, "web-a", namespace=space.namespace)
    await space.patch_mcs("web", ONE)
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})


async def test_case_31_consumers_come_and_go(space):
    await offered(space, providers=("member1",), consumers=("member2",))
    await space.create_in("member2", endpointslice("web-a", "web", [ADDRESS["member2"]]))
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}]})
    await space.dispatched_are("member2", {})
    await gone(space.member("member2"), SERVICES, "web", space.namespace)
    await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}, {"name": "member2"}]})
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})
    assert await space.dispatched("member1") == {}


async def test_case_01_a_deleted_multiclusterservice_leaves_the_service_running_and_nothing_else(space):
    await offered(space)
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await gone(space.host, MCS, "web", space.namespace)
    await space.dispatched_are("member2", {})
    for cluster in space.bed.members:

        async def kinds(cluster: str = cluster) -> list[str]:
            return await kinds_of_works(space, cluster)

        await eventually(f"only the Work of the Service in {cluster}", kinds, ["Service"])
        assert await service_in(space, cluster)
    released = await space.host.get(SERVICES, "web", namespace=space.namespace)
    assert not CLAIM & released["metadata"].get("labels", {}).keys()
    assert released["metadata"]["annotations"]["multiclusterservice.karmada.io/name"] == "web"
    binding = await space.host.get(BINDINGS, "web-service", namespace=space.namespace)
    assert binding["metadata"]["labels"].keys() == {"resourcebinding.karmada.io/permanent-id"}
    assert "multiclusterservice.karmada.io/name" not in binding["metadata"]["annotations"]


async def kinds_of_works(space: Space, cluster: str) -> list[str]:
    return sorted(work["spec"]["workload"]["manifests"][0]["kind"] for work in await space.works(cluster))


async def test_a_deleted_service_leaves_the_members_and_comes_back_when_it_is_made_again(space):
    await offered(space)
    await space.host.delete(SERVICES, "web", namespace=space.namespace)
    for cluster in space.bed.members:
        await gone(space.member(cluster), SERVICES, "web", space.namespace)

    async def said() -> tuple[str, str, bool]:
        status, reason, message = await space.condition("web", "ServiceApplied")
        return status, reason, f"Service {space.namespace}/web does not exist" in message

    await eventually("the condition to say so", said, ("False", "ServiceAppliedFailed", True))

    await space.create(service("web"))
    await space.succeeded("web")
    for cluster in space.bed.members:

        async def there(cluster: str = cluster) -> Object | None:
            return await service_in(space, cluster)

        await wait_for(f"the Service in {cluster}", there)
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})
    recreated = await space.host.get(SERVICES, "web", namespace=space.namespace)

    async def owners() -> list[str]:
        binding = await space.host.get(BINDINGS, "web-service", namespace=space.namespace)
        return [owner["uid"] for owner in binding["metadata"]["ownerReferences"]]

    await eventually("the binding to belong to the new Service", owners, [recreated["metadata"]["uid"]])


async def test_copies_leave_with_their_service_but_not_if_it_is_replaced(space):
    await offered(space)

    async def copy_ids() -> list[str]:
        slices = await space.member("member2").list(SLICES, namespace=space.namespace)
        return [one["metadata"]["uid"] for one in slices if one["metadata"]["name"] == "member1-web-a"]

    for _ in range(REPLACEMENTS):
        before = await copy_ids()
        began = time.monotonic()
        await space.host.delete(SERVICES, "web", namespace=space.namespace)
        await gone(space.member("member2"), SERVICES, "web", space.namespace)
        kept = await copy_ids()
        await space.create(service("web"))
        in_time = time.monotonic() - began < SERVICE_GONE_SECONDS / 2
        await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})
        await space.succeeded("web")
        if in_time:
            break
    else:
        pytest.fail("this machine is too busy to replace a Service within the time in which its copies stay")
    assert kept == before
    # Longer than the first absence would have been allowed to last.
    await asyncio.sleep(SERVICE_GONE_SECONDS + 1)
    assert await copy_ids() == before, "never away in between"

    await space.host.delete(SERVICES, "web", namespace=space.namespace)
    await space.dispatched_are("member2", {})
    assert await space.work_names("member1"), "what was collected stays"
    await space.create(service("web"))
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})
    await space.succeeded("web")


async def test_case_95_empty_lists_mean_every_cluster(space):
    await offered(space, providers=(), consumers=())
    assert await space.dispatched("member1") == {"member2-web-a": [ADDRESS["member2"]]}
    assert await space.dispatched("member2") == {"member1-web-a": [ADDRESS["member1"]]}


async def test_case_93_a_provider_that_consumes_too_gets_the_others_endpoints_and_not_its_own(space):
    await offered(space, providers=("member1", "member2"), consumers=("member2",))
    assert await space.dispatched("member2") == {"member1-web-a": [ADDRESS["member1"]]}
    assert await space.dispatched("member1") == {}


async def test_case_92_the_slice_arrives_and_the_success_is_told_by_conditions_and_events(space):
    await offered(space)
    expected = {("Normal", "SyncServiceSucceed"), ("Normal", "DispatchEndpointSliceSucceed")}
    await eventually("the events", lambda: space.event_reasons("MultiClusterService", "web"), expected)


async def test_case_94_a_cluster_that_nobody_registered_is_named_and_the_others_go_on(space):
    await space.create(service("web"), multiclusterservice("web", ["nowhere", "member1"], ["member2", "nirvana"]))
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
    await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
    await space.succeeded("web", but=["MCS033"])
    for kind, text in (
        (
            "ServiceApplied",
            "Service is propagated to target clusters. Skipped: nirvana, nowhere: no such Cluster is registered.",
        ),
        (
            "EndpointSliceDispatched",
            "EndpointSlice are dispatched successfully. Skipped: nirvana: no such Cluster is registered.",
        ),
    ):

        async def message(kind: str = kind) -> str:
            return str((await space.condition("web", kind))[2])

        await eventually(f"the message of {kind}", message, text)

    async def warnings() -> set[tuple[str, str]]:
        return {event[1:] for event in await space.events("MultiClusterService", "web") if event[0] == "Warning"}

    expected = {
        ("ClusterNotFound", "nowhere: no such Cluster is registered"),
        ("ClusterNotFound", "nirvana: no such Cluster is registered"),
    }
    await eventually("one event for each", warnings, expected)

    await space.patch_mcs("web", ONE | {"consumerClusters": [{"name": "member2"}]})
    await eventually(
        "a message without them",
        lambda: space.condition("web", "ServiceApplied"),
        ("True", "ServiceAppliedSucceed", "Service is propagated to target clusters."),
    )


async def test_opening_18_consumers_get_the_ports_that_the_service_lists(space):
    http, metrics = (
        {"name": name, "port": port, "protocol": "TCP"} for name, port in (("http", 8080), ("metrics", 9090))
    )
    offer = service("web")
    offer["spec"]["ports"] = [{"name": "http", "port": 80}, {"name": "metrics", "port": 81}]
    listing = multiclusterservice("web", ["member1"], ["member2"])
    listing["spec"]["ports"] = [{"port": 80}]
    await space.create(offer, listing)
    await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]) | {"ports": [http, metrics]})

    async def ports() -> list[Object]:
        found = await space.member("member2").find(SLICES, "member1-web-a", namespace=space.namespace)
        return found["ports"] if found is not None else []

    await eventually("one port", ports, [http])
    await space.patch_mcs("web", ONE | {"ports": [{"name": "metrics", "port": 81}, {"port": 80}]})
    await eventually("both ports", ports, [http, metrics])
    await space.patch_mcs("web", ONE | {"ports": [{"port": 443}]})
    nothing: list[Object] = []
    await eventually("no slice", ports, nothing)
    text = "spec.ports lists 443, but the slices have http (8080/TCP), metrics (9090/TCP)"
    expected = ("False", "EndpointSliceDispatchedFailed", text)
    await eventually("the condition", lambda: space.condition("web", "EndpointSliceDispatched"), expected)
    await space.patch_mcs("web", ONE | {"ports": None})
    await eventually("both ports again", ports, [http, metrics])
    await space.succeeded("web")


async def test_opening_04_a_slice_that_moves_to_another_service_is_filed_there(space):
    await offered(space)
    await space.create(service("other"), multiclusterservice("other", ["member1"], ["member2"]))
    await space.member("member1").patch(
        SLICES,
        "web-a",
        {"metadata": {"labels": {"kubernetes.io/service-name": "other"}}},
        namespace=space.namespace,
    )
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]}, "other")
    await space.dispatched_are("member2", {}, "web")


async def test_what_people_do_to_copies_and_services_in_members_is_undone(space):
    await offered(space)
    member, namespace = space.member("member2"), space.namespace
    await member.delete(SLICES, "member1-web-a", namespace=namespace)
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})
    await space.set_addresses("member2", "member1-web-a", ["198.51.100.1"])
    await space.dispatched_are("member2", {"member1-web-a": [ADDRESS["member1"]]})

    async def there() -> Object | None:
        return await service_in(space, "member2")

    before = await wait_for("the Service in member2", there)
    await member.delete(SERVICES, "web", namespace=namespace)

    async def back() -> bool | None:
        found = await service_in(space, "member2")
        return True if found is not None and found["metadata"]["uid"] != before["metadata"]["uid"] else None

    await wait_for("another Service in member2", back)


async def test_openings_11_and_12_a_service_that_lost_its_id_gets_another_and_keeps_what_it_has(space):
    """As by a client that replaces the object without labels."""
    await offered(space)
    before = await space.mcs("web")
    lost = before["metadata"]["labels"][PERMANENT_ID]
    await space.host.patch(MCS, "web", {"metadata": {"labels": None}}, namespace=space.namespace)

    async def ids() -> set[str]:
        mcs = await space.mcs("web")
        works = await space.works("member1", "MultiClusterService")
        found = await space.host.get(SERVICES, "web", namespace=space.namespace)
        binding = await space.host.get(BINDINGS, "web-service", namespace=space.namespace)
        return {
            each["metadata"].get("labels", {}).get(PERMANENT_ID, "none") for each in (mcs, found, binding, *works)
        } or {"nothing"}

    async def one_new_id() -> bool | None:
        found = await ids()
        if len(found) != 1 or found & {lost, "none"}:
            raise NotYet(f"{found}, before {lost}")
        return True

    await wait_for("the same new id everywhere", one_new_id)
    assert await space.dispatched("member2") == {"member1-web-a": [ADDRESS["member1"]]}
    await space.host.delete(MCS, "web", namespace=space.namespace)
    await space.dispatched_are("member2", {})
    await eventually("nothing filed under it", lambda: space.work_names("member1", "MultiClusterService"), [])
