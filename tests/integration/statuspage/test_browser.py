"""The page in a browser: what its style and its policy come to, for eyes, keyboards and screen readers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.chromium import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOTS = Path(__file__).parents[3] / "build" / "status-page"
"""Where the pictures are kept, for people to look at."""

CONTRAST = """(() => {
  const channel = value => (value /= 255) <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const behind = node => {
    for (let one = node; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    if (!text.data.trim()) continue;
    const node = text.parentElement;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    found.push([Math.round((a + .05) / (b + .05) * 100) / 100, text.data.trim()]);
  }
  return found.sort((x, y) => x[0] - y[0]);
})()"""
"""The contrast of each text, the least first: WCAG 2.2, 1.4.3."""

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"width": 1100, "scheme": "light"},
    "dark": {"width": 1100, "scheme": "dark"},
    "phone": {"width": 390, "scheme": "light"},
    "zoomed": {"width": 550, "scheme": "light", "scale": 2.0},
}


def keep(name: str, picture: bytes) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / name).write_bytes(picture)


@pytest.mark.parametrize("look", LOOKS)
async def test_all_text_has_a_contrast_of_at_least_four_and_a_half(chromium: Chromium, address: str, look: str):
    await chromium.look(**LOOKS[look])
    await chromium.open(address)
    found = await chromium.run(CONTRAST)
    keep(f"{look}.png", await chromium.screenshot())
    assert len(found) > 100
    assert [one for one in found if one[0] < 4.5] == []
    dark = await chromium.run("getComputedStyle(document.documentElement).backgroundColor")
    assert dark == ("rgb(17, 21, 27)" if look == "dark" else "rgb(245, 246, 248)"), "the style applies"


async def test_the_browser_has_nothing_to_complain_of(chromium: Chromium, address: str):
    chromium.problems.clear()
    await chromium.open(address)
    assert await chromium.run("performance.getEntriesByType('resource').map(one => one.name)") == []
    assert chromium.problems == []


@pytest.mark.parametrize("width", [320, 390, 768])
async def test_the_page_itself_never_scrolls_sideways(chromium: Chromium, address: str, width: int):
    """WCAG 1.4.10: 320 pixels are also a window of 1280 at 400 %. Wide tables scroll by themselves."""
    await chromium.look(width=width, scheme="light")
    await chromium.open(address)
    assert await chromium.run("document.scrollingElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
    assert await chromium.run(f"{wide}.filter(one => !one.closest('.scroll')).map(one => one.outerHTML)") == []


async def test_a_screen_reader_is_told_landmarks_headings_and_names(chromium: Chromium, address: str):
    await chromium.look(width=1100, scheme="light")
    await chromium.open(address)
    names = await chromium.names()
    roles = [role for role, _ in names]
    assert [roles.count(one) for one in ("banner", "main", "contentinfo", "search")] == [1, 1, 1, 1]
    assert [name for role, name in names if role == "navigation"] == ["Sections"]
    assert [name for role, name in names if role == "heading"] == [
        *("mcs-controller-manager", "Summary", "Services", "Flows", "Clusters", "Caches", "Warnings and errors")
    ]
    for role in ("table", "textbox", "checkbox", "button", "link", "region"):
        assert role in roles
        assert all(name.strip() for kind, name in names if kind == role), f"a {role} has no name"
    assert ("rowheader", "eu-west to us-east") in names, "the arrow is read as a word"
    assert "columnheader" in roles


async def test_everything_can_be_reached_with_the_keyboard_in_the_order_of_the_page(chromium: Chromium, address: str):
    await chromium.look(width=1100, scheme="light")
    await chromium.open(address)
    focus = "document.activeElement"
    what = f"{focus}.getAttribute('aria-label') || {focus}.innerText || {focus}.name"
    visible = f"getComputedStyle({focus}).outlineStyle != 'none'"
    reached = []
    for _ in range(16):
        await chromium.press_tab()
        reached.append(await chromium.run(what))
        assert await chromium.run(visible), f"nobody sees that {reached[-1]} has the focus"
    assert reached[:2] == ["Skip to the services", "Feature gates and controllers"]
    assert reached[2:10] == [
        *("Services", "Flows", "Clusters", "Caches", "Warnings and errors", "namespace", "not-ready", "Show")
    ]
    assert reached[-2:] == ["The latest of the log", "The same as JSON"]


async def test_what_is_pressed_with_a_finger_is_large_enough(chromium: Chromium, address: str):
    """WCAG 2.5.8: 24 pixels, but for links within a sentence."""
    await chromium.look(width=390, scheme="light")
    await chromium.open(address)
    targets = "document.querySelectorAll('nav a, button, summary, input:not([type=checkbox]), label.check')"
    small = f"[...{targets}].filter(one => one.getBoundingClientRect().height < 24).map(one => one.outerHTML)"
    assert await chromium.run(small) == []


async def test_the_form_filters_without_a_script(chromium: Chromium, address: str):
    await chromium.open(address)
    await chromium.run(
        "document.querySelector('[name=namespace]').value = 'shop', document.querySelector('[name=not-ready]').click(),"
        "document.querySelector('button').click()",
        loads=True,
    )
    assert await chromium.run("location.search") == "?namespace=shop&not-ready=true"
    names = "[...document.querySelectorAll('.name')].map(one => one.textContent)"
    assert await chromium.run(names) == ["shop/reviews !Pending"]
    assert await chromium.run("document.querySelector('[name=not-ready]').checked")
