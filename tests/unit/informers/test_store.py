"""The store and its indexes."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.cache.store import Store, StoreWriter
from informers.meta import ObjectKey
from tests.support.objects import ConfigMap, config_map, key


def by_colour(obj: ConfigMap) -> Iterable[str]:
    return obj.metadata.labels.values()


def coloured(name: str, *colours: str) -> ConfigMap:
    return config_map(name, labels=dict(zip("abc", colours, strict=False)))


def test_get_of_what_is_not_there_is_none() -> None:
    assert StoreWriter[ConfigMap]().store.get(key("a")) is None


def test_put_returns_what_it_replaces_and_remove_what_it_removes() -> None:
    writer = StoreWriter[ConfigMap]()
    first, second = config_map("a", 1), config_map("a", 2)
    assert writer.put(first) is None
    assert writer.put(second) is first
    assert writer.remove(key("a")) is second
    assert writer.remove(key("a")) is None
    assert len(writer.store) == 0


def test_by_index_is_ordered_by_key() -> None:
    writer = StoreWriter({"colour": by_colour})
    for name in ("c", "a", "b"):
        writer.put(coloured(name, "red"))
    assert [obj.metadata.name for obj in writer.store.by_index("colour", "red")] == ["a", "b", "c"]
    assert writer.store.index_keys("colour", "red") == {key("a"), key("b"), key("c")}


def test_value_nobody_has_gives_nothing_and_unknown_index_is_a_mistake() -> None:
    store = StoreWriter({"colour": by_colour}).store
    assert store.by_index("colour", "blue") == []
    with pytest.raises(KeyError):
        store.by_index("size", "blue")


def test_values_without_objects_leave_the_index() -> None:
    writer = StoreWriter({"colour": by_colour})
    writer.put(coloured("a", "red", "green"))
    writer.put(coloured("a", "green"))
    assert writer.store.index_values("colour") == ["green"]
    writer.remove(key("a"))
    assert writer.store.index_values("colour") == []


def test_index_added_later_covers_what_is_stored() -> None:
    writer = StoreWriter[ConfigMap]()
    writer.put(coloured("a", "red"))
    writer.add_indexers({"colour": by_colour})
    assert writer.store.index_keys("colour", "red") == {key("a")}
    writer.add_indexers({"colour": by_colour})  # the same again is fine


def test_another_index_of_the_same_name_is_refused() -> None:
    writer = StoreWriter({"colour": by_colour})
    with pytest.raises(ValueError, match="colour"):
        writer.add_indexers({"colour": lambda _: ()})


def test_indexer_that_raises_leaves_the_store_unchanged() -> None:
    def fragile(obj: ConfigMap) -> Iterable[str]:
        if obj.metadata.resource_version == "2":
            raise ValueError("boom")
        return ["x"]

    writer = StoreWriter({"fragile": fragile})
    writer.put(config_map("a", 1))
    with pytest.raises(ValueError, match="boom"):
        writer.put(config_map("a", 2))
    found = writer.store.get(key("a"))
    assert found is not None
    assert found.metadata.resource_version == "1"


def test_change_calls_an_indexer_for_the_changed_object_only() -> None:
    seen: list[str] = []

    def spy(obj: ConfigMap) -> Iterable[str]:
        seen.append(obj.metadata.name)
        return ["x"]

    writer = StoreWriter({"spy": spy})
    for name in "abcdef":
        writer.put(config_map(name, 1))
    seen.clear()
    writer.put(config_map("c", 2))
    assert seen == ["c", "c"]


def test_objects_share_the_strings_that_most_of_them_have() -> None:
    writer = StoreWriter[ConfigMap]()
    for name in ("a", "b"):
        writer.put(
            config_map(
                name,
                namespace="some-namespace",
                labels={"a-key-too-long-for-the-decoder-to-share.example.com/x": "value"},
            )
        )
    first, second = (obj.metadata for obj in writer.store.values())
    assert first == msgspec.structs.replace(second, name="a", uid="uid-a")
    assert first.namespace is second.namespace
    assert [id(text) for pair in first.labels.items() for text in pair] == [
        id(text) for pair in second.labels.items() for text in pair
    ]


def test_strings_that_only_one_object_has_are_not_kept_for_ever() -> None:
    writer = StoreWriter[ConfigMap]()
    for number in range(5000):
        writer.put(config_map(f"cm-{number}", labels={"number": f"value-{number}"}))
    assert len(writer._strings) < 1100
    last = writer.store.get(key("cm-4999"))
    assert last is not None
    assert last.metadata.labels == {"number": "value-4999"}


names = st.sampled_from("abcd")
colours = st.lists(st.sampled_from(["red", "green", "blue"]), max_size=3)


@given(st.lists(st.tuples(names, st.none() | colours)))
def test_index_always_equals_one_computed_from_scratch(changes: list[tuple[str, list[str] | None]]) -> None:
    writer = StoreWriter({"colour": by_colour})
    for name, colour in changes:
        if colour is None:
            writer.remove(key(name))
        else:
            writer.put(coloured(name, *colour))
    assert _index(writer.store) == _scratch(writer.store)


def _index(store: Store[ConfigMap]) -> dict[object, set[ObjectKey]]:
    return {value: set(store.index_keys("colour", value)) for value in store.index_values("colour")}


def _scratch(store: Store[ConfigMap]) -> dict[object, set[ObjectKey]]:
    expected: dict[object, set[ObjectKey]] = {}
    for obj in store.values():
        for colour in by_colour(obj):
            expected.setdefault(colour, set()).add(key(obj.metadata.name))
    return expected
