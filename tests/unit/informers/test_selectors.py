"""Label selectors agree with the API server's."""

import pytest

from informers.selectors import LabelSelector

ROWS = [
    ("", {}, True),
    ("a=b", {"a": "b"}, True),
    ("a==b", {"a": "b"}, True),
    ("a=b", {"a": "c"}, False),
    ("a=b", {}, False),
    ("a=", {"a": ""}, True),
    ("a!=b", {"a": "c"}, True),
    ("a!=b", {"a": "b"}, False),
    ("a!=b", {}, True),
    ("a in (b, c)", {"a": "c"}, True),
    ("a in (b,c)", {"a": "d"}, False),
    ("a in (b,c)", {}, False),
    ("a notin (b,c)", {"a": "d"}, True),
    ("a notin (b,c)", {}, True),
    ("a notin (b,c)", {"a": "b"}, False),
    ("a", {"a": ""}, True),
    ("a", {}, False),
    ("!a", {}, True),
    ("!a", {"a": "x"}, False),
    ("a=b,c", {"a": "b", "c": ""}, True),
    ("a=b,c", {"a": "b"}, False),
    ("a in (x),b notin (y),!c, d = e", {"a": "x", "d": "e"}, True),
    ("in=x", {"in": "x"}, True),
    ("endpointslice.kubernetes.io/managed-by=me", {"endpointslice.kubernetes.io/managed-by": "me"}, True),
    ("work.karmada.io/a notin (b),kubernetes.io/x", {"kubernetes.io/x": "1"}, True),
]


@pytest.mark.parametrize(("selector", "labels", "matches"), ROWS, ids=[f"{row[0]}|{row[1]}" for row in ROWS])
def test_selector_matches_as_on_the_server(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert LabelSelector.parse(selector).matches(labels) is matches


@pytest.mark.parametrize("selector", ["a=b c", "a in b", "=b", "!a=b", "a in (b", "a,,b", "!a in (b)"])
def test_selector_that_cannot_be_read_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        LabelSelector.parse(selector)
