"""Ours starts where Karmada's own MultiClusterService controllers have been at work, and the other way round."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from testbed import Bed, NotYet, karmada, wait_for
from testbed.karmada import CONTROLLER_USER
from tests.integration.beside.conftest import Run, make_karmadas, starting
from tests.support.fake_karmada import FakeKarmada
from tests.support.fake_karmada_aggregated import AggregatedClusters
from tests.support.fake_karmada_golden import EXPORT_NAMESPACE, GoldenWorld
from tests.support.fake_karmada_history import History
from tests.support.fake_karmada_objects import labels_of
from tests.support.fake_karmada_peer import MARK, Peer
from tests.support.fake_karmada_peer_exports import WholePeer
from tests.support.fake_karmada_quiet import Writes, Written, at_rest, wait_heartbeats
from tests.support.fleet import (
    BINDINGS,
    DISPATCHER,
    EXPORTS,
    IMPORTS,
    MCS,
    PATIENCE_SECONDS,
    SERVICES,
    SLICES,
    WORKS,
    Space,
    addresses_of,
    endpointslice,
    eventually,
    gone,
    multiclusterservice,
    service,
    serviceexport,
    serviceimport,
)
from tests.support.traffic import idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

Object = dict[str, Any]

NATIVE = "nginx-b5zrb"
COPY = f"member1-{NATIVE}"


class Left(NamedTuple):
    """What Karmada has left, and who is still there."""

    bed: Bed
    golden: GoldenWorld
    fake_karmada: FakeKarmada
    history: History
    run: Run


@pytest_asyncio.fixture(loop_scope="session")
async def left(binaries: dict[str, Path]) -> AsyncIterator[Left]:
    """The golden world, Karmada's other components at work in it. No kube-controller-manager: slices are as told."""
    async with AsyncExitStack() as stack:
        bed = await stack.enter_async_context(Bed(audit=True, controller_manager=False))
        await make_karmadas(bed)
        golden = GoldenWorld(bed)
        await golden.replay()
        fake_karmada = await stack.enter_async_context(FakeKarmada(bed))
        history = await stack.enter_async_context(History(bed))
        proxy = await stack.enter_async_context(
            AggregatedClusters(await karmada.controller_access(bed), streaming="ignored")
        )
        await at_rest(bed, fake_karmada)
        run = await stack.enter_async_context(starting(bed, proxy.kubeconfig(bed.root / "aggregated.kubeconfig")))
        yield Left(bed, golden, fake_karmada, history, run)


AVAILABLE = "EndpointsAvailable"
ONCE = {Written("karmada", CONTROLLER_USER, "patch", "multiclusterservices/status"): 1}
"""The condition that Karmada does not have."""


async def test_what_karmada_left_is_adopted_without_a_write_and_without_a_gap(left: Left):
    bed, host = left.bed, left.bed.host.api
    assert await left.golden.changed() == []  # by the neighbours: they are what they play
    writes, began = Writes(bed), len(left.history.log)
    ours = await left.run("takeover")
    await idle(ours)
    await wait_heartbeats(left.fake_karmada, 4)
    assert writes.counted() == ONCE, writes.told()

    # It is in charge: of both paths.
    member1, member2 = bed.members["member1"].api, bed.members["member2"].api
    endpoints = [ready("10.20.0.5"), ready("10.20.0.6"), ready("10.20.0.7")]
    await member1.patch(SLICES, NATIVE, {"endpoints": endpoints}, namespace="default")

    async def copied() -> list[str]:
        return addresses_of(await member2.get(SLICES, COPY, namespace="default"))

    await eventually("the copy in member2", copied, ["10.20.0.5", "10.20.0.6", "10.20.0.7"])
    exported = [ready("10.20.7.5"), ready("10.20.7.6")]
    await member1.patch(SLICES, "serve-hdjfd", {"endpoints": exported}, namespace=EXPORT_NAMESPACE)

    async def imported() -> list[str]:
        return addresses_of(await host.get(SLICES, "imported-member1-serve-hdjfd", namespace=EXPORT_NAMESPACE))

    await eventually("the imported slice", imported, ["10.20.7.5", "10.20.7.6"])
    assert left.history.fewest("member2", "default/nginx", began) == 2
    assert left.history.fewest("member2", f"{EXPORT_NAMESPACE}/derived-serve", began) == 1

    async def told() -> Object:
        return await host.get(MCS, "nginx", namespace="default")

    (before,) = (each for _, each in left.golden.stored if each["kind"] == "MultiClusterService")
    *theirs, ours_alone = (await told())["status"]["conditions"]
    assert theirs == before["status"]["conditions"]
    assert (ours_alone["type"], ours_alone["status"]) == (AVAILABLE, "True")
    of_services = {
        written: count for written, count in writes.counted(CONTROLLER_USER).items() if "service" in written.resource
    }
    assert of_services == ONCE, writes.told()
    assert await ours.terminate() == 0


async def test_karmada_takes_back_what_ours_leaves_without_a_write_and_without_a_gap(
    left: Left, binaries: dict[str, Path]
):
    bed, host = left.bed, left.bed.host.api
    member1, member2 = bed.members["member1"].api, bed.members["member2"].api
    ours = await left.run("before-return")
    # What was there is changed by ours, and something new is made.
    await member1.patch(SLICES, NATIVE, {"endpoints": [ready("10.20.0.8")]}, namespace="default")
    for manifest in (service("late"), multiclusterservice("late", [], ["member2"])):
        await host.create(manifest, namespace="default")
    await member1.create(endpointslice("late-a", "late", ["192.0.2.1", "192.0.2.2"]), namespace="default")

    async def copies() -> dict[str, list[str]]:
        selector = f"endpointslice.kubernetes.io/managed-by={DISPATCHER}"
        found = await member2.list(SLICES, namespace="default", label_selector=selector)
        return {each["metadata"]["name"]: addresses_of(each) for each in found}

    wanted = {COPY: ["10.20.0.8"], "member1-late-a": ["192.0.2.1", "192.0.2.2"]}
    await eventually("the copies in member2", copies, wanted)

    async def said() -> set[str]:
        found = await host.get(MCS, "late", namespace="default")
        return {one["type"] for one in found.get("status", {}).get("conditions", []) if one["status"] == "True"}

    await eventually("what late says", said, {"ServiceApplied", "EndpointSliceDispatched", AVAILABLE})
    await idle(ours)
    await at_rest(bed, left.fake_karmada)
    assert await ours.terminate() == 0
    await take_off(AVAILABLE, bed, binaries["kubectl"])

    before, began = await versions(bed), len(left.history.log)
    async with Peer(bed) as peer:
        await some_passes(peer, 3)
        await wait_heartbeats(left.fake_karmada, 4)
        after = await versions(bed)
        assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == set()
        assert left.history.fewest("member2", "default/nginx", began) == 1
        assert left.history.fewest("member2", "default/late", began) == 2

        # It is in charge, and can undo what ours has made.
        await member1.patch(SLICES, "late-a", {"endpoints": [ready("192.0.2.3")]}, namespace="default")
        wanted["member1-late-a"] = ["192.0.2.3"]
        await eventually("the copies in member2", copies, wanted)
        for name in ("late", "nginx"):
            await host.delete(MCS, name, namespace="default")
            await gone(host, MCS, name, "default")
        nothing: dict[str, list[str]] = {}
        await eventually("no copies in member2", copies, nothing)

        async def works() -> list[str]:
            found = await host.list(WORKS)
            marked = [
                one for one in found if "multiclusterservice.karmada.io/name" in one["metadata"].get("labels", {})
            ]
            return [one["metadata"]["name"] for one in marked]

        no_names: list[str] = []
        await eventually("no Works of either service", works, no_names)
        await some_passes(peer, 1)  # one that a write has overtaken fails


async def test_exports_and_imports_change_hands_twice_without_a_gap_or_a_needless_write(left: Left):
    bed, fake_karmada = left.bed, left.fake_karmada
    space = await Space.make(bed)
    served = [("karmada", f"{space.namespace}/derived-{name}") for name in EXPORTED]
    served += [("member2", f"{space.namespace}/derived-{name}") for name in EXPORTED]
    served.append(("member2", f"{space.namespace}/shared"))

    def fewest(since: int) -> set[int]:
        return {left.history.fewest(plane, name, since) for plane, name in served}

    # Karmada's own, from the beginning.
    async with WholePeer(bed) as peer:
        for name in EXPORTED:
            await exported(left, space, name, ["192.0.2.1", "192.0.2.2"])
        await imported_are(space, {name: ["192.0.2.1", "192.0.2.2"] for name in EXPORTED})
        await space.dispatched_are("member2", {"member1-shared-a": ["192.0.2.1", "192.0.2.2"]}, "shared")
        await some_passes(peer, 3)
    await at_rest(bed, fake_karmada)

    # Ours finds it, and writes one condition of each service.
    began, writes = len(left.history.log), Writes(bed)
    ours = await left.run("exports")
    await idle(ours)
    await wait_heartbeats(fake_karmada, 4)
    assert writes.counted() == dict.fromkeys(ONCE, 2), writes.told()
    # It is in charge, and makes something new.
    for name in EXPORTED:
        await space.set_addresses("member1", f"{name}-a", ["192.0.2.1", "192.0.2.3"])
    await exported(left, space, "late", ["192.0.2.4"])
    there = {name: ["192.0.2.1", "192.0.2.3"] for name in EXPORTED} | {"late": ["192.0.2.4"]}
    await imported_are(space, there)
    await space.dispatched_are("member2", {"member1-shared-a": ["192.0.2.1", "192.0.2.3"]}, "shared")
    await idle(ours)
    await at_rest(bed, fake_karmada)
    assert fewest(began) == {2}
    assert await ours.terminate() == 0

    # Karmada's takes it back. It knows of no owners: the one of the derived Service that ours made is gone.
    began, before = len(left.history.log), await versions(bed)
    async with WholePeer(bed) as peer:
        await some_passes(peer, 3)
        await wait_heartbeats(fake_karmada, 4)
        late = f"{space.namespace}/derived-late"

        async def changed() -> set[tuple[str, str, str]]:
            after = await versions(bed)
            return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

        wanted = {("karmada", SERVICES, late), ("karmada", BINDINGS, f"{late}-service")}
        await eventually("what changes with the owner of the derived Service", changed, wanted)
        assert fewest(began) == {2}

        # It is in charge, and can undo what ours has made.
        await space.set_addresses("member1", "late-a", ["192.0.2.5"])
        await imported_are(space, there | {"late": ["192.0.2.5"]})
        for name in ("late", "shared"):
            await space.host.delete(IMPORTS, name, namespace=space.namespace)
            await gone(space.host, SERVICES, f"derived-{name}", space.namespace)
            await space.member("member1").delete(EXPORTS, name, namespace=space.namespace)
            await space.host.delete(BINDINGS, f"{name}-serviceexport", namespace=space.namespace)
            await gone(space.host, SLICES, f"imported-member1-{name}-a", space.namespace)
        # Of the two who wanted this slice, one is left.
        (work,) = [
            one for one in await space.works("member1", "EndpointSlice") if "shared-a" in one["metadata"]["name"]
        ]
        assert labels_of(work)[MARK] == "MultiClusterService"
        await space.dispatched_are("member2", {"member1-shared-a": ["192.0.2.1", "192.0.2.3"]}, "shared")
        await some_passes(peer, 1)  # one that a write has overtaken fails


EXPORTED = ("plain", "shared")
"""Exported Services; the second one has a MultiClusterService, too."""


async def exported(left: Left, space: Space, name: str, addresses: list[str]) -> None:
    """Export a Service from member1, by policies, and have what is imported brought to member2, once it is there."""
    policies = left.fake_karmada.policies
    await space.create(service(name), serviceexport(name), serviceimport(name))
    if name == "shared":
        await space.create(multiclusterservice(name, ["member1"], ["member2"]))
    templates = (EXPORTS,) if name == "shared" else (SERVICES, EXPORTS)
    for resource in templates:
        template = await space.host.get(resource, name, namespace=space.namespace)
        await policies.propagate(template, ["member1"], "4943a72a-e372-4c3e-bf4e-83659b3278a6", "exports")
    await space.create_in("member1", endpointslice(f"{name}-a", name, addresses))
    for resource, found in ((SERVICES, f"derived-{name}"), (SLICES, f"imported-member1-{name}-a")):

        async def there(resource: str = resource, found: str = found) -> Object | None:
            return await space.host.find(resource, found, namespace=space.namespace)

        template = await wait_for(f"{resource} {found}", there, PATIENCE_SECONDS)
        await policies.follow(template, ["member2"], f"{name}-serviceimport")


async def imported_are(space: Space, wanted: dict[str, list[str]]) -> None:
    """Wait until member2 has these endpoints of what is imported."""

    async def found() -> dict[str, list[str]]:
        slices = await space.member("member2").list(SLICES, namespace=space.namespace)
        derived = {labels_of(one)["kubernetes.io/service-name"]: addresses_of(one) for one in slices}
        return {name.removeprefix("derived-"): each for name, each in derived.items() if name.startswith("derived-")}

    await eventually("what member2 imports", found, wanted)


async def take_off(condition: str, bed: Bed, kubectl: Path) -> None:
    """Do what docs/beside-karmada.md says, by the letter."""
    page = (Path(__file__).parents[3] / "docs" / "beside-karmada.md").read_text()
    (command,) = [line for line in page.splitlines() if line.startswith("kubectl get mcs") and condition in line]
    kubeconfig = bed.host.access.kubeconfig
    environment = {
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(kubeconfig),
        "HOME": str(bed.root),
    }
    for _ in range(2):  # the second time there is nothing to do
        process = await asyncio.create_subprocess_exec(
            "sh", "-ec", command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _unused = await process.communicate()
        assert process.returncode == 0, output.decode()
    for mcs in await bed.host.api.list(MCS):
        assert {one["type"] for one in mcs["status"]["conditions"]} == {"ServiceApplied", "EndpointSliceDispatched"}


def ready(address: str) -> Object:
    """An endpoint."""
    return {"addresses": [address], "conditions": {"ready": True}}


async def some_passes(peer: Peer, count: int) -> None:
    """Wait until the peer has looked at everything so many times from now on, without any trouble."""
    wanted = peer.passes + 1 + count  # one has begun already

    async def probe() -> bool:
        if peer.passes < wanted or peer.failure:
            raise NotYet(f"{peer.passes} passes; {peer.failure}")
        return True

    await wait_for("the peer", probe, PATIENCE_SECONDS)


async def versions(bed: Bed) -> dict[tuple[str, str, str], str]:
    """The resourceVersion of everything that either of the two writes, by plane, kind and name."""
    kinds = {MCS, WORKS, BINDINGS, SERVICES, SLICES}
    result = {}
    for plane in (bed.host, *bed.members.values()):
        for resource in sorted(kinds if plane is bed.host else {SERVICES, SLICES}):
            for one in await plane.api.list(resource):
                metadata = one["metadata"]
                name = f"{metadata.get('namespace')}/{metadata['name']}"
                result[plane.name, resource, name] = metadata["resourceVersion"]
    return result
