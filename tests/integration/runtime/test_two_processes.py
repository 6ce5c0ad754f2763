"""Two processes of which one may write, on a real API server, which keeps account of who wrote when."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from testbed import AuditLog, NotYet, wait_for
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testbed import AuditMark, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEASES = "coordination.k8s.io/v1/leases"
PATIENCE_SECONDS = 60.0

# Writes without a pause as long as it leads, as a controller does. The API server knows it by its user agent.
PROGRAM = """
import asyncio, random, sys
from prometheus_client import CollectorRegistry
from informers import ApiClient, PartialObject, Resource, load_kubeconfig, struct_decoder
from mcs_controller.runtime.controller import Controller
from mcs_controller.runtime.leader_election import LeaderElectionConfig, LeaderElector
from mcs_controller.runtime.logging import setup_logging
from mcs_controller.runtime.manager import Manager
from mcs_controller.runtime.reconcile import Request, Result
from mcs_controller.runtime.signals import stop_on_signals
from workqueue import RealClock, default_controller_rate_limiter

CONFIG_MAPS = Resource(
    group="", version="v1", plural="configmaps", kind="ConfigMap", decode=struct_decoder(PartialObject)
)

class Writer:
    def __init__(self, client, namespace):
        self.client, self.namespace = client, namespace

    async def reconcile(self, request):
        await self.client.patch(CONFIG_MAPS, request.name, {"data": {"a": str(random.random())}}, self.namespace)
        return Result(requeue_after=0)

async def main(kubeconfig, server, namespace, identity):
    clock = RealClock()
    config = await load_kubeconfig(kubeconfig, clock=clock)
    if server:
        import dataclasses
        config = dataclasses.replace(config, server=server)
    async with ApiClient(config, clock=clock, user_agent=identity) as client:
        election = LeaderElectionConfig(
            namespace=namespace, name="writer", identity=identity, lease_duration=10, renew_deadline=7, retry_period=0.5
        )
        elector = LeaderElector(client, election, clock=clock, rng=random.Random())
        manager = Manager(clock=clock, registry=CollectorRegistry(), elector=elector)
        limiter = default_controller_rate_limiter(clock=clock)
        controller = Controller("writer", Writer(client, namespace), clock=clock, rate_limiter=limiter)
        controller.enqueue(Request("", "log"))
        manager.add_controller(controller)
        with stop_on_signals(manager.stop):
            await manager.run()

setup_logging(2, "text", sys.stderr)
asyncio.run(main(*sys.argv[1:]))
"""


class Replicas:
    """Processes of the program, and what the API server saw of them."""

    def __init__(self, bed: Bed, namespace: str, directory: Path, stack: AsyncExitStack) -> None:
        self.bed, self.namespace = bed, namespace
        self._directory = directory
        self._stack = stack
        self.mark: AuditMark = AuditLog(bed.host.audit_log).mark()

    async def start(self, identity: str, server: str = "") -> asyncio.subprocess.Process:
        log = self._stack.enter_context((self._directory / f"{identity}.log").open("wb"))
        arguments = (str(self.bed.host.access.kubeconfig), server, self.namespace, identity)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments, stderr=log)
        self._stack.push_async_callback(_end, process)
        return process

    def writers(self) -> list[str]:
        """Who wrote, in the order of the answers, each turn once."""
        return [writer for writer, _ in itertools.groupby(self.writes())]

    def writes(self) -> list[str]:
        """Who wrote, of each write that was answered."""
        return [
            event.user_agent
            for event in self.mark.events()
            if event.resource == "configmaps" and event.is_write and event.namespace == self.namespace
        ]

    async def until_more_writes(self) -> None:
        """Wait until several writes were answered that were sent after now."""
        before = len(self.writes())

        async def probe() -> bool:
            if len(self.writes()) < before + 5:
                raise NotYet(self.log())
            return True

        await wait_for("more writes", probe, PATIENCE_SECONDS)

    async def until_turns(self, *expected: str) -> None:
        """Wait until these have written, one after the other."""

        async def probe() -> bool:
            if (seen := self.writers()) != list(expected):
                raise NotYet(f"{seen}, not {expected}; {self.log()}")
            return True

        await wait_for("the writers' turns", probe, PATIENCE_SECONDS)

    async def steal(self) -> None:
        """Write another holder into the lease."""
        change = {"spec": {"holderIdentity": "thief"}}
        await self.bed.host.api.patch(LEASES, "writer", change, namespace=self.namespace)

    async def holder(self) -> str:
        lease = await self.bed.host.api.get(LEASES, "writer", namespace=self.namespace)
        return str(lease["spec"]["holderIdentity"])

    def log(self) -> str:
        return "\n".join(path.read_text()[-1500:] for path in sorted(self._directory.glob("*.log")))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


async def exit_code(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await process.wait()


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(bed: Bed, namespace: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "log"}}
    await bed.host.api.create(config, namespace=namespace)
    async with AsyncExitStack() as stack:
        yield Replicas(bed, namespace, tmp_path, stack)


async def test_after_sigterm_the_standby_writes_and_the_first_one_never_again(replicas):
    first = await replicas.start("first")
    await replicas.until_turns("first")
    await replicas.start("second")
    await asyncio.sleep(1)  # a standby by now, or not: either must be right
    first.send_signal(signal.SIGTERM)
    assert await exit_code(first) == 0
    await replicas.until_turns("first", "second")
    assert "Released the lease" in replicas.log()


async def test_after_sigkill_the_standby_takes_over_without_overlap(replicas):
    first = await replicas.start("first")
    await replicas.until_turns("first")
    await replicas.start("second")
    first.kill()
    await replicas.until_turns("first", "second")


async def test_leader_that_is_cut_off_ends_with_an_error_before_another_writes(replicas):
    async with TcpProxy(replicas.bed.host.access.server) as proxy:
        first = await replicas.start("first", proxy.url)
        await replicas.until_turns("first")
        await replicas.start("second")
        proxy.freeze()  # requests are sent, and never answered
        await replicas.until_turns("first", "second")
        assert await exit_code(first) == 1
        proxy.cut()
    assert replicas.writers() == ["first", "second"]
    assert "Lost the lease" in replicas.log()


async def test_leader_whose_lease_is_stolen_ends_with_an_error_and_writes_no_more(replicas):
    first = await replicas.start("first")
    await replicas.until_turns("first")
    await replicas.steal()
    assert await exit_code(first) == 1
    await replicas.start("second")
    await replicas.until_turns("first", "second")  # the thief never renews
    assert "thief holds it" in replicas.log()


async def test_leader_that_stood_still_longer_than_its_term_ends_without_renewing_or_beginning_a_write(replicas):
    first = await replicas.start("first")
    await replicas.until_turns("first")
    await replicas.start("second")
    first.send_signal(signal.SIGSTOP)
    await replicas.until_turns("first", "second")
    before = replicas.writes().count("first")
    first.send_signal(signal.SIGCONT)
    assert await exit_code(first) == 1
    await replicas.until_more_writes()
    # A lease is no fence: a request that it was just sending may still go out. Its one worker begins no other; that it
    # asks the clock before each is a unit test's, which can stop it exactly there.
    assert replicas.writes().count("first") <= before + 1
    assert replicas.writers()[-1] == "second"
    assert await replicas.holder() == "second"


async def test_deleted_lease_is_made_again_by_its_holder(replicas):
    await replicas.start("first")
    await replicas.until_turns("first")
    await replicas.start("second")

    async def waits() -> bool:
        if "Another process leads" not in replicas.log():
            raise NotYet(replicas.log())
        return True

    await wait_for("the standby to have seen the holder", waits, PATIENCE_SECONDS)
    for _ in range(3):
        await replicas.bed.host.api.delete(LEASES, "writer", namespace=replicas.namespace)

        async def there_again() -> bool:
            found = await replicas.bed.host.api.find(LEASES, "writer", namespace=replicas.namespace)
            if found is None or found["spec"]["holderIdentity"] != "first":
                raise NotYet(f"{found}")
            return True

        await wait_for("the lease to be there again", there_again, PATIENCE_SECONDS)
    assert replicas.writers() == ["first"]
