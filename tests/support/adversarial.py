"""JSON as a hostile server sends it: valid objects of which some parts are something else."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

_RAW = "@raw-{}@"
_TEXTS: tuple[bytes, ...] = (
    b"[" * 800 + b"]" * 800,
    b'{"a":' * 800 + b"1" + b"}" * 800,
    b"[" * 110 + b"]" * 110,
    b"[" * 2000 + b"]" * 2000,
    b'"\xff\xfe"',
    b'"\\ud800 "',
    b"1e999",
    b"9" * 5000,
    b'{"name":"a","name":5}',
    b"[1,]",
)
"""What no encoder writes."""

_VALUES: tuple[Any, ...] = (
    *(1, -1, 2**70, 1.5, True, None, "", "x", [], {}, [5], [None], [[]], ["x", "x"], {"x": 1}, {"a": None}, {"": {}}),
    *("\0", "a\nb\x1b[2J", "x" * 20_000, "²", "9" * 5000, "-1", "1e400s", "k:{", ","),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "karmada-es-", "true", "None"),
    [{"name": "a"}, {"name": "a"}],
    *(_RAW.format(number) for number in range(len(_TEXTS))),
)
_KEYS = ("", "x", "f:spec", "k:{", 'k:{"port":80}', 'k:["a"]', "v:1", ".", "+", "-", "labels", "status", "kind", "name")


@st.composite
def mutated(draw: st.DrawFn, objects: Sequence[Any]) -> tuple[int, bytes]:
    """Which of the objects, and its JSON with one to three parts replaced, removed, added or put elsewhere."""
    chosen = draw(st.integers(0, len(objects) - 1))
    content = msgspec.json.decode(msgspec.json.encode(objects[chosen]))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(content))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        value = copy.deepcopy(draw(st.sampled_from(_VALUES)))
        match draw(st.sampled_from(("replace", "replace", "replace", "remove", "add", "swap"))):
            case "replace":
                holder[key] = value
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(_KEYS))] = value
            case _:
                elsewhere, other = places[draw(st.integers(0, len(places) - 1))]
                holder[key] = msgspec.json.decode(msgspec.json.encode(elsewhere[other]))
        content = content or {"metadata": {}}
    text = msgspec.json.encode(content)
    for number, raw in enumerate(_TEXTS):
        text = text.replace(f'"{_RAW.format(number)}"'.encode(), raw)
    return chosen, text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part, as what holds it and under which key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield value, key
        yield from _places(below)
