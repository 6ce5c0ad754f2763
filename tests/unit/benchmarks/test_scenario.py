"""Rounds of competitors, their processes, and the slices that all of them get."""

import json
import sys

import pytest

from benchmarks.child import answer_of
from benchmarks.golang import source_hash
from benchmarks.library.slices import endpoint_slice, write_events
from benchmarks.scenario import BenchmarkError, Context, Rounds


async def test_competitors_begin_in_turns(tmp_path):
    told: list[str] = []
    turns = Rounds(("a", "b", "c"))
    context = Context(quick=True, tell=told.append, scratch=tmp_path)
    order = [name async for _, name in turns.interleaved(context, rounds=3, what="adds")]
    assert "".join(order) == "abcbcacab"
    assert told[3] == "adds, round 2 of 3: b"


def test_samples_are_kept_by_round_with_six_digits():
    turns = Rounds(("a",))
    turns.add("a", [1.23456789])
    turns.add("a", [2.0, 3.0])
    assert turns.found == {"a": [[1.23457], [2.0, 3.0]]}


async def test_a_competitor_answers():
    assert await answer_of([sys.executable, "-c", "print([1, 2])"]) == [1, 2]


async def test_a_competitor_that_fails_says_why():
    with pytest.raises(BenchmarkError, match=r"ended with 3:\nno luck"):
        await answer_of([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"])


def test_slices_of_a_number_are_always_the_same_and_of_two_numbers_differ(tmp_path):
    assert endpoint_slice(7) == endpoint_slice(7)
    one, other = endpoint_slice(1, resource_version=5), endpoint_slice(2, resource_version=5)
    assert one["metadata"]["uid"] != other["metadata"]["uid"]
    assert one["endpoints"] != other["endpoints"]
    assert len(one["endpoints"]) == 10
    assert "managedFields" not in endpoint_slice(1)["metadata"]


def test_events_add_each_object_once_and_then_change_it(tmp_path):
    size = write_events(tmp_path / "events", objects=2, events=5)
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["ADDED", "ADDED", "MODIFIED", "MODIFIED", "MODIFIED"]
    versions = [int(line["object"]["metadata"]["resourceVersion"]) for line in lines]
    assert versions == sorted(set(versions))
    assert 3000 < size < 5000


def test_the_go_program_is_another_one_when_a_source_changes(tmp_path):
    (tmp_path / "main.go").write_text("package main")
    before = source_hash(tmp_path)
    assert source_hash(tmp_path) == before
    (tmp_path / "main.go").write_text("package main // changed")
    assert source_hash(tmp_path) != before
