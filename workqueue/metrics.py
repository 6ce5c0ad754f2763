"""The metrics of a queue, as a protocol: this package exports none itself.

A :class:`MetricsProvider` is handed to each queue; the Prometheus one lives with the runtime. Meanings are those of
client-go `util/workqueue/metrics.go`, except that gauges are read when somebody asks rather than written all the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class QueueState(Protocol):
    """The gauges of one queue, for a metrics system to read whenever it is scraped."""

    def depth(self) -> Mapping[int, int]:
        """Items that wait for a worker, by priority, including those added again while being processed.

        A priority that was used once stays, with 0.
        """
        ...

    def unfinished_work_seconds(self) -> float:
        """Sum of the ages of all items in processing. Grows without end if a worker is stuck."""
        ...

    def longest_running_seconds(self) -> float:
        """Age of the item longest in processing; 0 if there is none."""
        ...


class QueueMetrics(Protocol):
    """The counters and durations of one queue. Called in the hot path: must be cheap and must not raise."""

    def added(self) -> None:
        """An item came in that was not waiting already."""
        ...

    def retried(self) -> None:
        """An item was added with a delay or rate limit."""
        ...

    def waited(self, seconds: float) -> None:
        """A worker got an item that had waited so long."""
        ...

    def worked(self, seconds: float) -> None:
        """A worker is done with an item after so long."""
        ...


class MetricsProvider(Protocol):
    """Makes the metrics of each queue."""

    def register(self, name: str, state: QueueState) -> QueueMetrics:
        """The metrics for the queue of this name. `state` may be kept and read at any time from the same thread."""
        ...


class _NoMetrics:
    """Provider and metrics in one, all silent."""

    def register(self, name: str, state: QueueState) -> QueueMetrics:
        return self

    def added(self) -> None: ...

    def retried(self) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def worked(self, seconds: float) -> None: ...


NO_METRICS: Final[MetricsProvider] = _NoMetrics()
"""For queues that nobody watches."""
