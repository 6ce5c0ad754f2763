"""Priorities and flows of work, by context variable.

Levels and their meaning are those of controller-runtime `pkg/controller/priorityqueue`: a priority is a whole number,
more is sooner, and any number will do, although few should be in use. What that package lacks is here as well: a bound
on how long a lower level waits, and a priority that follows the work from the queue into whatever it waits for next.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOW: Final = -100
"""For what is not news: replays and resyncs. The number is controller-runtime's."""

NORMAL: Final = 0
"""For everything, unless told otherwise."""

URGENT: Final = 100
"""For what must not wait behind ordinary work."""

AGING_INTERVAL: Final = 4
"""Of so many turns one goes by age, to the flow whose turn it is, while anybody of a lower level waits.

A quarter: what is low takes at most four times as long as it would alone, so a replay ends although changes never do;
and what is high loses at most one turn in four, so a change waits for one foreign turn where a plain queue has a whole
replay before it. Half would give a replay every second token of a client; a tenth would make ten minutes out of one.
"""

T = TypeVar("T", bound=Hashable)

Flow: TypeAlias = tuple[Hashable, ...]
"""Whose work something is, from the widest to the narrowest: a member, then a service of it. Empty: nobody's own.

The term, and the idea that flows of one priority take turns, are those of Kubernetes' API Priority and Fairness.
"""


class Turn:
    """The priority of work under way. It can rise meanwhile, and with it that of its wait for a token.

    So what is done for a replay, and turns out to be what somebody waits for, is not done behind the whole replay
    (priority inheritance).
    """

    __slots__ = ("priority", "waits")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.waits: set[Callable[[int], object]] = set()
        """To be told when the priority rises."""

    def promote(self, priority: int) -> None:
        """Let it have this priority at least."""
        if priority > self.priority:
            self.priority = priority
            for tell in self.waits:
                tell(priority)


_current: ContextVar[Turn] = ContextVar("turn", default=Turn(NORMAL))  # noqa: B039 - nobody changes the default
_current_flow: ContextVar[Flow] = ContextVar("flow", default=())


def current_priority() -> int:
    """The priority of the current work; NORMAL unless set with :func:`at_priority`."""
    return _current.get().priority


def current_turn() -> Turn:
    """That of what is being done now; not to be promoted by who only looks."""
    return _current.get()


@contextmanager
def at_priority(priority: int) -> Iterator[Turn]:
    """Run the block with this priority: its waits for workers and tokens are served by it.

    Who begins this can raise it while it lasts, by what is yielded.

    Holds for the calling task and for tasks started inside, which keep it after this has ended: a copy of the context
    is what asyncio gives each task. A task that outlives the work that happened to start it should be started with a
    context of its own, `create_task(..., context=contextvars.Context())`.
    """
    turn = Turn(priority)
    token = _current.set(turn)
    try:
        yield turn
    finally:
        _current.reset(token)


def current_flow() -> Flow:
    """The flow of the current work; empty unless set with :func:`in_flow`."""
    return _current_flow.get()


@contextmanager
def in_flow(flow: Flow) -> Iterator[None]:
    """Run the block as work of this flow. Holds where :func:`at_priority` does."""
    token = _current_flow.set(flow)
    try:
        yield
    finally:
        _current_flow.reset(token)
