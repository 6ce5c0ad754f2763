"""What the cache holds when lists, watch events and answers to our own writes arrive in any order.

Numbers are resource versions. Unless a test says otherwise the cache begins with `a` at 5 from a list as of 10.
"""

import pytest

from informers.cache.cache import MAX_REMEMBERED, Cache
from informers.cache.event import Event
from informers.client.wire import Identity
from tests.support.objects import ConfigMap, config_map, key

A = config_map("a", 5)


def identity(name: str, version: int | str, uid: str = "") -> Identity:
    return Identity(name=name, namespace="ns", uid=uid or f"uid-{name}", resource_version=str(version))


@pytest.fixture
def cache() -> Cache[ConfigMap]:
    cache: Cache[ConfigMap] = Cache()
    cache.replace([A], "10")
    return cache


def told(events: list[Event[ConfigMap]]) -> list[str]:
    """Events in short: `updated a 5>6`."""
    return [
        f"{event.kind} {event.key.name} "
        + ">".join(obj.metadata.resource_version for obj in (event.old, event.new) if obj is not None)
        + (" initial" if event.initial else "")
        + (" tombstone" if event.tombstone else "")
        for event in events
    ]


def held(cache: Cache[ConfigMap]) -> dict[str, str]:
    return {obj.metadata.name: obj.metadata.resource_version for obj in cache.store.values()}


class TestListsAndEvents:
    def test_first_list_is_initial_and_later_ones_are_not(self) -> None:
        cache: Cache[ConfigMap] = Cache()
        assert told(cache.replace([config_map("a", 5)], "10")) == ["added a 5 initial"]
        assert told(cache.replace([config_map("a", 5), config_map("b", 11)], "12")) == ["added b 11"]

    def test_relist_tells_differences_only_and_missed_deletions_as_tombstones(self, cache: Cache[ConfigMap]) -> None:
        cache.put(config_map("b", 11))
        events = cache.replace([config_map("b", 12), config_map("c", 13)], "14")
        assert told(events) == ["deleted a 5 tombstone", "updated b 11>12", "added c 13"]
        assert events[0].old is A

    def test_object_recreated_in_a_gap_is_one_update_between_two_uids(self, cache: Cache[ConfigMap]) -> None:
        events = cache.replace([config_map("a", 12, uid="new")], "14")
        assert told(events) == ["updated a 5>12"]
        assert (events[0].old, events[0].new) != (None, None)
        assert [obj and obj.metadata.uid for obj in (events[0].old, events[0].new)] == ["uid-a", "new"]

    def test_events_of_the_watch_are_added_updated_deleted(self, cache: Cache[ConfigMap]) -> None:
        assert told(cache.put(config_map("b", 11))) == ["added b 11"]
        assert told(cache.put(config_map("b", 12))) == ["updated b 11>12"]
        assert told(cache.remove(identity("b", 13), config_map("b", 13))) == ["deleted b 13"]
        assert held(cache) == {"a": "5"}

    def test_deletion_whose_object_cannot_be_read_gives_the_last_known_state(self, cache: Cache[ConfigMap]) -> None:
        assert told(cache.remove(identity("a", 11), None)) == ["deleted a 5"]

    def test_same_version_again_is_no_news(self, cache: Cache[ConfigMap]) -> None:
        assert cache.put(config_map("a", 5)) == []
        assert cache.store.get(key("a")) is A

    def test_deletion_of_what_is_not_there_is_no_news(self, cache: Cache[ConfigMap]) -> None:
        assert cache.remove(identity("b", 11), None) == []

    def test_unreadable_object_in_a_list_stays_as_it_was(self, cache: Cache[ConfigMap]) -> None:
        assert cache.replace([], "12", keep={key("a")}) == []
        assert held(cache) == {"a": "5"}

    def test_versions_that_are_no_numbers_still_work(self) -> None:
        cache: Cache[ConfigMap] = Cache()
        cache.replace([config_map("a", "x")], "list-1")
        assert told(cache.put(config_map("a", "y"))) == ["updated a x>y"]
        assert cache.put(config_map("a", "y")) == []
        assert told(cache.replace([config_map("a", "z")], "list-2")) == ["updated a y>z"]

    def test_objects_without_a_version_are_never_taken_to_be_unchanged(self) -> None:
        cache: Cache[ConfigMap] = Cache()
        cache.replace([config_map("a")], "10")
        assert told(cache.put(config_map("a"))) == ["updated a >"]


class TestReadYourWrites:
    def test_observed_before_its_watch_event(self, cache: Cache[ConfigMap]) -> None:
        assert told(cache.observe(config_map("a", 12))) == ["updated a 5>12"]
        assert cache.put(config_map("a", 11)) == []  # somebody else's write, which ours came after
        assert cache.put(config_map("a", 12)) == []
        assert told(cache.put(config_map("a", 13))) == ["updated a 12>13"]

    def test_observed_after_its_watch_event(self, cache: Cache[ConfigMap]) -> None:
        cache.put(config_map("a", 12))
        assert cache.observe(config_map("a", 12)) == []
        assert cache.observe(config_map("a", 11)) == []
        assert held(cache) == {"a": "12"}

    def test_observed_after_a_watch_event_of_another_object_that_came_later(self, cache: Cache[ConfigMap]) -> None:
        cache.put(config_map("b", 13))
        assert cache.observe(config_map("a", 12)) == []  # the watch has passed 12 without it: it is out of date

    def test_create_observed_after_the_watch_saw_it_deleted_does_not_come_back(self, cache: Cache[ConfigMap]) -> None:
        cache.put(config_map("b", 11))
        cache.remove(identity("b", 12), None)
        assert cache.observe(config_map("b", 11)) == []
        assert held(cache) == {"a": "5"}

    def test_watch_delete_older_than_our_recreation_is_ignored(self, cache: Cache[ConfigMap]) -> None:
        assert told(cache.observe(config_map("a", 12, uid="new"))) == ["updated a 5>12"]
        assert cache.remove(identity("a", 11), config_map("a", 11)) == []
        assert cache.put(config_map("a", 12, uid="new")) == []
        assert held(cache) == {"a": "12"}

    def test_watch_delete_newer_than_our_write_counts(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 12))
        assert told(cache.remove(identity("a", 13), None)) == ["deleted a 12"]
        assert cache.observe(config_map("a", 12)) == []

    def test_relist_older_than_our_write_keeps_it(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 15))
        cache.observe(config_map("b", 16))
        assert cache.replace([config_map("a", 11)], "14") == []
        assert held(cache) == {"a": "15", "b": "16"}
        assert cache.put(config_map("a", 15)) == []

    def test_relist_newer_than_our_write_wins(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 12))
        cache.observe(config_map("b", 13))
        assert told(cache.replace([config_map("a", 14)], "15")) == ["deleted b 13 tombstone", "updated a 12>14"]

    def test_two_writes_whose_answers_overtake_each_other(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 14))
        assert cache.observe(config_map("a", 12)) == []
        assert held(cache) == {"a": "14"}

    def test_observed_before_the_first_list_survives_an_older_one(self) -> None:
        cache: Cache[ConfigMap] = Cache()
        cache.observe(config_map("a", 12))
        assert told(cache.replace([config_map("a", 9), config_map("b", 8)], "10")) == ["added b 8 initial"]
        assert held(cache) == {"a": "12", "b": "8"}

    def test_write_that_changed_nothing_is_no_news(self, cache: Cache[ConfigMap]) -> None:
        assert cache.observe(config_map("a", 5)) == []

    def test_version_that_is_no_number_is_ignored(self, cache: Cache[ConfigMap]) -> None:
        assert cache.observe(config_map("a", "x")) == []
        assert held(cache) == {"a": "5"}

    def test_write_that_left_the_selection_removes_the_object(self, cache: Cache[ConfigMap]) -> None:
        assert told(cache.observe(config_map("a", 12), selected=False)) == ["deleted a 12"]
        assert cache.put(config_map("a", 11)) == []
        assert cache.remove(identity("a", 12), None) == []
        assert told(cache.put(config_map("a", 13))) == ["added a 13"]

    def test_unreadable_watch_event_newer_than_our_write_ends_its_protection(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 12))
        cache.skip(identity("a", 13))
        assert told(cache.put(config_map("a", 14))) == ["updated a 12>14"]
        assert not cache._pending_writes

    def test_bookmark_ends_the_protection_of_what_it_covers(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 12), selected=False)
        cache.observe(config_map("b", 14))
        cache.advance("13")
        assert cache._pending_writes == {key("b"): 14}
        assert cache.observe(config_map("c", 13)) == []

    def test_own_writes_that_nobody_confirms_are_not_remembered_for_ever(self, cache: Cache[ConfigMap]) -> None:
        """They left the selection, so the watch says nothing of them, and this server sends no bookmarks."""
        for number in range(MAX_REMEMBERED + 10):
            cache.observe(config_map(f"b{number}", 100 + number), selected=False)
        assert len(cache._pending_writes) == MAX_REMEMBERED
        assert key("b9") not in cache._pending_writes
        assert key("b10") in cache._pending_writes

    def test_own_writes_that_the_watch_has_passed_are_forgotten_at_the_next(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("b", 12), selected=False)
        cache.observe(config_map("c", 13), selected=False)
        cache.observe(config_map("b", 14), selected=False)
        cache.put(config_map("a", 13))
        cache.observe(config_map("d", 15))
        assert cache._pending_writes == {key("b"): 14, key("d"): 15}


class TestUnconfirmed:
    def test_write_is_until_the_watch_tells_of_it(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("b", 12))
        assert cache.unconfirmed() == {key("b"): 12}
        cache.put(config_map("b", 12))
        assert cache.unconfirmed() == {}

    def test_deletion_is_until_the_watch_tells_of_it(self, cache: Cache[ConfigMap]) -> None:
        cache.observe_deleted(key("a"), "uid-a")
        cache.observe_deleted(key("never-here"), "another")
        assert cache.unconfirmed() == {key("a"): "uid-a"}
        cache.remove(identity("a", 12), None)
        assert cache.unconfirmed() == {}

    def test_deletion_is_not_once_a_list_lacks_the_object(self, cache: Cache[ConfigMap]) -> None:
        cache.observe_deleted(key("a"), "uid-a")
        cache.replace([A], "11")
        assert cache.unconfirmed() == {key("a"): "uid-a"}
        cache.replace([], "12")
        assert cache.unconfirmed() == {}

    def test_what_left_the_selection_is_not(self, cache: Cache[ConfigMap]) -> None:
        """A watch tells nothing of what was never selected."""
        cache.observe(config_map("b", 12), selected=False)
        assert cache.unconfirmed() == {}

    def test_list_decides_about_what_is_doubted(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("b", 10**18))
        cache.observe_deleted(key("a"), "uid-a")
        cache.doubt([key("a"), key("b")])
        assert told(cache.replace([config_map("a", 5)], "12")) == [
            "deleted b 1000000000000000000 tombstone",
            "added a 5",
        ]
        assert cache.unconfirmed() == {}


class TestOwnDeletions:
    def test_deleted_at_once_and_silent_when_the_watch_tells(self, cache: Cache[ConfigMap]) -> None:
        assert told(cache.observe_deleted(key("a"), "uid-a")) == ["deleted a 5"]
        assert cache.put(config_map("a", 11)) == []  # written by somebody before our deletion
        assert cache.remove(identity("a", 12), config_map("a", 12)) == []
        assert not cache._deleted

    def test_observed_after_the_watch_told(self, cache: Cache[ConfigMap]) -> None:
        cache.remove(identity("a", 12), None)
        assert cache.observe_deleted(key("a"), "uid-a") == []

    def test_another_object_of_the_same_name_is_not_deleted(self, cache: Cache[ConfigMap]) -> None:
        cache.put(config_map("a", 12, uid="new"))
        assert cache.observe_deleted(key("a"), "uid-a") == []
        assert held(cache) == {"a": "12"}

    def test_recreated_by_us_before_the_watch_told_of_the_deletion(self, cache: Cache[ConfigMap]) -> None:
        cache.observe_deleted(key("a"), "uid-a")
        assert told(cache.observe(config_map("a", 13, uid="new"))) == ["added a 13"]
        assert cache.remove(identity("a", 12), None) == []
        assert cache.put(config_map("a", 13, uid="new")) == []
        assert held(cache) == {"a": "13"}

    def test_events_of_an_earlier_object_of_the_name_do_not_bring_that_back(self, cache: Cache[ConfigMap]) -> None:
        cache.observe(config_map("a", 13, uid="second"))
        cache.observe_deleted(key("a"), "second")
        assert cache.put(config_map("a", 11)) == []
        assert cache.remove(identity("a", 12), None) == []
        assert cache.put(config_map("a", 13, uid="second")) == []
        assert cache.remove(identity("a", 14, uid="second"), None) == []
        assert told(cache.put(config_map("a", 15, uid="third"))) == ["added a 15"]

    def test_late_deletion_of_an_earlier_object_of_the_name_is_no_news(self, cache: Cache[ConfigMap]) -> None:
        assert cache.remove(identity("a", 4, uid="earlier"), None) == []
        assert held(cache) == {"a": "5"}

    def test_another_object_of_the_same_version_is_another_state(self, cache: Cache[ConfigMap]) -> None:
        """As after a restore from a backup, when a server counts on from there."""
        assert told(cache.replace([config_map("a", 5, uid="other")], "10")) == ["updated a 5>5"]

    def test_recreated_by_somebody(self, cache: Cache[ConfigMap]) -> None:
        cache.observe_deleted(key("a"), "uid-a")
        cache.remove(identity("a", 12), None)
        assert told(cache.put(config_map("a", 13, uid="new"))) == ["added a 13"]

    def test_relist_older_than_the_deletion_does_not_bring_it_back(self, cache: Cache[ConfigMap]) -> None:
        cache.observe_deleted(key("a"), "uid-a")
        assert cache.replace([config_map("a", 5)], "11") == []
        assert held(cache) == {}

    def test_answer_of_an_earlier_write_does_not_bring_it_back(self, cache: Cache[ConfigMap]) -> None:
        cache.observe_deleted(key("a"), "uid-a")
        assert cache.observe(config_map("a", 12)) == []

    def test_without_the_uid_nothing_is_believed(self, cache: Cache[ConfigMap]) -> None:
        assert cache.observe_deleted(key("a"), "") == []
        assert held(cache) == {"a": "5"}

    def test_memory_of_deletions_is_bounded(self, cache: Cache[ConfigMap]) -> None:
        for number in range(MAX_REMEMBERED + 10):
            cache.observe_deleted(key("x"), f"uid-{number}")
        assert len(cache._deleted) == MAX_REMEMBERED
        assert "uid-9" not in cache._deleted
        assert "uid-10" in cache._deleted


class TestLostHistory:
    def test_list_older_than_what_was_seen_counts_and_nothing_else(self, cache: Cache[ConfigMap]) -> None:
        """The server was restored from a backup: its versions have gone back."""
        cache.observe(config_map("b", 50))
        cache.observe_deleted(key("a"), "uid-a")
        assert told(cache.replace([config_map("a", 3)], "4")) == ["deleted b 50 tombstone", "added a 3"]
        assert told(cache.put(config_map("a", 6))) == ["updated a 3>6"]
        assert told(cache.observe(config_map("a", 7))) == ["updated a 6>7"]
