"""Objects that are nested deeper than the decoder goes."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.client.nesting import CUT, MAX_BYTES, MAX_DEPTH, cut
from informers.client.wire import TooDeep, decode_event, decode_identity, decode_page
from informers.errors import DecodeError
from tests.support.objects import CONFIG_MAPS, config_map, key, manifest

DEEP = b"[" * 5000 + b"]" * 5000


def deep(name: str, version: int) -> bytes:
    """An object that nothing but its depth is wrong with."""
    return msgspec.json.encode(manifest(name, version) | {"spec": "x"}).replace(b'"x"', DEEP)


def page(*items: bytes, rest: bytes = b"") -> bytes:
    return b'{"metadata":{"resourceVersion":"9"},"items":[%b]%b}' % (b",".join(items), rest)


def test_one_item_that_is_nested_too_deep_costs_that_item_only() -> None:
    body = page(deep("bad", 5), msgspec.json.encode(manifest("a", 6)), deep("worse", 7))
    with pytest.raises(TooDeep):
        decode_page(CONFIG_MAPS, body)
    listed = decode_page(CONFIG_MAPS, asyncio.run(cut(body)), was_cut=True)
    assert listed.items == [config_map("a", 6)]
    assert [(rejected.key, str(rejected.error)) for rejected in listed.rejected] == [
        (key("bad"), "configmaps.v1 ns/bad: nested too deep"),
        (key("worse"), "configmaps.v1 ns/worse: nested too deep"),
    ]


async def test_text_that_is_too_long_is_not_looked_through() -> None:
    with pytest.raises(DecodeError, match="longer than"):
        await cut(page(deep("bad", 5), b" " * MAX_BYTES + b"{}"))


async def test_half_a_page_that_is_nested_too_deep_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        decode_page(CONFIG_MAPS, await cut(page(deep("bad", 5))[:-7]), was_cut=True)


async def test_event_that_is_nested_too_deep_says_about_which_object_it_is() -> None:
    line = b'{"type":"MODIFIED","object":%b}' % deep("bad", 5)
    with pytest.raises(TooDeep):
        decode_event(line)
    kind, raw = decode_event(await cut(line))
    identity = decode_identity(raw)
    assert identity is not None
    assert [kind, identity.key, identity.resource_version] == ["MODIFIED", key("bad"), "5"]


async def test_other_tasks_have_their_turn_meanwhile() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await cut(b"[" * 50_000 + b"]" * 50_000)
    counting.cancel()
    assert turns > 20


TEXT = st.text(st.sampled_from('a"\\[]{}\n'), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_what_is_not_deep_stays_as_it_is(value: Any) -> None:
    def cut_now(text: bytes) -> bytes:
        return asyncio.run(cut(text))

    text = msgspec.json.encode(value)
    assert cut_now(text) == text
    nested = b"[" * MAX_DEPTH + b"1," + text + b"]" * MAX_DEPTH
    depths = b"[" * MAX_DEPTH + b"1," + CUT + b"]" * MAX_DEPTH
    assert cut_now(nested) == (depths if isinstance(value, (list, dict)) else nested)
