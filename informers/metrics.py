"""The metrics of an informer, as a protocol: this package exports none itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from informers.errors import KubeError


STALE_SECONDS: Final = 14.0
"""A cache that was not confirmed for so long may be out of date: two comparisons have failed (docs/staleness.md)."""


class InformerMetrics(Protocol):
    """Observer of one or many informers. Called inside the event loop: must be cheap and must not raise.

    `resource` reads like `endpointslices.v1.discovery.k8s.io`.
    """

    def event(self, resource: str, kind: Literal["added", "updated", "deleted"]) -> None:
        """The store changed and the handlers were called."""
        ...

    def listed(self, resource: str, objects: int) -> None:
        """The store was made equal to a complete list."""
        ...

    def watching(self, resource: str) -> None:
        """A watch was opened."""
        ...

    def failed(self, resource: str, error: KubeError) -> None:
        """A request for a list or a watch failed, or a watch broke. While a server is away, once for each attempt."""
        ...

    def rejected(self, resource: str) -> None:
        """The server sent an object that cannot be decoded."""
        ...

    def missed(self, resource: str, objects: int) -> None:
        """A list showed changes of so many objects that a silent watch had not told of."""
        ...

    def handler_failed(self, resource: str, handler: str) -> None:
        """A handler raised an exception."""
        ...


class NoInformerMetrics:
    """Counts nothing; a base for metrics that count little."""

    def event(self, resource: str, kind: Literal["added", "updated", "deleted"]) -> None:
        """See :class:`InformerMetrics`."""

    def listed(self, resource: str, objects: int) -> None:
        """See :class:`InformerMetrics`."""

    def watching(self, resource: str) -> None:
        """See :class:`InformerMetrics`."""

    def failed(self, resource: str, error: KubeError) -> None:
        """See :class:`InformerMetrics`."""

    def rejected(self, resource: str) -> None:
        """See :class:`InformerMetrics`."""

    def missed(self, resource: str, objects: int) -> None:
        """See :class:`InformerMetrics`."""

    def handler_failed(self, resource: str, handler: str) -> None:
        """See :class:`InformerMetrics`."""


NO_INFORMER_METRICS: Final[InformerMetrics] = NoInformerMetrics()
"""Counts nothing."""
