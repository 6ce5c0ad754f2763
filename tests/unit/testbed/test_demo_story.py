"""How the demo goes through its steps, with steps that need no cluster."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from testbed.demo.chapters import WALKTHROUGH
from testbed.demo.rules import Targets
from testbed.demo.story import Chapter, Result, Step, hops, tell, without_traffic
from testbed.demo.view import View
from testbed.demo.world import World
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
    steps = (step("a", seen), dataclasses.replace(step("b", seen), traffic=True))
    (left,) = without_traffic([Chapter(title="one", about="", steps=steps)])
    assert [each.title for each in left.steps] == ["a"]


@pytest.mark.parametrize("chapters", [WALKTHROUGH, without_traffic(WALKTHROUGH)], ids=["data plane", "without"])
def test_what_the_walkthrough_counts_its_times_from_is_told_before(chapters):
    for chapter in chapters:
        told: set[str] = set()
        for each in chapter.steps:
            assert not each.after or each.after in told, f"{chapter.title}: {each.title}"
            told.add(each.key)


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
CHAIN = "service-ECO34HEO-default/nginx/tcp/"


def test_the_addresses_behind_a_service_are_read_from_the_rules():
    targets = Targets()
    targets.take_all(LISTING)
    assert targets.of("default/nginx") == ["10.81.1.0", "10.81.1.1"]
    assert targets.of("kube-system/kube-dns") == ["10.79.0.1"]
    assert targets.of("default/other") == []


def test_a_change_of_the_rules_counts_when_its_transaction_ends():
    targets = Targets()
    targets.take_all(LISTING)
    numgen = "dnat ip to numgen random mod 3 map { 0 : 10.81.1.0 . 80, 1 : 10.81.1.1 . 80, 2 : 10.81.1.3 . 80 }"
    for line in (
        "add element ip kube-proxy hairpin-connections { 10.81.1.3 . 10.81.1.3 . tcp . 80 }",
        f"add chain ip kube-proxy {CHAIN}",
        f"delete rule ip kube-proxy {CHAIN} handle 68",
        "delete set ip kube-proxy __map0",
        f"add rule ip kube-proxy {CHAIN} meta l4proto tcp {numgen}",
    ):
        assert not targets.take(line)
        assert targets.of("default/nginx") == ["10.81.1.0", "10.81.1.1"]
    assert targets.take("# new generation 7 by process 17072 (nft)")
    assert targets.of("default/nginx") == ["10.81.1.0", "10.81.1.1", "10.81.1.3"]
    assert not targets.take("# new generation 8 by process 17073 (nft)")
    targets.take(f"delete rule ip kube-proxy {CHAIN} handle 70")
    assert targets.take("# new generation 9 by process 17074 (nft)")
    assert targets.of("default/nginx") == []
