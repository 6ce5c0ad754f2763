"""What a provider has is right in the cache or called stale within 15 s of any fault, and never stale without one.

Everything between a server in memory and the word "stale" is real; time is virtual. docs/staleness.md has the bound.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from informers.cache.factory import InformerFactory
from informers.client.transport import GUARD_ANSWER_SECONDS, GUARD_SECONDS
from informers.client.wire import ListPage, Versions
from informers.errors import Forbidden, KubeError, TransportError, Unauthorized
from informers.meta import ObjectKey
from informers.metrics import STALE_SECONDS
from mcs_controller.members.provider_informers import ProviderInformers
from mcs_controller.runtime.freshness import Freshness
from tests.support.builders import slice_
from tests.support.clock import FakeClock, settle
from tests.support.fake_context import PlainController
from tests.support.members import MemoryMember, MemoryMembers
from tests.support.objects import bookmark_line, event_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from informers.client.transport import Lines

BOUND_SECONDS = 15.0
WRITE_SECONDS = 0.5
"""For the condition to be written, once it is known."""
SLICE = ObjectKey("default", "web-1")
DAY = 24 * 3600.0
HISTORY = 100


class Stream:
    """An open watch: `deaf` if it tells nothing of objects any more, `dead` if it tells nothing at all."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.lines: asyncio.Queue[bytes | KubeError | None] = asyncio.Queue()
        self.deaf = self.dead = False


class Server:
    """An API server with some slices, as its clients know it, and all that can go wrong on the way to it."""

    host = "member:6443"

    def __init__(self, clock: FakeClock, rng: random.Random) -> None:
        self._clock, self._rng = clock, rng
        self.version = 1000
        self.objects: dict[str, int] = {}
        self.streams: set[Stream] = set()
        self.slowness = 0.0
        self.away: KubeError | None = None
        """What every request is answered with, if not None; open watches go on."""
        self.swallows = False
        """Nothing comes through any more, either way, on any connection."""
        self._events: deque[tuple[int, bytes]] = deque(maxlen=HISTORY)
        self._connections = 0
        self._dead = -1
        for number in range(5):
            self.change(f"web-{number}")

    # --- what happens to it ---------------------------------------------------------------------------------------

    def change(self, name: str = SLICE.name) -> None:
        """A slice has other endpoints, or is there for the first time."""
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = self.version
        self._tell(kind, name)

    def delete(self, name: str) -> None:
        self.version += 1
        del self.objects[name]
        self._tell("DELETED", name)

    def _tell(self, kind: str, name: str) -> None:
        line = event_line(kind, self._manifest(name, self.version))
        self._events.append((self.version, line))
        for stream in self.streams:
            if not (stream.deaf or stream.dead or self.swallows):
                stream.lines.put_nowait(line)

    def bookmark(self) -> None:
        for stream in self.streams:
            if not (stream.dead or self.swallows):
                stream.lines.put_nowait(bookmark_line(self.version))

    def reset(self, error: KubeError) -> None:
        """Connections break."""
        for stream in self.streams:
            stream.lines.put_nowait(error)

    def forget_connections(self) -> None:
        """As a firewall does: what is sent on those that are there is acknowledged, and goes nowhere."""
        self._dead = self._connections
        for stream in self.streams:
            stream.dead = True

    def restore(self, version: int) -> None:
        """From a backup: versions go back, and so do the objects, but for one that is changed after that."""
        self.version = version
        self._events.clear()
        self.reset(TransportError("reset"))
        self.change()

    # --- what its clients ask -------------------------------------------------------------------------------------

    async def guard(self) -> NoReturn:
        """As `ApiClient.guard`: finds dead connections."""
        while True:
            await self._clock.sleep(GUARD_SECONDS)
            if self.swallows or self._connections <= self._dead:
                await self._clock.sleep(GUARD_ANSWER_SECONDS)
                self._connections = self._dead + 1
                self.reset(TransportError("the connection is dead"))

    async def list_versions(self, *_: Any, **__: Any) -> Versions:
        await self._answer()
        return Versions(str(self.version), {ObjectKey("default", one): str(at) for one, at in self.objects.items()})

    async def list(self, *_: Any, **__: Any) -> ListPage[Any]:
        raise AssertionError("it has streaming lists")

    @asynccontextmanager
    async def watch(
        self, *_: Any, resource_version: str = "", timeout_seconds: int, send_initial_events: bool = False, **__: Any
    ) -> AsyncIterator[Lines]:
        await self._answer()
        self._connections = max(self._connections, self._dead + 1)
        stream = Stream(self.version)
        if send_initial_events:
            for name, version in self.objects.items():
                stream.lines.put_nowait(event_line("ADDED", self._manifest(name, version)))
            stream.lines.put_nowait(bookmark_line(self.version, initial_events_end=True))
        else:
            for version, line in self._events:
                if version > int(resource_version):
                    stream.lines.put_nowait(line)
        self.streams.add(stream)
        ends = asyncio.create_task(self._end(stream, timeout_seconds))
        try:
            yield self._lines(stream)
        finally:
            ends.cancel()
            self.streams.discard(stream)

    async def _answer(self) -> None:
        if self.swallows or self._connections <= self._dead:
            await self._clock.sleep(GUARD_ANSWER_SECONDS)
            raise TransportError("no answer")
        if self.slowness:
            await self._clock.sleep(self._rng.uniform(0, self.slowness))
        if self.away is not None:
            raise self.away

    async def _end(self, stream: Stream, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if not stream.dead:
            stream.lines.put_nowait(None)

    async def _lines(self, stream: Stream) -> Lines:
        while (line := await stream.lines.get()) is not None:
            if isinstance(line, KubeError):
                raise line
            yield [line]

    def _manifest(self, name: str, version: int) -> dict[str, Any]:
        return slice_(metadata={"name": name, "namespace": "default", "resourceVersion": str(version)})


class World:
    """One provider, whose slices are followed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.server = Server(self.clock, self.rng)
        self.informers = InformerFactory(cast("Any", self.server), clock=self.clock, rng=self.rng)
        self.members = MemoryMembers()
        self.members.connected["m1"] = MemoryMember("m1", cast("Any", self.server), self.informers)
        self.watches = ProviderInformers(cast("Any", self.members), clock=self.clock, sync_timeout=120)
        self.watches.add_slice_queue(cast("Any", PlainController("slices", None)))
        self.freshness = Freshness(
            lambda: [("m1", one) for one in self.informers.informers], required=[], clock=self.clock
        )

    @asynccontextmanager
    async def running(self, *also: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            self.watches.ensure("m1")
            tasks = [group.create_task(run()) for run in (self.informers.run, *also)]
            await settle()
            yield
            for task in tasks:
                task.cancel()

    async def never_stale(self) -> NoReturn:
        """Fail at the very moment at which the cache becomes stale; a day of looking twice a second takes too long."""
        await self.informers.wait_synced()
        [informer] = self.informers.informers
        while True:
            confirmed = informer.last_confirmed_monotonic or 0.0
            await self.clock.sleep(confirmed + STALE_SECONDS - self.clock.monotonic())
            assert informer.last_confirmed_monotonic != confirmed, f"not confirmed since {confirmed}"

    @property
    def is_stale(self) -> bool:
        return self.freshness.is_stale("m1", "endpointslices")

    def is_right(self) -> bool:
        slices = self.watches.slices("m1")
        known = {one.metadata.name: one.metadata.resource_version for one in slices.values()} if slices else {}
        return known == {name: str(version) for name, version in self.server.objects.items()}


def nothing_answers(world: World) -> None:
    world.server.away = TransportError("refused")
    world.server.reset(TransportError("reset"))


def everything_is_swallowed(world: World) -> None:
    world.server.swallows = True


def the_watch_is_half_open(world: World) -> None:
    for stream in world.server.streams:
        stream.dead = True


def the_connections_are_forgotten(world: World) -> None:
    world.server.forget_connections()


def the_watch_disagrees(world: World) -> None:
    for stream in world.server.streams:
        stream.deaf = True


def rights_are_taken_away(world: World) -> None:
    world.server.away = Forbidden(403, "Forbidden", "no")
    the_watch_disagrees(world)  # a server that does not tell what nobody may know


def the_token_is_refused(world: World) -> None:
    world.server.away = Unauthorized(401, "Unauthorized", "who?")
    world.server.reset(TransportError("reset"))


def the_certificate_is_refused(world: World) -> None:
    world.server.away = TransportError("certificate has expired")
    world.server.reset(TransportError("reset"))


def the_server_is_restored(world: World) -> None:
    world.server.restore(900)


def the_clock_jumps(world: World) -> None:
    world.clock.jump_wall_clock(world.rng.choice([-DAY, DAY]))


def the_process_stands_still(world: World) -> None:
    the_connections_are_forgotten(world)
    world.clock.freeze(60)


FAULTS: dict[str, Callable[[World], None]] = {
    "API server away": nothing_answers,
    "packets swallowed": everything_is_swallowed,
    "half-open watch": the_watch_is_half_open,
    "half-open connections": the_connections_are_forgotten,
    "watch and list disagree": the_watch_disagrees,
    "rights taken away": rights_are_taken_away,
    "Secret rotated": the_token_is_refused,
    "certificate expired": the_certificate_is_refused,
    "etcd restored": the_server_is_restored,
    "clock jumps": the_clock_jumps,
    "process stood still": the_process_stands_still,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_after_a_fault_is_right_or_stale_in_time(fault: str):
    """The fault comes at any moment between two comparisons, and the change right after it, which is the worst one."""
    for seed in range(15):
        world = World(seed)
        async with world.running(world.watches.run, world.freshness.run):
            await world.clock.advance(30 + seed / 2)
            assert world.is_right()
            FAULTS[fault](world)
            if fault != "etcd restored":
                world.server.change()
            assert not world.is_right()
            await world.clock.advance(BOUND_SECONDS - WRITE_SECONDS)
            assert world.is_right() or world.is_stale, f"seed {seed}"


async def test_a_new_connection_to_a_server_that_does_not_answer_is_stale_in_time():
    world = World(0)
    world.server.swallows = True
    async with world.running(world.watches.run, world.freshness.run):
        await world.clock.advance(BOUND_SECONDS - WRITE_SECONDS)
        assert world.is_stale


async def test_nothing_is_stale_in_a_day_without_faults(caplog: pytest.LogCaptureFixture):
    """Slices change or do not for hours, answers take up to two seconds, watches end as they do, clocks are set."""
    world = World(1)
    world.server.slowness = 2.0
    async with world.running(world.never_stale):
        await world.clock.advance(5)
        assert world.is_right()
        left = DAY
        while left > 0:
            pause = world.rng.choice([0.05, 1.0, 5.0, 20.0, 100.0, 1000.0, 3600.0])
            left -= pause
            for _ in range(int(pause // 60)):
                await world.clock.advance(60)
                world.server.bookmark()
            await world.clock.advance(pause % 60)
            happen(world, rare=pause >= 100)
        await world.clock.advance(60)
        assert world.is_right()
    assert {record.message for record in caplog.records} <= {"list or watch failed, will try again"}, "of a reset"


def happen(world: World, *, rare: bool) -> None:
    """What is in order."""
    server, rng = world.server, world.rng
    match rng.randrange(8):
        case 0:
            server.change(f"web-{rng.randrange(100, 200)}")
        case 1 if len(server.objects) > 2:
            server.delete(rng.choice([name for name in server.objects if name != SLICE.name]))
        case 2 if rare:
            server.reset(TransportError("reset"))  # an API server, or what is before it, is replaced
        case 3:
            world.clock.jump_wall_clock(rng.uniform(-DAY, DAY))
        case _:
            server.change(rng.choice(list(server.objects)))
