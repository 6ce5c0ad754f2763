"""How long changes of endpoints take to reach the consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mcs_controller.domain.works import PatchWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from mcs_controller.domain.dispatch import Copy
    from mcs_controller.domain.works import SliceRef
    from workqueue.clock import Clock


class Observer(Protocol):
    """Observer of each change from one provider to one consumer."""

    def observe(self, seconds: float, /) -> object:
        """It took so long."""
        ...


class PropagationTimes:
    """Seconds from a change of a provider's slice to the write that takes it to a consumer.

    Only changes of copies that are there count, once for each consumer: how long a new copy was wanted, its slice does
    not tell. A change has its trigger time, newer than that of any change that reached all consumers, and than the
    start of this process: so nothing that was done before counts again. What is kept in memory are slices that changed
    since then. A failed write counts when it succeeds. Not thread-safe.
    """

    def __init__(self, pair: Callable[[str, str], Observer], clock: Clock) -> None:
        """`pair` finds who is told, by provider and consumer; `clock` is compared with those of providers."""
        self._pair = pair
        self._clock = clock
        self._started = clock.utcnow()
        self._carried: dict[SliceRef, datetime] = {}
        """Trigger time of the last change that has reached all consumers."""
        self._counted: dict[SliceRef, dict[str, datetime]] = {}
        """The same of single consumers, as long as another one does not have the change."""

    def arrival(self, origin: SliceRef, copy: Copy, triggered: datetime | None) -> Callable[[], None] | None:
        """What to call when the write is answered; None if it is no change that counts."""
        if triggered is None or not isinstance(copy.write, PatchWork) or "spec" not in copy.write.body:
            return None
        if triggered <= self._carried.get(origin, self._started):
            return None
        return lambda: self._arrived(origin, copy.cluster, triggered)

    def _arrived(self, origin: SliceRef, consumer: str, triggered: datetime) -> None:
        if triggered > self._carried.get(origin, self._started):
            counted = self._counted.setdefault(origin, {})
            if counted.get(consumer) == triggered:
                return
            counted[consumer] = triggered
        # Clocks differ: what arrived before it happened took no time.
        seconds = (self._clock.utcnow() - triggered).total_seconds()
        self._pair(origin.cluster, consumer).observe(max(0.0, seconds))

    def carried(self, origin: SliceRef, triggered: datetime | None, consumers: Iterable[str]) -> None:
        """These consumers have the slice as it is. `triggered` is None if it is gone, or does not tell the time."""
        for consumer in consumers:
            self._pair(origin.cluster, consumer)
        counted = self._counted.pop(origin, {})
        if triggered is not None and (ahead := {name: at for name, at in counted.items() if at > triggered}):
            self._counted[origin] = ahead  # the control plane does not have that change yet
        if triggered is not None and triggered > self._started:
            self._carried[origin] = triggered
        else:
            self._carried.pop(origin, None)
