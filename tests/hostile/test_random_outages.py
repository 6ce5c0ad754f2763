"""Ten minutes of random outages, while 20 services change all the time: nothing is lost, and one process writes.

The schedule is that of RANDOM_OUTAGES_SEED (else 1), for RANDOM_OUTAGES_SECONDS (else 600).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from base64 import urlsafe_b64decode
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testbed import ApiStatusError, AuditEvent, AuditLog, Bed, ControllerProcess, karmada
from tests.integration.product.conftest import IMPATIENT, equip
from tests.support.fleet import MCS, SLICES, Space, endpointslice, gone, multiclusterservice, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("RANDOM_OUTAGES_SECONDS", "600"))
SEED = int(os.environ.get("RANDOM_OUTAGES_SEED", "1"))
SERVICES = 20
PAUSE_SECONDS = 20.0
"""Longer than a Lease lasts: another process leads when the one that stood still goes on."""
LEASE = "random-outages"
ELECTION = (
    f"--leader-elect-resource-name={LEASE}",
    "--leader-elect-lease-duration=15s",
    "--leader-elect-renew-deadline=10s",
    "--leader-elect-retry-period=2s",
)
MEMBERS = ("member1", "member2")
AWAY = (ApiStatusError, aiohttp.ClientError, OSError, TimeoutError)


async def insist(change: Callable[[], Awaitable[Any]], *, unless: tuple[int, ...] = ()) -> None:
    """Make a change, however often the API server is away meanwhile."""
    while True:
        try:
            async with asyncio.timeout(30):
                await change()
            return
        except ApiStatusError as error:
            if error.status in unless:
                return
            if error.status < 500 and error.status not in (403, 429):  # 403: its policies are not loaded yet
                raise
        except AWAY:
            pass
        await asyncio.sleep(0.5)


class World:
    """What people have asked for: 20 services, of which each has slices in one member, for the other."""

    def __init__(self, space: Space, rng: random.Random) -> None:
        self._space = space
        self._rng = rng
        self._numbers = iter(range(1, 1 << 20))
        self.slices: dict[str, dict[str, list[str]]] = {f"s{number}": {} for number in range(SERVICES)}
        self.shared: set[str] = set()
        self.changes = 0

    @staticmethod
    def provider(name: str) -> str:
        return MEMBERS[int(name[1:]) % 2]

    @staticmethod
    def consumer(name: str) -> str:
        return MEMBERS[1 - int(name[1:]) % 2]

    def expected(self, consumer: str) -> dict[str, list[str]]:
        """The copies that a member should have."""
        return {
            f"{self.provider(name)}-{slice_}": sorted(addresses)
            for name in self.shared
            if self.consumer(name) == consumer
            for slice_, addresses in self.slices[name].items()
        }

    async def begin(self) -> None:
        for name in self.slices:
            await insist(partial(self._space.create, service(name)), unless=(409,))
            await self._share(name)
            await self._add_slice(name)

    async def change(self) -> None:
        """One random change, made for sure when this returns."""
        name = self._rng.choice(list(self.slices))
        if name not in self.shared:
            await self._share(name)
        elif not self.slices[name]:
            await self._add_slice(name)
        else:
            await self._rng.choices(
                [self._set_addresses, self._add_slice, self._remove_slice, self._withdraw], weights=[8, 2, 1, 1]
            )[0](name)
        self.changes += 1

    async def _share(self, name: str) -> None:
        mcs = multiclusterservice(name, [self.provider(name)], [self.consumer(name)])
        await insist(lambda: self._space.create(mcs), unless=(409,))
        self.shared.add(name)

    async def _withdraw(self, name: str) -> None:
        host, namespace = self._space.host, self._space.namespace
        await insist(lambda: host.delete(MCS, name, namespace=namespace, missing_ok=True))
        self.shared.discard(name)
        await insist(lambda: gone(host, MCS, name, namespace))  # or the next one of that name would be refused

    async def _add_slice(self, name: str) -> None:
        slice_ = f"{name}-{next(self._numbers)}"
        made = endpointslice(slice_, name, addresses := self._addresses())
        await insist(lambda: self._space.create_in(self.provider(name), made), unless=(409,))
        self.slices[name][slice_] = addresses

    async def _set_addresses(self, name: str) -> None:
        slice_ = self._rng.choice(list(self.slices[name]))
        addresses = self._addresses()
        await insist(lambda: self._space.set_addresses(self.provider(name), slice_, addresses))
        self.slices[name][slice_] = addresses

    async def _remove_slice(self, name: str) -> None:
        slice_ = self._rng.choice(list(self.slices[name]))
        member, namespace = self._space.member(self.provider(name)), self._space.namespace
        await insist(lambda: member.delete(SLICES, slice_, namespace=namespace, missing_ok=True))
        del self.slices[name][slice_]

    def _addresses(self) -> list[str]:
        number = next(self._numbers)
        return [f"198.18.{number // 250 % 256}.{number % 250 + 1}"]


class Replica:
    """A controller that is started again whenever it ends, as a Deployment would do."""

    def __init__(self, bed: Bed, name: str, kubeconfig: Path) -> None:
        self.process = ControllerProcess(
            kubeconfig, root=bed.root, name=name, extra_args=[*IMPATIENT, *ELECTION, "--v=4"]
        )
        self.ended: list[int] = []

    async def run(self) -> None:
        try:
            while True:
                await self.process.start(ready=False)
                self.ended.append(await self.process.wait(3600))
                await asyncio.sleep(1)
        finally:
            await self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        if self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Outages:
    """Whatever may happen to the processes, by a schedule that a seed decides."""

    def __init__(self, bed: Bed, replicas: list[Replica], rng: random.Random) -> None:
        self._bed = bed
        self._replicas = replicas
        self._rng = rng
        self.done: list[str] = []

    async def one(self) -> None:
        kind = self._rng.choice([self._kill, self._pause, self._pause, self._stop, self._api_server, self._etcd])
        self.done.append(await kind())

    async def _kill(self) -> str:
        replica = self._rng.choice(self._replicas)
        replica.signal(signal.SIGKILL)
        return f"kill {replica.process.name}"

    async def _stop(self) -> str:
        replica = self._rng.choice(self._replicas)
        replica.signal(signal.SIGTERM)
        return f"stop {replica.process.name}"

    async def _pause(self) -> str:
        replica = self._rng.choice(self._replicas)
        replica.signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        replica.signal(signal.SIGCONT)
        return f"pause {replica.process.name}"

    async def _api_server(self) -> str:
        plane = self._rng.choice([self._bed.host, *self._bed.members.values()])
        await plane.kill_apiserver()
        await asyncio.sleep(self._rng.uniform(0, 8))
        await plane.start_apiserver()
        return f"API server of {plane.name}"

    async def _etcd(self) -> str:
        etcd = next(one for one in self._bed.processes() if one.name == "etcd")
        await etcd.kill()
        await asyncio.sleep(self._rng.uniform(0, 4))
        await etcd.start()
        return "etcd"


def token_id(token: str) -> str:
    """What audit logs call the token."""
    payload = token.split(".")[1]
    return f"JTI={json.loads(urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))['jti']}"


def writes_of_others(events: list[AuditEvent], processes: set[str]) -> list[list[str]]:
    """For each time that another process took the Lease: the writes that came later from the one that had lost it."""
    holder, found = "", [list[str]()]
    for event in sorted(events, key=lambda event: event.received):
        if event.credential not in processes or not event.is_write or event.resource == "events":
            continue
        if event.resource == "leases":
            if event.code < 300 and event.credential != holder:
                holder = event.credential
                found.append([])
        elif holder and event.credential != holder:
            text = f"{event.received} {event.credential} {event.verb} {event.resource} {event.name} {event.code}"
            found[-1].append(text)
    return found


async def test_a_write_after_another_process_took_the_lease_is_found() -> None:
    def event(second: int, credential: str, resource: str, code: int = 200) -> AuditEvent:
        return AuditEvent(
            credential=credential, user="", user_agent="", verb="update", resource=resource, subresource="",
            api_group="", namespace="", name="x", code=code, uri="", time="", received=f"{second:02}",
        )  # fmt: skip

    log = [event(1, "a", "leases"), event(2, "a", "works"), event(3, "b", "leases", 409), event(4, "a", "works")]
    log += [event(6, "a", "works"), event(5, "b", "leases"), event(7, "b", "works"), event(8, "other", "works")]
    assert writes_of_others(log, {"a", "b"}) == [[], [], ["06 a update works x 200"]]


async def test_random_outages_lose_nothing_and_leave_one_writer(binaries: dict[str, Path]) -> None:
    rng = random.Random(SEED)
    async with Bed(audit=True) as bed, AsyncExitStack() as stack:
        await equip(bed)
        log = AuditLog(bed.host.audit_log).mark()
        replicas, processes = [], set()
        for name in ("replica-1", "replica-2"):
            token = await karmada.request_token(bed.host, karmada.SYSTEM_NAMESPACE, karmada.SERVICE_ACCOUNT)
            processes.add(token_id(token))
            access = bed.host.token_access(token, bed.root / f"{name}.kubeconfig")
            replicas.append(Replica(bed, name, access.kubeconfig))
        running = await stack.enter_async_context(_tasks(*(replica.run() for replica in replicas)))
        space = await Space.make(bed)
        world = World(space, random.Random(rng.random()))
        await world.begin()
        outages = Outages(bed, replicas, random.Random(rng.random()))
        end = asyncio.get_running_loop().time() + SECONDS

        async def change() -> None:
            while asyncio.get_running_loop().time() < end:
                await world.change()
                await asyncio.sleep(0.2)

        async def disturb() -> None:
            while asyncio.get_running_loop().time() < end:
                await outages.one()
                await asyncio.sleep(rng.uniform(2, 15))

        async with asyncio.TaskGroup() as group:
            group.create_task(change())
            group.create_task(disturb())
        for replica in replicas:
            replica.signal(signal.SIGCONT)
        print(f"seed {SEED}: {world.changes} changes; {', '.join(outages.done)}")
        for member in MEMBERS:
            await space.dispatched_are(member, world.expected(member))
        for name in sorted(world.shared):
            await space.succeeded(name)
        for task in running:
            assert not task.done(), task.exception()
        # No Lease keeps back what a process was just sending when it was made to stand still: one request, no more.
        late = writes_of_others(list(log.events()), processes)
        assert max(map(len, late)) <= 1, late
        assert len(late) > 3, "the Lease hardly ever changed hands"
        assert sum(event.credential in processes for event in log.events() if event.is_write) > world.changes
        # 0: asked to end; -9: killed; 1: the Lease was lost.
        assert {code for replica in replicas for code in replica.ended} <= {0, -9, 1}
        for replica in replicas:
            assert "Traceback" not in replica.process.log.read_text()


@contextlib.asynccontextmanager
async def _tasks(*coroutines: Any) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
