"""How the demo goes through its steps, with steps that need no cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from testbed.demo_story import Chapter, Result, Step, tell
from testbed.demo_view import View
from testbed.demo_world import World
from testbed.errors import NotYet, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Heard:
    """A teller that writes down what it hears."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def chapter(self, number: int, chapter: Chapter) -> None:
        self.words.append(f"{number}. {chapter.title}")

    def waiting(self, step: Step) -> None:
        self.words.append(f"... {step.title}")

    def step(self, result: Result) -> None:
        self.words.append(f"{'+' if result.ok else '-'} {result.title}")


def step(title: str, observe: Callable[[World], Awaitable[str]], *, after: str = "") -> Step:
    return Step(title=title, key=title, looking_at=f"{title} {{slice}}", expected="it", observe=observe, after=after)


async def seen(_: World) -> str:
    return "it"


async def missing(_: World) -> str:
    raise NotYet("no such thing")


def world() -> World:
    return World(controller_flags=(), timeout=1.0)


async def test_steps_observed_together_are_told_in_their_order_with_the_time_since_the_step_they_follow():
    happened = asyncio.Event()

    async def late(_: World) -> str:
        await happened.wait()
        return "it"

    async def early(_: World) -> str:
        happened.set()
        return "it"

    heard = Heard()
    steps = (step("late", late), step("early", early, after="late"))
    results = await tell(world(), [Chapter(title="one", about="", steps=steps, together=True)], heard)
    assert heard.words == ["1. one", "... late", "+ late", "... early", "+ early"]
    first, second = results
    assert second.at <= first.at
    assert (second.after, second.seconds) == ("late", 0.0)  # never less than nothing


async def test_after_a_failure_the_rest_counts_as_not_reached():
    heard = Heard()
    chapters = [
        Chapter(title="one", about="", steps=(step("a", seen), step("b", missing), step("c", seen))),
        Chapter(title="two", about="", steps=(step("d", seen),)),
    ]
    results = await tell(world(), chapters, heard)
    assert [(each.title, each.ok, each.reached, each.observed) for each in results] == [
        ("a", True, True, "it"),
        ("b", False, True, "no such thing"),
        ("c", False, False, "not reached"),
        ("d", False, False, "not reached"),
    ]
    assert heard.words == ["1. one", "... a", "+ a", "... b", "- b"]


async def test_an_object_is_named_as_it_was_learned_on_the_way():
    here = world()

    async def learns(here: World) -> str:
        here.names["slice"] = "nginx-abc12"
        return "it"

    (result,) = await tell(here, [Chapter(title="one", about="", steps=(step("a", learns),))], Heard())
    assert result.looking_at == "a nginx-abc12"


async def test_a_mistake_in_the_demo_itself_is_no_failed_step():
    async def mistaken(_: World) -> str:
        raise LookupError("a mistake")

    with pytest.raises(LookupError):
        await tell(world(), [Chapter(title="one", about="", steps=(step("a", mistaken),))], Heard())


async def test_a_wait_that_is_over_says_what_was_seen_last():
    def probe() -> str | None:
        raise NotYet("only half of it")

    async with View() as view:
        with pytest.raises(WaitTimeout, match=r"timed out after 0 s waiting for the thing; last seen: only half of it"):
            await view.until("the thing", probe, 0.0)


async def test_a_wait_ends_at_once_if_there_is_no_point_in_it():
    def check() -> None:
        raise NotYet("the controller ended")

    async with View() as view:
        with pytest.raises(NotYet, match="the controller ended"):
            await view.until("the thing", lambda: None, 3600.0, check=check)
