"""The control plane's etcd is restored from a backup, under traffic: resource versions and all objects go back."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed import Bed, NotYet, wait_for
from testbed.errors import ApiStatusError
from testbed.etcd import Etcd
from tests.e2e.world import PATIENCE_SECONDS
from tests.support.fleet import MCS, SERVICES, endpointslice, eventually, multiclusterservice, service
from tests.support.traffic import Asked, Traffic
from tests.support.upgrading import CONSUMER, PROVIDER, REQUESTS, Fleet, fleet, ready_pods
from tests.upgrade.conftest import FIGURES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITTEN = {
    Asked(PROVIDER, "patch", "endpointslices"),
    Asked(CONSUMER, "delete", "endpointslices"),
    Asked(CONSUMER, "delete", "services"),
    Asked(PROVIDER, "delete", "services"),
}
"""In members: copies of the service that is younger than the backup go."""

STALE_SECONDS = 180.0
"""docs/member-ownership.md: a Service whose Work is gone is deleted after 60 s."""


async def backup(made: Fleet, directory: Path) -> None:
    """Copy the data of etcd, which is stopped for that."""
    etcd = next(each for each in made.bed.processes() if each.name == "etcd")
    await etcd.stop()
    shutil.copytree(made.bed.root / "etcd" / "data", directory)
    await etcd.start()

    async def answers() -> bool:
        for plane in (made.bed.host, *made.bed.members.values()):
            try:
                await plane.api.get("v1/namespaces", "default")
            except ApiStatusError as error:
                raise NotYet(str(error)) from error
        return True

    await wait_for("the API servers to answer", answers, PATIENCE_SECONDS)
    await made.replicas.restart_ended()


async def restore(made: Fleet, etcd: Etcd) -> None:
    """Have the control plane's API server begin with another etcd; the members keep theirs."""
    host, client = made.bed.host, etcd.client
    await host.stop_apiserver()
    await etcd.start()
    others = {
        "--etcd-servers": client.url,
        "--etcd-cafile": client.ca,
        "--etcd-certfile": client.certificate,
        "--etcd-keyfile": client.key,
    }
    kept = [each for each in host.apiserver.argv if each.partition("=")[0] not in others]
    host.apiserver.argv[:] = [*kept, *(f"{name}={value}" for name, value in others.items())]
    await host.start_apiserver()
    await host.restart_controller_manager()
    await made.replicas.restart_ended()


@pytest_asyncio.fixture(loop_scope="session")
async def made(dataplane: dict[str, Path]) -> AsyncIterator[Fleet]:
    """One of its own: the control plane's API server is not at its place afterwards."""
    async with Bed(audit=True, dataplane=True) as bed, fleet(bed) as made:
        yield made


async def test_what_members_have_stays_right_when_the_control_plane_goes_back(
    made: Fleet, dataplane: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
):
    space = made.space
    member, host = space.member(PROVIDER), space.host
    await backup(made, tmp_path / "backup")
    await made.rest()

    # After the backup: other Pods, another address, one more service.
    before = set(await ready_pods(space, PROVIDER, "web"))
    for name in before:
        await member.delete("v1/pods", name, namespace=space.namespace)

    async def replaced() -> set[str]:
        pods = set(await ready_pods(space, PROVIDER, "web"))
        seen = set((await made.world.sample(CONSUMER, made.url)).pods)
        if len(pods) != 2 or pods & before or seen != pods:
            raise NotYet(f"{seen} answer, {pods} are ready")
        return pods

    await wait_for("other Pods to answer", replaced, PATIENCE_SECONDS)
    await made.change_arrives()
    current = await space.dispatched(CONSUMER, "both")
    await space.create(service("late"), multiclusterservice("late", [PROVIDER], [CONSUMER]))
    await space.create_in(PROVIDER, endpointslice("late-a", "late", ["192.0.2.240"]))
    await space.dispatched_are(CONSUMER, {f"{PROVIDER}-late-a": ["192.0.2.240"]}, "late")
    await made.rest()
    copies = {name: uid for name, uid in (await made.copies()).items() if "late" not in name}

    directory = made.bed.root / "restored"
    etcd = Etcd(dataplane["etcd"], directory=directory, root=made.bed.root)
    shutil.copytree(tmp_path / "backup", directory / "data")
    traffic = Traffic(made.bed)
    try:
        async with made.loop() as loop:
            await restore(made, etcd)
            assert await host.find(MCS, "late", namespace=space.namespace) is None, "it is younger than the backup"
            await space.dispatched_are(CONSUMER, {}, "late")

            async def left() -> bool:
                return await space.member(CONSUMER).find(SERVICES, "late", namespace=space.namespace) is not None

            await eventually("no Service of it in the consumer", left, False, timeout=STALE_SECONDS)
            await made.rest()
            in_members = {one for one in traffic.writes() if one.plane != "karmada"}
            assert in_members <= WRITTEN, traffic.told()
            assert await space.dispatched(CONSUMER, "both") == current
            await made.change_arrives()
            await loop.goes_on(REQUESTS)
        request.config.stash[FIGURES].append(f"{request.node.name}: {loop.told()}")
        assert loop.tally.lost == 0, f"{loop.told()} {loop.tally.errors}"
        assert await made.copies() == copies, "none was made anew"
    finally:
        await made.bed.host.kill_apiserver()
        await etcd.stop()
