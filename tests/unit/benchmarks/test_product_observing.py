"""What the observer of the product's benchmarks makes of the bytes that a watch brings."""

import asyncio
import itertools

import msgspec
import pytest

from benchmarks.product.objects import endpoints, mark
from benchmarks.product.stream import Marks, Names, type_and_name, within
from testbed.errors import BedError


def event(kind: str, name: str, address: str = "192.0.2.1") -> bytes:
    obj = {"metadata": {"name": name, "labels": {"a": "b"}}, "endpoints": [{"addresses": [address]}]}
    return msgspec.json.encode({"type": kind, "object": obj})


def test_every_change_has_an_address_of_its_own_that_is_no_part_of_another():
    marks = [mark(number) for number in range(130_000)]
    assert len(set(marks)) == len(marks)
    for address in marks[::10_007]:
        assert all(0 <= int(part) <= 255 for part in address.split("."))
    assert endpoints(5)[0]["addresses"] == [mark(5)]
    assert len({each["addresses"][0] for each in endpoints(5)}) == 10


async def test_a_mark_is_seen_at_the_first_event_that_holds_it():
    marks = Marks()
    first, second = marks.expect(b'"192.0.2.7"'), marks.expect(b'"192.0.2.70"')
    marks(1.0, event("MODIFIED", "a", "192.0.2.1"))
    marks(2.0, event("MODIFIED", "a", "192.0.2.7"))
    marks(3.0, event("MODIFIED", "a", "192.0.2.7"))
    assert await first == 2.0
    assert not second.done()


async def test_a_mark_that_is_not_wanted_any_more_is_forgotten():
    marks = Marks()
    marks.expect(b"x").cancel()
    await asyncio.sleep(0)
    marks(1.0, b"x")  # would be an InvalidStateError


async def test_names_are_timed_when_they_first_come_and_when_they_go():
    names = Names()
    for moment, (kind, name) in zip(
        itertools.count(1.0), [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")], strict=False
    ):
        names(moment, event(kind, name))
    assert names.came == {"a": 1.0, "b": 3.0}
    assert names.went == {"a": 4.0}


async def test_after_a_restart_only_what_holds_the_mark_has_come():
    names = Names()
    names(1.0, event("ADDED", "a"))
    names.restart(b'"192.0.2.9"')
    names(2.0, event("MODIFIED", "a"))
    assert names.came == {}
    names(3.0, event("MODIFIED", "a", "192.0.2.9"))
    assert names.came == {"a": 3.0}


async def test_waiting_for_names_ends_with_the_event_that_completes_them():
    names = Names()
    waiting = asyncio.ensure_future(names.until(lambda seen: len(seen.came) == 2, seconds=60))
    for name in ("a", "b"):
        await asyncio.sleep(0)
        assert not waiting.done()
        names(1.0, event("ADDED", name))
    await waiting


async def test_what_does_not_come_in_time_is_an_error_that_says_how_far_it_got():
    names = Names()
    names(1.0, event("ADDED", "a"))
    with pytest.raises(BedError, match="only 1 came and 0 went"):
        await names.until(lambda seen: len(seen.came) == 2, seconds=0)


def test_type_and_name_are_found_whatever_else_the_object_has():
    assert type_and_name(event("DELETED", "web")) == ("DELETED", "web")


async def test_a_change_that_does_not_arrive_is_an_error_that_names_it():
    marks = Marks()
    with pytest.raises(BedError, match="change 7 did not arrive within 0 s"):
        await within(0, marks.expect(b"x"), "change 7")
    arrived = marks.expect(b"y")
    marks(5.0, b"y")
    assert await within(60, arrived, "change 8") == 5.0
