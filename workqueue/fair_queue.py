"""Fair queueing: the order of waiting items, by priority, and round robin between flows.

For a controller's queue, and for those who wait for a token of a client. Terms are those of Kubernetes' API Priority
and Fairness.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias

from workqueue.priority import AGING_INTERVAL, NORMAL, Flow, T

if TYPE_CHECKING:
    from collections.abc import Hashable

Place: TypeAlias = tuple[T, int, float, int, Flow]
"""What waits, its priority, since when it waits, a number that is the lower the sooner it came, and its flow."""

_Ring: TypeAlias = "OrderedDict[Hashable, Any]"
"""The flows in a flow that have somebody waiting; or, in the narrowest, the places. The first has the next turn."""

_SELF: Final = object()
"""What a flow is called among the narrower ones in it."""


def head_of(flow: Flow) -> Hashable:
    """The widest part of a flow: shares are given by it."""
    return flow[0] if flow else _SELF


def _path(place: Place[T]) -> tuple[Hashable, ...]:
    return (*place[4], _SELF, place[0])


class _RoundRobin(Generic[T]):
    """Nested round robin: flows alternate, and so do the narrower ones in each; one flow is first in, first out.

    A flow in which nobody waits is forgotten, and comes last when it comes again. All operations take time in
    proportion to the depth of the flow. Flows of the widest kind can be held: they have no turn meanwhile.
    """

    __slots__ = ("_held", "_ready")

    def __init__(self) -> None:
        self._ready: _Ring = OrderedDict()
        self._held: _Ring = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, place: Place[T], *, held: bool) -> None:
        """The last of its flow."""
        ring = self._held if held else self._ready
        *parts, item = _path(place)
        for part in parts:
            inner = ring.get(part)
            if inner is None:
                inner = ring[part] = OrderedDict()
            ring = inner
        ring[item] = place

    def remove(self, place: Place[T], *, held: bool, turn: bool = False) -> None:
        """Take out one that waits. If that was its flow's turn, the flow is the last from now on."""
        path = _path(place)
        rings = [self._held if held else self._ready]
        for part in path[:-1]:
            rings.append(rings[-1][part])
        depth = len(path) - 1
        del rings[depth][path[depth]]
        while depth:
            depth -= 1
            if not rings[depth + 1]:
                del rings[depth][path[depth]]
            elif turn:
                rings[depth].move_to_end(path[depth])
            else:
                return

    def next(self) -> Place[T]:
        """Whose turn it is, of those that are not held; there must be one."""
        found: Any = self._ready
        while type(found) is OrderedDict:
            found = next(iter(found.values()))
        place: Place[T] = found
        return place

    def first_of(self, flow: Flow) -> Place[T] | None:
        """Who came first in exactly this flow, which is not held."""
        ring = self._ready
        for part in (*flow, _SELF):
            inner = ring.get(part)
            if inner is None:
                return None
            ring = inner
        place: Place[T] = next(iter(ring.values()))
        return place

    def pass_turn(self, flow: Flow) -> None:
        """The flow, in which somebody waits, is the last from now on."""
        ring = self._ready
        for part in (*flow, _SELF):
            ring.move_to_end(part)
            ring = ring[part]

    def hold(self, head: Hashable) -> None:
        """Give the flows that begin so no turn until they are resumed."""
        _move(head, self._ready, self._held)

    def resume(self, head: Hashable) -> None:
        """They come last."""
        _move(head, self._held, self._ready)


def _move(head: Hashable, source: _Ring, target: _Ring) -> None:
    inner = source.pop(head, None)
    if inner is not None:
        target[head] = inner


class _Level(Generic[T]):
    """Those of one priority."""

    __slots__ = ("order", "priority", "waiting")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.order: _RoundRobin[T] = _RoundRobin()
        self.waiting = 0


class FairQueue(Generic[T]):
    """The order in which waiting items are served.

    - Highest priority first. Within one priority flows take turns, and so do the narrower flows in each; in one flow
      of one priority, first come first served. Who is raised comes as the last of its flow in the new priority.
    - No starvation: while several priorities wait, each :data:`AGING_INTERVAL`-th turn is by age. It is that of the
      flow whose turn it is among all flows of any priority; in it, of whoever came first of those at the head of a
      priority.

    So if k others of its own flow waited when a thing came or was last raised, and never more than n flows have
    somebody waiting, it has its turn within AGING_INTERVAL * n * (k + 1) turns, however much waits in the others: its
    flow has each n-th of the turns by age, and at such a turn nothing of it that came later is before it. Where flows
    have narrower ones in them, n is the product over the depths: of the most that ever waited beside it at each.
    Without flows, n is 1.

    Flows of the widest kind can be held, for a bound on what they have in hand: then they have no turn, and do not
    count in any of that.

    Each operation takes constant time, besides a look at each priority that was ever used, which should be few. Not
    thread-safe.
    """

    __slots__ = ("_by_age", "_held", "_levels", "_places", "_sequence", "_turns")

    def __init__(self) -> None:
        """Nobody waits."""
        self._places: dict[T, Place[T]] = {}
        self._levels: list[_Level[T]] = [_Level(NORMAL)]  # by falling priority
        self._by_age: _RoundRobin[T] = _RoundRobin()  # all of them, for the turns by age
        self._held: set[Hashable] = set()
        self._sequence = 0
        # How many turns went by priority since the last by age, while several priorities waited.
        self._turns = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(self, item: T, priority: int, since: float, flow: Flow = ()) -> None:
        """Let `item` wait, which must not be waiting already. `since` is kept for whoever takes it."""
        self._sequence += 1
        place = (item, priority, since, self._sequence, flow)
        self._by_age.add(place, held=self._is_held(place))
        self._add(place)

    def promote(self, item: T, priority: int) -> bool:
        """Let `item` have this priority at least. Returns whether it waits at all."""
        place = self._places.get(item)
        if place is None:
            return False
        if priority > place[1]:
            level = self._level(place[1])
            level.order.remove(place, held=self._is_held(place))
            level.waiting -= 1
            self._add((item, priority, *place[2:]))
        return True

    def remove(self, item: T) -> None:
        """Let `item`, which waits, wait no more."""
        place = self._places.pop(item)
        held = self._is_held(place)
        level = self._level(place[1])
        level.order.remove(place, held=held)
        level.waiting -= 1
        self._by_age.remove(place, held=held)

    def take(self) -> Place[T] | None:
        """Whose turn it is; None if nobody waits, or only those of flows that are held."""
        ready = [level for level in self._levels if level.order]
        if not ready:
            return None
        level = ready[0]
        place = level.order.next()
        if len(ready) > 1:
            self._turns += 1
            if self._turns == AGING_INTERVAL:
                self._turns = 0
                flow = self._by_age.next()[4]
                first = ((level.order.first_of(flow), level) for level in ready)
                place, level = min(((one, level) for one, level in first if one is not None), key=_came_first)
                self._by_age.pass_turn(flow)
        level.order.remove(place, held=False, turn=True)
        level.waiting -= 1
        self._by_age.remove(place, held=False)
        del self._places[place[0]]
        return place

    def hold(self, head: Hashable) -> None:
        """Give nobody of the flows that begin with `head` a turn, until they are resumed."""
        if head not in self._held:
            self._held.add(head)
            for order in (self._by_age, *(level.order for level in self._levels)):
                order.hold(head)

    def resume(self, head: Hashable) -> None:
        """Let these flows have their turns again; they come last."""
        if head in self._held:
            self._held.discard(head)
            for order in (self._by_age, *(level.order for level in self._levels)):
                order.resume(head)

    def last(self) -> T | None:
        """Who came last; None if nobody waits."""
        return next(reversed(self._places), None)

    def depth(self) -> dict[int, int]:
        """How many wait at each priority that was ever used, and at NORMAL."""
        return {level.priority: level.waiting for level in self._levels}

    def _add(self, place: Place[T]) -> None:
        self._places[place[0]] = place
        level = self._level(place[1])
        level.order.add(place, held=self._is_held(place))
        level.waiting += 1

    def _is_held(self, place: Place[T]) -> bool:
        return bool(self._held) and head_of(place[4]) in self._held

    def _level(self, priority: int) -> _Level[T]:
        for level in self._levels:
            if level.priority == priority:
                return level
        level = _Level(priority)
        insort(self._levels, level, key=_falling)
        return level


def _came_first(candidate: tuple[Place[T], _Level[T]]) -> int:
    return candidate[0][3]


def _falling(level: _Level[T]) -> int:
    return -level.priority
