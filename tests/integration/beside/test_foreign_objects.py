"""Nothing of another owner is ever changed or deleted, in a whole life of a service beside Karmada's components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fake_karmada_foreign import OTHERS, UNTOUCHED, ForeignObjects, mark, marks_of
from tests.support.fake_karmada_history import History
from tests.support.fake_karmada_quiet import at_rest
from tests.support.fleet import (
    BINDINGS,
    MCS,
    SERVICES,
    SLICES,
    WORKS,
    Space,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
)
from tests.support.no_findings import BESIDE

if TYPE_CHECKING:
    from testbed import Api, Bed
    from tests.integration.beside.conftest import Run
    from tests.support.fake_karmada import FakeKarmada

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]


async def release(api: Api, resource: str, name: str, namespace: str) -> None:
    """The others let go of an object."""
    there = await api.get(resource, name, namespace=namespace)
    left = [one for one in there["metadata"].get("finalizers", ()) if one != OTHERS]
    await api.patch(resource, name, {"metadata": {"finalizers": left}}, namespace=namespace)


async def test_a_whole_life_touches_nothing_of_others(
    karmada_bed: Bed, fake_karmada: FakeKarmada, space: Space, run: Run
):
    host, namespace = space.host, space.namespace
    foreign = ForeignObjects(karmada_bed, namespace)
    await foreign.create_all("web")
    await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
    native = endpointslice("web-a", "web", ["192.0.2.1"])
    native["metadata"]["annotations"] = {OTHERS: "theirs"}
    await space.create_in("member1", native)
    # Theirs are settled before ours is there at all: what is written from now on is by ours.
    await at_rest(karmada_bed, fake_karmada)
    await foreign.remember()

    async with History(karmada_bed) as history:
        ours = await run("foreign")
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]}, "web")
        await space.succeeded("web", but=BESIDE)
        await at_rest(karmada_bed, fake_karmada)

        # What ours has made gets marks of others, wherever they can be put.
        (collected,) = await space.work_names("member1", "EndpointSlice")
        (request,) = await space.work_names("member1", "MultiClusterService")
        (copy,) = await space.work_names("member2", "EndpointSlice")
        marked = [
            (MCS, "web", namespace),
            (SERVICES, "web", namespace),
            (BINDINGS, "web-service", namespace),
            (WORKS, request, "karmada-es-member1"),
            (WORKS, collected, "karmada-es-member1"),
            (WORKS, copy, "karmada-es-member2"),
        ]
        for resource, name, where in marked:
            # An owner in another namespace would have it garbage-collected.
            await mark(host, resource, name, where, foreign.owner if where == namespace else None)
        await at_rest(karmada_bed, fake_karmada)

        # Every reason to write there is.
        await space.set_addresses("member1", "web-a", ["192.0.2.2"])
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]}, "web")
        await host.patch(SERVICES, "web", {"metadata": {"labels": {"team": "a"}}}, namespace=namespace)
        await space.patch_mcs("web", {"consumerClusters": [{"name": "member2"}, {"name": "member1"}]})
        await at_rest(karmada_bed, fake_karmada)
        for resource, name, where in marked:
            expected = UNTOUCHED if where == namespace else (*UNTOUCHED[:3], False)
            assert marks_of(await host.get(resource, name, namespace=where)) == expected, (resource, name)

        # A consumer leaves, a slice goes, and at last the service: each object stays as long as others hold it.
        await space.patch_mcs("web", {"consumerClusters": [{"name": "member1"}]})
        await held(host, WORKS, copy, "karmada-es-member2")
        await release(host, WORKS, copy, "karmada-es-member2")
        await space.dispatched_are("member2", {}, "web")
        await host.delete(MCS, "web", namespace=namespace)
        for name in (request, collected):
            await held(host, WORKS, name, "karmada-es-member1")
            await release(host, WORKS, name, "karmada-es-member1")
            await gone(host, WORKS, name, "karmada-es-member1")
        await at_rest(karmada_bed, fake_karmada)
        for resource, name, where in marked[:3]:
            assert marks_of(await host.get(resource, name, namespace=where)) == UNTOUCHED, (resource, name)
        await release(host, MCS, "web", namespace)
        await gone(host, MCS, "web", namespace)
        await at_rest(karmada_bed, fake_karmada)
        assert await foreign.touched() == []
        assert await ours.terminate() == 0

    # The provider's own slice is as its owner last wrote it, and in members ours has written nothing at all.
    slice_ = await space.member("member1").get(SLICES, "web-a", namespace=namespace)
    assert slice_["metadata"]["annotations"] == {OTHERS: "theirs"}
    assert slice_["metadata"]["generation"] == 2
    planes = {identity.plane for (identity, _), names in history.writers().items() if "mcs-controller-manager" in names}
    assert planes == {"karmada"}
    for resource, name in ((SERVICES, "web"), (BINDINGS, "web-service")):
        await release(host, resource, name, namespace)


async def held(api: Api, resource: str, name: str, namespace: str) -> None:
    """Wait until an object is being deleted and nobody but the others keeps it."""

    async def finalizers() -> list[str]:
        there = await api.get(resource, name, namespace=namespace)
        kept: list[str] = there["metadata"].get("finalizers", [])
        return kept if "deletionTimestamp" in there["metadata"] else []

    await eventually(f"{resource} {name} to be held by others only", finalizers, [OTHERS])
