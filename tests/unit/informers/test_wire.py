"""Bytes in, objects out: pages, events, lines."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.client.wire import LineSplitter, decode_bookmark, decode_event, decode_kind, decode_page, decode_versions
from informers.errors import DecodeError
from informers.meta import ObjectKey
from tests.support.objects import CONFIG_MAPS, bookmark_line, manifest

DEEP = b'{"metadata":' + b"[" * 5000


def test_page_has_its_items_in_order_and_the_continue_token() -> None:
    body = msgspec.json.encode(
        {"metadata": {"resourceVersion": "9", "continue": "t"}, "items": [manifest("a", 1), manifest("b", 2)]}
    )
    page = decode_page(CONFIG_MAPS, body)
    assert [item.metadata.name for item in page.items] == ["a", "b"]
    assert (page.resource_version, page.continue_token, page.rejected) == ("9", "t", [])


def test_versions_of_a_page_are_those_of_its_readable_objects() -> None:
    unnamed = {"metadata": {"name": 7}}
    odd = manifest("b", 3) | {"data": [1]}
    body = msgspec.json.encode(
        {"metadata": {"resourceVersion": "9", "continue": "t"}, "items": [manifest("a", 1), unnamed, odd]}
    )
    found, token = decode_versions(CONFIG_MAPS, body)
    assert found == ("9", {ObjectKey("ns", "a"): "1", ObjectKey("ns", "b"): "3"})
    assert token == "t"
    assert decode_versions(CONFIG_MAPS, b'{"metadata":{"resourceVersion":"9"},"items":null}') == (("9", {}), "")
    with pytest.raises(DecodeError, match=r"list of configmaps\.v1"):
        decode_versions(CONFIG_MAPS, b"[]")


def test_items_of_null_are_an_empty_page() -> None:
    assert decode_page(CONFIG_MAPS, b'{"metadata":{"resourceVersion":"9"},"items":null}').items == []


def test_one_undecodable_item_costs_that_item_only() -> None:
    bad = manifest("bad", 2) | {"data": [1]}
    body = msgspec.json.encode({"metadata": {"resourceVersion": "9"}, "items": [manifest("a", 1), bad]})
    page = decode_page(CONFIG_MAPS, body)
    assert [item.metadata.name for item in page.items] == ["a"]
    assert [rejected.key for rejected in page.rejected] == [ObjectKey("ns", "bad")]
    assert "configmaps.v1 ns/bad" in str(page.rejected[0].error)


def test_item_without_readable_metadata_is_rejected_without_a_key() -> None:
    page = decode_page(CONFIG_MAPS, b'{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":7}}]}')
    assert [rejected.key for rejected in page.rejected] == [None]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items":[]}', b'{"metadata":{},"items":{}}', b"\xff", DEEP])
def test_answer_that_is_no_list_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"list of configmaps\.v1"):
        decode_page(CONFIG_MAPS, body)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"type":"ADDED"}', b'{"type":1,"object":{}}', b"\xff\xfe", DEEP])
def test_line_that_is_no_event_is_a_decode_error(line: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_event(line)


def test_managed_fields_are_not_kept() -> None:
    decoded = CONFIG_MAPS.decode(msgspec.json.encode(manifest("a", 1)))
    assert b"managedFields" not in msgspec.json.encode(decoded)


@pytest.mark.parametrize("ends", [True, False])
def test_bookmark_says_whether_it_ends_the_initial_events(ends: bool) -> None:
    _, raw = decode_event(bookmark_line(5, initial_events_end=ends))
    assert decode_bookmark(raw) == ("5", ends)


@pytest.mark.parametrize(("body", "kind"), [(b'{"kind":"Status"}', "Status"), (b"{}", ""), (b"nonsense", "")])
def test_kind_of_an_answer(body: bytes, kind: str) -> None:
    assert decode_kind(body) == kind


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b""))), st.lists(st.integers(1, 7)))
def test_lines_come_out_as_they_went_in_however_the_stream_is_cut(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter, out = LineSplitter(1 << 20), []
    for cut in cuts:
        out += splitter.feed(stream[:cut])
        stream = stream[cut:]
    out += splitter.feed(stream)
    assert out == [line for line in lines if line]


def test_half_a_line_at_the_end_is_not_a_line() -> None:
    assert LineSplitter(100).feed(b"whole\nhal") == [b"whole"]


def test_long_line_in_small_pieces_needs_no_more_memory_than_its_length() -> None:
    splitter = LineSplitter(1 << 20)
    tracemalloc.start()
    try:
        for _ in range(1 << 18):
            splitter.feed(b"xyz")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"ab\n" + b"x" * 11 + b"\n"]])
def test_line_above_the_limit_is_refused_before_it_is_complete(chunks: list[bytes]) -> None:
    splitter = LineSplitter(10)
    with pytest.raises(DecodeError, match="more than 10 bytes"):
        _ = [splitter.feed(chunk) for chunk in chunks]
