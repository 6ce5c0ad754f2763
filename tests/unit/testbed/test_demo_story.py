"""How the demo goes through its steps, with steps that need no cluster."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from testbed.demo.chapters import Chapter, chapters
from testbed.demo.story import Result, hops, tell
from testbed.demo.traffic import targets
from testbed.demo.world import World
from testbed.errors import NotYet, WaitTimeout
from testbed.view import View
from testbed.walkthrough import DELETE, EXAMPLE, REPOSITORY, SCALE, Step, manifests


class Heard:
    """A listener that writes down the calls."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def chapter(self, number: int, chapter: Chapter) -> None:
        self.words.append(f"{number}. {chapter.title}")

    def waiting(self, step: Step) -> None:
        self.words.append(f"... {step.title}")

    def step(self, result: Result) -> None:
        self.words.append(f"{'+' if result.ok else '-'} {result.title}")


def step(title: str, observe: Callable[[World], Awaitable[str]], *, after: str = "") -> Step:
    return Step(title, title, f"{title} {{slice}}", "it", observe, after=after)


async def seen(_: World) -> str:
    return "it"


async def missing(_: World) -> str:
    raise NotYet("no such thing")


def world() -> World:
    return World(timeout=1.0)


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

    with pytest.raises(ExceptionGroup) as failed:
        await tell(world(), [Chapter(title="one", about="", steps=(step("a", mistaken),))], Heard())
    assert isinstance(failed.value.exceptions[0], LookupError)


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


def measured(hop: str, at: float, *, ok: bool = True) -> Result:
    return Result(chapter="", title="", looking_at=f"the {hop}", expected="", observed="", ok=ok, at=at, hop=hop)


def test_hops_follow_each_other_even_where_the_later_one_was_heard_of_first():
    way = [
        measured("", 0.5),
        measured("ready", 1.0),
        measured("slice", 1.25),
        measured("work", 1.2),
        measured("end", 2),
    ]
    assert [(each.name, each.seconds, each.since) for each in hops(way)] == [
        ("ready", 0.0, 0.0),
        ("slice", 0.25, 0.25),
        ("work", 0.0, 0.25),
        ("end", 0.75, 1.0),
    ]


def test_half_a_way_is_not_measured():
    assert hops([measured("ready", 1.0), measured("slice", 2.0, ok=False)]) == []
    assert hops([]) == []


def test_without_a_data_plane_the_steps_that_need_one_are_left_out():
    titles = [step.title for chapter in chapters(dataplane=False) for step in chapter.steps]
    assert "Conditions" in titles
    assert "curl http://nginx.default" not in titles


@pytest.mark.parametrize("dataplane", [True, False], ids=["data plane", "without"])
def test_a_step_is_timed_from_one_that_comes_before(dataplane):
    for chapter in chapters(dataplane=dataplane):
        before: set[str] = set()
        for each in chapter.steps:
            assert not each.after or each.after in before, f"{chapter.title}: {each.title}"
            before.add(each.key)


def test_the_readme_of_the_walkthrough_has_the_same_commands_and_objects():
    readme = (REPOSITORY / EXAMPLE / "README.md").read_text()
    for command in (f"{SCALE}3", f"{SCALE}1", DELETE):
        assert command in readme
    for name in (*(each["kind"] for each in manifests()), "nginx-service", "nginx-747889f6c4", "nginx-64b7849b5"):
        assert name in readme


LISTING = """table ip kube-proxy {
	map service-ips {
		elements = { 10.162.0.9 . tcp . 80 : goto service-ECO34HEO-default/nginx/tcp/ }
	}

	chain service-NWBZK7IH-kube-system/kube-dns/tcp/dns-tcp {
		meta l4proto tcp dnat to 10.79.0.1:53
	}

	chain service-ECO34HEO-default/nginx/tcp/ {
		meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.81.1.0 . 80, 1 : 10.81.1.1 . 80 }
	}
}
"""


def test_the_addresses_behind_a_service_are_read_from_the_rules():
    assert targets(LISTING, "default/nginx") == ["10.81.1.0", "10.81.1.1"]
    assert targets(LISTING, "kube-system/kube-dns") == ["10.79.0.1"]
    assert targets(LISTING, "default/other") == []
