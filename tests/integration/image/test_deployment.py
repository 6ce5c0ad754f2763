"""The image as its Deployment runs it, on real API servers: as nobody, read-only, without rights, in a memory limit."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from testbed import Bed, ControllerProcess, NotYet, karmada, wait_for
from testbed.container import libseccomp
from testbed.containers import command_line
from testbed.karmada import MANIFESTS, load
from tests.integration.product.conftest import IMPATIENT, equip
from tests.support.fleet import PATIENCE_SECONDS, Space, endpointslice, multiclusterservice, service
from tests.support.traffic import LEADS, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from testbed.api import Object
    from tests.support.image import Unpacked

pytestmark = pytest.mark.asyncio(loop_scope="session")

INSIDE = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bed(binaries: dict[str, Path]) -> AsyncIterator[Bed]:
    async with Bed(controller_manager=True) as made:
        yield await equip(made)


def deployment() -> Object:
    (found,) = [each for each in load(MANIFESTS / "controller") if each["kind"] == "Deployment"]
    return found


def process_in(replica: ControllerProcess) -> int:
    """The pid of the command, the only child of what runs the container."""
    (child,) = Path(f"/proc/{replica.pid}/task/{replica.pid}/children").read_text().split()
    return int(child)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def writable_in(pid: int) -> dict[str, list[str]]:
    """The writable mounts of a process, but devices and /proc, and what is in each."""
    mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
    found = [path for _, path, _, options, *_ in mounts if "rw" in options.split(",")]
    return {
        path: [each.name for each in Path(f"/proc/{pid}/root{path}").iterdir()]
        for path in found
        if not path.startswith(("/dev/", "/proc"))
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica(bed: Bed, unpacked: Unpacked, root_user: None) -> AsyncIterator[Callable[[str], ControllerProcess]]:
    """Makes what a replica of the Deployment is, with the credentials of a Pod; only its ports are others."""
    account = bed.root / "serviceaccount"
    account.mkdir()
    (account / "ca.crt").write_bytes(bed.host.access.ca_pem)
    (account / "token").write_text((await karmada.controller_access(bed)).token)
    url = urlsplit(bed.host.access.server)

    def make(name: str) -> ControllerProcess:
        program = command_line(
            deployment()["spec"]["template"],
            image=unpacked.files,
            spec_file=bed.root / f"{name}.json",
            files={INSIDE: account},
            environ={"KUBERNETES_SERVICE_HOST": str(url.hostname), "KUBERNETES_SERVICE_PORT": str(url.port)},
        )
        return ControllerProcess(None, root=bed.root, name=name, program=program, extra_args=IMPATIENT)

    yield make
    shutil.rmtree(account)


async def leads(replica: ControllerProcess) -> bool:
    """Whether a replica says that it holds the Lease."""
    return [value for _, _, value in await samples(replica, LEADS)] == [1.0]


async def comes_to_lead(replica: ControllerProcess) -> None:
    async def led() -> bool:
        if not await leads(replica):
            raise NotYet(replica.tail(5))
        return True

    await wait_for(f"{replica.name} to hold the Lease", led, PATIENCE_SECONDS)


async def test_two_restricted_replicas_elect_a_leader_and_the_other_goes_on(
    bed: Bed, replica: Callable[[str], ControllerProcess]
):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(replica("first"))
        await comes_to_lead(first)
        second = await stack.enter_async_context(replica("second"))
        for each in (first, second):
            inside = status_of(process_in(each))
            assert inside["Uid"].split() == ["65532"] * 4
            assert inside["Gid"].split() == ["65532"] * 4
            assert {value for name, value in inside.items() if name.startswith("Cap")} == {"0" * 16}
            assert inside["NoNewPrivs"] == "1"
            assert inside["Seccomp"] == ("2" if libseccomp() else "0")
            assert inside["NSpid"].split()[-1] == "1"
            assert writable_in(process_in(each)) == {"/tmp": []}
        assert (await leads(first), await leads(second)) == (True, False)
        space = await Space.make(bed)
        await space.create(service("web"), multiclusterservice("web", ["member1"], ["member2"]))
        await space.create_in("member1", endpointslice("web-a", "web", ["192.0.2.1"]))
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.1"]})
        assert await first.terminate() == 0, first.tail()
        await comes_to_lead(second)
        await space.set_addresses("member1", "web-a", ["192.0.2.2"])
        await space.dispatched_are("member2", {"member1-web-a": ["192.0.2.2"]})
        await space.remove()
        assert await second.terminate() == 0, second.tail()
