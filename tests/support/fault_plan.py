"""Which faults a server injects, where, and in which order: a pure function of a seed, so that a run can be repeated.

    plan = FaultPlan(seed=1)
    fault = plan.next(Place.STREAM)      # None: this time all goes well
    ...
    plan.inject(fault)                   # counted when it really happens

What happens between the faults depends on timing and is not repeated exactly. The plan is.
"""

import random
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Place(Enum):
    """Where a fault strikes."""

    PAGE = "page of a list"
    OPENING = "start of a watch"
    STREAM = "open watch"
    WRITE = "own write"
    WORLD = "whole server"


FAULTS: Final[dict[Place, dict[str, int]]] = {
    Place.PAGE: {
        "EOF in the page": 20,
        "reset before the answer": 15,
        "410": 15,
        "429, Retry-After in seconds": 10,
        "429, Retry-After as a date": 5,
        "500": 15,
        "503": 10,
        "401": 5,
        "redirect": 5,
        "garbage": 5,
        "corrupt gzip": 5,
        "undecodable extra item": 10,
        "late": 10,
        "no answer": 4,
    },
    Place.OPENING: {
        "reset before the answer": 50,
        "EOF in the head": 20,
        "410": 30,
        "429, Retry-After in seconds": 25,
        "429, Retry-After as a date": 5,
        "500": 45,
        "503": 25,
        "401": 15,
        "redirect": 10,
        "garbage": 10,
        "late": 20,
        "no answer": 6,
    },
    Place.STREAM: {
        "EOF in a line": 70,
        "EOF between lines": 50,
        "reset": 70,
        "silence": 20,
        "late": 40,
        "good end": 40,
        "ERROR 410": 40,
        "ERROR 429": 20,
        "ERROR 500": 20,
        "malformed line": 30,
        "oversized line": 8,
        "unknown event type": 20,
        "undecodable object": 20,
        "repeated events": 60,
        "byte by byte": 20,
    },
    Place.WRITE: {
        "cut before it is done": 20,
        "cut after it is done": 30,
        "half an answer": 20,
        "500 before it is done": 10,
        "500 after it is done": 20,
        "409": 15,
        "429": 10,
        "answered late": 30,
    },
    Place.WORLD: {
        "history compacted": 40,
        "all connections cut": 15,
        "listener closed and reopened": 10,
        "bookmarks switched": 10,
        "streaming lists switched": 12,
        "informers stopped and run again": 12,
    },
}
"""How often each, in one plan."""


@dataclass(frozen=True)
class Fault:
    """One fault of a plan.

    Attributes:
        place: where it strikes.
        kind: what happens.
        after: how many opportunities pass before it.
        at: how many lines of a watch pass before it.
        number: for whatever else has to be decided.
    """

    place: Place
    kind: str
    after: int
    at: int
    number: int

    def __str__(self) -> str:
        return f"{self.place.value}: {self.kind}"


class FaultPlan:
    """All faults of one run, in rounds."""

    def __init__(self, seed: int, *, rounds: int) -> None:
        rng = random.Random(seed)
        self.rounds = rounds
        self.faults: dict[Place, list[Fault]] = {}
        for place, kinds in FAULTS.items():
            names = [kind for kind, times in kinds.items() for _ in range(times)]
            rng.shuffle(names)
            self.faults[place] = [
                Fault(place, kind, rng.choice((0, 0, 1, 2)), rng.choice((0, 0, 1, 2, 5, 9)), rng.randrange(1 << 30))
                for kind in names
            ]
        self.injected: Counter[str] = Counter()
        self._waiting: dict[Place, deque[Fault]] = {place: deque() for place in Place}
        self._held: Counter[Place] = Counter()
        self._passed: Counter[Place] = Counter()

    def begin_round(self, number: int) -> None:
        """The faults of this round become due, besides those left from earlier ones."""
        for place, faults in self.faults.items():
            self._waiting[place].extend(faults[number :: self.rounds])

    def next(self, place: Place) -> Fault | None:
        """The fault for this opportunity, if it is to be one."""
        waiting = self._waiting[place]
        if not waiting:
            return None
        if self._passed[place] < waiting[0].after:
            self._passed[place] += 1
            return None
        self._passed[place] = 0
        self._held[place] += 1
        return waiting.popleft()

    def postpone(self, fault: Fault) -> None:
        """It could not happen: next time."""
        self._held[fault.place] -= 1
        self._waiting[fault.place].appendleft(fault)

    def inject(self, fault: Fault | str) -> None:
        """It happens now."""
        if isinstance(fault, Fault):
            self._held[fault.place] -= 1
        self.injected[str(fault)] += 1

    @property
    def left(self) -> dict[str, int]:
        """How many faults are due and have not happened, by place."""
        due = {place.value: len(waiting) + self._held[place] for place, waiting in self._waiting.items()}
        return {place: number for place, number in due.items() if number}

    @property
    def never(self) -> list[str]:
        """The kinds that were never injected."""
        kinds = [f"{place.value}: {kind}" for place, kinds in FAULTS.items() for kind in kinds]
        return [kind for kind in kinds if not self.injected[kind]]

    def table(self) -> str:
        """What was injected, a line for each kind."""
        lines = [f"{times:6}  {kind}" for kind, times in sorted(self.injected.items())]
        return "\n".join([*lines, f"{self.injected.total():6}  in all"])
