"""What a member holds though no Work stands behind it, and members of two control planes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from tests.integration.product.conftest import IMPATIENT, equip
from tests.support.fleet import (
    CLUSTERS,
    CONFIGMAPS,
    EVENTS,
    NAMESPACES,
    PATIENCE_SECONDS,
    SECRETS,
    SERVICES,
    SLICES,
    WORKS,
    Space,
    condition_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)
from tests.support.traffic import Refusals, Traffic, idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import Api

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

OWNERSHIP = "mcs-controller-member-ownership"
PREFIX = "multiclusterservice.karmada.io"
REMOVE, TAKE_OVER = f"{PREFIX}/remove-stale-objects", f"{PREFIX}/take-over-member-from"
COPY = {"endpointslice.kubernetes.io/managed-by": "endpointslice-dispatch-controller.karmada.io"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bed(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    """A fleet whose clusters come and go."""
    async with Bed(audit=True) as made:
        yield await equip(made)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(bed: Bed) -> AsyncIterator[Bed]:
    """Another control plane, which knows nothing of the first one, with its member2 registered under the same name."""
    async with Bed(members=()) as made:
        await karmada.install(made)
        await karmada.controller_kubeconfig(made)
        for resource, namespace in ((SECRETS, "karmada-cluster"), (CLUSTERS, None)):
            found = await bed.host.api.get(resource, "member2", namespace=namespace)
            await made.host.api.apply(_copy(found, "member2"))
        yield made


@asynccontextmanager
async def controller(bed: Bed, name: str = "controller") -> AsyncIterator[ControllerProcess]:
    """A controller with the rights of the manifests; it ends in good order."""
    refusals = Refusals.since_now(bed) if bed.members else None
    kubeconfig = bed.root / "controller.kubeconfig"
    async with ControllerProcess(kubeconfig, root=bed.root, name=name, extra_args=[*IMPATIENT, "--v=4"]) as process:
        yield process
        assert await process.terminate() == 0
    assert refusals is None or refusals.found() == []


def _copy(obj: dict[str, Any], name: str) -> dict[str, Any]:
    kept = {key: value for key, value in obj.items() if key in ("apiVersion", "kind", "spec", "data", "type")}
    metadata = {"name": name, "namespace": obj["metadata"].get("namespace")}
    return kept | {"metadata": {key: value for key, value in metadata.items() if value}}


async def register(bed: Bed, name: str, like: dict[str, Any]) -> None:
    """Register the member of another Cluster under this name."""
    await bed.host.api.create(_copy(like, name))


async def force(host: Api, resource: str, name: str, namespace: str | None = None) -> None:
    """Delete an object whatever its finalizers say."""
    await host.patch(resource, name, {"metadata": {"finalizers": None}}, namespace=namespace)
    await host.delete(resource, name, namespace=namespace, missing_ok=True)
    await gone(host, resource, name, namespace)


async def unjoin_by_force(bed: Bed, name: str) -> dict[str, Any]:
    """Take a Cluster away with all that the control plane knows of it, as if nobody could reach the member."""
    host, namespace = bed.host.api, f"karmada-es-{name}"
    cluster = await host.get(CLUSTERS, name)
    await force(host, CLUSTERS, name)
    for work in await host.list(WORKS, namespace=namespace):
        await force(host, WORKS, work["metadata"]["name"], namespace)
    return cluster


async def shop(bed: Bed, count: int = 1) -> Space:
    """Services that member1 provides and member2 consumes."""
    space = await Space.make(bed)
    copies = {}
    for number in range(count):
        name = f"shop{number}"
        await space.create(service(name), multiclusterservice(name, ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice(f"{name}-a", name, ["192.0.2.1"]))
        copies[f"member1-{name}-a"] = ["192.0.2.1"]
    await space.dispatched_are("member2", copies)
    for number in range(count):
        await space.succeeded(f"shop{number}")
    return space


async def cluster_condition(bed: Bed, name: str, kind: str) -> tuple[str, str, str]:
    return condition_of(await bed.host.api.get(CLUSTERS, name), kind)


async def reasons(bed: Bed, name: str, kind: str, expected: str) -> str:
    """Wait until the condition has this reason; its message."""

    async def probe() -> str:
        status, reason, message = await cluster_condition(bed, name, kind)
        if reason != expected:
            raise NotYet(f"{status} {reason} {message}")
        return message

    return await wait_for(f"{kind} of {name}", probe, PATIENCE_SECONDS)


async def test_a_cluster_that_joins_again_has_no_dead_endpoints_and_keeps_its_services(bed: Bed):
    async with controller(bed) as process:
        space = await shop(bed)
        await idle(process)
    before = await space.member("member2").get(SERVICES, "shop0", namespace=space.namespace)
    await unjoin_by_force(bed, "member2")
    await space.member("member1").delete(SLICES, "shop0-a", namespace=space.namespace)
    await space.create_in("member1", endpointslice("shop0-b", "shop0", ["192.0.2.2"]))
    await karmada.join(bed, "member2")
    async with controller(bed) as process:
        await space.dispatched_are("member2", {"member1-shop0-b": ["192.0.2.2"]})
        await space.succeeded("shop0")
        # A Cluster is looked at by the clock: that nothing waits in a queue does not say that its status is written.
        await reasons(bed, "member2", "Ready", "ClusterReady")
        await idle(process, Traffic(bed))
        after = await space.member("member2").get(SERVICES, "shop0", namespace=space.namespace)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        await space.remove()
    # And a restart in a steady world writes nothing.
    traffic = Traffic(bed)
    async with controller(bed) as process:
        await idle(process)
    assert not [each for each in traffic.writes() if each.resource in ("configmaps", "clusters/status")]


async def test_a_copy_that_nobody_wants_any_more_goes_when_its_cluster_is_back(bed: Bed):
    async with controller(bed) as process:
        space = await shop(bed)
        await idle(process)
    await unjoin_by_force(bed, "member2")
    await force(bed.host.api, "networking.karmada.io/v1alpha1/multiclusterservices", "shop0", space.namespace)
    await karmada.join(bed, "member2")
    async with controller(bed):
        await space.dispatched_are("member2", {})

        async def told() -> bool:
            events = await bed.host.api.list(EVENTS, namespace="default")
            copy = f"{space.namespace}/member1-shop0-a"
            return any(each["reason"] == "Removed" and copy in each["message"] for each in events)

        await eventually("an event about the removed copy", told, True)
        await space.remove()


async def test_a_cluster_that_is_back_under_another_name_has_no_dead_endpoints(bed: Bed):
    async with controller(bed) as process:
        space = await shop(bed)
        await idle(process)
    like = await unjoin_by_force(bed, "member2")
    await register(bed, "moved", like)
    async with controller(bed) as process:
        await space.dispatched_are("member2", {})

        async def names() -> tuple[str, str]:
            found = await space.member("member2").get(CONFIGMAPS, OWNERSHIP, namespace="karmada-system")
            return found["data"]["cluster"], found["data"]["earlierClusters"]

        await eventually("the new name in the member", names, ("moved", "member2"))
        await idle(process)
    await unjoin_by_force(bed, "moved")
    await karmada.join(bed, "member2")
    async with controller(bed):
        await space.dispatched_are("member2", {"member1-shop0-a": ["192.0.2.1"]})
        await space.remove()


async def test_a_control_plane_without_its_works_takes_no_fleet_along(bed: Bed):
    async with controller(bed) as process:
        space = await shop(bed, 4)
        await idle(process)
    await unjoin_by_force(bed, "member2")
    for number in range(4):
        for resource in ("networking.karmada.io/v1alpha1/multiclusterservices", SERVICES):
            await force(bed.host.api, resource, f"shop{number}", space.namespace)
    await karmada.join(bed, "member2")
    copies = {f"member1-shop{number}-a": ["192.0.2.1"] for number in range(4)}
    async with controller(bed) as process:
        await reasons(bed, "member2", "StaleObjectsRemoved", "ConfirmationNeeded")
        await idle(process)
        assert await space.dispatched("member2") == copies

        async def left() -> dict[str, list[str]]:
            """Confirm what is said now: it is more as more objects are found to be stale."""
            _, reason, message = await cluster_condition(bed, "member2", "StaleObjectsRemoved")
            if reason == "ConfirmationNeeded":
                value = message.rsplit("=", 1)[1]
                await bed.host.api.patch(CLUSTERS, "member2", {"metadata": {"annotations": {REMOVE: value}}})
            return await space.dispatched("member2")

        nothing: dict[str, list[str]] = {}
        await eventually("no copies in member2", left, nothing)
        await gone(space.member("member2"), SERVICES, "shop0", space.namespace)
        await reasons(bed, "member2", "StaleObjectsRemoved", "Removed")
        await space.remove()


async def test_what_a_work_without_its_finalizer_leaves_is_removed(bed: Bed):
    async with controller(bed):
        space = await Space.make(bed)
        slice_ = endpointslice("member1-left", "left", ["192.0.2.9"])
        slice_["metadata"] |= {"namespace": space.namespace, "labels": slice_["metadata"]["labels"] | COPY}
        name = f"{space.namespace}-left"
        body: dict[str, Any] = {
            "apiVersion": "work.karmada.io/v1alpha1",
            "kind": "Work",
            "metadata": {"name": name, "namespace": "karmada-es-member2"},
            "spec": {"workload": {"manifests": [slice_]}},
        }
        await bed.host.api.create(body)
        await space.dispatched_are("member2", {"member1-left": ["192.0.2.9"]})

        async def applied() -> str:
            work = await bed.host.api.get(WORKS, name, namespace="karmada-es-member2")
            return condition_of(work, "Applied")[0]

        await eventually("the Work to be applied", applied, "True")
        await force(bed.host.api, WORKS, name, "karmada-es-member2")
        await space.dispatched_are("member2", {})
        await space.remove()


async def test_a_member_that_is_registered_twice_is_said_so(bed: Bed):
    async with controller(bed) as process:
        await register(bed, "twin", await bed.host.api.get(CLUSTERS, "member2"))
        assert "registered as Cluster member2, too" in await reasons(bed, "twin", "MemberOwned", "RegisteredTwice")
        assert "registered as Cluster twin, too" in await reasons(bed, "member2", "MemberOwned", "RegisteredTwice")
        await bed.host.api.delete(CLUSTERS, "twin")
        await gone(bed.host.api, CLUSTERS, "twin")
        await reasons(bed, "member2", "MemberOwned", "Owned")
        await idle(process)


async def test_two_control_planes_on_one_member_do_not_fight(bed: Bed, second: Bed):
    member = bed.members["member2"].api
    async with controller(bed) as process, controller(second, "second") as other:
        space = await Space.make(bed)
        copy = Space(second, space.namespace)
        await copy.host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.namespace}})
        mcs = multiclusterservice("shared", ["member1"], ["member2"])
        await space.create(service("shared"), mcs)
        await space.create_in("member1", endpointslice("shared-a", "shared", ["192.0.2.1"]))
        await space.succeeded("shared")
        await idle(process)
        before = await member.get(SERVICES, "shared", namespace=space.namespace)
        theirs = service("shared")
        theirs["spec"]["ports"][0]["port"] = 82
        await copy.create(theirs, mcs)

        async def said() -> bool:
            told = [condition_of(work, "Applied") for work in await copy.works("member2", "Service")]
            start = f"Service {space.namespace}/shared belongs to Work karmada-es-member2/"
            return [status for status, _, message in told if start in message and "permanent-id" in message] == [
                "False"
            ]

        await eventually("the second one to say whose the Service is", said, True)
        message = await reasons(second, "member2", "MemberOwned", "OwnedByAnotherControlPlane")
        uid = (await bed.host.api.get(NAMESPACES, "kube-system"))["metadata"]["uid"]
        assert f"belongs to control plane {uid}" in message
        await idle(process)
        after = await member.get(SERVICES, "shared", namespace=space.namespace)
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]

        # The second one gives up its own: the first one's stays.
        await copy.host.delete(
            "networking.karmada.io/v1alpha1/multiclusterservices", "shared", namespace=copy.namespace
        )
        await copy.host.delete(SERVICES, "shared", namespace=copy.namespace)

        async def works() -> int:
            return len(await copy.works("member2", "Service"))

        await eventually("no Work of the second one", works, 0)
        assert await member.get(SERVICES, "shared", namespace=space.namespace) == after

        # Somebody gives the member to the second one: the first one lets go, and says so.
        await copy.create(theirs, mcs)
        await second.host.api.patch(CLUSTERS, "member2", {"metadata": {"annotations": {TAKE_OVER: uid}}})

        async def port() -> int:
            found = await member.get(SERVICES, "shared", namespace=space.namespace)
            return int(found["spec"]["ports"][0]["port"])

        await eventually("the second one's Service", port, 82)
        await reasons(bed, "member2", "MemberOwned", "OwnedByAnotherControlPlane")
        await idle(process)
        await idle(other)
        assert await port() == 82
        assert other.pid is not None
        await space.remove()
