"""The members that are played: no more than the controller asks for, but that as a real server would."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.product.played_members import Member, Object, matches, merged


def obj(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("", True), ("a=b", True), ("a", True), ("a=b,c=d", False), ("a=c", False), ("c", False)],
)
def test_selectors(selector, expected):
    assert matches(obj("x", a="b"), selector) is expected


def test_a_merge_patch_replaces_lists_merges_maps_and_removes_with_null():
    before: Object = {"metadata": {"labels": {"a": "1", "b": "2"}}, "endpoints": [1, 2], "ports": [3]}
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}, "endpoints": [4]}
    assert merged(before, patch) == {"metadata": {"labels": {"b": "2", "c": "3"}}, "endpoints": [4], "ports": [3]}
    assert before["metadata"]["labels"] == {"a": "1", "b": "2"}


def test_watches_hear_of_every_change_in_order_with_growing_versions():
    member = Member()
    queue: asyncio.Queue[Object] = asyncio.Queue()
    member.watches["services"].add(queue)
    member.put("services", ("ns", "web"), obj("web"))
    member.put("services", ("ns", "web"), obj("web", a="b"))
    member.put("namespaces", ("", "ns"), obj("ns"))
    assert member.pop("services", ("ns", "web")) is not None
    assert member.pop("services", ("ns", "web")) is None
    events = [queue.get_nowait() for _ in range(queue.qsize())]
    assert [each["type"] for each in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(each["object"]["metadata"]["resourceVersion"]) for each in events]
    assert versions == sorted(set(versions))
