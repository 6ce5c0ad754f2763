"""How the page looks to a parser: well formed, the same shape whatever anybody calls things, and accessible."""

import logging
import re
from itertools import pairwise

import msgspec
import pytest

from mcs_controller.statuspage.html import POLICY, Markup, duration, element, render, size
from mcs_controller.statuspage.model import MAX_ROWS, Query
from tests.support.adversarial import _VALUES
from tests.support.builders import condition, mcs
from tests.support.html_page import Node, read_html
from tests.support.status_page import PROCESS, PageWorld, a_day_in_the_life

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style><svg/onload=alert(1)>",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
    "]]><!--",
    "\u202egnp.exe\u202c",
    "\x1b[2J\x00\ud800",
    *(one for one in _VALUES if isinstance(one, str) and one and len(one) < 500),
]


def page(world: PageWorld, **query: object) -> Node:
    return read_html(render(world.overview(Query(**query))))  # type: ignore[arg-type]


def a_page_of(text: str) -> tuple[str, Node]:
    """One on which everything that others can call as they like is called so."""
    world = PageWorld(msgspec.structs.replace(PROCESS, identity=text, leader=text, leads=False))
    sent = text.encode("utf-8", "ignore").decode()  # what JSON can have
    said = [condition("A", "False", "R", sent), condition(sent, sent, sent, sent)]
    world.member("m1", ready="False", mode=sent)
    world.member("m2")
    world.api.seed(mcs("web", providers=["m1"], consumers=["m2"], conditions=said))
    log = logging.Logger("test")
    log.addHandler(world.errors)
    log.warning(text, extra={"words": text})
    overview = world.overview(Query(namespace="default"))
    renamed = msgspec.structs.replace(overview, unserved=text, query=Query(namespace=text, not_ready=True))
    rendered = render(renamed)
    return rendered, read_html(rendered)


@pytest.fixture(scope="module")
def document() -> Node:
    """A page with some of everything."""
    world = a_day_in_the_life()
    log = logging.Logger("test")
    log.addHandler(world.errors)
    log.error("Failed")
    return page(world)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_things_are_called_the_page_has_the_same_elements(text: str):
    _, harmless = a_page_of("harmless")
    rendered, hostile = a_page_of(text)
    assert hostile.shape() == harmless.shape()
    assert rendered.encode()
    assert all(char.isprintable() or char in "\n\t\u2009" for char in rendered)
    for node in hostile.all():
        assert not any(name.startswith("on") for name in node.attributes)
        assert node.attributes.get("href", "#")[:1] in ("#", "?")  # type: ignore[index]


def test_text_is_escaped_and_what_was_escaped_is_not_escaped_again():
    assert (
        element("p", "<&\"'", element("b", 5), title='"<') == '<p title="&quot;&lt;">&lt;&amp;&quot;&#x27;<b>5</b></p>'
    )
    assert element("p", Markup("<br>")) == "<p><br></p>"
    assert element("input", checked=True, disabled=False) == "<input checked>"


def test_nothing_is_loaded_from_anywhere(document: Node):
    assert {one.tag for one in document.all()} & {"script", "link", "img", "iframe", "object", "base"} == set()
    assert not any("src" in one.attributes or "style" in one.attributes for one in document.all())
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    (style,) = document.all("style")
    assert not re.search(r"url\(|@import", style.text)


def test_ids_are_unique_and_what_refers_to_one_finds_it(document: Node):
    ids = [one.attributes["id"] for one in document.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    asked = {one.attributes["aria-labelledby"] for one in document.all() if "aria-labelledby" in one.attributes}
    asked |= {str(one.attributes["href"])[1:] for one in document.all("a") if str(one.attributes["href"])[0] == "#"}
    assert asked <= set(ids)


def test_headings_and_landmarks_are_in_order(document: Node):
    (html,) = document.all("html")
    assert html.attributes["lang"] == "en"
    levels = [int(one.tag[1]) for one in document.all() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for landmark in ("header", "main", "footer"):
        assert len(document.all(landmark)) == 1
    assert all(one.attributes.get("aria-label") for one in document.all("nav"))


def test_tables_have_captions_and_their_headings_a_scope(document: Node):
    tables = document.all("table")
    assert len(tables) == 5
    for table in tables:
        assert table.all("caption")[0].text
        assert all(one.attributes.get("scope") in ("col", "row", "rowgroup") for one in table.all("th"))
        columns = len(table.all("thead")[0].all("th"))
        spans: list[int] = []  # what cells of rows above cover
        for row in [row for body in table.all("tbody") for row in body.all("tr")]:
            cells = [one for one in row.children if isinstance(one, Node)]
            covered = sum(span > 0 for span in spans)
            assert covered + sum(int(one.attributes.get("colspan") or 1) for one in cells) == columns
            spans = [span - 1 for span in spans]
            spans += [int(one.attributes["rowspan"] or 1) - 1 for one in cells if "rowspan" in one.attributes]


def test_each_field_of_the_form_has_a_label(document: Node):
    (form,) = document.all("form")
    labelled = [one for label in form.all("label") for one in label.all("input")]
    assert len(labelled) == len(form.all("input")) == 2
    assert all(label.text for label in form.all("label"))


def test_what_is_wrong_is_said_in_words():
    text = page(a_day_in_the_life()).text
    assert "payments/checkout ✕Not ready" in text
    assert 'NotDelivered us-east: endpoints of eu-west have not arrived: namespaces "payments" not found' in text
    assert "✕73 s ago, stale" in text
    assert "shop/legacy –Not served" in text


def test_of_more_than_are_shown_it_is_not_said_how_many_are_in_trouble():
    world = PageWorld()
    for number in range(MAX_ROWS + 1):
        world.member(f"m{number:03}", ready="False", age=16.0)
    text = page(world).text
    assert f"{MAX_ROWS} or more in trouble" in text
    assert f"{MAX_ROWS} or more stale" in text


def test_pages_keep_the_filter():
    world = PageWorld()
    world.member("m1")
    for number in range(60):
        world.api.seed(mcs(f"web-{number:02}", "a&b", providers=["m1"], consumers=["m1"]))
    links = {one.text: one.attributes["href"] for one in page(world, namespace="a&b", not_ready=True, page=2).all("a")}
    assert links["Previous page"] == "?namespace=a%26b&not-ready=true"
    assert links["Next page"] == "?namespace=a%26b&not-ready=true&page=3"
    assert links["The same as JSON"] == "?namespace=a%26b&not-ready=true&page=2&output=json"


def test_an_empty_installation_has_no_empty_tables():
    found = page(PageWorld())
    assert "There is no MultiClusterService." in found.text
    assert "No Cluster is known here." in found.text
    assert len(found.all("table")) == 1, "the caches"


def test_a_page_of_the_longest_messages_stays_small():
    world = PageWorld()
    for number in range(120):
        world.member(f"m{number:03}")
    said = [condition(f"C{number}", "False", "R", "x" * 32_000) for number in range(3)]
    for number in range(30):
        world.api.seed(mcs(f"web-{number:05}", conditions=said))
    assert len(render(world.overview(Query()))) < 300_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (9.96, "10 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_durations_are_rounded_to_what_people_need(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "–"), (1720, "2 KiB"), (5 << 20, "5.0 MiB")])
def test_sizes_are_in_kib_or_mib(number: int, text: str):
    assert size(number) == text
