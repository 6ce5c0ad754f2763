"""The promises of SharedInformer, one by one."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from informers.cache.event import Event
from informers.errors import Gone, Invalid, TransportError
from tests.support.clock import settle
from tests.support.informer_bench import Bench, running
from tests.support.objects import ConfigMap, bookmark_line, config_map, event_line, key, manifest


async def test_store_becomes_what_the_server_has_and_follows_it() -> None:
    async with running() as bench:
        stream = await bench.synced(("a", 1), ("b", 2))
        assert set(bench.informer.store.keys()) == {key("a"), key("b")}
        await bench.send(stream, "MODIFIED", "a", 11)
        await bench.send(stream, "DELETED", "b", 12)
        assert bench.informer.store.values() == [config_map("a", 11)]


async def test_handlers_are_told_everything_in_order() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        await bench.send(stream, "ADDED", "b", 11)
        await bench.send(stream, "MODIFIED", "a", 12)
        await bench.send(stream, "DELETED", "b", 13)
        assert bench.told == ["added a 1 initial", "added b 11", "updated a 12", "deleted b 13"]


async def test_deletion_missed_in_a_gap_comes_as_a_tombstone() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1), ("b", 2))
        bench.told.clear()
        await bench.relist(stream, 30, manifest("a", 1))
        assert bench.told == ["deleted b 2 tombstone"]


async def test_states_missed_in_a_gap_collapse_into_the_last_one() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        await bench.send(stream, "MODIFIED", "a", 11)
        await bench.relist(stream, 30, manifest("a", 20), manifest("b", 25))
        assert bench.told == ["added a 1 initial", "updated a 11", "updated a 20", "added b 25"]


async def test_object_recreated_under_a_watch_is_a_deletion_and_an_addition() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        await bench.send(stream, "DELETED", "a", 11)
        await bench.send(stream, "ADDED", "a", 12, uid="another")
        assert bench.told == ["added a 1 initial", "deleted a 11", "added a 12"]


async def test_object_recreated_in_a_gap_is_one_update_between_two_uids() -> None:
    async with running() as bench:
        uids: list[list[str]] = []
        bench.informer.add_handler(
            lambda event: uids.append([obj.metadata.uid for obj in (event.old, event.new) if obj is not None])
        )
        stream = await bench.synced(("a", 1))
        await bench.relist(stream, 30, manifest("a", 12, uid="another"))
        assert uids == [["uid-a"], ["uid-a", "another"]]


async def test_handler_sees_a_store_at_least_as_new_as_its_event() -> None:
    async with running() as bench:
        store = bench.informer.store
        seen: list[bool] = []
        bench.informer.add_handler(lambda event: seen.append(store.get(event.key) is event.new))
        stream = await bench.synced(("a", 1), ("b", 2))
        await bench.send(stream, "MODIFIED", "a", 11)
        await bench.send(stream, "DELETED", "b", 12)
        assert seen == [True] * 4


async def test_list_is_swapped_in_whole_before_the_first_handler_hears_of_it() -> None:
    async with running() as bench:
        sizes: list[int] = []
        bench.informer.add_handler(lambda _: sizes.append(len(bench.informer.store)))
        await bench.synced(("a", 1), ("b", 2), ("c", 3))
        assert sizes == [3, 3, 3]


async def test_later_list_is_swapped_in_whole_too() -> None:
    async with running() as bench:
        seen: list[list[str]] = []
        bench.informer.add_handler(
            lambda _: seen.append(sorted(obj.metadata.name for obj in bench.informer.store.values()))
        )
        stream = await bench.synced(("a", 1), ("b", 2))
        seen.clear()
        await bench.relist(stream, 30, manifest("c", 21), manifest("d", 22))
        assert seen == [["c", "d"]] * 4


async def test_store_stays_as_it_was_while_lists_fail() -> None:
    async with running() as bench:
        stream = await bench.synced(("a", 1))
        stream.send(event_line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
        await bench.clock.advance(1)
        half = bench.server.pending.open(event_line("ADDED", manifest("b", 20)))
        await settle()
        half.fail(TransportError("reset"))
        await settle()
        assert [obj.metadata.name for obj in bench.informer.store.values()] == ["a"]
        assert bench.informer.has_synced


async def test_late_handler_is_told_what_is_there_and_then_what_comes() -> None:
    async with running() as bench:
        stream = await bench.synced(("a", 1))
        registration = bench.informer.add_handler(bench.handler)
        assert bench.told == ["added a 1 initial"]
        assert registration.has_synced
        await bench.send(stream, "MODIFIED", "a", 11)
        assert bench.told == ["added a 1 initial", "updated a 11"]


async def test_has_synced_turns_true_after_the_handlers_were_told() -> None:
    async with running() as bench:
        synced_when_told: list[bool] = []
        registration = bench.informer.add_handler(lambda _: synced_when_told.append(bench.informer.has_synced))
        waiting = asyncio.ensure_future(bench.informer.wait_synced())
        await settle()
        assert [registration.has_synced, waiting.done()] == [False, False]
        await bench.synced(("a", 1))
        assert synced_when_told == [False]
        assert [registration.has_synced, waiting.done()] == [True, True]


async def test_empty_list_is_synced_too() -> None:
    async with running() as bench:
        registration = bench.informer.add_handler(bench.handler)
        assert not registration.has_synced
        await bench.synced()
        assert [bench.told, registration.has_synced] == [[], True]


async def test_half_a_list_is_not_synced() -> None:
    async with running() as bench:
        registration = bench.informer.add_handler(bench.handler)
        await settle()
        bench.server.pending.open(event_line("ADDED", manifest("a", 1)))
        await settle()
        assert [bench.told, registration.has_synced, len(bench.informer.store)] == [[], False, 0]


async def test_handler_added_to_an_informer_that_has_stopped_is_told_what_is_there() -> None:
    async with running() as bench:
        await bench.synced(("a", 1))
    bench.informer.add_handler(bench.handler)
    assert bench.told == ["added a 1 initial"]


async def test_handler_added_twice_is_told_twice_and_removed_one_by_one() -> None:
    async with running() as bench:
        first = bench.informer.add_handler(bench.handler)
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        assert bench.told == ["added a 1 initial"] * 2
        first.remove()
        await bench.send(stream, "MODIFIED", "a", 11)
        assert bench.told[2:] == ["updated a 11"]


async def test_handler_that_fails_at_its_replay_is_added_all_the_same() -> None:
    async with running() as bench:
        stream = await bench.synced(("a", 1), ("b", 2))
        calls: list[str] = []

        def fails_at_first(event: Event[ConfigMap]) -> None:
            calls.append(event.key.name)
            if event.initial:
                raise ZeroDivisionError("boom")

        bench.informer.add_handler(fails_at_first)
        await bench.send(stream, "MODIFIED", "a", 11)
        assert calls == ["a", "b", "a"]


async def test_nothing_is_read_from_the_watch_while_a_handler_has_its_turn() -> None:
    """Handlers have no queues that could grow: what they are too slow for waits in the connection."""
    async with running() as bench:
        waiting: list[int] = []
        stream = await bench.synced()
        bench.informer.add_handler(lambda _: waiting.append(stream.unread))
        for number in range(5):
            stream.send(event_line("ADDED", manifest("a", 11 + number)))
        await settle()
        assert waiting == [4, 3, 2, 1, 0]


async def test_failing_handler_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event[ConfigMap]) -> None:
        raise ZeroDivisionError("boom")

    async with running() as bench:
        bench.informer.add_handler(broken, name="broken")
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        await bench.send(stream, "MODIFIED", "a", 11)
        assert bench.told == ["added a 1 initial", "updated a 11"]
    assert bench.metrics.seen.count(("configmaps.v1", "handler failed", "broken")) == 2
    about = {"handler": "broken", "resource": "configmaps.v1", "key": "ns/a"}
    assert all(vars(one).items() >= about.items() for one in caplog.records)
    assert caplog.messages == ["handler failed"] * 2
    assert "boom" in caplog.text


async def test_removed_handler_is_told_nothing_more() -> None:
    async with running() as bench:
        registration = bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        registration.remove()
        registration.remove()
        await bench.send(stream, "MODIFIED", "a", 11)
        assert bench.told == ["added a 1 initial"]


async def test_handler_can_remove_itself() -> None:
    async with running() as bench:

        def once(event: Event[ConfigMap]) -> None:
            bench.handler(event)
            registration.remove()

        registration = bench.informer.add_handler(once)
        bench.informer.add_handler(bench.handler)
        await bench.synced(("a", 1), ("b", 2))
        assert bench.told == ["added a 1 initial", "added a 1 initial", "added b 2 initial"]


async def test_handler_removed_by_another_in_the_middle_of_an_event_is_not_told_of_it() -> None:
    async with running() as bench:
        bench.informer.add_handler(lambda _: registration.remove())
        registration = bench.informer.add_handler(bench.handler)
        await bench.synced(("a", 1))
        assert bench.told == []


@pytest.mark.parametrize(
    "call",
    [
        lambda informer: informer.add_handler(lambda _: None),
        lambda informer: informer.observe(config_map("a", 99)),
        lambda informer: informer.observe_deleted(key("a"), "uid-a"),
    ],
    ids=["add_handler", "observe", "observe_deleted"],
)
async def test_handlers_cannot_call_back(call: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        bench.informer.add_handler(lambda _: call(bench.informer))
        bench.informer.add_handler(bench.handler)
        await bench.synced(("a", 1))
        assert bench.told == ["added a 1 initial"]
    assert "should do no more than put a key in a queue" in caplog.text


async def test_own_write_is_visible_at_once_and_its_watch_event_is_silent() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        bench.told.clear()
        bench.informer.observe(config_map("a", 12))
        assert bench.informer.store.get(key("a")) == config_map("a", 12)
        await bench.send(stream, "MODIFIED", "a", 11)
        await bench.send(stream, "MODIFIED", "a", 12)
        assert bench.told == ["updated a 12"]


async def test_own_deletion_is_visible_at_once_and_its_watch_event_is_silent() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        bench.told.clear()
        bench.informer.observe_deleted(key("a"), "uid-a")
        assert len(bench.informer.store) == 0
        await bench.send(stream, "DELETED", "a", 11)
        assert bench.told == ["deleted a 1"]


async def test_own_write_outside_of_the_namespace_is_none_of_its_business() -> None:
    async with running(namespace="other") as bench:
        await bench.synced()
        bench.informer.observe(config_map("a", 12))
        assert len(bench.informer.store) == 0


async def test_own_write_that_leaves_the_label_selection_leaves_the_store() -> None:
    async with running(label_selector="app=x") as bench:
        bench.informer.add_handler(bench.handler)
        await bench.synced()
        bench.informer.observe(config_map("a", 12, labels={"app": "x"}))
        bench.informer.observe(config_map("a", 13, labels={"app": "y"}))
        assert bench.told == ["added a 12", "deleted a 13"]
        assert len(bench.informer.store) == 0


async def test_own_write_is_left_to_the_watch_when_there_is_a_field_selector() -> None:
    async with running(field_selector="metadata.name=a") as bench:
        await bench.synced()
        bench.informer.observe(config_map("a", 12))
        assert len(bench.informer.store) == 0


async def test_write_that_the_server_only_says_it_did_is_believed_for_two_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        bench.told.clear()
        bench.informer.observe(config_map("b", 10**18))
        bench.informer.observe_deleted(key("a"), "uid-a")
        await bench.send(stream, "ADDED", "c", 13)
        for _ in range(8):  # a watch that is alive, and says nothing of them
            await bench.clock.advance(15)
            stream.send(bookmark_line(20))
            await settle()
        assert bench.server.requests == ["stream", "stream"]
        listed = [event_line("ADDED", manifest("a", 1)), event_line("ADDED", manifest("c", 13))]
        bench.server.pending.open(*listed, bookmark_line(30, initial_events_end=True))
        await settle()
        assert bench.told == [
            "added b 1000000000000000000", "deleted a 1", "added c 13",
            "deleted b 1000000000000000000 tombstone", "added a 1",
        ]  # fmt: skip
        assert any("no event for what was written" in vars(one).get("why", "") for one in caplog.records)
        await bench.clock.advance(600)
        assert bench.server.requests == ["stream", "stream"]


async def test_writes_that_the_watch_confirms_cost_no_list() -> None:
    async with running(label_selector="app=x") as bench:
        stream = await bench.synced()
        bench.informer.observe(config_map("a", 12, labels={"app": "x"}))
        bench.informer.observe(config_map("never-selected", 13))
        stream.send(event_line("ADDED", manifest("a", 12, labels={"app": "x"})))
        await settle()
        bench.informer.observe_deleted(key("a"), "uid-a")
        await bench.send(stream, "DELETED", "a", 14)
        await bench.clock.advance(600)
        assert bench.server.requests == ["stream"]


async def test_resync_tells_of_every_object_without_asking_the_server() -> None:
    async with running(resync_seconds=30.0) as bench:
        bench.informer.add_handler(bench.handler)
        await bench.synced(("a", 1), ("b", 2))
        bench.told.clear()
        await bench.clock.advance(29.9)
        assert bench.told == []
        await bench.clock.advance(0.1)
        assert bench.told == ["updated a 1", "updated b 2"]
        await bench.clock.advance(30)
        assert len(bench.told) == 4
        assert bench.server.requests == ["stream"]


async def test_informer_needs_no_bookmarks() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        await settle()
        bench.server.pending.fail(Invalid(422))  # without bookmarks there are no streaming lists
        await settle()
        bench.server.pending.page(config_map("a", 1), version=10)
        await settle()
        stream = bench.server.pending.open()
        await bench.send(stream, "MODIFIED", "a", 11)
        await bench.clock.advance(300)
        stream.end()
        await settle()
        bench.server.pending.fail(Gone(410, "Expired"))  # 11 was long ago, and nobody said how far we have come
        await bench.clock.advance(1)
        bench.server.pending.page(version=50)
        await settle()
        whole = "list limit=500 continue="
        assert bench.server.requests == ["stream", whole, "watch 10", "watch 11", whole, "watch 50"]
        assert bench.told == ["added a 1 initial", "updated a 11", "deleted a 11 tombstone"]


async def test_undecodable_object_costs_itself_only_and_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        stream = await bench.synced(("a", 1))
        stream.send(event_line("MODIFIED", manifest("a", 11) | {"data": 7}), event_line("ADDED", manifest("b", 12)))
        await settle()
        assert bench.told == ["added a 1 initial", "added b 12"]
        assert bench.informer.store.get(key("a")) == config_map("a", 1)
        await bench.send(stream, "MODIFIED", "a", 13)
        assert bench.told[-1] == "updated a 13"
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "configmaps.v1 ns/a: Expected `object`, got `int` - at `$.data`" in vars(record)["error"]
    assert ("configmaps.v1", "rejected") in bench.metrics.seen


@pytest.mark.parametrize("streaming", [True, False])
async def test_what_has_left_the_store_is_not_kept_alive(streaming: bool) -> None:
    async with running() as bench:
        await settle()
        if streaming:
            await bench.synced(("a", 1))
        else:
            bench.server.pending.fail(Invalid(422))
            await settle()
            bench.server.pending.page(config_map("a", 1), version=10)
            await settle()
        first = weakref.ref(bench.informer.store.values()[0])
        bench.informer.observe(config_map("a", 12))
        gc.collect()
        assert first() is None


async def test_handler_that_was_removed_is_not_kept_alive() -> None:
    class Somebody:
        def handle(self, event: Event[ConfigMap]) -> None:
            pass

    bench = Bench()
    somebody = Somebody()
    gone = weakref.ref(somebody)
    registration = bench.informer.add_handler(somebody.handle)
    running = asyncio.ensure_future(bench.informer.run())
    await bench.synced(("a", 1))
    registration.remove()
    del registration, somebody
    gc.collect()
    assert gone() is None
    running.cancel()
    await asyncio.wait([running])


async def test_indexes_follow_the_store() -> None:
    async with running(indexers={"version": lambda obj: [obj.metadata.resource_version]}) as bench:
        stream = await bench.synced(("a", 1))
        await bench.send(stream, "MODIFIED", "a", 11)
        assert bench.informer.store.index_values("version") == ["11"]
        bench.informer.add_indexers({"name": lambda obj: [obj.metadata.name]})
        assert bench.informer.store.by_index("name", "a") == [config_map("a", 11)]


async def test_indexer_that_raises_ends_the_informer() -> None:
    def broken(obj: ConfigMap) -> list[str]:
        raise ZeroDivisionError("boom")

    bench = Bench(indexers={"broken": broken})
    running = asyncio.ensure_future(bench.informer.run())
    await bench.synced(("a", 1))
    with pytest.raises(ExceptionGroup) as caught:
        await running
    assert caught.group_contains(ZeroDivisionError, match="boom")


async def test_it_runs_once_at_a_time() -> None:
    async with running() as bench:
        await settle()
        with pytest.raises(RuntimeError, match="runs already"):
            await bench.informer.run()


async def test_store_stays_when_it_stops_and_catches_up_when_it_runs_again() -> None:
    async with running() as bench:
        await bench.synced(("a", 1))
    assert len(bench.informer.store) == 1
    again = asyncio.ensure_future(bench.informer.run())
    await settle()
    assert bench.server.requests == ["stream", "watch 10"]
    again.cancel()
    await asyncio.wait([again])


async def test_what_a_stream_told_before_it_was_stopped_is_no_part_of_the_next_list() -> None:
    async with running() as bench:
        await settle()
        bench.server.pending.open(event_line("ADDED", manifest("ghost", 1)))
        await settle()
    again = asyncio.ensure_future(bench.informer.run())
    await bench.synced(("a", 2))
    assert bench.server.requests == ["stream", "stream"]
    assert bench.informer.store.values() == [config_map("a", 2)]
    again.cancel()
    await asyncio.wait([again])


async def test_last_error_and_last_contact_tell_how_things_are() -> None:
    async with running() as bench:
        await settle()
        bench.server.pending.fail(TransportError("refused"))
        await settle()
        assert str(bench.informer.last_error) == "refused"
        bench.informer.retry_now()
        await bench.synced()
        assert [bench.informer.last_error, bench.informer.last_confirmed_monotonic] == [None, bench.clock.monotonic()]


async def test_metrics_count_what_happens() -> None:
    async with running() as bench:
        stream = await bench.synced(("a", 1))
        await bench.send(stream, "DELETED", "a", 11)
        assert bench.metrics.seen == [
            ("configmaps.v1", "added"),
            ("configmaps.v1", "listed", 1),
            ("configmaps.v1", "deleted"),
        ]


@pytest.mark.parametrize("bad", ["a in", "=x"])
def test_bad_label_selector_is_refused_at_once(bad: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        Bench(label_selector=bad)


async def test_mutation_of_a_cached_object_is_detected() -> None:
    async with running() as bench:
        bench.informer.add_handler(bench.handler)
        await bench.synced(("a", 1))
        cached = bench.informer.store.get(key("a"))
        assert cached is not None
        cached.metadata.labels["oops"] = "1"
        with pytest.raises(AssertionError, match=r"ns/a was changed.*oops"):
            bench.detector.check()
        del cached.metadata.labels["oops"]
