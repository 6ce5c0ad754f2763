"""Handler registrations: called in the same step as the change of the store, or, if they await, by a task each."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from informers.cache.event import AsyncHandler, Event, Handler
from informers.meta import KubeObject, ObjectKey

if TYPE_CHECKING:
    from informers.cache.informer import SharedInformer
    from workqueue.clock import Clock

T = TypeVar("T", bound=KubeObject)

SLOW_HANDLER_SECONDS: Final = 0.1
"""A handler that keeps the event loop for so long is named in the log."""

_log = logging.getLogger(__name__)


class Registration(Generic[T]):
    """One handler of one informer, made by :meth:`SharedInformer.add_handler`. Belongs to the informer's event loop.

    Attributes:
        name: of the handler, in logs and metrics.
    """

    def __init__(self, informer: SharedInformer[T], handler: Handler[T], name: str, clock: Clock) -> None:
        self._informer = informer
        self._handler = handler
        self._monotonic = clock.monotonic
        self._slow = False
        self.name = name

    @property
    def has_synced(self) -> bool:
        """Whether the handler has received every object of the first complete list."""
        return self._informer.has_synced

    def remove(self) -> None:
        """Tell the handler nothing more, from now on. May be called twice, and by the handler itself."""
        self._informer._forget(self)

    def _call(self, event: Event[T], began: float) -> float:
        """Returns when it was over; the next one is called then. To read the clock costs more than all the rest."""
        try:
            self._handler(event)
        except Exception:  # a stranger's code: whatever it does, the other handlers and the cache must not suffer
            self._failed(event)
        ended = self._monotonic()
        if ended - began >= SLOW_HANDLER_SECONDS or self._slow:
            self._report_pace(event, ended - began)
        return ended

    def _failed(self, event: Event[T]) -> None:
        _log.exception("handler failed", extra=self._fields(key=event.key))
        self._informer._metrics.handler_failed(str(self._informer.resource), self.name)

    def _report_pace(self, event: Event[T], seconds: float) -> None:
        """One log line when it becomes slow, and one when it is not any more."""
        slow = seconds >= SLOW_HANDLER_SECONDS
        if slow and not self._slow:
            fields = self._fields(key=event.key, seconds=f"{seconds:.3f}")
            _log.warning("slow handler, nothing else could run meanwhile", extra=fields)
        elif self._slow and not slow:
            _log.info("handler is fast again", extra=self._fields())
        self._slow = slow

    def _fields(self, **more: object) -> dict[str, str]:
        fields = {"handler": self.name, "resource": self._informer.resource, **more}
        return {key: str(value) for key, value in fields.items()}


class AsyncRegistration(Registration[T]):
    """One handler that awaits, made by :meth:`SharedInformer.add_async_handler`.

    What it has not been told yet waits by object: two events of each at most, so the memory is bounded by the objects
    in the store and those that the handler believes to be there. (client-go's listeners have queues without bounds.)
    """

    def __init__(self, informer: SharedInformer[T], handler: AsyncHandler[T], name: str, clock: Clock) -> None:
        super().__init__(informer, self._put, name, clock)
        self._awaited = handler
        self._waiting: dict[ObjectKey, tuple[Event[T], ...]] = {}
        self._initial: set[ObjectKey] = set()  # of the first list or the replay, and not told yet
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._removed = False

    @property
    def has_synced(self) -> bool:
        """Whether the handler has received every object of the first complete list, or of its replay."""
        return super().has_synced and not self._initial

    def remove(self) -> None:
        """Tell the handler nothing more, and cancel the call under way, unless it is that which removes it."""
        super().remove()
        self._removed = True
        self._waiting.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self) -> None:
        """Tell the handler what waits, one event after the other, until removed or cancelled.

        The call under way is cancelled too, and not made again.
        """
        self._task = asyncio.current_task()
        while not self._removed:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            key, (event, *later) = next(iter(self._waiting.items()))
            if later:
                self._waiting[key] = tuple(later)
            else:
                del self._waiting[key]
            try:
                await self._awaited(event)
            except Exception:  # as in Registration
                self._failed(event)
            finally:
                if key not in self._waiting:
                    self._initial.discard(key)
            del event, later  # or these objects would be kept alive until the next one comes

    def _put(self, event: Event[T]) -> None:
        key = event.key
        if event.initial:
            self._initial.add(key)
        if waiting := merged(self._waiting.get(key, ()), event):
            self._waiting[key] = waiting
        else:
            del self._waiting[key]
            self._initial.discard(key)
        self._news.set()


def merged(waiting: tuple[Event[T], ...], event: Event[T]) -> tuple[Event[T], ...]:
    """What is left to tell of an object, in order, when this event follows on those that wait.

    Updates become one, from the oldest state to the newest. What was added and deleted again is nothing. A deletion
    that is followed by an addition stays one, as the new object is another one.
    """
    if not waiting or waiting[-1].new is None:
        return (*waiting, event)
    *before, last = waiting
    if event.new is not None:
        return (*before, Event(old=last.old, new=event.new, initial=last.initial and event.initial))
    return tuple(before) if last.old is None else (*before, event)
