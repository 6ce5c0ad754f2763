"""Handlers that take their time: those that await harm nobody, those that do not are named in the log."""

import asyncio
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.cache.event import Event
from informers.cache.informer import Registration
from informers.cache.registration import merged
from tests.support.clock import settle
from tests.support.informer_bench import Bench, running
from tests.support.objects import ConfigMap, config_map, event_line, key, manifest


class Patient:
    """A handler that awaits: begins with an event, and is done with it when the test says so."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.gate = asyncio.Semaphore(0)
        self.begun: list[str] = []
        self.registration: Registration[ConfigMap] = bench.informer.add_async_handler(self.handle, name="patient")

    async def handle(self, event: Event[ConfigMap]) -> None:
        before, after = (
            "-" if obj is None else f"{obj.metadata.uid}@{obj.metadata.resource_version}"
            for obj in (event.old, event.new)
        )
        self.begun.append(f"{before} to {after}" + " initial" * event.initial + " tombstone" * event.tombstone)
        try:
            await self.gate.acquire()
        except asyncio.CancelledError:
            self.begun.append("cancelled")
            raise

    async def go_on(self, times: int = 1) -> None:
        for _ in range(times):
            self.gate.release()
        await settle()


async def test_handler_that_never_returns_harms_no_other_and_nobodys_memory() -> None:
    async with running() as bench:
        patient = Patient(bench)
        told, seen = [], []
        stream = await bench.synced(("a", 1))
        assert patient.begun == ["- to uid-a@1 initial"]
        bench.informer.add_handler(lambda event: told.append(event.kind))
        for version in range(11, 1011, 4):
            await bench.send(stream, "MODIFIED", "a", version)
            await bench.send(stream, "ADDED", f"b{version}", version + 1)
            seen.append(weakref.ref(bench.informer.store.get(key(f"b{version}"))))
            await bench.send(stream, "MODIFIED", f"b{version}", version + 2)
            await bench.send(stream, "DELETED", f"b{version}", version + 3)
        assert len(told) == 1001
        gc.collect()
        assert [ref for ref in seen if ref() is not None] == []
        await patient.go_on()
        assert patient.begun[1:] == ["uid-a@1 to uid-a@1007"]


async def test_states_that_wait_become_one_and_another_object_of_the_name_is_told_apart() -> None:
    async with running() as bench:
        patient = Patient(bench)
        stream = await bench.synced(("a", 1), ("b", 2), ("c", 3))
        await bench.send(stream, "MODIFIED", "b", 11)
        await bench.send(stream, "MODIFIED", "b", 12)
        await bench.send(stream, "DELETED", "c", 13)
        for version in (14, 16):
            await bench.send(stream, "DELETED", "a", version, uid="uid-a" if version == 14 else "uid-a14")
            await bench.send(stream, "ADDED", "a", version + 1, uid=f"uid-a{version}")
        await bench.send(stream, "MODIFIED", "a", 18, uid="uid-a16")
        await patient.go_on(9)
        assert patient.begun == [
            "- to uid-a@1 initial",
            "- to uid-b@12",  # not what the replay had: news
            "uid-a@14 to -",
            "- to uid-a16@18",
        ]


async def test_deletion_of_what_was_told_is_told_whatever_comes_between() -> None:
    async with running() as bench:
        patient = Patient(bench)
        stream = await bench.synced(("a", 1))
        await patient.go_on()
        await bench.send(stream, "MODIFIED", "a", 11)
        assert patient.begun[1:] == ["uid-a@1 to uid-a@11"]
        await bench.send(stream, "MODIFIED", "a", 12)
        await bench.relist(stream, 30)
        await patient.go_on()
        assert patient.begun[2:] == ["uid-a@12 to - tombstone"]


async def test_handler_is_synced_when_it_has_been_told() -> None:
    async with running() as bench:
        patient = Patient(bench)
        assert not patient.registration.has_synced
        stream = await bench.synced(("a", 1), ("b", 2), ("c", 3))
        assert [bench.informer.has_synced, patient.registration.has_synced] == [True, False]
        await bench.send(stream, "DELETED", "c", 11)  # nobody waits for what will not be told any more
        await patient.go_on()
        half = patient.registration.has_synced
        await patient.go_on()
        assert [half, patient.registration.has_synced] == [False, True]
        assert bench.informer.add_handler(bench.handler).has_synced


async def test_late_handler_that_awaits_is_told_what_is_there() -> None:
    async with running() as bench:
        await bench.synced(("a", 1))
        patient = Patient(bench)
        assert not patient.registration.has_synced
        await patient.go_on()
        assert [patient.begun, patient.registration.has_synced] == [["- to uid-a@1 initial"], True]


async def test_failing_handler_that_awaits_is_logged_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        calls: list[str] = []

        async def broken(event: Event[ConfigMap]) -> None:
            calls.append(event.key.name)
            raise ZeroDivisionError("boom")

        bench.informer.add_async_handler(broken, name="broken")
        await bench.synced(("a", 1), ("b", 2))
        assert calls == ["a", "b"]
    assert [(one.message, vars(one)["handler"], vars(one)["key"]) for one in caplog.records] == [
        ("handler failed", "broken", "ns/a"),
        ("handler failed", "broken", "ns/b"),
    ]
    assert bench.metrics.seen.count(("configmaps.v1", "handler failed", "broken")) == 2


async def test_handler_that_awaits_is_removed_in_the_middle_of_a_call() -> None:
    async with running() as bench:
        patient = Patient(bench)
        stream = await bench.synced(("a", 1), ("b", 2))
        patient.registration.remove()
        patient.registration.remove()
        await patient.go_on(3)
        await bench.send(stream, "MODIFIED", "a", 11)
        assert patient.begun == ["- to uid-a@1 initial", "cancelled"]


async def test_handler_that_awaits_can_remove_itself_and_finish() -> None:
    async with running() as bench:
        done: list[str] = []

        async def once(event: Event[ConfigMap]) -> None:
            registration.remove()
            await asyncio.sleep(0)
            done.append(event.key.name)

        registration = bench.informer.add_async_handler(once)
        await bench.synced(("a", 1), ("b", 2))
        assert done == ["a"]


async def test_what_waits_when_the_informer_stops_is_told_when_it_runs_again() -> None:
    async with running() as bench:
        patient = Patient(bench)
        await bench.synced(("a", 1), ("b", 2))
    bench.informer.observe(config_map("b", 12))
    again = asyncio.ensure_future(bench.informer.run())
    await patient.go_on(2)
    assert patient.begun == ["- to uid-a@1 initial", "cancelled", "- to uid-b@12"]
    again.cancel()
    await asyncio.wait([again])


async def test_slow_handler_is_named_in_the_log_once_and_once_when_it_is_quick_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with running() as bench:
        seconds = [0.0]
        bench.informer.add_handler(lambda _: bench.clock.freeze(seconds[0]), name="sleepy")
        bench.informer.add_handler(bench.handler, name="quick")
        stream = await bench.synced(("a", 1))
        for number, taken in enumerate((0.05, 0.15, 3.0, 0.0, 0.0)):
            seconds[0] = taken
            stream.send(event_line("MODIFIED", manifest("a", 11 + number)))
            await settle()
    slow, fast = caplog.records
    assert (slow.levelname, slow.message) == ("WARNING", "slow handler, nothing else could run meanwhile")
    about = {"handler": "sleepy", "resource": "configmaps.v1"}
    assert vars(slow).items() >= (about | {"key": "ns/a", "seconds": "0.150"}).items()
    assert (fast.levelname, fast.message) == ("INFO", "handler is fast again")
    assert vars(fast).items() >= about.items()


@given(st.lists(st.sampled_from(["change", "delete", "tell"]), max_size=30))
def test_merged_events_tell_the_same_as_all_of_them(steps: list[str]) -> None:
    """Whoever is told late, believes in the end what is there, and has never been told nonsense."""
    there: ConfigMap | None = None
    believed: ConfigMap | None = None
    waiting: tuple[Event[ConfigMap], ...] = ()
    for version, step in enumerate([*steps, "tell", "tell"], start=1):
        if step == "tell":
            for event in waiting[:1]:
                if event.old is None or event.new is None:
                    assert (event.old is None) == (believed is None)
                else:
                    assert event.old is believed
                    assert event.old.metadata.uid == event.new.metadata.uid
                believed = event.new
            waiting = waiting[1:]
            continue
        if step == "delete" and there is None:
            continue
        uid = f"uid-{version}" if there is None else there.metadata.uid
        new = None if step == "delete" else config_map("a", version, uid=uid)
        waiting = merged(waiting, Event(old=there, new=new))
        there = new
        assert len(waiting) <= 2
    assert believed is there
