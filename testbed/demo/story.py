"""Goes through the chapters of the demo, and keeps the result of each step."""

from __future__ import annotations

import asyncio
import inspect
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import aiohttp

from testbed.demo.diagnosis import diagnose
from testbed.errors import BedError, NotYet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.demo.chapters import Chapter
    from testbed.demo.diagnosis import Finding
    from testbed.demo.world import World
    from testbed.walkthrough import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a step.

    Attributes:
        chapter: the chapter's title.
        title: the step's.
        looking_at: the object, by its full name as far as it is known.
        expected: see :class:`Step`.
        observed: what was seen; of a failed step, what was seen last.
        ok: whether it was as expected.
        reached: False if an earlier chapter failed.
        at: seconds since the chapter began.
        seconds: since the step it follows.
        after: the title of the step it follows, if that is not the one before.
        hop: see :class:`Step`.
        findings: for the first failed step, possible explanations.
    """

    chapter: str
    title: str
    looking_at: str
    expected: str
    observed: str = "not reached"
    ok: bool = False
    reached: bool = False
    at: float = 0.0
    seconds: float = 0.0
    after: str = ""
    hop: str = ""
    findings: tuple[Finding, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One stretch of the way from a ready Pod to its first answer.

    Attributes:
        name: the event at its end.
        looking_at: the object.
        seconds: its duration.
        since: seconds since the Pod was ready.
    """

    name: str
    looking_at: str
    seconds: float
    since: float


def hops(results: Sequence[Result]) -> list[Hop]:
    """The measured way; empty if a part of it was not seen."""
    way = [each for each in results if each.hop]
    if not all(each.ok for each in way):
        return []
    made: list[Hop] = []
    latest = way[0].at if way else 0.0
    for each in way:
        at = max(each.at, latest)  # several watches: the later hop may be seen first
        seconds, since = round(at - latest, 3), round(at - way[0].at, 3)
        made.append(Hop(name=each.hop, looking_at=each.looking_at, seconds=seconds, since=since))
        latest = at
    return made


class Listener(Protocol):
    """Is told what happens, as it happens."""

    def chapter(self, number: int, chapter: Chapter) -> None:
        """A chapter begins."""

    def waiting(self, step: Step) -> None:
        """The step whose result comes next."""

    def step(self, result: Result) -> None:
        """A step was seen, or failed."""


async def tell(world: World, chapters: Sequence[Chapter], listener: Listener) -> list[Result]:
    """Go through the chapters; after the first that fails, the steps of the others are not reached."""
    results: list[Result] = []
    for number, chapter in enumerate(chapters, 1):
        if not all(each.ok for each in results):
            results += (_result(world, chapter, step) for step in chapter.steps)
            continue
        listener.chapter(number, chapter)
        results += await _tell(world, chapter, listener)
    return results


async def _tell(world: World, chapter: Chapter, listener: Listener) -> list[Result]:
    """One chapter; its steps are observed together, or each after the one before."""
    began = time.monotonic()

    async def observe(step: Step) -> tuple[bool, str, float]:
        ok = True
        try:
            if inspect.iscoroutinefunction(step.observe):
                seen: str = await step.observe(world)
            else:
                seen = await world.until(step.title, step.observe)  # type: ignore[arg-type]
        except (BedError, NotYet, aiohttp.ClientError, OSError) as error:
            ok, seen = False, "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
        return ok, seen, time.monotonic() - began

    results: list[Result] = []
    ends: dict[str, tuple[str, float]] = {}
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(observe(step)) for step in chapter.steps] if chapter.together else []
        for number, step in enumerate(chapter.steps):
            failed = not all(each.ok for each in results)
            if failed and not chapter.together:
                results.append(_result(world, chapter, step))
                continue
            listener.waiting(step)
            ok, observed, at = await (running[number] if chapter.together else observe(step))
            since = results[-1].at if results and not chapter.together else 0.0
            after, since = ends.get(step.after, ("", since))
            result = _result(
                world,
                chapter,
                step,
                observed=observed,
                ok=ok,
                reached=True,
                at=round(at, 3),
                seconds=round(max(at - since, 0.0), 3),  # watches of several servers: the later step may be seen first
                after=after,
                findings=() if ok or failed else await diagnose(world, step.made_by),
            )
            results.append(result)
            ends[step.key] = (step.title, at)
            listener.step(result)
    return results


def _result(world: World, chapter: Chapter, step: Step, **more: object) -> Result:
    looking_at = step.looking_at.format(**world.names)
    basics = {"chapter": chapter.title, "title": step.title, "looking_at": looking_at, "expected": step.expected}
    return Result(**basics, hop=step.hop, **more)  # type: ignore[arg-type]
