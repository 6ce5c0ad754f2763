"""Who comes first.

Levels and their meaning are those of controller-runtime `pkg/controller/priorityqueue`: a priority is a whole number,
more is sooner, and any number will do, although few should be in use. What that package lacks is here as well: a bound
on how long a lower level waits, and a priority that follows the work from the queue into whatever it waits for next.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Hashable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

LOW: Final = -100
"""For what is not news: replays and resyncs. The number is controller-runtime's."""

NORMAL: Final = 0
"""For everything, unless told otherwise."""

URGENT: Final = 100
"""For what must not wait behind ordinary work."""

AGING_INTERVAL: Final = 4
"""Of so many turns one goes to whoever has waited longest, while anybody of a lower level waits.

A quarter: what is low takes at most four times as long as it would alone, so a replay ends although changes never do;
and what is high loses at most one turn in four, so a change waits for one foreign turn where a plain queue has a whole
replay before it. Half would give a replay every second token of a client; a tenth would make ten minutes out of one.
"""

T = TypeVar("T", bound=Hashable)

Place: TypeAlias = tuple[T, int, float, int]
"""What waits, its priority, since when it waits, and a number that is the lower the sooner it came."""

_current: ContextVar[int] = ContextVar("priority", default=NORMAL)


def current_priority() -> int:
    """The priority of what is being done now; NORMAL unless somebody said otherwise with :func:`at_priority`."""
    return _current.get()


@contextmanager
def at_priority(priority: int) -> Iterator[None]:
    """Do what is inside with this priority. Whoever calls from here and waits for a turn gets it by this priority.

    Holds for the calling task and for tasks started inside, which keep it after this has ended: a copy of the context
    is what asyncio gives each task. A task that outlives the work that happened to start it should be started with a
    context of its own, `create_task(..., context=contextvars.Context())`.
    """
    token = _current.set(priority)
    try:
        yield
    finally:
        _current.reset(token)


class _Level(Generic[T]):
    """Those of one priority, in the order in which they came to it."""

    __slots__ = ("gone", "line", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        # Who left from the middle stays in line until it comes to the front: a tuple that is not in `_places` any more.
        # The first in line is never such a one, so a line that is empty is one in which nobody waits.
        self.line: deque[Place[T]] = deque()
        self.gone = 0


class PriorityFifo(Generic[T]):
    """The order in which waiting things get their turn.

    - Highest priority first; within one priority, first come first served. Who is raised comes as the last of the new
      priority.
    - No starvation: while several priorities wait, each :data:`AGING_INTERVAL`-th turn is that of whoever came first of
      those at the head of a priority. So if k others waited when a thing came or was last raised, it has its turn
      within AGING_INTERVAL * (k + 1) turns: at such a turn nothing that came later is before it.

    Each operation takes constant time on average, besides a look at each priority that was ever used, which should be
    few. Not thread-safe.
    """

    __slots__ = ("_levels", "_places", "_sequence", "_turns")

    def __init__(self) -> None:
        """Nobody waits."""
        self._places: dict[T, Place[T]] = {}
        self._levels: list[_Level[T]] = [_Level(NORMAL)]  # by falling priority
        self._sequence = 0
        # How many turns went by priority since the last by age, while several priorities waited.
        self._turns = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(self, item: T, priority: int, since: float) -> None:
        """Let `item` wait, which must not be waiting already. `since` is kept for whoever takes it."""
        self._sequence += 1
        place = self._places[item] = (item, priority, since, self._sequence)
        self._level(priority).line.append(place)

    def promote(self, item: T, priority: int) -> bool:
        """Let `item` have this priority at least. Returns whether it waits at all."""
        place = self._places.get(item)
        if place is None:
            return False
        if priority > place[1]:
            raised = self._places[item] = (item, priority, *place[2:])
            self._drop_empty_level(self._level(place[1]))
            self._level(priority).line.append(raised)
        return True

    def remove(self, item: T) -> None:
        """Let `item`, which waits, wait no more."""
        place = self._places.pop(item)
        self._drop_empty_level(self._level(place[1]))

    def take(self) -> Place[T] | None:
        """Whose turn it is; None if nobody waits."""
        for level in self._levels:
            if level.line:
                break
        else:
            return None
        if len(level.line) - level.gone != len(self._places):
            self._turns += 1
            if self._turns == AGING_INTERVAL:
                self._turns = 0
                level = min((level for level in self._levels if level.line), key=_came_first)
        place = level.line.popleft()
        del self._places[place[0]]
        if level.gone:
            self._drop_removed(level)
        return place

    def last(self) -> T | None:
        """Who came last; None if nobody waits."""
        return next(reversed(self._places), None)

    def depth(self) -> dict[int, int]:
        """How many wait at each priority that was ever used, and at NORMAL."""
        return {level.priority: len(level.line) - level.gone for level in self._levels}

    def _level(self, priority: int) -> _Level[T]:
        for level in self._levels:
            if level.priority == priority:
                return level
        level = _Level(priority)
        insort(self._levels, level, key=_falling)
        return level

    def _drop_empty_level(self, level: _Level[T]) -> None:
        """One left."""
        level.gone += 1
        self._drop_removed(level)
        if level.gone > len(level.line) // 2:  # so that each one who leaves pays for a few who stay
            level.line = deque(place for place in level.line if self._places.get(place[0]) is place)
            level.gone = 0

    def _drop_removed(self, level: _Level[T]) -> None:
        line = level.line
        while line and self._places.get(line[0][0]) is not line[0]:
            line.popleft()
            level.gone -= 1


def _came_first(level: _Level[T]) -> int:
    return level.line[0][3]


def _falling(level: _Level[T]) -> int:
    return -level.priority
