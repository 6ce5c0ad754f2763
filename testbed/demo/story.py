"""The demo's grammar: chapters of steps, each of which is observed or not.

A step is data plus one coroutine, which does what a person would do, or waits for what should follow, and returns what
it saw. New steps go into a chapter's tuple; nothing here has to know them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import aiohttp

from testbed.demo.diagnosis import diagnose
from testbed.errors import BedError, NotYet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from testbed.demo.diagnosis import Finding
    from testbed.demo.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to be seen.

    Attributes:
        title: a few words.
        looking_at: the object, where it is. Names that are known later stand in braces (see ``World.names``).
        expected: what it should be like.
        observe: acts or waits; returns what was seen. Raises BedError, NotYet or a connection's error if it is not so.
        made_by: the controller whose work it is, by the name it has in logs and events; empty if it is nobody's.
        key: how later steps refer to this one.
        after: key of the step from which the time is counted; empty for the step before, or, in a chapter whose steps
            are observed together, for the chapter's beginning.
        hop: its name in the table of hops from a ready Pod to the first answer; empty if it is none of them.
        traffic: it takes a data plane.
    """

    title: str
    looking_at: str
    expected: str
    observe: Callable[[World], Awaitable[str]]
    made_by: str = ""
    key: str = ""
    after: str = ""
    hop: str = ""
    traffic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Steps that belong together.

    Attributes:
        title: a few words.
        about: what is shown, in a sentence.
        steps: in the order in which one thing leads to the next.
        together: all steps are observed at the same time, so that each is noticed when it happens; otherwise in turn.
        commands: what a person would type, to be shown.
    """

    title: str
    about: str
    steps: tuple[Step, ...]
    together: bool = False
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a step.

    Attributes:
        chapter: its chapter's title.
        title: its own.
        looking_at: the object, by its full name as far as it is known.
        expected: see :class:`Step`.
        observed: what was seen; for a failed step what was seen last, for one that was not reached that it was not.
        ok: whether it was observed.
        reached: False if an earlier chapter failed.
        at: seconds since its chapter began.
        seconds: since the step it follows.
        after: the title of the step it follows, where that is not the one before.
        hop: see :class:`Step`.
        findings: for the first failed step, why, as far as can be known.
    """

    chapter: str
    title: str
    looking_at: str
    expected: str
    observed: str
    ok: bool
    reached: bool = True
    at: float = 0.0
    seconds: float = 0.0
    after: str = ""
    hop: str = ""
    findings: tuple[Finding, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One stretch of the way from a ready Pod to its first answer.

    Attributes:
        name: what is there at its end.
        looking_at: the object.
        seconds: that it took.
        since: seconds since the way began.
    """

    name: str
    looking_at: str
    seconds: float
    since: float


def hops(results: Sequence[Result]) -> list[Hop]:
    """The way that was measured; nothing if a part of it was not seen."""
    way = [each for each in results if each.hop]
    if not all(each.ok for each in way):
        return []
    made: list[Hop] = []
    latest = 0.0
    for each in way:
        # Several watches: the later hop may be heard of first.
        at = max(each.at, latest) if made else each.at
        seconds, since = (at - latest, at - way[0].at) if made else (0.0, 0.0)
        made.append(Hop(name=each.hop, looking_at=each.looking_at, seconds=round(seconds, 3), since=round(since, 3)))
        latest = at
    return made


def without_traffic(chapters: Sequence[Chapter]) -> list[Chapter]:
    """The chapters as they are where there is no data plane."""
    return [
        dataclasses.replace(each, steps=tuple(step for step in each.steps if not step.traffic)) for each in chapters
    ]


class Teller(Protocol):
    """Who is told, as it happens."""

    def chapter(self, number: int, chapter: Chapter) -> None:
        """A chapter begins."""

    def waiting(self, step: Step) -> None:
        """Its result is the next to be told."""

    def step(self, result: Result) -> None:
        """A step was observed, or failed."""


async def tell(world: World, chapters: Sequence[Chapter], teller: Teller) -> list[Result]:
    """Go through the chapters; after the first that fails, the steps of the others count as not reached."""
    results: list[Result] = []
    failed = False
    for number, chapter in enumerate(chapters, 1):
        if failed:
            results += (_not_reached(world, chapter, step) for step in chapter.steps)
            continue
        teller.chapter(number, chapter)
        told = await _Telling(world, chapter, teller).run()
        failed = not all(each.ok for each in told)
        results += told
    return results


class _Telling:
    """One chapter being told."""

    def __init__(self, world: World, chapter: Chapter, teller: Teller) -> None:
        self._world = world
        self._chapter = chapter
        self._teller = teller
        self._began = time.monotonic()
        self._results: list[Result] = []
        self._at: dict[str, tuple[str, float]] = {}

    async def run(self) -> list[Result]:
        """The results, in the order of the steps."""
        if self._chapter.together:
            async with asyncio.TaskGroup() as tasks:
                observed = [tasks.create_task(self._observe(step)) for step in self._chapter.steps]
                for step, task in zip(self._chapter.steps, observed, strict=True):
                    self._teller.waiting(step)
                    await self._tell(step, *await task)
            return self._results
        for step in self._chapter.steps:
            if self._failed():
                self._results.append(_not_reached(self._world, self._chapter, step))
                continue
            self._teller.waiting(step)
            await self._tell(step, *await self._observe(step))
        return self._results

    async def _observe(self, step: Step) -> tuple[bool, str, float]:
        """Whether it was seen, what was seen, and when."""
        try:
            seen = await step.observe(self._world)
        except (BedError, NotYet, aiohttp.ClientError, OSError) as error:
            text = "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
            return False, text, time.monotonic() - self._began
        return True, seen, time.monotonic() - self._began

    async def _tell(self, step: Step, ok: bool, observed: str, at: float) -> None:
        after, since = self._start_of(step)
        findings: tuple[Finding, ...] = ()
        if not ok and not self._failed():
            findings = await diagnose(self._world, step.made_by)
        result = Result(
            chapter=self._chapter.title,
            title=step.title,
            looking_at=_named(self._world, step),
            expected=step.expected,
            observed=observed,
            ok=ok,
            at=round(at, 3),
            # Watches of several servers: the later hop may be heard of first.
            seconds=round(max(at - since, 0.0), 3),
            after=after,
            hop=step.hop,
            findings=findings,
        )
        self._results.append(result)
        if step.key:
            self._at[step.key] = (step.title, at)
        self._teller.step(result)

    def _start_of(self, step: Step) -> tuple[str, float]:
        if step.after:
            return self._at[step.after]
        if self._chapter.together or not self._results:
            return "", 0.0
        return "", self._results[-1].at

    def _failed(self) -> bool:
        return not all(each.ok for each in self._results)


def _not_reached(world: World, chapter: Chapter, step: Step) -> Result:
    return Result(
        chapter=chapter.title,
        title=step.title,
        looking_at=_named(world, step),
        expected=step.expected,
        observed="not reached",
        hop=step.hop,
        ok=False,
        reached=False,
    )


def _named(world: World, step: Step) -> str:
    with contextlib.suppress(KeyError):
        return step.looking_at.format(**world.names)
    return step.looking_at
